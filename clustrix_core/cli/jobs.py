"""The commands of jobs: those that this machine remembers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from clustrix_core.cli.failures import FAILURE, NO, OK, complain, report
from clustrix_core.cli.output import Output, output_options
from clustrix_core.errors import ClustrixError, JobError, UnsupportedOperationError, printable

if TYPE_CHECKING:
    from clustrix_core.config import ClusterConfig
    from clustrix_core.jobs.job import Job
    from clustrix_core.jobs.records import Record

_COLUMNS = ("ID", "FUNCTION", "TASKS", "PLACE", "SUBMITTED", "STATE")


def _complete_id(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from clustrix_core.jobs.records import all_records

    return [record.id for record in all_records() if record.id.startswith(incomplete)]


_id = click.argument("id", shell_complete=_complete_id)


@click.command()
@output_options(null=False)
def jobs(output: Output) -> int:
    """List jobs submitted from here, the newest last.

    Those whose end nobody here has seen yet are asked for, at once for all of a place; `clustrix result`
    gets their results. Where a place can't be asked, their state is unknown, and the exit code is 3.
    """
    from clustrix_core.jobs.records import all_records

    found = all_records()
    states, code = _states(found)
    if output.as_json:
        output.document([_facts(record, states) for record in found])
    else:
        output.table(_COLUMNS, [_row(record, states) for record in found])
    return code


def _states(found: Iterable[Record]) -> tuple[dict[str, str], int]:
    """What each job is doing, or how it ended, by its id."""
    from clustrix_core.config import ClusterConfig
    from clustrix_core.errors import ClustrixError
    from clustrix_core.jobs import glance

    code, states = OK, {record.id: record.ended for record in found}
    places: dict[ClusterConfig, list[Record]] = {}
    for record in found:
        if not record.ended:
            places.setdefault(ClusterConfig(**record.config), []).append(record)
    for config, records in places.items():
        try:
            states |= glance.states(config, records)
        except (ClustrixError, OSError) as error:
            code = report(error)
            states |= {record.id: glance.UNKNOWN for record in records}
    return states, code and FAILURE


def _facts(record: Record, states: Mapping[str, str]) -> dict[str, Any]:
    facts = {name: getattr(record, name) for name in ("id", "function", "tasks", "submitted", "ended")}
    told = {"state": states[record.id], "place": _place(record), "scheduler_id": record.scheduler_id}
    return {**facts, **told}


def _row(record: Record, states: Mapping[str, str]) -> tuple[str, ...]:
    tasks = "-" if record.tasks is None else str(record.tasks)
    submitted = f"{datetime.fromisoformat(record.submitted).astimezone():%Y-%m-%d %H:%M}"
    return (
        record.id,
        printable(record.function),
        tasks,
        _place(record),
        submitted,
        printable(states[record.id]),
    )


def _place(record: Record) -> str:
    kind, host = record.config.get("cluster_type", "local"), record.config.get("cluster_host")
    return printable(host or kind)


@click.command()
@_id
@output_options(null=False)
def result(id: str, output: Output) -> int:
    """Wait for a job, and write its result: its repr, or JSON. Of an array, all results as a list.

    What the function raised is written to standard error, with its traceback, and the exit code is 3.
    """
    values = [_result(job) for job in _attached(id)]
    value = values if _is_array(id) else values[0]
    if output.as_json:
        output.document(value)
    else:
        output.line(printable(repr(value)))
    return OK


def _result(job: Job) -> Any:
    """Its result. What the function raised is no failure of this command, and isn't told as one."""
    from concurrent.futures import CancelledError

    from clustrix_core.jobs.job import RemoteTracebackError

    try:
        return job.result()
    except CancelledError:
        raise JobError(f"job {job.id} was cancelled") from None
    except Exception as error:
        if not isinstance(error.__cause__, RemoteTracebackError):
            raise
        raised = f"{type(error).__name__}: {error}"
        raise JobError(f"job {job.id} failed: {raised}{str(error.__cause__).rstrip()}") from error


@click.command()
@_id
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
def logs(id: str, follow: bool) -> int:
    """Write what a job has printed. The tasks of an array come one after the other; ID_N is one of them."""
    output = Output()
    for job in _attached(id):
        for text in job.log_pieces(follow):
            output.text(text)
    return OK


@click.command()
@_id
def cancel(id: str) -> int:
    """Cancel a job, or all of an array that have not ended."""
    from clustrix_core.jobs.records import load

    ended = load(id.partition("_")[0]).ended
    waiting = [] if ended not in ("", "unread") else [job for job in _attached(id) if not job.done()]
    if waiting:
        waiting[0].submission.cancel(waiting)
    if not any(job.cancelled() for job in waiting):
        complain(f"job {printable(id)} has ended")
        return NO
    return OK


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, shell_complete=_complete_id)
@click.option("--environments", is_flag=True, help="Remove all environments that no job that lives uses.")
def clean(ids: tuple[str, ...], environments: bool) -> int:
    """Remove what ended jobs left, and forget them.

    By default that is all that ended, but those whose results could not be read: name these to remove them.

    Environments that were built there go, too, where no job that lives uses them, and none has for 30 days.
    """
    from clustrix_core.config import ClusterConfig
    from clustrix_core.filesystem import ClusterFilesystem
    from clustrix_core.jobs.models import UNUSED
    from clustrix_core.jobs.records import all_records, forget, load

    known = all_records()
    found = [load(one) for one in ids] or [record for record in known if record.ended not in ("", "unread")]
    for record in found:
        if not record.ended:
            raise click.ClickException(
                f"job {record.id} has not ended, as far as is known here: `clustrix result {record.id}` "
                "waits for it, and `clustrix cancel` ends it"
            )
    places: dict[ClusterConfig, list[Record]] = {}
    for record in found:
        places.setdefault(ClusterConfig(**record.config), []).append(record)
    for config in _other_places(known) if environments else ():
        places.setdefault(config, [])
    in_use = [record.environment for record in known if record.environment and not record.ended]
    code = OK
    for config, records in places.items():
        try:
            with ClusterFilesystem(config) as place:
                if records:
                    place._call("clustrix_job_remove", jobs=[record.name for record in records])
                with suppress(UnsupportedOperationError):
                    unused_for = 0.0 if environments else UNUSED
                    place._call("clustrix_environment_remove", keep=in_use, unused_for=unused_for)
        except (ClustrixError, OSError) as error:  # it can't be reached, say; others can
            code = max(code, report(error))
            continue
        for record in records:
            forget(record)
    return code


def _other_places(known: Iterable[Record]) -> Iterable[ClusterConfig]:
    """Those of all jobs that are remembered, and that of the active config."""
    from clustrix_core.config import ClusterConfig
    from clustrix_core.filesystem import checked_config

    return [*(ClusterConfig(**record.config) for record in known), checked_config(None)]


def _attached(id: str) -> list[Job]:
    """The jobs of this id: one, or those of an array; `ID_N` is the task N of one."""
    from clustrix_core.jobs.job import Job

    found = Job.attach(id)
    return [found] if isinstance(found, Job) else list(found.jobs)


def _is_array(id: str) -> bool:
    from clustrix_core.jobs.records import load

    return "_" not in id and load(id).tasks is not None


COMMANDS: Iterable[click.Command] = (jobs, result, logs, cancel, clean)
