"""Failures as exit codes and as lines on standard error."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import TypeVar

import click

from clustrix_core.errors import (
    BackendNotFoundError,
    ClustrixError,
    PartialResultWarning,
    described,
    printable,
)

T = TypeVar("T")

OK = 0
NO = 1
USAGE = 2
FAILURE = 3
CLOSED = 141  # 128 and the number of SIGPIPE


def complain(message: str) -> None:
    """Write a message to standard error."""
    write_error(f"clustrix: {message}")


def write_error(text: str) -> None:
    """Write lines to standard error; nothing in them, such as a file's name, can steer a terminal."""
    click.echo("\n".join(map(printable, text.split("\n"))), err=True)


def report(error: BaseException) -> int:
    """Write what went wrong to standard error, and return the exit code for it."""
    complain(_described(error))
    return _code(error)


def each(
    items: Iterable[T], action: Callable[[T], int | None], before_report: Callable[[], object] = int
) -> int:
    """Do something for each item; report those that fail, and go on. Returns the highest exit code.

    Args:
        items: the items.
        action: may return an exit code.
        before_report: called before anything is written to standard error.

    Raises:
        ClustrixError: the place as a whole fails, a connection for instance; the other items would, too.
    """
    code = OK
    for item in items:
        try:
            code = max(code, action(item) or OK)
        except ClustrixError:
            raise
        except OSError as error:
            before_report()
            code = max(code, report(error))
    return code


def report_warnings(caught: Iterable[warnings.WarningMessage]) -> int:
    """Write warnings to standard error, each once; return the exit code of a partial result, or 0."""
    code = OK
    lines: dict[str, None] = {}
    for item in caught:
        if isinstance(item.message, PartialResultWarning):
            code = FAILURE
            lines.update(dict.fromkeys(map(_described, item.message.failures)))
        else:
            lines[f"warning: {item.message}"] = None
    for line in lines:
        complain(line)
    return code


def _described(error: BaseException) -> str:
    return described(error) or (
        f"unexpected {type(error).__name__}: {error}; `clustrix --debug ...` shows where it comes from"
    )


def _code(error: BaseException) -> int:
    from clustrix_core.engine import ABSENT

    if isinstance(error, (BackendNotFoundError, ValueError)):  # a ConfigError is a ValueError
        return USAGE
    if isinstance(error, OSError) and error.errno in ABSENT:
        return NO
    return FAILURE
