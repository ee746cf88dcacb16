"""`Job` and `JobArray`: calls that run somewhere else, and what came of them."""

from __future__ import annotations

import codecs
import concurrent.futures
import functools
import hashlib
import io
import json
import linecache
import os
import pickle
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from clustrix_core.config import ClusterConfig
from clustrix_core.errors import ClustrixError, JobError, printable
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.jobs import records
from clustrix_core.jobs.models import Outcome, State, ranges
from clustrix_core.jobs.records import Record

PIECE = 1 << 20  # bytes of a log that are read at once


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
        self.ended_from_outside = False  # by a signal: the scheduler is about to know why

    @property
    def id(self) -> str:
        record = self.submission.record
        return record.id if record.tasks is None else f"{record.id}_{self.task}"

    def __repr__(self) -> str:
        return f"<Job {self.id} of {self.submission.record.function}: {self.state}>"

    @classmethod
    def attach(cls, id: str) -> Job | JobArray:
        """Follow a job that was submitted before, perhaps by another process.

        Args:
            id: that of a job, of an array, or of one of its tasks.

        Raises:
            JobError: no such job is remembered on this machine.
        """
        array, mark, task = id.partition("_")
        record = records.load(array)
        if mark and not (task.isdecimal() and int(task) < (record.tasks or 0)):
            has = f"has the tasks 0 to {record.tasks - 1}" if record.tasks else "is no array"
            raise JobError(f"job {array} {has}, so there is no {printable(id)!r}")
        handle = Submission(record, records.config_of(record)).followed().handle()
        return handle.jobs[int(task)] if mark and isinstance(handle, JobArray) else handle

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, `timeout` seconds at most; whether it has ended. Nothing of it is raised."""
        return not concurrent.futures.wait([self], timeout).not_done

    def running(self) -> bool:
        """Whether it is known to be running."""
        return self.submission.is_running(self)

    def cancel(self) -> bool:
        """Cancel it, if it has not ended, also when it is running; whether it is. Round trips: two."""
        if self.done():
            return self.cancelled()
        self.submission.cancel([self])
        return self.cancelled()

    def logs(self, *, follow: bool = False) -> str:
        """What it has printed so far. Round trips: three.

        Args:
            follow: print it, too, as it comes, until the end of the job.
        """
        pieces = []
        for text in self.log_pieces(follow):
            pieces.append(text)
            if follow:
                print(text, end="", flush=True)
        return "".join(pieces)

    def log_pieces(self, follow: bool = False) -> Iterator[str]:
        """What it has printed so far, piece by piece; if it is followed, until its end."""
        decoder, read, ended = codecs.getincrementaldecoder("utf-8")("replace"), 0, not follow
        while True:
            piece = self._log(read)
            read += len(piece)
            yield decoder.decode(piece)
            if len(piece) == PIECE:
                continue
            if ended:
                return
            ended = self.wait(1.0)

    def _log(self, start: int) -> bytes:
        with ClusterFilesystem(self.submission.config) as place:
            try:
                with place.open(f"{self.submission.record.folder}/log-{self.task}", "rb") as file:
                    file.seek(start)
                    return bytes(file.read(PIECE))
            except FileNotFoundError:
                return b""

    def settle(self, outcome: Outcome) -> None:
        """Take the outcome that arrived.

        Raises:
            ClustrixError, OSError: a large result can't be fetched; it is still there.
        """
        if self.done():
            return
        head, _, payload = outcome.content.partition(b"\n")
        try:
            told = json.loads(head)
            end, digest = told.get("end"), told["sha256"] if told["size"] else _digest(b"")
            sound = told["inline"] or told["outcome"] == "completed" or payload == b""
            if end in _UNEXPLAINED:
                self.last_word, self.ended_from_outside = f"{told['message']}", end == "terminated"
                return
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self.unreadable(error)
            return
        if end == "cancelled":
            self.give_up("cancelled", "")
        elif end == "invain":
            self.give_up("failed", told["message"])
        elif not sound:
            self.unreadable(ValueError("it is said to be elsewhere"))
        elif told["inline"]:
            self._take(told, io.BytesIO(payload), digest)
        else:
            with self._fetched() as file:
                self._take(told, file, digest)

    def _take(self, told: dict[str, Any], file: IO[bytes], digest: str) -> None:
        """Verify and unpickle: it is from the user's own job, which is the one thing that is unpickled."""
        if (_size(file), _digest_of(file)) != (told["size"], digest):
            self.unreadable(ValueError("it is not what was sent"))
            return
        try:
            value = pickle.load(file) if told["size"] else None
        except BaseException as error:  # whatever unpickling raises: it runs code of the user's modules
            self.unreadable(error)
            return
        if told["outcome"] == "completed":
            self.end("completed", lambda: self.set_result(value))
            return
        raised = what_was_raised(f"job {self.id}", told, value)
        self.end("failed", lambda: self.set_exception(raised))

    @contextmanager
    def _fetched(self) -> Iterator[IO[bytes]]:
        with tempfile.TemporaryDirectory(prefix="clustrix-") as folder:
            target = Path(folder) / "result"
            with ClusterFilesystem(self.submission.config) as place:
                place.get(f"{self.submission.record.folder}/results/{self.task}", target)
            with open(target, "rb") as file:
                yield file

    def unreadable(self, error: BaseException) -> None:
        """Its result is there, and can't be had."""
        text = f"job {self.id}: its result can't be read here: {type(error).__name__}: {error}"
        failure = JobError(
            f"{text}; it is still there, and Job.attach({self.submission.record.id!r}) reads it again"
        )
        failure.__cause__ = error
        self.fail(failure)

    def fail(self, error: JobError) -> None:
        """Nothing more can be learnt of it here; what is there stays."""
        self.end("unread", lambda: self.set_exception(error))

    def give_up(self, state: State, reason: str) -> None:
        """It ended without an outcome."""
        if self.cancelling:
            state, reason = "cancelled", ""
        if state == "cancelled":
            self.end(state, self._set_cancelled)
            return
        told = "; ".join(filter(None, [reason, self.last_word]))
        why = f" ({told})" if told else ""
        advice = _ADVICE.get(state, f"`clustrix logs {self.id}` shows what it printed")
        error = JobError(f"job {self.id}: {state}{why}; {advice}")
        self.end(state, lambda: self.set_exception(error), reason)

    def _set_cancelled(self) -> None:
        super().cancel()
        self.set_running_or_notify_cancel()

    def end(self, state: State, settle: Callable[[], object], reason: str = "") -> None:
        """End it, once, whoever comes first."""
        with self.submission.ending:
            if self.done():
                return
            self.state, self.reason = state, reason
            self.submission.count_down()
            settle()


