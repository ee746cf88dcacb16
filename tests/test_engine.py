"""What the conformance suite can't see of the engine: its independence, limits, trees that change."""

from __future__ import annotations

import ast
import fnmatch
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


def by_components(pattern: list[str], path: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(by_components(pattern[1:], path[start:]) for start in range(len(path) + 1))
    return bool(path) and fnmatch.fnmatchcase(path[0], pattern[0]) and by_components(pattern[1:], path[1:])


@settings(max_examples=2000, deadline=None)
@given(
    st.lists(st.sampled_from(["**", "**", "*", "a", "b", "a*", "*b*", "?", "[ab]"]), min_size=2, max_size=6),
    st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=6),
)
@example(["*", "**", "*"], ["a"])
@example(["a", "**"], ["a"])
@example(["**", "a", "**"], ["b", "a"])
def test_path_patterns_match_component_by_component(pattern: list[str], path: list[str]) -> None:
    match, depth = engine.path_filter("/".join(pattern))
    assert bool(match("/".join(path))) == by_components(pattern, path)
    assert depth is None or len(path) == depth or not by_components(pattern, path)


def test_a_home_folder_that_is_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/")
    place = Engine(str(tmp_path))
    assert unpack(place.ls("~")) == sorted(os.listdir("/"), key=os.fsencode)
    assert [record[0] for record in place.ls_detail("~")] == ["/" + name for name in unpack(place.ls("~"))]
    assert "/etc" in unpack(b"\0".join(place.find("*", "~", "d", 1, False, raise_it)))
    assert unpack(place.glob("~/etc", ".", raise_it)) == ["/etc"]
    assert unpack(place.glob("~", ".", raise_it)) == ["/"]
    assert place.stat("~/etc", True)[0] == "/etc"


def test_a_home_folder_with_magic_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "a[1]*"
    home.mkdir()
    (home / "f").write_text("")
    monkeypatch.setenv("HOME", str(home))
    assert unpack(Engine().glob("~/*", ".", raise_it)) == [f"{home}/f"]
    assert unpack(Engine().glob("~/", ".", raise_it)) == [f"{home}/"]
    assert unpack(Engine().glob("~/missing", ".", raise_it)) == []


def test_a_file_that_cannot_be_looked_at_is_counted_all_the_same(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o755)
    (tmp_path / "listed").mkdir()
    (tmp_path / "listed" / "f").write_text("x")
    (tmp_path / "listed").chmod(0o444)
    place = Engine(str(tmp_path))
    failures: list = []
    os.seteuid(65534)
    try:
        assert place.du(".", failures.append) == (0, 1)
        assert place.count_files(".", "*", raise_it) == 1
    finally:
        os.seteuid(0)
    assert [(failure.errno, failure.filename) for failure in failures] == [(13, "listed/f")]


class FailingScan:
    """A directory whose reading breaks off, as on a failing disk."""

    def __init__(self, place: object) -> None:
        self.place = place

    def __enter__(self) -> FailingScan:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def __iter__(self) -> FailingScan:
        return self

    def __next__(self) -> None:
        raise OSError(5, "Input/output error", self.place)


def test_a_directory_that_fails_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "f").write_text("x")
    real_scandir = os.scandir
    bad = (tmp_path / "bad").stat().st_ino

    def scandir(place: object) -> object:
        return FailingScan(place) if os.stat(place).st_ino == bad else real_scandir(place)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", scandir)
    place = Engine(str(tmp_path))
    for walk in (
        lambda root, fail: list(place.find("*", root, "f", None, False, fail)),
        lambda root, fail: place.count_files(root, "*", fail),
        lambda root, fail: place.du(root, fail),
    ):
        failures: list = []
        walk(".", failures.append)
        assert [(failure.errno, failure.filename) for failure in failures] == [(5, "bad")]
        with pytest.raises(OSError, match="Input/output") as raised:
            walk("bad", failures.append)
        assert raised.value.filename == "bad"


def test_a_copy_that_was_kept_is_found_again_by_its_key_alone(tmp_path: Path) -> None:
    here = Engine(str(tmp_path))
    with here.open("f", "wb", 0o644, "key") as file:
        file.write_all(b"half")
        file.keep()
    assert os.listdir(tmp_path) == [".clustrix-key.tmp"]
    with here.open("f", "wb", 0o644, "another") as file:
        assert file.status().st_size == 0
    with here.open("f", "wb", 0o644, "key") as file, here.open("f", "wb", 0o644, "key") as second:
        assert file.status().st_size == 4
        assert second.status().st_size == 0  # the first is at it
        file.seek(4)
        file.write_all(b" and half")
        file.commit()
    assert os.listdir(tmp_path) == ["f"]
    assert (tmp_path / "f").read_bytes() == b"half and half"
    assert (tmp_path / "f").stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("trap", ["link", "hard link", "folder"])
def test_what_somebody_put_in_place_of_a_kept_copy_is_not_touched(tmp_path: Path, trap: str) -> None:
    victim, kept = tmp_path / "victim", tmp_path / ".clustrix-key.tmp"
    victim.write_text("precious")
    if trap == "link":
        kept.symlink_to(victim)
    elif trap == "hard link":
        kept.hardlink_to(victim)
    else:
        kept.mkdir()
    with Engine(str(tmp_path)).open("f", "wb", 0o644, "key") as file:
        file.write_all(b"new")
        file.commit()
    assert (tmp_path / "f").read_bytes() == b"new"
    assert victim.read_text() == "precious"
