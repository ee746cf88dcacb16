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

    A record never holds contents of files or secrets. Its message is for people; the same facts are attributes of
    the record: `operation`, `backend`, `host` (None for this machine), `path` (None where there are several),
    `paths` (how many), `pattern` (None where there is none), `milliseconds`, `outcome` (`"ok"`, or the
    name of the exception's class) and `count` (the items of a stream, else None). In names, control
    characters are escaped. A stream's record is written when the stream ends.

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
        self._backend = config.cluster_type
        self._host = config.cluster_host

    def _traced(
        self, operation: str, *, path: str | None = None, paths: int = 1, pattern: str | None = None
    ) -> _Wrapper:
        if not _logger.isEnabledFor(logging.INFO):
            return (yield)
        ...
