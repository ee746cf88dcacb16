"""Worker processes that are kept for what comes next, and end with this process."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import TYPE_CHECKING, Any

from clustrix_core import forks

if TYPE_CHECKING:
    from loky.process_executor import ProcessPoolExecutor

IDLE = 300.0  # seconds that an idle worker is kept


def cores() -> int:
    """Those that this process may use, also where a container or a scheduler has a say."""
    from loky import cpu_count

    return int(cpu_count())


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
                from loky.process_executor import ProcessPoolExecutor

                if self._pool is not None:
                    self._pool[1].shutdown(wait=False)  # what they have begun, they end
                self._pool = count, ProcessPoolExecutor(max_workers=count, timeout=IDLE)
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
