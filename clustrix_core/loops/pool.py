"""The worker processes of split loops; they are kept for the next loop."""

from __future__ import annotations

from concurrent.futures import Future

from clustrix_core.loops.worker import Order, run, warm
from clustrix_core.workers import Workers

_workers = Workers()
running, end = _workers.running, _workers.end


def submit(count: int, order: Order) -> Future[bytes]:
    """Have some iterations done."""
    return _workers.submit(count, run, order)


def get_ready(count: int, order: Order) -> list[Future[float]]:
    """Start the workers, and have them load a loop's work."""
    return [_workers.submit(count, warm, order) for _ in range(count)]
