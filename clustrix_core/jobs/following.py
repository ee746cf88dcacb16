"""A thread for each place with jobs: it waits for their outcomes, and now and then asks the scheduler."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from clustrix_core.config import ClusterConfig
from clustrix_core.errors import (
    AuthenticationFailedError,
    BackendIncompatibleError,
    BackendLoadError,
    BackendNotFoundError,
    ConfigError,
    HostKeyError,
    JobError,
    UnsupportedOperationError,
)
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.jobs.job import Job, Submission
from clustrix_core.jobs.models import ENDED, State, TaskState, ranges

PATIENCE = 1.0  # seconds that the far side watches for new outcomes, before it is told of new jobs
MOMENT = 0.5  # seconds that the scheduler's answer is waited for; if it takes longer, outcomes come first
FIRST, LAST = 2.0, 60.0  # seconds between questions to the scheduler: they grow while nothing changes
GRACE = 75.0  # seconds that the outcome of a job that is gone may take to appear: NFS takes up to 60
GOOD = 3  # answers of the scheduler in which a job is missing before it counts as lost
TRIES = 5  # times that a result is fetched before it is left there

HOPELESS = (
    AuthenticationFailedError,  # asked again and again, a login node bans people
    BackendIncompatibleError,
    BackendLoadError,
    BackendNotFoundError,
    ConfigError,
    HostKeyError,
    UnsupportedOperationError,
)
"""What isn't better the next time."""

_followers: dict[ClusterConfig, _Follower] = {}
_lock = threading.Lock()


def _forget() -> None:
    """In a forked child: the threads are the parent's, and so may be the lock."""
    global _lock
    _lock = threading.Lock()
    _followers.clear()


os.register_at_fork(after_in_child=_forget)


def follow(submission: Submission) -> Submission:
    """Wait for the jobs of a submission, in a thread that its place has.

    Returns:
        The submission; or that of the same job that is followed already.
    """
    with _lock:
        for each in _followers.values():  # the same job may have been found with a config without secrets
            if (known := each.followed(submission.record.folder)) is not None:
                return known
        follower = _followers.get(submission.config)
        if follower is not None and follower.add(submission):
            return submission
        follower = _followers[submission.config] = _Follower(submission)
        threading.Thread(target=follower.run, name="clustrix-jobs", daemon=True).start()
        return submission


