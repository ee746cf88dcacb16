"""Submitting a function: what it needs is packed, remembered, and handed over, once."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clustrix_core.config import ClusterConfig, resolve
from clustrix_core.discovery import load_backend
from clustrix_core.environment import summary
from clustrix_core.errors import (
    AuthenticationFailedError,
    ClustrixError,
    ConnectionFailedError,
    DependencyWarning,
    HostKeyError,
    JobError,
    OperationTimeoutError,
    UnsupportedOperationError,
    printable,
)
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.jobs import package, parallel, preparing, records
from clustrix_core.jobs.dependencies import Dependencies, analyse
from clustrix_core.jobs.handover import EnvironmentGoneError, UnknownSubmissionError
from clustrix_core.jobs.here import marker
from clustrix_core.jobs.job import Job, JobArray, Submission
from clustrix_core.jobs.models import Call, JobSpec
from clustrix_core.jobs.records import Record

if TYPE_CHECKING:
    from clustrix_core.jobs.decorator import ClusterFunction
    from clustrix_core.jobs.parallel import Loops

TRIES = 3  # times that a submission is asked for whose answer was lost


def submit(
    function: ClusterFunction[Any, Any], config: ClusterConfig, calls: list[Call], tasks: int | None
) -> Submission:
    """Submit calls of a function as one job, or as an array of so many tasks.

    Raises:
        JobError: it can't be submitted.
        LoopError: a loop can't be split that has to be.
        ConnectionFailedError: the place can't be reached.
    """
    loops = parallel.planned(function, config)
    after = _after(function, config)
    try:
        return _submitted(function, config, calls, tasks, after, loops)
    except EnvironmentGoneError:  # it was swept since this process has seen it: it is built again
        return _submitted(function, config, calls, tasks, after, loops)


def _submitted(
    function: ClusterFunction[Any, Any],
    config: ClusterConfig,
    calls: list[Call],
    tasks: int | None,
    after: tuple[str, ...],
    loops: Loops | None,
) -> Submission:
    with tempfile.TemporaryDirectory(prefix="clustrix-") as folder:
        content = package.pickled(Path(folder), function, config, calls, loops)
        needed = _needed(function, config, content)
        environment = preparing.prepared(config, needed, function.options.environment)
        record, job = _packed(content, function, config, tasks, needed, environment.python)
        _remember(record)
        number = _handed_over(config, replace(job, after=after), record)
        record = replace(record, scheduler_id=number, environment=environment.folder)
        with suppress(OSError):  # it is submitted, also if there is no room to write that down
            records.save(record)
    return Submission(record, config).followed()


def _remember(record: Record) -> None:
    try:
        records.save(record)
    except OSError as error:
        raise JobError(
            f"the job isn't submitted, as this machine couldn't remember it: {error}; XDG_STATE_HOME may "
            "name another folder for that"
        ) from error


def dry_run(function: ClusterFunction[Any, Any], config: ClusterConfig, call: Call) -> str:
    """What submitting a call would do. Nothing is sent."""
    loops = parallel.planned(function, config)
    with tempfile.TemporaryDirectory(prefix="clustrix-") as folder, ClusterFilesystem(config) as place:
        content = package.pickled(Path(folder), function, config, [call], loops)
        needed = analyse(function, content.names, function.options.files)
        record, job = _packed(content, function, config, None, needed, _python(function, config))
        contents = [(name, Path(file).stat().st_size) for name, file in job.files.items()]
        contents += [
            (f"parts/{digest[:12]}.zip", Path(file).stat().st_size) for digest, file in job.parts.items()
        ]
        try:
            script = str(place._call("clustrix_dry_run", job=job))
        except UnsupportedOperationError:
            script = "(this backend doesn't show what it would run)"
    where = config.cluster_type + (f" {config.cluster_host}" if config.cluster_host else "")
    sizes = "\n".join(f"{name}: {size:,} bytes" for name, size in contents)
    return "\n\n".join(
        [
            f"{record.function} on {where}, with {job.python}, in {record.folder}",
            f"What would be sent (parts that are there already are not):\n{sizes}",
            f"What the function needs:\n{needed.report() or 'nothing but Python'}",
            f"What is set up before:\n{summary(config) or 'nothing'}",
            f"What would be run:\n{script}",
        ]
    )


def _needed(
    function: ClusterFunction[Any, Any], config: ClusterConfig, content: package.Pickled
) -> Dependencies:
    needed = analyse(function, content.names, function.options.files)
    missing = needed.missing
    if not (
        function.options.environment or preparing.is_own_python(config)
    ):  # the place is asked for the others
        elsewhere = needed.elsewhere()
        missing = {name: where for name, where in missing.items() if name.partition(".")[0] not in elsewhere}
    if missing:
        named = "; ".join(f"{name} ({where})" for name, where in missing.items())
        raise JobError(f"modules that the function imports are not found here: {named}")
    if config.cluster_type != "local":
        for warning in needed.warnings:
            warnings.warn(f"{function.name}: {warning}", DependencyWarning, stacklevel=6)
    return needed


def _packed(
    content: package.Pickled,
    function: ClusterFunction[Any, Any],
    config: ClusterConfig,
    tasks: int | None,
    needed: Dependencies,
    python: str,
) -> tuple[Record, JobSpec]:
    files, parts = package.build(content, needed)
    record = records.new(function.name, tasks, _resolved(config))
    return record, JobSpec(
        name=record.name,
        folder=record.folder,
        files={**files, **dict(_users_files(function.options.files))},
        parts=parts,
        tasks=tasks,
        python=python,
        marker=marker(config),
        resources=function.options.resources,
    )


def _users_files(given: Iterable[str]) -> Iterator[tuple[str, str]]:
    for path in given:
        inside = os.path.normpath(path)
        if os.path.isabs(inside) or inside.split(os.sep)[0] == os.pardir:
            raise JobError(f"files: {printable(path)!r} is not below the current directory")
        if not os.path.isfile(inside):
            raise JobError(f"files: {printable(path)!r} is no file in the current directory, {os.getcwd()!r}")
        yield f"files/{inside}", inside


def _after(function: ClusterFunction[Any, Any], config: ClusterConfig) -> tuple[str, ...]:
    """What the backend calls the jobs that have to succeed before, and may not have ended yet."""
    return tuple(filter(None, (_number(job, config) for job in function.options.after)))


def _number(job: Any, config: ClusterConfig) -> str:
    """Empty for one that has succeeded: the scheduler may have forgotten it.

    Raises:
        JobError: it has failed, which the scheduler may have forgotten as well; or it is of another place.
    """
    task, states = "", set[str]()
    if isinstance(job, str):
        record, _, task = records.load(job.partition("_")[0]), *job.partition("_")[1:]
        states = {record.ended} if record.ended == "completed" or not task else {""}
    elif isinstance(job, (Job, JobArray)):
        record = job.submission.record
        states = {
            each.state if each.done() else "" for each in (job.jobs if isinstance(job, JobArray) else [job])
        }
        if isinstance(job, Job) and record.tasks is not None:
            task = str(job.task)
    else:
        raise TypeError(f"after takes jobs or their ids, not {type(job).__name__}")
    if marker(ClusterConfig(**record.config)) != marker(config):
        raise JobError(f"job {record.id} is not of the same place, so nothing can come after it here")
    name = record.id + (f"_{task}" if task else "")
    if failed := states - {"", "completed", "unread"}:
        raise JobError(f"job {name}, which it is to come after, did not succeed: {', '.join(sorted(failed))}")
    if states == {"completed"}:
        return ""
    return (record.scheduler_id or record.name) + (f"_{task}" if task else "")


def _python(function: ClusterFunction[Any, Any], config: ClusterConfig) -> str:
    """What is known of a job's Python without asking the place."""
    if function.options.environment:
        return "the python of an environment with what the function needs"
    if config.conda_env_name and not config.python_executable:
        return f"the python of the conda environment {config.conda_env_name}"
    return config.python_executable or (sys.executable if config.cluster_type == "local" else "python3")


def _resolved(config: ClusterConfig) -> ClusterConfig:
    """As the backend knows it: it says which fields are secret."""
    return resolve(config, load_backend(config.cluster_type).config_model)


def _handed_over(config: ClusterConfig, spec: JobSpec, record: Record) -> str:
    """Submit it, once: what was asked before is asked again, not done again, where the answer was lost."""
    with ClusterFilesystem(config) as place:
        tries = 0
        while True:
            try:
                return str(place._call("clustrix_submit", job=spec))
            except KeyboardInterrupt:
                _call_off(place, record)
                raise
            except Exception as error:
                if not (tries or _may_have_run(error)):  # it was refused, or never got there
                    records.forget(record)
                    preparing.forget(config)  # perhaps its Python is gone
                    raise
                tries += 1
                if tries == TRIES or not _is_worth_another_try(error):
                    raise _doubtful(error, record) from error


def _call_off(place: ClusterFilesystem, record: Record) -> None:
    """Cancel what was perhaps handed over."""
    try:
        place._call("clustrix_cancel", jobs=[record.name])
        records.save(record, ended="cancelled")
    except Exception as error:  # the line is lost, say: it is remembered
        logging.getLogger("clustrix").warning("job %s isn't cancelled: %s", record.id, error)


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
