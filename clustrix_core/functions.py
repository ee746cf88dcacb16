"""The `cluster_*` functions: each is the method of `ClusterFilesystem` of its name, with a config as well.

`config=None` means the active one (see `configure`). The functions share one session for each config with all
the rest of the process: the second call connects to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any, Literal, cast, overload

from clustrix_core.config import ClusterConfig
from clustrix_core.filesystem import ClusterFilesystem, Path
from clustrix_core.hookspecs import EntryType, OnError, OnStatError, Progress

if TYPE_CHECKING:
    from clustrix_core.models import DiskUsage, FileInfo


@overload
def cluster_ls(
    path: Path = ".", config: ClusterConfig | None = None, *, detail: Literal[False] = False
) -> list[str]: ...
@overload
def cluster_ls(
    path: Path = ".", config: ClusterConfig | None = None, *, detail: Literal[True]
) -> list[FileInfo]: ...
def cluster_ls(
    path: Path = ".", config: ClusterConfig | None = None, *, detail: bool = False
) -> list[str] | list[FileInfo]:
    """List a directory, dotfiles included. One round trip.

    Args:
        path: the directory.
        config: the place; None means the active config (see `configure`).
        detail: return `FileInfo`s of the entries themselves (links are not followed) instead of names.

    Returns:
        The names, or `FileInfo`s, in the order of the names' bytes.

    Raises:
        OSError: as `os.listdir`; of a file, NotADirectoryError.
    """
    with ClusterFilesystem(config) as place:
        return place.ls(path, detail=cast("Literal[True]", detail))


@overload
def cluster_find(
    pattern: str,
    path: Path = ".",
    config: ClusterConfig | None = None,
    *,
    detail: Literal[False] = False,
    type: EntryType = "f",
    max_depth: int | None = None,
    follow_symlinks: bool = False,
    on_error: OnError = "warn",
    progress: Progress | None = None,
) -> list[str]: ...
@overload
def cluster_find(
    pattern: str,
    path: Path = ".",
    config: ClusterConfig | None = None,
    *,
    detail: Literal[True],
    type: EntryType = "f",
    max_depth: int | None = None,
    follow_symlinks: bool = False,
    on_error: OnError = "warn",
    progress: Progress | None = None,
) -> list[FileInfo]: ...
def cluster_find(
    pattern: str,
    path: Path = ".",
    config: ClusterConfig | None = None,
    *,
    detail: bool = False,
    type: EntryType = "f",
    max_depth: int | None = None,
    follow_symlinks: bool = False,
    on_error: OnError = "warn",
    progress: Progress | None = None,
) -> list[str] | list[FileInfo]:
    """Find files below a path. One round trip.

    Args:
        pattern: matched against basenames (`*`, `?`, `[…]`, `[!…]`, case-sensitive, dotfiles match); with a
            slash in it, against the path below `path`, `**` being any number of components.
        path: where to begin; of a file, the file itself is a candidate.
        config: the place; None means the active config (see `configure`).
        detail: return `FileInfo`s instead of paths.
        type: `"f"` regular files, `"d"` directories, `"l"` symbolic links.
        max_depth: how deep to go; 1 means the direct children, None all the way.
        follow_symlinks: as `find -L`: links count as what they point to, and directories behind them are
            entered.
        on_error: what a directory that can't be read does: `"warn"` leaves it out, with one
            `PartialResultWarning` at the end; `"raise"` ends all.
        progress: called now and then with the number of entries seen so far, and None.

    Returns:
        Paths, spelled from `path` so that other calls take them, or `FileInfo`s; in the order of the paths'
        bytes.

    Raises:
        OSError: `path` is missing or can't be read.
        ValueError: a pattern that is empty, absolute, ends in a slash or contains `..`; `max_depth` below 1.
    """
    with ClusterFilesystem(config) as place:
        return place.find(
            pattern,
            path,
            detail=cast("Literal[True]", detail),
            type=type,
            max_depth=max_depth,
            follow_symlinks=follow_symlinks,
            on_error=on_error,
            progress=progress,
        )


@overload
def cluster_stat(  # type: ignore[overload-overlap] # a str is an iterable of str, too
    path: Path, config: ClusterConfig | None = None, *, follow_symlinks: bool = True
) -> FileInfo: ...
@overload
def cluster_stat(
    path: Iterable[Path],
    config: ClusterConfig | None = None,
    *,
    follow_symlinks: bool = True,
    on_error: Literal["raise"] = "raise",
) -> list[FileInfo]: ...
@overload
def cluster_stat(
    path: Iterable[Path],
    config: ClusterConfig | None = None,
    *,
    follow_symlinks: bool = True,
    on_error: Literal["return"],
) -> list[FileInfo | OSError]: ...
def cluster_stat(
    path: Path | Iterable[Path],
    config: ClusterConfig | None = None,
    *,
    follow_symlinks: bool = True,
    on_error: OnStatError = "raise",
) -> FileInfo | list[FileInfo] | list[FileInfo | OSError]:
    """Tell the status of one file or of many, in one round trip.

    Args:
        path: a path, or several.
        config: the place; None means the active config (see `configure`).
        follow_symlinks: tell of what a link points to, rather than of the link.
        on_error: with several paths, `"raise"` the first failure or `"return"` each in its place.

    Returns:
        A `FileInfo`, or a list with one item for each path.

    Raises:
        OSError: as `os.stat`.
    """
    with ClusterFilesystem(config) as place:
        return place.stat(
            cast("Iterable[Path]", path),
            follow_symlinks=follow_symlinks,
            on_error=cast("Literal['return']", on_error),
        )


def cluster_exists(path: Path, config: ClusterConfig | None = None) -> bool:
    """Tell whether there is such a file; links are followed. One round trip.

    Args:
        path: the file.
        config: the place; None means the active config (see `configure`).

    Returns:
        False where `stat(2)` fails with ENOENT, ENOTDIR or ELOOP.

    Raises:
        OSError: it can't be told, for any other reason.
    """
    with ClusterFilesystem(config) as place:
        return place.exists(path)


def cluster_isdir(path: Path, config: ClusterConfig | None = None) -> bool:
    """Tell whether it is a directory; links are followed. All else as `cluster_exists`."""
    with ClusterFilesystem(config) as place:
        return place.isdir(path)


def cluster_isfile(path: Path, config: ClusterConfig | None = None) -> bool:
    """Tell whether it is a regular file; links are followed. All else as `cluster_exists`."""
    with ClusterFilesystem(config) as place:
        return place.isfile(path)


def cluster_glob(
    pattern: str,
    path: Path = ".",
    config: ClusterConfig | None = None,
    *,
    on_error: OnError = "warn",
    progress: Progress | None = None,
) -> list[str]:
    """Expand a shell pattern: `*`, `?`, `[…]`, `**`, and braces. One round trip.

    Args:
        pattern: as `glob.glob(pattern, root_dir=path, recursive=True)` of Python 3.11 takes it, save that
            `**` does not pass through links; and with bash's braces. Absolute ones, and those that begin
            with `~/`, ignore `path`.
        path: the directory where a relative pattern begins.
        config: the place; None means the active config (see `configure`).
        on_error: what a directory that can't be read does: `"warn"` leaves it out, with one
            `PartialResultWarning` at the end; `"raise"` ends all.
        progress: called now and then with the number of entries seen so far, and None.

    Returns:
        The matches, joined to `path`, in the order of their bytes. No match is an empty list.

    Raises:
        ValueError: the pattern is empty, or its braces stand for more than 10,000 patterns.
        OSError: `path` is missing, or no directory.
    """
    with ClusterFilesystem(config) as place:
        return place.glob(pattern, path, on_error=on_error, progress=progress)


def cluster_du(
    path: Path = ".",
    config: ClusterConfig | None = None,
    *,
    on_error: OnError = "warn",
    progress: Progress | None = None,
) -> DiskUsage:
    """Add up the regular files at and below a path. One round trip.

    Args:
        path: where to begin; of a file, the sum is its size.
        config: the place; None means the active config (see `configure`).
        on_error: what a directory that can't be read does: `"warn"` leaves it out, with one
            `PartialResultWarning` at the end; `"raise"` ends all.
        progress: called now and then with the number of entries seen so far, and None.

    Returns:
        Their apparent bytes, hard links counted once, and the number of their names.

    Raises:
        OSError: `path` is missing or can't be read.
    """
    with ClusterFilesystem(config) as place:
        return place.du(path, on_error=on_error, progress=progress)


def cluster_count_files(
    path: Path = ".",
    pattern: str = "*",
    config: ClusterConfig | None = None,
    *,
    on_error: OnError = "warn",
    progress: Progress | None = None,
) -> int:
    """Count what `cluster_find(pattern, path)` would return, in one round trip; else as that."""
    with ClusterFilesystem(config) as place:
        return place.count_files(path, pattern, on_error=on_error, progress=progress)


def cluster_readlink(path: Path, config: ClusterConfig | None = None) -> str:
    """Tell where a symbolic link points. One round trip.

    Args:
        path: the link.
        config: the place; None means the active config (see `configure`).

    Raises:
        OSError: EINVAL where it is no link.
        UnsupportedOperationError: the backend can't.
    """
    with ClusterFilesystem(config) as place:
        return place.readlink(path)


def cluster_open(
    path: Path,
    mode: str = "r",
    config: ClusterConfig | None = None,
    *,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> IO[Any]:
    """Open a file of the place, as the builtin `open` does here; it keeps the session while it is open.

    A file opened with `w` or `x` appears under its name, whole, when it is closed; an exception inside `with`
    leaves what was there before.

    Args:
        path: the file.
        mode: `r`, `w`, `x`, `a` or `r+`, with `b` for bytes.
        config: the place; None means the active config (see `configure`).
        encoding: of text, UTF-8 unless given.
        errors: what to do about bytes that can't be decoded, as for the builtin.
        newline: how line ends are translated, as for the builtin.

    Raises:
        ValueError: the mode is none of these.
        OSError: as the builtin.
        UnsupportedOperationError: the backend can't.
    """
    return ClusterFilesystem(config).open(path, mode, encoding=encoding, errors=errors, newline=newline)


def cluster_get(
    path: Path, target: Path, config: ClusterConfig | None = None, *, progress: Progress | None = None
) -> int:
    """Copy a file from the place to this machine, verified.

    Args:
        path: the file there.
        target: the file to make here, which appears when it is whole; a directory stands for a file of
            the same name in it.
        config: the place; None means the active config (see `configure`).
        progress: called with the bytes done and the bytes in all.

    Returns:
        The bytes copied.

    Raises:
        OSError: of either side; EIO where the file changed meanwhile or the copy proves different.
        UnsupportedOperationError: the backend can't.
    """
    with ClusterFilesystem(config) as place:
        return place.get(path, target, progress=progress)


def cluster_put(
    source: Path, path: Path, config: ClusterConfig | None = None, *, progress: Progress | None = None
) -> int:
    """Copy a file from this machine to the place, verified: the mirror image of `cluster_get`.

    Args:
        source: the file here.
        path: the file to make there, which appears when it is whole; a directory stands for a file of
            the same name in it.
        config: the place; None means the active config (see `configure`).
        progress: called with the bytes done and the bytes in all.

    Returns:
        The bytes copied.

    Raises:
        OSError, UnsupportedOperationError: as `cluster_get`.
    """
    with ClusterFilesystem(config) as place:
        return place.put(source, path, progress=progress)
