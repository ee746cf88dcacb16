"""The packages under `examples/`: their own tests pass, and they keep to what a third party may use."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from test_docs import environment, install_examples

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PACKAGES = sorted(project.parent.name for project in EXAMPLES.glob("*/pyproject.toml"))
PUBLIC = {
    "clustrix_core",
    "clustrix_core.doctor",
    "clustrix_core.environment",
    "clustrix_core.jobs.handover",
    "clustrix_core.jobs.hooks",
    "clustrix_core.jobs.models",
    "clustrix_core.remote",
    "clustrix_core.testing",
    "clustrix_core.testing.servers",
    "clustrix_ssh",
}


class Package:
    """A class for each, so that they run side by side."""

    name: str

    def test_its_tests_pass(self, tmp_path: Path) -> None:
        paths = install_examples(tmp_path / "site", EXAMPLES)
        pytest_here = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*pytest_here, f"--basetemp={tmp_path / 'pytest'}"],
            cwd=EXAMPLES / self.name,
            env=environment(tmp_path, paths),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


class TestGridEngine(Package):
    name = "clustrix-gridengine"


class TestKubernetes(Package):
    name = "clustrix-kubernetes"


class TestPbs(Package):
    name = "clustrix-pbs"


def test_no_package_is_left_out() -> None:
    assert sorted(package.name for package in Package.__subclasses__()) == PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_only_public_names_are_used(package: str) -> None:
    for file in (EXAMPLES / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert not [name for name in node.names if name.name.startswith("clustrix")], file
            elif isinstance(node, ast.ImportFrom) and _is_ours(node.module):
                assert node.module in PUBLIC, f"{file}: {node.module}"
                public = importlib.import_module(node.module).__all__
                assert {name.name for name in node.names} <= set(public), file


def _is_ours(module: str | None) -> bool:
    return str(module).split(".")[0] in ("clustrix", "clustrix_core", "clustrix_ssh")


@pytest.mark.parametrize("package", PACKAGES)
def test_backend_is_read_in_a_minute(package: str) -> None:
    [backend] = (EXAMPLES / package / "src").glob("*/backend.py")
    code = ast.unparse(_without_docstrings(ast.parse(backend.read_text())))
    assert len(code.splitlines()) <= 30


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            node.body = node.body[1:]
    return tree
