"""`ls`."""

from __future__ import annotations

from errno import ELOOP, ENOENT, ENOTDIR

import pytest

from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.testing.asking import Truth
from clustrix_core.testing.place import Place
from clustrix_core.testing.suite.base import SuiteBase, expect, facts, refuses

FOLDERS = [".", "odd/files", "odd/folders", "order", "links", "special", "flat", "project/data", "hollow"]
SPELLINGS = [
    "",
    ".",
    "./",
    "project",
    "project/",
    "project//",
    "./project",
    "project/../order",
    "/",
    "~",
    "~/",
    "~/sub",
]


class ListingTests(SuiteBase):
    @pytest.mark.parametrize("path", FOLDERS)
    def test_ls_gives_all_names_in_byte_order(self, fs: ClusterFilesystem, truth: Truth, path: str) -> None:
        expect(
            fs.ls(path), truth("ls", path=path), f"ls({path!r}) gives every name once, in the order of bytes"
        )

    def test_ls_gives_dotfiles_but_not_the_folder_and_its_parent(self, fs: ClusterFilesystem) -> None:
        names = fs.ls("odd/files")
        dotted = sorted(name for name in names if name.startswith("."))
        told = ["...", "..x", ".csv", ".hidden", ".hidden.csv"]
        expect(dotted, told, "ls gives dotfiles, too, and leaves out . and ..")

    @pytest.mark.parametrize("path", SPELLINGS)
    def test_ls_takes_every_spelling_of_a_path(self, fs: ClusterFilesystem, truth: Truth, path: str) -> None:
        expect(fs.ls(path), truth("ls", path=path), f"ls takes a path that is spelled {path!r}")

    def test_ls_takes_an_absolute_path(self, fs: ClusterFilesystem, truth: Truth, place: Place) -> None:
        expect(fs.ls(place.root + "/order"), truth("ls", path="order"), "ls takes an absolute path")

    def test_ls_without_a_path_lists_the_work_dir(self, fs: ClusterFilesystem, truth: Truth) -> None:
        expect(fs.ls(), truth("ls"), "ls() lists the work dir")

    def test_ls_of_an_empty_folder_is_an_empty_list(self, fs: ClusterFilesystem) -> None:
        expect(fs.ls("hollow/empty"), [], "ls of an empty folder gives an empty list")

    def test_ls_names_lead_back_into_ls(self, fs: ClusterFilesystem) -> None:
        for name in fs.ls("odd/folders"):
            expect(
                fs.ls(f"odd/folders/{name}"), ["inner.csv"], f"a name that ls gave, {name!r}, can be listed"
            )

    def test_ls_follows_a_link_that_is_given(self, fs: ClusterFilesystem, truth: Truth) -> None:
        for link in ("links/to-folder", "links/to-link", "links/absolute", "links/folder/sub/self"):
            expect(fs.ls(link), truth("ls", path=link), f"ls follows the link {link!r}")

    def test_ls_goes_a_thousand_levels_down(self, fs: ClusterFilesystem) -> None:
        expect(fs.ls("deep" + "/d" * 1000), ["bottom.csv"], "ls works a thousand levels down")

    def test_ls_shows_a_tilde_as_it_is(self, fs: ClusterFilesystem) -> None:
        names = [name for name in fs.ls() if "~" in name]
        expect(names, ["~", "~root"], "ls gives bare names, a tilde included")
        expect(fs.ls("./~"), ["inner.csv"], "./~ is the entry, not the home folder")

    @pytest.mark.parametrize(
        "path", [*FOLDERS, "links/to-folder", "times", "sizes", "modes", "hard", "~", "./~"]
    )
    def test_ls_detail_tells_of_the_entries_themselves(
        self, fs: ClusterFilesystem, truth: Truth, place: Place, path: str
    ) -> None:
        found = fs.ls(path, detail=True)
        told = truth("ls", path=path, detail=True)
        expect(facts(place, found), facts(place, told), f"ls({path!r}, detail=True) tells what lstat tells")

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("missing", ENOENT),
            ("missing/below", ENOENT),
            ("links/broken.csv", ENOENT),
            ("project/top.csv", ENOTDIR),
            ("project/top.csv/", ENOTDIR),
            ("project/top.csv/below", ENOTDIR),
            ("links/to-file.csv", ENOTDIR),
            ("special/fifo", ENOTDIR),
            ("links/loop", ELOOP),
        ],
    )
    def test_ls_of_what_is_no_folder_raises(
        self, fs: ClusterFilesystem, place: Place, path: str, code: int
    ) -> None:
        with refuses(place, code, f"ls({path!r}) raises as os.listdir does", path):
            fs.ls(path)
