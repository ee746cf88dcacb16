"""The oracle by which backends are judged is itself right: it agrees with bash, Python and GNU find."""

from __future__ import annotations

import ast
import fnmatch
import inspect
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clustrix_core.testing import Place, local_place, oracle, tree
from clustrix_core.testing.asking import Gardener, Truth
from clustrix_core.testing.suite.globbing import BRACES, PATTERNS, WITH_LINKS

MANY = settings(max_examples=300, deadline=None)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with local_place() as made:
        Gardener(made).make("main")
        yield made


@pytest.fixture(scope="module")
def truth(place: Place) -> Truth:
    return Truth(place)


@MANY
@given(
    name=st.text("abcz-!^]*é\n", max_size=5),
    pattern=st.lists(st.sampled_from([*"abc-?*[]!^é\n", "[a-c]", "[!a]", "[c-a]", "[^a]"]), max_size=5),
)
def test_names_match_as_in_fnmatch(name: str, pattern: list[str]) -> None:
    text = "".join(pattern)
    assert oracle.matches(name, text) == fnmatch.fnmatchcase(name, text)


@MANY
@given(st.lists(st.text("ab{},{}", max_size=9), min_size=1, max_size=30))
def test_braces_expand_as_in_bash(patterns: list[str]) -> None:
    # The quoted end keeps empty words, which bash would drop; a word's very first {} is plain to it, too.
    lines = [f'printf "%s\\0" .{pattern}"." ; printf "\\0"' for pattern in patterns]
    script = "set -f; " + "; ".join(lines)
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    expanded = [answer.split("\0") for answer in said.removesuffix("\0\0").split("\0\0")]
    assert [oracle.expand(f".{pattern}.") for pattern in patterns] == expanded


@pytest.mark.parametrize("pattern", BRACES)
def test_the_suites_braces_are_those_of_bash(pattern: str) -> None:
    assert oracle.expand(pattern) == BRACES[pattern]
    if "[{]" not in pattern:  # which bash takes for the start of a list
        script = f'set -f; printf "%s\\n" {pattern}'
        said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
        assert said.splitlines() == BRACES[pattern]


@pytest.mark.parametrize(("path", "patterns"), [("project", PATTERNS), ("links", WITH_LINKS)])
def test_globbing_is_that_of_python(truth: Truth, path: str, patterns: list[str]) -> None:
    for pattern in patterns:
        assert truth("glob", pattern=pattern, path=path) == truth("pythons_glob", pattern=pattern, path=path)


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("kind", "fdl")
@pytest.mark.parametrize("path", ["odd", "order", "project", "special", "links/folder/sub", "hollow"])
def test_finding_is_that_of_gnu_find(place: Place, truth: Truth, path: str, kind: str, follow: bool) -> None:
    command = ["find", *(["-L"] if follow else []), path, "-mindepth", "1", "-type", kind, "-print0"]
    said = subprocess.run(command, cwd=place.root, capture_output=True).stdout
    found = [name.decode("utf-8", "surrogateescape") for name in sorted(said.split(b"\0")[:-1])]
    loops = {"links/folder/sub/self"}  # GNU find names a loop on stderr instead
    assert set(truth("find", pattern="*", path=path, kind=kind, follow=follow)) - loops == set(found) - loops


@pytest.mark.parametrize("script", [oracle, tree], ids=["oracle", "tree"])
def test_the_scripts_stand_alone(script: ModuleType) -> None:
    """They are sent to whatever Python the place has: 3.6 syntax, and the standard library only."""
    parsed = ast.parse(inspect.getsource(script), feature_version=(3, 6))
    imported = {
        alias.name for node in ast.walk(parsed) if isinstance(node, ast.Import) for alias in node.names
    }
    modules = {node.module for node in ast.walk(parsed) if isinstance(node, ast.ImportFrom)}
    assert imported | modules <= sys.stdlib_module_names
    assert "__future__" not in modules, "annotations came with 3.7"
