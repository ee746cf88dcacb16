"""The whole conformance suite over a real SFTP server, at the end of a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest

from clustrix_core import ClusterConfig, discovery
from clustrix_core.session import pool
from clustrix_core.testing import BackendSuite, Place, local_place
from clustrix_core.testing.properties import PropertySuite
from clustrix_ssh.sftp import MISSING

BACKEND = """
import os
from pydantic import ConfigDict
from clustrix_core import API_VERSION
from clustrix_core.remote import PipeChannel, RemoteBackend, RemoteConfig
from clustrix_ssh.sftp import SftpEngine
from clustrix_ssh.sftp_client import SftpClient

SERVER = "/usr/lib/openssh/sftp-server"

class SftpPipeConfig(RemoteConfig):
    model_config = ConfigDict(extra="forbid")
    user: int | None = None

class SftpPipe(RemoteBackend):
    api_version = API_VERSION
    config_model = SftpPipeConfig
    server = None

    def open_channel(self, command):
        raise NotImplementedError

    def engine_from_here(self, failure):
        user = self.config.user
        become = [] if user is None else ["setpriv", f"--reuid={user}", "--clear-groups"]
        self.server = SftpClient(PipeChannel([*become, SERVER, "-d", os.environ["HOME"]]))
        return SftpEngine(self.server, self.config.remote_work_dir)

    def close(self):
        super().close()
        if self.server is not None:
            self.server.close()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "sftp_pipe.py").write_text(BACKEND)
    info = folder / "clustrix_sftp_pipe-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: clustrix-sftp-pipe\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[clustrix.backends]\nsftp-pipe = sftp_pipe:SftpPipe\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        discovery.load_backend.cache_clear()
        yield
        pool.close()
    discovery.load_backend.cache_clear()


@pytest.fixture(scope="module")
def place(site: None) -> Iterator[Place]:
    def config(root: str) -> ClusterConfig:
        return ClusterConfig(cluster_type="sftp-pipe", cluster_host="the.host", remote_work_dir=root)

    with local_place(config, missing=MISSING) as place:
        nobody = place.config.model_copy(update={"user": 65534})
        yield replace(place, unprivileged=lambda: nullcontext(nobody))


class TestSftp(BackendSuite):
    pass


class TestSftpProperties(PropertySuite):
    pass
