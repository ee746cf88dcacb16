"""`Job` and `JobArray`: calls that run somewhere else, and what came of them."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clustrix_core.config import ClusterConfig
from clustrix_core.errors import JobError
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.jobs import records
from clustrix_core.jobs.models import Outcome, State
from clustrix_core.jobs.records import Record


class RemoteTracebackError(Exception):
    """The traceback of an exception over there, as its cause here."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0]}"


class Job(concurrent.futures.Future[Any]):
    """A call that runs as a job. It follows `concurrent.futures.Future`.

    `result` waits for the end, and returns what the function returned, or raises what it raised, with the
    traceback from there as its cause. Where the job did not get that far, it raises `JobError`.

    Attributes:
        id: what people call it, also `clustrix logs ID` and the like.
        task: its number in an array; 0 for a single call.
        state: what it is doing, as far as is known, or how it ended.
        reason: the scheduler's word for why, such as `"Resources"`; empty if there is none.
    """

    def __init__(self, submission: Submission, task: int) -> None:
        super().__init__()
        self.submission = submission
        self.task = task
        self.state: State = "pending"
        self.reason = ""
        self.cancelling = False  # whatever the end looks like from then on, this is why
        self.last_word = ""  # of a task that was ended, and doesn't know why

    @property
    def id(self) -> str:
        record = self.submission.record
        return record.id if record.tasks is None else f"{record.id}_{self.task}"

    def __repr__(self) -> str:
        return f"<Job {self.id} of {self.submission.record.function}: {self.state}>"

    @classmethod
    def attach(cls, id: str) -> Job | JobArray:
        """Follow a job that was submitted before, perhaps by another process.

        Raises:
            JobError: no such job is remembered on this machine.
        """
        record = records.load(id)
        submission = Submission(record, ClusterConfig(**record.config))
        submission.follow()
        return submission.handle()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, `timeout` seconds at most; whether it has ended. Nothing of it is raised."""
        return not concurrent.futures.wait([self], timeout).not_done

    def cancel(self) -> bool:
        """Cancel it, if it has not ended. Round trips: one."""
        if self.done():
            return False
        self.submission.cancel([self])
        return self.cancelled()

    def logs(self) -> str:
        """What it has printed so far. Round trips: three."""
        with ClusterFilesystem(self.submission.config) as place:
            try:
                with place.open(f"{self.submission.record.folder}/log-{self.task}", errors="replace") as file:
                    return str(file.read())
            except FileNotFoundError:
                return ""

    def settle(self, outcome: Outcome) -> None:
        """Take the outcome that arrived."""
        if self.done():
            return
        try:
            head, _, payload = outcome.content.partition(b"\n")
            told = json.loads(head)
            if told.get("type") in _UNEXPLAINED:
                self.last_word = f"{told['message']}"
                return
            self.state = "completed" if told["outcome"] == "completed" else "failed"
            if not told["inline"]:
                payload = self._fetch()
            if len(payload) != told["size"] or (payload and _digest(payload) != told["sha256"]):
                raise JobError(f"job {self.id}: what came back of its result is not what was sent")
            if self.state == "completed":
                self.set_result(pickle.loads(payload))
            else:
                self.set_exception(self._what_was_raised(told, payload))
        except Exception as error:  # whatever unpickling raises
            failure = JobError(
                f"job {self.id}: its result can't be read here: {type(error).__name__}: {error}"
            )
            failure.__cause__ = error
            self.set_exception(failure)

    def _what_was_raised(self, told: dict[str, Any], payload: bytes) -> BaseException:
        error: BaseException
        if payload:
            error = pickle.loads(payload)
        else:
            error = JobError(f"job {self.id} failed: {told['type']}: {told['message']}")
        error.__cause__ = RemoteTracebackError(told["traceback"])
        return error

    def _fetch(self) -> bytes:
        with (
            tempfile.TemporaryDirectory(prefix="clustrix-") as folder,
            ClusterFilesystem(self.submission.config) as place,
        ):
            target = Path(folder) / "result"
            place.get(f"{self.submission.record.folder}/results/{self.task}", target)
            return target.read_bytes()

    def give_up(self, state: State, reason: str) -> None:
        """It ended without an outcome."""
        if self.done():
            return
        if self.cancelling:
            state, reason = "cancelled", ""
        self.state, self.reason = state, reason
        if state == "cancelled":
            super().cancel()
            self.set_running_or_notify_cancel()
            return
        told = "; ".join(filter(None, [reason, self.last_word]))
        why = f" ({told})" if told else ""
        advice = _ADVICE.get(state, "`clustrix logs` shows what it printed")
        self.set_exception(JobError(f"job {self.id}: {state}{why}; {advice}"))


_UNEXPLAINED = ("Terminated", "Died")
"""Outcomes of tasks that were ended from outside: the scheduler may know why."""

_ADVICE = {
    "out of memory": "ask for more by memory=",
    "timed out": "ask for more by time=",
    "node failure": "submit it again, or with requeue=True",
}


class JobArray:
    """The jobs of one `map`. Iterating gives their results, in the order of the arguments.

    Attributes:
        id: what people call it.
        jobs: one `Job` for each call, in that order.
    """

    def __init__(self, submission: Submission) -> None:
        self._submission = submission
        self.id = submission.record.id
        self.jobs = tuple(submission.jobs)

    def __len__(self) -> int:
        return len(self.jobs)

    def __repr__(self) -> str:
        done = sum(job.done() for job in self.jobs)
        return f"<JobArray {self.id} of {self._submission.record.function}: {done} of {len(self)} done>"

    def __iter__(self) -> Iterator[Any]:
        for job in self.jobs:
            yield job.result()

    def as_completed(self, timeout: float | None = None) -> Iterator[Job]:
        """The jobs, as they end."""
        yield from concurrent.futures.as_completed(self.jobs, timeout)  # type: ignore[misc]

    def results(self, timeout: float | None = None) -> list[Any]:
        """All results, in the order of the arguments; the first failure is raised."""
        concurrent.futures.wait(self.jobs, timeout)
        return [job.result(0) for job in self.jobs]

    def cancel(self) -> None:
        """Cancel all that have not ended, by one command. Round trips: one."""
        self._submission.cancel(list(self.jobs))


class Submission:
    """What was handed to a scheduler at once: one call, or an array of them."""

    def __init__(self, record: Record, config: ClusterConfig) -> None:
        self.record, self.config = record, config
        self.jobs = [Job(self, task) for task in range(record.tasks or 1)]

    def handle(self) -> Job | JobArray:
        return self.jobs[0] if self.record.tasks is None else JobArray(self)

    def follow(self) -> None:
        from clustrix_core.jobs.following import follow

        follow(self)

    def cancel(self, jobs: list[Job]) -> None:
        waiting = [job for job in jobs if not job.done()]
        known = self.record.scheduler_id
        names = [known] if len(waiting) == len(self.jobs) else [f"{known}_{job.task}" for job in waiting]
        for job in waiting:
            job.cancelling = True
        try:
            with ClusterFilesystem(self.config) as place:
                place._call("clustrix_cancel", jobs=names)
        except BaseException:
            for job in waiting:
                job.cancelling = False
            raise
        for job in waiting:
            job.give_up("cancelled", "")


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
