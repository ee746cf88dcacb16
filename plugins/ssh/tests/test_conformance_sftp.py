"""The whole conformance suite over paramiko, with SFTP."""

from __future__ import annotations

from clustrix_core.testing import BackendSuite
from clustrix_core.testing.properties import PropertySuite

WAY = {"protocol": "sftp"}


class TestSftp(BackendSuite):
    pass


class TestSftpProperties(PropertySuite):
    pass
