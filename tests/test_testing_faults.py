"""The conformance suite catches faults: each faulty backend fails the test of the promise that it breaks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import faulty_backends
import pytest
from faulty_backends import FAULTS, Fault, Limited

from clustrix_core.testing import BackendSuite

SEMANTICS = Path(__file__).resolve().parents[1] / "docs" / "semantics.md"

NO_PROMISES = (
    "Everything else derives from",
    "What a backend may lack has a name",
    "The local backend lacks",
)

SUITES = """
from dataclasses import replace

import pytest

from clustrix_core.testing import BackendSuite
from clustrix_core import ClusterConfig
from clustrix_core.testing import CAPABILITIES, BackendSuite, local_place
from clustrix_core.testing.asking import Gardener
from clustrix_core.testing.place import as_nobody
from clustrix_core.testing.suite import base
from faulty_backends import FAULTS

@pytest.fixture(scope="module")
def shared():
    with local_place() as made:
        Gardener(made).make("main")
        yield made

@pytest.fixture(scope="class")
def place(request, shared):
    config = ClusterConfig(cluster_type=request.cls.backend, local_work_dir=shared.root)
    missing = frozenset(request.cls.missing)
    return replace(shared, config=config, unprivileged=lambda: as_nobody(config), missing=missing)

class SharedTree(BackendSuite):
    backend, missing, patience = "local", (), 60.0

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch):
        monkeypatch.setattr(base, "PATIENCE", self.patience)

    @pytest.fixture(scope="class")
    @classmethod
    def tree(cls, shared):
        return None

class TestLocal(SharedTree):
    pass

class TestLimited(SharedTree):
    backend, missing = "limited", CAPABILITIES

for fault in FAULTS:
    name = fault.backend.__name__
    fields = {"backend": name.lower(), "missing": fault.backend.missing, "patience": fault.backend.patience}
    globals()[f"Test{name}"] = type(f"Test{name}", (SharedTree,), fields)
"""

Outcomes = dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the faulty backends are installed, and where a suite for each is written."""
    folder = tmp_path_factory.mktemp("faulty")
    metadata = folder / "faulty_backends-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-backends\nVersion: 1.0\n")
    names = [backend.__name__ for backend in (*(fault.backend for fault in FAULTS), Limited)]
    lines = [f"{name.lower()} = {faulty_backends.__name__}:{name}" for name in names]
    (metadata / "entry_points.txt").write_text("\n".join(["[clustrix.backends]", *lines, ""]))
    (folder / "test_suites.py").write_text(SUITES)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return folder


def run_suites(folder: Path, *arguments: str) -> Outcomes:
    """What went wrong in each test, by class and name; nothing, in those that passed."""
    path = os.pathsep.join([str(folder), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--junitxml=report.xml", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    outcomes = {}
    for case in ElementTree.parse(folder / "report.xml").iter("testcase"):
        ended = [child for child in case if child.tag in ("failure", "error", "skipped")]
        said = f"{ended[0].tag}: {ended[0].get('message')}" if ended else ""
        outcomes[case.attrib["classname"].rpartition(".")[2], case.attrib["name"]] = said
    return outcomes


@pytest.fixture(scope="module")
def outcomes(installed: Path) -> Outcomes:
    """Each faulty backend, and the good one, takes the test that is named for it."""
    tests = [f"test_suites.py::Test{fault.backend.__name__}::{fault.test}" for fault in FAULTS]
    good = sorted({f"test_suites.py::TestLocal::{fault.test}" for fault in FAULTS})
    return run_suites(installed, *tests, *good)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.backend.__name__)
def test_a_fault_is_caught(outcomes: Outcomes, fault: Fault) -> None:
    """The fault fails its test, which says what was promised and expected; the local backend passes it."""
    said = outcomes[f"Test{fault.backend.__name__}", fault.test]
    assert said.startswith("failure: AssertionError: "), said or f"{fault.test} passes"
    assert "\n  expected: " in said
    assert outcomes["TestLocal", fault.test] == ""


def test_the_documented_failures_are_real(outcomes: Outcomes) -> None:
    page = (SEMANTICS.parent / "conformance-suite.md").read_text()
    shown = re.findall(r"```text\n(AssertionError: .*?)\n```", page, re.DOTALL)
    assert shown
    assert [said for said in shown if f"failure: {said}" not in outcomes.values()] == []


def test_faults_quote_the_law() -> None:
    law = " ".join(SEMANTICS.read_text().split())
    quoted = {fault.promise for fault in FAULTS}
    assert {promise for promise in quoted if promise not in law} == set()


def test_every_row_of_the_law_has_a_fault() -> None:
    promises = [fault.promise for fault in FAULTS]
    bare = [row for row in rows_of_the_law() if not any(promise in row for promise in promises)]
    assert [row for row in bare if not row.startswith(NO_PROMISES)] == []


@pytest.mark.parametrize("part", BackendSuite.__bases__, ids=lambda part: part.__name__)
def test_every_class_of_the_suite_catches_faults(part: type) -> None:
    assert [fault for fault in FAULTS if hasattr(part, fault.test.partition("[")[0])]


def rows_of_the_law() -> Iterator[str]:
    """Rows of tables, items of lists and paragraphs of the page, each on one line."""
    law = re.sub(r"```.*?```\n", "\n", SEMANTICS.read_text(), flags=re.DOTALL)
    for block in law[law.index("## Names and paths") :].split("\n\n"):
        if block.startswith("|"):
            yield from block.splitlines()[2:]
        elif block.strip() and not block.startswith("#"):
            yield from (" ".join(item.split()) for item in re.split(r"\n(?=- )", block))


def test_declared_limits_are_respected(installed: Path) -> None:
    tests = "stat or du or detail or readlink or files_work or ls_of_what or too_long or open_reads or folder"
    outcomes = run_suites(installed, "test_suites.py::TestLimited", "-k", tests)
    assert outcomes["TestLimited", "test_du_counts_hard_links_once"] == ""
    wrong = {test: said for test, said in outcomes.items() if said and not said.startswith("skipped")}
    assert wrong == {}
