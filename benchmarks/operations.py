"""The operations on the tree of 100,000 files, against their contenders."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contenders import OPERATIONS, UNSEEN, Operation
from environment import HERE, say
from report import Group, Row


class Worker:
    """An interpreter that times contenders; see worker.py."""

    def __init__(self, python: str | Path, module: str) -> None:
        self._process = subprocess.Popen(
            [python, HERE / "worker.py", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def time(self, operation: int, contender: int, place: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([operation, contender, place]) + "\n")
        self._process.stdin.flush()
        reply = self._process.stdout.readline()
        if not reply:
            raise RuntimeError("a contender failed: its traceback stands above")
        return json.loads(reply)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._process.communicate()


@contextmanager
def both_workers(peers: Path, module: str) -> Iterator[dict[bool, Worker]]:
    """This environment's worker and the peers', by `Contender.peer`."""
    ours, theirs = Worker(sys.executable, module), Worker(peers, module)
    try:
        yield {False: ours, True: theirs}
    finally:
        ours.close()
        theirs.close()


def measure(root: str, peers: Path, rounds: int) -> Iterator[Group]:
    with both_workers(peers, "contenders") as workers:
        for index, operation in enumerate(OPERATIONS):
            say(f"{operation.title}: {rounds} rounds")
            yield as_group(operation, time_operation(operation, index, root, workers, rounds))


def time_operation(
    operation: Operation, index: int, place: object, workers: dict[bool, Worker], rounds: int
) -> list[list[float]]:
    """The seconds of each contender in each round, after an untimed one."""
    contenders = operation.contenders
    seconds: list[list[float]] = [[] for _ in contenders]
    expected = workers[False].time(index, 0, place)["answer"]
    for turn in range(rounds + 1):
        for position in rotated(len(contenders), turn):
            contender = contenders[position]
            timed = workers[contender.peer].time(index, position, place)
            if timed["answer"] not in (expected, UNSEEN):
                raise RuntimeError(f"{contender.label} answers {timed['answer']}, Clustrix {expected}")
            if turn > 0:
                seconds[position].append(timed["seconds"])
    return seconds


def as_group(operation: Operation, seconds: list[list[float]]) -> Group:
    ours = seconds[0]
    rows = [Row(operation.contenders[0].label, [1e3 * one for one in ours])]
    for contender, theirs in zip(operation.contenders[1:], seconds[1:], strict=True):
        rows.append(
            Row(contender.label, [1e3 * one for one in theirs], ratios(ours, theirs), contender.at_most)
        )
    return Group(
        title=operation.title,
        unit="ms",
        comparison="Clustrix / this",
        meaning="On 100,000 files in 1,000 folders. Below 1, Clustrix is faster; 0.2 is five times faster.",
        rows=tuple(rows),
        plotted=True,
    )


def rotated(count: int, turn: int) -> list[int]:
    """The positions 0 to count - 1, beginning with another one each turn."""
    return [(turn + position) % count for position in range(count)]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ours, theirs, strict=True)]
