"""A real SSH server for all tests, and configs that lead there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig
from clustrix_core.session import pool
from clustrix_core.testing import Place
from clustrix_core.testing.servers import Account, SshServer, ssh_place
from clustrix_ssh.sftp import MISSING

Configure = Callable[..., ClusterConfig]


@pytest.fixture(scope="session")
def server() -> Iterator[SshServer]:
    with SshServer() as made:
        yield made


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, server: SshServer) -> Iterator[Place]:
    """The place of the conformance suite; a module's `WAY` says how to get there."""
    way = request.module.WAY
    missing = MISSING if way.get("protocol") == "sftp" else frozenset()

    def config(account: Account) -> ClusterConfig:
        return config_of(server, account.name, remote_work_dir=server.root, **way)

    with ssh_place(server, config, missing=missing) as made:
        yield made
    pool.close()


@pytest.fixture(autouse=True)
def _own_connections(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test, other than those of the suite, finds no connection of another."""
    yield
    if not hasattr(request.module, "WAY"):
        pool.close()


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """What is kept of jobs goes with the test."""
    if not hasattr(request.module, "WAY"):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def configure(server: SshServer) -> Configure:
    """Makes a config for an account; fields override what it would hold, and None leaves them out.

    `at` is the server, if it is another one.
    """

    def make(account: str = "key", at: SshServer = server, **fields: object) -> ClusterConfig:
        return config_of(at, account, **fields)

    return make


def config_of(server: SshServer, account: str, **fields: object) -> ClusterConfig:
    """A config for an account of the server."""
    who = server.accounts[account]
    usual: dict[str, object] = {
        "cluster_type": "ssh",
        "cluster_host": server.host,
        "cluster_port": server.port,
        "username": who.name,
        "key_file": str(who.key_file) if who.key_file else None,
        "known_hosts_file": str(server.known_hosts),
        "ssh_config_file": "none",
        "use_agent": False,
    }
    given = {name: value for name, value in {**usual, **fields}.items() if value is not None}
    return ClusterConfig(**given)
