"""Functions that the tests run as jobs on a host: a local module, which travels."""

from __future__ import annotations

import contextlib
import os
import resource
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


@cluster
def surroundings(config: ClusterConfig, *names: str) -> list[str | None]:
    return [os.environ.get(name) for name in names]


@cluster
def core_limit(config: ClusterConfig) -> int:
    return resource.getrlimit(resource.RLIMIT_CORE)[0]


@cluster
def mentions(config: ClusterConfig, word: str) -> list[str]:
    """The processes of the host in whose command lines a word is."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
            line = file.read().decode(errors="replace")
            found += [line] * (word in line)
    return found
