"""Jobs: `sbatch`, `squeue` and `scancel`, each once for any number of tasks or jobs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from clustrix_core.errors import ClustrixError, ConfigError, JobError
from clustrix_core.jobs import handover
from clustrix_core.jobs.handover import UnknownSubmissionError
from clustrix_core.jobs.models import (
    ENDED,
    PREFIX,
    JobSpec,
    Resources,
    State,
    TaskState,
    folder_of,
)
from clustrix_core.remote.backend import Ran
from clustrix_slurm import accounting
from clustrix_slurm.environment import script_for_job

if TYPE_CHECKING:
    from clustrix_slurm.backend import SlurmBackend
    from clustrix_slurm.config import SlurmConfig

_LOGIN = '[ -n "${CLUSTRIX_LOGIN:-}" ] || CLUSTRIX_LOGIN=1 exec bash -l "$0" "$@"\n'

SURELY_ALLOWED = 1000
"""Tasks that an array may have on nearly all clusters: SLURM's MaxArraySize is 1001 by default."""

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
    """`clustrix_submit`: one round trip, and two more for large files.

    An array that is larger than the cluster takes is several for SLURM, whose scripts are named by the number
    of their first task; it is called `12+0,13+1000` then.
    """
    size = job.tasks or 1
    limit = size if size <= SURELY_ALLOWED else max_array_size(backend)
    scripts = {
        f"job-{first}.sh": (
            ["sbatch", *options(backend.config, job, min(limit, size - first))],
            batch_script(backend.config, job, first).encode("utf-8", "surrogateescape"),
        )
        for first in range(0, size, limit)
    }
    try:
        numbers = handover.submit(backend, job, scripts, undo=["scancel"])
    except UnknownSubmissionError as error:
        if _is_there(backend, job):
            return job.name
        raise UnknownSubmissionError(f"{backend.place_name()}: SLURM says: {error}") from None
    except JobError as error:
        raise JobError(f"{backend.place_name()}: SLURM says: {error}") from None
    if len(numbers) == 1:
        return numbers[0]
    return ",".join(f"{number}+{first}" for number, first in zip(numbers, range(0, size, limit), strict=True))


def preview(backend: SlurmBackend, job: JobSpec) -> str:
    """`clustrix_dry_run`: the command and the script, as they would be for the first array."""
    command = ["sbatch", *options(backend.config, job, job.tasks or 1), f"~/{folder_of(job.name)}/job-0.sh"]
    return f"{shlex.join(command)}\n\n{batch_script(backend.config, job)}"


def max_array_size(backend: SlurmBackend) -> int:
    """How many tasks an array of this cluster may have."""
    said = _checked(backend.run(["scontrol", "show", "config"]), backend).decode("utf-8", "replace")
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", said, re.MULTILINE)
    return int(found[1]) if found else SURELY_ALLOWED


def options(config: SlurmConfig, job: JobSpec, tasks: int) -> Iterator[str]:
    """What `sbatch` is told of so many tasks of a job; the job's own wishes come before the config's."""
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
        "array": None if job.tasks is None else f"0-{tasks - 1}",
        "dependency": f"afterok:{':'.join(_numbers(job.after))}" if job.after else None,
        "kill-on-invalid-dep": "yes" if job.after else None,
        "output": "/dev/null",  # the script says where to
    }
    yield from ("--parsable", f"--job-name={job.name}", "--requeue" if asked.requeue else "--no-requeue")
    yield from (f"--{name}={value}" for name, value in given.items() if value is not None)
    for name, value in asked.options.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise ConfigError(f"{name!r} is no option of sbatch: give its long name, without the dashes")
        yield f"--{name}" if value is None else f"--{name}={value}"


def _numbers(submitted: Iterable[str]) -> Iterator[str]:
    """Those of what was submitted: `12`, `12+0,13+1000`, or `12_3` of a task."""
    for each in submitted:
        if each.startswith(PREFIX):
            name = each.removeprefix(PREFIX)
            raise JobError(f"SLURM's number of job {name} isn't known, so none can come after it")
        number, _, task = each.partition("_")
        yield from _targets(number, task)


