"""Functions that the tests run as jobs on a host: a local module, which travels."""

from __future__ import annotations

import time

from clustrix import ClusterConfig, cluster, cluster_open


@cluster
def add(config: ClusterConfig, number: int) -> int:
    with cluster_open("data", config=config) as file:  # only the host has it
        return int(file.read()) + number


@cluster
def marks(config: ClusterConfig, name: str) -> str:
    with open(name, "a") as file:
        file.write("x")
    return name


@cluster
def naps(config: ClusterConfig, seconds: float) -> float:
    time.sleep(seconds)
    return seconds
