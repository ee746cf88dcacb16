"""`clustrix new-backend`: what it writes and refuses. The wheels test runs the tests that it writes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from cli_runner import Here, spawn

from clustrix_core import API_VERSION, __version__
from fakedist import FakeSite

FILES = {
    ".github/workflows/test.yml",
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "src/clustrix_my_site/__init__.py",
    "src/clustrix_my_site/backend.py",
    "src/clustrix_my_site/config.py",
    "src/clustrix_my_site/py.typed",
    "tests/test_conformance.py",
}


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.chdir(tmp_path)
    return Here(capfdbinary)


def test_a_package_of_that_name(run: Here) -> None:
    done = run("new-backend", "my-site")
    folder = Path("clustrix-my-site")
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert (done.code, written) == (0, FILES)
    told = {line for line in done.lines if line.startswith(f"{folder}/")}
    assert told == {str(folder / file) for file in FILES}
    for file in FILES:
        assert "acme" not in (folder / file).read_text().lower(), file
    project = (folder / "pyproject.toml").read_text()
    assert 'name = "clustrix-my-site"\n' in project
    assert 'my-site = "clustrix_my_site:MySiteBackend"\n' in project
    assert f'dependencies = ["clustrix-core>={__version__}"]\n' in project
    backend = (folder / "src/clustrix_my_site/backend.py").read_text()
    assert re.findall(r"api_version = (\d+)", backend) == [str(API_VERSION)]


def test_it_works_as_it_is(run: Here, tmp_path: Path) -> None:
    """Its own code stays within what can be read in a minute."""
    assert run("new-backend", "my_site", "here/it").code == 0
    site = tmp_path / "site"
    FakeSite(site).add("clustrix-my-site", "0.1.0", backends={"my_site": "clustrix_my_site:MySiteBackend"})
    paths = os.pathsep.join([str(site), str(tmp_path / "here/it/src")])
    (tmp_path / "data.csv").touch()
    done = spawn(
        "ls", "--type", "my_site", "--workdir", str(tmp_path), ".", env={"PYTHONPATH": paths}, cwd=tmp_path
    )
    assert (done.code, done.lines, done.err) == (0, ["data.csv", "here", "site"], "")
    listed = spawn("plugins", env={"PYTHONPATH": paths}).lines
    assert "backend my_site clustrix-my-site 0.1.0 ok" in [" ".join(line.split()) for line in listed]
    code = (tmp_path / "here/it/src/clustrix_my_site/backend.py").read_text()
    assert len(code.splitlines()) <= 30


@pytest.mark.parametrize(
    "name",
    ["", "Acme", "1st", "a--b", "-a", "a.b", "a b", "../up", "é", "a\n", "core", "local", "ssh", "x" * 61],
)
def test_names_that_it_refuses(run: Here, tmp_path: Path, name: str) -> None:
    done = run("new-backend", "--", name)
    assert done.code == 2
    assert "take" in done.err
    assert os.listdir(tmp_path) == []


def test_nothing_is_written_over(run: Here) -> None:
    folder = Path("clustrix-acme")
    folder.mkdir()
    assert run("new-backend", "acme").code == 0
    readme = folder / "README.md"
    readme.write_text("mine")
    done = run("new-backend", "acme")
    assert (done.code, readme.read_text()) == (3, "mine")
    assert done.err == "clustrix: clustrix-acme exists: name another folder, or move it away\n"
    assert run("new-backend", "acme", "clustrix-acme/README.md").code == 3
    assert readme.read_text() == "mine"
