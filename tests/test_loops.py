"""Loops that are split, and those that aren't: verdicts, results, exceptions."""

from __future__ import annotations

import math
import operator
import os
import pickle
import pty
import re
import subprocess
import sys
import syslog
import traceback
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from clustrix import cluster
from clustrix_core.errors import LoopError
from clustrix_core.loops import explain, independent, plan, split


def squares(values: Any) -> Any:
    found = []
    for value in values:
        if value == 2:
            continue
        square = value * value
        found.append(square)
    return found, square


def total(values: Any) -> Any:
    return sum(value / 3 for value in values)


def running(values: Any) -> Any:
    before = 0
    found = []
    for value in values:
        found.append(value + before)
        before = value
    return found


def inverse(values: Any) -> Any:
    found = []
    for value in values:
        print("at", value)
        found.append(1 / value)
    return found


def unknown(function: Any, values: Any) -> Any:
    return [function(value) for value in values]


def always(function: Any, **options: Any) -> Any:
    return split(function, workers=2, always=True, **{"mode": True, **options})


def test_a_split_loop_gives_what_the_serial_one_gives() -> None:
    assert [loop.split for loop in explain(squares).loops] == [True]
    assert always(squares)(range(50)) == squares(range(50))
    assert always(total)([0.1 * number for number in range(99)]) == total([0.1 * n for n in range(99)])


def test_what_depends_on_an_iteration_before_is_refused_with_a_reason() -> None:
    (loop,) = explain(running).loops
    assert (loop.split, loop.code, loop.name) == (False, "carried", "before")
    assert loop.remedy
    assert always(running)([1, 2, 3]) == [1, 3, 5]
    with pytest.raises(LoopError, match="before may come from an iteration before"):
        always(running, mode="require")


def test_an_exception_is_that_of_the_first_iteration_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        always(inverse)([3, 0, 1, 0])
    assert traceback.extract_tb(caught.value.__traceback__)[-1].line == "found.append(1 / value)"
    assert capsys.readouterr().out == "at 3\nat 0\n"


def test_trust_is_called_an_assumption() -> None:
    assert explain(unknown).loops[0].code == "unknown-call"
    trusted = explain(unknown, trust=True).loops[0]
    assert trusted.split
    assert trusted.assumptions


class Notebook(list[object]):
    def note(self, what: object) -> None:
        self.append(what)


class EqualAndNoted:
    def __init__(self) -> None:
        self.asked = Notebook()

    def __eq__(self, other: object) -> bool:
        self.asked.note(other)
        return True

    __hash__ = None  # type: ignore[assignment]


@independent
def itself(value: int) -> int:
    return value


def found_in(values: list[int], items: list[Any]) -> list[Any]:
    return [(itself(value), value in items) for value in values]


def test_what_is_declared_says_nothing_of_others() -> None:
    item = EqualAndNoted()
    assert always(found_in)([1, 2, 3], [item]) == [(1, True), (2, True), (3, True)]
    assert item.asked == [1, 2, 3]


class Scale:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def scaled(self, value: int) -> int:
        return value * self.factor


class CountingScale(Scale):
    def scaled(self, value: int) -> int:
        self.factor += 1
        return value * self.factor


def scaled_by(scale: Scale, values: list[int]) -> list[int]:
    found = []
    for value in values:
        found.append(scale.scaled(value))
    return found


def test_methods_are_those_of_the_objects_class(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "clustrix.loops")
    (loop,) = explain(scaled_by).loops
    assert loop.text == "split, if scale is of class Scale"
    assert always(scaled_by)(Scale(3), [1, 2, 3]) == [3, 6, 9]
    assert not caplog.records
    counting = CountingScale(1)
    assert always(scaled_by)(counting, [1, 1, 1]) == [2, 3, 4]
    assert counting.factor == 4
    assert (
        "stays serial: self.factor is changed, and others may see that, in CountingScale.scaled"
        in caplog.text
    )
    with pytest.raises(LoopError, match=r"self\.factor is changed"):
        always(scaled_by, mode="require")(counting, [1])


def test_the_text_of_methods_travels(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(TRAVELLING)
    subprocess.run([sys.executable, str(script)], check=True, timeout=60)


TRAVELLING = """
from clustrix_core.loops import plan
class Scale:
    def scaled(self, value):
        return value
class Other:
    def left(self, value):
        return value
def scaled_by(scale, values):
    return [scale.scaled(value) for value in values]
assert {name for _, name, _ in plan(scaled_by).sources} == {"scaled_by", "scaled"}
"""


class Model:
    @independent
    @staticmethod
    def plain(value: int) -> Any:
        return globals().update(value=value)

    @independent
    @classmethod
    def of_class(cls, value: int) -> Any:
        return globals().update(value=value)


@independent
@cluster(cores=2)
def job(value: int) -> Any:
    return globals().update(value=value)


def declared(values: list[int]) -> list[Any]:
    return [(Model.plain(value), Model.of_class(value), job(value)) for value in values]


def test_what_is_declared_is_what_is_called_in_the_end() -> None:
    (loop,) = explain(declared).loops
    assert loop.split
    assert len(loop.assumptions) == 3


@pytest.mark.parametrize("function", [len, int, str.upper, math.sin, operator.itemgetter(1)])
def test_what_can_not_be_marked_is_called_in_a_function_of_ones_own(function: Any) -> None:
    with pytest.raises(TypeError, match=r"can't be marked .* function of your own, .* parallel=\"trust\""):
        independent(function)


def test_independent_is_for_functions() -> None:
    with pytest.raises(TypeError, match=r"Model\.\S+ is bound to an object: put @independent before its def"):
        independent(Model.of_class)
    with pytest.raises(TypeError, match="is for functions, and this is of type list"):
        independent([])  # type: ignore[type-var]


def logged(values: list[str]) -> list[None]:
    return [syslog.syslog(value) for value in values]


def test_of_what_is_built_in_nobody_is_told_to_mark_it() -> None:
    (loop,) = explain(logged).loops
    assert "declare a function of your own that calls syslog.syslog with @independent" in loop.remedy


def test_checking_computes_both_ways() -> None:
    assert always(squares, mode="check")(range(40)) == squares(range(40))


def test_a_plan_splits_where_there_is_no_source() -> None:
    there = pickle.loads(cloudpickle.dumps(plan(squares)))
    assert always(there)(range(20)) == squares(range(20))


PROGRESS = """
import time
from clustrix_core.loops import independent, split
@independent
def nap(number):
    time.sleep(0.05)
    return number
def naps(count):
    found = []
    for number in range(count):
        found.append(nap(number))
    return found
assert split(naps, workers=2, progress=True)(80) == list(range(80))
"""


def test_progress_is_shown_at_a_terminal_and_not_for_quick_loops_elsewhere(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROGRESS)
    quiet = subprocess.run([sys.executable, str(script)], capture_output=True, timeout=60)
    assert (quiet.returncode, quiet.stderr) == (0, b"")
    terminal, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(script)], stderr=slave, env={**os.environ, "TERM": "xterm"}
    )
    assert process.wait(60) == 0
    shown = os.read(terminal, 1 << 16)
    os.close(slave)
    os.close(terminal)
    assert re.search(rb"\[#+ +\] +\d+% the loop in naps", shown)
