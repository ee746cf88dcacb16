"""The operations over SSH, through lines of various lengths: times, round trips, memory at both ends."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from contenders import Contender
from environment import say
from memory import forget_peak, peak_bytes, resident_bytes
from operations import UNSEEN, Worker, both_workers, rotated
from report import Group, Row, Spread, Table, shown
from ssh_contenders import BEYOND_AT_MOST, OPERATIONS, RTTS, Scope, SshOperation
from ssh_place import Line, agents, lines

from clustrix_core.testing.servers import SlurmCluster

ELSEWHERE = 3  # rounds over lines of which nothing is asked
FIRST_AT_MOST = 8  # round trips
MEMORY_AT_MOST = 100  # MB
AGENTS = ("clustrix ssh", "clustrix slurm")
HERE = "on the host itself"


@dataclass(frozen=True)
class Sample:
    seconds: float
    trips: int
    peak: float  # MB
    peak_there: float  # MB


Samples = dict[tuple[int, str], list[Sample]]
"""By round-trip time and contender, one for each round."""


class Bench:
    """Times contenders on one cluster.

    Args:
        scratch: where the trees are, which the cluster sees as well.
    """

    def __init__(
        self, cluster: SlurmCluster, ways: dict[int, Line], workers: dict[bool, Worker], scratch: str
    ) -> None:
        self._cluster, self._lines, self._workers, self._scratch = cluster, ways, workers, scratch

    def measure(self, index: int, rounds: int) -> Samples:
        operation = OPERATIONS[index]
        samples: Samples = defaultdict(list)
        for rtt in operation.rtts:
            expected: dict[Scope, object] = {}
            most = operation.rounds if rtt == operation.asked_at else ELSEWHERE
            for turn in range(min(rounds, most) + 1):
                for position in rotated(len(operation.contenders), turn):
                    contender = operation.contenders[position]
                    slow = contender.peer and operation.part is not None
                    if slow and turn != 1:
                        continue
                    scope = operation.part if slow and operation.part else operation.whole
                    if scope not in expected:
                        expected[scope] = self._time(index, 0, rtt, scope)[1]
                    sample, answer = self._time(index, position, rtt, scope)
                    if answer not in (expected[scope], UNSEEN):
                        raise RuntimeError(
                            f"{contender.label} answers {answer} about {scope}, Clustrix {expected[scope]}"
                        )
                    if slow:
                        sample = scaled(sample, operation.scale)
                    if turn > 0:
                        samples[rtt, contender.label].append(sample)
        return samples

    def _time(self, index: int, position: int, rtt: int, scope: Scope) -> tuple[Sample, object]:
        line = self._lines[rtt]
        contender, memory = OPERATIONS[index].contenders[position], OPERATIONS[index].memory
        place = replace(line.place, target=os.path.join(self._scratch, scope.path), number=scope.number)
        before = Far(agents(self._cluster)) if memory else Far([])
        line.relay.reset()
        timed = self._workers[contender.peer].time(index, position, asdict(place))
        trips = line.relay.round_trips
        for made in (f"{place.target}.got", f"{place.target}.put"):
            with suppress(FileNotFoundError):
                os.remove(made)
        peak = float(timed["peak"]) / 1e6
        return Sample(timed["seconds"], trips, peak, before.peak()), timed["answer"]


class Far:
    """The memory of processes on the far side, above what they have now."""

    def __init__(self, processes: Sequence[int]) -> None:
        self._before = {}
        for process in processes:
            forget_peak(process)
            self._before[process] = resident_bytes(process)

    def peak(self) -> float:
        return max((peak_bytes(each) - there for each, there in self._before.items()), default=0) / 1e6


def scaled(sample: Sample, scale: int) -> Sample:
    return replace(sample, seconds=scale * sample.seconds, trips=scale * sample.trips)


def measure(scratch: str, peers: Path, rounds: int, wanted: Sequence[int]) -> Iterator[Table]:
    """Ask the operations with these indices; the scratch folder holds what they are about."""
    say("starting a cluster")
    with (
        SlurmCluster() as cluster,
        lines(cluster, RTTS) as ways,
        both_workers(peers, "ssh_contenders") as workers,
    ):
        bench = Bench(cluster, ways, workers, scratch)
        known: list[tuple[SshOperation, Samples]] = []
        for index in wanted:
            say(f"over SSH: {OPERATIONS[index].title}")
            samples = bench.measure(index, rounds)
            known.append((OPERATIONS[index], samples))
            yield spread(*known[-1])
        yield first_trips(known)
        yield from warm(known)
        if any(operation.memory for operation, _ in known):
            yield memory(known)


def spread(operation: SshOperation, samples: Samples) -> Spread:
    at = operation.asked_at
    ours = milliseconds(samples[at, operation.contenders[0].label])
    rows, medians = [], []
    for contender in operation.contenders:
        theirs = milliseconds(samples[at, contender.label])
        compared = [] if contender is operation.contenders[0] else against(ours, theirs)
        rows.append(
            Row(contender.label + estimated(operation, contender), theirs, compared, contender.at_most)
        )
        times = [shown(median(milliseconds(samples[rtt, contender.label]))) for rtt in operation.rtts]
        trips = median(sample.trips for sample in samples[at, contender.label])
        medians.append([*times, f"{trips:,.0f}"])
    return Spread(
        title=f"SSH: {operation.title}",
        unit="ms",
        comparison=f"clustrix ssh / this, at {at} ms",
        meaning=meaning(operation),
        rows=tuple(rows),
        lines=[*(f"ms at {rtt} ms" for rtt in operation.rtts), "round trips"],
        medians=medians,
        plotted=operation.plotted,
    )


def estimated(operation: SshOperation, contender: Contender) -> str:
    return ", scaled" if contender.peer and operation.scale > 1 else ""


def meaning(operation: SshOperation) -> str:
    told = f"Compared, and round trips counted, at {operation.asked_at} ms."
    if operation.part is None:
        return told
    if operation.scale == 1:
        return f"{told} The peers were asked once at each length."
    return (
        f"{told} The peers were asked once at each length, about 1/{operation.scale:,} of it: their times "
        f"and round trips are {operation.scale:,} times those."
    )


def milliseconds(samples: Sequence[Sample]) -> list[float]:
    return [1e3 * sample.seconds for sample in samples]


def against(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    if len(theirs) < len(ours):  # it was asked once
        theirs = [median(theirs)] * len(ours)
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def first_trips(known: Sequence[tuple[SshOperation, Samples]]) -> Group:
    """How many round trips there are in a first answer and in a warm one."""
    rows = []
    for operation, samples in known:
        first = operation is OPERATIONS[0]
        if first or operation.warm:
            at_most = FIRST_AT_MOST if first else 1
            for label in AGENTS:
                trips = [float(sample.trips) for sample in samples[50, label]]
                rows.append(Row(f"{label}: {operation.title}", trips, trips, at_most))
    return Group(
        title="SSH: round trips",
        unit="round trips",
        comparison="median",
        meaning="As the relay counts them: what the client sends after it has been sent something.",
        rows=tuple(rows),
    )


def warm(known: Sequence[tuple[SshOperation, Samples]]) -> Iterator[Group]:
    rows = []
    for operation, samples in known:
        if operation.warm:
            work = milliseconds(samples[50, HERE])
            for label in AGENTS:
                times = milliseconds(samples[50, label])
                beyond = [one - other for one, other in zip(times, work, strict=True)]
                rows.append(Row(f"{label}: {operation.title}", times, beyond, BEYOND_AT_MOST))
    yield Group(
        title="SSH: warm calls at 50 ms",
        unit="ms",
        comparison="beyond the work",
        meaning="The work is the same call of Clustrix on the host itself, in the same round. Asked: 1.1 "
        "times the round trip and 3 ms.",
        rows=tuple(rows),
    )


def memory(known: Sequence[tuple[SshOperation, Samples]]) -> Group:
    rows = []
    for operation, samples in known:
        if operation.memory:
            for label in AGENTS:
                asked = samples[operation.asked_at, label]
                if not asked:
                    continue
                here, there = [one.peak for one in asked], [one.peak_there for one in asked]
                rows.append(Row(f"{label}: {operation.title}, here", here, here, MEMORY_AT_MOST))
                rows.append(Row(f"{label}: {operation.title}, there", there, there, MEMORY_AT_MOST))
    return Group(
        title="SSH: peak memory",
        unit="MB",
        comparison="median",
        meaning="Resident memory above what the processes held before: the client's here, the agent's there.",
        rows=tuple(rows),
    )


def indices(quick: bool) -> list[int]:
    """The operations to ask; the short run leaves out those that take long."""
    return [index for index, operation in enumerate(OPERATIONS) if not (quick and _is_long(operation))]


def _is_long(operation: SshOperation) -> bool:
    return operation.whole.path in ("million", "blob-1024")


def make_blobs(scratch: str, wanted: Sequence[int]) -> None:
    for name in sorted({OPERATIONS[index].whole.path for index in wanted}):
        if name.startswith("blob-"):
            with open(os.path.join(scratch, name), "wb") as file:
                for _ in range(int(name.rpartition("-")[2])):
                    file.write(os.urandom(1 << 20))
