"""The patterns of `find` and `count_files`."""

from __future__ import annotations

import pytest

from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.hookspecs import EntryType
from clustrix_core.testing.asking import Truth, unpacked
from clustrix_core.testing.suite.base import SuiteBase, expect, raises
from clustrix_core.testing.tree import ODD_NAMES

NAMES = [unpacked(name.decode("latin-1")) for name in ODD_NAMES]
WILD = [
    "*",
    "**",
    "***",
    "?",
    "??",
    "*?",
    "?*",
    "*.csv",
    "*csv",
    "*.CSV",
    "*.*",
    "*.csv*",
    "*.gz",
    "*v",
    "*.",
    "*é",
    "*é.csv",
    "*e\u0301.csv",
    "*\udcff",
    "*\udce9",
    "*\udce9.csv",
    "*\udcc3",
    "*\udca9",
    "*\udcfe.csv",
    "\udcff*",
    "caf*",
    "caf?",
    "caf?.csv",
    "caf??.csv",
    "caf??csv",
    "cut?",
    "?.csv",
    "??.csv",
    "data.*",
    "data*csv",
    "d*a*t*v",
    "*a*",
    "*a*a*",
    "*[!a]",
    "a*",
    "A*",
    "[aA]*",
    "[a-c]*",
    "[!a-c]*",
    "[!a-c]",
    "[^a]",
    "[^a]*",
    "[z-a]",
    "[z-a]*",
    "[!z-a]",
    "[z-aA]",
    "[a-",
    "[a-]",
    "[-a]",
    "[!-a]",
    "[--0]*",
    "[]]",
    "[]",
    "[]a]",
    "[!]]",
    "[!]",
    "[!",
    "[[]",
    "[[]*",
    "[*]",
    "[?]",
    "[\\]*",
    "[~]*",
    "[{]",
    "[a",
    "*[",
    "*]",
    "[é]",
    "caf[é].csv",
    "caf[a-ÿ].csv",
    "caf[\udc80-\udcff]",
    "[\udcff-\udc80]*",
    "[\udcff]*",
    "[🎉]",
    "[\U0001f000-\U0001ffff]",
    "[0-9]",
    "[0-9]*",
    "[!0-9]*",
    "[\n]",
    "*\n*",
    "?\n?",
    "*[ \t]*",
    "\\*",
    "\\?",
    "*\\*",
    ".*",
    ".*.csv",
    "..*",
    "*.*.*",
    "x*x",
    "é*é",
    "{a,b}*",
    "-*",
    "--*",
    "~*",
    "$*",
    "*'*",
    '*"*',
    "*;*",
    "missing",
]
PATHS = [
    "data/*.csv",
    "data/*",
    "*/*.csv",
    "*/*",
    "*/*/*",
    "*/**/*",
    "*/**/*.csv",
    "**/*.csv",
    "**/*",
    "**/**",
    "data/**",
    "data/**/*.csv",
    "data/**/e.csv",
    "data/**/**/e.csv",
    "**/data/*.csv",
    "**/data/**",
    "**/deeper/**/*.csv",
    "**/sub",
    "**/.*",
    "**/.dot/*",
    ".*/*",
    "*/.*/*",
    "run?/*",
    "run[12]/out.*",
    "run[!1]*/**",
    "[dr]*/**/*.csv",
    "./top.csv",
    "./data/*.csv",
    "data/./sub/*",
    "./**/*.h5",
    "**/./e.csv",
    "a**/x",
    "data**/*.csv",
    "**csv/x",
    "data/sub",
    "data/sub/d.csv",
    "DATA/*",
    "missing/*",
]


