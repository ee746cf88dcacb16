"""The throwaway cluster: jobs run, modules load, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clustrix_core.testing.servers import SlurmCluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster() as cluster:
        yield cluster


def log_in(cluster: SlurmCluster, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the login node, as an ordinary user with nothing but the usual configuration."""
    line = ["ssh", "-F", "none", "-p", str(cluster.port), "-i", str(cluster.accounts["key"].key_file)]
    line += [f"-oUserKnownHostsFile={cluster.known_hosts}", "-oBatchMode=yes", f"key@{cluster.host}", command]
    return subprocess.run(line, capture_output=True, text=True, timeout=120)


def test_a_job_runs_as_the_user_who_logged_in(cluster: SlurmCluster) -> None:
    done = log_in(cluster, "sbatch --wait --output out --wrap 'id -un; echo $SLURM_JOB_NODELIST' && cat out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["key", "c1"]


def test_there_is_no_accounting(cluster: SlurmCluster) -> None:
    assert "accounting storage is disabled" in log_in(cluster, "sacct").stderr


def test_modules_are_for_login_shells(cluster: SlurmCluster) -> None:
    assert log_in(cluster, "module list").returncode == 127
    script = "module load compiler library; echo $LIBRARY; module load broken; echo $?"
    done = log_in(cluster, f"bash -lc '{script}'")
    assert done.stdout == "4\n1\n"
    assert "the license server of broken is down" in done.stderr


@pytest.mark.parametrize("system", ["environment-modules", "none"])
def test_other_module_systems(system: str) -> None:
    with SlurmCluster(modules=system) as cluster:  # type: ignore[arg-type]
        done = log_in(
            cluster, "bash -lc 'module --version; module load tool; module is-loaded tool && which sbatch'"
        )
        if system == "none":
            assert "module: command not found" in done.stderr
        else:
            assert "Modules Release" in done.stderr
            assert done.stdout == "/usr/bin/sbatch\n"


def test_the_controller_can_be_down(cluster: SlurmCluster) -> None:
    cluster.stop_controller()
    assert log_in(cluster, "scontrol ping").returncode
    cluster.start_controller()
    deadline = time.monotonic() + 60
    while log_in(cluster, "scontrol ping").returncode:
        assert time.monotonic() < deadline


def test_a_cluster_restarts(cluster: SlurmCluster) -> None:
    cluster.stop()
    cluster.start()
    assert "c2" in log_in(cluster, "sinfo --Node").stdout


def test_nothing_is_seen_here(cluster: SlurmCluster) -> None:
    assert not Path("/etc/slurm/slurm.conf").exists()
    assert not os.path.exists(cluster.more_modules)


def test_nothing_is_left() -> None:
    with SlurmCluster() as cluster:
        log_in(cluster, "sbatch --wrap 'sleep 1000'")
        there = cluster.processes()
        assert len(there) >= 5
    assert not cluster.base.exists()
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in there) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [pid for pid in there if os.path.exists(f"/proc/{pid}")]
