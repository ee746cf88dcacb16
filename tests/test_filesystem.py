"""What the façade refuses, and what it says; the results themselves are the conformance suite's subject."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import clustrix
from clustrix import (
    BackendIncompatibleError,
    ClusterConfig,
    ClusterFilesystem,
    ConfigError,
    PartialResultWarning,
    Stream,
    UnsupportedOperationError,
    cluster_count_files,
    cluster_find,
    cluster_get,
    cluster_glob,
    cluster_ls,
    cluster_open,
    cluster_put,
    cluster_stat,
)
from fakedist import FakeSite


@pytest.fixture
def place(tmp_path: Path) -> ClusterFilesystem:
    return ClusterFilesystem(ClusterConfig(local_work_dir=str(tmp_path)))


PATH_CALLS = {
    "ls": lambda place, path: place.ls(path),
    "find": lambda place, path: place.find("*", path),
    "stat": lambda place, path: place.stat(path),
    "stat of many": lambda place, path: place.stat([".", path]),
    "exists": lambda place, path: place.exists(path),
    "isdir": lambda place, path: place.isdir(path),
    "isfile": lambda place, path: place.isfile(path),
    "glob": lambda place, path: place.glob("*", path),
    "du": lambda place, path: place.du(path),
    "count_files": lambda place, path: place.count_files(path),
    "readlink": lambda place, path: place.readlink(path),
    "open": lambda place, path: place.open(path),
    "get": lambda place, path: place.get(path, "/tmp/x"),
    "put": lambda place, path: place.put("/etc/hostname", path),
}


@pytest.mark.parametrize("call", PATH_CALLS.values(), ids=PATH_CALLS)
class TestPaths:
    def test_bytes_are_refused(self, place, call) -> None:
        with pytest.raises(TypeError, match="must be str, not bytes; os.fsdecode"):
            call(place, b"data")

    @pytest.mark.parametrize("wrong", [None, 3, 1.5, object()])
    def test_other_types_are_refused(self, place, call, wrong) -> None:
        with pytest.raises(TypeError, match=f"must be str or os.PathLike, not {type(wrong).__name__}"):
            call(place, wrong)

    def test_a_config_in_the_wrong_place_is_named(self, place, call) -> None:
        with pytest.raises(TypeError, match=r"not a ClusterConfig; pass it as config="):
            call(place, ClusterConfig())

    def test_a_nul_is_refused(self, place, call) -> None:
        with pytest.raises(ValueError, match="NUL byte"):
            call(place, "a\0b")

    def test_a_lone_surrogate_is_refused(self, place, call) -> None:
        with pytest.raises(ValueError, match="lone surrogate"):
            call(place, "\ud800")


@pytest.mark.parametrize("call", ["find", "iterfind", "glob"])
class TestPatterns:
    def test_an_empty_pattern_is_refused(self, place, call) -> None:
        with pytest.raises(ValueError, match=r"empty; '\*' matches every name"):
            getattr(place, call)("")

    @pytest.mark.parametrize("wrong", [None, b"*", 3, Path("x"), ClusterConfig()])
    def test_other_types_are_refused(self, place, call, wrong) -> None:
        with pytest.raises(TypeError, match="pattern must be a str"):
            getattr(place, call)(wrong)

    def test_a_nul_is_refused(self, place, call) -> None:
        with pytest.raises(ValueError, match="NUL byte"):
            getattr(place, call)("a\0b")


def test_an_empty_pattern_of_count_files_is_refused(place) -> None:
    with pytest.raises(ValueError, match="empty"):
        place.count_files(".", "")


@pytest.mark.parametrize("pattern", ["/a", "/", "..", "../a", "a/../b", "a/"])
@pytest.mark.parametrize("call", [cluster_find, lambda pattern: cluster_count_files(".", pattern)])
def test_find_says_what_is_wrong_with_a_path_pattern(pattern: str, call) -> None:
    with pytest.raises(ValueError, match=r"find's pattern can't"):
        call(pattern)


def test_too_many_braces_are_refused(place) -> None:
    assert place.glob("{a,b}" * 13) == []
    with pytest.raises(ValueError, match="more than 10000 patterns"):
        place.glob("{a,b}" * 14)


@pytest.mark.parametrize(
    "call",
    [
        lambda place, progress: place.find("*", progress=progress),
        lambda place, progress: place.iterfind("*", progress=progress),
        lambda place, progress: place.glob("*", progress=progress),
        lambda place, progress: place.du(progress=progress),
        lambda place, progress: place.count_files(progress=progress),
        lambda place, progress: place.get("a", "b", progress=progress),
        lambda place, progress: place.put("/etc/hostname", "b", progress=progress),
    ],
)
def test_progress_that_is_no_function_is_refused(place, call) -> None:
    with pytest.raises(TypeError, match="progress must be a function .* or None; not True"):
        call(place, True)


@pytest.mark.parametrize("wrong", [0, -1])
def test_a_depth_below_one_is_refused(place, wrong) -> None:
    with pytest.raises(ValueError, match="max_depth must be 1"):
        place.find("*", max_depth=wrong)


@pytest.mark.parametrize("wrong", ["1", 1.0, True])
def test_a_depth_that_is_no_number_is_refused(place, wrong) -> None:
    with pytest.raises(TypeError, match="max_depth must be an int or None"):
        place.find("*", max_depth=wrong)


@pytest.mark.parametrize(
    "call",
    [
        lambda place: place.find("*", type="x"),
        lambda place: place.find("*", on_error="ignore"),
        lambda place: place.glob("*", on_error="return"),
        lambda place: place.du(on_error=""),
        lambda place: place.count_files(on_error="no"),
        lambda place: place.stat(["."], on_error="warn"),
    ],
)
def test_unknown_choices_list_the_known_ones(place, call) -> None:
    with pytest.raises(ValueError, match=r"must be one of '"):
        call(place)


def test_pathlikes_are_paths_and_an_empty_path_is_here(place, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    assert place.ls(Path(".")) == place.ls("") == ["a"]
    assert place.find("*", Path("a")) == ["a"]
    assert [info.path for info in place.stat(iter([Path("a"), "a"]))] == ["a", "a"]


@pytest.mark.parametrize("wrong", ["local", {}, ClusterConfig])
def test_a_config_of_another_type_is_refused(wrong) -> None:
    with pytest.raises(TypeError, match="config must be a ClusterConfig or None"):
        cluster_ls(".", wrong)


def test_local_with_a_host_is_refused() -> None:
    with pytest.raises(ConfigError, match="set cluster_type to 'ssh' or 'slurm'"):
        cluster_ls(".", ClusterConfig(cluster_host="cluster.edu"))


def test_an_operation_that_a_backend_lacks_is_named(backends: FakeSite, tmp_path: Path) -> None:
    bare = ClusterConfig(cluster_type="bare")
    for name, call in {
        "readlink": lambda: clustrix.cluster_readlink("x", bare),
        "open": lambda: cluster_open("x", "r", bare),
        "get": lambda: cluster_get("x", tmp_path / "y", bare),
        "put": lambda: cluster_put("x", "y", bare),
    }.items():
        with pytest.raises(UnsupportedOperationError, match=f"'bare' does not implement {name}"):
            call()


def test_a_hook_that_returns_none_is_named(backends: FakeSite) -> None:
    with pytest.raises(
        BackendIncompatibleError, match="clustrix_ls of the backend 'forgetful' returned None"
    ):
        cluster_ls(".", ClusterConfig(cluster_type="forgetful"))


def test_a_find_that_is_no_stream_is_named(backends: FakeSite) -> None:
    with pytest.raises(BackendIncompatibleError, match="clustrix_find .* 'forgetful' returned a list"):
        cluster_find("*", ".", ClusterConfig(cluster_type="forgetful"))


def test_the_warning_stands_at_the_callers_line(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "closed").mkdir(mode=0)
    tmp_path.chmod(0o755)
    config = ClusterConfig(local_work_dir=str(tmp_path))
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    calls = [
        lambda: cluster_find("*", ".", config),
        lambda: list(ClusterFilesystem(config).iterfind("*")),
        lambda: cluster_glob("**", ".", config),
        lambda: clustrix.cluster_du(".", config),
        lambda: cluster_count_files(".", "*", config),
    ]
    os.seteuid(65534)
    try:
        for call in calls:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                call()
            assert [warning.category for warning in caught] == [PartialResultWarning]
            assert caught[0].filename == __file__
            assert "closed: Permission denied" in str(caught[0].message)
    finally:
        os.seteuid(0)


def test_a_stream_tells_its_end_once_with_count_and_error(place, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).write_text("")
    ends: list = []
    stream = place.iterfind("*")
    stream.on_end(ends.append)
    assert not ends
    assert len(stream.read()) == 5
    stream.close()
    assert [(end.count, end.error) for end in ends] == [(5, None)]
    failing = place.iterfind("*", "missing")
    failing.on_end(ends.append)
    with pytest.raises(FileNotFoundError):
        next(failing)
    assert isinstance(ends[1].error, FileNotFoundError)
    with place.iterfind("*") as early:
        early.on_end(ends.append)
        next(early)
    assert ends[2].error is None
    assert list(early) == []


@pytest.mark.parametrize("mode", ["", "rw", "w+", "a+", "x+", "z", "br+b", "U"])
def test_other_modes_are_refused(place, mode: str) -> None:
    with pytest.raises(ValueError, match="mode must be one of r, w, x, a, r"):
        place.open("f", mode)


def test_binary_files_take_no_encoding(place, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(ValueError, match="binary file takes no encoding"):
        place.open("f", "rb", encoding="utf-8")
    with place.open("f", "rb") as file:
        assert isinstance(file, io.BufferedReader)


IMPORTS = """
import sys
before = set(sys.modules)
import {module}
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""


