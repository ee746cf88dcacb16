"""Functions that the tests run as jobs on a cluster: a local module, which travels."""

from __future__ import annotations

import os
import time

from clustrix import ClusterConfig, cluster, cluster_glob, cluster_stat


def process_large_file(filename: str, config: ClusterConfig) -> str:
    raise AssertionError("there is none")


def process_small_file(filename: str, config: ClusterConfig) -> str:
    with open(filename) as file:  # the working folder is remote_work_dir
        return file.read()


@cluster(cores=2, memory="500M", time="02:00:00")
def process_datasets(config: ClusterConfig) -> list[str]:
    results = []
    for filename in cluster_glob("*.csv", "input/", config):
        file_info = cluster_stat(filename, config)
        if file_info.size > 100_000_000:
            result = process_large_file(filename, config)
        else:
            result = process_small_file(filename, config)
        results.append(result)
    return results


@cluster
def environment(config: ClusterConfig, *names: str) -> list[str | None]:
    return [os.environ.get(name) for name in names]


@cluster
def sleeps(config: ClusterConfig, seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@cluster
def dies(config: ClusterConfig) -> None:
    os._exit(7)


@cluster
def square(number: int) -> int:
    return number * number


@cluster(requeue=True)
def begins_again(config: ClusterConfig) -> str:
    """Is ended the first time, and succeeds the second time."""
    if not os.path.exists("begun"):
        with open("begun", "w"):
            time.sleep(1000)
    return "the second time"


@cluster
def naps(seconds: float) -> float:
    time.sleep(seconds)
    return seconds
