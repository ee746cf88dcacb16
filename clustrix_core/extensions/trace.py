"""`Trace`: a log record for every operation.

Choose it with `extensions=("trace",)` in the config, and let the logger `clustrix.trace` speak:

    logging.basicConfig()
    logging.getLogger("clustrix.trace").setLevel(logging.INFO)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from typing import Any

from clustrix_core.config import ClusterConfig
from clustrix_core.errors import printable
from clustrix_core.hookspecs import hookimpl
from clustrix_core.stream import Stream

_logger = logging.getLogger("clustrix.trace")
_logger.addHandler(logging.NullHandler())

_Wrapper = Generator[None, Any, Any]


def _of_path(operation: str) -> Callable[..., _Wrapper]:
    @hookimpl(wrapper=True)
    def wrapper(self: Trace, path: str) -> _Wrapper:
        return (yield from self._traced(operation, path=path))

    return wrapper


def _of_paths(operation: str) -> Callable[..., _Wrapper]:
    @hookimpl(wrapper=True)
    def wrapper(self: Trace, paths: list[str]) -> _Wrapper:
        if len(paths) == 1:
            return (yield from self._traced(operation, path=paths[0]))
        return (yield from self._traced(operation, paths=len(paths)))

    return wrapper


def _of_pattern(operation: str) -> Callable[..., _Wrapper]:
    @hookimpl(wrapper=True)
    def wrapper(self: Trace, pattern: str, path: str) -> _Wrapper:
        return (yield from self._traced(operation, path=path, pattern=pattern))

    return wrapper


class Trace:
    """Logs each operation at level INFO to `clustrix.trace`: what, where, how long and how it ended.

    A record never holds contents of files or secrets, and control characters in names are escaped. Its
    message is for people; the same facts are attributes of the record: `operation`, `backend`, `host` (None
    without one), `way` (how the place is reached, as the backend describes it), `path` (None where there are
    several), `paths` (how many), `pattern` (None without one), `milliseconds`, `outcome` (`"ok"`, or the
    name of the exception's class) and `count` (the items of a stream, else None). A stream's record is
    written when the stream ends.

    Args:
        config: the session's config.
    """

    clustrix_ls = _of_path("ls")
    clustrix_find = _of_pattern("find")
    clustrix_stat = _of_paths("stat")
    clustrix_exists = _of_path("exists")
    clustrix_isdir = _of_path("isdir")
    clustrix_isfile = _of_path("isfile")
    clustrix_glob = _of_pattern("glob")
    clustrix_du = _of_path("du")
    clustrix_count_files = _of_pattern("count_files")
    clustrix_readlink = _of_path("readlink")
    clustrix_open = _of_path("open")
    clustrix_get = _of_path("get")
    clustrix_put = _of_path("put")

    def __init__(self, config: ClusterConfig) -> None:
        self._backend = printable(config.cluster_type)
        self._host = None if config.cluster_host is None else printable(config.cluster_host)
        self._way: Callable[[], str] = str  # empty

    def attach(self, description: Callable[[], str]) -> None:
        """The session tells how the place is reached."""
        self._way = description

    def _traced(
        self, operation: str, *, path: str | None = None, paths: int = 1, pattern: str | None = None
    ) -> _Wrapper:
        if not _logger.isEnabledFor(logging.INFO):
            return (yield)
        started = time.perf_counter()

        def log(error: BaseException | None, count: int | None = None) -> None:
            facts: dict[str, Any] = {
                "operation": operation,
                "backend": self._backend,
                "host": self._host,
                "way": printable(self._way()),
                "path": None if path is None else printable(path),
                "paths": paths,
                "pattern": None if pattern is None else printable(pattern),
                "milliseconds": (time.perf_counter() - started) * 1000,
                "outcome": "ok" if error is None else type(error).__name__,
                "count": count,
            }
            _logger.info(_message(**facts), extra=facts)

        try:
            result = yield
        except BaseException as error:
            log(error)
            raise
        if isinstance(result, Stream):
            result.on_end(lambda end: log(end.error, end.count))
        else:
            log(None)
        return result


def _message(
    *,
    operation: str,
    backend: str,
    host: str | None,
    way: str,
    path: str | None,
    paths: int,
    pattern: str | None,
    milliseconds: float,
    outcome: str,
    count: int | None,
) -> str:
    place = backend if host is None else f"{backend} {host}"
    place += f" ({way})" if way else ""
    subject = f"{paths} paths" if path is None else path
    selection = "" if pattern is None else f"{pattern} in "
    items = "" if count is None else f", count {count}"
    return f"{place}: {operation} {selection}{subject}: {outcome}{items}, {milliseconds:.1f} ms"
