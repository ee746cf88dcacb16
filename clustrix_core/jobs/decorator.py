"""`cluster`: the decorator that makes a function run where the data is."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from clustrix_core.config import ClusterConfig
from clustrix_core.filesystem import checked_config
from clustrix_core.jobs.here import is_here
from clustrix_core.jobs.models import Call, Resources

if TYPE_CHECKING:
    from clustrix_core.jobs.dependencies import Dependencies
    from clustrix_core.jobs.job import Job, JobArray, Submission
    from clustrix_core.loops import Explanation, Mode

P = ParamSpec("P")
R = TypeVar("R")


class ClusterFunction(Generic[P, R]):
    """A function that runs as a job when it is called; `cluster` makes it.

    It runs in the place of the decorator's `config`, else of the first `ClusterConfig` among the call's
    arguments, else of the active config. In a job on that place it is called as it is.

    Args:
        function: the function.
        options: how it runs.

    Attributes:
        local: the function itself.
        options: how it runs.
    """

    def __init__(self, function: Callable[P, R], options: Options) -> None:
        if not callable(function):
            raise TypeError(
                f"@cluster is for a function, not for a {type(function).__name__}: its options have names, "
                "as in @cluster(config=...), and @classmethod stands above it"
            )
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__qualname__} is async, and what runs as a job returns its result: put @cluster "
                "on a function that calls asyncio.run"
            )
        # The attributes of a class are its methods, which aren't this object's.
        functools.update_wrapper(self, function, updated=() if isinstance(function, type) else ("__dict__",))
        self.local, self.options = function, options

    @property
    def name(self) -> str:
        """What people call the function."""
        return getattr(self.local, "__qualname__", repr(self.local))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it as a job and wait for the result. Ctrl-C cancels the job.

        On this machine it runs in a worker process, which is kept for the next call.
        """
        config = self._place(args, kwargs)
        if is_here(config):
            return self.local(*args, **kwargs)
        if self._is_attended(config):
            from clustrix_core.jobs import attended

            return cast("R", attended.call(self, config, (args, kwargs)))
        from clustrix_core.jobs.waiting import result_of

        return cast("R", result_of(self._submit(config, [(args, kwargs)], None).jobs[0]))

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Run it as a job, and don't wait. It lasts, whatever becomes of this process.

        Raises:
            JobError: it can't be submitted.
            ConnectionFailedError: the place can't be reached.
        """
        return self._submit(self._place(args, kwargs), [(args, kwargs)], None).jobs[0]

    def map(self, *arguments: Iterable[Any]) -> JobArray:
        """Call it for each item (or for each tuple of items, as the builtin `map`), as one array of jobs.

        On this machine the calls go to worker processes, and end with this one.
        """
        calls: list[Call] = [(items, {}) for items in zip(*arguments)]  # noqa: B905 (as the builtin)
        if not calls:
            raise ValueError("there is nothing to call the function for")
        config = self._place(*calls[0])
        self._check_places(calls)
        if self._is_attended(config):
            from clustrix_core.jobs.attended import AttendedArray

            return AttendedArray(self, config, calls)
        from clustrix_core.jobs.job import JobArray

        return JobArray(self._submit(config, calls, len(calls)))

    def with_options(self, **changes: Any) -> ClusterFunction[P, R]:
        """The same function, run in another way: what `cluster` takes, such as `after=` or `cores=`."""
        return ClusterFunction(self.local, self.options.changed(changes))

    def explain(self) -> Explanation:
        """Which of its loops run in parallel in a job of several cores, and why the others don't."""
        from clustrix_core.loops import explain

        return explain(self.local, trust=self.options.parallel == "trust")

    def dependencies(self) -> Dependencies:
        """What would travel with the function, and what it needs there."""
        from clustrix_core.jobs.dependencies import analyse

        return analyse(self, files=self.options.files)

    def dry_run(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """What a call would do, for people: where it runs, what travels, and the script. Nothing is sent."""
        from clustrix_core.jobs.submitting import dry_run

        return dry_run(self, self._place(args, kwargs), (args, kwargs))

    def _is_attended(self, config: ClusterConfig) -> bool:
        asked = self.options.after or self.options.files or self.options.environment
        own = config.python_executable or config.conda_env_name or config.wants_environment
        # Extensions see jobs alone.
        elsewhere = asked or own or config.extensions or is_here(config)
        return config.cluster_type == "local" and not elsewhere

    def _place(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ClusterConfig:
        return checked_config(self.options.config or next(iter(_configs(args, kwargs)), None))

    def _check_places(self, calls: list[Call]) -> None:
        """An array is in one place."""
        if self.options.config is None:
            first, *others = (next(iter(_configs(*call)), None) for call in calls)
            if any(other != first for other in others):
                raise ValueError("the calls of one map are in one place, and these have different configs")

    def _submit(self, config: ClusterConfig, calls: list[Call], tasks: int | None) -> Submission:
        if is_here(config):
            from clustrix_core.jobs.inside import Inside

            return Inside(self, config, calls, tasks)
        from clustrix_core.jobs.submitting import submit  # a job, which imports this module, submits nothing

        return submit(self, config, calls, tasks)

    def __get__(self, instance: object, owner: type | None = None) -> ClusterFunction[..., R]:
        """As functions, those in a class are methods of its objects."""
        if instance is None or not hasattr(self.local, "__get__"):
            return self
        return ClusterFunction(self.local.__get__(instance, owner), self.options)

    def __reduce__(self) -> Any:
        module, name = getattr(self.local, "__module__", None), getattr(self.local, "__qualname__", "")
        found: Any = sys.modules.get(module) if module and module != "__main__" else None
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:
            return name
        return type(self), (self.local, replace(self.options, after=(), files=()))


def _configs(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[ClusterConfig]:
    return [value for value in (*args, *kwargs.values()) if isinstance(value, ClusterConfig)]


@dataclass(frozen=True)
class Options:
    """How a function runs.

    Attributes:
        config: the place; None leaves it to the call.
        resources: what each job asks for.
        after: the jobs that have to succeed before, or their ids.
        files: files that travel to the work dir, by their paths below the current directory.
        environment: `"auto"`, or None.
        parallel: whether its loops run in parallel: True, False, `"require"`, `"trust"` or `"check"`.
        progress: whether loops that do tell how far they are.
    """

    config: ClusterConfig | None = None
    resources: Resources = field(default_factory=Resources)
    after: tuple[Any, ...] = ()
    files: tuple[str, ...] = ()
    environment: str | None = None
    parallel: Mode = True
    progress: bool = False

    def changed(self, changes: Mapping[str, Any]) -> Options:
        """The same with some of it changed, by the names that `cluster` takes.

        Raises:
            TypeError: there is no such option.
            ValueError: there is no such environment, no such way to treat loops, or no such number.
        """
        own = {name: _checked(name, changes[name]) for name in _OWN if name in changes}
        for name in changes:
            if name not in own and name not in _ASKED:
                known = f"a job can have {', '.join(_OWN)}, and ask for {', '.join(_ASKED)}"
                raise TypeError(f"cluster() takes no {name!r}; {known}")
        asked = {name: _wish(name, value) for name, value in changes.items() if name not in own}
        return replace(self, resources=replace(self.resources, **asked), **own)


_OWN = [each.name for each in fields(Options) if each.name != "resources"]
_ASKED = [each.name for each in fields(Resources)]


def _checked(name: str, value: Any) -> Any:
    if name in ("after", "files"):
        return tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if name == "environment" and value not in (None, "auto"):
        raise ValueError(
            f'environment is "auto" or None, not {value!r}; a conda environment, say, is named '
            "by the config's conda_env_name"
        )
    if name == "parallel" and not (isinstance(value, bool) or value in ("require", "trust", "check")):
        raise ValueError(f'parallel is True, False, "require", "trust" or "check", not {value!r}')
    if name == "progress" and not isinstance(value, bool):
        raise ValueError(f"progress is True or False, not {value!r}")
    return value


def _wish(name: str, value: Any) -> Any:
    """What a job asks for; numbers are fine where the scheduler wants text."""
    if name == "cores" and value is not None and not (isinstance(value, int) and value > 0):
        raise ValueError(f"cores is a whole number from 1 on, not {value!r}")
    if name == "options" and not isinstance(value, Mapping):
        raise TypeError(f"options is a dict of the scheduler's own options, not {value!r}")
    return str(value) if name in ("memory", "time", "gpus") and isinstance(value, int) else value


@overload
def cluster(function: Callable[P, R], /) -> ClusterFunction[P, R]: ...
@overload
def cluster(**options: Any) -> Callable[[Callable[P, R]], ClusterFunction[P, R]]: ...
def cluster(function: Any = None, /, **options: Any) -> Any:
    """Make a function run as a job where the data is.

    Args:
        config: the place; without one it is the first `ClusterConfig` among a call's arguments, else that of
            the active config.
        after: a job of the same place, or a list of some, that have to succeed before; or their ids.
        files: local files, by their paths below the current directory, that travel to the same paths below
            the work dir. What is there already is left alone if it is the same, and refused if it isn't.
        environment: `"auto"` to have what the function imports installed there, in the versions from here, in
            an environment that is built once. None to use the config's Python as it is.
        parallel: whether loops whose iterations are independent run on all `cores` of the job, with the
            results of the serial loop. `"require"` refuses, before anything is sent, a function that has
            others; `"trust"` takes your word for what can't be proved; `"check"` computes each iteration in
            both ways, and raises `LoopError` where those differ. See `explain`.
        progress: whether loops that run in parallel tell how far they are: by lines in the job's log, one for
            each tenth, or at the terminal of a call on this machine.
        options: what each job asks for: `cores`, `memory`, `time`, `partition`, `account`, `qos`, `gpus`,
            `gres`, `constraint`, `nodes`, `mail_user`, `requeue`, and the scheduler's own `options`, a dict.

    Returns:
        A `ClusterFunction`: calling it runs a job and waits for the result; see `submit`, `map` and `local`.

    Raises:
        TypeError: there is no such option, or the function is async, or none.
        ValueError: there is no such environment, no such way to treat loops or tell of them, or no such
            number of cores.
    """
    asked = Options().changed(options)

    def decorate(function: Callable[P, R]) -> ClusterFunction[P, R]:
        return ClusterFunction(function, asked)

    return decorate if function is None else decorate(function)
