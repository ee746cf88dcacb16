"""Environments of jobs on a real cluster: they are built and found there, with its modules and its pip."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from environments_on_cluster import environment

from clustrix import ClusterConfig, JobError
from clustrix import cluster as decorate
from clustrix_core.jobs import preparing
from clustrix_core.jobs.dependencies import Dependencies
from clustrix_core.testing.servers import Relay, SlurmCluster

Configure = Callable[..., ClusterConfig]

# A wheel of `tinytool`, and an environment as conda makes them, as far as its folders say.
PLANT = b"""
import os, subprocess, sys, zipfile
os.makedirs("/scratch/wheels", exist_ok=True)
info = "tinytool-1.0.dist-info/"
with zipfile.ZipFile("/scratch/wheels/tinytool-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("tinytool.py", "version = '1.0'")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: tinytool\\nVersion: 1.0\\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(info + "RECORD", "")
science = "/scratch/conda/envs/science"
if not os.path.exists(science):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", science], check=True)
    os.makedirs(science + "/conda-meta")
"""


@pytest.fixture
def config(configure: Configure, cluster: SlurmCluster) -> Iterator[ClusterConfig]:
    """As root, who has the only Python there of this version for certain."""
    cluster.python(PLANT, [])
    preparing._known.clear()
    yield configure(
        "root",
        remote_work_dir="/scratch/project",
        python_executable=sys.executable,
        environment_variables={"PIP_FIND_LINKS": "/scratch/wheels", "PIP_NO_INDEX": "1"},
        module_loads=["tool/1.0"],
    )
    preparing._known.clear()


def needed(**pins: str) -> Dependencies:
    return Dependencies(pins=pins)


def test_an_environment_is_built_there_once(config: ClusterConfig) -> None:
    built = preparing.prepared(config, needed(tinytool="1.0"), "auto")
    assert built.installed == {"tinytool": "1.0"}
    with ThreadPoolExecutor(2) as clients:
        preparing._known.clear()
        again = list(
            clients.map(lambda _: preparing.prepared(config, needed(tinytool="1.0"), "auto"), range(2))
        )
    assert [found.folder for found in again] == [built.folder] * 2
    other = config.model_copy(update={"module_loads": ()})
    assert preparing.prepared(other, needed(tinytool="1.0"), "auto").folder != built.folder


def test_a_job_runs_in_what_was_built(config: ClusterConfig) -> None:
    prefix, _, tool, path = decorate(config=config, environment="auto")(environment)()
    assert "/.clustrix/environments/" in prefix
    assert path.startswith(f"{prefix}/bin:")
    assert tool is not None
    assert tool.endswith("/site/tool")


def test_the_words_of_pip_come_back(config: ClusterConfig) -> None:
    with pytest.raises(JobError, match=r"(?s)127\.0\.0\.1: .*No matching distribution found for tinytool==9"):
        preparing.prepared(config, needed(tinytool="9"), "auto")


def test_what_is_missing_or_wrong_is_told_before_anything_is_submitted(
    configure: Configure, config: ClusterConfig
) -> None:
    with pytest.raises(JobError, match=r"lacks what the function needs: nowhere==1 .*; environment=\"auto\""):
        preparing.prepared(config, needed(nowhere="1"), None)
    other = configure("root", remote_work_dir="/scratch/project", conda_env_name="science")
    with pytest.raises(JobError, match=r"there is no conda environment 'science'"):
        preparing.prepared(other, needed(), None)


def test_a_job_runs_in_a_conda_environment(configure: Configure, config: ClusterConfig) -> None:
    science = configure(
        "root",
        remote_work_dir="/scratch/project",
        conda_env_name="science",
        environment_variables={"MAMBA_ROOT_PREFIX": "/scratch/conda"},
    )
    prefix, variable, _, path = decorate(config=science)(environment)()
    assert prefix == variable == "/scratch/conda/envs/science"
    assert path.startswith(f"{prefix}/bin:")


def test_it_costs_one_round_trip_once(config: ClusterConfig, cluster: SlurmCluster, tmp_path: Path) -> None:
    with Relay(cluster.port, rtt=0.2) as line:
        known = tmp_path / "known"
        known.write_text(cluster.known_hosts.read_text().replace(f":{cluster.port} ", f":{line.port} "))
        far = config.model_copy(update={"cluster_port": line.port, "known_hosts_file": str(known)})
        from clustrix_core.filesystem import ClusterFilesystem

        with ClusterFilesystem(far) as place:
            assert place.isdir(".")
            line.reset()
            preparing.prepared(far, needed(), None)
            assert line.round_trips == 1
            preparing.prepared(far, needed(), None)
            assert line.round_trips == 1
