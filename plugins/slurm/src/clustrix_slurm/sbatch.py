"""Jobs: `sbatch`, `squeue` and `scancel`, each once for any number of tasks or jobs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from clustrix_core.errors import ConfigError, JobError, printable
from clustrix_core.jobs import handover
from clustrix_core.jobs.handover import UnknownSubmissionError
from clustrix_core.jobs.models import (
    PREFIX,
    JobSpec,
    Resources,
    State,
    TaskState,
    below_home,
    folder_of,
)
from clustrix_core.remote.backend import Ran
from clustrix_slurm.environment import script_for_job

if TYPE_CHECKING:
    from clustrix_slurm.backend import SlurmBackend
    from clustrix_slurm.config import SlurmConfig

_BATCH = """#!/bin/bash
{login}umask 077
export CLUSTRIX_HERE={marker}
folder="$HOME"/{folder} task=${{SLURM_ARRAY_TASK_ID:-0}}
rm -f -- "$folder/done/$task"  # it was begun before, and is begun again
{prepared}"""

_RUN = """
{python} "$folder/job.pyz" run "$folder" "$task"
status=$?
if [ ! -e "$folder/done/$task" ]; then  # it died without a word
    mkdir -p "$folder/done"
    printf '%s%s%s\\n' '{{"outcome": "failed", "type": "Died", "message": "it ended with status ' "$status" \\
        '", "traceback": "", "size": 0, "sha256": "", "inline": true}}' >"$folder/done/.$task.sh"
    mv "$folder/done/.$task.sh" "$folder/done/$task"
fi
exit "$status"
"""

_LOGIN = '[ -n "${CLUSTRIX_LOGIN:-}" ] || CLUSTRIX_LOGIN=1 exec bash -l "$0" "$@"\n'

_STATES: dict[str, State] = {
    "PENDING": "pending",
    "REQUEUED": "pending",
    "REQUEUE_HOLD": "pending",
    "SPECIAL_EXIT": "pending",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
    "TIMEOUT": "timed out",
    "DEADLINE": "timed out",
    "OUT_OF_MEMORY": "out of memory",
    "NODE_FAIL": "node failure",
    "BOOT_FAIL": "node failure",
    "PREEMPTED": "preempted",
}
"""All others are of jobs that live."""


def submit(backend: SlurmBackend, job: JobSpec) -> str:
    """`clustrix_submit`: one round trip, and two more for large files."""
    script = batch_script(backend.config, job).encode("utf-8", "surrogateescape")
    log = "log-0" if job.tasks is None else "log-%a"
    work_dir, command = below_home(backend.config.remote_work_dir), ["sbatch", *options(backend.config, job)]
    try:
        said = handover.submit(backend, job, work_dir, command, script, log)
    except UnknownSubmissionError:
        if states(backend, [job.name]):
            return job.name
        raise
    except JobError as error:
        raise JobError(f"{backend.place_name()}: SLURM says: {error}") from None
    return said.partition(";")[0]


def options(config: SlurmConfig, job: JobSpec) -> Iterator[str]:
    """What `sbatch` is told of a job; the job's own wishes come before the config's."""
    asked: Resources = job.resources
    cores = asked.cores or config.default_cores
    given = {
        "cpus-per-task": str(cores) if cores else None,
        "mem": asked.memory or config.default_memory,
        "time": asked.time or config.default_time,
        "partition": asked.partition or config.default_partition,
        "account": asked.account,
        "qos": asked.qos,
        "gpus-per-task" if asked.gpus and job.tasks else "gpus": asked.gpus,
        "gres": asked.gres,
        "constraint": asked.constraint,
        "nodes": str(asked.nodes) if asked.nodes else None,
        "mail-user": asked.mail_user,
        "mail-type": "END,FAIL" if asked.mail_user else None,
        "array": None if job.tasks is None else f"0-{job.tasks - 1}",
    }
    yield from ("--parsable", f"--job-name={job.name}", "--requeue" if asked.requeue else "--no-requeue")
    yield from (f"--{name}={value}" for name, value in given.items() if value is not None)
    for name, value in asked.options.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise ConfigError(f"{name!r} is no option of sbatch: give its long name, without the dashes")
        yield f"--{name}" if value is None else f"--{name}={value}"


def batch_script(config: SlurmConfig, job: JobSpec) -> str:
    """What `sbatch` runs."""
    if config.conda_env_name:
        raise ConfigError(
            "jobs don't take conda_env_name yet: give python_executable, the path of the environment's python"
        )
    run = _RUN.format(python=shlex.quote(job.python))
    return _BATCH.format(
        login=_LOGIN if config.login_shell else "",
        marker=shlex.quote(job.marker),
        folder=shlex.quote(folder_of(job.name)),
        prepared=script_for_job(config, run),
    )


def states(backend: SlurmBackend, jobs: list[str]) -> dict[str, list[TaskState]]:
    """`clustrix_job_states`: one `squeue`, which also knows those that ended a few minutes ago."""
    if not jobs:
        return {}
    found: dict[str, list[TaskState]] = {}
    for name, _number, tasks, state, reason in _queue(backend, jobs):
        known = _STATES.get(state.split()[0].rstrip("*+") if state else "", "running")
        shown = "" if reason == "None" else reason
        for first, last in _ranges(tasks):
            found.setdefault(name, []).append(TaskState(first, last, known, shown))
    return found


def _queue(backend: SlurmBackend, jobs: Iterable[str]) -> Iterator[list[str]]:
    """Name, number, tasks, state and reason of jobs of these names; an array has several lines."""
    whole = ["env", "SLURM_BITSTR_LEN=0"]  # or the tasks of an array end in dots
    command = ["squeue", "--noheader", "--states=all", f"--name={','.join(jobs)}", "--format=%j|%F|%K|%T|%r"]
    for line in _checked(backend.run([*whole, *command]), backend).decode("utf-8", "replace").splitlines():
        yield line.split("|", 4)


def cancel(backend: SlurmBackend, jobs: list[str]) -> int:
    """`clustrix_cancel`: one `scancel`, and a `squeue` before it where the number of a job isn't known."""
    named = {job.partition("_")[0] for job in jobs if job.startswith(PREFIX)}
    numbers = {name: number for name, number, *_ in _queue(backend, named)} if named else {}
    targets = []
    for job in jobs:
        name, separator, task = job.partition("_")
        if name in numbers or not job.startswith(PREFIX):
            targets.append(numbers.get(name, name) + separator + task)
    if targets:
        ran = backend.run(["scancel", *targets])
        if ran.status and "Invalid job id" not in ran.complaints:
            _checked(ran, backend)
    return len(jobs)


def _ranges(tasks: str) -> Iterator[tuple[int, int]]:
    """`7`, `0-49%2`, `0-58:2` or `3,5-9`; a job that is no array has a single task, 0."""
    parts = tasks.strip().partition("%")[0]
    if not parts or not parts[0].isdigit():
        yield 0, 0
        return
    for part in parts.split(","):
        bounds, _, step = part.partition(":")
        first, _, last = bounds.partition("-")
        if step:
            yield from ((task, task) for task in range(int(first), int(last) + 1, int(step)))
        else:
            yield int(first), int(last or first)


def _checked(ran: Ran, backend: SlurmBackend) -> bytes:
    if ran.status:
        said = ran.complaints.strip() or f"exit code {ran.status}"
        raise JobError(f"{backend.place_name()}: SLURM says: {printable(said)}")
    return ran.output
