"""A pod, as the stand-in for `kubectl` knows it: a mount namespace."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig
from clustrix_core.testing.servers import Namespace

KUBECTL = Path(__file__).with_name("kubectl")
# In it /mnt is a disk that nobody else sees.
POD = """
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir -p /mnt/data /mnt/home/sub
echo >/mnt/home/notes.csv; echo >/mnt/home/.profile; echo >/mnt/home/sub/more.csv
"""


@pytest.fixture(scope="session")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    made = Namespace(POD, tmp_path_factory.mktemp("pod"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def config(pod: Namespace, tmp_path_factory: pytest.TempPathFactory) -> ClusterConfig:
    """Leads to the pod `storage-0`, whose container `main` is root's; `worker` is an ordinary user's."""
    environment = {"HOME": "/mnt/home", "PATH": os.environ["PATH"]}
    containers = {
        name: {"enter": pod.enter(), "user": user, "environment": environment}
        for name, user in {"main": 0, "worker": 65534}.items()
    }
    kubeconfig = tmp_path_factory.mktemp("kubernetes") / "kubeconfig"
    kubeconfig.write_text(json.dumps({"research/storage-0": containers}))
    return ClusterConfig(
        cluster_type="kubernetes",
        kubectl=str(KUBECTL),
        kubeconfig=str(kubeconfig),
        context="testbed",
        namespace="research",
        pod="storage-0",
        remote_work_dir="/mnt/data",
    )
