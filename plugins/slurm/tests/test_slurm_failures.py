"""What goes wrong with jobs on a real cluster, made for real: what is seen, and what is not lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import jobs_that_fail as sample
import jobs_that_import
import pytest
from on_cluster import WORK, begun, config_of, function_of, job_of, marks_in, run, wait_until

from clustrix import ClusterConfig, Job, JobError
from clustrix_core.jobs import following, handover, records
from clustrix_core.jobs.job import Submission
from clustrix_core.session import pool
from clustrix_core.testing.servers import SlurmCluster
from clustrix_core.testing.servers.slurm import CAN_LIMIT_MEMORY

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
SETTINGS = """
MinJobAge=8
KillWait=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=low Nodes=c2 PriorityTier=1 State=UP
PartitionName=high Nodes=c2 PriorityTier=10 State=UP
"""


@pytest.fixture(scope="module")
def weak() -> Iterator[SlurmCluster]:
    """A cluster of their own, so that no other test sees what becomes of it."""
    first = f"FirstJobId={os.getpid()}"  # its control groups are named by them, on the whole machine
    with SlurmCluster(settings=SETTINGS + first, memory_limits=CAN_LIMIT_MEMORY) as made:
        yield made


@pytest.fixture
def config(weak: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterConfig]:
    """As root, who has the only Python there of this version for certain. All jobs end with the test."""
    monkeypatch.setattr(following, "GRACE", 2.0)
    yield config_of(weak, "root", remote_work_dir=WORK, python_executable=sys.executable)
    run(weak, "scancel", "--user=root")
    assert wait_until(lambda: run(weak, "squeue", "--noheader") == "")
    pool.close()


# --- ended by others


def test_scancel(config: ClusterConfig, weak: SlurmCluster) -> None:
    job, number = job_of(sample.marks, config, "cancelled", 1000)
    assert begun(weak, "cancelled")
    run(weak, "scancel", number)
    with pytest.raises(CancelledError):
        job.result(60)
    assert (job.state, marks_in(weak, "cancelled")) == ("cancelled", 1)


def test_a_time_limit(config: ClusterConfig, weak: SlurmCluster) -> None:
    job, number = job_of(sample.marks, config, "long", 1000, time=5)
    assert begun(weak, "long")
    now = "import time; print(time.strftime('%FT%T', time.localtime(time.time() + 2)))"
    ends = run(weak, sys.executable, "-c", now)
    run(weak, "scontrol", "update", f"jobid={number}", f"endtime={ends}")  # SLURM looks every 30 s
    with pytest.raises(JobError, match="timed out .*; ask for more by time="):
        job.result(60)
    assert (job.state, marks_in(weak, "long")) == ("timed out", 1)


@pytest.mark.skipif(not CAN_LIMIT_MEMORY, reason="this machine has no control groups of version 1")
def test_out_of_memory(config: ClusterConfig, weak: SlurmCluster) -> None:
    job, _ = job_of(sample.takes, config, 500 << 20, memory="250M")
    with pytest.raises(JobError, match="out of memory.*; ask for more by memory="):
        job.result(60)
    assert job.state == "out of memory"
    assert "oom-kill event" in job.logs()  # SLURM's own words


def test_a_node_that_dies(config: ClusterConfig, weak: SlurmCluster) -> None:
    ends, _ = job_of(sample.marks, config, "dead", 1000, options={"nodelist": "c2"}, memory="100")
    again, number = job_of(
        sample.marks, config, "again", 3, options={"nodelist": "c2"}, memory="100", requeue=True
    )
    assert begun(weak, "dead")
    assert begun(weak, "again")
    weak.kill_node("c2")
    # What the controller does by itself once SlurmdTimeout is over, which is five minutes.
    run(weak, "scontrol", "update", "nodename=c2", "state=down", "reason=dead")
    try:
        with pytest.raises(JobError, match=r"node failure.*; submit it again, or with requeue=True"):
            ends.result(60)
        assert ends.state == "node failure"
    finally:
        weak.start_node("c2")
    run(weak, "scontrol", "update", f"jobid={number}", "starttime=now")
    assert again.result(60) == 2  # it was begun twice, and came to its end once
    assert marks_in(weak, "dead") == 1


def test_preemption(config: ClusterConfig, weak: SlurmCluster) -> None:
    whole = {"cores": 2, "memory": "100"}
    ends, _ = job_of(sample.marks, config, "preempted", 1000, partition="low", **whole)
    again, number = job_of(sample.marks, config, "requeued", 4, partition="low", requeue=True, **whole)
    assert begun(weak, "preempted")
    assert begun(weak, "requeued")
    before, _ = job_of(sample.marks, config, "first", partition="high", cores=4, memory="100")
    assert before.result(60) == 1
    with pytest.raises(JobError, match="preempted"):
        ends.result(60)
    assert ends.state == "preempted"
    run(weak, "scontrol", "update", f"jobid={number}", "starttime=now")
    assert again.result(60) == 2


# --- the controller


def test_a_result_arrives_while_the_controller_answers_nothing(
    config: ClusterConfig, weak: SlurmCluster
) -> None:
    job, _ = job_of(sample.marks, config, "slow", 3)
    assert begun(weak, "slow")
    with weak.frozen_controller():
        assert job.result(60) == 1
        assert job.state == "completed"


def test_a_controller_that_is_slow_to_take_a_job(config: ClusterConfig, weak: SlurmCluster) -> None:
    function = function_of(sample.marks, config)
    with weak.frozen_controller(), pytest.raises(JobError, match=r"isn't known: `clustrix result") as raised:
        function.submit("late")
    (record,) = records.all_records()
    assert record.id in str(raised.value)
    job = Job.attach(record.id)
    assert isinstance(job, Job)
    try:
        assert job.result(60) == 1
    except JobError:
        assert (job.state, marks_in(weak, "late")) == ("lost", 0)


def test_a_controller_that_is_down(config: ClusterConfig, weak: SlurmCluster) -> None:
    function = function_of(sample.marks, config)
    weak.stop_controller()
    try:
        with pytest.raises(JobError, match="SLURM says: .*ontact slurm controller"):
            function.submit("down")
    finally:
        weak.start_controller()
    assert records.all_records() == []
    assert function.submit("down").result(60) == 1


def test_a_controller_that_dies_while_it_is_to_take_a_job(config: ClusterConfig, weak: SlurmCluster) -> None:
    function = function_of(sample.marks, config)
    with ThreadPoolExecutor(1) as client:
        with weak.frozen_controller():
            asked = client.submit(function.submit, "killed")
            assert wait_until(lambda: "sbatch" in map(name_of, weak.processes()))
            time.sleep(1)  # it has connected
            weak.kill_controller()
        weak.start_controller()
        refused = asked.exception(120)
    if refused is None:
        assert asked.result().result(60) == 1
    else:
        assert isinstance(refused, JobError)
        assert (records.all_records(), marks_in(weak, "killed")) == ([], 0)
    assert marks_in(weak, "killed") <= 1


def name_of(process: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process}/comm").read_text().strip()
    return ""


def test_a_job_that_slurm_has_forgotten(
    config: ClusterConfig, weak: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as asleep:  # as a client that sleeps
        asleep.setattr(Submission, "followed", lambda self: self)
        done, _ = job_of(sample.marks, config, "done")
        gone, number = job_of(sample.marks, config, "gone", options={"hold": None})
    assert begun(weak, "done")
    run(weak, "scancel", number)
    assert wait_until(lambda: run(weak, "squeue", "--noheader", "--states=all", "--user=root") == "")
    found, lost = Job.attach(done.id), Job.attach(gone.id)
    assert isinstance(found, Job)
    assert isinstance(lost, Job)
    assert found.result(60) == 1
    with pytest.raises(JobError, match="lost .the scheduler doesn't know it, and it left no outcome"):
        lost.result(60)
    assert marks_in(weak, "gone") == 0


# --- the disk


@contextmanager
def small_disk(weak: SlurmCluster, size: str) -> Iterator[str]:
    """The home folder's `.clustrix` on a disk of this size, until all jobs have ended."""
    folder = f"{weak.accounts['root'].home}/.clustrix"
    run(weak, "mkdir", "-p", folder)
    run(weak, "mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", folder)
    try:
        yield folder
    finally:
        run(weak, "scancel", "--user=root")
        assert wait_until(lambda: run(weak, "squeue", "--noheader") == "")
        pool.close()
        run(weak, "umount", "--lazy", folder)


