"""Worker processes that are kept for what comes next, and end with this process."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import TYPE_CHECKING, Any

from clustrix_core import forks
from clustrix_core.jobs.here import CORES

if TYPE_CHECKING:
    from loky.process_executor import ProcessPoolExecutor

IDLE = 300.0  # seconds that an idle worker is kept
GLANCE = 1.0  # seconds between two looks of a worker at whether its process is there


def cores() -> int:
    """Those that this process may use, also where a job, a container or a scheduler has a say."""
    told = int(os.environ.get(CORES, sys.maxsize))
    if told == 1:
        return 1
    from loky import cpu_count

    return min(told, int(cpu_count()))


class Workers:
    """A pool of processes, of the size that was asked for last; it is made when it is needed."""

    def __init__(self) -> None:
        self._ends_with_this_process = self._exiting = False
        self._reset()
        forks.after_in_child(self._reset)  # the workers are the parent's

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._pool: tuple[int, ProcessPoolExecutor] | None = None

    def running(self, count: int) -> bool:
        """Whether there are so many workers already."""
        pool = self._pool
        return pool is not None and pool[0] == count and pool[1]._flags.broken is None

    def submit(self, count: int, run: Callable[..., Any], *arguments: object) -> Future[Any]:
        """Have something done by one of so many workers."""
        pool = self._of(count)
        try:
            future: Future[Any] = pool.submit(run, *arguments)
        except (BrokenExecutor, RuntimeError):  # a worker of it has just died, so this wasn't begun
            self._drop(pool)
            future = self._of(count).submit(run, *arguments)
        self._end_with_this_process()
        return future

    def end(self) -> None:
        """End them, whatever they are doing; what comes next has new ones."""
        with self._lock:
            known, self._pool = self._pool, None
        if known is not None:
            known[1].shutdown(wait=False, kill_workers=True)

    def _of(self, count: int) -> ProcessPoolExecutor:
        with self._lock:
            if self._exiting:
                raise RuntimeError("the process that this was for is ending")
            if self._pool is None or not self.running(count):
                if self._pool is not None:
                    self._pool[1].shutdown(wait=False)  # what they have begun, they end
                self._pool = count, _made(count)
            return self._pool[1]

    def _drop(self, pool: ProcessPoolExecutor) -> None:
        """Use it no longer."""
        with self._lock:
            if self._pool is not None and self._pool[1] is pool:
                self._pool = None

    def _end_with_this_process(self) -> None:
        # At the exit, loky waits for all that is under way, as executors do. What is registered last comes
        # first, and loky registers that with the first submission.
        if not self._ends_with_this_process:
            self._ends_with_this_process = True
            getattr(threading, "_register_atexit", atexit.register)(self._exit)

    def _exit(self) -> None:
        self._exiting = True
        self.end()


def _made(count: int) -> ProcessPoolExecutor:
    from loky import process_executor

    path = os.environ.get(_PATH)
    variables = {}
    if not os.path.exists(process_executor.__file__):  # it came with a job, in an archive
        variables[_PATH] = os.environ[_PATH] = os.pathsep.join(sys.path)
    try:
        return process_executor.ProcessPoolExecutor(
            max_workers=count, timeout=IDLE, initializer=_begin, initargs=(os.getpid(), path), env=variables
        )
    finally:  # it has started a process of its own, which imports loky, too
        _set(_PATH, path)


_PATH = "PYTHONPATH"


def _begin(parent: int, path: str | None) -> None:
    """A worker begins: it ends with the process that it is for, however that ends."""
    _set(_PATH, path)
    threading.Thread(target=_watch, args=(parent,), name="clustrix-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(GLANCE)
    os._exit(1)


def _set(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value