def batch_script(config: SlurmConfig, job: JobSpec, first: int = 0) -> str:
    """What `sbatch` runs for the tasks from this one on."""
    task = f"${{SLURM_ARRAY_TASK_ID:-0}} + {first}"
    login = _LOGIN if config.login_shell else ""
    return f"#!/bin/bash\n{login}{handover.script(job, task, script_for_job(config))}"


def states(backend: SlurmBackend, jobs: list[str]) -> dict[str, list[TaskState]]:
    """`clustrix_job_states`: one `squeue`, which also knows those that ended a few minutes ago.

    Of others `sacct` is asked, which few clusters lack: that it fails is no failure.
    """
    if not jobs:
        return {}
    found: dict[str, list[TaskState]] = {}
    for name, _number, tasks, state, reason, offset in _queue(backend, jobs):
        known = _STATES.get(state.split()[0].rstrip("*+") if state else "", "running")
        shown = "" if reason == "None" else reason
        if known == "cancelled" and shown.startswith("Dependency"):
            known, shown = "failed", "a job that it was to come after did not succeed"
        for first, last in _ranges(tasks):
            found.setdefault(name, []).append(TaskState(first + offset, last + offset, known, shown))
    for name, _number, tasks, state in accounting.rows(backend, [name for name in jobs if name not in found]):
        ended = _STATES.get(state.split()[0].rstrip("*+") if state else "", "running")
        if ended in ENDED:  # accounts may be late, and never say that a job has ended that has not
            for first, last in _ranges(tasks):
                found.setdefault(name, []).append(TaskState(first, last, ended))
    return found


def _is_there(backend: SlurmBackend, job: JobSpec) -> bool:
    """Whether SLURM is known to have a job: false as well if it doesn't answer."""
    try:
        return bool(states(backend, [job.name]))
    except ClustrixError:
        return False


def _queue(backend: SlurmBackend, jobs: Iterable[str]) -> Iterator[tuple[str, str, str, str, str, int]]:
    """Name, number, tasks, state, reason, and first task of such jobs; arrays have several lines."""
    whole = ["env", "SLURM_BITSTR_LEN=0"]  # or the tasks of an array end in dots
    wanted = f"--name={','.join(jobs)}"
    command = [*whole, "squeue", "--noheader", "--states=all", wanted, "--format=%j|%F|%K|%T|%r|%o"]
    for line in _checked(backend.run(command), backend).decode("utf-8", "replace").splitlines():
        name, number, tasks, state, reason, script = line.split("|", 5)
        offset = re.search(r"job-(\d+)\.sh", script)
        yield name, number, tasks, state, reason, int(offset[1]) if offset else 0


def cancel(backend: SlurmBackend, jobs: list[str]) -> int:
    """`clustrix_cancel`: one `scancel`, and a `squeue` before it where the number of a job isn't known."""
    named = {job.partition("_")[0] for job in jobs if job.startswith(PREFIX)}
    known: dict[str, str] = {}
    for name, number, *_, offset in _queue(backend, named) if named else ():
        part = f"{number}+{offset}"
        if part not in known.setdefault(name, part).split(","):
            known[name] += f",{part}"
    targets = []
    for job in jobs:
        name, _, task = job.partition("_")
        if name in known or not job.startswith(PREFIX):
            targets += _targets(known.get(name, name), task)
    if targets:
        ran = backend.run(["scancel", *targets])
        if ran.status and "Invalid job id" not in ran.complaints:
            _checked(ran, backend)
    return len(jobs)


def _targets(submitted: str, task: str) -> list[str]:
    """For `scancel`: all of what was submitted, or one task of it."""
    split = (part.partition("+") for part in submitted.split(","))
    parts = {int(first or 0): number for number, _, first in split}
    if not task:
        return list(parts.values())
    first = max(first for first in parts if first <= int(task))
    return [f"{parts[first]}_{int(task) - first}"]


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
    try:
        return handover.checked(ran)
    except JobError as error:
        raise JobError(f"{backend.place_name()}: SLURM says: {error}") from None