def test_no_room_for_a_submission(config: ClusterConfig, weak: SlurmCluster) -> None:
    with small_disk(weak, "64k") as folder:
        with pytest.raises(JobError, match=r"^[^:]*: No space left on device: .*/parts/"):
            function_of(sample.marks, config).submit("no room")
        assert records.all_records() == []
        assert (
            run(weak, "find", folder, "-type", "f", "!", "-name", "lock") == ""
        )  # no half of a file is left


def test_no_room_for_a_result(config: ClusterConfig, weak: SlurmCluster) -> None:
    with small_disk(weak, "4m") as folder:
        job, _ = job_of(sample.large, config, 8 << 20)
        with pytest.raises(OSError, match="No space left on device"):
            job.result(60)
        assert job.state == "failed"
        assert run(weak, "find", folder, "-path", "*/results/*") == ""


def test_no_room_for_the_log(config: ClusterConfig, weak: SlurmCluster) -> None:
    with small_disk(weak, "4m"):
        job, _ = job_of(sample.prints, config, 8 << 20)
        with pytest.raises(JobError, match="failed"):
            job.result(60)


def test_a_job_folder_that_is_removed(config: ClusterConfig, weak: SlurmCluster) -> None:
    home = weak.accounts["root"].home
    job, _ = job_of(sample.marks, config, "removed", 2)
    assert begun(weak, "removed")
    run(weak, "rm", "-r", f"{home}/.clustrix/jobs/{job.id}")
    assert job.result(60) == 1
    held, number = job_of(sample.marks, config, "never", options={"hold": None})
    run(weak, "rm", "-r", f"{home}/.clustrix/jobs/{held.id}")
    run(weak, "scontrol", "release", number)
    with pytest.raises(JobError, match="failed|lost"):
        held.result(60)
    assert marks_in(weak, "never") == 0


