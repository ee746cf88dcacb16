"""A line that tells how far long work is: on standard error, when that is a terminal, or in a notebook.

Elsewhere, such as in the log of a job, it may be a few lines.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

DELAY = 0.5  # seconds before the first line, so that quick work shows none
INTERVAL = 0.1  # seconds between two lines
PAUSE = 3.0  # seconds between two lines that stay, at least
BAR = 20  # characters


class Meter:
    """One line that tells how far the work is; it is cleared at the end.

    Args:
        drawn: makes the line of what is done, what is to be done (or None) and the seconds since the start.
        clock: gives seconds.
        logged: where there is no terminal, write lines that stay: one soon, and one whenever a tenth
            more is done.
    """

    def __init__(
        self,
        drawn: Callable[[int, int | None, float], str],
        clock: Callable[[], float] = time.monotonic,
        *,
        logged: bool = False,
    ) -> None:
        self._drawn = drawn
        self._clock = clock
        self._write = _screen()
        self._logged = logged
        self._started = clock()
        self._next = self._started + (DELAY if self._write else PAUSE)
        self._shown = False
        self._told = 0  # what was done at the last line that stays

    @property
    def progress(self) -> Callable[[int, int | None], None] | None:
        """What to give to an operation as its `progress`: None where nobody would see it."""
        if self._write:
            return self._update
        return self._log if self._logged else None

    def clear(self) -> None:
        """Take the line away, so that something else can be written."""
        if self._shown and self._write:
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
        if now >= self._next and self._write:
            self._next = now + INTERVAL
            self._write(self._drawn(done, total, now - self._started)[: _columns() - 1])
            self._shown = True

    def _log(self, done: int, total: int | None) -> None:
        now = self._clock()
        more = not self._told or done - self._told >= (total or self._told) / 10
        due = now >= self._next and more
        over = self._told > 0 and done == total
        if done > self._told and (due or over):
            self._next, self._told = now + PAUSE, done
            _to_log(self._drawn(done, total, now - self._started))


def _screen() -> Callable[[str], None] | None:
    """What shows a line in place of the last one; None where nobody would see it."""
    ipython = sys.modules.get("IPython")
    if ipython is not None and hasattr(ipython.get_ipython(), "kernel"):
        return _NotebookLine()
    if sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return _to_terminal
    return None


def _to_terminal(line: str) -> None:
    sys.stderr.write(f"\r\033[K{line}")
    sys.stderr.flush()


def _to_log(line: str) -> None:
    """Where the process began to write: `sys.stderr` may be what the user's code collects."""
    for stream, text in ((sys.__stdout__, ""), (sys.__stderr__, f"{line}\n")):  # which may be one file
        with suppress(OSError, ValueError, AttributeError):  # a full disk is no reason to fail
            stream.write(text)  # type: ignore[union-attr]
            stream.flush()  # type: ignore[union-attr]


class _NotebookLine:
    """A part of a cell's output that changes."""

    def __init__(self) -> None:
        self._output: Any = None

    def __call__(self, line: str) -> None:
        shown = {"text/plain": line}
        if self._output is None:
            display = importlib.import_module("IPython.display").display
            self._output = display(shown, raw=True, display_id=True)
        else:
            self._output.update(shown, raw=True)


def bar(done: int, total: int) -> str:
    """How much of a whole is done: a bar and per cents."""
    filled = min(done, total) * BAR // total
    return f"[{'#' * filled:<{BAR}}] {min(done, total) * 100 // total:3d}%"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):  # a notebook's has no descriptor
        return 80
