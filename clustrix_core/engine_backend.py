"""`EngineBackend`: every hook, by calling an engine in this process."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import clustrix_core
from clustrix_core.engine import Engine, unpack
from clustrix_core.hookspecs import EntryType, OnError, OnStatError, Progress, hookimpl
from clustrix_core.partial import Failures
from clustrix_core.stream import Stream

if TYPE_CHECKING:
    from clustrix_core import DiskUsage, FileInfo
    from clustrix_core.jobs.models import Outcome

T = TypeVar("T")

# `clustrix_core.FileInfo` and `DiskUsage` are looked up when there is one to make: their module is among the
# dearest to import, and many processes make none.


class EngineBackend:
    """All hooks for a place whose files this process reaches by itself.

    A backend derives from it, and adds `api_version`, `config_model` and a constructor.

    Args:
        engine: reaches the files.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def scratch(self, path: str, tree: list[tuple[str, str, str]]) -> Iterator[list[tuple[str, str]]]:
        """A folder with a known tree, which goes when this ends."""
        try:
            yield self._engine.plant(path, tree)
        finally:
            self._engine.uproot(path)

    @hookimpl
    def clustrix_ls(self, path: str, detail: bool) -> list[str] | list[FileInfo]:
        if detail:
            return _file_infos(self._engine.ls_detail(path))
        return unpack(self._engine.ls(path))

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
        failures = Failures(on_error)
        find = self._engine.find_detail if detail else self._engine.find
        found = find(pattern, path, type, max_depth, follow_symlinks, failures, _ticker(progress))
        if detail:
            return Stream(_batches(found, _file_infos, failures))
        return Stream(_batches(found, unpack, failures))

    @hookimpl
    def clustrix_stat(
        self, paths: list[str], follow_symlinks: bool, on_error: OnStatError
    ) -> list[FileInfo | OSError]:
        results: list[FileInfo | OSError] = []
        for path in paths:
            try:
                record = self._engine.stat(path, follow_symlinks)
                results.append(clustrix_core.FileInfo.from_record(record))
            except OSError as error:
                if on_error == "raise":
                    raise
                results.append(error)
        return results

    @hookimpl
    def clustrix_exists(self, path: str) -> bool:
        return self._engine.exists(path)

    @hookimpl
    def clustrix_isdir(self, path: str) -> bool:
        return self._engine.isdir(path)

    @hookimpl
    def clustrix_isfile(self, path: str) -> bool:
        return self._engine.isfile(path)

    @hookimpl
    def clustrix_glob(
        self, pattern: str, path: str, on_error: OnError, progress: Progress | None
    ) -> list[str]:
        failures = Failures(on_error)
        found = unpack(self._engine.glob(pattern, path, failures, _ticker(progress)))
        failures.warn()
        return found

    @hookimpl
    def clustrix_du(self, path: str, on_error: OnError, progress: Progress | None) -> DiskUsage:
        failures = Failures(on_error)
        total_bytes, file_count = self._engine.du(path, failures, _ticker(progress))
        failures.warn()
        return clustrix_core.DiskUsage(total_bytes, file_count)

    @hookimpl
    def clustrix_count_files(
        self, path: str, pattern: str, on_error: OnError, progress: Progress | None
    ) -> int:
        failures = Failures(on_error)
        count = self._engine.count_files(path, pattern, failures, _ticker(progress))
        failures.warn()
        return count

    @hookimpl
    def clustrix_readlink(self, path: str) -> str:
        return self._engine.readlink(path)

    @hookimpl
    def clustrix_open(self, path: str, mode: str) -> io.RawIOBase:
        return self._engine.open(path, mode)

    @hookimpl
    def clustrix_get(self, path: str, target: str, progress: Progress | None) -> int:
        return self._engine.copy(path, target, progress or _no_progress)

    @hookimpl
    def clustrix_put(self, source: str, path: str, progress: Progress | None) -> int:
        return self._engine.copy(source, path, progress or _no_progress)

    @hookimpl
    def clustrix_job_outcomes(self, known: dict[str, list[tuple[int, int]]], seconds: float) -> list[Outcome]:
        from clustrix_core.jobs.models import Outcome

        return [Outcome(*found) for found in self._engine.outcomes(known, seconds)]


def _batches(found: Iterable[Any], read: Callable[[Any], list[T]], failures: Failures) -> Iterator[list[T]]:
    for batch in found:
        yield read(batch)
    failures.warn()


def _file_infos(records: list[Any]) -> list[FileInfo]:
    make = clustrix_core.FileInfo.from_record
    return [make(record) for record in records]


def _no_progress(done: int, total: int | None) -> None:
    pass


def _ticker(progress: Progress | None) -> Callable[[int], object]:
    report = progress or _no_progress
    return lambda entries: report(entries, None)