def what_was_raised(what: str, told: dict[str, Any], error: object) -> Exception:
    """What a function raised, with its traceback; by its text, where it could not travel.

    Args:
        what: the call or job that failed.
        told: its outcome, see `runner.failure`.
        error: the exception, perhaps pickled; empty or None if it could not be.
    """
    if isinstance(error, bytes):
        error = pickle.loads(error) if error else None
    raised = (
        error
        if isinstance(error, Exception)
        else JobError(f"{what} failed: {told['type']}: {told['message']}")
    )
    raised.__cause__ = RemoteTracebackError(with_source(told["traceback"]))
    return raised


_FRAME = re.compile(r'([ |]*)File "(.+)", line ([0-9]+), in .')


def with_source(text: str) -> str:
    """A traceback with the lines of code that were not at hand there: those of scripts and notebooks."""
    lines = text.split("\n")
    told = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        told.append(line)
        if (frame := _FRAME.match(line)) and not following.startswith(f"{frame[1]}  "):
            code = linecache.getline(frame[2], int(frame[3])).strip()
            told += [f"{frame[1]}  {code}"] if code else []
    return "\n".join(told)


_UNEXPLAINED = ("terminated", "died")
"""Outcomes of tasks that were ended from outside: the scheduler may know why."""

_ADVICE = {
    "out of memory": "ask for more by memory=",
    "timed out": "ask for more by time=",
    "node failure": "submit it again, or with requeue=True",
}


