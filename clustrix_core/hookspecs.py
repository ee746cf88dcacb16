"""The plugin contract: one hook for each operation.

A backend is a class whose methods implement these hooks; an extension is a class whose methods wrap
them. What is said here holds for every backend; `clustrix_core.testing` tests it.

Rules for all hooks:

- Names and paths are `str`, UTF-8 with `surrogateescape`. Paths arrive as the user gave them: relative
  ones start at the work dir, a leading `~` or `~/` is the home folder *of the place*.
- Failures are raised as Python would raise them: `OSError` and its subclasses, with `errno`, `strerror`
  and `filename`. Nothing becomes an empty result.
- A recursion leaves out what it can't read and then issues one `PartialResultWarning`; with
  `on_error="raise"` the first such failure is raised instead.
- `progress`, where there is one, is called now and then with the number of directory entries (or
  bytes) done so far and the total, which is None where it isn't known.
- No hook returns None, and no argument of an implementation has a default value.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal

import pluggy

if TYPE_CHECKING:
    from clustrix_core.jobs.models import (
        EnvironmentSpec,
        JobSpec,
        Outcome,
        PreparedEnvironment,
        TaskState,
    )
    from clustrix_core.models import DiskUsage, FileInfo
    from clustrix_core.stream import Stream

API_VERSION = 1
"""The version of this contract; a backend class names the one it was written for as `api_version`."""

ADDED: dict[tuple[str, str], tuple[int, object]] = {}
"""Arguments that came after version 1, by hook and name: the version that brought each, and its default."""

hookspec = pluggy.HookspecMarker("clustrix")
hookimpl = pluggy.HookimplMarker("clustrix")
"""Marks a method as the implementation of the hook of its name."""

Progress = Callable[[int, "int | None"], object]
EntryType = Literal["f", "d", "l"]
OnError = Literal["warn", "raise"]
OnStatError = Literal["raise", "return"]


@hookspec(firstresult=True)
def clustrix_ls(path: str, detail: bool) -> list[str] | list[FileInfo]:  # type: ignore[empty-body]
    """List a directory.

    Args:
        path: the directory; followed when it is a link.
        detail: return a `FileInfo` for each entry, of the entry itself (links are not followed).

    Returns:
        The names of the entries, dotfiles included, without `.` and `..`, sorted by their bytes. With
        `detail`, `FileInfo`s in the same order, whose `path` is the entry's name joined to `path`.

    Raises:
        FileNotFoundError: there is no such directory.
        NotADirectoryError: it is something else.
        PermissionError: it can't be read.

    Round trips: one.
    """


@hookspec(firstresult=True)
def clustrix_find(  # type: ignore[empty-body]
    pattern: str,
    path: str,
    detail: bool,
    type: EntryType,
    max_depth: int | None,
    follow_symlinks: bool,
    on_error: OnError,
    progress: Progress | None,
) -> Stream[str] | Stream[FileInfo]:
    """Walk the tree below `path` and give what matches.

    Args:
        pattern: matched against the basename: `*`, `?`, `[…]`, `[!…]`, case-sensitive; dotfiles match.
            With a slash in it, matched against the path below the root, `**` being any number of components.
        path: the root; followed when it is a link. A root that isn't a directory is itself a candidate.
        detail: give `FileInfo`s instead of paths.
        type: `"f"` regular files, `"d"` directories (without the root), `"l"` symbolic links.
        max_depth: how deep to go; 1 means the direct children; None means all the way.
        follow_symlinks: follow links as `find -L` does: a link counts as what it points to, directories
            behind links are entered except where a directory is its own ancestor, and only broken links are
            links.
        on_error: what to do about a directory that can't be read: `"warn"` or `"raise"`.
        progress: see above.

    Returns:
        A stream of paths, spelled from `path` and sorted by their bytes.

    Raises:
        FileNotFoundError, PermissionError: the root is missing or can't be read. Raised by the hook
            itself or by the first step of the stream.

    Round trips: one, then the stream flows.
    """


@hookspec(firstresult=True)
def clustrix_stat(  # type: ignore[empty-body]
    paths: list[str], follow_symlinks: bool, on_error: OnStatError
) -> list[FileInfo | OSError]:
    """Tell the status of many files.

    Args:
        paths: the files.
        follow_symlinks: whether to tell of what a link points to, or of the link.
        on_error: `"raise"` the first failure, in the order of `paths`, or `"return"` each in its place.

    Returns:
        One item for each path, in order.

    Raises:
        OSError: see `on_error`.

    Round trips: one, however many paths.
    """


@hookspec(firstresult=True)
def clustrix_exists(path: str) -> bool:  # type: ignore[empty-body]
    """Tell whether `path` exists, following links.

    Returns:
        False where `stat(2)` fails with ENOENT, ENOTDIR or ELOOP.

    Raises:
        OSError: it fails with anything else, so that the answer isn't known.

    Round trips: one.
    """


@hookspec(firstresult=True)
def clustrix_isdir(path: str) -> bool:  # type: ignore[empty-body]
    """Tell whether `path` is a directory, following links. Else as `clustrix_exists`."""


@hookspec(firstresult=True)
def clustrix_isfile(path: str) -> bool:  # type: ignore[empty-body]
    """Tell whether `path` is a regular file, following links. Else as `clustrix_exists`."""


@hookspec(firstresult=True)
def clustrix_glob(  # type: ignore[empty-body]
    pattern: str, path: str, on_error: OnError, progress: Progress | None
) -> list[str]:
    """Expand a shell pattern.

    Args:
        pattern: as Python 3.11's `glob.glob(pattern, root_dir=path, recursive=True)`, except that `**` does
            not pass through links; braces are expanded first, as bash does (comma lists, nested). An absolute
            pattern, or one that begins with `~/`, ignores `path`.
        path: the directory at which a relative pattern starts.
        on_error: what to do about a directory that can't be read: `"warn"` or `"raise"`.
        progress: see above.

    Returns:
        The paths, joined to `path`, each once, sorted by their bytes.

    Raises:
        FileNotFoundError, NotADirectoryError: `path` is missing, or isn't a directory.
        ValueError: the braces expand to more than 10,000 patterns.

    Round trips: one.
    """


@hookspec(firstresult=True)
def clustrix_du(path: str, on_error: OnError, progress: Progress | None) -> DiskUsage:  # type: ignore[empty-body]
    """Add up the regular files at and below `path`.

    Args:
        path: the root; followed when it is a link.
        on_error: what to do about a directory that can't be read: `"warn"` or `"raise"`.
        progress: see above.

    Returns:
        Their apparent bytes, each inode counted once, and the number of their names.

    Raises:
        FileNotFoundError, PermissionError: the root is missing or can't be read.

    Round trips: one.
    """


@hookspec(firstresult=True)
def clustrix_count_files(  # type: ignore[empty-body]
    path: str, pattern: str, on_error: OnError, progress: Progress | None
) -> int:
    """Count what `clustrix_find(pattern, path)` would give, without sending the names.

    Arguments, errors and round trips: as `clustrix_find`.
    """


@hookspec(firstresult=True)
def clustrix_readlink(path: str) -> str:  # type: ignore[empty-body]
    """Tell where a symbolic link points, as it is written in the link. Optional.

    Raises:
        OSError: EINVAL where `path` isn't a link, else as `readlink(2)`.

    Round trips: one.
    """


@hookspec(firstresult=True)
def clustrix_open(path: str, mode: str) -> io.RawIOBase:  # type: ignore[empty-body]
    """Open a file in the place. Optional.

    Args:
        path: the file; followed when it is a link.
        mode: `"rb"`, `"wb"`, `"xb"`, `"ab"` or `"r+b"`.

    Returns:
        A raw binary file. With `"wb"` and `"xb"` it has a method `commit()`, by which the content appears
        under its name, whole (temporary name beside it, then rename; permissions of a file that was there
        are kept); closed without that, it leaves what was there before. Devices and FIFOs are written in
        place.

    Raises:
        OSError: as `open(2)`; IsADirectoryError for a directory.

    Round trips: one to open, one for each read or write beyond the buffer, one to close.
    """


@hookspec(firstresult=True)
def clustrix_get(path: str, target: str, progress: Progress | None) -> int:  # type: ignore[empty-body]
    """Copy a file of the place to this machine. Optional.

    Args:
        path: the file in the place.
        target: the file to make here; an absolute path. It appears under its name when it is whole and
            verified.
        progress: called with bytes done and bytes in all.

    Returns:
        The number of bytes copied.

    Raises:
        OSError: as the opening, reading and writing of either file; EIO where the copy proves different.
    """


@hookspec(firstresult=True)
def clustrix_put(source: str, path: str, progress: Progress | None) -> int:  # type: ignore[empty-body]
    """Copy a file of this machine to the place. Optional; the mirror image of `clustrix_get`.

    Args:
        source: the file here; an absolute path.
        path: the file to make in the place.
        progress: called with bytes done and bytes in all.
    """


@hookspec(firstresult=True)
def clustrix_prepare(  # type: ignore[empty-body]
    environment: EnvironmentSpec, progress: Callable[[str], object] | None
) -> PreparedEnvironment:
    """Find the Python of jobs, and tell what it has of what they need; build an environment if asked to.

    An environment that was built before is found again; of several processes that ask for it at once, one
    builds it. What was built in part is never found.

    Args:
        environment: see `EnvironmentSpec`.
        progress: called now and then during a build, with the last line of what was said there.

    Returns:
        The first Python of that version, else the first that there is; nothing is built on top of another
        version.

    Raises:
        JobError: there is no such Python or conda environment, or the build failed; the message has the
            words of whatever failed.

    Round trips: one; one more for each second of a build.
    """


@hookspec(firstresult=True)
def clustrix_environment_remove(  # type: ignore[empty-body]
    keep: list[str], unused_for: float
) -> list[str]:
    """Remove environments that `clustrix_prepare` has built.

    Args:
        keep: the folders of those that stay.
        unused_for: the seconds that the others were not prepared for a job.

    Returns:
        The folders of those that were removed.

    Round trips: one.
    """


@hookspec(firstresult=True)
def clustrix_submit(job: JobSpec) -> str:  # type: ignore[empty-body]
    """Put a job's files into its folder, and hand the job to the scheduler, once.

    Asked again for the same job, as the answer was lost, it answers as it did before and submits nothing.
    `job.pyz` is run with the job's `python`, in the work dir, once for each task. What a task prints is the
    file `log-N` in the job's folder, N being its number.

    Args:
        job: see `JobSpec`.

    Returns:
        What the scheduler calls it, which `clustrix_cancel` takes.

    Raises:
        JobError: the scheduler refuses it; the message has its words.
        ConnectionFailedError, OperationTimeoutError: the answer was lost; it may have been submitted.

    Round trips: one; two more for large files, and one more for parts that aren't there yet.
    """


@hookspec(firstresult=True)
def clustrix_dry_run(job: JobSpec) -> str:  # type: ignore[empty-body]
    """Show what would be handed to the scheduler for a job: the command and the script, for people.

    Args:
        job: see `JobSpec`.

    Round trips: none.
    """


@hookspec(firstresult=True)
def clustrix_job_states(jobs: list[str]) -> dict[str, list[TaskState]]:  # type: ignore[empty-body]
    """Ask the scheduler about many jobs at once.

    Args:
        jobs: their names; and `NAME_N` for tasks that have ended, as it seems: if it has forgotten them,
            more may be known elsewhere, such as in accounts.

    Returns:
        The states of their tasks, by name; jobs and tasks that it doesn't know (any more) are left out.

    Raises:
        JobError: the scheduler doesn't answer: then nothing is known.

    Round trips: one, and one command of the scheduler.
    """


@hookspec(firstresult=True)
def clustrix_job_outcomes(  # type: ignore[empty-body]
    known: dict[str, list[tuple[int, int]]], seconds: float
) -> list[Outcome]:
    """Read the outcomes of tasks that have ended, beyond those that are known.

    Args:
        known: the numbers of the tasks whose outcome is known, as ranges (first, last), by the job's folder.
        seconds: how long to wait for the first.

    Returns:
        The new ones; none if none comes in time. Of a folder that others than its owner can use, or that is
        another's, a single one of the task -1, which says so.

    Round trips: one.
    """


@hookspec(firstresult=True)
def clustrix_cancel(jobs: list[str]) -> int:  # type: ignore[empty-body]
    """Cancel many jobs at once. Those that have ended, or were never there, are passed over.

    Args:
        jobs: what `clustrix_submit` returned, or their names; with `_N` behind it the task N of an array.

    Returns:
        How many the scheduler was told to cancel.

    Raises:
        JobError: the scheduler doesn't answer.

    Round trips: one, and one command of the scheduler.
    """


@hookspec(firstresult=True)
def clustrix_job_remove(jobs: list[str]) -> int:  # type: ignore[empty-body]
    """Remove the folders of jobs that have ended, with their results and logs.

    Those that aren't there are passed over.

    Args:
        jobs: their names.

    Returns:
        How many names there were.

    Round trips: one.
    """


REQUIRED = (
    "clustrix_ls",
    "clustrix_find",
    "clustrix_stat",
    "clustrix_exists",
    "clustrix_isdir",
    "clustrix_isfile",
    "clustrix_glob",
    "clustrix_du",
    "clustrix_count_files",
)
OPTIONAL = (
    "clustrix_readlink",
    "clustrix_open",
    "clustrix_get",
    "clustrix_put",
    "clustrix_prepare",
    "clustrix_environment_remove",
    "clustrix_submit",
    "clustrix_dry_run",
    "clustrix_job_states",
    "clustrix_job_outcomes",
    "clustrix_cancel",
    "clustrix_job_remove",
)


def marks(cls: type, name: str) -> Mapping[str, Any] | None:
    """The options of a method that is marked with `hookimpl`; None if it isn't. No descriptor is run.

    pluggy's own way takes a tenth of what a first call does.
    """
    attribute = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    if not isinstance(attribute, FunctionType | staticmethod | classmethod):
        return None
    own = getattr(attribute, "clustrix_impl", None)
    return own or getattr(getattr(attribute, "__func__", None), "clustrix_impl", None)


def arguments(hook: str) -> tuple[str, ...]:
    """The names of a hook's arguments, in order."""
    function: Any = globals()[hook]
    return function.__code__.co_varnames[: function.__code__.co_argcount]  # type: ignore[no-any-return]
