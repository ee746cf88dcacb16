"""Handing jobs over to a place: `there` is run in it, which puts their files into folders.

It is what backends share. They say how a place runs a Python, how a large file gets there, and what command
submits the job; without one, a supervisor of its own sees to it (see `there`).
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import shlex
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from clustrix_core.errors import JobError, printable
from clustrix_core.jobs import there
from clustrix_core.jobs.models import INLINE, UNUSED, JobSpec, TaskState, folder_of
from clustrix_core.remote.backend import Ran

__all__ = [
    "FOLDER",
    "NoProgramError",
    "Place",
    "SchedulerError",
    "UnknownSubmissionError",
    "checked",
    "preview",
    "script",
    "submit",
]

FOLDER = "{folder}"
"""In a command that submits a script: the job's folder."""

_SCRIPT = """export CLUSTRIX_HERE={marker} CLUSTRIX_CORES={cores}
folder=$1 task=$(({task}))
exec >>"$folder/log-$task" 2>&1
rm -f -- "$folder/done/$task"  # it was begun before, and is begun again
clustrix_died() {{  # a JSON text why: an outcome, where there is none
    [ -e "$folder/done/$task" ] && return
    (umask 077 && mkdir -p "$folder/done")
    printf '%s%s%s\\n' '{{"outcome": "failed", "end": "died", "type": "Died", "message": ' "$1" \\
        ', "traceback": "", "size": 0, "sha256": "", "inline": true}}' >"$folder/done/.$task.sh" \\
        && mv "$folder/done/.$task.sh" "$folder/done/$task" || rm -f "$folder/done/.$task.sh"  # a full disk
}}
{setup}
{python} "$folder/job.pyz" run "$folder" "$task"
status=$?
clustrix_died "\\"it ended with status $status\\""
exit "$status"
"""


class Place(Protocol):
    """What is asked of a backend. A `RemoteBackend` has it all."""

    def work_dir(self) -> str:
        """Where jobs run, as a program sees it that starts in the home folder."""

    def run_python(self, source: str, arguments: Sequence[str], given: bytes = b"") -> Ran:
        """Run a program for Python 3.6 in the home folder, with this input."""

    def run(self, command: Sequence[str], given: bytes = b"") -> Ran:
        """Run a program in the home folder, with this input."""

    def clustrix_put(self, source: str, path: str, progress: None) -> int:
        """Copy a file there."""


def submit(
    place: Place,
    job: JobSpec,
    scripts: Mapping[str, tuple[Sequence[str], bytes]] | None = None,
    undo: Sequence[str] = (),
    without: Sequence[str] = (),
) -> list[str]:
    """`clustrix_submit`: one round trip; two more for large files, one more for parts that aren't there yet.

    Args:
        place: the backend.
        job: the job.
        scripts: by the names that they get in the job's folder, what submits each, given the script's path
            and the folder's besides, and prints at last what the scheduler calls it; and the scripts. Without
            any, a supervisor runs the tasks.
        undo: what cancels those that were submitted, if one is refused.
        without: variables of the account that don't count for what submits.

    Returns:
        What the scheduler calls them.

    Raises:
        JobError: it was refused.
        NoProgramError: there is no such command.
        SchedulerError: it is the scheduler that refused it.
        UnknownSubmissionError: it may have been submitted.
    """
    contents = {name: Path(path) for name, path in job.files.items()}
    after = [] if scripts else _folders(job.after)
    inline = {name: script for name, (_, script) in (scripts or {}).items()}
    _send_large(place, job, contents, inline)
    asked = {
        "folder": folder_of(job.name),
        "files": [[name, len(data)] for name, data in inline.items()],
        "parts": [],
        "needed": list(job.parts),
        "commands": [[name, list(command)] for name, (command, _) in (scripts or {}).items()],
        "undo": list(undo),
        "without": list(without),
        "data": [
            [name.removeprefix("files/"), os.access(path, os.X_OK)]
            for name, path in contents.items()
            if name.startswith("files/")
        ],
        "work_dir": place.work_dir(),
        "marker": job.marker,
        "python": job.python,
        "supervisor": [job.tasks or 1, job.resources.cores or 1, after],
    }
    answer = ask(place, "submit", asked, *inline.values())
    if missing := answer.get("missing"):
        parts = {digest: Path(job.parts[digest]).read_bytes() for digest in missing}
        asked["parts"] = [[digest, len(data)] for digest, data in parts.items()]
        answer = ask(place, "submit", asked, *parts.values(), *inline.values())
    if answer.get("unknown"):
        raise UnknownSubmissionError(printable(str(answer.get("refused") or answer["unknown"])))
    return [str(each) for each in answer["id"]]


def script(job: JobSpec, task: str, cores: str, setup: str = "") -> str:
    """A script for a POSIX shell that runs a task of a job, for a scheduler to start with the job's folder.

    Args:
        job: the job.
        task: the number of the task, as an arithmetic expression of the shell.
        cores: how many cores it has, as a word of the shell.
        setup: what comes before; what it prints goes to the task's log. Where it can't go on, the function
            `clustrix_died` tells why, a text in JSON.
    """
    return _SCRIPT.format(
        marker=shlex.quote(job.marker),
        task=task,
        cores=cores,
        setup=setup,
        python=shlex.quote(job.python),
    )


