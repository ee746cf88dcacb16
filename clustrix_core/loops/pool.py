"""The worker processes of split loops; they are kept for the next loop."""

from __future__ import annotations

import atexit
import os
import threading
from concurrent.futures import Future
from functools import cache
from typing import TYPE_CHECKING

from clustrix_core.loops.worker import Order, run, warm

if TYPE_CHECKING:
    from loky.process_executor import ProcessPoolExecutor

IDLE = 300.0  # seconds that an idle worker is kept

_lock = threading.RLock()
_pool: tuple[int, ProcessPoolExecutor] | None = None
_exiting = False


def _forget() -> None:
    """In a forked child: the workers are the parent's."""
    global _lock, _pool
    _lock, _pool = threading.RLock(), None


os.register_at_fork(after_in_child=_forget)


def _workers(count: int) -> ProcessPoolExecutor:
    global _pool
    with _lock:
        if _exiting:
            raise RuntimeError("the process that the loop is in is ending")
        if _pool is None or _pool[0] != count or _pool[1]._flags.broken is not None:
            from loky.process_executor import ProcessPoolExecutor

            if _pool is not None:
                _pool[1].shutdown(wait=False)
            _pool = count, ProcessPoolExecutor(max_workers=count, timeout=IDLE)
            _end_with_this_process()
        return _pool[1]


def running(count: int) -> bool:
    """Whether there are so many workers already."""
    return _pool is not None and _pool[0] == count and _pool[1]._flags.broken is None


def submit(count: int, order: Order) -> Future[bytes]:
    """Have some iterations done."""
    future: Future[bytes] = _workers(count).submit(run, order)
    return future


def get_ready(count: int, order: Order) -> list[Future[float]]:
    """Start the workers, and have them load a loop's work."""
    pool = _workers(count)
    return [pool.submit(warm, order) for _ in range(count)]


@cache
def _end_with_this_process() -> None:
    # At the exit, loky waits for all that is under way, as executors do. What is registered last comes first.
    getattr(threading, "_register_atexit", atexit.register)(_exit)


def _exit() -> None:
    global _exiting
    _exiting = True
    end()


def end() -> None:
    """End them, whatever they are doing; the next loop has new ones."""
    global _pool
    with _lock:
        known, _pool = _pool, None
    if known is not None:
        known[1].shutdown(wait=False, kill_workers=True)
