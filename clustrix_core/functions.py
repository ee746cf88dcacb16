"""The `cluster_*` functions: each is the method of `ClusterFilesystem` of its name, with a config as well.

`config=None` means the active one (see `configure`). The functions share one session for each config with all
the rest of the process: the second call connects to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any, Literal, cast, overload

from clustrix_core.config import ClusterConfig
from clustrix_core.filesystem import ClusterFilesystem, Path
from clustrix_core.hookspecs import EntryType, OnError, OnStatError, Progress
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
    """List a directory: `ClusterFilesystem.ls`."""
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
    """Find files below a path: `ClusterFilesystem.find`."""
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
    """Tell the status of one file or of many: `ClusterFilesystem.stat`."""
    with ClusterFilesystem(config) as place:
        return place.stat(
            cast("Iterable[Path]", path),
            follow_symlinks=follow_symlinks,
            on_error=cast("Literal['return']", on_error),
        )


def cluster_exists(path: Path, config: ClusterConfig | None = None) -> bool:
    """Tell whether there is such a file: `ClusterFilesystem.exists`."""
    with ClusterFilesystem(config) as place:
        return place.exists(path)


def cluster_isdir(path: Path, config: ClusterConfig | None = None) -> bool:
    """Tell whether it is a directory: `ClusterFilesystem.isdir`."""
    with ClusterFilesystem(config) as place:
        return place.isdir(path)


def cluster_isfile(path: Path, config: ClusterConfig | None = None) -> bool:
    """Tell whether it is a regular file: `ClusterFilesystem.isfile`."""
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
    """Expand a shell pattern: `ClusterFilesystem.glob`."""
    with ClusterFilesystem(config) as place:
        return place.glob(pattern, path, on_error=on_error, progress=progress)


def cluster_du(
    path: Path = ".",
    config: ClusterConfig | None = None,
    *,
    on_error: OnError = "warn",
    progress: Progress | None = None,
) -> DiskUsage:
    """Add up the regular files at and below a path: `ClusterFilesystem.du`."""
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
    """Count what `cluster_find(pattern, path)` would return: `ClusterFilesystem.count_files`."""
    with ClusterFilesystem(config) as place:
        return place.count_files(path, pattern, on_error=on_error, progress=progress)


def cluster_readlink(path: Path, config: ClusterConfig | None = None) -> str:
    """Tell where a symbolic link points: `ClusterFilesystem.readlink`."""
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
    """Open a file: `ClusterFilesystem.open`. The file keeps the session while it is open."""
    return ClusterFilesystem(config).open(path, mode, encoding=encoding, errors=errors, newline=newline)


def cluster_get(
    path: Path, target: Path, config: ClusterConfig | None = None, *, progress: Progress | None = None
) -> int:
    """Copy a file from the place to this machine: `ClusterFilesystem.get`."""
    with ClusterFilesystem(config) as place:
        return place.get(path, target, progress=progress)


def cluster_put(
    source: Path, path: Path, config: ClusterConfig | None = None, *, progress: Progress | None = None
) -> int:
    """Copy a file from this machine to the place: `ClusterFilesystem.put`."""
    with ClusterFilesystem(config) as place:
        return place.put(source, path, progress=progress)
