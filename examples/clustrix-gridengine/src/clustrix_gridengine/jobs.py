"""Jobs: `qsub`, `qstat` and `qdel`, each once for any number of tasks or jobs.

Grid Engine counts the tasks of an array from 1, Clustrix counts from 0.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol
from xml.etree import ElementTree

from clustrix_core import ConfigError, JobError, hookimpl
from clustrix_core.environment import masked, script_for_job
from clustrix_core.jobs.handover import Place, SchedulerError, checked, script
from clustrix_core.jobs.handover import submit as hand_over
from clustrix_core.jobs.hooks import ScheduledJobs
from clustrix_core.jobs.models import JobSpec, State, TaskState, folder_of

if TYPE_CHECKING:
    from clustrix_gridengine.config import GridEngineConfig

UNITS = {"": 1 << 20, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
# What `Resources` has and Grid Engine calls otherwise at each site.
LEFT_TO_OPTIONS = ("qos", "gpus", "gres", "constraint", "nodes")
# The script is run where it lies: Grid Engine would keep a copy that others can read.
RUN = ("-b", "y", "-shell", "n", "/bin/bash")


class Cluster(Place, Protocol):
    """What is asked of the backend."""

    config: GridEngineConfig

    def command(self, *words: str) -> list[str]:
        """A command of Grid Engine, as it is run on the cluster."""

    def place_name(self) -> str:
        """What error messages call the cluster."""


class GridEngineJobs(ScheduledJobs):
    """The hooks of jobs that Grid Engine answers."""

    @hookimpl
    def clustrix_submit(self: Cluster, job: JobSpec) -> str:
        return submit(self, job)

    @hookimpl
    def clustrix_dry_run(self: Cluster, job: JobSpec) -> str:
        return preview(self, job)

    @hookimpl
    def clustrix_job_states(self: Cluster, jobs: list[str]) -> dict[str, list[TaskState]]:
        return states(self, jobs)

    @hookimpl
    def clustrix_cancel(self: Cluster, jobs: list[str]) -> int:
        return cancel(self, jobs)


def submit(backend: Cluster, job: JobSpec) -> str:
    """`clustrix_submit`: one round trip, and two more for large files."""
    text = batch_script(backend.config, job).encode("utf-8", "surrogateescape")
    scripts = {"job.sh": (backend.command("qsub", *options(backend, job), *RUN), text)}
    try:
        (number,) = hand_over(backend, job, scripts, undo=backend.command("qdel"))
    except JobError as error:
        said = "Grid Engine says: " if isinstance(error, SchedulerError) else ""
        raise type(error)(f"{backend.place_name()}: {said}{error}") from None
    return number.partition(".")[0]  # of an array it says `7.1-50:1`


def preview(backend: Cluster, job: JobSpec) -> str:
    """`clustrix_dry_run`: the command and the script."""
    folder = f"~/{folder_of(job.name)}"
    command = backend.command("qsub", *options(backend, job), *RUN, f"{folder}/job.sh", folder)
    return f"{shlex.join(command)}\n\n{batch_script(masked(backend.config), job)}"


def batch_script(config: GridEngineConfig, job: JobSpec) -> str:
    """What is run for each task."""
    task = "0" if job.tasks is None else "SGE_TASK_ID - 1"
    return script(job, task, '"${NSLOTS:-1}"', script_for_job(config))


def options(backend: Cluster, job: JobSpec) -> Iterator[str]:
    """What `qsub` is told of a job; the job's own wishes come before the config's."""
    asked, config = job.resources, backend.config
    for name in LEFT_TO_OPTIONS:
        if getattr(asked, name) is not None:
            raise ConfigError(
                f"{name}: what it is called differs between Grid Engines; give qsub's own option in "
                "options, such as {'l': 'gpu=1'}"
            )
    if job.after:
        raise JobError(
            "after: Grid Engine starts a job also when the one before it has failed; wait for it here"
        )
    cores = asked.cores or config.default_cores or 1
    memory, time = asked.memory or config.default_memory, asked.time or config.default_time
    yield from ("-terse", "-cwd", "-j", "y", "-o", "/dev/null", "-N", job.name)
    yield from ("-r", "y" if asked.requeue else "n")
    if job.tasks is not None:
        yield from ("-t", f"1-{job.tasks}")
    if cores > 1:
        yield from ("-pe", config.parallel_environment, str(cores))
    if memory:
        yield from (
            "-l",
            f"{config.memory_resource}={kibibytes(memory) // cores}K",
        )  # Grid Engine's is of each slot
    if time:
        yield from ("-l", f"h_rt={seconds(time)}")
    if queue := asked.partition or config.default_partition:
        yield from ("-q", queue)
    if asked.account:
        yield from ("-A", asked.account)
    if asked.mail_user:
        yield from ("-M", asked.mail_user, "-m", "ea")
    for name, value in asked.options.items():
        if not re.fullmatch(r"[A-Za-z_]+", name):
            raise ConfigError(f"{name!r} is no option of qsub: give its name, without the dash")
        yield from (f"-{name}",) if value is None else (f"-{name}", value)


def kibibytes(memory: str) -> int:
    """Of `16G`, `16GB`, or a bare number of MiB.

    Raises:
        ConfigError: it is something else.
    """
    found = re.fullmatch(r"(\d+)([KMGT]?)B?", memory.strip().upper())
    if found is None:
        raise ConfigError(f"memory: {memory!r} was given; write 16G, or 500M")
    return int(found[1]) * UNITS[found[2]] >> 10


def seconds(time: str) -> int:
    """Of `[days-]hours:minutes:seconds`, or a bare number of minutes.

    Raises:
        ConfigError: it is something else.
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)|(\d+)", time.strip())
    if found is None:
        raise ConfigError(f"time: {time!r} was given; write hours:minutes:seconds, such as 02:00:00")
    days, hours, minutes, rest, bare = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes + bare) * 60 + rest