class MatchingTests(SuiteBase):
    def test_find_matches_each_name_by_itself_and_wildcards_in_it_by_the_rules(
        self, fs: ClusterFilesystem, truth: Truth
    ) -> None:
        check_find(fs, truth, NAMES, "odd/files")

    def test_find_matches_names_by_the_rules(self, fs: ClusterFilesystem, truth: Truth) -> None:
        check_find(fs, truth, WILD, "odd/files")

    @pytest.mark.parametrize("kind", ["f", "d"])
    def test_find_matches_paths_by_the_rules(
        self, fs: ClusterFilesystem, truth: Truth, kind: EntryType
    ) -> None:
        check_find(fs, truth, PATHS, "project", kind)
        check_find(fs, truth, PATHS, "./project/", kind)

    @pytest.mark.parametrize(
        ("pattern", "names", "promise"),
        [
            ("*.csv", [".csv", ".hidden.csv"], "dotfiles match *"),
            ("a.csv", ["a.csv"], "case matters"),
            ("A.???", ["A.CSV"], "case matters"),
            ("caf?", ["caf\udce9"], "? matches one byte that is not UTF-8"),
            ("caf?.csv", ["café.csv", "caf\udce9.csv"], "? matches a code point or a stray byte"),
            ("caf??.csv", ["cafe\u0301.csv"], "a combining mark is a code point of its own"),
            ("*\udce9.csv", ["caf\udce9.csv"], "raw bytes match themselves alone"),
            ("*é.csv", ["café.csv"], "a composed character doesn't match a decomposed one"),
            ("*\udca9", [], "a pattern's lone byte doesn't match half of a character"),
            ("[!a-c]", ["*", "-", "1", "2", "?", "A", "[", "\\", "]", "{", "}",
              "~", " ", "\n", "\udcff", "🎉", "\u2028"],
             "[!…] matches one code point that is not in the set"),
            ("[a]", ["a"], "[…] is a set, not a name"),
            ("[", ["["], "an unclosed bracket is literal"),
            ("[z-a]", [], "a reversed range matches nothing"),
            ("[[]a]", ["[a]"], "a set makes a bracket literal"),
            ("{a,b}", ["{a,b}"], "braces are plain characters to find"),
            ("$HOME", ["$HOME"], "a dollar is a plain character"),
            ("back\\slash", ["back\\slash"], "a backslash is a plain character"),
            ("~", ["~"], "a tilde is a plain character in a pattern"),
        ],
    )  # fmt: skip
    def test_find_keeps_a_rule_of_matching(
        self, fs: ClusterFilesystem, pattern: str, names: list[str], promise: str
    ) -> None:
        found = {path.removeprefix("odd/files/") for path in fs.find(pattern, "odd/files")}
        if pattern == "*.csv":
            found &= set(names)
        expect(found, set(names), f"find({pattern!r}): {promise}")

    def test_find_does_not_take_the_root_for_a_pattern(self, fs: ClusterFilesystem) -> None:
        for name in NAMES:
            path = f"odd/folders/{name}"
            expect(fs.find("*.csv", path), [f"{path}/inner.csv"], f"the root {path!r} is no pattern")
            expect(fs.find("**/inner.csv", path), [f"{path}/inner.csv"], f"the root {path!r} is no pattern")

    def test_find_anchors_a_path_pattern_at_the_root(self, fs: ClusterFilesystem) -> None:
        told = ["project/data/sub/d.csv"]
        expect(
            fs.find("data/sub/*.csv", "project"),
            told,
            "a pattern with a slash matches the whole path below the root",
        )
        expect(fs.find("sub/*.csv", "project"), [], "a pattern with a slash begins at the root")

    def test_find_path_patterns_keep_max_depth_and_links(self, fs: ClusterFilesystem, truth: Truth) -> None:
        for depth in (1, 2, 3):
            told = truth("find", pattern="**/*.csv", path="project", max_depth=depth)
            expect(fs.find("**/*.csv", "project", max_depth=depth), told, "max_depth holds for path patterns")
        for follow in (False, True):
            told = truth("find", pattern="*/*/*.csv", path="links", follow=follow)
            found = fs.find("*/*/*.csv", "links", follow_symlinks=follow)
            expect(found, told, f"follow_symlinks={follow} holds for path patterns")

    @pytest.mark.parametrize("pattern", ["/x", "/", "../x", "..//x", "x/", "**/", "", "a\0b"])
    def test_find_refuses_patterns_that_cannot_match(self, fs: ClusterFilesystem, pattern: str) -> None:
        with raises(ValueError, f"find refuses the pattern {pattern!r}"):
            fs.find(pattern)
        with raises(ValueError, f"count_files refuses the pattern {pattern!r}"):
            fs.count_files(".", pattern)


def check_find(
    fs: ClusterFilesystem, truth: Truth, patterns: list[str], path: str, kind: EntryType = "f"
) -> None:
    """Each pattern finds, and counts, what the oracle says."""
    told = truth.all([{"ask": "find", "pattern": each, "path": path, "kind": kind} for each in patterns])
    for pattern, expected in zip(patterns, told, strict=True):
        promise = f"find({pattern!r}, {path!r}, type={kind!r}) matches by the documented rules"
        expect(fs.find(pattern, path, type=kind), expected, promise)
        if kind == "f":
            expect(fs.count_files(path, pattern), len(expected), "count_files counts what find finds")
