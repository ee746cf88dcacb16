"""What the conformance suite can't see of the engine: its independence, limits, trees that change."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clustrix import ClusterConfig, ClusterFilesystem
from clustrix_core import engine
from clustrix_core.engine import Engine, expand_braces, raise_it, unpack

SOURCE = Path(engine.__file__).read_text()


def test_it_imports_only_the_standard_library_and_no_matcher_of_it() -> None:
    imported = set()
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add((node.module or "").partition(".")[0])
    assert imported <= set(sys.stdlib_module_names)
    assert not imported & {"glob", "fnmatch"}


def test_it_parses_as_python_3_6() -> None:
    ast.parse(SOURCE, feature_version=(3, 6))


def test_it_runs_alone_in_the_c_locale(tmp_path: Path) -> None:
    (tmp_path / "é.csv").write_text("x")
    (tmp_path / os.fsdecode(b"\xff.csv")).write_text("yy")
    code = "import engine as e; print(ascii(e.unpack(e.Engine('.').glob('?.csv', '.', e.raise_it))))"
    script = f"import sys; sys.path.insert(0, {str(Path(engine.__file__).parent)!r}); {code}"
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-I", "-S", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "['\\xe9.csv', '\\udcff.csv']\n"


BRACES = st.lists(st.sampled_from(["{", "}", ",", "a", "b", "x{a,b}", "{,c}"]), max_size=9).map("".join)


@settings(max_examples=200, deadline=None)
@given(BRACES)
@example("{a},b}")
@example("{a,{b,c}")
@example("{{a,b}")
@example("{a{b,c}}")
@example("a{,}b{}")
def test_braces_expand_as_in_bash(pattern: str) -> None:
    script = f"for word in '' {pattern}''; do printf '%s\\0' \"$word\"; done"
    words = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.split(b"\0")
    assert sorted(expand_braces(pattern)) == sorted(map(os.fsdecode, words[1:-1]))


def test_braces_nested_too_deep_are_refused() -> None:
    assert len(expand_braces("{a," * 100 + "}" * 100)) == 101
    with pytest.raises(ValueError, match="more than 100 deep"):
        expand_braces("{a," * 101 + "}" * 101)


def test_brackets_protect_braces() -> None:
    assert expand_braces("[{]a,b}") == ["[{]a,b}"]
    assert sorted(expand_braces("{[,],b}")) == ["[,]", "b"]
    assert sorted(expand_braces("{[!]],b}")) == ["[!]]", "b"]
    assert expand_braces("{[a,b}") == ["[a", "b"]
    assert sorted(expand_braces("{a[/]b,c}")) == ["a[/]b", "c"]


def test_a_pattern_of_many_stars_does_not_explode(tmp_path: Path) -> None:
    (tmp_path / ("a" * 250)).write_text("")
    place = Engine(str(tmp_path))
    assert unpack(place.glob("*a" * 100 + "b", ".", raise_it)) == []
    assert place.count_files(".", "*a" * 100 + "*", raise_it) == 1
    assert list(place.find("**/" + "*a" * 100 + "b", ".", "f", None, False, raise_it)) == []


def test_memory_is_bounded_by_the_largest_folder(tmp_path: Path) -> None:
    for folder in range(30):
        (tmp_path / str(folder)).mkdir()
        for number in range(30):
            (tmp_path / str(folder) / str(number)).write_text("")
    batches = [unpack(blob) for blob in Engine(str(tmp_path)).find("*", ".", "f", None, False, raise_it)]
    assert len(batches) == 30
    assert max(map(len, batches)) == 30


def test_a_walk_descends_without_recursion(tmp_path: Path) -> None:
    depth = sys.getrecursionlimit() + 200
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        Path("f").write_text("x")
        os.chdir(here)
        place = Engine(str(tmp_path))
        assert place.count_files(".", "*", raise_it) == 1
        assert place.du(".", raise_it) == (1, 1)
        assert unpack(place.glob("**/f", ".", raise_it)) == ["d/" * depth + "f"]
        assert unpack(place.glob("*/" * depth + "f", ".", raise_it)) == ["d/" * depth + "f"]
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)  # shutil's removal is recursive


def test_what_is_removed_while_the_walk_is_under_way_is_left_out(tmp_path: Path) -> None:
    for folder in "abc":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "f").write_text("")
    place = ClusterFilesystem(ClusterConfig(local_work_dir=str(tmp_path)))
    with place.iterfind("*", on_error="raise") as stream:
        assert next(stream) == "a/f"
        shutil.rmtree(tmp_path / "b")
        assert list(stream) == ["c/f"]


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("")
    place = ClusterFilesystem(ClusterConfig(local_work_dir=str(tmp_path)))
    place.exists(".")
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        place.find("*"), place.du(), place.glob("**"), place.count_files(), place.ls()
        place.iterfind("*").close()
        next(place.iterfind("*"))
        with pytest.raises(OSError):
            place.put("/etc/hostname", "missing/x")
    assert set(os.listdir("/proc/self/fd")) == before


def test_each_folder_is_read_once(tmp_path: Path) -> None:
    """By the kernel's count: one `getdents64` that gives names and one that ends, for each folder."""
    for folder in range(20):
        (tmp_path / str(folder)).mkdir()
        (tmp_path / str(folder) / "f").write_text("")
    opened = []
    sys.addaudithook(lambda event, arguments: opened.append(arguments) if event == "os.scandir" else None)
    place = Engine(str(tmp_path))
    for call in (
        lambda: list(place.find("*", ".", "f", None, False, raise_it)),
        lambda: place.count_files(".", "*", raise_it),
        lambda: place.du(".", raise_it),
        lambda: place.glob("**/f", ".", raise_it),
        lambda: place.glob("**", ".", raise_it),
    ):
        opened.clear()
        call()
        assert len(opened) == 21
