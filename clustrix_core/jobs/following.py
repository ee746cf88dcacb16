"""A thread for each place with jobs: it waits for their outcomes, and asks the scheduler now and then."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from contextlib import suppress

from clustrix_core.config import ClusterConfig
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.jobs import records
from clustrix_core.jobs.job import Job, Submission
from clustrix_core.jobs.models import ENDED

PATIENCE = 1.0  # seconds that the far side watches for new outcomes, before it is told of new jobs
FIRST, LAST = 2.0, 60.0  # seconds between questions to the scheduler: they grow while nothing changes
GRACE = 20.0  # seconds that the outcome of a job that is gone may take to appear on a shared disk
GOOD = 3  # answers of the scheduler in which a job is missing before it counts as lost

_followers: dict[ClusterConfig, _Follower] = {}
_lock = threading.Lock()


os.register_at_fork(after_in_child=_followers.clear)  # the threads are the parent's


def follow(submission: Submission) -> None:
    """Wait for the jobs of a submission, in a thread that its place has."""
    with _lock:
        follower = _followers.get(submission.config)
        if follower is None or not follower.add(submission):
            follower = _followers[submission.config] = _Follower(submission)
            threading.Thread(target=follower.run, name="clustrix-jobs", daemon=True).start()


class _Follower:
    def __init__(self, submission: Submission) -> None:
        self._config = submission.config
        self._followed = {submission.record.folder: submission}
        self._ended = False
        self._pause, self._next = FIRST, time.monotonic() + FIRST
        self._gone: dict[Job, tuple[int, float]] = {}  # answers in which it was missing, and since when

    def add(self, submission: Submission) -> bool:
        if self._ended:
            return False
        self._followed[submission.record.folder] = submission
        self._pause, self._next = FIRST, min(self._next, time.monotonic() + FIRST)
        return True

    def run(self) -> None:
        failures = 0
        with ClusterFilesystem(self._config) as place:
            while not self._is_done():
                try:
                    self._look(place)
                    failures = 0
                except Exception as error:  # the line is lost, say: the jobs are not
                    failures += 1
                    logging.getLogger("clustrix").debug("following jobs: %s", error)
                    time.sleep(min(60.0, 0.5 * 2 ** min(failures, 7)) * random.uniform(0.8, 1.2))  # noqa: S311

    def _is_done(self) -> bool:
        with _lock:
            for folder, submission in list(self._followed.items()):
                if all(job.done() for job in submission.jobs):
                    del self._followed[folder]
                    self._conclude(submission)
            self._ended = not self._followed
            return self._ended

    def _conclude(self, submission: Submission) -> None:
        states = {job.state for job in submission.jobs}
        ended = "completed" if states == {"completed"} else (states - {"completed"}).pop()
        with suppress(OSError):
            records.save(submission.record, ended=ended)

    def _look(self, place: ClusterFilesystem) -> None:
        known = {
            folder: [job.task for job in submission.jobs if job.done() or job.last_word]
            for folder, submission in list(self._followed.items())
        }
        for outcome in place._call("clustrix_job_outcomes", known=known, seconds=PATIENCE):
            submission = self._followed.get(outcome.folder)
            if submission is not None and 0 <= outcome.task < len(submission.jobs):
                job = submission.jobs[outcome.task]
                job.settle(outcome)
                if not job.done():
                    self._next = time.monotonic()
        if time.monotonic() >= self._next:
            self._ask(place)

    def _ask(self, place: ClusterFilesystem) -> None:
        waiting = {
            submission.record.name: submission
            for submission in list(self._followed.values())
            if not all(job.done() for job in submission.jobs)
        }
        before = [(job.state, job.reason) for each in waiting.values() for job in each.jobs]
        found = place._call("clustrix_job_states", jobs=list(waiting))
        now = time.monotonic()
        for name, submission in waiting.items():
            for state in found.get(name, []):
                for job in submission.jobs[state.first : state.last + 1]:
                    if state.state in ENDED:
                        self._miss(job, state.state, state.reason, now)
                    elif not job.done():
                        job.state, job.reason = state.state, state.reason
                        self._gone.pop(job, None)
            if name not in found:
                for job in submission.jobs:
                    if job.last_word:
                        job.give_up("failed", "")
                    else:
                        self._miss(job, "lost", "the scheduler doesn't know it, and it left no outcome", now)
        after = [(job.state, job.reason) for each in waiting.values() for job in each.jobs]
        self._pause = FIRST if before != after else min(LAST, self._pause * 1.5)
        self._next = now + self._pause * random.uniform(0.9, 1.1)  # noqa: S311

    def _miss(self, job: Job, state: str, reason: str, now: float) -> None:
        """It is said to have ended, but its outcome isn't there: perhaps not yet."""
        if job.done():
            return
        answers, since = self._gone.get(job, (0, now))
        self._gone[job] = answers + 1, since
        patient = 0.0 if job.last_word or state in ("cancelled", "timed out", "out of memory") else GRACE
        if answers + 1 >= (GOOD if state == "lost" else 2) and now - since >= patient:
            job.give_up(state, reason)  # type: ignore[arg-type]
