"""Every promise of Clustrix, tested on this backend."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest

from clustrix_core import ClusterConfig
from clustrix_core.testing import BackendSuite, Place, local_place


def config(root: str) -> ClusterConfig:
    return ClusterConfig(cluster_type="acme", remote_work_dir=root)


# For a place on another machine yield a `Place` of your own, whose `python` runs a script over there.
@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with local_place(config) as place:
        # Root can read everything; what can't be read is tested as another user.
        nobody = ("setpriv", "--reuid=65534", "--clear-groups", "sh", "-c")
        restricted = place.config.model_copy(update={"entrance": nobody})
        as_nobody = replace(place, unprivileged=lambda: nullcontext(restricted))
        yield as_nobody if os.geteuid() == 0 else place


class TestAcme(BackendSuite):
    pass
