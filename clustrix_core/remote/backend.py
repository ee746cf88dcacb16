"""`RemoteBackend`: every hook, for a backend that can start a command where the files are."""

from __future__ import annotations

import io
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, TypeVar, cast

from clustrix_core.config import ClusterConfig
from clustrix_core.engine import (
    Engine,
    Replacement,
    blocks,
    check_unchanged,
    commit_verified,
    write_all,
)
from clustrix_core.errors import ConfigError, ConnectionFailedError, printable
from clustrix_core.hookspecs import EntryType, OnError, OnStatError, Progress, hookimpl
from clustrix_core.models import DiskUsage, FileInfo
from clustrix_core.partial import Failures
from clustrix_core.remote import client
from clustrix_core.remote.channel import Channel
from clustrix_core.remote.files import RemoteFile
from clustrix_core.stream import Stream

T = TypeVar("T")


class RemoteBackend(ABC):
    """All hooks over a channel. A subclass supplies `open_channel`, `api_version` and `config_model`.

    The agent is started at the first call. A connection that was lost is opened anew once, for calls that
    can be repeated.

    Args:
        config: relative paths start at its `remote_work_dir`, else at the home folder.
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self._client: client.Client | None = None
        self._starting = threading.RLock()

    @abstractmethod
    def open_channel(self, command: str) -> Channel:
        """Start a command line, for a POSIX login shell, in the place."""

    def place_name(self) -> str:
        """What error messages call the place."""
        return self.config.cluster_host or self.config.cluster_type

    def close(self) -> None:
        """End the agent."""
        if self._client is not None:
            self._client.close()

    def abandon(self) -> None:
        """In a forked child: let go of the channel without sending a byte."""
        if self._client is not None:
            self._client.abandon()

    def _connected(self) -> client.Client:
        with self._starting:
            if self._client is None or not self._client.alive:
                self._client = self._started()
            return self._client

    def _started(self) -> client.Client:
        work_dir = self.config.remote_work_dir
        started = client.start(
            self.open_channel, self.place_name(), work_dir, None, op_timeout=self.config.op_timeout
        )
        if started.hello["error"] is not None:
            started.close()
            raise ConfigError(
                f"remote_work_dir {printable(work_dir or '~')!r} on {self.place_name()}: "
                f"{started.hello['error']}; make it there, or correct the config"
            )
        return started

    def _ask(self, operation: str, ask: Callable[[client.Call], T], **arguments: Any) -> T:
        """Call an operation that may be repeated, and do so once if the connection was lost meanwhile."""
        known = self._client
        try:
            return ask(self._connected().call(operation, **arguments))
        except ConnectionFailedError:
            if known is None or known.alive:  # it was fresh, or it isn't the line that failed
                raise
        return ask(self._connected().call(operation, **arguments))

    def _value(self, operation: str, progress: Progress | None = None, **arguments: Any) -> Any:
        return self._ask(operation, lambda call: call.wait(progress), **arguments)

    def _partial(
        self,
        operation: str,
        on_error: OnError,
        progress: Progress | None,
        ask: Callable[[client.Call], T],
        **arguments: Any,
    ) -> T:
        """The same for a recursion, whose failures are warned of."""
        failures = Failures(on_error)

        def ask_all(call: client.Call) -> T:
            result = ask(call)
            for failure in call.failures:
                failures(failure)
            return result

        result = self._ask(operation, ask_all, on_error=on_error, progress=progress is not None, **arguments)
        failures.warn()
        return result

    @hookimpl
    def clustrix_ls(self, path: str, detail: bool) -> list[str] | list[FileInfo]:
        return cast("list[str]", self._ask("ls", _items, path=path, detail=detail))

    @hookimpl
    def clustrix_find(
        self,
        pattern: str,
        path: str,
        detail: bool,
        type: EntryType,
        max_depth: int | None,
        follow_symlinks: bool,
        on_error: OnError,
        progress: Progress | None,
    ) -> Stream[str] | Stream[FileInfo]:
        arguments = {
            "pattern": pattern,
            "path": path,
            "detail": detail,
            "type": type,
            "max_depth": max_depth,
            "follow_symlinks": follow_symlinks,
            "on_error": on_error,
            "progress": progress is not None,
        }

        def begin(call: client.Call) -> tuple[client.Call, Iterator[list[Any]]]:
            parts = call.parts(progress)
            first = next(parts, None)  # until it is there, the call can be repeated
            return call, parts if first is None else chain([first], parts)

        call, parts = self._ask("find", begin, **arguments)
        return Stream(_Found(call, parts, Failures(on_error)))

    @hookimpl
    def clustrix_stat(
        self, paths: list[str], follow_symlinks: bool, on_error: OnStatError
    ) -> list[FileInfo | OSError]:
        def read(call: client.Call) -> list[FileInfo | OSError]:
            found: list[FileInfo | OSError] = _items(call)
            for place, told in call.result:
                found.insert(place, call.os_error(told))
            return found

        return self._ask(
            "stat", read, paths=paths, follow_symlinks=follow_symlinks, first_failure=on_error == "raise"
        )

    @hookimpl
    def clustrix_exists(self, path: str) -> bool:
        return bool(self._value("exists", path=path))

    @hookimpl
    def clustrix_isdir(self, path: str) -> bool:
        return bool(self._value("isdir", path=path))

    @hookimpl
    def clustrix_isfile(self, path: str) -> bool:
        return bool(self._value("isfile", path=path))

    @hookimpl
    def clustrix_glob(
        self, pattern: str, path: str, on_error: OnError, progress: Progress | None
    ) -> list[str]:
        return self._partial(
            "glob", on_error, progress, lambda call: _items(call, progress), pattern=pattern, path=path
        )

    @hookimpl
    def clustrix_du(self, path: str, on_error: OnError, progress: Progress | None) -> DiskUsage:
        found = self._partial("du", on_error, progress, lambda call: call.wait(progress), path=path)
        return DiskUsage(*found)

    @hookimpl
    def clustrix_count_files(
        self, path: str, pattern: str, on_error: OnError, progress: Progress | None
    ) -> int:
        return int(
            self._partial(
                "count_files",
                on_error,
                progress,
                lambda call: call.wait(progress),
                path=path,
                pattern=pattern,
            )
        )

    @hookimpl
    def clustrix_readlink(self, path: str) -> str:
        return str(self._value("readlink", path=path))

    @hookimpl
    def clustrix_open(self, path: str, mode: str) -> io.RawIOBase:
        return RemoteFile(self._connected(), path, mode)

    @hookimpl
    def clustrix_get(self, path: str, target: str, progress: Progress | None) -> int:
        from hashlib import sha256

        here = Engine()
        call = self._connected().call("get", path=path, progress=progress is not None)
        arrived, done = sha256(), 0
        target = here.inside(target, os.path.basename(path.rstrip("/")))
        parts = call.parts(progress)
        try:
            first = next(parts, b"")  # a file that can't be read leaves no trace here
            with here.open(target, "wb", 0o600) as file:
                for block in chain([first], parts):
                    arrived.update(block)
                    write_all(file, block)
                    done += len(block)
                sent, permissions = call.result
                if arrived.hexdigest() != sent:
                    raise OSError(5, "the copy differs from the original", target)
                if isinstance(file, Replacement):
                    file.permit(permissions)
                commit_verified(file, sent)
        finally:
            call.cancel()
        return done

    @hookimpl
    def clustrix_put(self, source: str, path: str, progress: Progress | None) -> int:
        from hashlib import sha256

        with Engine().open(source, "rb") as file:
            before = os.fstat(file.fileno())
            name = os.path.basename(source.rstrip("/"))
            call = self._connected().call("put", path=path, name=name, permissions=before.st_mode & 0o777)
            sent, done = sha256(), 0
            try:
                for block in blocks(file):
                    sent.update(block)
                    call.feed(block)
                    done += len(block)
                    if progress is not None:
                        progress(done, max(done, before.st_size))
                    if 0 < before.st_size < done:
                        break
                check_unchanged(file, before)
                call.feed(b"")
                call.feed(sent.hexdigest().encode())
                call.wait()
            finally:
                call.cancel()
        return done


def _items(call: client.Call, progress: Progress | None = None) -> list[Any]:
    return list(chain.from_iterable(call.parts(progress)))


class _Found:
    """The batches of a stream; closing it, also before its start, ends the walk there."""

    def __init__(self, call: client.Call, parts: Iterator[list[Any]], failures: Failures) -> None:
        self._call, self._parts, self._failures = call, parts, failures

    def __iter__(self) -> Iterator[list[Any]]:
        yield from self._parts
        for failure in self._call.failures:
            self._failures(failure)
        self._failures.warn()

    def close(self) -> None:
        self._call.cancel()
