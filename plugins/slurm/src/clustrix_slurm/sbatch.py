"""Jobs: `sbatch`, `squeue` and `scancel`, each once for any number of tasks or jobs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from clustrix_core.environment import masked, script_for_job
from clustrix_core.errors import ClustrixError, ConfigError, JobError
from clustrix_core.jobs import handover
from clustrix_core.jobs.handover import (
    FOLDER,
    EnvironmentGoneError,
    NoProgramError,
    SchedulerError,
    UnknownSubmissionError,
)
from clustrix_core.jobs.models import (
    ENDED,
    PREFIX,
    JobSpec,
    Resources,
    State,
    TaskState,
    folder_of,
    ranges,
)
from clustrix_core.remote.backend import Ran
from clustrix_slurm import accounting

if TYPE_CHECKING:
    from clustrix_slurm.backend import SlurmBackend
    from clustrix_slurm.config import SlurmConfig

# People's variables would leave jobs out, and so would the usual length of lists of tasks.
_SQUEUE = (
    "sh",
    "-c",
    "unset SQUEUE_ACCOUNT SQUEUE_FORMAT2 SQUEUE_LICENSES SQUEUE_PARTITION SQUEUE_QOS SQUEUE_USERS; "
    'SLURM_BITSTR_LEN=0 exec squeue --user="$(id -u)" "$@"',
    "squeue",
)
_SCANCEL = (
    "sh",
    "-c",
    "unset SCANCEL_ACCOUNT SCANCEL_BATCH SCANCEL_FULL SCANCEL_INTERACTIVE SCANCEL_NAME SCANCEL_PARTITION "
    'SCANCEL_QOS SCANCEL_STATE SCANCEL_USER SCANCEL_WCKEY; exec scancel "$@"',
    "scancel",
)

# They would make one job several, say, or have `sbatch` wait for its end, or keep the job from logging in.
_SBATCH = (
    "SBATCH_ARRAY_INX",
    "SBATCH_CLUSTERS",
    "SBATCH_ERROR",
    "SBATCH_INPUT",
    "SBATCH_WAIT",
    "CLUSTRIX_LOGIN",
)

SURELY_ALLOWED = 1000
"""Tasks that an array may have on nearly all clusters: SLURM's MaxArraySize is 1001 by default."""

_UNFOLLOWED = "the job could not be followed"
_REFUSED = {
    "clusters": "name a login node of that cluster by cluster_host",
    "help": _UNFOLLOWED,
    "job-name": "a job is found by its name, which is its own",
    "test-only": "see dry_run",
    "usage": _UNFOLLOWED,
    "version": _UNFOLLOWED,
    "wait": "result() waits",
    "wrap": "the function is what runs",
}

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
    try:
        limit = size if size <= SURELY_ALLOWED else max_array_size(backend)
        return _submitted(backend, job, limit)
    except JobError as error:
        if job.tasks is None or "job array" not in str(error) or isinstance(error, UnknownSubmissionError):
            raise
        smaller = max_array_size(backend)
        if smaller >= limit:
            raise
    return _submitted(backend, job, smaller)


def _submitted(backend: SlurmBackend, job: JobSpec, limit: int) -> str:
    """Submit arrays of so many tasks at most."""
    size = job.tasks or 1
    scripts = {
        f"job-{first}.sh": (
            ["sbatch", *options(backend.config, job, min(limit, size - first), first)],
            batch_script(backend.config, job, first).encode("utf-8", "surrogateescape"),
        )
        for first in range(0, size, limit)
    }
    try:
        numbers = handover.submit(backend, job, scripts, undo=_SCANCEL, without=_SBATCH)
    except UnknownSubmissionError as error:
        if _is_there(backend, job):
            return job.name
        raise UnknownSubmissionError(f"{backend.place_name()}: SLURM says: {error}") from None
    except EnvironmentGoneError:
        raise
    except NoProgramError as error:
        raise JobError(
            f"{backend.place_name()}: {error}; set login_shell to true if logins have it, or load its "
            "module by module_loads"
        ) from None
    except SchedulerError as error:
        raise JobError(f"{backend.place_name()}: SLURM says: {error}") from None
    except JobError as error:
        raise JobError(f"{backend.place_name()}: {error}") from None
    if not all(number.isdecimal() for number in numbers):  # whatever a site's own `sbatch` prints
        return job.name
    if len(numbers) == 1:
        return numbers[0]
    return ",".join(f"{number}+{first}" for number, first in zip(numbers, range(0, size, limit), strict=True))


