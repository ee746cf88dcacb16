"""Calls that this process waits for, on this machine: in worker processes that are kept for the next ones.

They end with this process, and so do the calls in them; `submit` is for what has to last.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from clustrix_core.config import ClusterConfig
from clustrix_core.errors import JobError, printable
from clustrix_core.jobs import culprit, parallel, records, travel
from clustrix_core.jobs.here import marker
from clustrix_core.jobs.job import Job, JobArray, Submission, what_was_raised
from clustrix_core.jobs.models import Call
from clustrix_core.jobs.records import Record
from clustrix_core.jobs.waiting import clock, in_order
from clustrix_core.jobs.worker import Failed, Task, run
from clustrix_core.meter import bar
from clustrix_core.workers import Order, WorkerDiedError, Workers, cores

if TYPE_CHECKING:
    from clustrix_core.jobs.decorator import ClusterFunction

MOMENT = 0.1  # seconds that a chunk of calls should take: more is noticed late, less costs more
GROWTH = 8  # times that a chunk may be larger than one that was seen to take less

_workers = Workers()


def call(function: ClusterFunction[Any, Any], config: ClusterConfig, arguments: Call) -> Any:
    """Call a function in a worker, and wait. Ctrl-C ends the worker."""
    order = Calls(function, config, [arguments], progress=True).hand_out(range(1))
    try:
        (data,) = order.result()
    except KeyboardInterrupt:
        order.end()
        raise
    except WorkerDiedError as error:
        raise died(error, 1) from error
    outcome = _outcome("the call", data)
    if isinstance(outcome, _Raised):
        raise outcome.error
    return outcome


def died(error: WorkerDiedError, calls: int) -> JobError:
    """What a call raises that ended with its worker."""
    among = "" if calls == 1 else f", in the midst of {calls} calls"
    return JobError(f"the worker process ended without a word ({error}){among}")


class Calls:
    """Calls of one function, which go to the workers in chunks.

    Args:
        function: the function.
        config: that of the place.
        calls: their arguments.
        progress: let its loops tell how far they are, if they are to. In a `map`, one line tells of all.

    Raises:
        LoopError: a loop can't be split that has to be.
    """

    def __init__(
        self,
        function: ClusterFunction[Any, Any],
        config: ClusterConfig,
        calls: list[Call],
        *,
        progress: bool = False,
    ) -> None:
        self.calls = calls
        self._cores = parallel.cores_of(function, config)
        loops = parallel.planned(function, config)
        self._loops = loops and loops._replace(progress=loops.progress and progress)
        self.workers = max(1, cores() // self._cores)
        # By its name, if it has one that others can import: then it is the module's own, and imported once.
        named = isinstance(function.__reduce__(), str)
        try:
            self._function = travel.dumps(function if named else function.local)
        except Exception as error:
            culprit.in_function(error, function)
            raise
        self._config = travel.dumps(config)
        self._marker, self._work_dir = marker(config), os.path.abspath(config.local_work_dir or ".")

    def hand_out(self, chunk: range) -> Order:
        """Have some of the calls done."""
        packer, calls = travel.Packer(), self.calls[chunk.start : chunk.stop]
        try:
            packed = [
                args if not kwargs and travel.is_fixed(args) else packer.dumps((args, kwargs))
                for args, kwargs in calls
            ]
        except Exception as error:
            if len(calls) == 1:
                culprit.in_call(error, calls[0])
            raise
        place = self._config, self._marker, self._work_dir
        task = Task(self._function, *place, packed, self._cores, self._loops)
        return _workers.submit(self.workers, run, task)


class _Raised(NamedTuple):
    """What a call raised: it may also return an exception."""

    error: BaseException


class _Cancelled(_Raised):
    """It was cancelled."""


def _outcome(what: str, data: Any) -> Any:
    """What a call returned, or `_Raised`; see `worker.run`."""
    if type(data) is not bytes:
        return data
    try:
        told = pickle.loads(data)
        return _Raised(what_was_raised(what, *told)) if isinstance(told, Failed) else told
    except (Exception, SystemExit) as error:  # it runs code of the user's modules
        unread = JobError(f"{what}: its result can't be read: {type(error).__name__}: {error}")
        unread.__cause__ = error
        return _Raised(unread)


class Attended(Submission):
    """The calls of one `map`: chunks of them are done, which grow as long as they take but a moment."""

    def __init__(self, record: Record, config: ClusterConfig, calls: Calls) -> None:
        super().__init__(record, config)
        self._calls = calls
        self._changed = threading.Condition()
        self._outcomes: dict[int, Any] = {}
        self._next, self._size = 0, 1
        self._under_way: dict[range, Order | None] = {}
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
        count, name = len(self._calls.calls), printable(self.record.function)

        def line(_done: int, _total: int | None, seconds: float) -> str:
            done = len(self._outcomes)
            return f"{bar(done, count)} {name}: {done:,} of {count:,} done, {clock(seconds)}"

        for task in in_order(count, self._has_ended, line, lambda: self.cancel(self.jobs)):
            outcome = self._outcomes[task]
            if isinstance(outcome, _Raised):
                raise outcome.error
            yield outcome

    def _has_ended(self, task: int, timeout: float | None) -> bool:
        if task in self._outcomes:
            return True
        with self._changed:
            return self._changed.wait_for(partial(self._outcomes.__contains__, task), timeout)

    def is_running(self, job: Job) -> bool:
        with self._changed:
            orders = [order for chunk, order in self._under_way.items() if job.task in chunk and order]
        return not job.done() and any(order.running() for order in orders)

    def conclude(self) -> None:
        """Nothing of them is remembered."""

    def cancel(self, jobs: list[Job]) -> None:
        """What has not begun is not begun; what runs is ended, unless calls that go on are with it."""
        with self._changed:
            waiting = [job for job in jobs if job.task not in self._outcomes]
            self._outcomes.update({job.task: _Cancelled(CancelledError()) for job in waiting})
            in_vain = [order for chunk, order in self._under_way.items() if order and self._is_in_vain(chunk)]
            self._changed.notify_all()
        for order in in_vain:
            order.end()
        for job in waiting:
            job.give_up("cancelled", "")

    def _is_in_vain(self, chunk: range) -> bool:
        return all(task in self._outcomes for task in chunk)

    def _feed(self) -> None:
        """Keep the workers busy: while each has a chunk, another one waits for it."""
        while (chunk := self._next_chunk()) is not None:
            self._hand_out(chunk)

    def _next_chunk(self) -> range | None:
        with self._changed:
            count = len(self._calls.calls)
            while self._next in self._outcomes:  # it was cancelled
                self._next += 1
            if self._next == count or len(self._under_way) >= 2 * self._calls.workers:
                return None
            size = max(1, min(self._size, (count - self._next) // (2 * self._calls.workers)))
            stop = self._next + 1
            while stop < self._next + size and stop not in self._outcomes:
                stop += 1
            chunk = range(self._next, stop)
            self._next, self._under_way[chunk] = stop, None
            return chunk

    def _hand_out(self, chunk: range) -> None:
        began = time.monotonic()
        try:
            order = self._calls.hand_out(chunk)
        except Exception as error:  # the arguments of one of them can't be pickled, say
            if len(chunk) == 1:
                self._take(chunk, [_Raised(error)])
                return
            with self._changed:
                del self._under_way[chunk]
                self._under_way.update({range(task, task + 1): None for task in chunk})
            for task in chunk:
                self._hand_out(range(task, task + 1))
            return
        with self._changed:
            self._under_way[chunk] = order
            in_vain = self._is_in_vain(chunk)
        order.add_done_callback(partial(self._arrived, chunk, began))
        if in_vain:
            order.end()

    def _arrived(self, chunk: range, began: float, order: Order) -> None:
        took = time.monotonic() - began
        if took < MOMENT:
            self._size = max(self._size, int(len(chunk) * min(GROWTH, MOMENT / took)))
        elif took > 10 * MOMENT:
            self._size = max(1, len(chunk) // 2)
        try:
            answers = zip(chunk, order.result(), strict=True)
            outcomes = [_outcome(f"call {task}", data) for task, data in answers]
        except WorkerDiedError as error:
            outcomes = [_Raised(died(error, len(chunk)))] * len(chunk)
        except Exception as error:
            outcomes = [_Raised(error)] * len(chunk)
        self._take(chunk, outcomes)
        self._feed()

    def _take(self, chunk: range, outcomes: list[Any]) -> None:
        with self._changed:
            for task, outcome in zip(chunk, outcomes, strict=True):
                self._outcomes.setdefault(task, outcome)  # it may have been cancelled
            del self._under_way[chunk]
            self._changed.notify_all()
            jobs = self.__dict__.get("jobs", ())
        for task in chunk if jobs else ():
            self._settle(jobs[task])

    def _settle(self, job: Job) -> None:
        outcome = self._outcomes[job.task]
        if isinstance(outcome, _Cancelled):
            job.give_up("cancelled", "")
        elif isinstance(outcome, _Raised):
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
