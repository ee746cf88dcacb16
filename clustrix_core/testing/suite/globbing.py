"""`glob`."""

from __future__ import annotations

import os
from errno import ELOOP, ENOENT, ENOTDIR

import pytest

from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.testing.asking import Gardener, Truth
from clustrix_core.testing.place import Place
from clustrix_core.testing.suite.base import SuiteBase, expect, raises, refuses
from clustrix_core.testing.suite.finding import check_progress
from clustrix_core.testing.suite.matching import NAMES, WILD

PATTERNS = [
    "*",
    "*/",
    "*/*",
    "*/*/",
    "*.csv",
    "data",
    "data/",
    "data/*",
    "data/a.csv",
    "data/a.csv/",
    "data/*.csv",
    "data/.*",
    "data/.*.csv",
    "data/.dot/*",
    "data/.dot/.*",
    "data/.*/*",
    "data/??????",
    "data/[A-Z]*",
    "data/[!a-b]*",
    "run?/out.*",
    "run[12]/*.csv",
    "run*/",
    "run*/data/*",
    "*/data/*",
    "*/sub/../*.csv",
    "./*",
    "./data/*",
    "../order/*",
    "data/../*.csv",
    "[[]z].csv",
    "x[{]y",
    "empty/*",
    "empty",
    "empty/",
    "missing",
    "missing/*",
    "missing/*/x",
    "top.csv/*",
    "*.csv/*",
    "*.csv/",
    "DATA/*",
    "**",
    "**/",
    "**/*",
    "**/*/",
    "**/*.csv",
    "**/*.csv/",
    "**/.*",
    "**/data",
    "**/data/",
    "**/data/*",
    "**/data/**",
    "**/sub/**/*.csv",
    "data/**",
    "data/**/",
    "data/**/*",
    "data/**/*.csv",
    "data/**/e.csv",
    "data/.dot/**",
    "*/**",
    "*/**/*.csv",
    "run*/**/",
    "data**",
    "**.csv",
    "**data/*",
]
WITH_LINKS = [
    "*",
    "*/",
    "*/*",
    "*.csv",
    ".*",
    ".*/*",
    "to-folder/*",
    "to-folder/",
    "to-file.csv",
    "to-file.csv/",
    "broken.csv",
    "broken.csv/",
    "loop",
    "loop/",
    "loop/*",
    "through-file",
    "folder/up/*",
    "folder/up/folder/*",
    "*/sub/*",
    "odd*",
]
BRACES = {
    "*.{csv,h5}": ["*.csv", "*.h5"],
    "{a,b}": ["a", "b"],
    "{a,b}{1,2}": ["a1", "a2", "b1", "b2"],
    "data/{a.csv,b.h5}": ["data/a.csv", "data/b.h5"],
    "{data,run1}/*": ["data/*", "run1/*"],
    "{data/sub,run1}/*.csv": ["data/sub/*.csv", "run1/*.csv"],
    "{data,{run1,run2}}/*.csv": ["data/*.csv", "run1/*.csv", "run2/*.csv"],
    "run{1,2{,0}}/out.csv": ["run1/out.csv", "run2/out.csv", "run20/out.csv"],
    "run1{,0}/out.*": ["run1/out.*", "run10/out.*"],
    "{,run1/}*.csv": ["*.csv", "run1/*.csv"],
    "{data}/*": ["{data}/*"],
    "{a{b,c}}": ["{ab}", "{ac}"],
    "{a,b": ["{a,b"],
    "a,b}": ["a,b}"],
    "{a,{b,c}": ["{a,b", "{a,c"],
    "{a,b}}": ["a}", "b}"],
    "{a}b,c}": ["a}b", "c"],
    "x{},y}": ["x}", "xy"],
    "{": ["{"],
    "}": ["}"],
    "{}": ["{}"],
    "**/*.{csv,h5}": ["**/*.csv", "**/*.h5"],
    "**/{a,d,e}.csv": ["**/a.csv", "**/d.csv", "**/e.csv"],
    "[{]a,b}.csv": ["[{]a,b}.csv"],
    "[{]*": ["[{]*"],
    "x[{]y": ["x[{]y"],
    "{[{]*,data}": ["[{]*", "data"],
}


