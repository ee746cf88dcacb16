"""`SshFiles` and `SshBackend`: every hook on a host behind SSH."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from clustrix_core import API_VERSION
from clustrix_core.doctor import Step
from clustrix_core.errors import ConnectionFailedError
from clustrix_core.jobs.hooks import SupervisedJobs
from clustrix_core.remote import Channel, PipeChannel, RemoteBackend
from clustrix_core.remote.bootstrap import NO_PYTHON
from clustrix_ssh import openssh
from clustrix_ssh.config import SshConfig

if TYPE_CHECKING:
    from clustrix_core.engine import Engine
    from clustrix_ssh.connection import Connection


class SshFiles(RemoteBackend):
    """The hooks for files. All goes over one connection, which is opened when it is first needed."""

    api_version = API_VERSION
    config_model = SshConfig
    config: SshConfig

    def __init__(self, config: SshConfig) -> None:
        super().__init__(config)
        self._connection: Connection | None = None
        self._logging_in = threading.RLock()
        self._without_python = config.protocol == "sftp"

    def open_channel(self, command: str) -> Channel:
        if self.config.ssh_client == "openssh":
            return self._piped(openssh.command_line(self.config, command))
        return self._logged_in().run(command)

    def _piped(self, command: list[str]) -> Channel:
        try:
            return PipeChannel(command)
        except FileNotFoundError:
            raise ConnectionFailedError(
                f"{self.place_name()}: there is no program ssh here; install OpenSSH's client, or use "
                "ssh_client 'paramiko'"
            ) from None

    def engine_from_here(self, failure: ConnectionFailedError | None) -> Engine | None:
        if failure is not None:
            if self.config.ssh_client == "paramiko" and (
                self._connection is None or not self._connection.alive
            ):
                return None
            self.explain(failure)
            self._without_python = self.config.protocol == "auto"
        return self._sftp_engine() if self._without_python else None

    def explain(self, failure: ConnectionFailedError) -> None:
        """Raise what it is about that nothing starts there, if SFTP can't help.

        Raises:
            ConnectionFailedError: what `ssh` itself complained about; or no command can be run there, where
                the config wants an environment for some.
        """
        if self.config.ssh_client == "openssh":
            openssh.explain(self.config, failure)
        if self.config.wants_environment:
            self.refuse_to_go_without(failure)

    def refuse_to_go_without(self, failure: ConnectionFailedError) -> None:
        """Raise that no command can be run there, if it is so: SFTP may work, but no job does, and no module.

        Raises:
            ConnectionFailedError: it isn't the lack of a Python.
        """
        if NO_PYTHON not in str(failure):
            python = "remote_python, and " if self.config.remote_python else ""
            raise ConnectionFailedError(
                f"{failure}. No command can be run there: check {python}what the shell's files, such as "
                "~/.bashrc, do where nobody types; if it is an account for SFTP alone, set protocol to sftp"
            )

    def _check_environment(self) -> str | None:
        return None if self.config.protocol == "sftp" else super()._check_environment()

    def _sftp_engine(self) -> Engine:
        from clustrix_ssh.sftp import SftpEngine
        from clustrix_ssh.sftp_client import SftpClient

        channel: Channel
        if self.config.ssh_client == "openssh":
            channel = self._piped(openssh.sftp_line(self.config))
        else:
            channel = self._logged_in().subsystem("sftp")
        try:
            client = SftpClient(channel, silence=self.config.dead_after)
        except ConnectionFailedError as error:
            failure = ConnectionFailedError(f"{self.place_name()}: {error}")
            if self.config.ssh_client == "openssh":
                openssh.explain(self.config, failure)
            raise failure from None
        return SftpEngine(client, self.config.remote_work_dir)

    def new_connection(self) -> Connection:
        """The way to the host, not yet opened."""
        from clustrix_ssh.connection import Connection  # imports paramiko
        from clustrix_ssh.settings import settings_of

        return Connection(settings_of(self.config))

    def _logged_in(self) -> Connection:
        with self._logging_in:
            known = self._connection
            if known is not None and known.alive:
                return known
            # Kept before it is open, so that a forked child finds its descriptor.
            connection = self._connection = self.new_connection()
            if known is not None and known.ended:  # else a signal handler, in this very thread, is here again
                known.close()  # as only a part of it may be lost, such as what is behind a jump host
            connection.log_in()
            return connection

    def diagnose(self) -> list[Step]:
        """The steps of `clustrix doctor`: those of the login, one by one, before those of any agent."""
        if self.config.ssh_client == "openssh":
            return [Step("login by ssh", self._try_openssh), *super().diagnose()]
        from clustrix_ssh.connection import STAGES

        stages = self._stages()
        return [*(Step(name, partial(next, stages)) for name in STAGES), *super().diagnose()]

    def _stages(self) -> Iterator[str | None]:
        """Log in as `_logged_in` does, stage by stage."""
        self._connection = self.new_connection()
        yield from self._connection.stages()

    def _try_openssh(self) -> str:
        """Run next to nothing by ssh, which has its own exit code for failures of its own."""
        patience = self.config.connect_timeout
        try:
            done = subprocess.run(  # noqa: S603 (the user's own)
                openssh.command_line(self.config, "exit"),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=patience,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise ConnectionFailedError(
                f"{self.place_name()}: ssh is not done after {patience:g} s; `ssh -v "
                f"{self.config.cluster_host}` tells more, or raise connect_timeout"
            ) from None
        if done.returncode == openssh.FAILED:
            said = done.stderr.decode("utf-8", "replace").strip()
            failure = ConnectionFailedError(f"{self.place_name()}: {said or 'ssh failed without a word'}")
            openssh.explain(self.config, failure)
            raise failure
        return "ssh gets in"

    def description(self) -> str:
        """How the place is reached, in a few words."""
        told = super().description()
        if self._without_python and self._client is not None and self._client.alive:
            told = "SFTP" if self.config.protocol == "sftp" else "SFTP (no Python there)"
        return f"{self.config.ssh_client}, {told}"

    def close(self) -> None:
        """End the agent and the connection."""
        super().close()
        if self._connection is not None:
            self._connection.close()

    def abandon(self) -> None:
        """In a forked child: let go of the connection without sending a byte."""
        super().abandon()
        self._logging_in = threading.RLock()
        if self._connection is not None:
            self._connection.abandon()
            self._connection = None


class SshBackend(SshFiles, SupervisedJobs):
    """The backend of `cluster_type="ssh"`: files, and jobs as processes of the host."""
