"""The whole conformance suite over the system's ssh."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clustrix_core import ClusterConfig
from clustrix_core.session import pool
from clustrix_core.testing import BackendSuite, Place
from clustrix_core.testing.properties import PropertySuite
from clustrix_core.testing.servers import Account, SshServer, ssh_place


@pytest.fixture(scope="module")
def place(server: SshServer) -> Iterator[Place]:
    def config(account: Account) -> ClusterConfig:
        return ClusterConfig(
            cluster_type="ssh",
            cluster_host=server.host,
            cluster_port=server.port,
            username=account.name,
            key_file=account.key_file,
            known_hosts_file=server.known_hosts,
            ssh_config_file="none",
            use_agent=False,
            remote_work_dir=server.root,
            ssh_client="openssh",
            protocol="agent",
        )

    with ssh_place(server, config) as place:
        yield place
        pool.close()


class TestOpenSsh(BackendSuite):
    pass


class TestOpenSshProperties(PropertySuite):
    pass
