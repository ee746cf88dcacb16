"""Functions with loops that the tests run as jobs on a cluster: a local module, which travels."""

from __future__ import annotations

import os
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


def process_large_file(filename: str, config: ClusterConfig) -> tuple[str, int, int]:
    raise AssertionError("there is none")


def process_small_file(filename: str, config: ClusterConfig) -> tuple[str, int, int]:
    with open(filename) as file:  # the working folder is remote_work_dir
        text = file.read()
    return text, work(len(text)), process()


@cluster(cores=2, memory="500M", time="02:00:00", parallel="require")
def process_datasets(config: ClusterConfig) -> list[tuple[str, int, int]]:
    results = []
    for filename in cluster_glob("*.csv", "loops/", config):
        file_info = cluster_stat(filename, config)
        if file_info.size > 100_000_000:
            result = process_large_file(filename, config)
        else:
            result = process_small_file(filename, config)
        results.append(result)
    return results


@cluster(cores=2, parallel="require")
def carries(config: ClusterConfig) -> int:
    before, found = 0, []
    for value in range(10):
        found.append(value + before)
        before = value
    return before


@independent
def lasts(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


@cluster(cores=2, progress=True)
def naps(config: ClusterConfig, count: int) -> None:
    for number in range(count):
        print("nap", number)
        lasts(0.1)


@cluster(cores=2, parallel=True)
def endless(config: ClusterConfig) -> list[tuple[int, int]]:
    """It is not to be waited for."""
    found = []
    for number in range(100_000):
        found.append((work(number), lasts(0.1)))
    return found
