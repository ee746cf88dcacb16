"""The jobs' hooks, for backends to inherit. What does the work is loaded when asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from clustrix_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from clustrix_core.jobs.handover import Place
    from clustrix_core.jobs.models import EnvironmentSpec, JobSpec, PreparedEnvironment, TaskState

__all__ = ["ScheduledJobs", "SupervisedJobs"]


class ScheduledJobs:
    """The hooks of jobs that are the same whatever starts the jobs.

    A backend adds those that its scheduler answers: `clustrix_submit`, `clustrix_dry_run`,
    `clustrix_job_states` and `clustrix_cancel`. `clustrix_core.jobs.handover` helps with the first two.
    """

    @hookimpl
    def clustrix_prepare(
        self: Place, environment: EnvironmentSpec, progress: Callable[[str], object] | None
    ) -> PreparedEnvironment:
        from clustrix_core.jobs import environment as environments

        return environments.prepare(self, environment, progress)

    @hookimpl
    def clustrix_environment_remove(self: Place, keep: list[str], unused_for: float) -> list[str]:
        from clustrix_core.jobs import environment as environments

        return environments.remove(self, keep, unused_for)

    @hookimpl
    def clustrix_job_remove(self: Place, jobs: list[str]) -> int:
        from clustrix_core.jobs import handover

        return handover.remove(self, jobs)


class SupervisedJobs(ScheduledJobs):
    """All hooks of jobs, for a place without a scheduler.

    A process of our own sees to each job there, and outlives the connection.
    """

    @hookimpl
    def clustrix_submit(self: Place, job: JobSpec) -> str:
        from clustrix_core.jobs import handover

        return handover.submit(self, job)[0]

    @hookimpl
    def clustrix_dry_run(self: Place, job: JobSpec) -> str:
        from clustrix_core.jobs import handover

        return handover.preview(self, job)

    @hookimpl
    def clustrix_job_states(self: Place, jobs: list[str]) -> dict[str, list[TaskState]]:
        from clustrix_core.jobs import handover

        return handover.states(self, jobs)

    @hookimpl
    def clustrix_cancel(self: Place, jobs: list[str]) -> int:
        from clustrix_core.jobs import handover

        return handover.cancel(self, jobs)
