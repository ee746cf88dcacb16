"""The backend: files as the SSH backend of Clustrix reaches them, and Grid Engine's jobs."""

from __future__ import annotations

from clustrix_core.doctor import Concern, Step
from clustrix_gridengine.config import GridEngineConfig
from clustrix_gridengine.jobs import GridEngineJobs
from clustrix_gridengine.qmaster import ask_qmaster
from clustrix_ssh import HereOrSshBackend

# The settings, then the command and its arguments.
WITH_SETTINGS = '. "$1" >/dev/null && shift && exec "$@"'


class GridEngineBackend(HereOrSshBackend, GridEngineJobs):
    """The backend of `cluster_type="gridengine"`."""

    api_version = 1
    config_model = GridEngineConfig
    config: GridEngineConfig
    program = "qconf"

    def command(self, *words: str) -> list[str]:
        """A command of Grid Engine, as it is run on the cluster."""
        settings = self.config.sge_settings
        return ["sh", "-c", WITH_SETTINGS, "sh", settings, *words] if settings else list(words)

    def diagnose(self) -> list[Step]:
        """The steps of `clustrix doctor`: the way to the files, then the scheduler."""
        return [*super().diagnose(), Step("scheduler", self._check_qmaster, vital=False)]

    def _check_qmaster(self) -> str | Concern:
        found = ask_qmaster(self.run, self.command)
        told = f"{found.version}, qmaster on {found.host}, {found.queues} queues, {found.jobs} jobs"
        if not found.queues:
            return Concern(told, "no job can run: ask for a queue (`qconf -sql` lists them)")
        return told