def preview(backend: SlurmBackend, job: JobSpec) -> str:
    """`clustrix_dry_run`: the command and the script, as they would be for the first array."""
    folder = f"~/{folder_of(job.name)}"
    asked = (option.replace(FOLDER, folder) for option in options(backend.config, job, job.tasks or 1))
    command = shlex.join(["sbatch", *asked, f"{folder}/job-0.sh", folder])
    return f"{command}\n\n{batch_script(masked(backend.config), job)}"


def max_array_size(backend: SlurmBackend) -> int:
    """How many tasks an array of this cluster may have."""
    said = _checked(backend.run(["scontrol", "show", "config"]), backend).decode("utf-8", "replace")
    found = re.findall(r"^MaxArraySize\s*=\s*(\d+)|\bmax_array_tasks=(\d+)", said, re.MULTILINE)
    return min((int(one or other) for one, other in found), default=SURELY_ALLOWED)


def options(config: SlurmConfig, job: JobSpec, tasks: int, first: int = 0) -> Iterator[str]:
    """What `sbatch` is told of so many tasks of a job; the job's own wishes come before the config's."""
    asked: Resources = job.resources
    own = _checked_options(asked.options, job)
    after = [f"afterok:{':'.join(_numbers(job.after))}"] if job.after else []
    cores = asked.cores or (None if "cpus-per-gpu" in own else config.default_cores)
    memory = asked.memory or (None if {"mem-per-cpu", "mem-per-gpu"} & own.keys() else config.default_memory)
    given = {
        "cpus-per-task": str(cores) if cores else None,
        "mem": memory,
        "time": asked.time or config.default_time,
        "partition": asked.partition or config.default_partition,
        "account": asked.account,
        "qos": asked.qos,
        "gpus": asked.gpus,
        "gres": asked.gres,
        "constraint": asked.constraint,
        "nodes": str(asked.nodes) if asked.nodes else None,
        "mail-user": asked.mail_user,
        "mail-type": "END,FAIL" if asked.mail_user else None,
        "array": None if job.tasks is None else f"0-{tasks - 1}{own.pop('array', '')}",
        "dependency": ",".join([*after, *filter(None, [own.pop("dependency", None)])]) or None,
        "kill-on-invalid-dep": "yes" if job.after else None,
        # Where SLURM itself tells why it ends a job; the script then says where to, and numbers all tasks.
        "output": f"{FOLDER}/log-{'0' if job.tasks is None else '%a'}" if first == 0 else "/dev/null",
        "open-mode": "append",
    }
    yield from ("--parsable", f"--job-name={job.name}", "--requeue" if asked.requeue else "--no-requeue")
    yield from (f"--{name}={value}" for name, value in given.items() if value is not None and name not in own)
    yield from (f"--{name}" if value is None else f"--{name}={value}" for name, value in own.items())


def _checked_options(given: Mapping[str, str | None], job: JobSpec) -> dict[str, str | None]:
    """Options of `sbatch` that a job may have besides.

    Raises:
        ConfigError: it can't be followed with one of them, or that is none.
    """
    for name, value in given.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
            raise ConfigError(f"{name!r} is no option of sbatch: give its long name, without the dashes")
        if name in _REFUSED:
            raise ConfigError(f"the option {name!r} of sbatch can't be used for jobs here: {_REFUSED[name]}")
        if name == "array" and (job.tasks is None or not re.fullmatch(r"%[1-9]\d*", value or "")):
            raise ConfigError(
                f"the option 'array' of sbatch, {value!r}, can't be used for jobs here: `map` says which "
                "tasks there are, and '%8', say, how many of them may run at once"
            )
    return dict(given)


def _numbers(submitted: Iterable[str]) -> Iterator[str]:
    """Those of what was submitted: `12`, `12+0,13+1000`, or `12_3` of a task."""
    for each in submitted:
        if each.startswith(PREFIX):
            name = each.removeprefix(PREFIX)
            raise JobError(f"SLURM's number of job {name} isn't known, so none can come after it")
        number, _, task = each.partition("_")
        yield from (found if index is None else f"{found}_{index}" for found, index in _targets(number, task))


