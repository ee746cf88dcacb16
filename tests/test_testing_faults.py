"""The conformance suite catches faults: each faulty backend fails the test of the promise that it breaks."""

from __future__ import annotations

import fnmatch
import io
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import DiskUsage, FileInfo, Stream, hookimpl
from clustrix_core.testing import CAPABILITIES
from clustrix_local import LocalBackend

Infos = list[FileInfo | OSError]


class Faulty(LocalBackend):
    """What the faults share: the work dir."""

    missing: Iterable[str] = ()

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.root = config.local_work_dir

    def real(self, path: str) -> str:
        return os.path.join(self.root, os.path.expanduser(path))

    def sized_files(self, path: str) -> list[Any]:
        """The regular files of which a status can be had; those without are left out in silence."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return LocalBackend.clustrix_find(self, "*", path, True, "f", None, False, "warn", None).read()


class Unsorted(Faulty):
    @hookimpl
    def clustrix_ls(self, path: str, detail: bool) -> Any:
        return super().clustrix_ls(path, detail)[::-1]


class SortsByCharacters(Faulty):
    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        found = super().clustrix_find(
            pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress
        )
        return found if detail else Stream([sorted(found.read())])


class GivesAbsolutePaths(Faulty):
    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        path = self.real(path)
        return super().clustrix_find(
            pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress
        )


class FollowsLinks(Faulty):
    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        return super().clustrix_find(pattern, path, detail, type, max_depth, True, on_error, progress)


class LosesDotfiles(Faulty):
    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        found = super().clustrix_find(
            pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress
        )
        return found if detail else Stream([[one for one in found if "/." not in one]])


class IgnoresCase(Faulty):
    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        found = super().clustrix_find("*", path, detail, type, max_depth, follow_symlinks, on_error, progress)
        pattern = f"*/{pattern.lower()}"
        return Stream([[one for one in found if fnmatch.fnmatchcase(one.lower(), pattern)]])


class AltersFind(Faulty):
    """What faults of single options share."""

    def altered(self, options: dict[str, Any]) -> dict[str, Any]:
        return options

    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        options = {"pattern": pattern, "detail": detail, "max_depth": max_depth}
        options |= {"follow_symlinks": follow_symlinks}
        return super().clustrix_find(
            path=path, type=type, on_error=on_error, progress=progress, **self.altered(options)
        )


class IgnoresThePatternInDetail(AltersFind):
    def altered(self, options: dict[str, Any]) -> dict[str, Any]:
        return options | {"pattern": "*"} if options["detail"] else options


class IgnoresTheDepthInDetail(AltersFind):
    def altered(self, options: dict[str, Any]) -> dict[str, Any]:
        return options | {"max_depth": None} if options["detail"] else options


class MatchesNamesInDetail(AltersFind):
    def altered(self, options: dict[str, Any]) -> dict[str, Any]:
        name = options["pattern"].rpartition("/")[2]
        return options | {"pattern": name} if options["detail"] else options


class IgnoresTheDepthOfLinks(AltersFind):
    def altered(self, options: dict[str, Any]) -> dict[str, Any]:
        return options | {"max_depth": None} if options["follow_symlinks"] else options


class LosesStars(AltersFind):
    def altered(self, options: dict[str, Any]) -> dict[str, Any]:
        return options | {"pattern": options["pattern"].replace("*/**/", "**/")}


class StopsAtTheUnreadable(Faulty):
    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        found = super().clustrix_find(
            pattern, path, detail, type, max_depth, follow_symlinks, "raise", progress
        )
        return Stream(self.until_it_fails(found))

    def until_it_fails(self, found: Stream[Any]) -> Iterator[list[Any]]:
        try:
            yield from found.batches()
        except PermissionError:
            return


class DropsOnError(Faulty):
    @hookimpl
    def clustrix_count_files(self, path, pattern, on_error, progress):
        return super().clustrix_count_files(path, pattern, "warn", progress)


class IsSilentlyPartial(Faulty):
    @hookimpl
    def clustrix_du(self, path, on_error, progress):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return super().clustrix_du(path, on_error, progress)


class SwallowsErrors(Faulty):
    @hookimpl
    def clustrix_ls(self, path: str, detail: bool) -> Any:
        try:
            return super().clustrix_ls(path, detail)
        except OSError:
            return []


class SplitsNamesAtNewlines(Faulty):
    @hookimpl
    def clustrix_ls(self, path: str, detail: bool) -> Any:
        names = super().clustrix_ls(path, detail)
        return names if detail else "\n".join(names).split("\n") if names else []


class ReplacesBytes(Faulty):
    @hookimpl
    def clustrix_ls(self, path: str, detail: bool) -> Any:
        names = super().clustrix_ls(path, detail)
        return names if detail else [os.fsencode(name).decode("utf-8", "replace") for name in names]


class CountsHardLinksTwice(Faulty):
    @hookimpl
    def clustrix_du(self, path, on_error, progress):
        sizes = [
            info.size for info in super().clustrix_find("*", path, True, "f", None, False, on_error, progress)
        ]
        return DiskUsage(sum(sizes), len(sizes))


class CountsOnlyKnownSizes(Faulty):
    @hookimpl
    def clustrix_du(self, path, on_error, progress):
        usage = super().clustrix_du(path, on_error, progress)
        return replace(usage, file_count=len(self.sized_files(path)))


class FollowsInStat(Faulty):
    @hookimpl
    def clustrix_stat(self, paths: list[str], follow_symlinks: bool, on_error: Any) -> Infos:
        return super().clustrix_stat(paths, True, on_error)


class FollowsWhereItReturnsErrors(Faulty):
    @hookimpl
    def clustrix_stat(self, paths: list[str], follow_symlinks: bool, on_error: Any) -> Infos:
        return super().clustrix_stat(paths, follow_symlinks or on_error == "return", on_error)


class SortsStat(Faulty):
    @hookimpl
    def clustrix_stat(self, paths: list[str], follow_symlinks: bool, on_error: Any) -> Infos:
        return super().clustrix_stat(sorted(paths), follow_symlinks, on_error)


class CutsSizes(Faulty):
    @hookimpl
    def clustrix_stat(self, paths: list[str], follow_symlinks: bool, on_error: Any) -> Infos:
        found = super().clustrix_stat(paths, follow_symlinks, on_error)
        return [
            one if isinstance(one, OSError) else replace(one, size=one.size & 0xFFFFFFFF) for one in found
        ]


class LosesFractions(Faulty):
    @hookimpl
    def clustrix_stat(self, paths: list[str], follow_symlinks: bool, on_error: Any) -> Infos:
        found = super().clustrix_stat(paths, follow_symlinks, on_error)
        whole = 10**9
        return [
            one if isinstance(one, OSError) else replace(one, mtime_ns=one.mtime_ns // whole * whole)
            for one in found
        ]


class DeniesWhatItMayNotSee(Faulty):
    @hookimpl
    def clustrix_exists(self, path: str) -> bool:
        return os.path.exists(self.real(path))


class ShowsHidden(Faulty):
    @hookimpl
    def clustrix_glob(self, pattern, path, on_error, progress):
        found = super().clustrix_glob(pattern, path, on_error, progress)
        hidden = super().clustrix_glob(".*", path, on_error, progress) if pattern == "*" else []
        return sorted(found + hidden, key=os.fsencode)


class GlobsThroughLinks(Faulty):
    @hookimpl
    def clustrix_glob(self, pattern, path, on_error, progress):
        return self.clustrix_find(pattern, path, False, "f", None, True, on_error, progress).read()


class WritesInPlace(Faulty):
    @hookimpl
    def clustrix_open(self, path: str, mode: str) -> io.RawIOBase:
        return io.FileIO(self.real(path), mode)


class PublishesHalfFiles(Faulty):
    @hookimpl
    def clustrix_open(self, path: str, mode: str) -> io.RawIOBase:
        file: Any = super().clustrix_open(path, mode)

        def publish() -> None:
            del file.discard
            file.commit()

        if mode == "wb":
            file.discard = publish
        return file


class GetsPrivateFiles(Faulty):
    @hookimpl
    def clustrix_get(self, path: str, target: str, progress: Any) -> int:
        size = super().clustrix_get(path, target, progress)
        os.chmod(target, 0o600)
        return size


class PutsPrivateFiles(Faulty):
    @hookimpl
    def clustrix_put(self, source: str, path: str, progress: Any) -> int:
        size = super().clustrix_put(source, path, progress)
        os.chmod(self.real(path), 0o600)
        return size


class ForgetsProgressOfGlob(Faulty):
    @hookimpl
    def clustrix_glob(self, pattern, path, on_error, progress):
        return super().clustrix_glob(pattern, path, on_error, None)


class ForgetsProgress(Faulty):
    @hookimpl
    def clustrix_du(self, path, on_error, progress):
        return super().clustrix_du(path, on_error, None)


class RunsAShell(Faulty):
    @hookimpl
    def clustrix_count_files(self, path, pattern, on_error, progress):
        subprocess.run(f"find {path} -name {pattern}", shell=True, capture_output=True)
        return super().clustrix_count_files(path, pattern, on_error, progress)


class SharesStateBetweenThreads(Faulty):
    @hookimpl
    def clustrix_ls(self, path: str, detail: bool) -> Any:
        self.path = path
        time.sleep(0.001)
        return super().clustrix_ls(self.path, detail)

    @hookimpl
    def clustrix_glob(self, pattern, path, on_error, progress):
        self.path = path
        return super().clustrix_glob(pattern, path, on_error, progress)


class Limited(Faulty):
    """Lacks every capability, as its place declares."""

    missing = CAPABILITIES

    clustrix_open = clustrix_get = clustrix_put = clustrix_readlink = None  # type: ignore[assignment]

    @hookimpl
    def clustrix_ls(self, path: str, detail: bool) -> Any:
        found = self.roughly(super().clustrix_ls, path, detail)
        return [self.less(info) for info in found] if detail else found

    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        arguments = (pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress)
        found = super().clustrix_find(*arguments)
        return Stream([self.less(info) for info in batch] for batch in found.batches()) if detail else found

    @hookimpl
    def clustrix_stat(self, paths: list[str], follow_symlinks: bool, on_error: Any) -> Infos:
        found = self.roughly(super().clustrix_stat, paths, follow_symlinks, on_error)
        return [one if isinstance(one, OSError) else self.less(one) for one in found]

    @hookimpl
    def clustrix_du(self, path, on_error, progress):
        warnings.warn("hard links are counted once for each name", stacklevel=2)
        usage = super().clustrix_du(path, on_error, progress)
        return replace(usage, total_bytes=sum(info.size for info in self.sized_files(path)))

    def roughly(self, operation: Any, *arguments: Any) -> Any:
        try:
            return operation(*arguments)
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:
            raise OSError(error.errno and 5, "Failure", error.filename) from None

    def less(self, info: FileInfo) -> FileInfo:
        seconds = max(info.mtime_ns // 10**9, 0)
        return replace(info, nlink=None, mtime_ns=seconds * 10**9, modified=float(seconds))


class InventsLinkCounts(Limited):
    def less(self, info: FileInfo) -> FileInfo:
        return replace(super().less(info), nlink=1)


CAUGHT_BY = {
    Unsorted: "test_ls_gives_all_names_in_byte_order[order]",
    SortsByCharacters: "test_find_sorts_whole_paths_by_bytes[f]",
    GivesAbsolutePaths: "test_find_spells_results_from_the_given_path[project]",
    FollowsLinks: "test_find_neither_enters_links_nor_gives_them_as_files",
    LosesDotfiles: "test_find_gives_dotfiles_and_goes_into_dot_folders",
    IgnoresThePatternInDetail: "test_find_keeps_all_its_options_together[as they are-f]",
    IgnoresTheDepthInDetail: "test_find_keeps_all_its_options_together[as they are-d]",
    MatchesNamesInDetail: "test_find_keeps_all_its_options_together[as they are-l]",
    IgnoresTheDepthOfLinks: "test_find_keeps_all_its_options_together[followed-f]",
    LosesStars: "test_find_matches_paths_by_the_rules[f]",
    IgnoresCase: "test_find_keeps_a_rule_of_matching[a.csv-names1-case matters]",
    StopsAtTheUnreadable: "test_recursions_give_all_that_can_be_read",
    DropsOnError: "test_recursions_raise_if_asked[count_files]",
    IsSilentlyPartial: "test_recursions_tell_once_what_they_left_out[du]",
    SwallowsErrors: "test_ls_of_what_is_no_folder_raises[missing-2]",
    SplitsNamesAtNewlines: "test_ls_gives_all_names_in_byte_order[odd/files]",
    ReplacesBytes: "test_ls_names_lead_back_into_ls",
    CountsHardLinksTwice: "test_du_counts_hard_links_once",
    CountsOnlyKnownSizes: "test_a_folder_that_can_only_be_listed_is_not_dropped_in_silence",
    FollowsInStat: "test_stat_follows_links_unless_told_otherwise",
    FollowsWhereItReturnsErrors: "test_stat_follows_links_unless_told_otherwise",
    SortsStat: "test_stat_of_many_keeps_order_and_copies",
    CutsSizes: "test_stat_knows_sizes_over_4_gib",
    LosesFractions: "test_stat_knows_times_to_the_nanosecond_and_before_1970[fraction-1600000000123456789]",
    DeniesWhatItMayNotSee: "test_what_may_not_be_read_raises[exists]",
    ShowsHidden: "test_glob_hides_dotfiles",
    GlobsThroughLinks: "test_glob_stars_do_not_pass_through_links",
    WritesInPlace: "test_open_w_shows_no_half_file",
    PublishesHalfFiles: "test_open_w_left_by_an_exception_changes_nothing[wb-old]",
    GetsPrivateFiles: "test_put_and_get_give_a_new_file_the_mode_of_the_source[511]",
    PutsPrivateFiles: "test_put_and_get_give_a_new_file_the_mode_of_the_source[511]",
    InventsLinkCounts: "test_stat_tells_what_os_stat_tells",
    ForgetsProgressOfGlob: "test_glob_reports_progress",
    ForgetsProgress: "test_du_and_count_files_report_progress",
    RunsAShell: "test_commands_in_paths_and_patterns_are_not_run",
    SharesStateBetweenThreads: "test_sixteen_threads_get_right_answers",
}


SUITES = """
from dataclasses import replace

