"""A real cluster for all tests, and configs that lead there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from on_cluster import config_of

from clustrix_core import ClusterConfig
from clustrix_core.session import pool
from clustrix_core.testing import Place
from clustrix_core.testing.servers import Account, SlurmCluster, ssh_place

Configure = Callable[..., ClusterConfig]


@pytest.fixture(scope="session")
def cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster() as made:
        yield made


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, cluster: SlurmCluster) -> Iterator[Place]:
    """The place of the conformance suite; a module's `WAY` says how to get there."""

    def config(account: Account) -> ClusterConfig:
        return config_of(cluster, account.name, remote_work_dir=cluster.root, **request.module.WAY)

    with ssh_place(cluster, config) as made:
        yield made


@pytest.fixture(autouse=True)
def _own_connections(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test, other than those of the suite, finds no connection of another."""
    yield
    if not hasattr(request.module, "WAY"):
        pool.close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A home folder here, so that nobody's own files have a say."""
    if not hasattr(request.module, "WAY"):
        monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def configure(cluster: SlurmCluster) -> Configure:
    """Makes a config for an account; fields override what it would hold, and None leaves them out.

    `at` is the cluster, if it is another one.
    """

    def make(account: str = "key", at: SlurmCluster = cluster, **fields: object) -> ClusterConfig:
        return config_of(at, account, **fields)

    return make


@pytest.fixture
def without_controller(cluster: SlurmCluster) -> Iterator[None]:
    cluster.stop_controller()
    yield
    cluster.start_controller()
