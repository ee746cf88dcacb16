"""The lines of a `Meter` for the work of commands."""

from __future__ import annotations

from collections.abc import Callable

from clustrix_core.cli.output import human_size
from clustrix_core.meter import bar


def entries(done: int, _total: int | None, _seconds: float) -> str:
    """The line of a walk."""
    return f"{done:,} entries seen"


def transfer(name: str) -> Callable[[int, int | None, float], str]:
    """The line of a copy: bytes, a bar and the rate."""

    def line(done: int, total: int | None, seconds: float) -> str:
        amount = f"{human_size(done)}B, {human_size(round(done / max(seconds, 0.001)))}B/s"
        if not total:
            return f"{amount} {name}"
        return f"{bar(done, total)} {amount} {name}"

    return line
