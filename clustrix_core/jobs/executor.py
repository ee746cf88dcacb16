"""`ClusterExecutor`: jobs for code that is written for `concurrent.futures`."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from clustrix_core.config import ClusterConfig
from clustrix_core.filesystem import checked_config
from clustrix_core.jobs.decorator import ClusterFunction, Options
from clustrix_core.jobs.job import Job, JobArray


class ClusterExecutor(concurrent.futures.Executor):
    """Runs functions as jobs; a context manager that waits for them at its end.

    Args:
        config: the place; None means the active config.
        options: what `cluster` takes, such as `cores=8`.

    Raises:
        TypeError: there is no such option.
    """

    def __init__(self, config: ClusterConfig | None = None, **options: Any) -> None:
        self._options = Options(config=checked_config(config)).changed(options)
        self._jobs: set[Job] = set()
        self._over = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Job:
        """Run a function as a job. On this machine it goes to a worker process.

        Raises:
            RuntimeError: the executor was shut down.
            JobError: it can't be submitted.
        """
        self._check()
        function = ClusterFunction(_plain(fn), self._options)
        config = function._place((), {})
        if function._is_attended(config):
            from clustrix_core.jobs.attended import AttendedArray

            job = AttendedArray(function, config, [(args, kwargs)]).jobs[0]
        else:
            job = function._submit(config, [(args, kwargs)], None).jobs[0]
        self._keep([job])
        return job

    def map(
        self,
        fn: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[Any]:
        """Call a function for each item, as one array of jobs; the results come in order.

        Args:
            fn: the function.
            iterables: as of the builtin `map`.
            timeout: seconds from now on, after which waiting for a result raises
                `concurrent.futures.TimeoutError`.
            chunksize: is not used: how calls are put together is decided where they run.
        """
        self._check()
        calls = list(zip(*iterables))  # noqa: B905 (as the builtin)
        if not calls:
            return iter(())
        array = ClusterFunction(_plain(fn), self._options).map(*zip(*calls, strict=True))
        self._keep(array.jobs)
        return _results(array, None if timeout is None else time.monotonic() + timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more functions, and wait for those that there are, or cancel what has not begun."""
        self._over = True
        if cancel_futures:
            for job in list(self._jobs):
                if not (job.done() or job.running()):
                    job.cancel()
        if wait:
            concurrent.futures.wait(list(self._jobs))

    def _keep(self, jobs: Iterable[Job]) -> None:
        """Remember jobs until they end: their results are those of who asked for them."""
        for job in jobs:
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)

    def _check(self) -> None:
        if self._over:
            raise RuntimeError("the executor was shut down")


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return function.local if isinstance(function, ClusterFunction) else function


def _results(array: JobArray, deadline: float | None) -> Iterator[Any]:
    for job in array.jobs:
        yield job.result(None if deadline is None else max(0.0, deadline - time.monotonic()))
