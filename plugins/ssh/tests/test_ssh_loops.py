"""Loops that run in parallel in the jobs of a host behind SSH."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from loops_on_host import endless, process_datasets, work

from clustrix import ClusterConfig, Job
from clustrix_core.jobs.here import marker
from clustrix_core.testing.servers import SshServer

Configure = Callable[..., ClusterConfig]

COUNT = 150
PLANT = b"""
import os, sys
os.makedirs(sys.argv[1] + "/loops")
for number in range(int(sys.argv[2])):
    with open("%s/loops/%03d.csv" % (sys.argv[1], number), "w") as file:
        file.write("x" * number)
"""


@pytest.fixture
def work_dir(server: SshServer) -> Iterator[str]:
    root = f"{server.root}/with-loops"
    server.python(PLANT, [root, str(COUNT)])
    yield root
    server.python(b"import shutil, sys; shutil.rmtree(sys.argv[1])", [root])


@pytest.fixture
def config(configure: Configure, work_dir: str) -> ClusterConfig:
    """As root, who has the only Python there of this version for certain."""
    return configure("root", remote_work_dir=work_dir, python_executable=sys.executable)


def wait_until(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 90
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(condition())


def processes_of(config: ClusterConfig) -> list[Path]:
    """What runs in the jobs of this config."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"CLUSTRIX_HERE={marker(config)}".encode() in (folder / "environ").read_bytes():
                found.append(folder)
    return found


def copies_of(config: ClusterConfig) -> int:
    """How many processes work on loops: they look like those that began them."""
    found = 0
    for folder in processes_of(config):
        with suppress(OSError):
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            command = (folder / "cmdline").read_bytes()
            found += command == Path("/proc", parent, "cmdline").read_bytes()
    return found


def test_the_example_is_split(config: ClusterConfig) -> None:
    found = process_datasets(config)
    assert [one[:2] for one in found] == [("x" * number, work(number)) for number in range(COUNT)]
    assert len({one[2] for one in found}) > 1


def test_the_tasks_of_a_map_have_cores_of_their_own(config: ClusterConfig) -> None:
    for found in process_datasets.map([config] * 2):
        assert [one[:2] for one in found] == [("x" * number, work(number)) for number in range(COUNT)]
        assert len({one[2] for one in found}) > 1


def test_a_job_that_is_cancelled_leaves_no_process(config: ClusterConfig, server: SshServer) -> None:
    job = endless.submit(config)
    assert isinstance(job, Job)
    assert wait_until(lambda: copies_of(config) == 2)
    assert job.cancel()
    assert wait_until(lambda: not processes_of(config)), processes_of(config)
