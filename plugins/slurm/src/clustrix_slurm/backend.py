"""`SlurmBackend`: every hook on a SLURM cluster, over SSH or on the cluster itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from clustrix_core import hookimpl
from clustrix_core.doctor import Step
from clustrix_core.errors import ConfigError, ConnectionFailedError, OperationTimeoutError
from clustrix_core.jobs.hooks import ScheduledJobs
from clustrix_core.jobs.models import JobSpec, TaskState
from clustrix_core.remote import Channel, RemoteBackend
from clustrix_core.remote.bootstrap import NO_PYTHON
from clustrix_slurm import sbatch
from clustrix_slurm.config import SlurmConfig
from clustrix_slurm.environment import (
    QUOTED,
    PreparedChannel,
    Script,
    script_for_bash,
    script_for_command,
)
from clustrix_ssh import HereOrSshBackend

if TYPE_CHECKING:
    from clustrix_core.engine import Engine
    from clustrix_slurm.connection import ClusterConnection

PATIENCE = (
    120.0  # seconds for a command, where the config has no op_timeout: a busy controller takes its time
)


class SlurmBackend(HereOrSshBackend, ScheduledJobs):
    """The backend of `cluster_type="slurm"`.

    The SSH backend does the work. What is the cluster's own: fabric's files have a say in where the
    connection leads, the agent starts in the environment that the config describes, and on the cluster
    itself there is no connection at all.
    """

    config_model = SlurmConfig
    config: SlurmConfig
    program = "sbatch"

    def __init__(self, config: SlurmConfig) -> None:
        super().__init__(config)
        self._channel: Channel | None = None

    def open_channel(self, command: str) -> Channel:
        if self.config.wants_environment:
            self._channel = self.start(script_for_command(self.config, command))
        else:
            self._channel = super().open_channel(command)
        return self._channel

    def start(self, script: Script) -> PreparedChannel:
        """Start a script on the cluster, over the connection that there is."""
        return PreparedChannel(super().open_channel(script.command), script)

    def ask_bash(self, text: str, *, with_module: bool = False) -> str:
        """Run a text of bash in the environment, over the connection that there is, and return its output.

        Args:
            text: it has no input.
            with_module: whether it needs the command `module`.

        Raises:
            ConfigError: the environment can't be set up.
            ConnectionFailedError: nothing can be run there, or the connection broke.
            OperationTimeoutError: it takes longer than `op_timeout`, by default two minutes.
        """
        limit, late = self.config.op_timeout or PATIENCE, threading.Event()
        channel = self.start(script_for_bash(self.config, text, with_module=with_module))

        def give_up() -> None:
            late.set()
            channel.close()

        timer = threading.Timer(limit, give_up)
        timer.daemon = True
        timer.start()
        said = b""
        try:
            while data := channel.recv(1 << 16):
                said += data
        except OSError as error:
            raise ConnectionFailedError(f"{self.place_name()}: the connection broke: {error}") from error
        finally:
            timer.cancel()
            channel.close()
        if late.is_set():
            raise OperationTimeoutError(f"{self.place_name()}: no answer within {limit:g} s; try again later")
        if not channel.is_ready():
            words = f"nothing was run; the host said: {channel.last_words() or said[-QUOTED:]!r}"
            self.explain(ConnectionFailedError(f"{self.place_name()}: {words}"), channel)
        return said.decode("utf-8", "replace")

    @hookimpl
    def clustrix_submit(self, job: JobSpec) -> str:
        return sbatch.submit(self, job)

    @hookimpl
    def clustrix_dry_run(self, job: JobSpec) -> str:
        return sbatch.preview(self, job)

    @hookimpl
    def clustrix_job_states(self, jobs: list[str]) -> dict[str, list[TaskState]]:
        return sbatch.states(self, jobs)

    @hookimpl
    def clustrix_cancel(self, jobs: list[str]) -> int:
        return sbatch.cancel(self, jobs)

    def diagnose(self) -> list[Step]:
        """The steps of `clustrix doctor`: of the login, the environment, the agent and the scheduler."""
        agent = RemoteBackend.diagnose(self)
        login = super().diagnose()[: -len(agent)]
        environment = Step("environment", self._check_environment)
        return [*login, environment, *agent, Step("scheduler", self._check_scheduler, vital=False)]

    def _check_environment(self) -> str | None:
        if not self.config.wants_environment:
            return None
        loaded = self.ask_bash('echo "${LOADEDMODULES:-}"').strip().replace(":", ", ")
        return f"set up; modules: {loaded or 'none'}"

    def _check_scheduler(self) -> str:
        from clustrix_slurm.info import info_of

        found = info_of(self)
        return (
            f"SLURM {found.slurm_version} of {found.name}, {len(found.partitions)} partitions, "
            f"{len(found.nodes)} nodes"
        )

    def engine_from_here(self, failure: ConnectionFailedError | None) -> Engine | None:
        if failure is not None and self.config.is_here:
            self.explain(failure)
            return None
        return super().engine_from_here(failure)

    def explain(self, failure: ConnectionFailedError, channel: Channel | None = None) -> None:
        """Raise what it is about that nothing starts on the cluster, if it isn't the lack of a Python.

        Args:
            failure: what happened.
            channel: where it happened; by default where the agent was to start.

        Raises:
            ConfigError: the environment can't be set up.
            ConnectionFailedError: the login shell doesn't get there.
        """
        if not self.config.is_here:
            super().explain(failure)
        channel = channel or self._channel
        if isinstance(channel, PreparedChannel):
            channel.check(self.place_name())
        if NO_PYTHON not in str(failure):  # SFTP may work, but no command does, and so no job
            python = "remote_python, and " if self.config.remote_python else ""
            raise ConnectionFailedError(
                f"{failure}. No command can be run there: check {python}what the shell's files, such as "
                "~/.bashrc, do where nobody types; if it is an account for SFTP alone, set protocol to sftp"
            )

    def new_connection(self) -> ClusterConnection:
        from clustrix_slurm.connection import ClusterConnection  # imports fabric

        if self.config.is_here:
            raise ConfigError("without a cluster_host nothing goes over SSH: there is no host to connect to")
        return ClusterConnection(self.config)
