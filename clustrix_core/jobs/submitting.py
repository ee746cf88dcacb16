"""Submitting a function: what it needs is packed, remembered, and handed over, once."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clustrix_core.config import ClusterConfig, resolve
from clustrix_core.discovery import load_backend
from clustrix_core.errors import (
    AuthenticationFailedError,
    ClustrixError,
    ConnectionFailedError,
    HostKeyError,
    JobError,
    OperationTimeoutError,
)
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.jobs import package, records
from clustrix_core.jobs.handover import UnknownSubmissionError
from clustrix_core.jobs.here import marker
from clustrix_core.jobs.job import Submission
from clustrix_core.jobs.models import Call, JobSpec, Resources
from clustrix_core.jobs.records import Record

if TYPE_CHECKING:
    from clustrix_core.jobs.decorator import ClusterFunction

TRIES = 3  # times that a submission is asked for whose answer was lost


def submit(
    function: ClusterFunction[Any, Any],
    config: ClusterConfig,
    resources: Resources,
    calls: list[Call],
    tasks: int | None,
) -> Submission:
    """Submit calls of a function as one job, or as an array of so many tasks.

    Raises:
        JobError: it can't be submitted.
        ConnectionFailedError: the place can't be reached.
    """
    needed = function.dependencies()
    if needed.missing:
        named = "; ".join(f"{name} ({where})" for name, where in needed.missing.items())
        raise JobError(f"modules that the function imports are not found here: {named}")
    name = getattr(function.local, "__qualname__", repr(function.local))
    with tempfile.TemporaryDirectory(prefix="clustrix-") as folder:
        files, parts = package.build(Path(folder), function, config, calls, needed)
        record = records.new(name, tasks, _resolved(config))
        spec = JobSpec(
            name=record.name,
            folder=record.folder,
            files=files,
            parts=parts,
            tasks=tasks,
            python=_python(config),
            marker=marker(config),
            resources=resources,
        )
        record = records.save(record, scheduler_id=_handed_over(config, spec, record))
    return Submission(record, config).followed()


def _resolved(config: ClusterConfig) -> ClusterConfig:
    """As the backend knows it: it says which fields are secret."""
    return resolve(config, load_backend(config.cluster_type).config_model)


def _python(config: ClusterConfig) -> str:
    return config.python_executable or (sys.executable if config.cluster_type == "local" else "python3")


def _handed_over(config: ClusterConfig, spec: JobSpec, record: Record) -> str:
    """Submit it, once: what was asked before is asked again, not done again, where the answer was lost."""
    with ClusterFilesystem(config) as place:
        tries = 0
        while True:
            try:
                return str(place._call("clustrix_submit", job=spec))
            except KeyboardInterrupt:
                place._call("clustrix_cancel", jobs=[spec.name])
                raise
            except Exception as error:
                if not (tries or _may_have_run(error)):  # it was refused, or never got there
                    records.forget(record)
                    raise
                tries += 1
                if tries == TRIES or not _is_worth_another_try(error):
                    raise _doubtful(error, record) from error


def _may_have_run(error: Exception) -> bool:
    if isinstance(error, ConnectionFailedError):
        return error.may_have_run
    return isinstance(error, (OperationTimeoutError, UnknownSubmissionError))


def _is_worth_another_try(error: Exception) -> bool:
    lost = isinstance(error, (ConnectionFailedError, OperationTimeoutError))
    return lost and not isinstance(error, (AuthenticationFailedError, HostKeyError))


def _doubtful(error: Exception, record: Record) -> Exception:
    """The same error, telling that the job is remembered."""
    kind = type(error) if isinstance(error, ClustrixError) else JobError
    return kind(
        f"{error}; whether the job was submitted isn't known: `clustrix result {record.id}` follows it if it "
        f"was, and `clustrix cancel {record.id}` ends it"
    )
