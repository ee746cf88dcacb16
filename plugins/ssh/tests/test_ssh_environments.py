"""Environments of jobs on a host behind SSH."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from clustrix import ClusterConfig, JobError
from clustrix_core.jobs import preparing
from clustrix_core.jobs.dependencies import Dependencies
from clustrix_core.testing.servers import SshServer

Configure = Callable[..., ClusterConfig]


def test_an_environment_is_built_on_the_host(configure: Configure, server: SshServer) -> None:
    config = configure("root", python_executable=sys.executable)
    built = preparing.prepared(config, Dependencies(), "auto")
    assert "/.clustrix/environments/" in built.python
    assert built.version == sys.version_info[:3]
    server.python(b"import sys; open(sys.argv[1] + '/clustrix-ready').close()", [built.folder])
    preparing.forget(config)
    assert preparing.prepared(config, Dependencies(), "auto") == built


def test_what_is_missing_is_told(configure: Configure) -> None:
    config = configure("root", python_executable=sys.executable)
    with pytest.raises(JobError, match=r"127\.0\.0\.1: .* lacks what the function needs: nowhere==1 "):
        preparing.prepared(config, Dependencies(pins={"nowhere": "1"}), None)
    with pytest.raises(JobError, match=r"127\.0\.0\.1: there is no conda environment at '/none/x'"):
        preparing.prepared(configure("root", conda_env_name="/none/x"), Dependencies(), None)