import pytest
from clustrix_core import ClusterConfig
from clustrix_core.testing import CAPABILITIES, BackendSuite, local_place
from clustrix_core.testing.asking import Gardener
from clustrix_core.testing.place import as_nobody
from test_testing_faults import CAUGHT_BY

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
    backend, missing = "local", ()

    @pytest.fixture(scope="class")
    @classmethod
    def tree(cls, shared):
        return None

class TestLocal(SharedTree):
    pass

class TestLimited(SharedTree):
    backend, missing = "limited", CAPABILITIES

class TestUndeclared(SharedTree):
    backend = "limited"

for fault in CAUGHT_BY:
    name = fault.__name__
    fields = {"backend": name.lower(), "missing": fault.missing}
    globals()[f"Test{name}"] = type(f"Test{name}", (SharedTree,), fields)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the faulty backends are installed, and where a suite for each is written."""
    folder = tmp_path_factory.mktemp("faulty")
    metadata = folder / "faulty_backends-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-backends\nVersion: 1.0\n")
    names = [fault.__name__ for fault in (*CAUGHT_BY, Limited)]
    lines = [f"{name.lower()} = {__name__}:{name}" for name in names]
    (metadata / "entry_points.txt").write_text("\n".join(["[clustrix.backends]", *lines, ""]))
    (folder / "test_suites.py").write_text(SUITES)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return folder


def run_suites(folder: Path, *arguments: str) -> str:
    path = os.pathsep.join([str(folder), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "--tb=line", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        errors="replace",
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def report(installed: Path) -> str:
    """What pytest says when each faulty backend, and the good one, takes the test that is named for it."""
    tests = [f"test_suites.py::Test{fault.__name__}::{test}" for fault, test in CAUGHT_BY.items()]
    good = [f"test_suites.py::TestLocal::{test}" for test in CAUGHT_BY.values()]
    return run_suites(installed, *tests, *good)


@pytest.mark.parametrize("fault", CAUGHT_BY, ids=lambda fault: fault.__name__)
def test_a_fault_is_caught(report: str, fault: type[Faulty]) -> None:
    """The fault fails its test, by a broken promise and no accident, and the local backend passes it."""
    test = CAUGHT_BY[fault]
    assert f"FAILED test_suites.py::Test{fault.__name__}::{test}" in report, report
    assert f"PASSED test_suites.py::TestLocal::{test}" in report, report
    assert "ERROR" not in report, report


def test_a_broken_promise_is_named(report: str) -> None:
    assert "AssertionError: ls('missing') raises as os.listdir does" in report, report


def test_declared_limits_are_respected(installed: Path) -> None:
    tests = "stat or du or detail or readlink or files_work or ls_of_what or too_long or open_reads or folder"
    said = run_suites(installed, "test_suites.py::TestLimited", "-k", tests)
    assert "FAILED" not in said, said
    assert "ERROR" not in said, said
    assert "PASSED test_suites.py::TestLimited::test_du_counts_hard_links_once" in said, said


@pytest.mark.parametrize(
    "test",
    [
        "test_files_work_or_are_declared_missing",
        "test_readlink_gives_links_as_they_are",
        "test_du_counts_hard_links_once",
        "test_ls_of_what_is_no_folder_raises[special/fifo-20]",
        "test_stat_knows_times_to_the_nanosecond_and_before_1970[fraction-1600000000123456789]",
        "test_stat_knows_times_to_the_nanosecond_and_before_1970[sixties--86400123456789]",
    ],
)
def test_limits_that_are_not_declared_are_faults(undeclared: str, test: str) -> None:
    assert f"FAILED test_suites.py::TestUndeclared::{test}" in undeclared, undeclared


@pytest.fixture(scope="module")
def undeclared(installed: Path) -> str:
    tests = "files_work or readlink or hard_links or no_folder or knows_times"
    return run_suites(installed, "test_suites.py::TestUndeclared", "-k", tests)