def states(backend: Cluster, jobs: Sequence[str]) -> dict[str, list[TaskState]]:
    """`clustrix_job_states`: one `qstat`, which forgets jobs once they have ended."""
    if not jobs:
        return {}
    found: dict[str, list[TaskState]] = {}
    for name, _number, tasks, state in queue(backend):
        if name in jobs:
            told = STATES.get(state, "running")
            reason = f"in the state {state}: `qstat -j {_number}` tells why" if "E" in state else ""
            found.setdefault(name, []).extend(TaskState(*each, told, reason) for each in ranges(tasks))
    return found


STATES: dict[str, State] = {"qw": "pending", "hqw": "pending", "hRwq": "pending", "Eqw": "pending"}
"""All others are of jobs that run, or are about to: `r`, `t`, `Rr`, `s`, `dr` and so on."""


def queue(backend: Cluster) -> Iterator[tuple[str, str, str, str]]:
    """Name, number, tasks and state of the user's jobs; arrays have several lines."""
    user = checked(backend.run(["id", "-un"])).decode().strip()
    said = checked(backend.run(backend.command("qstat", "-xml", "-u", user)))
    try:
        for job in ElementTree.fromstring(said).iter("job_list"):
            told = (job.findtext(tag, "") for tag in ("JB_name", "JB_job_number", "tasks", "state"))
            name, number, tasks, state = told
            yield name, number, tasks, state
    except ElementTree.ParseError as error:
        raise JobError(f"{backend.place_name()}: qstat's answer can't be understood: {error}") from None


def ranges(tasks: str) -> Iterator[tuple[int, int]]:
    """`3`, `2-50:1` or `3,7-9:1` as ranges counted from 0; a job that is no array has a single task, 0."""
    for part in tasks.split(","):
        bounds, _, step = part.partition(":")
        first, _, last = bounds.partition("-")
        if not first:
            yield 0, 0
        elif int(step or 1) == 1:
            yield int(first) - 1, int(last or first) - 1
        else:
            yield from ((task - 1, task - 1) for task in range(int(first), int(last) + 1, int(step)))


def cancel(backend: Cluster, jobs: Sequence[str]) -> int:
    """`clustrix_cancel`: one `qdel`, and one more for each job of which only some tasks are to end."""
    whole = [job for job in jobs if "_" not in job]
    parts: dict[str, list[int]] = {}
    for job in jobs:
        number, _, task = job.partition("_")
        if task:
            parts.setdefault(number, []).append(int(task) + 1)
    commands = [whole] if whole else []
    commands += [[number, "-t", str(task)] for number, tasks in parts.items() for task in tasks]
    for arguments in commands:
        ran = backend.run(backend.command("qdel", *arguments))
        said = ran.output.decode("utf-8", "replace") + ran.complaints
        if ran.status and "does not exist" not in said:
            checked(ran)
    return len(jobs)