class GlobbingTests(SuiteBase):
    def test_glob_gives_what_the_rules_say(self, fs: ClusterFilesystem, truth: Truth) -> None:
        check_glob(fs, truth, PATTERNS, "project")

    def test_glob_gives_what_pythons_glob_gives(self, fs: ClusterFilesystem, truth: Truth) -> None:
        for root, patterns in (("project", PATTERNS), ("links", WITH_LINKS)):
            told = truth.all([{"ask": "pythons_glob", "pattern": each, "path": root} for each in patterns])
            for pattern, expected in zip(patterns, told, strict=True):
                if expected is not None:
                    promise = f"glob({pattern!r}, {root!r}) gives what Python's glob.glob gives"
                    expect(fs.glob(pattern, root), expected, promise)

    def test_glob_follows_links_that_are_named(self, fs: ClusterFilesystem, truth: Truth) -> None:
        check_glob(fs, truth, WITH_LINKS, "links")
        check_glob(fs, truth, ["*", "*/", "sub/*"], "links/to-folder")

    def test_glob_stars_do_not_pass_through_links(self, fs: ClusterFilesystem) -> None:
        told = ["links/folder/inner.csv"]
        expect(fs.glob("**/inner.csv", "links"), told, "** does not pass through links")
        told = ["links/folder/sub/deeper.csv"]
        expect(fs.glob("**/sub/**/deeper.csv", "links"), told, "** does not pass through links")
        expect(
            fs.glob("to-folder/**/deeper.csv", "links"),
            ["links/to-folder/sub/deeper.csv"],
            "a named link is followed",
        )
        below = fs.glob("**", "links")
        expect("links/to-folder" in below, True, "** at the end gives links")
        passed = [path for path in below if path.startswith("links/to-folder/")]
        expect(passed, [], "** does not pass through links")
        expect(fs.glob("**/", "links"), ["links/folder/", "links/folder/sub/"], "**/ gives real folders only")

    def test_glob_stars_go_a_thousand_levels_down(self, fs: ClusterFilesystem) -> None:
        told = ["deep" + "/d" * 1000 + "/bottom.csv"]
        expect(fs.glob("**/bottom.csv", "deep"), told, "** goes a thousand levels down")

    def test_glob_matches_names_by_the_rules_of_find(self, fs: ClusterFilesystem, truth: Truth) -> None:
        plain = [pattern for pattern in WILD if "{" not in pattern and pattern not in ("**", "~*")]
        check_glob(fs, truth, plain, "odd/files")
        literal = [name for name in NAMES if not set("{*?[~") & set(name)]
        check_glob(fs, truth, literal, "odd/files")

    def test_glob_hides_dotfiles(self, fs: ClusterFilesystem) -> None:
        found = fs.glob("*", "project/data") + fs.glob("**", "project/data")
        expect([path for path in found if "/." in path], [], "* and ** skip dotfiles")
        told = ["project/data/.dot", "project/data/.hidden.csv"]
        expect(fs.glob(".*", "project/data"), told, "a pattern that begins with a dot matches dotfiles")

    def test_glob_without_a_match_is_an_empty_list(self, fs: ClusterFilesystem) -> None:
        for pattern in ("nothing*", "missing", "missing/*", "missing/**", "top.csv/**", "**/nothing"):
            expect(fs.glob(pattern, "project"), [], f"glob({pattern!r}) matches nothing and gives []")

    def test_glob_with_a_trailing_slash_gives_folders(self, fs: ClusterFilesystem) -> None:
        told = ["project/data/", "project/empty/", "project/run1/", "project/run10/", "project/run2/"]
        expect(fs.glob("*/", "project"), told, "a trailing slash means folders, and stays in the results")

    @pytest.mark.parametrize(
        "path", ["", ".", "./", "project", "project/", "project//", "./project", "~", "~/", "~/sub"]
    )
    def test_glob_spells_results_from_the_given_path(
        self, fs: ClusterFilesystem, truth: Truth, path: str
    ) -> None:
        for pattern in ("*", "*.csv", "*/", "*/*.csv"):
            told = truth("glob", pattern=pattern, path=path)
            expect(
                fs.glob(pattern, path),
                told,
                f"glob({pattern!r}, {path!r}) joins its results to the path as given",
            )

    def test_glob_takes_absolute_patterns(self, fs: ClusterFilesystem, place: Place) -> None:
        told = [f"{place.root}/project/run1/out.csv", f"{place.root}/project/run2/out.csv"]
        pattern = f"{place.root}/project/run*/*.csv"
        for path in (".", "project", "order/a"):
            expect(fs.glob(pattern, path), told, "an absolute pattern ignores the path")
        both = "{" + f"run1,{place.root}/project/run2" + "}/*.csv"
        expect(
            fs.glob(both, "project"),
            [told[1], "project/run1/out.csv"],
            "each brace item is absolute or not by itself",
        )

    def test_glob_expands_a_tilde_and_never_gives_one(
        self, fs: ClusterFilesystem, truth: Truth, place: Place
    ) -> None:
        below = ("~/*", "~/*.csv", "~/*/", "~/**", "~/**/", "~/**/*.csv")
        for pattern in ("~", "~/", *below * place.own_home):
            told = truth("glob", pattern=pattern)
            expect(fs.glob(pattern, "project"), told, f"{pattern!r} begins in the home folder")
        expect(fs.glob("[~]"), ["./~"], "a result is never a lone ~")
        expect(fs.glob("[~]/*"), ["./~/inner.csv"], "a result never begins with ~/")
        expect(fs.glob("~root"), ["~root"], "~user is a plain name")

    def test_glob_results_are_unique_and_in_byte_order(self, fs: ClusterFilesystem, truth: Truth) -> None:
        found = fs.glob("{**,*,a/*,**/*}", "order")
        expect(found, sorted(set(found), key=os.fsencode), "results are unique and in the order of bytes")
        expect(
            fs.glob("*", "flat"),
            truth("glob", pattern="*", path="flat"),
            "all names of a large folder are given",
        )

    @pytest.mark.parametrize("pattern", BRACES)
    def test_glob_expands_braces_as_bash_does(
        self, fs: ClusterFilesystem, truth: Truth, pattern: str
    ) -> None:
        questions: list[dict[str, object]] = [
            {"ask": "glob", "pattern": each, "path": "project"} for each in BRACES[pattern]
        ]
        told = {path for found in truth.all(questions) for path in found}
        found = fs.glob(pattern, "project")
        expect(found, sorted(told, key=os.fsencode), f"glob({pattern!r}) is {BRACES[pattern]}")

    def test_glob_finds_exactly_what_braces_stand_for(
        self, fs: ClusterFilesystem, gardener: Gardener, scratch: str
    ) -> None:
        plain = {pattern: names for pattern, names in BRACES.items() if not set("*[/") & set(pattern)}
        present = {name for pattern, names in plain.items() for name in (pattern, *names)}
        gardener.plant(scratch, [("file", name, "") for name in sorted(present)])
        for pattern, names in plain.items():
            told = sorted((f"{scratch}/{name}" for name in names), key=os.fsencode)
            expect(fs.glob(pattern, scratch), told, f"glob({pattern!r}) is {names}, as in bash")

    def test_glob_takes_a_brace_in_brackets_as_it_is(self, fs: ClusterFilesystem) -> None:
        expect(fs.glob("[{]a,b}.csv", "project"), ["project/{a,b}.csv"], "[{] is a literal brace")

    def test_glob_refuses_over_ten_thousand_expansions(self, fs: ClusterFilesystem) -> None:
        ten = "{0,1,2,3,4,5,6,7,8,9}"
        expect(fs.glob(ten * 4, "hollow/empty"), [], "10,000 expansions are allowed")
        for pattern in (ten * 4 + "{a,b}", "{a,b}" * 14, "{a,b}" * 64):
            with raises(ValueError, "over 10,000 expansions are refused", saying="10"):
                fs.glob(pattern, "hollow/empty")

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("missing", ENOENT),
            ("links/broken.csv", ENOENT),
            ("project/top.csv", ENOTDIR),
            ("project/top.csv/x", ENOTDIR),
            ("links/loop", ELOOP),
        ],
    )
    def test_glob_in_what_is_no_folder_raises(
        self, fs: ClusterFilesystem, place: Place, path: str, code: int
    ) -> None:
        for pattern in ("*", "x", "**/*"):
            with refuses(
                place, code, f"glob({pattern!r}, {path!r}) raises, it doesn't come back empty", path
            ):
                fs.glob(pattern, path)

    def test_glob_does_not_take_the_path_for_a_pattern(self, fs: ClusterFilesystem) -> None:
        for name in NAMES:
            path = f"odd/folders/{name}"
            expect(fs.glob("*.csv", path), [f"{path}/inner.csv"], f"the path {path!r} is no pattern")

    @pytest.mark.parametrize("pattern", ["", "a\0b"])
    def test_glob_refuses_patterns_that_cannot_match(self, fs: ClusterFilesystem, pattern: str) -> None:
        with raises(ValueError, f"glob refuses the pattern {pattern!r}"):
            fs.glob(pattern)

    def test_glob_reports_progress(self, fs: ClusterFilesystem) -> None:
        for pattern in ("*/*", "**"):
            seen: list[tuple[int, int | None]] = []

            def note(done: int, total: int | None, seen: list[tuple[int, int | None]] = seen) -> None:
                seen.append((done, total))

            check_progress(seen, len(fs.glob(pattern, progress=note)), f"glob({pattern!r})")


def check_glob(fs: ClusterFilesystem, truth: Truth, patterns: list[str], path: str) -> None:
    """Each pattern gives what the oracle says."""
    told = truth.all([{"ask": "glob", "pattern": each, "path": path} for each in patterns])
    for pattern, expected in zip(patterns, told, strict=True):
        expect(
            fs.glob(pattern, path), expected, f"glob({pattern!r}, {path!r}) matches by the documented rules"
        )