def preview(place: Place, job: JobSpec) -> str:
    """`clustrix_dry_run` of a job that a supervisor sees to."""
    tasks = "0" if job.tasks is None else f"0 to {job.tasks - 1}"
    command = f"{shlex.quote(job.python)} {job.folder}/job.pyz run {job.folder} N"
    cores = job.resources.cores or 1
    return (
        f"in {place.work_dir()}: {command}\nfor the tasks {tasks}, one for each {cores} of its cores at once"
    )


def _folders(names: Sequence[str]) -> list[str]:
    """Those of jobs, or of their tasks (`NAME_N`), by their own names."""
    parts = (name.partition("_") for name in names)
    return [f"{os.path.basename(folder_of(name))}{mark}{task}" for name, mark, task in parts]


class UnknownSubmissionError(JobError):
    """The scheduler may have taken the job, or not."""


class EnvironmentGoneError(JobError):
    """The environment that the job was to run in was swept."""


class NoProgramError(JobError):
    """The program that submits jobs isn't there."""


class SchedulerError(JobError):
    """The program that submits jobs refused; the message is what it said."""


_REFUSALS = {"absent": NoProgramError, "gone": EnvironmentGoneError, "said": SchedulerError}


def _send_large(place: Place, job: JobSpec, contents: Mapping[str, Path], inline: dict[str, bytes]) -> None:
    """Put what is large into the folder, and take the rest along."""
    room, large = INLINE, []
    for name, path in sorted(contents.items(), key=lambda item: item[1].stat().st_size):
        room -= path.stat().st_size
        if room >= 0:
            inline[name] = path.read_bytes()
        else:
            large.append(name)
    if large:
        folder = folder_of(job.name)
        folders = {os.path.dirname(f"{folder}/{name}") for name in large}
        checked(place.run(["sh", "-c", 'umask 077 && mkdir -p "$@"', "sh", *sorted(folders)]))
        try:
            for name in large:
                place.clustrix_put(str(contents[name]), f"~/{folder}/{name}", None)
        except ConnectionError:
            raise
        except OSError as error:  # a full disk, say: nobody remembers the job
            with suppress(JobError, OSError):
                remove(place, [job.name])
            raise JobError(f"{error.strerror}: {f'~/{folder}/{name}'!r}") from error


def states(place: Place, jobs: Sequence[str]) -> dict[str, list[TaskState]]:
    """`clustrix_job_states` of jobs that a supervisor sees to: those of their tasks that have not ended."""
    names = [job for job in jobs if "_" not in job]
    if not names:
        return {}
    found = ask(place, "states", {"folders": [folder_of(name) for name in names]})
    return {name: told for name in names if (told := _told(*found[folder_of(name)]))}


def _told(running: list[int], waiting: list[int]) -> list[TaskState]:
    told = [TaskState(task, task, "running") for task in running]
    return told + [TaskState(task, task, "pending") for task in waiting]


def cancel(place: Place, jobs: Sequence[str]) -> int:
    """`clustrix_cancel` of jobs that a supervisor sees to."""
    asked: dict[str, list[int] | None] = {}
    for job in jobs:
        name, _, task = job.partition("_")
        tasks = asked.setdefault(folder_of(name), [] if task else None)
        if task and tasks is not None:
            tasks.append(int(task))
    if asked:
        ask(place, "cancel", {"tasks": asked})
    return len(jobs)


def remove(place: Place, jobs: Sequence[str]) -> int:
    """`clustrix_job_remove`, for any place that runs programs; it sweeps the parts that no job uses, too."""
    if jobs:
        ask(place, "remove", {"folders": [folder_of(name) for name in jobs], "seconds": UNUSED})
    return len(jobs)


def ask(place: Place, command: str, asked: Mapping[str, Any], *data: bytes) -> dict[str, Any]:
    """Run a command of `there`.

    Raises:
        JobError: it doesn't do what it is asked for; the message says why.
    """
    answer = answer_of(place, source(), command, asked, *data)
    if "refused" in answer and not answer.get("unknown"):
        kind = next((kind for mark, kind in _REFUSALS.items() if answer.get(mark)), JobError)
        raise kind(_on_one_line(str(answer["refused"])))
    return answer


def answer_of(
    place: Place, source: str, command: str, asked: Mapping[str, Any], *data: bytes
) -> dict[str, Any]:
    """Run a command of a program for the far side, which is asked by a line of JSON, and answers by one.

    Raises:
        JobError: it doesn't work, or answers nonsense.
    """
    program = zlib.compress(source.encode())
    given = [program, json.dumps(asked).encode("ascii"), b"\n", *data]
    ran = place.run_python(_LOADER % len(program), [command], b"".join(given))
    try:
        return dict(json.loads(checked(ran)))
    except ValueError:
        shown = printable(ran.output[:200].decode(errors="replace"))
        raise JobError(f"the place answers nonsense: {shown!r}") from None


_LOADER = """import sys, zlib
PROGRAM = zlib.decompress(sys.stdin.buffer.read(%d))
exec(PROGRAM)
"""


@functools.cache
def source() -> str:
    """The source of `there`."""
    return inspect.getsource(there)


def checked(ran: Ran) -> bytes:
    """The output of a program that worked.

    Raises:
        JobError: it did not.
    """
    if ran.status:
        said = ran.complaints.strip() or ran.output.decode("utf-8", "replace").strip()
        raise JobError(_on_one_line(said) or f"a program ended with exit code {ran.status}")
    return ran.output


def _on_one_line(said: str) -> str:
    """What a program said on several lines, for a message."""
    return printable("; ".join(filter(None, map(str.strip, said.splitlines()))))
