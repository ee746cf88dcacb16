"""`clustrix explain`: what it writes, its exit codes, and its completion."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cli_runner import Here, on_terminal, plain, spawn
from test_cli_completion import bash

SOURCE = """\
from clustrix import cluster

print("imported")


def good(values):
    found = []
    for value in values:
        found.append([value * number for number in range(3)])
    return found


def bad(values):
    before = 0
    for value in values:
        before = value - before
    return before


def unknown(function, values):
    return [function(value) for value in values]


def none():
    return 1


trusted = cluster(parallel="trust")(unknown)


class Model:
    def fit(self, values):
        return [value + 1 for value in values]


limit = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "analysis.py").write_text(SOURCE)
    monkeypatch.chdir(folder)
    return folder


def test_the_source_with_a_verdict_for_each_loop(folder: Path) -> None:
    done = spawn("explain", "analysis.py::good")
    assert done.code == 0
    assert done.err == "imported\n"
    assert done.lines == [
        f"good ({folder}/analysis.py)",
        " 6  def good(values):",
        " 7      found = []",
        " 8      for value in values:",
        "        ^ split",
        " 9          found.append([value * number for number in range(3)])",
        "            ^ part of a loop that is split",
        "10      return found",
    ]


def test_exit_codes_tell_whether_all_loops_can_be_split() -> None:
    assert spawn("explain", "analysis.py::none").code == 0
    assert spawn("explain", "analysis.py::Model.fit").code == 0
    done = spawn("explain", "analysis.py::bad")
    assert done.code == 1
    assert "not split [carried]: before may come from an iteration before" in done.out.decode()
    done = spawn("explain", "analysis.py::limit")
    assert done.code == 1
    assert "int isn't a function written in Python" in done.out.decode()


def test_trust() -> None:
    assert spawn("explain", "analysis.py::unknown").code == 1
    for arguments in (["analysis.py::unknown", "--trust"], ["analysis.py::trusted"]):
        done = spawn("explain", *arguments)
        assert done.code == 0
        assert "^ split; assumed: " in done.out.decode()


def test_json_is_one_document() -> None:
    done = spawn("explain", "--json", "analysis.py::bad")
    assert done.code == 1
    told = json.loads(done.out)
    assert (told["name"], told["reason"]) == ("bad", "")
    (loop,) = told["loops"]
    assert (loop["line"], loop["kind"], loop["split"], loop["code"]) == (15, "for", False, "carried")


def test_colours_are_for_terminals() -> None:
    assert b"\033[" not in spawn("explain", "analysis.py::bad").out
    assert b"\033[33m" in on_terminal("explain", "analysis.py::bad").out
    assert b"\033[32m" in on_terminal("explain", "analysis.py::good").out
    without = on_terminal("explain", "analysis.py::bad", env={"NO_COLOR": "1"}).out
    assert without == plain(without)


def test_what_can_not_be_found() -> None:
    done = spawn("explain", "nix.py::good")
    assert (done.code, done.err) == (1, "clustrix: nix.py: No such file or directory\n")
    done = spawn("explain", "analysis.py::god")
    assert (done.code, done.err.splitlines()[-1]) == (
        1,
        "Error: analysis.py has no function god; did you mean good?",
    )
    done = spawn("explain", "analysis.py")
    assert (done.code, done.err.splitlines()[-1]) == (
        2,
        "Error: name a function of the file, as in analysis.py::good",
    )


def test_a_file_that_can_not_be_imported(folder: Path) -> None:
    for text, said in (
        ("import nix_nix", "ModuleNotFoundError: No module named 'nix_nix'"),
        ("1 +", "SyntaxError: invalid syntax"),
        ("raise SystemExit", "SystemExit"),
    ):
        (folder / "broken.py").write_text(text)
        done = spawn("explain", "broken.py::f")
        assert done.code == 3
        assert f"broken.py can't be imported: {said}" in done.err
        assert "Traceback" not in done.err
    assert "Traceback" in spawn("--debug", "explain", "broken.py::f").err


