"""`SlurmBackend`: every hook on a SLURM cluster, over SSH or on the cluster itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clustrix_core import hookimpl
from clustrix_core.doctor import Step
from clustrix_core.errors import ConfigError, ConnectionFailedError
from clustrix_core.jobs.hooks import ScheduledJobs
from clustrix_core.jobs.models import JobSpec, TaskState
from clustrix_slurm import sbatch
from clustrix_slurm.config import SlurmConfig
from clustrix_ssh import HereOrSshBackend

if TYPE_CHECKING:
    from clustrix_core.engine import Engine
    from clustrix_slurm.connection import ClusterConnection


class SlurmBackend(HereOrSshBackend, ScheduledJobs):
    """The backend of `cluster_type="slurm"`.

    The SSH backend does the work. What is the cluster's own: fabric's files have a say in where the
    connection leads, and on the cluster itself there is no connection at all.
    """

    config_model = SlurmConfig
    config: SlurmConfig
    program = "sbatch"

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
        """The steps of `clustrix doctor`: the way to the files, then the scheduler."""
        return [*super().diagnose(), Step("scheduler", self._check_scheduler, vital=False)]

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

    def explain(self, failure: ConnectionFailedError) -> None:
        """Raise what it is about that nothing starts on the cluster, if it isn't the lack of a Python.

        Raises:
            ConnectionFailedError: the login shell doesn't get there.
        """
        if not self.config.is_here:
            super().explain(failure)
        self.refuse_to_go_without(failure)  # no job could be started either

    def new_connection(self) -> ClusterConnection:
        from clustrix_slurm.connection import ClusterConnection  # imports fabric

        if self.config.is_here:
            raise ConfigError("without a cluster_host nothing goes over SSH: there is no host to connect to")
        return ClusterConnection(self.config)
