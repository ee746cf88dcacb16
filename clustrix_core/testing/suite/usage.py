"""`du` and `count_files`."""

from __future__ import annotations

from errno import ELOOP, ENOENT, ENOTDIR

import pytest

from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.models import DiskUsage
from clustrix_core.testing.asking import Truth
from clustrix_core.testing.place import Place
from clustrix_core.testing.suite.base import SuiteBase, expect, refuses
from clustrix_core.testing.suite.finding import check_progress

ROOTS = [
    ".",
    "odd",
    "order",
    "links",
    "links/to-folder",
    "hard",
    "hollow",
    "hollow/empty",
    "special",
    "special/fifo",
    "special/file",
    "links/to-file.csv",
    "sizes",
    "flat",
    "deep",
    "pathmax",
    "project/",
    "~",
    "./~",
]


class UsageTests(SuiteBase):
    @pytest.mark.parametrize("root", ROOTS)
    def test_du_adds_up_regular_files(
        self, fs: ClusterFilesystem, truth: Truth, place: Place, root: str
    ) -> None:
        told = truth("du", path=root)
        expected = DiskUsage(told["once" if place.has("hardlinks") else "each"], told["count"])
        expect(fs.du(root), expected, f"du({root!r}) adds up the apparent bytes of regular files")

    def test_du_counts_hard_links_once(self, fs: ClusterFilesystem, place: Place) -> None:
        expected = DiskUsage(10 if place.has("hardlinks") else 24, 4)
        expect(fs.du("hard"), expected, "hard links count once in the bytes, each name in the count")

    def test_du_counts_apparent_bytes(self, fs: ClusterFilesystem) -> None:
        expect(
            fs.du("sizes"),
            DiskUsage(5 * 2**30 + 2, 3),
            "du counts the size, not the blocks, of a file",
        )
        expect(fs.du("sizes").total_gb, (5 * 2**30 + 2) / 2**30, "total_gb is 1024-based")
        expect(fs.du("sizes").total_mb, (5 * 2**30 + 2) / 2**20, "total_mb is 1024-based")

    def test_du_of_a_file_is_its_size(self, fs: ClusterFilesystem) -> None:
        expect(fs.du("special/file"), DiskUsage(5, 1), "du of a file is its size and 1")

    def test_du_does_not_follow_links_below_the_root(self, fs: ClusterFilesystem) -> None:
        size = len("target") + len("inner") + len("deeper")
        expect(fs.du("links"), DiskUsage(size, 3), "du neither enters nor counts links")

    @pytest.mark.parametrize("root", ROOTS)
    def test_counts_agree(self, fs: ClusterFilesystem, root: str) -> None:
        found = len(fs.find("*", root))
        expect(fs.count_files(root), found, f"count_files({root!r}) == len(find('*', {root!r}))")
        expect(fs.du(root).file_count, found, f"du({root!r}).file_count == len(find('*', {root!r}))")

    @pytest.mark.parametrize("pattern", ["*.csv", "n0001?.*", "[!n]*", "**/*.csv", "*/out.*", "n00010.csv"])
    def test_count_files_counts_what_find_finds(
        self, fs: ClusterFilesystem, truth: Truth, pattern: str
    ) -> None:
        for root in (".", "project", "flat"):
            told = len(truth("find", pattern=pattern, path=root))
            expect(fs.count_files(root, pattern), told, f"count_files({root!r}, {pattern!r}) counts matches")

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("missing", ENOENT),
            ("links/broken.csv", ENOENT),
            ("project/top.csv/x", ENOTDIR),
            ("links/through-file", ENOTDIR),
            ("links/loop", ELOOP),
        ],
    )
    def test_du_and_count_files_of_what_is_missing_raise(
        self, fs: ClusterFilesystem, place: Place, path: str, code: int
    ) -> None:
        with refuses(place, code, f"du({path!r}) raises, it is not zero", path):
            fs.du(path)
        with refuses(place, code, f"count_files({path!r}) raises, it is not zero", path):
            fs.count_files(path)

    def test_du_and_count_files_report_progress(self, fs: ClusterFilesystem) -> None:
        for operation in (fs.du, fs.count_files):
            seen: list[tuple[int, int | None]] = []

            def note(done: int, total: int | None, seen: list[tuple[int, int | None]] = seen) -> None:
                seen.append((done, total))

            operation(".", progress=note)
            check_progress(seen, 5000, operation.__name__)
