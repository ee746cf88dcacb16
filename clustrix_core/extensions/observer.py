"""`Observer`: what is common to extensions that watch every operation and change none."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clustrix_core.config import ClusterConfig
from clustrix_core.errors import printable
from clustrix_core.hookspecs import hookimpl
from clustrix_core.jobs.models import ENVIRONMENTS
from clustrix_core.stream import Stream

if TYPE_CHECKING:
    from clustrix_core.jobs.models import EnvironmentSpec, JobSpec

_Wrapper = Generator[None, Any, Any]


@dataclass(frozen=True, slots=True)
class Ending:
    """How an operation ended.

    Attributes:
        seconds: how long it took; of a stream, from the call to its end.
        error: what it raised, or None.
        count: the items that a stream gave; None for what is no stream.
    """

    seconds: float
    error: BaseException | None
    count: int | None

    @property
    def outcome(self) -> str:
        """`"ok"`, or the name of the exception's class."""
        return "ok" if self.error is None else type(self.error).__name__


class Observer:
    """Wraps every hook. A subclass says, before an operation begins, who is to be told how it ended.

    Args:
        config: the session's config.

    Attributes:
        backend: the config's `cluster_type`.
        host: its `cluster_host`, or None.
        way: tells how the place is reached, in the backend's words.
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.backend = printable(config.cluster_type)
        self.host = None if config.cluster_host is None else printable(config.cluster_host)
        self.way: Callable[[], str] = str  # empty

    def attach(self, description: Callable[[], str]) -> None:
        """The session tells how the place is reached."""
        self.way = description

    def begin(self, operation: str, facts: dict[str, Any]) -> Callable[[Ending], object] | None:
        """An operation is about to begin; what this raises is raised in its place.

        Args:
            operation: its name, such as `"ls"`.
            facts: those of its arguments that say what it is about: `path` or `paths`, `pattern`, `mode`,
                `source`, `target`, `job` or `jobs`.

        Returns:
            What to call once when it has ended, or None.
        """
        raise NotImplementedError

    def _observed(self, operation: str, **facts: Any) -> _Wrapper:
        tell = self.begin(operation, facts)
        if tell is None:
            return (yield)
        started = time.perf_counter()

        def end(error: BaseException | None, count: int | None = None) -> None:
            tell(Ending(time.perf_counter() - started, error, count))

        try:
            result = yield
        except BaseException as error:
            end(error)
            raise
        if isinstance(result, Stream):
            result.on_end(lambda ending: end(ending.error, ending.count))
        else:
            end(None)
        return result

    @hookimpl(wrapper=True)
    def clustrix_prepare(self, environment: EnvironmentSpec) -> _Wrapper:
        wanted = environment.python or environment.conda or "python3"
        return (yield from self._observed("prepare", path=wanted))

    @hookimpl(wrapper=True)
    def clustrix_environment_remove(self) -> _Wrapper:
        return (yield from self._observed("environment_remove", path=ENVIRONMENTS))

    @hookimpl(wrapper=True)
    def clustrix_submit(self, job: JobSpec) -> _Wrapper:
        return (yield from self._observed("submit", job=job.name))

    @hookimpl(wrapper=True)
    def clustrix_dry_run(self, job: JobSpec) -> _Wrapper:
        return (yield from self._observed("dry_run", job=job.name))

    @hookimpl(wrapper=True)
    def clustrix_job_states(self, jobs: list[str]) -> _Wrapper:
        return (yield from self._observed("job_states", jobs=jobs))

    @hookimpl(wrapper=True)
    def clustrix_job_outcomes(self, known: dict[str, list[tuple[int, int]]]) -> _Wrapper:
        return (yield from self._observed("job_outcomes", jobs=[*known]))

    @hookimpl(wrapper=True)
    def clustrix_cancel(self, jobs: list[str]) -> _Wrapper:
        return (yield from self._observed("cancel", jobs=jobs))

    @hookimpl(wrapper=True)
    def clustrix_job_remove(self, jobs: list[str]) -> _Wrapper:
        return (yield from self._observed("job_remove", jobs=jobs))

    @hookimpl(wrapper=True)
    def clustrix_ls(self, path: str) -> _Wrapper:
        return (yield from self._observed("ls", path=path))

    @hookimpl(wrapper=True)
    def clustrix_find(self, pattern: str, path: str) -> _Wrapper:
        return (yield from self._observed("find", path=path, pattern=pattern))

    @hookimpl(wrapper=True)
    def clustrix_stat(self, paths: list[str]) -> _Wrapper:
        return (yield from self._observed("stat", paths=paths))

    @hookimpl(wrapper=True)
    def clustrix_exists(self, path: str) -> _Wrapper:
        return (yield from self._observed("exists", path=path))

    @hookimpl(wrapper=True)
    def clustrix_isdir(self, path: str) -> _Wrapper:
        return (yield from self._observed("isdir", path=path))

    @hookimpl(wrapper=True)
    def clustrix_isfile(self, path: str) -> _Wrapper:
        return (yield from self._observed("isfile", path=path))

    @hookimpl(wrapper=True)
    def clustrix_glob(self, pattern: str, path: str) -> _Wrapper:
        return (yield from self._observed("glob", path=path, pattern=pattern))

    @hookimpl(wrapper=True)
    def clustrix_du(self, path: str) -> _Wrapper:
        return (yield from self._observed("du", path=path))

    @hookimpl(wrapper=True)
    def clustrix_count_files(self, path: str, pattern: str) -> _Wrapper:
        return (yield from self._observed("count_files", path=path, pattern=pattern))

    @hookimpl(wrapper=True)
    def clustrix_readlink(self, path: str) -> _Wrapper:
        return (yield from self._observed("readlink", path=path))

    @hookimpl(wrapper=True)
    def clustrix_open(self, path: str, mode: str) -> _Wrapper:
        return (yield from self._observed("open", path=path, mode=mode))

    @hookimpl(wrapper=True)
    def clustrix_get(self, path: str, target: str) -> _Wrapper:
        return (yield from self._observed("get", path=path, target=target))

    @hookimpl(wrapper=True)
    def clustrix_put(self, source: str, path: str) -> _Wrapper:
        return (yield from self._observed("put", path=path, source=source))
