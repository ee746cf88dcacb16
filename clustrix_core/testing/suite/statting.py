"""`stat`, `exists`, `isdir`, `isfile` and `readlink`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from errno import EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR
from stat import S_ISLNK, S_ISREG

import pytest

from clustrix_core.errors import UnsupportedOperationError
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.testing.asking import Truth
from clustrix_core.testing.place import Place
from clustrix_core.testing.suite.base import SuiteBase, check_derived, expect, facts, raises, refuses

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SPELLINGS = [
    "",
    ".",
    "./",
    "project",
    "project/",
    "project//",
    "./project",
    "/",
    "~",
    "~/",
    "~/notes.csv",
    "~root",
    "./~",
]
ABSENT = ["missing", "missing/below", "links/broken.csv", "links/broken-far"]
IN_THE_WAY = ["project/top.csv/below", "project/top.csv/", "links/through-file"]
LOOPS = ["links/loop", "links/ping", "links/loop/below"]


class StattingTests(SuiteBase):
    def test_stat_tells_what_os_stat_tells(self, fs: ClusterFilesystem, truth: Truth, place: Place) -> None:
        paths = [
            f"{folder}/{name}"
            for folder in ("odd/files", "odd/folders", "modes", "times", "sizes", "hard", "special", "order")
            for name in truth("ls", path=folder)
        ]
        told = truth.all([{"ask": "stats", "path": path} for path in paths])
        expect(
            facts(place, fs.stat(paths)),
            facts(place, told),
            "stat of many tells what os.stat tells, in order",
        )
        for path, one in zip(paths[::9], told[::9], strict=True):
            expect(facts(place, [fs.stat(path)]), facts(place, [one]), "stat of one tells what os.stat tells")

    @pytest.mark.parametrize("path", SPELLINGS)
    def test_stat_takes_every_spelling_of_a_path(
        self, fs: ClusterFilesystem, truth: Truth, place: Place, path: str
    ) -> None:
        told = truth("stats", path=path)
        expect(
            facts(place, [fs.stat(path)]),
            facts(place, [told]),
            f"stat({path!r}) keeps the path as it was given",
        )

    def test_stat_derives_its_fields_from_mode_and_time(self, fs: ClusterFilesystem, truth: Truth) -> None:
        paths = [path for kind in "fdl" for path in truth("find", pattern="*", path="modes", kind=kind)]
        paths += ["times/fraction", "times/whole", "links/to-folder", "sizes/zero", "special/fifo"]
        for info in fs.stat(paths):
            check_derived(info)
            expect(info.is_file, S_ISREG(info.mode), "is_file is that of the mode")
            expect(info.is_symlink, S_ISLNK(info.mode), "is_symlink is that of the mode")
            since = timedelta(microseconds=info.mtime_ns // 1000)
            expect(info.modified_datetime, EPOCH + since, "modified_datetime is aware, in UTC")

    def test_stat_names_the_last_component(self, fs: ClusterFilesystem) -> None:
        expect(fs.stat("project/data/").name, "data", "name is the last component, without a slash")
        expect(fs.stat("odd/files/new\nline").name, "new\nline", "name keeps every byte")

    @pytest.mark.parametrize("mode", ["0", "644", "750", "4755", "2755", "6711"])
    def test_stat_shows_permissions(self, fs: ClusterFilesystem, mode: str) -> None:
        info = fs.stat(f"modes/file-{mode}")
        expect(info.permissions, mode.zfill(3)[-3:], "permissions are the nine lowest bits, as three digits")
        expect(oct(info.mode & 0o7777), oct(int(mode, 8)), "mode has setuid, setgid and sticky bits, too")

    def test_stat_knows_sizes_over_4_gib(self, fs: ClusterFilesystem) -> None:
        expect(fs.stat("sizes/sparse").size, 5 * 2**30 + 1, "sizes are not cut at 32 bits")

    @pytest.mark.parametrize(
        ("name", "time"),
        [
            ("fraction", 1600000000123456789),
            ("sixties", -86400 * 10**9 - 123456789),
            ("half-before", -500000000),
        ],
    )
    def test_stat_knows_times_to_the_nanosecond_and_before_1970(
        self, fs: ClusterFilesystem, place: Place, name: str, time: int
    ) -> None:
        told = fs.stat(f"times/{name}")
        if time < 0 and not place.has("mtime_before_1970"):
            return
        if not place.has("subsecond_mtime"):
            time = time // 10**9 * 10**9
        expect(told.mtime_ns, time, "times keep their fractions, and may be negative")
        expect(type(told.modified), float, "modified is a float")

    def test_stat_follows_links_unless_told_otherwise(
        self, fs: ClusterFilesystem, truth: Truth, place: Place
    ) -> None:
        links = ["links/to-file.csv", "links/to-folder", "links/to-link", "links/null", "special/to-fifo"]
        told = truth.all([{"ask": "stats", "path": link} for link in links])
        expect(facts(place, fs.stat(links)), facts(place, told), "stat follows links")
        links += ["links/broken.csv", "links/loop", "links/odd\udcff\nlink"]
        told = truth.all([{"ask": "stats", "path": link, "follow": False} for link in links])
        found = fs.stat(links, follow_symlinks=False)
        expect(
            facts(place, found), facts(place, told), "stat(follow_symlinks=False) tells of the link itself"
        )
        expect([info for info in found if not info.is_symlink], [], "a link that isn't followed is_symlink")
        returned = fs.stat(links, follow_symlinks=False, on_error="return")
        expect(returned, found, "stat(follow_symlinks=False) does so with on_error='return', too")

    def test_stat_of_many_returns_failures_in_their_place(self, fs: ClusterFilesystem, place: Place) -> None:
        found = fs.stat(
            ["missing", "project", "project/top.csv/x", "links/loop", "project"], on_error="return"
        )
        expect(
            [isinstance(one, OSError) for one in found],
            [True, False, True, True, False],
            "one item for each path",
        )
        codes = [one.errno for one in found if isinstance(one, OSError)]
        expect(codes[0], ENOENT, "a failure is the OSError that stat would raise")
        if place.has("fine_errno"):
            expect(codes, [ENOENT, ENOTDIR, ELOOP], "a failure is the OSError that stat would raise")

    def test_stat_of_many_raises_the_first_failure(self, fs: ClusterFilesystem, place: Place) -> None:
        with refuses(place, ENOENT, "stat of many raises the first failure", "missing/1"):
            fs.stat(["project", "missing/1", "links/loop", "missing/2"])

    def test_stat_of_none_is_an_empty_list(self, fs: ClusterFilesystem) -> None:
        expect(fs.stat([]), [], "stat([]) gives []")

    def test_stat_of_many_keeps_order_and_copies(self, fs: ClusterFilesystem) -> None:
        names = [f"flat/{name}" for name in fs.ls("flat")][::-3] * 2
        expect([info.path for info in fs.stat(names)], names, "stat gives one item for each path, in order")

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            *((path, ENOENT) for path in ABSENT),
            *((path, ENOTDIR) for path in IN_THE_WAY),
            *((path, ELOOP) for path in LOOPS),
        ],
    )
    def test_stat_of_what_is_not_there_raises(
        self, fs: ClusterFilesystem, place: Place, path: str, code: int
    ) -> None:
        with refuses(place, code, f"stat({path!r}) raises as os.stat does", path):
            fs.stat(path)

    def test_exists_isdir_isfile_tell_what_os_path_tells(self, fs: ClusterFilesystem, truth: Truth) -> None:
        paths = [
            f"{folder}/{name}"
            for folder in ("odd/files", "odd/folders", "links", "special")
            for name in fs.ls(folder)
        ]
        paths += [
            *SPELLINGS,
            "deep" + "/d" * 1000,
            "links/to-folder/inner.csv",
            "modes/file-0",
            "project/top.csv/",
        ]
        for name, ask in (("exists", fs.exists), ("isdir", fs.isdir), ("isfile", fs.isfile)):
            told = truth.all([{"ask": name, "path": path} for path in paths])
            for path, expected in zip(paths, told, strict=True):
                expect(ask(path), expected, f"{name}({path!r}) follows links and tells the truth")

    @pytest.mark.parametrize("path", [*ABSENT, *IN_THE_WAY, *LOOPS])
    def test_exists_is_false_where_nothing_is(self, fs: ClusterFilesystem, path: str) -> None:
        for ask in (fs.exists, fs.isdir, fs.isfile):
            expect(ask(path), False, f"{ask.__name__}({path!r}) is False for ENOENT, ENOTDIR and ELOOP")

    def test_paths_reach_up_to_path_max(self, fs: ClusterFilesystem, truth: Truth, place: Place) -> None:
        (path,) = truth("find", pattern="*", path="pathmax")
        longest = f"{place.root}/{path}"
        expect(fs.isfile(longest), True, "the longest absolute path that there can be works")
        expect(fs.stat(path).size, len("longest"), "so does its relative spelling")

    def test_what_is_too_long_raises(self, fs: ClusterFilesystem, truth: Truth, place: Place) -> None:
        too_long = place.root + "/x" * truth("path_max")
        for path in ("x" * 256, "é" * 128, f"project/{'x' * 256}", too_long, "x/" * truth("path_max")):
            for ask in (fs.exists, fs.isdir, fs.isfile, fs.stat, fs.ls, fs.du, fs.count_files):
                with refuses(place, ENAMETOOLONG, f"{ask.__name__} raises ENAMETOOLONG, it doesn't say no"):
                    ask(path)

    def test_readlink_gives_links_as_they_are(
        self, fs: ClusterFilesystem, truth: Truth, place: Place
    ) -> None:
        if not place.has("readlink"):
            with raises(UnsupportedOperationError, "readlink, which is declared missing, says so"):
                fs.readlink("links/to-file.csv")
            return
        for path in truth("find", pattern="*", path="links", kind="l"):
            expect(
                fs.readlink(path),
                truth("readlink", path=path),
                f"readlink({path!r}) gives what is written in it",
            )
        for path, code in (("project", EINVAL), ("project/top.csv", EINVAL), ("missing", ENOENT)):
            with refuses(place, code, f"readlink({path!r}) raises as os.readlink does", path):
                fs.readlink(path)
