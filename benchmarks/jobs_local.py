"""Functions as jobs on this machine: a first call, and a map by processes that are up."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from environment import HERE, output, say
from jobs_contenders import ITEMS, OPERATIONS
from operations import both_workers, ratios, rotated, time_operation
from report import Group, Row

COLD_AT_MOST = 2


def measure(peers: Path, rounds: int) -> Iterator[Group]:
    say(f"jobs, local: {rounds} rounds")
    yield cold(peers, rounds)
    yield warm(peers, rounds)


def cold(peers: Path, rounds: int) -> Group:
    contenders = ((sys.executable, "clustrix"), (str(peers), "loky"))
    imports: list[list[float]] = [[], []]
    calls: list[list[float]] = [[], []]
    for turn in range(rounds + 1):
        for position in rotated(len(contenders), turn):
            python, name = contenders[position]
            imported, called = (1e3 * float(one) for one in output([python, HERE / "cold.py", name]).split())
            if turn > 0:
                imports[position].append(imported)
                calls[position].append(called)
    whole = [
        [one + other for one, other in zip(*pair, strict=True)] for pair in zip(imports, calls, strict=True)
    ]
    return Group(
        title="Jobs, local: a first call",
        unit="ms",
        comparison="Clustrix / this",
        meaning="A trivial function, in a process of its own each time, which has to start the workers: from "
        "the call to the result; and, for information, with what is imported before.",
        rows=(
            Row("clustrix", calls[0]),
            Row("loky", calls[1], ratios(calls[0], calls[1]), COLD_AT_MOST),
            Row("clustrix, with its import", whole[0]),
            Row("loky, with its import", whole[1], ratios(whole[0], whole[1])),
        ),
    )


def warm(peers: Path, rounds: int) -> Group:
    (operation,) = OPERATIONS
    with both_workers(peers, "jobs_contenders") as workers:
        ours, theirs = time_operation(operation, 0, ITEMS, workers, rounds)
    clustrix, joblib = operation.contenders
    return Group(
        title=operation.title,
        unit="ms",
        comparison="Clustrix / this",
        meaning="As many workers as there are cores, and those of the rounds before.",
        rows=(
            Row(clustrix.label, [1e3 * one for one in ours]),
            Row(joblib.label, [1e3 * one for one in theirs], ratios(ours, theirs), joblib.at_most),
        ),
    )
