"""Jobs that the controller has forgotten, on a real cluster that keeps accounts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

import jobs_that_fail as sample
import pytest
from on_cluster import WORK, begun, config_of, function_of, job_of, run, wait_until

from clustrix import ClusterConfig, Job, JobArray, JobError
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.jobs import following, records
from clustrix_core.jobs.job import Submission
from clustrix_core.jobs.models import TaskState
from clustrix_core.session import pool
from clustrix_core.testing.servers import SlurmCluster
from clustrix_slurm.accounting import parsed

SETTINGS = """
MinJobAge=2
KillWait=2
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
"""


@pytest.fixture(scope="module")
def keeping() -> Iterator[SlurmCluster]:
    with SlurmCluster(settings=SETTINGS, accounting=True) as made:
        yield made


@pytest.fixture
def config(keeping: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterConfig]:
    """As root, who has the only Python there of this version for certain. All jobs end with the test."""
    monkeypatch.setattr(following, "GRACE", 2.0)
    yield config_of(keeping, "root", remote_work_dir=WORK, python_executable=sys.executable)
    run(keeping, "scancel", "--user=root")
    assert wait_until(lambda: run(keeping, "squeue", "--noheader") == "")
    pool.close()


@contextmanager
def asleep() -> Iterator[None]:
    """What is submitted meanwhile is not followed."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Submission, "followed", lambda self: self)
        yield


def is_forgotten(keeping: SlurmCluster, number: str) -> bool:
    known = ["squeue", "--noheader", "--array", "--states=all", "--format=%i"]
    return wait_until(lambda: number not in run(keeping, *known).split())


def test_a_job_that_was_cancelled_while_nobody_looked(config: ClusterConfig, keeping: SlurmCluster) -> None:
    with asleep():
        job, number = job_of(sample.marks, config, "held", options={"hold": None})
    run(keeping, "scancel", number)
    assert is_forgotten(keeping, number)
    found = Job.attach(job.id)
    assert isinstance(found, Job)
    with pytest.raises(CancelledError):
        found.result(60)


def test_a_task_that_was_ended_while_others_go_on(config: ClusterConfig, keeping: SlurmCluster) -> None:
    with asleep():
        array = function_of(sample.marks, config, memory="100").map(["one", "two", "three"], [1000, 1000, 3])
    number = records.load(array.id).scheduler_id
    assert begun(keeping, "one")
    assert begun(keeping, "two")
    run(keeping, "scancel", f"{number}_0")
    assert is_forgotten(keeping, f"{number}_0")
    found = Job.attach(array.id)
    assert isinstance(found, JobArray)
    with pytest.raises(CancelledError):
        found.jobs[0].result(60)
    assert found.jobs[2].result(60) == 1
    assert not found.jobs[1].done()


def test_out_of_memory_is_in_the_accounts(config: ClusterConfig, keeping: SlurmCluster) -> None:
    with asleep():
        job, number = job_of(sample.takes, config, 500 << 20, memory="250M")
    assert wait_until(lambda: "OUT_OF_ME" in run(keeping, "sacct", "-X", "-n", f"--jobs={number}"))
    assert is_forgotten(keeping, number)
    found = Job.attach(job.id)
    assert isinstance(found, Job)
    with pytest.raises(JobError, match="out of memory"):
        found.result(60)


def test_many_scattered_tasks_are_accounted_for(config: ClusterConfig, keeping: SlurmCluster) -> None:
    with asleep():
        array = function_of(sample.adds, config, options={"hold": None}).map(range(200))
    number = records.load(array.id).scheduler_id
    run(keeping, "scancel", f"{number}_[{','.join(map(str, range(0, 200, 2)))}]")
    run(keeping, "scancel", number)
    assert is_forgotten(keeping, number)
    name = f"clustrix-{array.id}"

    def told() -> set[int]:
        with ClusterFilesystem(config) as place:
            found: dict[str, list[TaskState]] = place._call("clustrix_job_states", jobs=[name])
        states = found.get(name, [])
        return {
            task for each in states for task in range(each.first, each.last + 1) if each.state == "cancelled"
        }

    assert wait_until(lambda: told() == {*range(200)})


def test_what_sacct_prints_is_read(config: ClusterConfig, keeping: SlurmCluster) -> None:
    said = "clustrix-1|12_[4-9%2]|PENDING\nclustrix-1|12_3|CANCELLED by 1000\nclustrix-2|13|OUT_OF_MEMORY\n"
    assert [tuple(row) for row in parsed(said)] == [
        ("clustrix-1", "12", "4-9%2", "PENDING"),
        ("clustrix-1", "12", "3", "CANCELLED by 1000"),
        ("clustrix-2", "13", "", "OUT_OF_MEMORY"),
    ]
