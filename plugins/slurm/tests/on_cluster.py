"""What tests of jobs do on a cluster, by way of its own programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from clustrix import ClusterConfig, ClusterFunction, Job
from clustrix import cluster as decorate
from clustrix_core.jobs import records
from clustrix_core.testing.servers import SlurmCluster

WORK = "/scratch/project"


def run(cluster: SlurmCluster, *command: str) -> str:
    script = (
        b"import subprocess, sys; print(subprocess.run(sys.argv[1:], stdout=-1, text=True).stdout.strip())"
    )
    return cluster.python(script, list(command)).decode().strip()


def job_of(
    function: Callable[..., Any], config: ClusterConfig, *arguments: object, **options: Any
) -> tuple[Job, str]:
    """A job, and its number."""
    job = function_of(function, config, **options).submit(*arguments)
    return job, records.load(job.id).scheduler_id


def config_of(cluster: SlurmCluster, account: str, **fields: object) -> ClusterConfig:
    """A config for an account of the cluster."""
    who = cluster.accounts[account]
    usual: dict[str, object] = {
        "cluster_type": "slurm",
        "cluster_host": cluster.host,
        "cluster_port": cluster.port,
        "username": who.name,
        "key_file": str(who.key_file) if who.key_file else None,
        "known_hosts_file": str(cluster.known_hosts),
        "ssh_config_file": "none",
        "use_agent": False,
    }
    given = {name: value for name, value in {**usual, **fields}.items() if value is not None}
    return ClusterConfig(**given)


def function_of(
    function: Callable[..., Any], config: ClusterConfig, **options: Any
) -> ClusterFunction[..., Any]:
    return decorate(config=config, **options)(function)


def wait_until(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(condition())


def marks_in(cluster: SlurmCluster, name: str) -> int:
    return len(run(cluster, "cat", f"{WORK}/{name}"))


def begun(cluster: SlurmCluster, name: str, times: int = 1) -> bool:
    return wait_until(lambda: marks_in(cluster, name) == times)
