"""The whole conformance suite over paramiko, with the agent."""

from __future__ import annotations

from clustrix_core.testing import BackendSuite
from clustrix_core.testing.properties import PropertySuite

WAY = {"protocol": "agent"}


class TestAgent(BackendSuite):
    pass


class TestAgentProperties(PropertySuite):
    pass
