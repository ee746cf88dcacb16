"""What backends are told of jobs, and tell of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "ENDED",
    "EnvironmentSpec",
    "JobSpec",
    "Outcome",
    "PreparedEnvironment",
    "Resources",
    "State",
    "TaskState",
    "folder_of",
]

JOBS = ".clustrix/jobs"
"""The folder of job folders, below the home folder of the place."""

ENVIRONMENTS = "~/.clustrix/environments"
"""The folder of environments that are built for jobs."""

PREFIX = "clustrix-"
"""What the names of jobs begin with, before their ids."""

INLINE = 8 << 20
"""Bytes of files that travel together with the order to submit the job."""

UNUSED = 30 * 86400.0
"""Seconds after which what no job uses is removed with the next job folders."""

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments of a call."""

State = Literal[
    "pending",
    "running",
    "completed",
    "failed",
    "cancelled",
    "timed out",
    "out of memory",
    "node failure",
    "preempted",
    "lost",
    "unread",
]

ENDED = ("completed", "failed", "cancelled", "timed out", "out of memory", "node failure", "preempted")
"""The states that a task doesn't leave by itself."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a job asks for. None leaves it to the config, and then to the cluster.

    Attributes:
        cores: CPU cores of each task.
        memory: of each task, such as `"8G"`; a bare number is MiB.
        time: the limit, `[days-]hours:minutes:seconds`; a bare number is minutes.
        partition: the queue.
        account: who is billed.
        qos: the quality of service.
        gpus: GPUs of each task, such as `"2"` or `"tesla:1"`.
        gres: generic resources of each node, such as `"gpu:2"`.
        constraint: features that the nodes must have.
        nodes: how many nodes.
        mail_user: who is written to when it ends.
        requeue: whether it may be started again after a node failure.
        options: further options of the scheduler, by their long names; a value of None is a flag.
    """

    cores: int | None = None
    memory: str | None = None
    time: str | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gpus: str | None = None
    gres: str | None = None
    constraint: str | None = None
    nodes: int | None = None
    mail_user: str | None = None
    requeue: bool = False
    options: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job to be submitted.

    Attributes:
        name: its name in the scheduler, which no other job has.
        folder: its own folder in the place, which is made with mode 0700; below the home folder (`~/`).
        files: the paths here of the files that are put into the folder, by their names there. `job.pyz` is
            run with `run`, the folder, and the task's number. Those in `files/` are the user's, and are
            copied from there to the work dir, unless other files are there.
        parts: the paths here of the archives that it needs besides, by their SHA-256; what is there already,
            in `~/.clustrix/parts`, need not be sent.
        tasks: how many tasks, numbered from 0; None is a single one, whose number is 0.
        python: the Python there that runs it.
        marker: the value of the variable `CLUSTRIX_HERE` in the job.
        resources: what it asks for.
        after: what `clustrix_submit` returned for jobs of the same place, with `_N` behind it for a task,
            that have to succeed before it begins.
    """

    name: str
    folder: str
    files: Mapping[str, str]
    parts: Mapping[str, str]
    tasks: int | None
    python: str
    marker: str
    resources: Resources
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskState:
    """The state of some tasks of a job.

    Attributes:
        first, last: their numbers.
        state: what they are doing, or how they ended.
        reason: the scheduler's word for why; empty if it gives none.
        begun: whether they may have begun; what ended without that left no outcome.
    """

    first: int
    last: int
    state: State
    reason: str = ""
    begun: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended, in its own words.

    Attributes:
        folder: the job's folder, as it was asked for.
        task: the task's number.
        content: what the outcome file holds.
    """

    folder: str
    task: int
    content: bytes


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """The Python that a job wants, and what it has to have.

    Attributes:
        python: its command or path; None leaves the choice to the place.
        conda: the name or path of the conda environment that it is of, if any.
        version: its major and minor version.
        pins: the distributions that are needed, with their versions, sorted.
        modules: of each of them a module that it brings, as some are known there by another name.
        build: whether to build an environment that has them, on top of that Python.
        constraints: the versions that other distributions get if they have to be installed besides.
        setup: what else tells environments apart, such as the environment modules that are loaded.
    """

    python: str | None
    conda: str | None
    version: tuple[int, int]
    pins: tuple[tuple[str, str], ...]
    modules: tuple[tuple[str, str], ...] = ()
    build: bool = False
    constraints: tuple[tuple[str, str], ...] = ()
    setup: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedEnvironment:
    """A Python for a job, as it was found or built.

    Attributes:
        python: its command or path in the place.
        version: its version.
        installed: the versions of the distributions that it has of those that are needed; empty for one whose
            module is there though nothing tells its version.
        folder: the path of the environment that was built; empty if none was.
    """

    python: str
    version: tuple[int, ...]
    installed: Mapping[str, str]
    folder: str = ""


def below_home(path: str | None) -> str:
    """A path as a program sees it that starts in the home folder."""
    return (path or ".").removeprefix("~/") if path != "~" else "."


def folder_of(name: str) -> str:
    """The folder of a job of this name, relative to the home folder.

    Raises:
        ValueError: it is no job's name.
    """
    if not re.fullmatch(rf"{PREFIX}[0-9a-z-]+", name):
        raise ValueError(f"{name!r} is no job's name")
    return f"{JOBS}/{name.removeprefix(PREFIX)}"


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Rising numbers as ranges: the first and the last of each."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found
