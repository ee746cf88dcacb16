"""For clusters and their like: over SSH from elsewhere, without it on the spot."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, ClassVar

from pydantic import ConfigDict

from clustrix_core.doctor import Step
from clustrix_core.errors import ConfigError, ConnectionFailedError
from clustrix_core.remote import Channel, PipeChannel, RemoteBackend
from clustrix_ssh.backend import SshFiles
from clustrix_ssh.config import SshConfig

if TYPE_CHECKING:
    from clustrix_core.engine import Engine
    from clustrix_ssh.connection import Connection


class HereOrSshConfig(SshConfig):
    """The fields of the SSH backend; without a `cluster_host`, or with `localhost`, the place is here."""

    model_config = ConfigDict(extra="forbid")

    @property
    def is_here(self) -> bool:
        """Whether the place is where this process runs."""
        return self.cluster_host in (None, "", "localhost")

    def _check_host(self) -> None:
        if not self.is_here:
            super()._check_host()
        elif self.cluster_port is not None:
            raise ValueError(
                "cluster_port needs a cluster_host other than localhost: without one nothing goes over SSH; "
                "for a tunnel that ends on this machine write cluster_host 127.0.0.1"
            )
        elif self.protocol == "sftp":
            raise ValueError("protocol 'sftp' needs a cluster_host: without one nothing goes over SSH")


class HereOrSshBackend(SshFiles):
    """The SSH backend, which starts its commands on this machine where the config names no other.

    Attributes:
        program: what is on the PATH of every machine that may be meant by "here", such as a command of the
            scheduler; None takes any machine.
    """

    config_model = HereOrSshConfig
    config: HereOrSshConfig
    program: ClassVar[str | None] = None

    def open_channel(self, command: str) -> Channel:
        """Start a command line, on the host or here."""
        if not self.config.is_here:
            return super().open_channel(command)
        if self.program is not None and shutil.which(self.program) is None:
            raise ConfigError(
                f"cluster_type {self.config.cluster_type!r} without a cluster_host means the cluster that "
                f"this machine belongs to, but there is no {self.program} on the PATH; give a cluster_host, "
                "or work on a login node"
            )
        return PipeChannel(["sh", "-c", command])

    def engine_from_here(self, failure: ConnectionFailedError | None) -> Engine | None:
        """None for a place that is here; else as for any host."""
        return None if self.config.is_here else super().engine_from_here(failure)

    def new_connection(self) -> Connection:
        """The way to the host, not yet opened."""
        if self.config.is_here:
            raise ConfigError("without a cluster_host nothing goes over SSH: there is no host to connect to")
        return super().new_connection()

    def diagnose(self) -> list[Step]:
        """The steps of `clustrix doctor`; those of the login are left out where there is none."""
        return RemoteBackend.diagnose(self) if self.config.is_here else super().diagnose()

    def description(self) -> str:
        """How the place is reached, in a few words."""
        told = super().description()
        return told.replace(f"{self.config.ssh_client}, ", "here, ", 1) if self.config.is_here else told
