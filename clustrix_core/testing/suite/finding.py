"""`find` and `iterfind`: the walk, its order, its options; patterns have a page of their own."""

from __future__ import annotations

import os
from errno import ELOOP, ENOENT, ENOTDIR
from itertools import product
from typing import Any

import pytest

from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.hookspecs import EntryType
from clustrix_core.stream import StreamEnd
from clustrix_core.testing.asking import Truth
from clustrix_core.testing.place import Place
from clustrix_core.testing.suite.base import SuiteBase, expect, facts, in_time, raises, refuses

TYPES: list[EntryType] = ["f", "d", "l"]
SPELLINGS = [
    "",
    ".",
    "./",
    "project",
    "project/",
    "project//",
    "./project",
    "./project/",
    "project/../project",
    "project/.",
    "links/to-folder",
    "links/to-folder/",
    "links/to-link",
    "~",
    "~/",
    "~/sub",
    "~/sub/",
    "./~",
    "./~/",
]
COMBINED = ["*", "*.csv", "*/*", "data/*.csv", "**/*.csv", "*/**/*"]


class FindingTests(SuiteBase):
    @pytest.mark.parametrize("kind", TYPES)
    def test_find_gives_every_entry_of_its_type(
        self, fs: ClusterFilesystem, truth: Truth, kind: EntryType
    ) -> None:
        told = truth("find", pattern="*", kind=kind)
        expect(
            fs.find("*", type=kind),
            told,
            f"find('*', type={kind!r}) gives all that there is, in the order of bytes",
        )

    def test_find_gives_regular_files_by_default(self, fs: ClusterFilesystem) -> None:
        expect(fs.find("*", "special"), ["special/file"], "find leaves out FIFOs, sockets and links to them")

    def test_find_gives_dotfiles_and_goes_into_dot_folders(self, fs: ClusterFilesystem) -> None:
        found = [path for path in fs.find("*", "project/data") if "/." in path]
        told = [f"project/data/{name}" for name in (".dot/.e", ".dot/e.csv", ".hidden.csv")]
        expect(found, told, "find gives dotfiles, too, and goes into folders with a dot")

    def test_find_keeps_every_odd_name_whole(self, fs: ClusterFilesystem, truth: Truth) -> None:
        for folder in ("odd/files", "odd/folders"):
            told = truth("find", pattern="*", path=folder)
            expect(fs.find("*", folder), told, "names survive find, whatever bytes are in them")

    @pytest.mark.parametrize("kind", TYPES)
    def test_find_sorts_whole_paths_by_bytes(
        self, fs: ClusterFilesystem, truth: Truth, kind: EntryType
    ) -> None:
        found = fs.find("*", "order", type=kind)
        expect(found, sorted(found, key=os.fsencode), "find's results are in the byte order of the paths")
        expect(found, truth("find", pattern="*", path="order", kind=kind), "find gives all below order")

    @pytest.mark.parametrize("path", SPELLINGS)
    def test_find_spells_results_from_the_given_path(
        self, fs: ClusterFilesystem, truth: Truth, path: str
    ) -> None:
        told = truth("find", pattern="*", path=path)
        expect(
            fs.find("*", path), told, f"find('*', {path!r}) spells its results from the path as it was given"
        )

    @pytest.mark.parametrize("tail", ["", "/", "//"])
    def test_find_takes_an_absolute_path(
        self, fs: ClusterFilesystem, truth: Truth, place: Place, tail: str
    ) -> None:
        told = [f"{place.root}/{path}" for path in truth("find", pattern="*", path="project")]
        expect(
            fs.find("*", f"{place.root}/project{tail}"), told, "below an absolute path results are absolute"
        )

    @pytest.mark.parametrize("kind", TYPES)
    def test_find_takes_the_root_of_the_filesystem(
        self, fs: ClusterFilesystem, truth: Truth, kind: EntryType
    ) -> None:
        told = truth("find", pattern="*", path="/", kind=kind, max_depth=1)
        expect(fs.find("*", "/", type=kind, max_depth=1), told, "below / results begin with a single slash")

    def test_find_spells_a_leading_tilde_so_that_it_is_not_expanded(self, fs: ClusterFilesystem) -> None:
        expect(fs.find("inner.csv", max_depth=2), ["./~/inner.csv"], "a result never begins with ~/")
        expect(fs.find("~", type="d"), ["./~", "odd/folders/~"], "a result is never a lone ~")
        expect(fs.find("~root", max_depth=1), ["~root"], "~user is a plain name")

    def test_find_results_lead_back_into_stat_and_open(
        self, fs: ClusterFilesystem, truth: Truth, place: Place
    ) -> None:
        for root in (".", "odd", "./~", place.root + "/order", *["~"] * place.own_home):
            found = fs.find("*", root)
            infos = fs.stat(found, on_error="return")
            lost = [path for path, info in zip(found, infos, strict=True) if isinstance(info, OSError)]
            expect(lost, [], f"stat takes every path that find('*', {root!r}) gave")
        if place.has("files"):
            for path in fs.find("*", "odd/files"):
                with fs.open(path, "rb") as file:
                    expect(file.read(), b"." * fs.stat(path).size, f"open takes {path!r}, which find gave")

    @pytest.mark.parametrize("kind", TYPES)
    @pytest.mark.parametrize(
        "root", ["links", "order", "times", "modes", "sizes", "hard", "./~", "~", "links/to-folder"]
    )
    def test_find_detail_tells_what_lstat_tells(
        self, fs: ClusterFilesystem, truth: Truth, place: Place, root: str, kind: EntryType
    ) -> None:
        found = fs.find("*", root, type=kind, detail=True)
        told = truth("find", pattern="*", path=root, kind=kind, detail=True)
        expect(facts(place, found), facts(place, told), "find(detail=True) gives the FileInfo of each result")

    def test_find_neither_enters_links_nor_gives_them_as_files(self, fs: ClusterFilesystem) -> None:
        told = ["links/folder/inner.csv", "links/folder/sub/deeper.csv", "links/target.csv"]
        expect(fs.find("*", "links"), told, "find neither enters links to folders nor takes links for files")

    def test_find_gives_links_by_type(self, fs: ClusterFilesystem, truth: Truth) -> None:
        told = truth("find", pattern="*", path="links", kind="l")
        expect(fs.find("*", "links", type="l"), told, "type='l' gives all links, good, broken and looping")

    @pytest.mark.parametrize("kind", ["f", "l"])
    @pytest.mark.parametrize("root", ["links", "links/to-folder", "special", "project"])
    def test_find_follows_links_as_gnu_find_does(
        self, fs: ClusterFilesystem, truth: Truth, root: str, kind: EntryType
    ) -> None:
        told = truth("find", pattern="*", path=root, kind=kind, follow=True)
        found = fs.find("*", root, type=kind, follow_symlinks=True)
        expect(
            found,
            told,
            "find(follow_symlinks=True) enters links, stops at an own ancestor, and 'l' is broken links",
        )

    def test_find_follows_links_to_folders(self, fs: ClusterFilesystem) -> None:
        found = fs.find("*", "links", type="d", follow_symlinks=True)
        loops = {path for path in found if path.endswith(("/up", "/self"))}
        behind = {"absolute", "folder", "to-folder", "to-link", ".hidden-link"}
        lost = sorted({f"links/{name}" for name in behind} - set(found))
        expect(lost, [], "a followed link to a folder is of type d: none of them is left out")
        deeper = [path for path in found if "/up/" in path or "/self/" in path]
        expect(deeper, [], "find stops where a folder is its own ancestor")
        subs = {f"links/{name}/sub" for name in behind - {"absolute"}}
        order = {
            f"links/absolute/{name}" for name in ("-", "a", "a/y", "b", "b-", "b/sub", "b.d", "é", "\udcff")
        }
        expect(
            set(found) - loops - {f"links/{name}" for name in behind},
            subs | order,
            "followed folders are entered",
        )

    def test_find_detail_follows_links(self, fs: ClusterFilesystem, truth: Truth, place: Place) -> None:
        found = fs.find("*", "links", detail=True, follow_symlinks=True)
        told = truth("find", pattern="*", path="links", detail=True, follow=True)
        expect(facts(place, found), facts(place, told), "followed links are told of as what they point to")

    def test_find_follows_a_link_that_is_given(self, fs: ClusterFilesystem) -> None:
        told = ["links/to-folder/inner.csv", "links/to-folder/sub/deeper.csv"]
        expect(fs.find("*", "links/to-folder"), told, "a root that is a link is followed")

    def test_find_takes_a_file_as_root_for_a_candidate(self, fs: ClusterFilesystem) -> None:
        path = "project/top.csv"
        expect(fs.find("*.csv", path), [path], "a root that is a file is itself a candidate")
        expect(fs.find("*.txt", path), [], "a root that is a file has to match")
        expect(fs.find("*", path, type="d"), [], "a file is no folder")
        expect(fs.find("*", "links/to-file.csv"), ["links/to-file.csv"], "a given link to a file is followed")
        expect(
            fs.find("*", "links/to-file.csv", type="l"),
            [],
            "a link that is given is followed, so it is no link",
        )
        expect(fs.find("*", "special/fifo"), [], "a FIFO is no regular file")
        expect(
            [info.size for info in fs.find("*", "sizes/one", detail=True)],
            [1],
            "detail works for a file as root",
        )

    def test_find_leaves_out_the_root(self, fs: ClusterFilesystem) -> None:
        expect(fs.find("hollow", "hollow", type="d"), [], "type='d' leaves out the root")
        told = ["hollow/empty", "hollow/nested", "hollow/nested/empty"]
        expect(fs.find("*", "hollow", type="d"), told, "type='d' gives empty folders, too")
        expect(fs.find("*", "hollow"), [], "no match is an empty list")

    @pytest.mark.parametrize("kind", TYPES)
    @pytest.mark.parametrize("depth", [1, 2, 3, 999])
    def test_find_goes_max_depth_deep(
        self, fs: ClusterFilesystem, truth: Truth, depth: int, kind: EntryType
    ) -> None:
        for root in (".", "project", "order/a"):
            told = truth("find", pattern="*", path=root, kind=kind, max_depth=depth)
            expect(
                fs.find("*", root, type=kind, max_depth=depth),
                told,
                f"max_depth={depth} gives {depth} levels",
            )

    @pytest.mark.parametrize("kind", TYPES)
    @pytest.mark.parametrize("follow", [False, True], ids=["as they are", "followed"])
    def test_find_keeps_all_its_options_together(
        self, fs: ClusterFilesystem, truth: Truth, place: Place, follow: bool, kind: EntryType
    ) -> None:
        # Whether a followed folder that is its own ancestor is given as a folder is left open.
        roots = ["project"] if follow and kind == "d" else ["project", "links"]
        choices: list[dict[str, object]] = [
            {"pattern": pattern, "path": root, "kind": kind, "max_depth": depth, "follow": follow}
            for root, pattern, depth in product(roots, COMBINED, (None, 1, 2))
        ]
        answers = truth.all([{"ask": "find", "detail": True, **choice} for choice in choices])
        for choice, told in zip(choices, answers, strict=True):
            check_search(fs, place, choice, told)

    def test_find_refuses_a_depth_below_one(self, fs: ClusterFilesystem) -> None:
        for depth in (0, -1):
            with raises(ValueError, f"find refuses max_depth={depth}", saying="max_depth"):
                fs.find("*", max_depth=depth)

    def test_find_refuses_unknown_choices(self, fs: ClusterFilesystem) -> None:
        unknown: Any = "x"
        with raises(ValueError, "find refuses type='x'", saying="type"):
            fs.find("*", type=unknown)
        with raises(ValueError, "find refuses on_error='x'", saying="on_error"):
            fs.find("*", on_error=unknown)

    def test_find_goes_a_thousand_levels_down(self, fs: ClusterFilesystem) -> None:
        bottom = "deep" + "/d" * 1000 + "/bottom.csv"
        expect(fs.find("bottom.csv", "deep"), [bottom], "find goes a thousand levels down")
        expect(len(fs.find("d", "deep", type="d")), 1000, "find gives a thousand levels of folders")
        expect(fs.exists(bottom), True, "a path of a thousand levels can be used")

    def test_find_gives_paths_up_to_path_max(self, fs: ClusterFilesystem, truth: Truth, place: Place) -> None:
        (path,) = fs.find("*", "pathmax")
        expect(
            len(f"{place.root}/{path}"),
            truth("path_max") - 1,
            "find gives the longest path that there can be",
        )
        expect(fs.find("*", place.root + "/pathmax"), [f"{place.root}/{path}"], "also when it is absolute")

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("missing", ENOENT),
            ("links/broken.csv", ENOENT),
            ("project/top.csv/below", ENOTDIR),
            ("links/through-file", ENOTDIR),
            ("links/loop", ELOOP),
            ("links/ping", ELOOP),
        ],
    )
    def test_find_below_what_is_missing_raises(
        self, fs: ClusterFilesystem, place: Place, path: str, code: int
    ) -> None:
        with refuses(place, code, f"find('*', {path!r}) raises, it doesn't come back empty", path):
            fs.find("*", path)
        with refuses(place, code, f"find('*', {path!r}, detail=True) raises", path):
            fs.find("*", path, detail=True)
        with refuses(place, code, f"find('*', {path!r}, follow_symlinks=True) raises", path):
            fs.find("*", path, follow_symlinks=True)

    def test_iterfind_streams_what_find_gives(self, fs: ClusterFilesystem) -> None:
        for root in (".", "order", "flat"):
            expect(
                list(fs.iterfind("*", root)),
                fs.find("*", root),
                "iterfind streams find's results in find's order",
            )
        told = fs.find("*", "order", detail=True)
        expect(list(fs.iterfind("*", "order", detail=True)), told, "iterfind streams FileInfos, too")

    def test_iterfind_can_be_closed_early(self, fs: ClusterFilesystem) -> None:
        told = fs.find("*", "flat")
        stream = fs.iterfind("*", "flat")
        expect([next(stream) for _ in range(10)], told[:10], "a stream gives its first items first")
        stream.close()
        stream.close()
        expect(list(stream), [], "a closed stream has ended")
        expect(fs.exists("flat"), True, "after a stream was closed early the next call works")
        with fs.iterfind("*", "flat") as unread:
            pass
        expect(list(unread), [], "leaving `with` closes a stream")

    def test_iterfind_tells_how_it_ended(self, fs: ClusterFilesystem) -> None:
        ends: list[StreamEnd] = []
        whole, broken_off = fs.iterfind("*", "order"), fs.iterfind("*", "flat")
        for stream in (whole, broken_off):
            stream.on_end(ends.append)
        told = len(list(whole))
        next(broken_off)
        broken_off.close()
        expect(len(ends), 2, "each stream tells once that it ended")
        expect(ends[0].count, told, "a stream that is exhausted tells how many items there were")
        expect([end.error for end in ends], [None, None], "closing a stream is no error")

    def test_iterfind_streams_its_results(self, fs: ClusterFilesystem) -> None:
        sizes = [len(batch) for batch in fs.iterfind("*", "deep", type="d").batches()]
        expect(sum(sizes), 1000, "a stream's batches hold all of find's results")
        promise = "iterfind gives results as they come: no list of all that is in a thousand folders"
        expect(len(sizes) > 1, True, promise)

    def test_iterfind_streams_side_by_side(self, fs: ClusterFilesystem) -> None:
        told = fs.find("*", "flat")

        def read_both() -> None:
            with fs.iterfind("*", "flat") as one, fs.iterfind("*", "flat") as other:
                pairs = []
                for pair in zip(one, other, strict=True):
                    pairs.append(pair)
                    if len(pairs) == 100:
                        expect(fs.isdir("flat"), True, "other calls work while streams are open")
            promise = "streams of one filesystem don't disturb each other"
            expect(pairs, list(zip(told, told, strict=True)), promise)

        in_time("streams of one filesystem, and other calls, don't wait for each other", read_both)

    def test_find_reports_progress(self, fs: ClusterFilesystem) -> None:
        seen: list[tuple[int, int | None]] = []
        found = fs.find("*", progress=lambda done, total: seen.append((done, total)))
        check_progress(seen, len(found), "find")


