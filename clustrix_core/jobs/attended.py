"""Calls that this process waits for, on this machine: in worker processes that are kept for the next ones.

They end with this process, and so do the calls in them; `submit` is for what has to last.
"""

from __future__ import annotations

import os
import pickle
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from clustrix_core.config import ClusterConfig
from clustrix_core.errors import JobError
from clustrix_core.jobs import parallel, records, travel
from clustrix_core.jobs.here import marker
from clustrix_core.jobs.job import Job, JobArray, Submission, what_was_raised
from clustrix_core.jobs.models import Call
from clustrix_core.jobs.records import Record
from clustrix_core.jobs.worker import Failed, Task, run
from clustrix_core.workers import Workers, cores

if TYPE_CHECKING:
    from clustrix_core.jobs.decorator import ClusterFunction

MOMENT = 0.1  # seconds that a chunk of calls should take: more is noticed late, less costs more

_workers = Workers()


def call(function: ClusterFunction[Any, Any], config: ClusterConfig, arguments: Call) -> Any:
    """Call a function in a worker, and wait. Ctrl-C ends the workers."""
    future = Calls(function, config, [arguments]).hand_out(range(1))
    try:
        (outcome,) = pickle.loads(future.result())
    except KeyboardInterrupt:
        _workers.end()
        raise
    except Exception as error:
        failure = died(error, 1)
        if failure is error:
            raise
        raise failure from error
    if isinstance(outcome, Failed):
        raise what_was_raised("the call", outcome.outcome, outcome.error)
    return outcome


def died(error: Exception, calls: int) -> Exception:
    """What a call raises that ended with its worker."""
    if "Worker" not in type(error).__name__ and "Process" not in type(error).__name__:
        return error  # what was to be sent can't be pickled, say
    codes = re.search(r"exit codes of the workers are {(.*?)}", str(error))
    how = f" ({codes[1]})" if codes else ""
    among = "" if calls == 1 else f", in the midst of {calls} calls"
    return JobError(f"the worker process ended without a word{how}{among}")


class Calls:
    """Calls of one function, which go to the workers in chunks.

    Raises:
        LoopError: a loop can't be split that has to be.
    """

    def __init__(self, function: ClusterFunction[Any, Any], config: ClusterConfig, calls: list[Call]) -> None:
        self.calls = calls
        self._cores = function.options.resources.cores or 1
        self._loops = parallel.planned(function)
        self.workers = max(1, cores() // self._cores)
        # By its name, if it has one that others can import: then it is the module's own, and imported once.
        named = isinstance(function.__reduce__(), str)
        self._function, self._config = (
            travel.dumps(function if named else function.local),
            travel.dumps(config),
        )
        self._marker, self._work_dir = marker(config), os.path.abspath(config.local_work_dir or ".")

    def hand_out(self, chunk: range) -> Future[bytes]:
        """Have some of the calls done."""
        packed = travel.dumps(self.calls[chunk.start : chunk.stop])
        place = self._config, self._marker, self._work_dir
        task = Task(self._function, *place, packed, self._cores, self._loops)
        return _workers.submit(self.workers, run, task)


class _Raised(NamedTuple):
    """What a call raised: it may also return an exception."""

    error: BaseException


class Attended(Submission):
    """The calls of one `map`: chunks of them are done, which grow as long as they take but a moment."""

    def __init__(self, record: Record, config: ClusterConfig, calls: Calls) -> None:
        super().__init__(record, config)
        self._calls = calls
        self._changed = threading.Condition()
        self._outcomes: dict[int, Any] = {}
        self._next, self._size, self._under_way = 0, 1, 0
        self._stopped = False
        self._feed()

    @cached_property
    def jobs(self) -> list[Job]:
        """Many calls are soon done; for most, nobody asks for a `Job`."""
        with self._changed:
            jobs = [Job(self, task) for task in range(len(self._calls.calls))]
            self.__dict__["jobs"] = jobs
            for task in self._outcomes:
                self._settle(jobs[task])
        return jobs

    def values(self) -> Iterator[Any]:
        """What the calls returned, in order, or raised."""
        for task in range(len(self._calls.calls)):
            if task not in self._outcomes:
                with self._changed:
                    self._changed.wait_for(partial(self._outcomes.__contains__, task))
            outcome = self._outcomes[task]
            if isinstance(outcome, _Raised):
                raise outcome.error
            yield outcome

    def cancel(self, jobs: list[Job]) -> None:
        """Those that have not begun are not begun; to end what runs, the workers are ended."""
        with self._changed:
            waiting = [job for job in jobs if not job.done()]
            self._stopped = self._stopped or len(waiting) == sum(not job.done() for job in self.jobs)
            begun = any(job.task < self._next for job in waiting)
            for job in waiting:
                self._outcomes[job.task] = _Raised(CancelledError())
                job.give_up("cancelled", "")
            self._changed.notify_all()
        if begun:
            _workers.end()

    def _feed(self) -> None:
        """Keep the workers busy: while each has a chunk, another one waits for it."""
        while True:
            with self._changed:
                rest = len(self._calls.calls) - self._next
                if self._stopped or not rest or self._under_way >= 2 * self._calls.workers:
                    return
                size = max(1, min(self._size, rest // (2 * self._calls.workers)))
                chunk = range(self._next, self._next + size)
                self._next, self._under_way = chunk.stop, self._under_way + 1
            began = time.monotonic()
            try:
                future = self._calls.hand_out(chunk)
            except Exception as error:  # its arguments can't be pickled, say
                self._take(chunk, [_Raised(error)] * size)
            else:
                future.add_done_callback(partial(self._arrived, chunk, began))

    def _arrived(self, chunk: range, began: float, future: Future[bytes]) -> None:
        try:
            outcomes = [
                _Raised(what_was_raised(f"call {task}", *told)) if isinstance(told, Failed) else told
                for task, told in zip(chunk, pickle.loads(future.result()), strict=True)
            ]
        except Exception as error:
            outcomes = [_Raised(died(error, len(chunk)))] * len(chunk)
        except BaseException as error:  # whatever unpickling does
            unread = JobError(f"the results can't be read: {type(error).__name__}: {error}")
            outcomes = [_Raised(unread)] * len(chunk)
        if time.monotonic() - began < MOMENT:
            self._size = max(self._size, 2 * len(chunk))
        self._take(chunk, outcomes)
        self._feed()

    def _take(self, chunk: range, outcomes: list[Any]) -> None:
        with self._changed:
            for task, outcome in zip(chunk, outcomes, strict=True):
                self._outcomes.setdefault(task, outcome)  # it may have been cancelled
            self._under_way -= 1
            self._changed.notify_all()
            if "jobs" in self.__dict__:
                for task in chunk:
                    self._settle(self.jobs[task])

    def _settle(self, job: Job) -> None:
        outcome = self._outcomes[job.task]
        if isinstance(outcome, _Raised):
            job.end("failed", lambda: job.set_exception(outcome.error))
        else:
            job.end("completed", lambda: job.set_result(outcome))


class AttendedArray(JobArray):
    """A `JobArray` whose calls end with this process."""

    def __init__(self, function: ClusterFunction[Any, Any], config: ClusterConfig, calls: list[Call]) -> None:
        work = Attended(
            records.new(function.name, len(calls), config), config, Calls(function, config, calls)
        )
        super().__init__(work)
        self._work = work

    def __iter__(self) -> Iterator[Any]:
        return self._work.values()
