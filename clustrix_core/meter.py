"""A line that tells how far long work is, on standard error, when that is a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType

DELAY = 0.5  # seconds before the first line, so that quick work shows none
INTERVAL = 0.1  # seconds between two lines
BAR = 20  # characters


class Meter:
    """One line that tells how far the work is; it is cleared at the end.

    Args:
        drawn: makes the line of what is done, what is to be done (or None) and the seconds since the start.
        clock: gives seconds.
    """

    def __init__(
        self, drawn: Callable[[int, int | None, float], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._drawn = drawn
        self._clock = clock
        self._terminal = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._started = clock()
        self._next = self._started + DELAY
        self._shown = False

    @property
    def progress(self) -> Callable[[int, int | None], None] | None:
        """What to give to an operation as its `progress`: None where nobody would see it."""
        return self._update if self._terminal else None

    def clear(self) -> None:
        """Take the line away, so that something else can be written."""
        if self._shown:
            self._write("")
            self._shown = False

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def _update(self, done: int, total: int | None) -> None:
        now = self._clock()
        if now >= self._next:
            self._next = now + INTERVAL
            self._write(self._drawn(done, total, now - self._started)[: _columns() - 1])
            self._shown = True

    def _write(self, line: str) -> None:
        sys.stderr.write(f"\r\033[K{line}")
        sys.stderr.flush()


def bar(done: int, total: int) -> str:
    """How much of a whole is done: a bar and per cents."""
    filled = min(done, total) * BAR // total
    return f"[{'#' * filled:<{BAR}}] {min(done, total) * 100 // total:3d}%"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
