"""The whole conformance suite on a cluster, over SSH, in an environment of modules."""

from __future__ import annotations

from clustrix_core.testing import BackendSuite
from clustrix_core.testing.properties import PropertySuite

WAY = {
    "protocol": "agent",
    "module_loads": ["compiler", "library", "snake"],
    "environment_variables": {"OMP_NUM_THREADS": 4},
    "pre_execution_commands": ["ulimit -c 0"],
}


class TestSlurm(BackendSuite):
    pass


class TestSlurmProperties(PropertySuite):
    pass