def batch_script(config: SlurmConfig, job: JobSpec, first: int = 0) -> str:
    """What `sbatch` runs for the tasks from this one on."""
    # A job that is submitted in a task of an array inherits that one's number.
    task = "0" if job.tasks is None else f"SLURM_ARRAY_TASK_ID + {first}"
    script = handover.script(job, task, '"${SLURM_CPUS_PER_TASK:-1}"', script_for_job(config))
    return f"#!/bin/bash\n{script}"


def states(backend: SlurmBackend, jobs: list[str]) -> dict[str, list[TaskState]]:
    """`clustrix_job_states`: one `squeue`, which also knows those that ended a few minutes ago.

    Of others, and of tasks that seem to have ended, `sacct` is asked, which few clusters lack: that it fails
    is no failure.
    """
    names, gone = [job for job in jobs if "_" not in job], {job for job in jobs if "_" in job}
    if not names:
        return {}
    found: dict[str, list[TaskState]] = {}
    for name, _number, tasks, state, reason, offset in _queue(backend, names):
        known, shown = _known(state), "" if reason == "None" else reason
        in_vain = known == "cancelled" and shown.startswith("Dependency")
        if in_vain:
            known, shown = "failed", "a job that it was to come after did not succeed"
        for first, last in _bounds(tasks):
            told = TaskState(first + offset, last + offset, known, shown, begun=not in_vain)
            found.setdefault(name, []).append(told)
            if gone:
                gone -= {f"{name}_{task + offset}" for task in range(first, last + 1)}
    forgotten = {*names} - found.keys()
    for name, _number, tasks, state in accounting.rows(
        backend, sorted(forgotten | {job.partition("_")[0] for job in gone})
    ):
        ended = _known(state)
        if ended in ENDED:  # accounts may be late, and never say that a job has ended that has not
            for first, last in _bounds(tasks):
                if name in forgotten:
                    found.setdefault(name, []).append(TaskState(first, last, ended))
                else:
                    asked = (task for task in range(first, last + 1) if f"{name}_{task}" in gone)
                    found[name] += (TaskState(task, task, ended) for task in asked)
    return found


def _known(state: str) -> State:
    """A state as SLURM spells it, such as `CANCELLED by 1000` or `COMPLETING*`."""
    return _STATES.get(state.split()[0].rstrip("*+") if state else "", "running")


def _is_there(backend: SlurmBackend, job: JobSpec) -> bool:
    """Whether SLURM is known to have a job: false as well if it doesn't answer."""
    try:
        return bool(states(backend, [job.name]))
    except ClustrixError:
        return False


def _queue(backend: SlurmBackend, jobs: Iterable[str]) -> Iterator[tuple[str, str, str, str, str, int]]:
    """Name, number, tasks, state, reason, and first task of such jobs; arrays have several lines."""
    wanted = f"--name={','.join(jobs)}"
    command = [*_SQUEUE, "--noheader", "--all", "--states=all", wanted, "--format=%j|%F|%K|%T|%r|%o"]
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
    targets: dict[str, set[int] | None] = {}
    for job in jobs:
        name, _, task = job.partition("_")
        if name in named and name not in known:
            continue
        for number, index in _targets(known.get(name, name), task):
            tasks = targets.setdefault(number, set())
            if index is None:
                targets[number] = None
            elif tasks is not None:
                tasks.add(index)
    if targets:
        ran = backend.run([*_SCANCEL, *(_spelled(number, tasks) for number, tasks in targets.items())])
        if ran.status and not all(_ENDED.search(line) for line in ran.complaints.splitlines()):
            _checked(ran, backend)
    return len(jobs)


_ENDED = re.compile("Invalid job id|already completing or completed")


def _targets(submitted: str, task: str) -> list[tuple[str, int | None]]:
    """SLURM's numbers of all that was submitted; or that of one task of it, and the task's number there."""
    split = (part.partition("+") for part in submitted.split(","))
    parts = {int(first or 0): number for number, _, first in split}
    if not task:
        return [(number, None) for number in parts.values()]
    first = max(first for first in parts if first <= int(task))
    return [(parts[first], int(task) - first)]


def _spelled(number: str, tasks: Iterable[int] | None) -> str:
    """For `scancel`: one request to the controller, however many tasks of an array there are."""
    if tasks is None:
        return number
    listed = (str(first) if first == last else f"{first}-{last}" for first, last in ranges(sorted(tasks)))
    return f"{number}_[{','.join(listed)}]"


def _bounds(tasks: str) -> Iterator[tuple[int, int]]:
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