def test_files_are_imported_as_users_expect(folder: Path) -> None:
    package = folder / "pack" / "inner"
    package.mkdir(parents=True)
    (folder / "pack" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (folder / "pack" / "other.py").write_text("def twice(x):\n    return 2 * x\n")
    loop = "def f(xs):\n    return [twice(x) for x in xs]\n"
    (package / "deep.py").write_text(
        f"from ..other import twice\nassert __name__ == 'pack.inner.deep'\n{loop}"
    )
    (folder / "other.py").write_text("def twice(x):\n    return 2 * x\n")
    for name in ("json.py", "my-script.py", "script"):
        (folder / name).write_text(f"from other import twice\nassert __name__ != '__main__'\n{loop}")
    for path in ("pack/inner/deep.py", str(package / "deep.py"), "json.py", "my-script.py", "script"):
        assert spawn("explain", f"{path}::f", cwd=folder).code == 0, path


def test_a_module_is_found_by_its_name(folder: Path) -> None:
    (folder / "pack").mkdir()
    (folder / "pack" / "__init__.py").write_text("from .inner import f as g\n")
    (folder / "pack" / "inner.py").write_text(
        "assert __name__ == 'pack.inner'\ndef f(xs):\n    return [x for x in xs]\n"
    )
    for target in ("analysis:good", "analysis:Model.fit", "pack.inner:f", "pack:g"):
        assert spawn("explain", target).code == 0, target
    assert spawn("explain", "analysis:bad").code == 1
    assert spawn("explain", "pack:g", cwd=folder.parent).code == 1
    found = spawn("explain", "pack:g", cwd=folder.parent, env={"PYTHONPATH": str(folder)})
    assert (found.code, found.err) == (0, "")


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        ("analysis:god", 1, "analysis has no function god; did you mean good?"),
        ("analysis", 2, "name a function of the module, as in analysis:good"),
        ("analysis:", 2, "name a function of the module, as in analysis:good"),
        ("analysis:Model", 2, "Model is a class; name a method of it, as in analysis:Model.fit"),
        ("analysis.py::Model", 2, "Model is a class; name a method of it, as in analysis.py::Model.fit"),
        ("analysis.py:good", 2, "a function of a file is named with two colons, as in analysis.py::good"),
        ("nix.nix:f", 1, "there is no module nix.nix in the current folder or where else Python looks; "),
        ("an-alysis:f", 1, "there is no module an-alysis in the current folder or where else Python looks; "),
    ],
)
def test_what_is_wrong_with_a_name(target: str, code: int, said: str) -> None:
    done = spawn("explain", target)
    assert done.code == code
    assert said in done.err.splitlines()[-1]


def test_a_module_with_the_name_of_one_that_the_command_uses(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (folder / "json.py").write_text("def f(xs):\n    return xs\n")
    done = Here(capfdbinary)("explain", "json:f")
    assert done.code == 1
    assert done.err.endswith(
        "has the name of a module that this command uses; name the file, as in json.py::f\n"
    )


def test_a_module_that_can_not_be_imported(folder: Path) -> None:
    (folder / "broken.py").write_text("import nix_nix")
    done = spawn("explain", "broken:f")
    assert done.code == 3
    assert "broken can't be imported: ModuleNotFoundError: No module named 'nix_nix'" in done.err


def test_completion_of_modules(folder: Path) -> None:
    (folder / "pack" / "inner").mkdir(parents=True)
    (folder / "pack" / "__init__.py").write_text("raise SystemExit")  # nothing is imported
    (folder / "pack" / "inner" / "__init__.py").touch()
    (folder / "pack" / "other.py").write_text("def f(): ...\n")
    assert bash("clustrix explain analysis:Mo") == ["Model.fit"]
    assert bash("clustrix explain pack.") == ["pack.inner:", "pack.inner.", "pack.other:"]
    assert bash("clustrix explain pack.ot") == ["pack.other:"]
    assert bash("clustrix explain pack.other:") == ["f"]
    assert bash("clustrix explain nix.nix:") == [""]


def test_completion() -> None:
    Path("data.csv").touch()
    os.mkdir("pack")
    assert bash("clustrix explain ") == ["analysis.py::", "pack/"]
    assert bash("clustrix explain analysis.py::") == [
        "good",
        "bad",
        "unknown",
        "none",
        "Model.fit",
    ]
    assert bash("clustrix explain analysis.py::Mo") == ["Model.fit"]
