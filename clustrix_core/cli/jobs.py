"""The commands of jobs: those that this machine remembers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from clustrix_core.cli.failures import FAILURE, NO, OK, complain, report
from clustrix_core.cli.output import Output, output_options
from clustrix_core.errors import (
    ClustrixError,
    ConnectionFailedError,
    JobError,
    UnsupportedOperationError,
    printable,
)

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
    from clustrix_core.jobs import glance
    from clustrix_core.jobs.records import config_of

    states = {record.id: record.ended or glance.UNKNOWN for record in found}
    places: dict[ClusterConfig, list[Record]] = {}
    for record in found:
        if not record.ended:
            places.setdefault(config_of(record), []).append(record)

    def ask(config: ClusterConfig, records: list[Record]) -> None:
        states.update(glance.states(config, records))

    code, _ = _in_each(places, ask)
    return states, code and FAILURE


def _in_each(
    places: Mapping[ClusterConfig, list[Record]], action: Callable[[ClusterConfig, list[Record]], object]
) -> tuple[int, list[Record]]:
    """Do something with the jobs of each place. What one fails with is told once; others can do it, perhaps.

    Returns:
        The exit code, and the jobs for which it failed.
    """
    from clustrix_core.jobs.here import marker

    code, unreached, told = OK, set[str](), set[str]()
    failed: list[Record] = []
    for config, records in places.items():
        try:
            if marker(config) not in unreached:
                action(config, records)
                continue
        except (ClustrixError, OSError) as error:
            if isinstance(error, ConnectionFailedError):
                unreached.add(marker(config))
            if str(error) not in told:
                told.add(str(error))
                code = max(code, report(error))
        failed += records
    return code, failed


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
    if not output.as_json:
        output.line(printable(repr(value)))
        return OK
    try:
        output.document(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise JobError(f"the result of job {id} is no JSON: {error}; without --json it is shown") from error
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
@click.option("--forget", "only_here", is_flag=True, help="Forget jobs, and leave what is there alone.")
def clean(ids: tuple[str, ...], environments: bool, only_here: bool) -> int:
    """Remove what ended jobs left, and forget them.

    By default that is all whose end was seen by `clustrix result`, or by the program that submitted them.
    Results of others are still to be fetched, and some could not be read: name these to remove them.

    Environments that were built there go, too, where no job that lives uses them, and none has for 30 days.

    With --forget nothing is asked or removed there: it is for places that are gone for good. An ID may be a
    PLACE then, as `clustrix jobs` shows it, for all of its jobs, also those that have not ended.
    """
    from clustrix_core.jobs.records import all_records, load

    known = all_records()
    if only_here:
        if environments or not ids:
            raise click.UsageError("--forget takes the IDs of jobs, or places, and no other option")
        return _forget([record for one in ids for record in _of_place(known, one) or [load(one)]])
    found = [load(one) for one in ids] or [record for record in known if record.ended not in ("", "unread")]
    _check_over([record for record in found if not record.ended])
    return _clean(found, known, environments)


def _check_over(found: list[Record]) -> None:
    """Refuse jobs that go on, or of which nothing is known, unlike those whose results nobody fetched."""
    from clustrix_core.jobs import glance

    states, _ = _states(found)
    for record in found:
        if not glance.is_over(states[record.id]):
            raise click.ClickException(
                f"job {record.id} has not ended, as far as is known here: `clustrix result {record.id}` "
                f"waits for it, `clustrix cancel {record.id}` ends it, and where its place is gone for good, "
                f"`clustrix clean --forget {record.id}` forgets it"
            )


def _of_place(known: Iterable[Record], name: str) -> list[Record]:
    return [record for record in known if _place(record) == name]


def _forget(found: Iterable[Record]) -> int:
    from clustrix_core.jobs.records import forget

    jobs = {record.id: record for record in found}.values()
    for record in jobs:
        forget(record)
    for place, count in Counter(map(_place, jobs)).items():
        Output().line(
            f"{place}: forgot {count:,} {'job' if count == 1 else 'jobs'}; nothing there was touched, and "
            "what is left of them in ~/.clustrix/jobs stays"
        )
    return OK


def _clean(found: Iterable[Record], known: Iterable[Record], environments: bool) -> int:
    from clustrix_core.filesystem import ClusterFilesystem
    from clustrix_core.jobs.models import UNUSED
    from clustrix_core.jobs.records import forget

    places: dict[ClusterConfig, list[Record]] = {}
    for record in found:
        places.setdefault(_home(record), []).append(record)
    for config in _other_places(known) if environments else ():
        places.setdefault(config, [])
    in_use = [record.environment for record in known if record.environment and not record.ended]

    def sweep(config: ClusterConfig, records: list[Record]) -> None:
        with ClusterFilesystem(config) as place:
            if records:
                place._call("clustrix_job_remove", jobs=[record.name for record in records])
            with suppress(UnsupportedOperationError):
                unused_for = 0.0 if environments else UNUSED
                place._call("clustrix_environment_remove", keep=in_use, unused_for=unused_for)
        for record in records:
            forget(record)

    code, left = _in_each(places, sweep)
    for place, count in Counter(map(_place, left)).items():
        complain(
            f"{place}: {count:,} {'job is' if count == 1 else 'jobs are'} still remembered; if the place is "
            f"gone for good, `clustrix clean --forget {place}` forgets all of its jobs"
        )
    return code


def _other_places(known: Iterable[Record]) -> Iterable[ClusterConfig]:
    """Those of all jobs that are remembered, and that of the active config."""
    from clustrix_core.filesystem import checked_config

    return [*map(_home, known), checked_config(None)]


def _home(record: Record) -> ClusterConfig:
    """The place of a job without its work dir, which may be gone: what jobs left is in the home folder."""
    from clustrix_core.jobs.records import config_of

    fields = {name: value for name, value in record.config.items() if not name.endswith("work_dir")}
    return config_of(replace(record, config=fields))


def _attached(id: str) -> list[Job]:
    """The jobs of this id: one, or those of an array; `ID_N` is the task N of one."""
    from clustrix_core.jobs.job import Job

    found = Job.attach(id)
    return [found] if isinstance(found, Job) else list(found.jobs)


def _is_array(id: str) -> bool:
    from clustrix_core.jobs.records import load

    return "_" not in id and load(id).tasks is not None


COMMANDS: Iterable[click.Command] = (jobs, result, logs, cancel, clean)
