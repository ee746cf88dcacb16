"""`ReadOnly`: nothing is written in the place."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from clustrix_core.config import ClusterConfig
from clustrix_core.errors import printable
from clustrix_core.hookspecs import hookimpl
from clustrix_core.jobs.models import ENVIRONMENTS

if TYPE_CHECKING:
    from clustrix_core.jobs.models import EnvironmentSpec, JobSpec


class ReadOnly:
    """Refuses whatever would write in the place, before anything is sent there.

    That is `put`, and `open` for anything but reading, with which `clustrix cp` writes as well; and jobs:
    none is submitted, cancelled or removed, and no environment is built for one.
    `get` writes here, and is let through. `clustrix doctor` makes no scratch folder.

    Args:
        config: the session's config.
    """

    def __init__(self, config: ClusterConfig) -> None:
        self._place = printable(config.cluster_host or config.cluster_type)

    @hookimpl(wrapper=True)
    def clustrix_open(self, path: str, mode: str) -> Generator[None, Any, Any]:
        if mode != "rb":
            self._refuse(path)
        return (yield)

    @hookimpl(wrapper=True)
    def clustrix_put(self, path: str) -> Generator[None, Any, Any]:
        self._refuse(path)
        return (yield)

    @hookimpl(wrapper=True)
    def clustrix_prepare(self, environment: EnvironmentSpec) -> Generator[None, Any, Any]:
        if environment.build:
            self._refuse(f"~/{ENVIRONMENTS}")
        return (yield)

    @hookimpl(wrapper=True)
    def clustrix_environment_remove(self) -> Generator[None, Any, Any]:
        self._refuse(f"~/{ENVIRONMENTS}")
        return (yield)

    @hookimpl(wrapper=True)
    def clustrix_submit(self, job: JobSpec) -> Generator[None, Any, Any]:
        self._refuse(job.folder)
        return (yield)

    @hookimpl(wrapper=True)
    def clustrix_job_remove(self, jobs: list[str]) -> Generator[None, Any, Any]:
        self._refuse(jobs[0] if jobs else "")
        return (yield)

    @hookimpl(wrapper=True)
    def clustrix_cancel(self, jobs: list[str]) -> Generator[None, Any, Any]:
        self._refuse(jobs[0] if jobs else "")
        return (yield)

    def _refuse(self, path: str) -> None:
        reason = f"{os.strerror(errno.EROFS)}: the config of {self._place} has the extension 'readonly'"
        raise OSError(errno.EROFS, reason, path)
