"""`cluster`: the decorator that makes a function run where the data is."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from clustrix_core.config import ClusterConfig
from clustrix_core.filesystem import checked_config
from clustrix_core.jobs.here import is_here
from clustrix_core.jobs.models import Call, Resources

if TYPE_CHECKING:
    from clustrix_core.jobs.dependencies import Dependencies
    from clustrix_core.jobs.job import Job, JobArray, Submission

P = ParamSpec("P")
R = TypeVar("R")


class ClusterFunction(Generic[P, R]):
    """A function that runs as a job when it is called; `cluster` makes it.

    It runs in the place of the decorator's `config`, else of the first `ClusterConfig` among the call's
    arguments, else of the active config. In a job on that place it is called as it is.

    Args:
        function: the function.
        config: the place.
        resources: what each job asks for.
    """

    def __init__(self, function: Callable[P, R], config: ClusterConfig | None, resources: Resources) -> None:
        functools.update_wrapper(self, function)
        self.local = function
        self._config, self._resources = config, resources

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it as a job and wait for the result. Ctrl-C cancels the job."""
        config = self._place(args, kwargs)
        if is_here(config):
            return self.local(*args, **kwargs)
        if config.cluster_type == "local":
            from clustrix_core.jobs import attended

            return cast("R", attended.call(self, config, self._resources, args, kwargs))
        job = self._submit(config, [(args, kwargs)], None).jobs[0]
        try:
            result: R = job.result()
        except KeyboardInterrupt:
            job.cancel()
            raise
        return result

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Run it as a job, and don't wait.

        Raises:
            JobError: it can't be submitted.
            ConnectionFailedError: the place can't be reached.
        """
        return self._submit(self._place(args, kwargs), [(args, kwargs)], None).jobs[0]

    def map(self, *arguments: Iterable[Any]) -> JobArray:
        """Call it for each item (or for each tuple of items, as the builtin `map`), as one array of jobs."""
        calls: list[Call] = [(items, {}) for items in zip(*arguments)]  # noqa: B905 (as the builtin)
        if not calls:
            raise ValueError("there is nothing to call the function for")
        config = self._place(*calls[0])
        if config.cluster_type == "local":
            from clustrix_core.jobs.attended import AttendedArray

            return AttendedArray(self, config, self._resources, calls)
        from clustrix_core.jobs.job import JobArray

        return JobArray(self._submit(config, calls, len(calls)))

    def dependencies(self) -> Dependencies:
        """What would travel with the function, and what it needs there."""
        from clustrix_core.jobs.dependencies import analyse

        return analyse(self)

    def _place(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ClusterConfig:
        given = (value for value in (*args, *kwargs.values()) if isinstance(value, ClusterConfig))
        return checked_config(self._config or next(given, None))

    def _submit(self, config: ClusterConfig, calls: list[Call], tasks: int | None) -> Submission:
        from clustrix_core.jobs.submitting import submit  # a job, which imports this module, submits nothing

        return submit(self, config, self._resources, calls, tasks)

    def __reduce__(self) -> Any:
        module, name = self.local.__module__, getattr(self.local, "__qualname__", "")
        found: Any = sys.modules.get(module) if module != "__main__" else None
        for part in name.split("."):
            found = getattr(found, part, None)
        return name if found is self else (type(self), (self.local, self._config, self._resources))


@overload
def cluster(function: Callable[P, R], /) -> ClusterFunction[P, R]: ...
@overload
def cluster(
    *, config: ClusterConfig | None = None, **resources: Any
) -> Callable[[Callable[P, R]], ClusterFunction[P, R]]: ...
def cluster(function: Any = None, /, *, config: ClusterConfig | None = None, **resources: Any) -> Any:
    """Make a function run as a job where the data is.

    Args:
        config: the place; without one it is the first `ClusterConfig` among a call's arguments, else that of
            the active config.
        resources: what each job asks for: `cores`, `memory`, `time`, `partition`, `account`, `qos`, `gpus`,
            `gres`, `constraint`, `nodes`, `mail_user`, `requeue`, and the scheduler's own `options`, a dict.

    Returns:
        A `ClusterFunction`: calling it runs a job and waits for the result; see `submit`, `map` and `local`.

    Raises:
        TypeError: there is no such resource.
    """
    known = [field.name for field in fields(Resources)]
    for name in resources:
        if name not in known:
            raise TypeError(f"cluster() takes no {name!r}; a job can ask for {', '.join(known)}")
    asked = Resources(**{name: _text(name, value) for name, value in resources.items()})

    def decorate(function: Callable[P, R]) -> ClusterFunction[P, R]:
        return ClusterFunction(function, config, asked)

    return decorate if function is None else decorate(function)


def _text(name: str, value: Any) -> Any:
    """Numbers are fine where the scheduler wants text."""
    return str(value) if name in ("memory", "time", "gpus") and isinstance(value, int) else value
