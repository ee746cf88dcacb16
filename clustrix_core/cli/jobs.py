"""The commands of jobs: those that this machine remembers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from clustrix_core.cli.failures import FAILURE, OK, report
from clustrix_core.cli.output import Output, output_options
from clustrix_core.errors import ClustrixError, UnsupportedOperationError, printable

if TYPE_CHECKING:
    from clustrix_core.config import ClusterConfig
    from clustrix_core.jobs.job import Job
    from clustrix_core.jobs.records import Record

_COLUMNS = ("ID", "FUNCTION", "TASKS", "PLACE", "SUBMITTED", "ENDED")


def _complete_id(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from clustrix_core.jobs.records import all_records

    return [record.id for record in all_records() if record.id.startswith(incomplete)]


_id = click.argument("id", shell_complete=_complete_id)


@click.command()
@output_options(null=False)
def jobs(output: Output) -> int:
    """List the jobs that were submitted from this machine, the newest last.

    ENDED is empty for those whose end nobody here has seen yet.
    """
    from clustrix_core.jobs.records import all_records

    found = all_records()
    if output.as_json:
        output.document([_facts(record) for record in found])
    else:
        output.table(_COLUMNS, [_row(record) for record in found])
    return OK


def _facts(record: Record) -> dict[str, Any]:
    facts = {name: getattr(record, name) for name in ("id", "function", "tasks", "submitted", "ended")}
    return {**facts, "place": _place(record), "scheduler_id": record.scheduler_id}


def _row(record: Record) -> tuple[str, ...]:
    tasks = "-" if record.tasks is None else str(record.tasks)
    return (record.id, printable(record.function), tasks, _place(record), record.submitted, record.ended)


def _place(record: Record) -> str:
    kind, host = record.config.get("cluster_type", "local"), record.config.get("cluster_host")
    return printable(f"{kind} {host}" if host else kind)


@click.command()
@_id
@output_options(null=False)
def result(id: str, output: Output) -> int:
    """Wait for a job, and write its result: its repr, or JSON. Of an array, all results as a list."""
    found = _attached(id)
    values = [job.result() for job in found]
    value = values if _is_array(id) else values[0]
    if output.as_json:
        output.document(value)
    else:
        output.line(printable(repr(value)))
    return OK


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
    if not waiting:
        raise click.ClickException(f"job {printable(id)} has ended")
    waiting[0].submission.cancel(waiting)
    return OK if all(job.cancelled() for job in waiting) else FAILURE


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, shell_complete=_complete_id)
@click.option("--environments", is_flag=True, help="Remove all environments that no job that lives uses.")
def clean(ids: tuple[str, ...], environments: bool) -> int:
    """Remove what jobs that have ended left in their places, and forget them.

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
