"""What iterations do to files: each file comes to its place when the turn of its iteration comes, or never.

A copy writes beside the place. What else would change something outside of the copy isn't done in it: then it
is for the original to go on, as it is where a file was there before, or more than one iteration uses it.
"""

from __future__ import annotations

import builtins
import fcntl
import io
import itertools
import os
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NoReturn

from clustrix_core.loops.source import is_library

WRITTEN, READ = -5, -6
"""The sites of files in a log."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = frozenset({
    "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "os.utime", "os.chdir", "os.fchdir", "os.putenv", "os.unsetenv", "os.system", "os.exec", "os.fork", "os.forkpty",
    "os.posix_spawn", "os.spawn", "os.kill", "os.killpg", "subprocess.Popen", "os.setxattr", "os.removexattr", "os.lockf",
})  # fmt: skip
_LOOKING = frozenset({"os.listdir", "os.scandir"})


def _written() -> Iterator[str]:
    """The files that this process has open for writing: what is printed and logged, say."""
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if fcntl.fcntl(int(number), fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
                path = os.readlink(f"/proc/self/fd/{number}")
                if os.path.isfile(path):
                    yield path


class Trouble(BaseException):
    """It is for the original to go on."""


class Staged:
    """The files of one run of a loop.

    Args:
        writes: whether iterations may write some.
    """

    def __init__(self, writes: bool) -> None:
        self._writes = writes
        self._record = tempfile.TemporaryFile(buffering=0) if writes else None  # noqa: SIM115 (end closes it)
        self._created: set[str] = set()
        self._open: list[weakref.ref[Any]] = []
        self._mine = False  # whether what is opened is beside its place

    # in a copy

    def begin(self, log: Callable[[int, Any], None], refuse: Callable[[str], None]) -> None:
        """From now on, files are written beside their places, and nothing else is changed.

        Args:
            log: takes what is to be done with them.
            refuse: is told what isn't done.
        """

        written = set(_written())

        def leave(why: str) -> NoReturn:
            refuse(why)
            raise Trouble

        def hook(event: str, args: Any) -> None:
            if event == "open":
                path, _, flags = args
                if isinstance(path, (str, bytes)) and not self._mine and os.fsdecode(path) != os.devnull:
                    if flags & _WRITING:
                        leave("it writes to a file")
                    if written and os.path.realpath(os.fsdecode(path)) in written:
                        leave("it reads a file that is being written")
                    if self._writes:
                        log(READ, os.path.realpath(os.fsdecode(path)))
            elif event == "pickle.find_class" and not is_library(args[0]):
                leave(f"a file holds a {args[1]}")
            elif event in _CHANGING or (self._writes and event in _LOOKING):
                leave(f"it calls {event}")

        sys.addaudithook(hook)
        self._open_beside(log, leave)

    def _open_beside(self, log: Callable[[int, Any], None], leave: Callable[[str], NoReturn]) -> None:
        original: Any = io.open
        numbers = itertools.count()
        record = self._record.fileno() if self._record is not None else -1

        def opening(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            if isinstance(file, int):  # where it stands is for all processes the same
                leave("a file is opened by its number")
            if (
                not self._writes
                or not set(mode) & set("wx")
                or not isinstance(file, (str, bytes, os.PathLike))
                or "opener" in options
            ):
                return original(file, mode, *args, **options)
            folder, name = os.path.split(os.path.join(os.getcwd(), os.fsdecode(file)))
            if name in ("", os.curdir, os.pardir) or not os.path.isdir(folder):
                leave("a file can't be written")
            path = os.path.join(os.path.realpath(folder), name)
            beside = os.path.join(folder, f".{name}.{os.getpid()}-{next(numbers)}")

            def opened_beside(_: Any, flags: int) -> int:
                os.write(record, os.fsencode(beside) + b"\0")
                return os.open(beside, flags, 0o666)

            self._mine = True
            try:
                opened = original(file, mode, *args, **options, opener=opened_beside)
            except Exception:  # the original's has another text, and may leave an empty file behind
                leave("a file can't be written")
            finally:
                self._mine = False
            log(WRITTEN, (path, beside))
            self._open.append(weakref.ref(opened))
            return opened

        builtins.open = io.open = opening

    def left_open(self) -> bool:
        """Whether iterations have left a file open."""
        files = [file() for file in self._open]
        self._open.clear()
        return any(file is not None and not file.closed for file in files)

    # in the original

    def collide(self, log: list[tuple[int, Any]]) -> bool:
        """Whether a file that was written isn't for one iteration alone."""
        created = set(self._created)
        for site, value in log:
            if site == READ and value in created:
                return True
            if site == WRITTEN:
                if value[0] in created or os.path.lexists(value[0]):
                    return True
                created.add(value[0])
        return False

    def publish(self, path: str, beside: str) -> None:
        """A file comes to its place."""
        self._created.add(path)
        os.rename(beside, path)

    def end(self) -> None:
        """Take away those whose turn hasn't come."""
        if self._record is None:
            return
        self._record.seek(0)
        for beside in self._record.read().split(b"\0")[:-1]:
            with suppress(OSError):  # perhaps it never was there
                os.unlink(beside)
        self._record.close()
