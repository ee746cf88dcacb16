"""Waiting for jobs, with a line for people meanwhile, where there is a terminal; Ctrl-C cancels them."""

from __future__ import annotations

import concurrent.futures
from collections import Counter
from collections.abc import Sequence
from typing import Any

from clustrix_core.errors import printable
from clustrix_core.jobs.job import Job
from clustrix_core.meter import Meter, bar

GLANCE = 0.2  # seconds between two looks


def result_of(job: Job) -> Any:
    """The result of a job; Ctrl-C cancels it."""
    try:
        wait_for([job], job.submission.record.function)
    except KeyboardInterrupt:
        job.cancel()
        raise
    return job.result()


def wait_for(jobs: Sequence[Job], name: str, wanted: Job | None = None) -> None:
    """Wait for the end of all of these jobs, or of the one that is wanted, and show how far they are."""

    def line(done: int, total: int | None, seconds: float) -> str:
        minutes, second = divmod(int(seconds), 60)
        hours, minute = divmod(minutes, 60)
        counted = _counted(jobs) if len(jobs) > 1 else _state(jobs[0])
        shown = f"{bar(done, len(jobs))} " if len(jobs) > 1 else ""
        return f"{shown}{printable(name)}: {counted}, {hours}:{minute:02}:{second:02}"

    with Meter(line) as meter:
        if meter.progress is None:  # nobody looks
            concurrent.futures.wait([wanted] if wanted else jobs)
            return
        while not (wanted.done() if wanted else all(job.done() for job in jobs)):
            meter.progress(sum(job.done() for job in jobs), len(jobs))
            concurrent.futures.wait(
                [wanted] if wanted else jobs, GLANCE, return_when=concurrent.futures.FIRST_COMPLETED
            )


def _state(job: Job) -> str:
    return f"{job.state} ({printable(job.reason)})" if job.reason else job.state


def _counted(jobs: Sequence[Job]) -> str:
    states = Counter(job.state for job in jobs)
    return ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
