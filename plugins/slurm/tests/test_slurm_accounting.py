"""Jobs that the controller has forgotten, on a real cluster that keeps accounts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

import jobs_that_fail as sample
import pytest
from on_cluster import WORK, begun, config_of, function_of, job_of, run, wait_until

from clustrix import ClusterConfig, Job, JobArray
from clustrix_core.jobs import following, records
from clustrix_core.jobs.job import Submission
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
        job, number = job_of(sample.marks, config, "waits", partition="closed")
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


def test_what_sacct_prints_is_read(config: ClusterConfig, keeping: SlurmCluster) -> None:
    said = "clustrix-1|12_[4-9%2]|PENDING\nclustrix-1|12_3|CANCELLED by 1000\nclustrix-2|13|OUT_OF_MEMORY\n"
    assert [tuple(row) for row in parsed(said)] == [
        ("clustrix-1", "12", "4-9%2", "PENDING"),
        ("clustrix-1", "12", "3", "CANCELLED by 1000"),
        ("clustrix-2", "13", "", "OUT_OF_MEMORY"),
    ]