class _Follower:
    def __init__(self, submission: Submission) -> None:
        self._config = submission.config
        self._followed = {submission.record.folder: submission}
        self._ended = False
        self._pause, self._next = FIRST, time.monotonic() + FIRST
        self._soonest = 0.0  # whatever happens, the scheduler is left alone until then
        self._gone: dict[Job, _Gone] = {}
        self._unfetched: dict[Job, int] = {}  # how often its result could not be fetched
        self._words: dict[Job, bytes] = {}  # last words that the scheduler was asked about
        self._doubted: set[Job] = set()  # those that it said were alive all the same
        self._question: _Question | None = None
        self._unanswered = 0

    def followed(self, folder: str) -> Submission | None:
        """The submission with this folder, if it is followed here."""
        return None if self._ended else self._followed.get(folder)

    def add(self, submission: Submission) -> bool:
        """Follow one more; not if this thread has come to its end."""
        if self._ended:
            return False
        self._followed[submission.record.folder] = submission
        self._pause, self._next = FIRST, min(self._next, time.monotonic() + FIRST)
        return True

    def run(self) -> None:
        failure: BaseException = RuntimeError("the thread that followed it came to its end")
        try:
            self._follow()
        except BaseException as error:
            failure = error
        finally:
            with _lock:
                self._ended = True
            for submission in self._followed.values():
                self._leave(submission.jobs, failure)

    def _leave(self, jobs: Iterable[Job], failure: BaseException) -> None:
        """They can't be followed any more, which doesn't mean that they have ended."""
        for job in jobs:
            advice = f"it may go on there: Job.attach({job.submission.record.id!r}), once that is mended"
            error = JobError(f"job {job.id} can't be followed: {type(failure).__name__}: {failure}; {advice}")
            error.__cause__ = failure
            job.fail(error)

    def _follow(self) -> None:
        failures = 0
        with ClusterFilesystem(self._config) as place:
            while not self._is_done():
                try:
                    self._look(place)
                    failures = 0
                except HOPELESS:
                    raise
                except Exception as error:  # the line is lost, say: the jobs are not
                    failures += 1
                    level = logging.WARNING if failures == TRIES else logging.DEBUG
                    logging.getLogger("clustrix").log(level, "following jobs: %s", error)
                    time.sleep(min(60.0, 0.5 * 2 ** min(failures, 7)) * random.uniform(0.8, 1.2))  # noqa: S311

    def _is_done(self) -> bool:
        with _lock:
            for folder, submission in list(self._followed.items()):
                if all(job.done() for job in submission.jobs):
                    del self._followed[folder]
                    for job in submission.jobs:
                        self._gone.pop(job, None)
                        self._unfetched.pop(job, None)
            self._ended = not self._followed
            return self._ended

    def _look(self, place: ClusterFilesystem) -> None:
        known = {
            folder: ranges(job.task for job in submission.jobs if job.done() or job.last_word)
            for folder, submission in list(self._followed.items())
        }
        answered = self._question if self._question and not self._question.is_alive() else None
        failure = None
        for outcome in place._call("clustrix_job_outcomes", known=known, seconds=PATIENCE):
            submission = self._followed.get(outcome.folder)
            if submission is None:
                continue
            if outcome.task < 0:
                unsafe = PermissionError(outcome.content.decode("utf-8", "replace"))
                self._leave(submission.jobs, unsafe)
            elif outcome.task < len(submission.jobs):
                job = submission.jobs[outcome.task]
                try:
                    job.settle(outcome)
                except Exception as error:  # its result can't be fetched now; those of others can, perhaps
                    failure = self._left_there(job, error)
                if job.last_word and self._words.get(job) != outcome.content:
                    self._words[job] = outcome.content
                    self._doubted.discard(job)
                    self._pause, self._next = FIRST, time.monotonic()
        if failure is not None:
            raise failure
        if answered is not None:
            self._take(answered)
        elif self._question is None and time.monotonic() >= max(self._next, self._soonest):
            self._ask()

    def _left_there(self, job: Job, error: Exception) -> Exception | None:
        tries = self._unfetched[job] = self._unfetched.get(job, 0) + 1
        if tries < TRIES or isinstance(error, ConnectionError):
            return error
        self._leave([job], error)
        return None

    def _ask(self) -> None:
        waiting = {
            submission.record.name: submission
            for submission in list(self._followed.values())
            if not all(job.done() for job in submission.jobs)
        }
        gone = {
            f"{name}_{job.task}"
            for name, submission in waiting.items()
            for job in submission.jobs
            if not job.done() and (job in self._gone or job.last_word)
        }
        self._question = _Question(self._config, waiting, gone)
        self._question.join(MOMENT)
        if not self._question.is_alive():
            self._take(self._question)

    def _take(self, question: _Question) -> None:
        """Take the scheduler's answer; that it failed to give one tells nothing of the jobs."""
        self._question, now = None, time.monotonic()
        self._soonest = now + FIRST
        if isinstance(question.failure, HOPELESS):
            raise question.failure
        jobs = [job for submission in question.waiting.values() for job in submission.jobs]
        before = [(job.state, job.reason) for job in jobs]
        if question.failure is None:
            self._unanswered = 0
            self._hear_all(question, now)
        else:
            self._unanswered += 1
            level = logging.WARNING if self._unanswered == TRIES else logging.DEBUG
            logging.getLogger("clustrix").log(level, "following jobs: %s", question.failure)
        changed = before != [(job.state, job.reason) for job in jobs]
        self._pause = FIRST if changed else min(LAST, self._pause * 1.5)
        self._next = now + self._pause * random.uniform(0.9, 1.1)  # noqa: S311
        if any(job in self._gone for job in jobs if not job.done()) and not self._unanswered:
            self._next = min(self._next, now + FIRST)

    def _hear_all(self, question: _Question, now: float) -> None:
        """Take the answer. Of jobs whose last word came after the question, it tells nothing."""
        for name, submission in question.waiting.items():
            told = {
                task: state
                for state in question.found.get(name, [])
                for task in range(state.first, state.last + 1)
            }
            for job in submission.jobs:
                if not job.done() and (not job.last_word or f"{name}_{job.task}" in question.gone):
                    self._hear(job, told.get(job.task), now)

    def _hear(self, job: Job, told: TaskState | None, now: float) -> None:
        """Take what the scheduler says of a job that has not ended as far as is known.

        The last word of one that may have been begun again is read anew.
        """
        if told is None and job.last_word and job not in self._doubted:
            job.give_up("failed", "")  # whoever ended it has forgotten it, if it ever knew it
        elif told is None:
            before = self._gone.get(job, _LOST)  # what the scheduler has said, and has forgotten since
            self._miss(job, before.state, before.reason, now)
            job.last_word = ""
            self._doubted.discard(job)
        elif told.state == "completed":
            job.last_word = ""
            self._miss(job, told.state, told.reason, now)
        elif told.state in ENDED and not told.begun:
            job.give_up(told.state, told.reason)
        elif told.state in ENDED:
            self._miss(job, told.state, told.reason, now)
        else:
            if job.last_word:
                self._doubted.add(job)
            job.last_word = ""
            job.state, job.reason = told.state, told.reason
            self._gone.pop(job, None)

    def _miss(self, job: Job, state: State, reason: str, now: float) -> None:
        """It is said to have ended, but its outcome isn't there: perhaps not yet."""
        before = self._gone.get(job, _Gone(0, now, state, reason))
        answers, since = before.answers, before.since
        self._gone[job] = _Gone(answers + 1, since, state, reason)
        final = state in ("cancelled", "timed out", "out of memory")
        died = state == "failed" and not job.ended_from_outside
        needed = GOOD if state == "lost" else 1 if job.last_word and (final or died) else 2
        if answers + 1 >= needed and (final or job.last_word or now - since >= GRACE):
            reason = "it ended, and left no outcome" if state == "completed" else reason
            job.give_up("failed" if state == "completed" else state, reason)


class _Gone(NamedTuple):
    """A job that has ended, as it seems: in how many answers, since when, and what was said last."""

    answers: int
    since: float
    state: State
    reason: str


_LOST = _Gone(0, 0.0, "lost", "the scheduler doesn't know it, and it left no outcome")


class _Question(threading.Thread):
    """The scheduler is asked in a thread of its own: results that are there don't wait for its answer.

    Args:
        config: the place.
        waiting: what is asked about, by the names of the jobs.
        gone: the names of tasks of them that have ended, as it seems.
    """

    def __init__(
        self, config: ClusterConfig, waiting: Mapping[str, Submission], gone: Collection[str]
    ) -> None:
        super().__init__(name="clustrix-jobs-question", daemon=True)
        self._config, self.waiting, self.gone = config, waiting, gone
        self.found: Mapping[str, list[TaskState]] = {}
        self.failure: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with ClusterFilesystem(self._config) as place:
                self.found = place._call("clustrix_job_states", jobs=[*self.waiting, *self.gone])
        except Exception as error:
            self.failure = error
