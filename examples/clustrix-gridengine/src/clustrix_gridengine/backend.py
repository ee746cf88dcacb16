"""The backend: the SSH backend of Clustrix, and a step of its own for `clustrix doctor`."""

from __future__ import annotations

from clustrix_core.doctor import Concern, Step
from clustrix_gridengine.config import GridEngineConfig
from clustrix_gridengine.qmaster import ask_qmaster
from clustrix_ssh import HereOrSshBackend


class GridEngineBackend(HereOrSshBackend):
    """The backend of `cluster_type="gridengine"`."""

    api_version = 1
    config_model = GridEngineConfig
    config: GridEngineConfig
    program = "qconf"

    def diagnose(self) -> list[Step]:
        """The steps of `clustrix doctor`: the way to the files, then the scheduler."""
        return [*super().diagnose(), Step("scheduler", self._check_qmaster, vital=False)]

    def _check_qmaster(self) -> str | Concern:
        found = ask_qmaster(self.run, self.config.sge_settings)
        told = f"{found.version}, qmaster on {found.host}, {found.queues} queues, {found.jobs} jobs"
        if not found.queues:
            return Concern(told, "no job can run: ask for a queue (`qconf -sql` lists them)")
        return told
