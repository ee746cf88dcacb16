"""Functions as jobs of a real Grid Engine, and what its commands are told and say."""

from __future__ import annotations

import os
import time
from concurrent.futures import CancelledError

import pytest

from clustrix_core import ClusterConfig, ConfigError, JobError, cluster, cluster_glob
from clustrix_gridengine.jobs import kibibytes, ranges, seconds

PATIENCE = 60.0


@pytest.fixture
def grid(request: pytest.FixtureRequest):
    return request.getfixturevalue("cluster")  # which is also what the decorator is called


@pytest.fixture(scope="module")
def config(configure) -> ClusterConfig:
    return configure()


def test_a_function_runs_where_its_data_is(config: ClusterConfig) -> None:
    @cluster(cores=2, memory="500M", time="00:05:00")
    def look(config: ClusterConfig) -> tuple[list[str], str, str, str]:
        files = list(cluster_glob("*", ".", config))
        return files, os.environ["JOB_ID"], os.environ["NSLOTS"], os.getcwd()

    files, number, slots, folder = look(config)
    assert files == list(cluster_glob("*", ".", config))
    assert number.isdigit()
    assert (slots, folder) == ("2", config.remote_work_dir)


def test_a_map_is_one_array(config: ClusterConfig) -> None:
    @cluster(config=config)
    def square(number: int) -> tuple[int, str]:
        return number * number, os.environ["JOB_ID"]

    told = list(square.map(range(5)))
    assert [result for result, _ in told] == [0, 1, 4, 9, 16]
    assert len({number for _, number in told}) == 1


@pytest.mark.parametrize("login_shell", [False, True])
def test_the_environment_of_the_config_is_that_of_the_job(configure, login_shell: bool) -> None:
    @cluster
    def look(config: ClusterConfig) -> list[str | None]:
        return [os.environ.get(name) for name in ("GREETING", "LATE", "CLUSTRIX_LOGIN")]

    commands = ["export LATE=$(shopt -q login_shell && echo login)"]
    config = configure(
        environment_variables={"GREETING": "it's $HOME"},
        pre_execution_commands=commands,
        login_shell=login_shell,
    )
    assert look(config) == ["it's $HOME", "login" if login_shell else "", None]
    assert "it's" not in look.dry_run(config)


def test_failures_come_back_as_they_are(config: ClusterConfig) -> None:
    @cluster(config=config)
    def invert(number: int) -> float:
        return 1 / number

    with pytest.raises(ZeroDivisionError):
        invert(0)


def test_one_task_is_cancelled_and_then_the_rest(grid, config: ClusterConfig) -> None:
    @cluster(config=config)
    def wait(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    jobs = wait.map([0.1, 300, 300])
    assert jobs.jobs[0].result(PATIENCE) == 0.1
    jobs.jobs[1].cancel()
    deadline = time.monotonic() + PATIENCE
    while not jobs.jobs[1].done():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not jobs.jobs[2].done()
    jobs.cancel()
    with pytest.raises(CancelledError):
        jobs.jobs[2].result(PATIENCE)
    while grid.sh("qstat -u '*'"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_dry_run_shows_the_command(config: ClusterConfig) -> None:
    @cluster(
        config=config, cores=4, memory="16GB", time="1-02:00:00", partition="long", options={"l": "gpu=1"}
    )
    def nothing() -> None:
        pass

    shown = str(nothing.dry_run())
    for part in ("-pe smp 4", "-l h_vmem=4194304K", "-l h_rt=93600", "-q long", "-l gpu=1", "job.pyz"):
        assert part in shown


def test_what_it_cannot_do_is_refused(config: ClusterConfig) -> None:
    @cluster(config=config)
    def nothing() -> None:
        pass

    with pytest.raises(ConfigError, match="options"):
        nothing.with_options(gpus=1).submit()
    first = nothing.submit()
    with pytest.raises(JobError, match="after"):
        nothing.with_options(after=[first]).submit()
    first.result(PATIENCE)


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ("", [(0, 0)]),
        ("3", [(2, 2)]),
        ("2-50:1", [(1, 49)]),
        ("3,7-9:1", [(2, 2), (6, 8)]),
        ("1-5:2", [(0, 0), (2, 2), (4, 4)]),
    ],
)
def test_tasks_as_qstat_writes_them(tasks: str, expected: list[tuple[int, int]]) -> None:
    assert list(ranges(tasks)) == expected


def test_memory_and_time() -> None:
    assert [kibibytes(text) for text in ("16G", "16gb", "2", "512K")] == [16 << 20, 16 << 20, 2048, 512]
    assert [seconds(text) for text in ("02:00:00", "1-00:00:01", "5")] == [7200, 86401, 300]
    with pytest.raises(ConfigError, match="16G"):
        kibibytes("much")
    with pytest.raises(ConfigError, match="02:00:00"):
        seconds("long")
