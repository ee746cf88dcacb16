"""What SLURM is asked and told of jobs, on a real cluster: how often, and what others do there."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator

import jobs_that_fail as sample
import pytest
from on_cluster import WORK, begun, config_of, function_of, job_of, marks_in, run, wait_until

from clustrix import ClusterConfig, JobError
from clustrix_core import hookimpl
from clustrix_core.errors import ConfigError
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.jobs import following, records
from clustrix_core.jobs.models import JobSpec, Resources, TaskState
from clustrix_core.session import pool
from clustrix_core.testing.servers import SlurmCluster
from clustrix_slurm import sbatch
from clustrix_slurm.backend import SlurmBackend
from clustrix_slurm.config import SlurmConfig

SETTINGS = """
MaxArraySize=8
SchedulerParameters=max_array_tasks=5
PartitionName=hidden Nodes=ALL Hidden=YES State=UP
"""


PLANT = b"""
import os
os.makedirs("/scratch/bin", exist_ok=True)
with open("/scratch/bin/sbatch", "w") as file:
    file.write('#!/bin/sh\\necho Welcome to the cluster\\nexec /usr/bin/sbatch "$@"\\n')
os.chmod("/scratch/bin/sbatch", 0o755)
"""


@pytest.fixture(scope="module")
def small() -> Iterator[SlurmCluster]:
    """A cluster that takes five tasks in an array, and hides a partition."""
    with SlurmCluster(settings=SETTINGS) as made:
        yield made


@pytest.fixture
def config(small: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterConfig]:
    """As root, who has the only Python there of this version for certain. All jobs end with the test."""
    monkeypatch.setattr(following, "GRACE", 2.0)
    yield config_of(small, "root", remote_work_dir=WORK, python_executable=sys.executable)
    run(small, "scancel", "--state=PENDING")
    run(small, "scancel", "--state=RUNNING")
    assert wait_until(lambda: run(small, "squeue", "--all", "--noheader") == "")
    pool.close()


def states_of(config: ClusterConfig, *names: str) -> dict[str, list[TaskState]]:
    with ClusterFilesystem(config) as place:
        found: dict[str, list[TaskState]] = place._call("clustrix_job_states", jobs=list(names))
        return found


def submitted(config: ClusterConfig, name: str, *options: str) -> str:
    """The number of a job that somebody submits by themselves."""
    command = [
        "sbatch",
        "--parsable",
        "--output=/dev/null",
        f"--job-name={name}",
        *options,
        "--wrap=sleep 1000",
    ]
    with ClusterFilesystem(config) as place:
        place.isdir(".")
        ran = place._session().backend.run(command)
    assert ran.status == 0, ran.complaints
    return str(ran.output.decode().strip())


def requests(cluster: SlurmCluster, *kinds: str) -> int:
    """How many requests of these kinds the controller has had, as it counts them itself."""
    told = re.findall(r"(\w+)\s*\(\s*\d+\)\s*count:(\d+)", run(cluster, "sdiag"))
    return sum(int(count) for kind, count in told if kind in kinds)


def queries(cluster: SlurmCluster) -> int:
    return requests(cluster, "REQUEST_JOB_INFO", "REQUEST_JOB_INFO_SINGLE", "REQUEST_JOB_USER_INFO")


# --- how often it is asked


def test_a_job_that_waits_to_be_begun_again_is_asked_about_now_and_then(
    config: ClusterConfig, small: SlurmCluster
) -> None:
    job, number = job_of(sample.marks, config, "requeued", 1000, requeue=True)
    assert begun(small, "requeued")
    run(small, "scontrol", "requeue", number)
    assert wait_until(lambda: job.state == "pending")  # for two minutes; its outcome is that it was ended
    before = queries(small)
    time.sleep(6)
    assert queries(small) - before <= 6
    assert not job.done()


def test_results_arrive_while_the_scheduler_is_being_asked(
    config: ClusterConfig, small: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()
    states = SlurmBackend.clustrix_job_states

    @hookimpl
    def noted(self: SlurmBackend, jobs: list[str]) -> dict[str, list[TaskState]]:
        asked.set()
        try:
            return states(self, jobs)
        finally:
            answered.set()

    monkeypatch.setattr(SlurmBackend, "clustrix_job_states", noted)
    array = function_of(sample.waits_for, config).map(["first", "second"])
    assert begun(small, "first-begun")
    assert begun(small, "second-begun")
    with small.frozen_controller():
        asked.clear()
        assert asked.wait(60)
        answered.clear()
        for number, name in enumerate(("first", "second")):
            run(small, "touch", f"{WORK}/{name}")
            assert array.jobs[number].result(60) == name
        assert not answered.is_set()  # `squeue` gives up after ten seconds and more
    assert [job.state for job in array.jobs] == ["completed", "completed"]


def test_many_tasks_are_cancelled_by_one_request(config: ClusterConfig, small: SlurmCluster) -> None:
    array = function_of(sample.marks, config, cores=4).map(["many"] * 5, [0, 1000, 1000, 1000, 1000])
    assert array.jobs[0].result(60)
    before = requests(small, "REQUEST_KILL_JOB")
    array.cancel()
    assert requests(small, "REQUEST_KILL_JOB") - before == 1
    number = records.load(array.id).scheduler_id
    assert wait_until(lambda: run(small, "squeue", "--noheader", f"--jobs={number}") == "")


# --- what others do


def test_jobs_in_a_hidden_partition_are_seen(small: SlurmCluster, config: ClusterConfig) -> None:
    name = "clustrix-261125-000000-aaaaaa"
    researcher = config_of(small, "researcher")
    submitted(researcher, name, "--partition=hidden")
    assert [found.state for found in states_of(researcher, name)[name]] in (["pending"], ["running"])


def test_people_s_own_variables_leave_no_job_out(small: SlurmCluster, config: ClusterConfig) -> None:
    name = "clustrix-261125-000000-bbbbbb"
    asked = {"SQUEUE_PARTITION": "closed", "SQUEUE_USERS": "nobody", "SQUEUE_FORMAT2": "jobid"}
    told = {"SCANCEL_INTERACTIVE": "1", "SCANCEL_PARTITION": "closed", "SCANCEL_STATE": "SUSPENDED"}
    number = submitted(config, name)
    theirs = config.model_copy(update={"environment_variables": {**asked, **told}})
    assert name in states_of(theirs, name)
    with ClusterFilesystem(theirs) as place:
        place._call("clustrix_cancel", jobs=[number])
    assert wait_until(lambda: run(small, "squeue", "--noheader", f"--jobs={number}") == "")


def test_people_s_own_variables_change_no_job(small: SlurmCluster, config: ClusterConfig) -> None:
    theirs = {"SBATCH_ARRAY_INX": "0-2", "SBATCH_WAIT": "1", "SBATCH_ERROR": "/dev/null"}
    mine = config.model_copy(update={"environment_variables": theirs})
    job, number = job_of(sample.waits_for, mine, "waited-for")  # which would have waited for its end
    assert begun(small, "waited-for-begun")
    assert run(small, "squeue", "--noheader", "--array", f"--jobs={number}").count("\n") <= 1
    run(small, "touch", f"{WORK}/waited-for")
    assert job.result(60) == "waited-for"


def test_another_account_s_job_of_the_same_name_is_none_of_ours(
    small: SlurmCluster, config: ClusterConfig
) -> None:
    name = "clustrix-261125-000000-cccccc"
    number = submitted(config_of(small, "researcher"), name)
    assert states_of(config, name) == {}
    with ClusterFilesystem(config) as place:
        place._call("clustrix_cancel", jobs=[name])
    assert number in run(small, "squeue", "--noheader", "--format=%A")


def test_what_has_ended_is_passed_over_when_it_is_cancelled(
    config: ClusterConfig, small: SlurmCluster
) -> None:
    job, number = job_of(sample.marks, config, "ended")
    assert job.result(60) == 1
    assert wait_until(lambda: "COMPLETED" in run(small, "scontrol", "show", "job", number))
    with ClusterFilesystem(config) as place:
        place._call("clustrix_cancel", jobs=[number, "999999", f"{number}_3"])


# --- what it is told


def options_of(tasks: int | None = None, after: tuple[str, ...] = (), **asked: object) -> list[str]:
    config = SlurmConfig(
        cluster_type="slurm", cluster_host="there", default_cores=2, default_memory="1G", default_time="10"
    )
    resources = Resources(**asked)  # type: ignore[arg-type]
    job = JobSpec("clustrix-1", "~/.clustrix/jobs/1", {}, {}, tasks, "python3", "", resources, after)
    return list(sbatch.options(config, job, tasks or 1))


def test_options_of_a_job_come_before_the_config_s() -> None:
    assert {"--cpus-per-task=2", "--mem=1G", "--time=10"} <= {*options_of()}
    own = options_of(options={"mem-per-cpu": "2G", "cpus-per-gpu": "4", "time": "5", "exclusive": None})
    assert {"--mem-per-cpu=2G", "--cpus-per-gpu=4", "--time=5", "--exclusive"} <= {*own}
    assert [option for option in own if option.startswith(("--mem=", "--cpus-per-task", "--time=10"))] == []
    both = options_of(after=("12+0,13+8",), options={"dependency": "singleton"})
    assert "--dependency=afterok:12:13,singleton" in both


@pytest.mark.parametrize(
    "options",
    [
        {"array": "0-9"},
        {"array": "%0"},
        {"job-name": "mine"},
        {"clusters": "other"},
        {"wait": None},
        {"test-only": None},
        {"wrap": "id"},
    ],
)
def test_options_by_which_a_job_could_not_be_followed(options: dict[str, str | None]) -> None:
    with pytest.raises(ConfigError, match="can't be used for jobs here"):
        options_of(10, options=options)


def test_how_many_tasks_run_at_once(config: ClusterConfig, small: SlurmCluster) -> None:
    with pytest.raises(ConfigError, match="`map` says which tasks there are"):
        function_of(sample.marks, config, options={"array": "%1"}).submit("one")
    array = function_of(sample.marks, config, options={"array": "%1"}).map(["by-one"] * 3)
    number = records.load(array.id).scheduler_id
    assert "ArrayTaskThrottle=1" in run(small, "scontrol", "show", "job", number)
    assert array.results(90) == [1, 2, 3]


def test_arrays_are_as_large_as_this_cluster_takes(config: ClusterConfig) -> None:
    array = function_of(sample.adds, config).map(range(12))
    assert len(records.load(array.id).scheduler_id.split(",")) == 3
    assert array.results(90) == list(range(1, 13))


@pytest.mark.parametrize("tasks", [None, 1])
def test_gpus_and_memory_as_people_write_them(
    config: ClusterConfig, small: SlurmCluster, tasks: int | None
) -> None:
    function = function_of(sample.marks, config, gpus="tesla:1", memory="1GB", time="00:10:00")
    name = f"gpu-{tasks}"
    job = function.submit(name, 1000) if tasks is None else function.map([name], [1000]).jobs[0]
    assert begun(small, name)
    number = records.load(job.id.partition("_")[0]).scheduler_id
    told = run(small, "scontrol", "show", "job", number)
    assert "TimeLimit=00:10:00" in told
    assert "mem=1G" in told
    assert "gres/gpu:tesla" in told or "gres:gpu:tesla:1" in told


def test_a_job_of_a_job_is_a_job_of_its_own(config: ClusterConfig) -> None:
    """`sbatch` hands its environment on, with the number of a task in which it is run."""
    inside = {"SLURM_ARRAY_TASK_ID": "5", "CLUSTRIX_LOGIN": "1", "CLUSTRIX_HERE": "elsewhere"}
    commands = ["export LATE=$(shopt -q login_shell && echo login)"]
    config = config.model_copy(
        update={"environment_variables": inside, "pre_execution_commands": commands, "login_shell": True}
    )
    assert function_of(sample.variable, config).submit("LATE").result(60) == "login"
    assert function_of(sample.adds, config).submit(1).result(60) == 2
    assert function_of(sample.adds, config).map([1, 2]).results(60) == [2, 3]


def test_a_cluster_without_sbatch_on_the_path(config: ClusterConfig) -> None:
    bare = config.model_copy(
        update={"environment_variables": {"PATH": "/nowhere"}, "remote_python": "/usr/bin/python3"}
    )
    with pytest.raises(JobError, match=r"there is no program 'sbatch'; set login_shell to true") as raised:
        function_of(sample.adds, bare).submit(1)
    assert "SLURM says" not in str(raised.value)
    assert records.all_records() == []


def test_a_site_s_own_sbatch_may_have_its_say(config: ClusterConfig, small: SlurmCluster) -> None:
    small.python(PLANT, [])
    variables = {"PATH": "/scratch/bin:/usr/bin:/bin"}
    own = config.model_copy(update={"environment_variables": variables})
    job, number = job_of(sample.adds, own, 1)
    assert number.isdecimal()
    assert job.result(60) == 2


# --- jobs that come after others


def test_nothing_comes_after_a_function_that_raised(
    config: ClusterConfig, small: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "GRACE", 3600.0)  # what never began has no outcome to wait for
    bad, number = job_of(sample.raises, config, options={"hold": None})
    function = function_of(sample.marks, config, after=bad)
    then = function.submit("never")
    run(small, "scontrol", "release", number)
    with pytest.raises(ValueError, match="on purpose"):
        bad.result(60)
    with pytest.raises(JobError, match="come after did not succeed"):
        then.result(60)
    with pytest.raises(JobError, match=f"job {bad.id}, which it is to come after, did not succeed: failed"):
        function.submit("never")
    assert marks_in(small, "never") == 0


# --- the job's own environment


def test_an_environment_that_can_not_be_set_up_in_a_job(config: ClusterConfig) -> None:
    command = '[ -z "${SLURM_JOB_ID:-}" ]  # it works on the login node alone'
    only_here = config.model_copy(update={"pre_execution_commands": (command,)})
    job, _ = job_of(sample.adds, only_here, 1)
    with pytest.raises(JobError, match=r"failed .*environment can't be set up: the command .*SLURM_JOB_ID"):
        job.result(60)


def test_modules_are_loaded_in_a_job_without_a_word(config: ClusterConfig) -> None:
    prepared = config.model_copy(update={"module_loads": ("tool/1.0", "snake/3")})
    job, _ = job_of(sample.adds, prepared, 1)
    assert job.result(60) == 2
    assert job.logs() == ""


def test_files_of_a_job_have_the_rights_that_the_account_gives(
    config: ClusterConfig, small: SlurmCluster
) -> None:
    job, _ = job_of(sample.marks, config, "shared")
    assert job.result(60) == 1
    home = small.accounts["root"].home
    folder = f"{home}/.clustrix/jobs/{job.id}"
    assert run(small, "stat", "--format=%a", f"{WORK}/shared", folder).split() == ["644", "700"]
