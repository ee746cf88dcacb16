"""Loops that run in parallel in the jobs of a real cluster."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from loops_on_cluster import carries, endless, naps, process_datasets, work

from clustrix import ClusterConfig, Job, LoopError
from clustrix_core.jobs import records
from clustrix_core.jobs.here import marker
from clustrix_core.session import pool
from clustrix_core.testing.servers import SlurmCluster

Configure = Callable[..., ClusterConfig]

COUNT = 150
PLANT = b"""
import os, shutil, sys
shutil.rmtree("/scratch/loops", ignore_errors=True)
os.makedirs("/scratch/loops/loops")
os.chmod("/scratch/loops", 0o1777)
for number in range(int(sys.argv[1])):
    with open("/scratch/loops/loops/%03d.csv" % number, "w") as file:
        file.write("x" * number)
"""


@pytest.fixture
def config(configure: Configure, cluster: SlurmCluster) -> Iterator[ClusterConfig]:
    """As root, who has the only Python there of this version for certain."""
    cluster.python(PLANT, [str(COUNT)])
    yield configure("root", remote_work_dir="/scratch/loops", python_executable=sys.executable)
    pool.close()


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
    return sum(is_copy(folder) for folder in processes_of(config))


def is_copy(folder: Path) -> bool:
    with suppress(OSError):
        parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        return (folder / "cmdline").read_bytes() == Path("/proc", parent, "cmdline").read_bytes()
    return False


def test_the_example_is_split(config: ClusterConfig) -> None:
    found = process_datasets(config)
    assert [one[:2] for one in found] == [("x" * number, work(number)) for number in range(COUNT)]
    assert len({one[2] for one in found}) > 1
    written = process_datasets.with_options(parallel=False)(config)
    assert [one[:2] for one in written] == [one[:2] for one in found]
    assert len({one[2] for one in written}) == 1


def test_a_job_has_the_cores_that_the_cluster_gives(configure: Configure, config: ClusterConfig) -> None:
    asks_for_none = process_datasets.with_options(cores=None)
    assert len({one[2] for one in asks_for_none(config)}) == 1
    by_default = config.model_copy(update={"default_cores": 2})
    assert len({one[2] for one in asks_for_none(by_default)}) > 1


def test_what_is_required_is_refused_before_anything_is_sent(config: ClusterConfig) -> None:
    elsewhere = config.model_copy(update={"cluster_port": 1})
    with pytest.raises(LoopError, match=r"loops_on_cluster\.py:\d+: .*before"):
        carries.submit(elsewhere)
    assert records.all_records() == []


def test_who_follows_a_job_sees_how_far_its_loop_is(config: ClusterConfig) -> None:
    job = naps.submit(config, 160)
    pieces = []
    for text in job.log_pieces(follow=True):
        pieces.append((text, job.done()))
    line = re.compile(r"\[#* *\] +\d+% the loop in naps \(.*loops_on_cluster\.py:\d+\), \d+ s\n")
    assert any(line.search(text) and not ended for text, ended in pieces)
    written = line.sub("", "".join(text for text, _ in pieces))
    assert written == "".join(f"nap {number}\n" for number in range(160))


@pytest.mark.parametrize("number", [0, 9])
def test_a_job_that_is_cancelled_or_killed_leaves_no_process(
    config: ClusterConfig, cluster: SlurmCluster, number: int
) -> None:
    job = endless.submit(config)
    assert isinstance(job, Job)
    assert wait_until(lambda: copies_of(config) == 2)
    if number:
        killed = b"import os, sys; os.kill(int(sys.argv[1]), 9)"
        cluster.python(killed, [str(main_process(config))])
        assert job.exception(90) is not None
    else:
        assert job.cancel()
    assert wait_until(lambda: not processes_of(config)), processes_of(config)


def main_process(config: ClusterConfig) -> int:
    """The process that runs the function."""
    (found,) = (
        folder
        for folder in processes_of(config)
        if b"job.pyz\0run" in (folder / "cmdline").read_bytes() and not is_copy(folder)
    )
    return int(found.name)