@pytest.mark.parametrize("module", ["clustrix", "clustrix_core"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = IMPORTS.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pydantic", "pydantic_core", "pluggy", "yaml", "click", "clustrix_local", "typing", "hypothesis"}
    assert not heavy & set(done.stdout.split()), done.stdout


COLLECTIONS = """
import gc
collections = []
gc.callbacks.append(lambda phase, info: phase == "start" and collections.append(info))
from clustrix import ClusterConfig
print(len(collections) <= 1, gc.isenabled())  # the one that was due when it was over
"""


@pytest.mark.parametrize("enabled", [True, False])
def test_importing_looks_for_no_garbage_and_leaves_the_collector_as_it_was(enabled: bool) -> None:
    code = COLLECTIONS if enabled else "import gc; gc.disable()\n" + COLLECTIONS
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", str(enabled)]


FIRST_CALL = """
import sys
import importlib.metadata, pluggy, pydantic
class Model(pydantic.BaseModel):
    field: pydantic.SecretStr | None = None
before = set(sys.modules)
from clustrix import ClusterConfig, cluster_ls
cluster_ls(".", ClusterConfig())
print(*sorted(set(sys.modules) - before))
"""


def test_first_local_call_loads_only_what_it_needs() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_CALL], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    ours = {
        name for name in loaded if name.partition(".")[0] in {"clustrix", "clustrix_core", "clustrix_local"}
    }
    needless = (
        "cli",
        "configfile",
        "doctor",
        "extensions",
        "files",
        "models",
        "profiles",
        "remote",
        "testing",
    )
    assert not ours & {f"clustrix_core.{module}" for module in needless}
    small = {"atexit", "binascii", "contextlib", "errno", "gc", "stat", "threading", "weakref"}
    assert loaded - ours <= small


def test_every_public_name_is_there_in_both_packages() -> None:
    import clustrix_core

    assert clustrix.__all__ == clustrix_core.__all__
    for name in clustrix.__all__:
        assert getattr(clustrix, name) is getattr(clustrix_core, name)
    assert set(clustrix.__all__) <= set(dir(clustrix))
    with pytest.raises(AttributeError, match="no attribute 'cluster_lss'"):
        clustrix.cluster_lss  # noqa: B018


def test_stat_takes_a_thousand_paths_in_order(place, tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / str(number)).write_text("x" * number)
    assert [info.size for info in place.stat([str(number) for number in range(1000)])] == list(range(1000))
    assert cluster_stat([], place.config) == []


def test_the_warning_can_be_pickled() -> None:
    warning = pickle.loads(
        pickle.dumps(PartialResultWarning([PermissionError(13, "Permission denied", "d")]))
    )
    assert warning.failures[0].filename == "d"
    assert "1 place could not be read (d: Permission denied)" in str(warning)


def test_batches_keep_their_stream_alive(place, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text("")
    assert [name for batch in place.iterfind("*").batches() for name in batch] == ["a", "b", "c"]
    stream = Stream(batch for batch in place.iterfind("*").batches())
    assert stream.read() == ["a", "b", "c"]
    ends: list = []
    stream = place.iterfind("*")
    stream.on_end(ends.append)
    next(stream.batches())
    del stream
    assert len(ends) == 1


def test_a_work_dir_need_not_be_readable(tmp_path: Path) -> None:
    (tmp_path / "w" / "sub").mkdir(parents=True)
    (tmp_path / "w" / "sub" / "f").write_text("")
    (tmp_path / "w").chmod(0o711)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o755)
    os.seteuid(65534)
    try:
        assert cluster_ls("sub", ClusterConfig(local_work_dir=str(tmp_path / "w"))) == ["f"]
    finally:
        os.seteuid(0)


def test_an_absolute_target_needs_no_current_folder(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("x")
    (tmp_path / "gone").mkdir()
    script = "import os, sys; from clustrix import ClusterConfig, cluster_get\n"
    script += "os.rmdir(os.getcwd()); print(cluster_get(sys.argv[1], sys.argv[2], ClusterConfig()))"
    command = [sys.executable, "-c", script, str(tmp_path / "source"), str(tmp_path / "copy")]
    done = subprocess.run(command, cwd=tmp_path / "gone", capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_missing_work_dir_is_told_by_every_operation(tmp_path: Path) -> None:
    config = ClusterConfig(local_work_dir=str(tmp_path / "missing"))
    for call in (clustrix.cluster_exists, cluster_ls, cluster_stat):
        with pytest.raises(
            ConfigError, match="local_work_dir '.*missing': there is no such directory; make it"
        ):
            call("x", config)
