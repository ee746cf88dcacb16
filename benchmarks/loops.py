"""Loops that are split, against joblib, written by hand, and against the loops as they are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from environment import say
from loops_contenders import CORES, COUNTS, OPERATIONS
from operations import both_workers, ratios, time_operation
from report import Group, Row


def measure(peers: Path, rounds: int) -> Iterator[Group]:
    with both_workers(peers, "loops_contenders") as workers:
        for index, (operation, count) in enumerate(zip(OPERATIONS, COUNTS, strict=True)):
            say(f"loops, {operation.title}: {rounds} rounds")
            ours, *others = time_operation(operation, index, count, workers, rounds)
            first, *contenders = operation.contenders
            yield Group(
                title=f"Loops: {operation.title}",
                unit="ms",
                comparison="Clustrix / this",
                meaning=f"{CORES} workers, which are those of the round before.",
                rows=(
                    Row(first.label, [1e3 * one for one in ours]),
                    *(
                        Row(
                            contender.label,
                            [1e3 * one for one in theirs],
                            ratios(ours, theirs),
                            contender.at_most,
                        )
                        for contender, theirs in zip(contenders, others, strict=True)
                    ),
                ),
            )
