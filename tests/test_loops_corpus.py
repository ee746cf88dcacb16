"""The corpora of loops: what is said of each is true, and split they do what they do in series."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from loops_cases import EITHER, INSIDE, SPLIT, Case, fresh
from loops_compare import differences, observe
from loops_running import always_split

from clustrix_core.loops import explain

NASTY = fresh("loops_nasty").CASES
RESEARCH = fresh("loops_research").CASES

# The codes by which a refusal may say what is true.
THEMES = {
    "carried": {
        "assigns-outside",
        "carried",
        "effect-order",
        "mutates-shared",
        "random-state",
        "reads-accumulator",
        "nonlocal",
    },
    "closure": {"closure", "nested-function"},
    "dynamic": {"dynamic-code", "no-source", "import"},
    "identity": {"identity", "unordered"},
    "iterable": {"lazy", "mutates-iterable"},
    "leaves": {
        "async-for",
        "await",
        "break",
        "for-else",
        "lazy",
        "return",
        "stops-early",
        "while",
        "yield",
    },
    "scope": {"global", "nested-function", "nonlocal"},
    "shared": {"global", "mutates-shared", "reads-accumulator"},
    "target": {"global", "mutates-shared"},
    "unknown": {"concurrency", "no-source", "unknown-call", "unknown-method", "surprising-class", "closure"},
    "world": {"clock", "concurrency", "random-state", "world", "writes-files"},
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in, by one name in both runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def may_be_said(expected: str, verdict: Any) -> bool:
    if expected == EITHER:
        return True
    if expected == SPLIT:
        return bool(verdict.split)
    if expected == INSIDE:
        return not verdict.split and verdict.code == "inside-split"
    return not verdict.split and any(verdict.code in THEMES[theme] for theme in expected.split())


def check_verdicts(case: Case) -> None:
    explanation = explain(case.function)
    verdicts = explanation.loops
    said = [(v.line, v.kind, SPLIT if v.split else v.code, v.name) for v in verdicts]
    assert len(verdicts) == len(case.loops), said
    assert all(map(may_be_said, case.loops, verdicts)), f"expected {case.loops}, not {said}"
    for verdict in verdicts:
        if not verdict.split:
            assert verdict.code
            assert verdict.message
            assert verdict.code == "inside-split" or verdict.remedy
        assert not verdict.assumptions, "nothing was declared"


def run(corpus: str, name: str, here: Path, split: bool) -> dict[str, Any]:
    """As if nothing had run before: the module and the folder are new."""
    for left in sorted(here.rglob("*"), reverse=True):
        left.rmdir() if left.is_dir() and not left.is_symlink() else left.unlink()
    os.chdir(here)
    module = fresh(corpus)
    case = module.CASES[name]
    function = always_split(case.function) if split else case.function
    return observe(function, case.args(here), lambda: state(module))


def state(module: Any) -> dict[str, Any]:
    hidden = ("CASES", "WORDS")
    return {
        k: v
        for k, v in vars(module).items()
        if isinstance(v, (int, list, dict)) and k not in hidden and k[0] != "_"
    }


@pytest.mark.parametrize("name", NASTY)
def test_what_is_said_of_nasty_loops(name: str) -> None:
    check_verdicts(NASTY[name])


@pytest.mark.parametrize("name", NASTY)
def test_nasty_loops_do_the_same(name: str, here: Path) -> None:
    serial = run("loops_nasty", name, here, split=False)
    assert not differences(serial, run("loops_nasty", name, here, split=True))


@pytest.mark.parametrize("name", RESEARCH)
def test_what_is_said_of_research_loops(name: str) -> None:
    check_verdicts(RESEARCH[name])


@pytest.mark.parametrize("name", RESEARCH)
def test_research_loops_do_the_same(name: str, here: Path) -> None:
    serial = run("loops_research", name, here, split=False)
    assert not differences(serial, run("loops_research", name, here, split=True))


def test_corpora_are_large_enough() -> None:
    assert len(NASTY) >= 120
    assert len(RESEARCH) == 43


def test_most_research_loops_are_split() -> None:
    split = [name for name, case in RESEARCH.items() if is_split(case)]
    assert len(split) >= 30, sorted(set(RESEARCH) - set(split))


def is_split(case: Case) -> bool:
    """The loop that the function is about: the first of which more is expected than either."""
    main = next(i for i, expected in enumerate(case.loops) if expected != EITHER)
    return explain(case.function).loops[main].split
