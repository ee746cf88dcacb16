"""What is compared for loops: one as it is written, split by Clustrix, and by hand for joblib."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType
from typing import Any

from contenders import Contender, Operation

CORES = 2
JOBLIB_AT_MOST = 1.05
SERIAL_AT_MOST = 1.02


def place_of(place: object) -> object:
    return place


def escape_times(row: int, width: int) -> int:
    """Some hundredth of a second, for a width of 1,500."""
    total = 0
    for column in range(width):
        point, value = complex(-2 + 3 * column / width, -1.5 + row / 133), 0j
        steps = 0
        while abs(value) <= 2 and steps < 60:
            value = value * value + point
            steps += 1
        total += steps
    return total


def image(rows: int) -> list[int]:
    counts = []
    for row in range(rows):
        counts.append(escape_times(row, 1500))
    return counts


def image_by_joblib(rows: int) -> list[int]:
    return in_parallel(escape_times, [(row, 1500) for row in range(rows)])


def uneven_image(rows: int) -> list[int]:
    """A few rows take a hundred times as long as the others."""
    counts = []
    for row in range(rows):
        counts.append(escape_times(row, 15_000 if row % 50 == 49 else 150))
    return counts


def uneven_image_by_joblib(rows: int) -> list[int]:
    return in_parallel(escape_times, [(row, 15_000 if row % 50 == 49 else 150) for row in range(rows)])


def resampled(data: Any, seed: int) -> float:
    import numpy

    generator = numpy.random.default_rng(seed)
    return float(numpy.median(generator.choice(data, size=len(data))))


def bootstrap(rounds: int) -> list[float]:
    import numpy

    data = numpy.random.default_rng(1).normal(size=50_000)
    medians = []
    for seed in range(rounds):
        medians.append(resampled(data, seed))
    return medians


def bootstrap_by_joblib(rounds: int) -> list[float]:
    import numpy

    data = numpy.random.default_rng(1).normal(size=50_000)
    return in_parallel(resampled, [(data, seed) for seed in range(rounds)])


def lengths(count: int) -> list[float]:
    found = []
    for number in range(count):
        found.append(math.sqrt(number * number + 1))
    return found


def lengths_again_and_again(count: int) -> list[float]:
    return lengths_of(copied(lengths), count)


def split_lengths_again_and_again(count: int) -> list[float]:
    return lengths_of(split(lengths), count)


def lengths_of(function: Callable[[int], list[float]], count: int) -> list[float]:
    for _ in range(300):
        found = function(count)
    return found


def in_parallel(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    joblib = importlib.import_module("joblib")
    return joblib.Parallel(n_jobs=CORES)(joblib.delayed(function)(*call) for call in calls)  # type: ignore[no-any-return]


@cache
def copied(function: Callable[[int], Any]) -> Callable[[int], Any]:
    """The same function, made as late as the one that is split: that alone makes it 2 to 6 % slower here."""
    return FunctionType(function.__code__.replace(), function.__globals__, function.__name__)  # type: ignore[attr-defined]


@cache
def split(function: Callable[[int], Any]) -> Callable[[int], Any]:
    from clustrix_core.loops import split as split_loops

    return split_loops(function, workers=CORES)


def against_joblib(title: str, serial: Callable[[int], Any], by_hand: Callable[[int], Any]) -> Operation:
    return Operation(
        title,
        (
            Contender("clustrix", lambda count: split(serial)(count)),
            Contender("joblib, by hand", by_hand, JOBLIB_AT_MOST, peer=True),
            Contender("as it is written", serial),
        ),
    )


OPERATIONS = (
    against_joblib("300 iterations that compute", image, image_by_joblib),
    against_joblib("300 iterations, of which some take long", uneven_image, uneven_image_by_joblib),
    against_joblib("300 iterations with NumPy", bootstrap, bootstrap_by_joblib),
    Operation(
        "a loop of a millisecond, 300 times",
        (
            Contender("clustrix", split_lengths_again_and_again),
            Contender("as it is written, in a copy of its code", lengths_again_and_again, SERIAL_AT_MOST),
        ),
    ),
    Operation(
        "a loop of some hundredth of a second",
        (
            Contender("clustrix", lambda count: split(lengths)(count)),
            Contender("as it is written", lengths, SERIAL_AT_MOST),
        ),
    ),
)
COUNTS = (300, 300, 300, 10_000, 100_000)