class JobArray:
    """The jobs of one `map`. Iterating gives their results, in order; Ctrl-C meanwhile cancels all.

    Attributes:
        id: what people call it.
        submission: what was handed over.
    """

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self.id = submission.record.id

    @property
    def jobs(self) -> tuple[Job, ...]:
        """One `Job` for each call, in the order of the arguments."""
        return tuple(self.submission.jobs)

    def __len__(self) -> int:
        return self.submission.record.tasks or 0

    def __repr__(self) -> str:
        done = sum(job.done() for job in self.jobs)
        return f"<JobArray {self.id} of {self.submission.record.function}: {done} of {len(self)} done>"

    def __iter__(self) -> Iterator[Any]:
        from clustrix_core.jobs.waiting import results_of

        return results_of(self.jobs, self.submission.record.function, self.cancel)

    def as_completed(self, timeout: float | None = None) -> Iterator[Job]:
        """The jobs, as they end."""
        yield from concurrent.futures.as_completed(self.jobs, timeout)  # type: ignore[misc]

    def results(self, timeout: float | None = None) -> list[Any]:
        """All results, in the order of the arguments; the first failure is raised."""
        if timeout is None:
            return list(self)
        concurrent.futures.wait(self.jobs, timeout)
        return [job.result(0) for job in self.jobs]

    def cancel(self) -> None:
        """Cancel all that have not ended, by one command. Round trips: two."""
        self.submission.cancel(list(self.jobs))


class Submission:
    """What was handed to a scheduler at once: one call, or an array of them.

    Attributes:
        record: what is remembered of it.
        config: its place.
        ending: held by whoever ends one of them.
    """

    def __init__(self, record: Record, config: ClusterConfig) -> None:
        self.record, self.config = record, config
        self.ending = threading.RLock()  # callbacks of a job may ask for others
        self._left = record.tasks or 1

    @functools.cached_property
    def jobs(self) -> list[Job]:
        """One for each task."""
        return [Job(self, task) for task in range(self.record.tasks or 1)]

    def handle(self) -> Job | JobArray:
        return self.jobs[0] if self.record.tasks is None else JobArray(self)

    def followed(self) -> Submission:
        """This one, or the one of the same job that is followed here already; its jobs hear of their ends."""
        from clustrix_core.jobs.following import follow

        return follow(self)

    def is_running(self, job: Job) -> bool:
        """Whether it is known to be running."""
        return job.state == "running" and not job.done()

    def count_down(self) -> None:
        """One more is about to end; at the last, it is written down how they ended, before anybody hears."""
        self._left -= 1
        if not self._left:
            self.conclude()

    def conclude(self) -> None:
        """Write down how they ended."""
        states = {job.state for job in self.jobs}
        ended = next((state for state in ("unread", "failed") if state in states), "")
        if not ended:
            ended = "completed" if states == {"completed"} else sorted(states - {"completed"})[0]
        with suppress(OSError, JobError):
            records.load(self.record.id)  # what another process has forgotten meanwhile stays forgotten
            records.save(self.record, ended=ended)

    def cancel(self, jobs: list[Job]) -> None:
        """Cancel those of them that have not ended, by one command."""
        waiting = [job for job in jobs if not job.done()]
        if not waiting:
            return
        known = self.record.scheduler_id or self.record.name
        everything = len(waiting) == sum(not job.done() or job.state == "unread" for job in self.jobs)
        names = [known] if everything else [f"{known}_{job.task}" for job in waiting]
        for job in waiting:
            job.cancelling = True
        try:
            with ClusterFilesystem(self.config) as place:
                place._call("clustrix_cancel", jobs=names)
                self._settle_ended(place, set(waiting))
        except BaseException:
            for job in waiting:
                job.cancelling = False
            raise
        for job in waiting:
            job.give_up("cancelled", "")

    def _settle_ended(self, place: ClusterFilesystem, waiting: set[Job]) -> None:
        """Those that came to their own end before they could be cancelled have an outcome, which counts."""
        known = {self.record.folder: ranges(job.task for job in self.jobs if job not in waiting)}
        for outcome in place._call("clustrix_job_outcomes", known=known, seconds=0.0):
            if 0 <= outcome.task < len(self.jobs):
                job = self.jobs[outcome.task]
                try:
                    job.settle(outcome)
                except (ClustrixError, OSError) as error:
                    job.unreadable(error)


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def _digest_of(file: IO[bytes]) -> str:
    """That of all that a file holds; it is at its beginning, and is so again."""
    found = hashlib.sha256()
    while block := file.read(1 << 20):
        found.update(block)
    file.seek(0)
    return found.hexdigest()


def _size(file: IO[bytes]) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size
