"""`PropertySuite`: the operations and the oracle agree on trees and patterns that nobody thought of.

This module needs hypothesis: `pip install "clustrix-core[testing]"`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.testing.asking import Entry, Gardener, Truth
from clustrix_core.testing.place import Place
from clustrix_core.testing.suite.base import SuiteBase, expect, facts
from clustrix_core.testing.suite.finding import check_search

ALPHABET = [*"aAb.-~*?[]{},! \n'\\$é", "\udcff", "\udcc3", "\u0301", "🎉", "csv", ".csv"]
NAMES = (
    st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=4)
    .map("".join)
    .filter(lambda name: name not in (".", ".."))
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
ENTRIES = st.lists(st.tuples(st.sampled_from(["file", "file", "folder", "link"]), PATHS, PATHS), max_size=8)

PIECES = ["*", "*", "?", "[ab]", "[!a]", "[a-z]", "[z-a]", "[", "]", "[]]", "[!]", "*.csv", "*é", "*\udcff"]
PARTS = st.lists(st.sampled_from(PIECES + ALPHABET), min_size=1, max_size=3).map("".join)
PART = PARTS.filter(lambda part: part not in (".", ".."))
PATTERNS = st.lists(PART | st.just("**"), min_size=1, max_size=3).map("/".join)
SEARCHES = st.fixed_dictionaries(
    {
        "pattern": PATTERNS,
        "path": st.just("any"),
        "kind": st.sampled_from("ffdl"),
        "max_depth": st.sampled_from([None, None, 1, 2]),
        "follow": st.booleans(),
    }
)
GLOBS = st.tuples(PATTERNS, st.sampled_from(["", "", "/"])).map("".join)

SOME = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


class PropertySuite(SuiteBase):
    """Random trees, random patterns. Subclass it beside `BackendSuite`, with the same fixture `place`."""

    @pytest.fixture(scope="class")
    @classmethod
    def tree(cls, gardener: Gardener) -> Iterator[None]:
        """Each example makes a small tree of its own; the last is left to remove."""
        yield
        gardener.clear()

    @SOME
    @given(
        entries=ENTRIES,
        patterns=st.lists(PATTERNS, min_size=1, max_size=6),
        searches=st.lists(SEARCHES, min_size=1, max_size=6),
    )
    def test_any_tree_is_found_listed_and_added_up(
        self,
        fs: ClusterFilesystem,
        truth: Truth,
        gardener: Gardener,
        place: Place,
        entries: list[Entry],
        patterns: list[str],
        searches: list[dict[str, Any]],
    ) -> None:
        self.make(gardener, entries)
        questions: list[dict[str, object]] = [
            {"ask": "ls", "path": "any", "detail": True},
            {"ask": "du", "path": "any"},
            {"ask": "find", "pattern": "*", "path": "any", "detail": True},
            {"ask": "find", "pattern": "*", "path": "any", "kind": "d"},
            {"ask": "find", "pattern": "*", "path": "any", "kind": "l"},
            {"ask": "find", "pattern": "*", "path": "any", "follow": True},
        ]
        questions += [{"ask": "find", "pattern": pattern, "path": "any"} for pattern in patterns]
        questions += [{"ask": "find", "detail": True, **search} for search in searches]
        ls, du, detailed, folders, links, followed, *found = truth.all(questions)
        expect(facts(place, fs.ls("any", detail=True)), facts(place, ls), "ls in detail")
        expect(fs.ls("any"), [record[0].removeprefix("any/") for record in ls], "ls")
        told = du["once" if place.has("hardlinks") else "each"], du["count"]
        expect((fs.du("any").total_bytes, fs.du("any").file_count), told, "du")
        expect(facts(place, fs.find("*", "any", detail=True)), facts(place, detailed), "find in detail")
        expect(fs.find("*", "any", type="d"), folders, "find of folders")
        expect(fs.find("*", "any", type="l"), links, "find of links")
        expect(fs.find("*", "any", follow_symlinks=True), followed, "find that follows links")
        expect(fs.count_files("any"), du["count"], "count_files")
        for search, told in zip(searches, found[len(patterns) :], strict=True):
            check_search(fs, place, search, told)
        for pattern, paths in zip(patterns, found, strict=False):
            expect(fs.find(pattern, "any"), paths, f"find({pattern!r})")
            expect(list(fs.iterfind(pattern, "any")), paths, f"iterfind({pattern!r})")
            expect(fs.count_files("any", pattern), len(paths), f"count_files('any', {pattern!r})")

    @SOME
    @given(entries=ENTRIES, patterns=st.lists(GLOBS, min_size=1, max_size=8))
    def test_any_tree_is_globbed_and_told_of(
        self,
        fs: ClusterFilesystem,
        truth: Truth,
        gardener: Gardener,
        place: Place,
        entries: list[Entry],
        patterns: list[str],
    ) -> None:
        self.make(gardener, entries)
        told = truth.all([{"ask": "glob", "pattern": pattern, "path": "any"} for pattern in patterns])
        for pattern, paths in zip(patterns, told, strict=True):
            expect(fs.glob(pattern, "any"), paths, f"glob({pattern!r})")
        paths = sorted({f"any/{path}" for _, path, _ in entries}, key=os.fsencode)
        asks = [
            {"ask": ask, "path": path} for path in paths for ask in ("exists", "isdir", "isfile", "stats")
        ]
        answers = iter(truth.all(asks))
        for path in paths:
            expect(fs.exists(path), next(answers), f"exists({path!r})")
            expect(fs.isdir(path), next(answers), f"isdir({path!r})")
            expect(fs.isfile(path), next(answers), f"isfile({path!r})")
            self.check_stat(fs, place, path, next(answers))

    def check_stat(self, fs: ClusterFilesystem, place: Place, path: str, told: object) -> None:
        (found,) = fs.stat([path], on_error="return")
        if isinstance(told, OSError):
            assert isinstance(found, OSError), f"stat({path!r}) raises"
        else:
            assert isinstance(told, list)
            assert not isinstance(found, OSError), f"stat({path!r}) doesn't raise {found!r}"
            expect(facts(place, [found]), facts(place, [told]), f"stat({path!r})")

    def make(self, gardener: Gardener, entries: list[Entry]) -> None:
        """Make a tree of the entries that fit together, in place of the last one."""
        planted: dict[str, Entry] = {}
        folders: set[str] = set()
        for kind, path, value in entries:
            above = {path[:at] for at, char in enumerate(path) if char == "/"}
            taken = planted.get(path)
            if (
                taken
                or path in folders
                or any(one in planted and planted[one][0] != "folder" for one in above)
            ):
                continue
            planted[path] = (kind, path, value)
            folders |= above
        gardener.replant("any", list(planted.values()))