# --- what can't travel, and what isn't there


def test_what_can_not_be_pickled(config: ClusterConfig, weak: SlurmCluster) -> None:
    with pytest.raises(TypeError, match="pickle"):
        function_of(sample.marks, config).submit(threading.Lock())
    assert records.all_records() == []
    with pytest.raises(Exception, match=r"result can't be pickled .*generator"):
        function_of(sample.unpicklable, config)()


def test_what_is_missing_there(config: ClusterConfig, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare")
    bare = config.model_copy(update={"python_executable": str(tmp_path / "bare" / "bin" / "python")})
    with pytest.raises(JobError, match=r"lacks what the function needs: paramiko=="):
        function_of(jobs_that_import.imports, bare)()
    none = config.model_copy(update={"python_executable": "/no/such/python"})
    with pytest.raises(JobError, match="/no/such/python"):
        function_of(jobs_that_import.imports, none)()
    assert records.all_records() == []  # nothing was submitted


def test_a_python_of_another_version(config: ClusterConfig, weak: SlurmCluster) -> None:
    other, link = "/usr/bin/pypy3", "/scratch/python"
    wrong = config.model_copy(update={"python_executable": other})
    with pytest.raises(
        JobError, match=rf"is Python 3\.\d+\.\d+, and functions from Python {HERE} need {HERE}"
    ):
        function_of(sample.adds, wrong)(1)
    assert records.all_records() == []
    # One that is another in the job: nodes may have what the login node has not.
    run(weak, "ln", "--symbolic", sys.executable, link)
    changing = config.model_copy(update={"python_executable": link})
    job, number = job_of(sample.adds, changing, 1, options={"hold": None})
    run(weak, "ln", "--symbolic", "--force", other, link)
    run(weak, "scontrol", "release", number)
    with pytest.raises(JobError, match=rf"this job needs Python {HERE}, .*{link} is 3\."):
        job.result(60)
    assert job.state == "failed"


# --- clients


def client(config: ClusterConfig, code: str) -> subprocess.Popen[str]:
    """Another process, which begins once it is told to."""
    fields = config.model_dump(exclude_unset=True)
    before = (
        "import sys, jobs_that_fail as sample\nfrom clustrix import ClusterConfig, Job, cluster\n"
        f"config = ClusterConfig(**{fields!r})\nprint('ready', flush=True); sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", before + code],
        cwd=Path(__file__).parent,
        env={**os.environ, "TMPDIR": str(Path.home())},  # what is killed leaves what it was packing
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_clients_that_are_killed_while_they_submit(config: ClusterConfig, weak: SlurmCluster) -> None:
    code = "cluster(config=config)(sample.marks).submit({name!r})"
    number, moment = 0, 0.05
    while len(records.all_records()) < 3:  # a busy machine takes its time until it submits anything
        process = client(config, code.format(name=f"killed-{number}"))
        begin(process)
        time.sleep(moment)
        process.kill()
        process.communicate()
        number, moment = number + 1, moment + 0.15
    for record in records.all_records():
        job = Job.attach(record.id)
        assert isinstance(job, Job)
        error = job.exception(60)
        assert error is None or job.state == "lost", error
    assert all(marks_in(weak, f"killed-{each}") <= 1 for each in range(number))
    assert run(weak, "squeue", "--noheader") == ""


def test_half_of_a_submission_is_not_handed_over(tmp_path: Path) -> None:
    asked = {
        "folder": "job",
        "files": [["job.sh", 100]],
        "parts": [],
        "needed": [],
        "python": "python3",
        "supervisor": [1, 1, []],
    }
    more = {
        "commands": [["job.sh", ["touch", str(tmp_path / "run")]]],
        "command": ["touch", str(tmp_path / "run")],
    }
    given = json.dumps({**asked, **more, "log": "log", "work_dir": ".", "marker": "", "data": []}) + "\nhalf"
    command = [sys.executable, "-c", handover.source(), "submit"]
    done = subprocess.run(command, input=given, cwd=tmp_path, capture_output=True, text=True)
    assert "the line was lost before all was sent" in done.stderr
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "job" / "claim").exists()


def test_two_clients_at_once(config: ClusterConfig, weak: SlurmCluster) -> None:
    job, _ = job_of(sample.marks, config, "shared", 3)
    waits = [client(config, f"print(Job.attach({job.id!r}).result(60))") for _ in range(2)]
    for process in waits:
        begin(process)
    assert [process.communicate(timeout=60)[0] for process in waits] == ["1\n", "1\n"]
    long, _ = job_of(sample.marks, config, "ended", 1000)
    assert begun(weak, "ended")
    cancels = [client(config, f"print(Job.attach({long.id!r}).cancel())") for _ in range(2)]
    for process in cancels:
        begin(process)
    assert {process.communicate(timeout=60)[0] for process in cancels} == {"True\n"}
    with pytest.raises(CancelledError):
        long.result(60)
    assert (marks_in(weak, "shared"), marks_in(weak, "ended")) == (1, 1)
