"""The backend of this machine: the engine, in this process."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pydantic import ConfigDict, model_validator

from clustrix_core import API_VERSION, ClusterConfig, hookimpl
from clustrix_core.engine import Engine
from clustrix_core.engine_backend import EngineBackend
from clustrix_core.errors import ConfigError, printable

if TYPE_CHECKING:
    from clustrix_core.jobs.models import JobSpec, TaskState


class LocalConfig(ClusterConfig):
    """The config of the local backend: `local_work_dir` is where relative paths start."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _refuse_a_host(self) -> LocalConfig:
        if self.cluster_host:
            raise ValueError(
                f"cluster_type 'local' is this machine, but cluster_host is {self.cluster_host!r}: "
                "set cluster_type to 'ssh' or 'slurm', or leave cluster_host out"
            )
        return self


class LocalBackend(EngineBackend):
    """The backend of `cluster_type="local"`."""

    api_version = API_VERSION
    config_model = LocalConfig

    def __init__(self, config: LocalConfig) -> None:
        super().__init__(Engine(config.local_work_dir))
        self._work_dir = config.local_work_dir
        if config.local_work_dir:
            self._check_work_dir(config.local_work_dir)

    @hookimpl
    def clustrix_submit(self, job: JobSpec) -> str:
        from clustrix_core.jobs import detached

        def put(source: str, path: str) -> object:
            return self.clustrix_put(source, path, None)

        return detached.submit(detached.run_here, put, job, os.path.abspath(self._work_dir or "."))

    @hookimpl
    def clustrix_job_states(self, jobs: list[str]) -> dict[str, list[TaskState]]:
        from clustrix_core.jobs import detached

        return detached.states(detached.run_here, jobs, sys.executable)

    @hookimpl
    def clustrix_job_remove(self, jobs: list[str]) -> int:
        from clustrix_core.jobs import detached

        return detached.remove(detached.run_here, jobs)

    @hookimpl
    def clustrix_cancel(self, jobs: list[str]) -> int:
        from clustrix_core.jobs import detached

        return detached.cancel(detached.run_here, jobs, sys.executable)

    def _check_work_dir(self, path: str) -> None:
        try:
            if self._engine.isdir("."):
                return
            problem = "there is no such directory; make it, or correct the config"
        except OSError as error:
            problem = f"{error.strerror}; correct the config"
        raise ConfigError(f"local_work_dir {printable(path)!r}: {problem}")
