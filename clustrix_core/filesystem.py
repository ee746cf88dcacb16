"""`ClusterFilesystem`: the typed face of the hooks, and the only caller of them."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from clustrix_core.config import ClusterConfig
from clustrix_core.engine import decode
from clustrix_core.errors import BackendIncompatibleError, UnsupportedOperationError
from clustrix_core.hookspecs import EntryType, OnError, OnStatError, Progress
from clustrix_core.session import Session, SharedSession, pool
from clustrix_core.stream import Stream

if TYPE_CHECKING:
    from clustrix_core.models import DiskUsage, FileInfo

Path = str | os.PathLike[str]
Choice = TypeVar("Choice", bound=str)


_RAW_MODES = {"r": "rb", "w": "wb", "x": "xb", "a": "ab", "+r": "r+b"}
_RAW_MODES |= {"".join(sorted(mode + kind)): raw for mode, raw in _RAW_MODES.items() for kind in "bt"}


class ClusterFilesystem:
    """The files of the place that a config names: this machine, a host, or a cluster.

    All objects with equal configs share one session. Nothing is opened before the first call. Use it as
    a context manager, or `close` it, to let an idle session go early; it may be shared by threads.

    Args:
        config: the place; None means the active config (see `configure`).

    Raises:
        TypeError: `config` is something else. What is wrong with its content shows at the first call:
            `BackendNotFoundError`, `ConfigError` and so on.
    """

    def __init__(self, config: ClusterConfig | None = None) -> None:
        self.config = checked_config(config)
        self._closed = False
        self._held: list[SharedSession] = []  # what is to be let go: popped, which only one thread can
        self._join_pool()

    def _join_pool(self) -> None:
        generation = pool.generation
        self._shared = pool.acquire(self.config)
        self._held.append(self._shared)
        self._generation = generation

    def _session(self) -> Session:
        if self._closed:
            raise ValueError("this ClusterFilesystem is closed; make a new one")
        if self._generation != pool.generation:  # after a fork, or when the pool was closed
            with pool.joining:
                if self._generation != pool.generation:
                    self._join_pool()
        return self._shared.session or pool.open(self._shared)

    def close(self) -> None:
        """Let go of the session. Closing twice does nothing."""
        self._closed = True
        self._let_go(pool.release)

    def _let_go(self, release: Callable[[SharedSession], object]) -> None:
        while self._held:
            try:
                shared = self._held.pop()
            except IndexError:  # another thread was faster
                return
            release(shared)

    def __del__(self) -> None:
        if hasattr(self, "_held"):  # else the constructor refused the config
            self._let_go(pool.forget)

    def __enter__(self) -> ClusterFilesystem:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ClusterFilesystem({self.config!r})"

    def description(self) -> str:
        """How the place is reached, such as `paramiko, agent, Python 3.11.2` or `paramiko, SFTP`.

        Nothing is sent: before the first operation it says that there is no connection. A backend that has
        only one way says nothing.
        """
        return self._session().description()

    def _call(self, name: str, **arguments: object) -> Any:
        """Call one hook of the session."""
        session = self._session()
        if name in session.missing:
            operation = name.removeprefix("clustrix_")
            raise UnsupportedOperationError(
                f"the backend {self.config.cluster_type!r} does not implement {operation}"
            )
        if name in session.lacking:
            self._refuse_unknown(name, session.lacking[name], arguments)
        result = getattr(session.hook, name)(**arguments)
        if result is None:
            raise BackendIncompatibleError(
                f"{name} of the backend {self.config.cluster_type!r} returned None, or an extension around "
                "it did (a wrapper must end in `return (yield)`)"
            )
        return result

    def _refuse_unknown(self, name: str, lacking: dict[str, object], arguments: dict[str, object]) -> None:
        """pluggy would drop them without a word."""
        for argument, default in lacking.items():
            if arguments[argument] != default:
                raise UnsupportedOperationError(
                    f"the backend {self.config.cluster_type!r} is older than the argument {argument!r} of "
                    f"{name.removeprefix('clustrix_')}: leave it at {default!r}, or upgrade the backend"
                )

    @overload
    def ls(self, path: Path = ".", *, detail: Literal[False] = False) -> list[str]: ...
    @overload
    def ls(self, path: Path = ".", *, detail: Literal[True]) -> list[FileInfo]: ...
    def ls(self, path: Path = ".", *, detail: bool = False) -> list[str] | list[FileInfo]:
        """List a directory; see `clustrix_core.hookspecs.clustrix_ls` for the rules. One round trip.

        Args:
            path: the directory.
            detail: return `FileInfo`s of the entries themselves instead of names.

        Returns:
            The names, dotfiles included, without `.` and `..`, in the order of their bytes.

        Raises:
            OSError: as `os.listdir`; of a file, NotADirectoryError.
        """
        return cast("list[str]", self._call("clustrix_ls", path=checked_path(path), detail=bool(detail)))

    @overload
    def find(
        self,
        pattern: str,
        path: Path = ".",
        *,
        detail: Literal[False] = False,
        type: EntryType = "f",
        max_depth: int | None = None,
        follow_symlinks: bool = False,
        on_error: OnError = "warn",
        progress: Progress | None = None,
    ) -> list[str]: ...
    @overload
    def find(
        self,
        pattern: str,
        path: Path = ".",
        *,
        detail: Literal[True],
        type: EntryType = "f",
        max_depth: int | None = None,
        follow_symlinks: bool = False,
        on_error: OnError = "warn",
        progress: Progress | None = None,
    ) -> list[FileInfo]: ...
    def find(
        self,
        pattern: str,
        path: Path = ".",
        *,
        detail: bool = False,
        type: EntryType = "f",
        max_depth: int | None = None,
        follow_symlinks: bool = False,
        on_error: OnError = "warn",
        progress: Progress | None = None,
    ) -> list[str] | list[FileInfo]:
        """Find files below `path`: all that `iterfind`, with the same arguments, streams, as a list."""
        found = self.iterfind(
            pattern,
            path,
            detail=cast("Literal[True]", detail),
            type=type,
            max_depth=max_depth,
            follow_symlinks=follow_symlinks,
            on_error=on_error,
            progress=progress,
        )
        return found.read()

    @overload
    def iterfind(
        self,
        pattern: str,
        path: Path = ".",
        *,
        detail: Literal[False] = False,
        type: EntryType = "f",
        max_depth: int | None = None,
        follow_symlinks: bool = False,
        on_error: OnError = "warn",
        progress: Progress | None = None,
    ) -> Stream[str]: ...
    @overload
    def iterfind(
        self,
        pattern: str,
        path: Path = ".",
        *,
        detail: Literal[True],
        type: EntryType = "f",
        max_depth: int | None = None,
        follow_symlinks: bool = False,
        on_error: OnError = "warn",
        progress: Progress | None = None,
    ) -> Stream[FileInfo]: ...
    def iterfind(
        self,
        pattern: str,
        path: Path = ".",
        *,
        detail: bool = False,
        type: EntryType = "f",
        max_depth: int | None = None,
        follow_symlinks: bool = False,
        on_error: OnError = "warn",
        progress: Progress | None = None,
    ) -> Stream[str] | Stream[FileInfo]:
        """Find files below `path`, as a stream: memory is bounded by the largest folder.

        Args:
            pattern: matched against basenames (`*`, `?`, `[…]`, `[!…]`, case-sensitive, dotfiles match); with
                a slash in it, against the path below `path`, `**` being any number of components.
            path: where to begin. A file is itself a candidate.
            detail: give `FileInfo`s instead of paths.
            type: `"f"` regular files, `"d"` directories, `"l"` symbolic links.
            max_depth: 1 means the direct children, None all the way down.
            follow_symlinks: as `find -L`.
            on_error: `"warn"` leaves out what can't be read and issues one `PartialResultWarning` at the end;
                `"raise"` raises at the first.
            progress: called with the number of entries seen so far, and None.

        Returns:
            A `Stream` of paths, spelled from `path`, in the order of their bytes. One round trip, then it
            flows.

        Raises:
            ValueError: a pattern that is empty, absolute, ends in a slash or contains `..`; `max_depth`
                below 1.
            OSError: `path` is missing or can't be read; raised here or by the first step of the stream.
        """
        if max_depth is not None and (isinstance(max_depth, bool) or not isinstance(max_depth, int)):
            raise TypeError(f"max_depth must be an int or None, not {max_depth!r}")
        if max_depth is not None and max_depth < 1:
            raise ValueError(f"max_depth must be 1 (the direct children) or more, not {max_depth}")
        found = self._call(
            "clustrix_find",
            pattern=checked_pattern(pattern),
            path=checked_path(path),
            detail=bool(detail),
            type=checked_choice("type", type, ("f", "d", "l")),
            max_depth=max_depth,
            follow_symlinks=bool(follow_symlinks),
            on_error=checked_choice("on_error", on_error, ("warn", "raise")),
            progress=checked_progress(progress),
        )
        if not isinstance(found, Stream):
            raise BackendIncompatibleError(
                f"clustrix_find of the backend {self.config.cluster_type!r} returned a "
                f"{builtins.type(found).__name__}, or an extension around it did; "
                "it must be a clustrix_core.Stream"
            )
        shared = pool.acquire(self.config)  # it may outlive this object
        found.on_end(lambda end: pool.forget(shared))
        return found

    @overload
    def stat(  # type: ignore[overload-overlap] # a str is an iterable of str, too
        self, path: Path, *, follow_symlinks: bool = True
    ) -> FileInfo: ...
    @overload
    def stat(
        self, path: Iterable[Path], *, follow_symlinks: bool = True, on_error: Literal["raise"] = "raise"
    ) -> list[FileInfo]: ...
    @overload
    def stat(
        self, path: Iterable[Path], *, follow_symlinks: bool = True, on_error: Literal["return"]
    ) -> list[FileInfo | OSError]: ...
    def stat(
        self, path: Path | Iterable[Path], *, follow_symlinks: bool = True, on_error: OnStatError = "raise"
    ) -> FileInfo | list[FileInfo] | list[FileInfo | OSError]:
        """Tell the status of one file or of many, in one round trip.

        Args:
            path: a path, or several.
            follow_symlinks: tell of what a link points to, rather than of the link.
            on_error: with several paths, `"raise"` the first failure or `"return"` each in its place.

        Returns:
            A `FileInfo`, or a list with one item for each path.

        Raises:
            OSError: as `os.stat`.
        """
        single = isinstance(path, (str, bytes, os.PathLike))
        if single:
            paths = [checked_path(path)]
        elif isinstance(path, Iterable) and not isinstance(path, ClusterConfig):
            paths = [checked_path(one) for one in path]
        else:
            raise TypeError(_wrong_path(path))
        results = self._call(
            "clustrix_stat",
            paths=paths,
            follow_symlinks=bool(follow_symlinks),
            on_error=checked_choice("on_error", on_error, ("raise", "return")),
        )
        if not single:
            return results  # type: ignore[no-any-return]
        found = results[0]
        if isinstance(found, OSError):
            raise found
        return found  # type: ignore[no-any-return]

    def exists(self, path: Path) -> bool:
        """Tell whether there is such a file; links are followed. One round trip.

        Raises:
            OSError: it can't be told, for any reason but ENOENT, ENOTDIR and ELOOP.
        """
        return cast("bool", self._call("clustrix_exists", path=checked_path(path)))

    def isdir(self, path: Path) -> bool:
        """Tell whether it is a directory; links are followed. Errors and round trips: as `exists`."""
        return cast("bool", self._call("clustrix_isdir", path=checked_path(path)))

    def isfile(self, path: Path) -> bool:
        """Tell whether it is a regular file; links are followed. Errors and round trips: as `exists`."""
        return cast("bool", self._call("clustrix_isfile", path=checked_path(path)))

    def glob(
        self, pattern: str, path: Path = ".", *, on_error: OnError = "warn", progress: Progress | None = None
    ) -> list[str]:
        """Expand a shell pattern: `*`, `?`, `[…]`, `**`, and braces. One round trip.

        Args:
            pattern: as `glob.glob(pattern, root_dir=path, recursive=True)` of Python 3.11 takes it, save that
                `**` does not pass through links; and with bash's braces. Absolute ones, and those that begin
                with `~/`, ignore `path`.
            path: the directory where a relative pattern begins.
            on_error: as for `iterfind`.
            progress: as for `iterfind`.

        Returns:
            The matches, joined to `path`, in the order of their bytes. No match is an empty list.

        Raises:
            ValueError: the pattern is empty, or its braces stand for more than 10,000 patterns.
            OSError: `path` is missing, or no directory.
        """
        return cast(
            "list[str]",
            self._call(
                "clustrix_glob",
                pattern=checked_pattern(pattern),
                path=checked_path(path),
                on_error=checked_choice("on_error", on_error, ("warn", "raise")),
                progress=checked_progress(progress),
            ),
        )

    def du(
        self, path: Path = ".", *, on_error: OnError = "warn", progress: Progress | None = None
    ) -> DiskUsage:
        """Add up the regular files at and below `path`. One round trip.

        Args:
            path: where to begin; of a file, the sum is its size.
            on_error: as for `iterfind`.
            progress: as for `iterfind`.

        Returns:
            Their apparent bytes, hard links counted once, and the number of their names.

        Raises:
            OSError: `path` is missing or can't be read.
        """
        return cast(
            "DiskUsage",
            self._call(
                "clustrix_du",
                path=checked_path(path),
                on_error=checked_choice("on_error", on_error, ("warn", "raise")),
                progress=checked_progress(progress),
            ),
        )

    def count_files(
        self,
        path: Path = ".",
        pattern: str = "*",
        *,
        on_error: OnError = "warn",
        progress: Progress | None = None,
    ) -> int:
        """Count what `find(pattern, path)` would return, in one round trip; else as `iterfind`."""
        return cast(
            "int",
            self._call(
                "clustrix_count_files",
                path=checked_path(path),
                pattern=checked_pattern(pattern),
                on_error=checked_choice("on_error", on_error, ("warn", "raise")),
                progress=checked_progress(progress),
            ),
        )

    def readlink(self, path: Path) -> str:
        """Tell where a symbolic link points. One round trip.

        Raises:
            OSError: EINVAL where it is no link.
            UnsupportedOperationError: the backend can't.
        """
        return cast("str", self._call("clustrix_readlink", path=checked_path(path)))

    def open(
        self,
        path: Path,
        mode: str = "r",
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """Open a file of the place, as the builtin `open` does here.

        A file opened with `w` or `x` appears under its name, whole, when it is closed; an exception inside
        `with` leaves what was there before.

        Args:
            path: the file.
            mode: `r`, `w`, `x`, `a` or `r+`, with `b` for bytes.
            encoding: of text, UTF-8 unless given.
            errors: what to do about bytes that can't be decoded, as for the builtin.
            newline: how line ends are translated, as for the builtin.

        Raises:
            ValueError: the mode is none of these.
            OSError: as the builtin.
            UnsupportedOperationError: the backend can't.
        """
        raw_mode = _RAW_MODES.get("".join(sorted(checked_mode(mode))))
        if raw_mode is None:
            raise ValueError(f"mode must be one of r, w, x, a, r+, with b for bytes; not {mode!r}")
        from clustrix_core.files import open_binary, open_text  # not needed by those who open none

        raw: io.RawIOBase = self._call("clustrix_open", path=checked_path(path), mode=raw_mode)
        if "b" in mode:
            if encoding is not None or errors is not None or newline is not None:
                raw.close()
                raise ValueError("a binary file takes no encoding, errors or newline")
            return open_binary(raw, mode, owner=self)
        return open_text(raw, mode, encoding or "utf-8", errors, newline, owner=self)

    def get(self, path: Path, target: Path, *, progress: Progress | None = None) -> int:
        """Copy a file of the place to this machine, verified.

        Args:
            path: the file there.
            target: the file to make here, which appears when it is whole; a directory stands for a file of
                the same name in it.
            progress: called with the bytes done and the bytes in all.

        Returns:
            The bytes copied.

        Raises:
            OSError: of either side; EIO where the file changed meanwhile or the copy proves different.
            UnsupportedOperationError: the backend can't.
        """
        return cast(
            "int",
            self._call(
                "clustrix_get",
                path=checked_path(path),
                target=_path_here(target),
                progress=checked_progress(progress),
            ),
        )

    def put(self, source: Path, path: Path, *, progress: Progress | None = None) -> int:
        """Copy a file of this machine to the place, verified: the mirror image of `get`."""
        return cast(
            "int",
            self._call(
                "clustrix_put",
                source=_path_here(source),
                path=checked_path(path),
                progress=checked_progress(progress),
            ),
        )


def checked_config(config: object) -> ClusterConfig:
    """The config that is meant."""
    if config is None:
        if "CLUSTRIX_HERE" in os.environ:
            from clustrix_core.jobs.here import active_config

            if (active := active_config()) is not None:
                return active
        from clustrix_core.profiles import get_config  # not needed by those who pass a config

        return get_config()
    if not isinstance(config, ClusterConfig):
        raise TypeError(f"config must be a ClusterConfig or None, not {type(config).__name__}")
    return config


def checked_path(path: object) -> str:
    """A path as text; an empty one is the current directory."""
    if type(path) is not str:
        path = _text(path)
    if "\0" in path:
        raise ValueError(f"a path can't contain a NUL byte: {path!r}")
    if not path.isascii():
        _refuse_unencodable(path)
    return path or "."


def checked_mode(mode: object) -> str:
    if not isinstance(mode, str):
        raise TypeError(f"mode must be a str, not {type(mode).__name__}")
    return mode


def checked_pattern(pattern: object) -> str:
    if isinstance(pattern, ClusterConfig):
        raise TypeError("the pattern must be a str, not a ClusterConfig; pass it as config=...")
    if not isinstance(pattern, str):
        raise TypeError(f"the pattern must be a str, not {type(pattern).__name__}")
    if not pattern:
        raise ValueError("the pattern is empty; '*' matches every name")
    if "\0" in pattern:
        raise ValueError(f"a pattern can't contain a NUL byte: {pattern!r}")
    _refuse_unencodable(pattern)
    return pattern


def checked_choice(name: str, value: Choice, allowed: Sequence[str]) -> Choice:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; not {value!r}")
    return value


def checked_progress(progress: Progress | None) -> Progress | None:
    if progress is not None and not callable(progress):
        raise TypeError(
            f"progress must be a function that takes what is done and the total, or None; not {progress!r}"
        )
    return progress


def _path_here(path: object) -> str:
    """A path on this machine, absolute; a slash at its end, which says that it is a directory, stays."""
    text = checked_path(path)
    if text == "~" or text.startswith("~/"):
        text = os.path.expanduser("~") + text[1:]
    return text if text.startswith("/") else f"{decode(os.getcwdb())}/{text}"


def _text(path: object) -> str:
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(_wrong_path(path))
    return text


def _wrong_path(path: object) -> str:
    if isinstance(path, bytes):
        return f"a path must be str, not bytes; os.fsdecode makes one: {path!r}"
    if isinstance(path, ClusterConfig):
        return "a path must be str or os.PathLike, not a ClusterConfig; pass it as config=..."
    return f"a path must be str or os.PathLike, not {type(path).__name__}"


def _refuse_unencodable(text: str) -> None:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError(f"no file can have this name, which holds a lone surrogate: {text!r}") from None
