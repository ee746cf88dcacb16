"""Functions as jobs on a real cluster, with data that only the cluster has."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jobs_on_cluster import begins_again, dies, environment, naps, process_datasets, sleeps, square

from clustrix import ClusterConfig, Job, JobArray, JobError
from clustrix import cluster as decorate
from clustrix_core import hookimpl
from clustrix_core.errors import ConfigError, OperationTimeoutError
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.jobs import records
from clustrix_core.jobs.models import JobSpec
from clustrix_core.session import pool
from clustrix_core.testing.servers import SlurmCluster
from clustrix_slurm import sbatch
from clustrix_slurm.backend import SlurmBackend

Configure = Callable[..., ClusterConfig]

PLANT = b"""
import os
os.makedirs("/scratch/project/input", exist_ok=True)
os.chmod("/scratch/project", 0o1777)
for name, text in (("a.csv", "A"), ("b.csv", "B"), ("c.txt", "C")):
    with open("/scratch/project/input/" + name, "w") as file:
        file.write(text)
"""


@pytest.fixture
def config(configure: Configure, cluster: SlurmCluster) -> Iterator[ClusterConfig]:
    """As root, who has the only Python there of this version for certain."""
    cluster.python(PLANT, [])
    yield configure("root", remote_work_dir="/scratch/project", python_executable=sys.executable)
    pool.close()


def on_cluster(server: SlurmCluster, *command: str) -> str:
    script = (
        b"import subprocess, sys; print(subprocess.run(sys.argv[1:], stdout=-1, text=True).stdout, end='')"
    )
    return server.python(script, list(command)).decode()


def wait_until(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 90
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(condition())


def test_the_example_as_it_stands(config: ClusterConfig) -> None:
    assert process_datasets(config) == ["A", "B"]


def test_what_is_remembered_holds_no_secret(configure: Configure, config: ClusterConfig) -> None:
    fields = {"remote_work_dir": "/scratch/project", "python_executable": sys.executable}
    secretive = configure("root", passphrase="hunter2", password="hunter3", **fields)
    decorated = decorate(config=secretive)(square.local)
    job = decorated.submit(3)
    assert job.result(90) == 9
    kept = records.load(job.id).config
    assert {"passphrase", "password"}.isdisjoint(kept)
    assert kept["cluster_port"] == config.cluster_port
    with pytest.raises(JobError):
        decorate(config=secretive, partition="none-such")(square.local).submit(3)
    assert [record.id for record in records.all_records()] == [job.id]  # what was refused is forgotten


def test_a_job_tells_what_it_does(config: ClusterConfig, cluster: SlurmCluster) -> None:
    job = sleeps.submit(config, 15)
    assert isinstance(job, Job)
    assert wait_until(lambda: job.state == "running")
    asked = on_cluster(cluster, "squeue", "--noheader", f"--name=clustrix-{job.id}", "--format=%Z")
    assert asked == "/scratch/project\n"
    assert job.result(90) == "slept"
    assert job.state == "completed"


def test_an_array_is_one_submission(config: ClusterConfig, cluster: SlurmCluster) -> None:
    squares = decorate(config=config)(square.local).map(range(4))
    assert list(squares) == [0, 1, 4, 9]
    script = on_cluster(
        cluster,
        "squeue",
        "--states=all",
        "--noheader",
        "--array",
        f"--name=clustrix-{squares.id}",
        "--format=%A %K",
    )
    assert sorted(line.split()[1] for line in script.splitlines()) == ["0", "1", "2", "3"]


def test_the_environment_of_the_config_is_that_of_the_job(
    configure: Configure, config: ClusterConfig
) -> None:
    prepared = configure(
        "root",
        remote_work_dir="/scratch/project",
        python_executable=sys.executable,
        module_loads=["tool/1.0"],
        environment_variables={"GREETING": "it's $HOME"},
        pre_execution_commands=["export LATE=1"],
        default_cores=2,
    )
    tool, greeting, late, cores = environment(
        prepared, "TOOL_HOME", "GREETING", "LATE", "SLURM_CPUS_PER_TASK"
    )
    assert tool is not None
    assert tool.endswith("/site/tool")
    assert (greeting, late, cores) == ("it's $HOME", "1", "2")


def test_resources_are_quoted_and_checked(config: ClusterConfig, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"SLURM says: .*nvalid.*partition[^\n\\]*; sbatch: "):
        decorate(config=config, partition="no; touch /tmp/x")(len).submit("abc")
    with pytest.raises(JobError, match=r"SLURM says: sbatch: "):
        decorate(config=config, options={"no-such-option": "1"})(len).submit("abc")
    with pytest.raises(ConfigError, match="is no option of sbatch"):
        decorate(config=config, options={"a; b": "1"})(len).submit("abc")
    assert decorate(config=config, options={"comment": "it's $(id)"}, constraint="fast")(len)("abc") == 3


def test_a_death_and_a_cancellation_are_told_apart(config: ClusterConfig, cluster: SlurmCluster) -> None:
    job = sleeps.submit(config, 1000)
    assert wait_until(lambda: job.state == "running")
    on_cluster(cluster, "scancel", f"--name=clustrix-{job.id}")
    assert wait_until(job.cancelled)
    with pytest.raises(JobError, match=r"failed \(NonZeroExitCode; it ended with status 7\)"):
        dies(config)


def test_cancelling_an_array_is_one_command(config: ClusterConfig, cluster: SlurmCluster) -> None:
    def wait(number: int) -> None:
        time.sleep(1000)

    array = decorate(config=config)(wait).map(range(6))
    assert wait_until(lambda: any(job.state == "running" for job in array.jobs))
    array.cancel()
    assert all(job.cancelled() for job in array.jobs)
    name = f"--name=clustrix-{array.id}"
    assert wait_until(lambda: on_cluster(cluster, "squeue", "--noheader", name) == "")


def test_a_controller_that_is_restarted(config: ClusterConfig, cluster: SlurmCluster) -> None:
    job = sleeps.submit(config, 20)
    assert wait_until(lambda: job.state == "running")
    cluster.stop_controller()
    time.sleep(1)
    cluster.start_controller()
    assert job.result(90) == "slept"


def test_a_client_that_is_killed(config: ClusterConfig, tmp_path: Path) -> None:
    fields = {**config.model_dump(exclude_unset=True), "password": None}
    code = (
        "import os, sys, jobs_on_cluster as sample\n"
        "from clustrix import ClusterConfig\n"
        f"job = sample.sleeps.submit(ClusterConfig(**{fields!r}), 2)\n"
        "print(job.id, flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=180
    )
    job = Job.attach(done.stdout.strip())
    assert isinstance(job, Job), done.stderr
    assert job.result(90) == "slept"


def queue_of(array: JobArray, server: SlurmCluster) -> str:
    return on_cluster(server, "squeue", "--noheader", f"--name=clustrix-{array.id}")


def test_a_job_that_is_requeued_and_succeeds(config: ClusterConfig, cluster: SlurmCluster) -> None:
    job = begins_again.submit(config)
    assert wait_until(lambda: job.state == "running")
    assert wait_until(lambda: "begun" in on_cluster(cluster, "ls", "/scratch/project"))
    on_cluster(cluster, "scontrol", "requeue", records.load(job.id).scheduler_id)
    assert wait_until(lambda: job.state == "pending")
    # It waits two minutes before it may begin again.
    on_cluster(cluster, "scontrol", "update", f"jobid={records.load(job.id).scheduler_id}", "starttime=now")
    assert job.result(90) == "the second time"


def test_an_array_with_many_scattered_tasks_is_known_whole(
    config: ClusterConfig, cluster: SlurmCluster
) -> None:
    array = decorate(config=config, cores=2)(naps.local).map([1000.0] * 100)
    try:
        left = [task for task in range(100) if task % 2 == 0 or task % 7 == 0]
        numbers = ",".join(str(task) for task in range(100) if task not in left)
        on_cluster(cluster, "scancel", f"{records.load(array.id).scheduler_id}_[{numbers}]")
        with ClusterFilesystem(config) as place:
            found = place._call("clustrix_job_states", jobs=[f"clustrix-{array.id}"])
        told = found[f"clustrix-{array.id}"]
        alive = {task for state in told for task in range(state.first, state.last + 1)}
        assert alive >= set(left)  # SLURM forgets tasks that are cancelled before they begin
    finally:
        array.cancel()
    assert wait_until(lambda: not queue_of(array, cluster))


def test_a_job_whose_number_is_not_known_is_cancelled_by_its_name(
    config: ClusterConfig, cluster: SlurmCluster
) -> None:
    array = decorate(config=config)(naps.local).map([1000, 1000, 0.1])
    records.save(records.load(array.id), scheduler_id="")
    array.jobs[0].submission.record = records.load(array.id)
    try:
        assert array.jobs[0].cancel()
        assert array.jobs[2].result(90) == 0.1
        assert not array.jobs[1].done()
    finally:
        array.cancel()
    assert wait_until(lambda: not queue_of(array, cluster))


def test_a_submission_that_is_repeated_is_the_same_job(
    config: ClusterConfig, cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = SlurmBackend.clustrix_submit
    asked: list[str] = []

    @hookimpl
    def lose_the_answer(self: SlurmBackend, job: JobSpec) -> str:
        asked.append(submit(self, job))
        if len(asked) == 1:
            raise OperationTimeoutError("no answer")
        return asked[-1]

    monkeypatch.setattr(SlurmBackend, "clustrix_submit", lose_the_answer)
    job = decorate(config=config)(square.local).submit(3)
    assert job.result(90) == 9
    assert len(set(asked)) == 1
    name = f"--name=clustrix-{job.id}"
    assert len(on_cluster(cluster, "squeue", "--noheader", "--states=all", name).splitlines()) == 1


def test_an_array_that_is_larger_than_the_cluster_takes(
    config: ClusterConfig, cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ClusterFilesystem(config) as place:
        place.isdir(".")
        assert sbatch.max_array_size(place._session().backend) == 1001
    monkeypatch.setattr(sbatch, "SURELY_ALLOWED", 2)
    monkeypatch.setattr(sbatch, "max_array_size", lambda _backend: 2)
    function = decorate(config=config)(naps.local)
    array = function.map([0.1, 0.2, 0.3, 1000, 1000])
    assert len(records.load(array.id).scheduler_id.split(",")) == 3
    try:
        assert [job.result(90) for job in array.jobs[:3]] == [0.1, 0.2, 0.3]
        assert array.jobs[3].cancel()
        assert not array.jobs[4].done()
        with pytest.raises(JobError, match="which it is to come after, did not succeed: cancelled"):
            function.with_options(after=array).submit(0.1)
        after = function.with_options(after=array.jobs[4]).submit(0.1)
    finally:
        array.cancel()
    with pytest.raises(JobError, match="come after did not succeed"):
        after.result(90)
    assert wait_until(lambda: not queue_of(array, cluster))


def test_a_job_that_comes_after_others(config: ClusterConfig) -> None:
    function = decorate(config=config)(naps.local)
    first = function.submit(0.5)
    assert function.with_options(after=[first]).submit(0.1).result(90) == 0.1
    assert first.done()


def test_a_dry_run_shows_the_script_and_connects_to_nothing(config: ClusterConfig) -> None:
    elsewhere = config.model_copy(update={"cluster_port": 1, "environment_variables": {"KEY": "hunter2"}})
    told = decorate(config=elsewhere, cores=3, partition="it's")(naps.local).dry_run(0.1)
    assert "--cpus-per-task=3" in told
    assert "'--partition=it'\"'\"'s'" in told
    assert "job.pyz" in told
    assert "#!/bin/bash" in told
    assert "export KEY='***'" in told
    assert "hunter2" not in told