def check_search(fs: ClusterFilesystem, place: Place, choice: dict[str, Any], told: list[Any]) -> None:
    """One search by the oracle's arguments gives what the oracle told: as paths, streamed, in detail."""
    arguments = (choice["pattern"], choice["path"])
    options = {
        "type": choice["kind"],
        "max_depth": choice["max_depth"],
        "follow_symlinks": choice["follow"],
    }
    said = f"find{arguments} keeps each of {options}"
    paths = [record[0] for record in told]
    expect(fs.find(*arguments, **options), paths, said)
    expect(list(fs.iterfind(*arguments, **options)), paths, f"iter{said}")
    detailed = fs.find(*arguments, detail=True, **options)
    expect(facts(place, detailed), facts(place, told), f"{said} in detail, too")


def check_progress(seen: list[tuple[int, int | None]], at_least: int, operation: str) -> None:
    """Progress of a recursion: called, never going back, with None or what holds for the total."""
    promise = f"{operation} calls progress now and then: at least once for {at_least} files"
    expect(bool(seen), True, promise)
    counts = [done for done, _ in seen]
    expect(counts, sorted(counts), f"{operation}'s progress never goes back")
    expect(counts[0] >= 0, True, f"{operation}'s progress counts entries")
    beyond = [(done, total) for done, total in seen if total is not None and done > total]
    expect(beyond, [], f"{operation}'s progress never goes beyond the total")
