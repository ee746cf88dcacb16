from __future__ import annotations

import os

import pytest

from clustrix_core import ClusterConfig
from clustrix_core.testing import BackendSuite, local_place


def config(root):
    scratch_root, username = os.path.split(root)
    return ClusterConfig(
        cluster_type="scratch", scratch_root=scratch_root, username=username
    )


@pytest.fixture(scope="module")
def place():
    with local_place(config, missing=frozenset({"files", "readlink"})) as place:
        yield place


class TestScratch(BackendSuite):
    pass
