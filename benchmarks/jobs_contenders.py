"""What is compared on this machine: a trivial function, called for many items by processes that are up."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from contenders import Contender, Operation
from trivial import increment

ITEMS = 10_000
MAP_AT_MOST = 2


def place_of(items: int) -> int:
    return items


def clustrix_map(items: int) -> list[int]:
    return list(clustrix_increment().map(range(items)))


@cache
def clustrix_increment() -> Any:
    from clustrix import cluster

    return cluster(increment)


def joblib_map(items: int) -> list[int]:
    joblib = importlib.import_module("joblib")
    work = (joblib.delayed(increment)(number) for number in range(items))
    return joblib.Parallel(n_jobs=joblib.cpu_count())(work)  # type: ignore[no-any-return]


OPERATIONS = (
    Operation(
        f"Jobs, local: a warm map over {ITEMS:,} trivial items",
        (
            Contender("clustrix map", clustrix_map),
            Contender("joblib.Parallel", joblib_map, MAP_AT_MOST, peer=True),
        ),
    ),
)
