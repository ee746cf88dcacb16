"""What can't be read, what is too long, what is no path at all: nothing becomes an empty result."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EACCES, ENAMETOOLONG

import pytest

from clustrix_core.errors import PartialResultWarning
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.testing.place import Place
from clustrix_core.testing.suite.base import SuiteBase, below_root, expect, raises, refuses

READABLE = ["locked/a.csv", "locked/open/plain.csv", "locked/private.csv", "locked/z.csv"]
UNREADABLE = ["locked/enter-only", "locked/secret"]
READABLE_BYTES = sum(len(path.removeprefix("locked/")) for path in READABLE)

Operation = Callable[[ClusterFilesystem], object]
RECURSIONS: dict[str, Callable[..., object]] = {
    "find": lambda fs, **options: fs.find("*", "locked", **options),
    "find in detail": lambda fs, **options: fs.find("*", "locked", detail=True, **options),
    "find of folders": lambda fs, **options: fs.find("*", "locked", type="d", **options),
    "find of paths": lambda fs, **options: fs.find("**/*.csv", "locked", **options),
    "find that follows": lambda fs, **options: fs.find("*", "locked", follow_symlinks=True, **options),
    "iterfind": lambda fs, **options: list(fs.iterfind("*", "locked", **options)),
    "du": lambda fs, **options: fs.du("locked", **options),
    "count_files": lambda fs, **options: fs.count_files("locked", **options),
    "glob with *": lambda fs, **options: fs.glob("*/*", "locked", **options),
    "glob with **": lambda fs, **options: fs.glob("**", "locked", **options),
}
DENIED: dict[str, tuple[str, Operation]] = {
    "ls": ("locked/secret", lambda fs: fs.ls("locked/secret")),
    "ls in detail": ("locked/secret", lambda fs: fs.ls("locked/secret", detail=True)),
    "ls of what can only be entered": ("locked/enter-only", lambda fs: fs.ls("locked/enter-only")),
    "find": ("locked/secret", lambda fs: fs.find("*", "locked/secret")),
    "find in detail": ("locked/secret", lambda fs: fs.find("*", "locked/secret", detail=True)),
    "find that follows": ("locked/secret", lambda fs: fs.find("*", "locked/secret", follow_symlinks=True)),
    "du": ("locked/secret", lambda fs: fs.du("locked/secret")),
    "count_files": ("locked/secret", lambda fs: fs.count_files("locked/secret")),
    "stat": ("locked/secret/known.csv", lambda fs: fs.stat("locked/secret/known.csv")),
    "stat of the link": (
        "locked/secret/known.csv",
        lambda fs: fs.stat("locked/secret/known.csv", follow_symlinks=False),
    ),
    "exists": ("locked/secret/known.csv", lambda fs: fs.exists("locked/secret/known.csv")),
    "exists of what isn't there": ("locked/secret/missing", lambda fs: fs.exists("locked/secret/missing")),
    "isdir": ("locked/secret/sub", lambda fs: fs.isdir("locked/secret/sub")),
    "isfile": ("locked/secret/known.csv", lambda fs: fs.isfile("locked/secret/known.csv")),
    "stat in a folder that can only be listed": (
        "half/list-only/seen.csv",
        lambda fs: fs.stat("half/list-only/seen.csv"),
    ),
}


class ErrorTests(SuiteBase):
    @pytest.mark.parametrize("name", RECURSIONS)
    def test_recursions_tell_once_what_they_left_out(
        self, fs: ClusterFilesystem, place: Place, locked: None, name: str
    ) -> None:
        with as_stranger(place) as stranger, partial() as failures:
            RECURSIONS[name](stranger)
        expect(
            sorted(below_root(place, one.filename) for one in failures),
            UNREADABLE,
            f"{name} lists what it left out",
        )
        expect({one.errno for one in failures}, {EACCES}, f"{name} tells why")

    @pytest.mark.parametrize("name", RECURSIONS)
    def test_recursions_raise_if_asked(
        self, fs: ClusterFilesystem, place: Place, locked: None, name: str
    ) -> None:
        promise = f"{name} with on_error='raise' raises what it can't read"
        with as_stranger(place) as stranger, refuses(place, EACCES, promise):
            RECURSIONS[name](stranger, on_error="raise")

    def test_recursions_give_all_that_can_be_read(
        self, fs: ClusterFilesystem, place: Place, locked: None
    ) -> None:
        with as_stranger(place) as stranger, warnings.catch_warnings():
            warnings.simplefilter("ignore", PartialResultWarning)
            expect(stranger.find("*", "locked"), READABLE, "find gives all the rest")
            told = ["locked/enter-only", "locked/open", "locked/secret"]
            expect(stranger.find("*", "locked", type="d"), told, "folders that can't be read are still given")
            expect(
                [info.path for info in stranger.find("*", "locked", detail=True)], READABLE, "also in detail"
            )
            usage = stranger.du("locked")
            expect(usage.total_bytes, READABLE_BYTES, "du adds up all the rest")
            expect(usage.file_count, len(READABLE), "du counts all the rest")
            expect(stranger.count_files("locked"), len(READABLE), "count_files counts all the rest")
            expect(stranger.glob("*/*.csv", "locked"), ["locked/open/plain.csv"], "glob gives all the rest")

    def test_the_same_calls_are_complete_for_who_may_read(
        self, fs: ClusterFilesystem, place: Place, locked: None
    ) -> None:
        with as_stranger(place) as stranger, partial():
            fewer = stranger.count_files("locked")
        expect(fewer, len(READABLE), "an ordinary user sees less")
        expect(fs.exists("locked/open/plain.csv"), True, "the first user's rights are as before")

    def test_a_folder_that_can_only_be_listed_is_not_dropped_in_silence(
        self, fs: ClusterFilesystem, place: Place, locked: None
    ) -> None:
        with as_stranger(place) as stranger:
            with partial() as failures:
                found = stranger.find("*", "half")
            reported = {below_root(place, one.filename) for one in failures}
            with partial() as unsized:
                usage = stranger.du("half")
            with partial():
                count = stranger.count_files("half")
        seen = "half/list-only/seen.csv"
        elsewhere = [path for path in reported if not path.startswith("half/list-only")]
        expect(elsewhere, [], "find tells what it could not enter, and nothing else")
        told = seen in found or seen in reported or "half/list-only" in reported
        expect(told, True, "a file that was seen is given, or reported")
        rest = [path for path in found if path != seen]
        expect(rest, ["half/plain.csv"], "find gives all the rest, and invents nothing")
        expect(bool(unsized), True, "du tells which sizes it could not get")
        expect(usage.total_bytes, len("plain"), "du adds up what it can")
        expect(
            (count, usage.file_count),
            (len(found), len(found)),
            "count_files and du count what find gives, also where sizes are unknown",
        )

    @pytest.mark.parametrize("name", DENIED)
    def test_what_may_not_be_read_raises(
        self, fs: ClusterFilesystem, place: Place, locked: None, name: str
    ) -> None:
        path, operation = DENIED[name]
        promise = f"{name} raises PermissionError, it doesn't say no or nothing"
        with as_stranger(place) as stranger, refuses(place, EACCES, promise, path):
            operation(stranger)

    def test_glob_in_a_folder_that_may_not_be_read_is_not_silent(
        self, fs: ClusterFilesystem, place: Place, locked: None
    ) -> None:
        with as_stranger(place) as stranger:
            for pattern, path in (
                ("*", "locked/secret"),
                ("**", "locked/secret"),
                ("secret/*", "locked"),
                ("secret/known.csv", "locked"),
            ):
                with refuses(place, EACCES, f"glob({pattern!r}, {path!r}, on_error='raise') raises"):
                    stranger.glob(pattern, path, on_error="raise")
            for pattern in ("secret/*", "secret/known.csv", "*/known.c[s]v"):
                with partial():
                    stranger.glob(pattern, "locked")

    def test_what_is_known_by_name_works_in_a_folder_that_can_only_be_entered(
        self, fs: ClusterFilesystem, place: Place, locked: None
    ) -> None:
        with as_stranger(place) as stranger:
            path = "locked/enter-only/known.csv"
            expect(stranger.isfile(path), True, "a known name works in a folder that can't be listed")
            expect(
                stranger.glob("enter-only/known.csv", "locked"), [path], "glob doesn't list for a plain name"
            )
            expect(stranger.stat("locked/secret").is_dir, True, "an unreadable folder can be told of")
            expect(
                stranger.stat("locked/private.csv").size, len("private.csv"), "an unreadable file has a size"
            )

    def test_stat_of_many_returns_what_may_not_be_read(
        self, fs: ClusterFilesystem, place: Place, locked: None
    ) -> None:
        with as_stranger(place) as stranger:
            found = stranger.stat(["locked/a.csv", "locked/secret/known.csv"], on_error="return")
        expect(type(found[1]), PermissionError, "stat returns why the second of two paths can't be read")

    def test_recursions_report_what_is_beyond_path_max(
        self, fs: ClusterFilesystem, place: Place, beyond: dict[str, str]
    ) -> None:
        told = ["beyond/first.csv", beyond["reached"] + "/reached.csv", "beyond/zlast.csv"]
        if not place.has("long_paths"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PartialResultWarning)
                expect(fs.find("*", "beyond"), told, "find goes as far as paths can be")
            return
        with partial() as failures:
            expect(fs.find("*", "beyond"), told, "find goes as far as paths can be")
        expect(
            [below_root(place, one.filename) for one in failures],
            [beyond["lost"]],
            "find lists what is beyond",
        )
        if place.has("fine_errno"):
            expect(failures[0].errno, ENAMETOOLONG, "find tells why")
        with partial():
            expect(fs.count_files("beyond"), 3, "count_files goes as far as paths can be")
        with partial():
            expect(fs.du("beyond").total_bytes, len("firstreachedlast"), "du goes as far as paths can be")
        with partial():
            expect(fs.glob("**/*.csv", "beyond"), told, "glob goes as far as paths can be")
        with refuses(place, ENAMETOOLONG, "on_error='raise' raises what is beyond"):
            fs.find("*", "beyond", on_error="raise")

    def test_a_partial_result_warning_says_what_and_what_to_do(
        self, fs: ClusterFilesystem, place: Place, locked: None
    ) -> None:
        with as_stranger(place) as stranger, pytest.warns(PartialResultWarning) as caught:
            stranger.find("*", "locked")
        said = str(caught[0].message)
        expect("secret" in said, True, f"the warning names what was left out: {said}")
        expect("on_error" in said, True, f"the warning says what to do: {said}")

    def test_a_nul_is_a_value_error(self, fs: ClusterFilesystem, place: Place) -> None:
        operations: list[Callable[[str], object]] = [
            fs.ls,
            fs.stat,
            fs.exists,
            fs.isdir,
            fs.isfile,
            fs.du,
            fs.count_files,
        ]
        operations += [
            lambda path: fs.find("*", path),
            lambda path: fs.glob("*", path),
            lambda path: fs.stat([path]),
        ]
        for operation in operations:
            with raises(ValueError, "a path with a NUL in it is refused", saying="NUL"):
                operation("a\0b")

    def test_paths_may_be_os_path_like(self, fs: ClusterFilesystem) -> None:
        class Folder(os.PathLike[str]):
            def __fspath__(self) -> str:
                return "project"

        expect(fs.ls(Folder()), fs.ls("project"), "a path may be any os.PathLike")


@contextmanager
def as_stranger(place: Place) -> Iterator[ClusterFilesystem]:
    """The same place as an ordinary user sees it."""
    with place.unprivileged() as config, ClusterFilesystem(config) as fs:
        yield fs


@contextmanager
def partial() -> Iterator[list[OSError]]:
    """Expect exactly one `PartialResultWarning`; gives its failures, once it is over."""
    failures: list[OSError] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield failures
    said = [one.message for one in caught if isinstance(one.message, PartialResultWarning)]
    for one in caught:
        if one.message not in said:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    promise = "a recursion that leaves something out says so in one PartialResultWarning, which lists it all"
    expect(len(said), 1, promise)
    failures += said[0].failures
