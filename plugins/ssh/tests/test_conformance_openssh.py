"""The whole conformance suite over the system's ssh."""

from __future__ import annotations

from clustrix_core.testing import BackendSuite
from clustrix_core.testing.properties import PropertySuite

WAY = {"ssh_client": "openssh", "protocol": "agent"}


class TestOpenSsh(BackendSuite):
    pass


class TestOpenSshProperties(PropertySuite):
    pass
