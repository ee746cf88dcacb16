"""Functions of every form stay what they are when their loops are split."""

from __future__ import annotations

import inspect
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loops_compare import differences, observe
from loops_running import always_split

from clustrix_core.loops import explain, split

OFFSET = 1
NAMES = ["a", "b", "c"]


def double(x):
    return x * 2


def plain(xs):
    """What it says."""
    out = []
    for x in xs:
        out.append(double(x) + OFFSET)
    return out


def with_all_kinds_of_arguments(xs, /, factor=2, *more, last=[], **rest):  # noqa: B006
    out = []
    for x in xs:
        out.append(x * factor)
    last.append(len(out))
    return out, more, last, sorted(rest.items())


def make_counter():
    calls = 0

    def counter(xs):
        nonlocal calls
        out = []
        for x in xs:
            out.append(x + 1)
        calls += len(out)
        return out, calls

    return counter


def make_with_text():
    def with_text(xs):
        text = """one
two
    three"""
        out = []
        for x in xs:
            out.append(
                (
                    x,
                    text,
                    """
at the margin""",
                )
            )
        return out

    return with_text


class Model:
    __private = 10
    scale = 3

    def __init__(self):
        self.__items = [1, 2]

    def predict(self, xs):
        out = []
        for x in xs:
            out.append(x * self.scale + self.__private + len(self.__items))
        return out

    @classmethod
    def by_class(cls, xs):
        return [x * cls.scale for x in xs]

    @staticmethod
    def by_itself(xs):
        return [x * 2 for x in xs]


class Better(Model):
    scale = 4

    def predict(self, xs):
        out = []
        for x in super().predict(xs):
            out.append(x + __class__.scale)
        return out


def globally(xs):
    global OFFSET
    OFFSET += 1
    out = []
    for x in xs:
        out.append(x + OFFSET)
    OFFSET -= 1
    return out


def calls_itself(xs):
    out = []
    for x in xs:
        out.append(calls_itself([x - 1]) if x > 1 else x)
    return out


def fails(xs):
    out = []
    for x in xs:
        y = 6 // x
        out.append(y)
    return out


def fails_in_callee(xs):
    out = []
    for x in xs:
        out.append(divided(x))
    return out


def divided(x):
    return 6 // x


def with_nested_definition(xs, scale: Undefined = 2):  # noqa: F821
    def helper(x: AlsoUndefined) -> Nowhere:  # noqa: F821
        return x * scale

    out = []
    for x in xs:
        out.append(helper(x))
    return out


def make_functions() -> dict[str, Callable[..., Any]]:
    return {
        "plain": plain,
        "counter": make_counter(),
        "text": make_with_text(),
        "method": Model().predict,
        "inherited": Better().predict,
        "class method": Model.by_class,
        "static method": Model.by_itself,
        "global": globally,
        "recursive": calls_itself,
        "lambda": lambda xs: [double(x) for x in xs],
        "annotations": with_nested_definition,
        "fails": fails,
        "callee fails": fails_in_callee,
    }


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", make_functions())
def test_the_same_twice(name: str) -> None:
    serial, parallel = make_functions()[name], always_split(make_functions()[name])
    for xs in [3, 1, 2], [1, 0, 5, 7]:
        assert not differences(observe(serial, (xs,)), observe(parallel, (xs,)))


def test_arguments_and_their_defaults() -> None:
    parallel = always_split(with_all_kinds_of_arguments)
    assert inspect.signature(parallel) == inspect.signature(with_all_kinds_of_arguments)
    given = parallel([1, 2], 3, "more", k=5)
    assert given == ([3, 6], ("more",), [2], [("k", 5)])
    assert with_all_kinds_of_arguments([1])[2] == [2, 1], "one default for both"
    assert parallel([1, 2, 3])[2] == [2, 1, 3]


def test_names_and_documentation() -> None:
    parallel = always_split(plain)
    assert (parallel.__name__, parallel.__doc__, parallel.__module__) == ("plain", "What it says.", __name__)


@pytest.mark.parametrize(
    ("function", "lines"), [(fails, ["y = 6 // x"]), (fails_in_callee, ["divided(x)", "6 // x"])]
)
def test_tracebacks_show_the_users_lines(function: Callable[..., Any], lines: list[str]) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        always_split(function)([3, 1, 0])
    shown = "".join(traceback.format_exception(caught.value))
    assert all(line in shown for line in lines)
    assert __file__ in shown


def test_from_several_threads() -> None:
    parallel = always_split(plain)
    results: dict[int, list[int]] = {}

    def run(n: int) -> None:
        results[n] = parallel(list(range(n, n + 20)))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: plain(list(range(n, n + 20))) for n in range(4)}


def test_what_has_no_source_runs_as_it_is() -> None:
    namespace: dict[str, Any] = {}
    exec("def f(xs):\n    return [x + 1 for x in xs]", namespace)
    assert always_split(namespace["f"])([1, 2]) == [2, 3]
    assert always_split(len)([1, 2]) == 2
    assert not any(loop.split for loop in explain(namespace["f"]).loops)


def test_serial_when_asked() -> None:
    assert split(plain, workers=2, mode=False)([1, 2]) == plain([1, 2])
