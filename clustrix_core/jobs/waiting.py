"""Waiting for jobs, with a line for people meanwhile, where there is a terminal; Ctrl-C cancels them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from clustrix_core.errors import printable
from clustrix_core.meter import Meter, bar

if TYPE_CHECKING:
    from clustrix_core.jobs.job import Job

GLANCE = 0.2  # seconds between two looks


def result_of(job: Job) -> Any:
    """The result of a job; Ctrl-C cancels it."""
    name = job.submission.record.function

    def line(_done: int, _total: int | None, seconds: float) -> str:
        state = f"{job.state} ({job.reason})" if job.reason else job.state
        return f"{printable(name)}: {printable(state)}, {clock(seconds)}"

    for _ in in_order(1, lambda _, timeout: job.wait(timeout), line, job.cancel):
        pass
    return job.result()


def results_of(jobs: Sequence[Job], name: str, cancel: Callable[[], object]) -> Iterator[Any]:
    """The results of the jobs of an array, in order, or what one of them raised; Ctrl-C cancels all."""

    def line(_done: int, _total: int | None, seconds: float) -> str:
        states = Counter(job.state for job in jobs)
        told = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
        done = sum(job.done() for job in jobs)
        return f"{bar(done, len(jobs))} {printable(name)}: {told}, {clock(seconds)}"

    def has_ended(task: int, timeout: float | None) -> bool:
        return jobs[task].done() or jobs[task].wait(timeout)

    for task in in_order(len(jobs), has_ended, line, cancel):
        yield jobs[task].result()


def in_order(
    count: int,
    has_ended: Callable[[int, float | None], bool],
    line: Callable[[int, int | None, float], str],
    cancel: Callable[[], object],
) -> Iterator[int]:
    """The numbers of what is waited for, each as soon as it has ended.

    Args:
        count: how many there are.
        has_ended: waits for one, so many seconds at most; says whether it has ended.
        line: what people see meanwhile; see `Meter`.
        cancel: ends all, at Ctrl-C.
    """
    with Meter(line) as meter:
        for number in range(count):
            try:
                while not has_ended(number, None if meter.progress is None else GLANCE):
                    if meter.progress is not None:
                        meter.progress(number, count)
            except KeyboardInterrupt:
                meter.clear()
                try:
                    cancel()
                except Exception as error:  # the line is lost, say
                    logging.getLogger("clustrix").warning("what was waited for isn't cancelled: %s", error)
                raise
            meter.clear()
            yield number


def clock(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"
