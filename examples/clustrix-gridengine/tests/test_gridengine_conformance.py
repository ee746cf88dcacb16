"""Every promise of Clustrix, on a cluster behind SSH."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clustrix_core.testing import BackendSuite, Place
from clustrix_core.testing.servers import ssh_place


@pytest.fixture(scope="module")
def place(cluster, configure) -> Iterator[Place]:
    with ssh_place(cluster.server, configure) as made:
        yield made


class TestGridEngine(BackendSuite):
    pass
