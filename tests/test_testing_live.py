"""The conformance suite from the command line, on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clustrix_core import API_VERSION, ClusterConfig, ConfigError
from clustrix_core.testing.live import live_place
from fakedist import FakeSite

STUBBORN = """
from clustrix_core.engine import Engine
from clustrix_local import LocalBackend

class Stubborn(LocalBackend):
    def __init__(self, config):
        self._engine = Engine("/")
"""


def run_suite(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--pyargs"]
    return subprocess.run(
        [*command, "clustrix_core.testing.conformance", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "work").mkdir()
    profiles = "profiles: {here: {cluster_type: local, local_work_dir: work}}"
    (tmp_path / "clustrix.yml").write_text(profiles)
    return tmp_path


def test_the_suite_runs_below_the_work_dir_of_a_profile(folder: Path) -> None:
    (folder / "work" / "mine").write_text("stays")
    done = run_suite(folder, "--clustrix-profile", "here", "-k", "order or hidden or any_tree_is_found")
    assert done.returncode == 0, done.stdout
    assert f"the conformance suite of API version {API_VERSION}" in done.stdout
    assert [path.name for path in (folder / "work").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--clustrix-profile", "nowhere"], "the suite can't start: there is no profile 'nowhere'"),
        (["--clustrix-missing", "files,wings"], "no such capability: wings"),
        (["--clustrix-python", "cat"], "a Python script of the suite failed over there"),
        (["--clustrix-python", "no-such-python"], "No such file or directory: 'no-such-python'"),
    ],
)
def test_what_keeps_the_suite_from_starting_is_said_once(
    folder: Path, arguments: list[str], said: str
) -> None:
    done = run_suite(folder, *arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert done.stdout.count(said) == 1, done.stdout


def test_a_folder_of_ones_own_is_no_place_for_others(folder: Path) -> None:
    folder.chmod(0o700)
    done = run_suite(folder, "--clustrix-profile", "here", "-rs", "-k", "what_may_not_be_read_raises")
    assert done.returncode == 0, done.stdout
    assert "no other user gets to the work dir" in done.stdout


def test_a_backend_that_looks_elsewhere_is_refused(folder: Path) -> None:
    with FakeSite(folder / "site") as site:
        site.add(
            "stubborn", "1.0", backends={"stubborn": "stubborn:Stubborn"}, modules={"stubborn": STUBBORN}
        )
        config = ClusterConfig(cluster_type="stubborn", local_work_dir=str(folder / "work"))
        with pytest.raises(ConfigError, match="write a fixture `place`"), live_place(config):
            pass
    assert list((folder / "work").iterdir()) == []
