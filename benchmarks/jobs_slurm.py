"""Functions as jobs on a throwaway SLURM cluster: Clustrix over SSH, and its peers in the cluster itself."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from unittest.mock import patch

from environment import HERE, say
from operations import ratios, rotated
from report import Group, Row
from ssh_place import Line, lines
from trivial import increment

from clustrix import ClusterConfig, Job, cluster
from clustrix_core.jobs.job import Submission
from clustrix_core.session import pool
from clustrix_core.testing.servers import SlurmCluster

PAUSE = 4  # seconds before each: SLURM's scheduler takes what was submitted in batches
TASKS, FEW = 50, 5
ARRAY_ROUNDS = 2  # of a minute or more for each contender
TICK = 2  # seconds between two questions to the controller, at least

AHEAD = 1
BEYOND_AT_MOST = 500  # ms
TRIPS_AT_MOST = 3
MAP_AT_MOST = 1.2

SBATCH = b"""
import subprocess, sys, time
began = time.perf_counter()
subprocess.run(["sbatch", "--wait", "--output=/dev/null", *sys.argv[1:]], check=True, stdout=subprocess.PIPE)
print(time.perf_counter() - began)
"""
RUN = b"""
import subprocess, sys
sys.stdout.buffer.write(subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE).stdout)
"""
OWN_TIME = b"""
import glob, os, sys
job = max(glob.glob(sys.argv[1] + "/.clustrix/jobs/*"), key=os.path.getmtime)
print(os.stat(job + "/done/0").st_mtime - os.stat(job + "/claim").st_mtime)
"""
QUERIES = ("REQUEST_JOB_INFO", "REQUEST_JOB_INFO_SINGLE", "REQUEST_JOB_USER_INFO", "REQUEST_JOB_STATE")
SUBMISSION = "REQUEST_SUBMIT_BATCH_JOB"


def measure(scratch: str, peers: Path, rounds: int) -> Iterator[Group]:
    say("starting a cluster")
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, XDG_STATE_HOME=scratch, XDG_CACHE_HOME=scratch))
        server = stack.enter_context(SlurmCluster())
        line = stack.enter_context(lines(server, (0,)))[0]
        stack.callback(pool.close)
        bench = Bench(server, peers)
        say(f"jobs on SLURM: a trivial call, {rounds} rounds")
        yield from bench.calls(rounds)
        yield round_trips(server, line)
        say(f"jobs on SLURM: {TASKS} tasks, {ARRAY_ROUNDS} rounds")
        yield from bench.arrays()


@dataclass(frozen=True)
class Taken:
    """What an array took, and its requests to the controller."""

    milliseconds: float
    submissions: int
    queries: int


class Bench:
    """Times the contenders on one cluster.

    Args:
        server: the cluster.
        peers: the interpreter of the peers' environment.
    """

    def __init__(self, server: SlurmCluster, peers: Path) -> None:
        self._server, self._peers, self._home = server, peers, server.accounts["root"].home
        self._own: list[float] = []  # ms that the jobs of the calls took
        self._function = cluster(config=config_of(server, server.port, str(server.known_hosts)))(increment)

    def calls(self, rounds: int) -> Iterator[Group]:
        """A trivial call."""
        timed = in_turn(rounds + 1, [self._call, self._sbatch, self._submitit])
        (ours, sbatch, submitit), own = timed, self._own[1:]
        beyond = [one - other for one, other in zip(ours, own, strict=True)]
        yield Group(
            title="Jobs on SLURM: a trivial call",
            unit="ms",
            comparison="Clustrix / this",
            meaning="From the call to the result, with the environment warm.",
            rows=(
                Row("clustrix, over SSH", ours),
                Row("sbatch --wait", sbatch, ratios(ours, sbatch), AHEAD),
                Row("submitit", submitit, ratios(ours, submitit), AHEAD),
            ),
        )
        yield Group(
            title="Jobs on SLURM: what the job itself takes",
            unit="ms",
            comparison="beyond it",
            meaning="In the same calls of Clustrix, from just before `sbatch` is run to the appearance of "
            "the outcome on the cluster's disk; and what the whole call takes beyond that.",
            rows=(Row("the job's own time", own, beyond, BEYOND_AT_MOST),),
        )

    def arrays(self) -> Iterator[Group]:
        """A map over many items, and what the controller is asked."""
        few, many = self._map(FEW), [self._map(TASKS)]
        sbatch, submitit = [], []
        for turn in range(ARRAY_ROUNDS):
            if turn > 0:
                many.append(self._map(TASKS))
            sbatch.append(self._sbatch(f"--array=0-{TASKS - 1}"))
        submitit.append(self._submitit(TASKS))
        ours = [each.milliseconds for each in many]
        yield Group(
            title=f"Jobs on SLURM: a map over {TASKS} items",
            unit="ms",
            comparison="Clustrix / this",
            meaning=f"One array of jobs, until all results are there. {ARRAY_ROUNDS} rounds, and one of "
            "submitit, of which nothing is asked.",
            rows=(
                Row("clustrix, over SSH", ours),
                Row(f"sbatch --wait --array=0-{TASKS - 1}", sbatch, ratios(ours, sbatch), MAP_AT_MOST),
                Row("submitit's map_array", submitit, [median(ours) / submitit[0]]),
            ),
        )
        yield controller({FEW: [few], TASKS: many})

    def _call(self) -> float:
        seconds = self._timed(lambda: self._function(1) == 2)
        self._own.append(1e3 * float(self._server.python(OWN_TIME, [self._home])))
        return seconds

    def _map(self, tasks: int) -> Taken:
        before = self._asked()
        milliseconds = self._timed(lambda: list(self._function.map(range(tasks))) == [*range(1, tasks + 1)])
        submissions, queries = (now - then for now, then in zip(self._asked(), before, strict=True))
        return Taken(milliseconds, submissions, queries)

    def _timed(self, works: Callable[[], bool]) -> float:
        sleep(PAUSE)
        began = perf_counter()
        worked = works()
        milliseconds = 1e3 * (perf_counter() - began)
        if not worked:
            raise RuntimeError("a job of Clustrix gives a wrong result")
        return milliseconds

    def _sbatch(self, *options: str) -> float:
        sleep(PAUSE)
        wrapped = f"--wrap={sys.executable} -c 'print(1 + 1)'"
        return 1e3 * float(self._server.python(SBATCH, [*options, wrapped]))

    def _submitit(self, tasks: int = 0) -> float:
        sleep(PAUSE)
        script, folder = str(HERE / "submitit_jobs.py"), f"{self._home}/submitit"
        return 1e3 * float(self._server.python(RUN, [str(self._peers), script, folder, str(tasks)]))

    def _asked(self) -> tuple[int, int]:
        """How many jobs the controller was given, and how often it was asked about jobs, by anybody."""
        told = self._server.python(RUN, ["sdiag"]).decode()
        counts = {name: int(count) for name, count in re.findall(r"(\w+)\s*\(\s*\d+\)\s*count:(\d+)", told)}
        return counts.get(SUBMISSION, 0), sum(counts.get(query, 0) for query in QUERIES)


def in_turn(rounds: int, contenders: Sequence[Callable[[], float]]) -> list[list[float]]:
    """What each gives in each round but the first."""
    samples: list[list[float]] = [[] for _ in contenders]
    for turn in range(rounds):
        for position in rotated(len(contenders), turn):
            sample = contenders[position]()
            if turn > 0:
                samples[position].append(sample)
    return samples


def controller(taken: dict[int, list[Taken]]) -> Group:
    rows = []
    for tasks, samples in taken.items():
        given = [float(each.submissions) for each in samples]
        asked = [float(each.queries) for each in samples]
        often = [1e3 * TICK * each.queries / each.milliseconds for each in samples]
        rows.append(Row(f"jobs given, {tasks} tasks", given, given, 1))
        rows.append(Row(f"questions about them, {tasks} tasks", asked, often, 1))
    return Group(
        title="Jobs on SLURM: requests to the controller",
        unit="requests",
        comparison="in all, or in 2 s",
        meaning="Of one map, as `sdiag` counts them. One job is given to SLURM for all tasks; how often it "
        "is asked depends on the time that they take, and not on their number.",
        rows=tuple(rows),
    )


def round_trips(server: SlurmCluster, line: Line) -> Group:
    """How many round trips there are in a submission by a connection that is up."""
    function = cluster(config=config_of(server, line.place.port, line.place.known_hosts))(increment)
    function(1)
    trips = []
    for _ in range(3):
        with patch.object(Submission, "followed", lambda self: self):  # which has round trips of its own
            line.relay.reset()
            known = function.submit(1).id
            trips.append(float(line.relay.round_trips))
        job = Job.attach(known)
        assert isinstance(job, Job)
        job.result()
    return Group(
        title="Jobs on SLURM: submitting",
        unit="round trips",
        comparison="median",
        meaning="As the relay counts them, on a connection that is up.",
        rows=(Row("clustrix, over SSH", trips, trips, TRIPS_AT_MOST),),
    )


def config_of(server: SlurmCluster, port: int, known_hosts: str) -> ClusterConfig:
    return ClusterConfig(
        cluster_type="slurm",
        cluster_host=server.host,
        cluster_port=port,
        username="root",
        key_file=str(server.accounts["root"].key_file),
        known_hosts_file=known_hosts,
        ssh_config_file="none",
        use_agent=False,
        remote_work_dir=server.root,
        python_executable=sys.executable,
    )
