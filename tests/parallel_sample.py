"""Functions with loops that the tests run as jobs: a local module, which travels."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time

from clustrix import ClusterConfig, cluster, cluster_glob, cluster_stat, independent


@independent
def process() -> int:
    """Where it runs, which makes no difference to anything else."""
    return os.getpid()


def work(number: int) -> int:
    """Takes some fiftieth of a second."""
    total = 0
    for step in range(150_000):
        total += (number + step) % 7
    return total


@cluster(cores=2, parallel=True)
def works(count: int) -> list[tuple[int, int]]:
    found = []
    for number in range(count):
        found.append((work(number), process()))
    return found


def process_large_file(filename: str, config: ClusterConfig) -> str:
    raise AssertionError("there is none")


def process_small_file(filename: str, config: ClusterConfig) -> tuple[str, int, int]:
    with open(filename) as file:  # the working folder is local_work_dir
        text = file.read()
    return text, work(len(text)), process()


@cluster(cores=2, memory="500M", time="02:00:00", parallel="require")
def process_datasets(config: ClusterConfig) -> list[tuple[str, int, int]]:
    results = []
    for filename in cluster_glob("*.csv", "input/", config):
        file_info = cluster_stat(filename, config)
        if file_info.size > 100_000_000:
            result = process_large_file(filename, config)
        else:
            result = process_small_file(filename, config)
        results.append(result)
    return results


@cluster(cores=2, parallel=True)
def sizes_here(count: int) -> list[tuple[int, int, int]]:
    """Files of the active config, which is that of the job."""
    return [(cluster_stat("a.csv").size, work(number), process()) for number in range(count)]


@cluster(cores=2, parallel="require")
def carries(values: list[int]) -> list[int]:
    before, found = 0, []
    for value in values:
        found.append(value + before)
        before = value
    return found


@cluster(cores=2, parallel="check")
def differs(count: int) -> list[int]:
    found = []
    for _number in range(count):
        found.append(process())
    return found


@independent
def lasts(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@cluster(cores=2, parallel=True)
def endless() -> list[float]:
    """It is not to be waited for."""
    found = []
    for number in range(100_000):
        found.append(work(number) + lasts(0.1))
    return found


@cluster(cores=2, progress=True)
def naps(count: int) -> list[float]:
    found = []
    for number in range(count):
        print("nap", number)
        found.append(lasts(0.1))
    return found


@cluster(cores=2, progress=True)
def collecting_naps(count: int) -> str:
    """What they write to standard error."""
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        for number in range(count):
            print("nap", number, file=sys.stderr)
            lasts(0.1)
    return errors.getvalue()


@cluster(cores=2, parallel=True)
def two_long_ones() -> list[float]:
    """Iterations that last longer than anybody waits."""
    found = []
    for seconds in [0.0, 0.02, 0.02, 1000.0, 1000.0, 1000.0, 1000.0]:
        found.append(lasts(seconds))
    return found
