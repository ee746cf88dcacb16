"""The command `doctor`: what is wrong with the way to a place, or with the place, and what to do about it."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import click

from clustrix_core.cli.failures import FAILURE, OK, write_error
from clustrix_core.cli.output import Output, output_options
from clustrix_core.cli.places import Places, complete_profile, place_options
from clustrix_core.errors import printable

if TYPE_CHECKING:
    from clustrix_core.doctor.steps import Check, Outcome

MARKS: dict[Outcome, tuple[str, str]] = {
    "passed": ("passed", "32"),
    "warned": ("warning", "33"),
    "failed": ("FAILED", "31;1"),
    "left out": ("left out", "2"),
}
"""How an outcome is written, and in which colour."""
MARK, NAME = 8, 15  # the widths of columns
FIELDS = ("name", "outcome", "detail", "advice")


def _profile(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    if not value:
        raise click.UsageError("a place can't be empty: leave it out for that of the active config")
    name = value.removesuffix(":")
    if ":" in name or "/" in name:
        raise click.UsageError(f"a place as a whole is looked at: write {name.partition(':')[0] + ':'!r}")
    return name


@click.command(short_help="Look at a place, and say what is wrong.")
@click.argument(
    "place", metavar="[PROFILE:]", required=False, callback=_profile, shell_complete=complete_profile
)
@place_options
@output_options(null=False)
@click.pass_context
def doctor(context: click.Context, place: str | None, places: Places, output: Output) -> int:
    """Look at a place step by step, and say what is wrong and what to do about it.

    By default it is the place of the active config.

    Nothing is changed there outside a scratch folder in the work dir, which is removed at the end. Where
    none can be made, the operations are compared with each other on what is there.

    The exit code is 3 if a step failed, and 0 if all passed, or passed with a warning.
    """
    from clustrix_core.doctor.examination import examine

    name = places.named(place)
    shown: _Shown = _Document(output) if output.as_json else _Lines(output)
    debug = context.find_root().params["debug"]
    checks: list[Check] = []
    course = examine(lambda: places.config(name), shown.begin)
    with shown, _interrupted_by_signals(), closing(course):
        for check in course:
            checks.append(check)
            shown.show(check)
            if debug and check.outcome == "failed" and check.error is not None:
                _write_traceback(check.error)
    counts = Counter(check.outcome for check in checks)
    shown.end(checks, counts)
    return FAILURE if counts["failed"] else OK


class _Shown:
    """How the course of an examination is shown."""

    def __init__(self, output: Output) -> None:
        self.output = output

    def begin(self, name: str) -> None:
        """A step is about to be taken."""

    def show(self, check: Check) -> None:
        """A step is done."""

    def end(self, checks: list[Check], counts: Counter[Outcome]) -> None:
        """All are done."""

    def __enter__(self) -> _Shown:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There will be no more steps."""


class _Document(_Shown):
    """One JSON document, at the end."""

    def end(self, checks: list[Check], counts: Counter[Outcome]) -> None:
        told = [
            {name: getattr(check, name) for name in FIELDS} | {"seconds": round(check.seconds, 4)}
            for check in checks
        ]
        counted = {outcome.replace(" ", "_"): counts[outcome] for outcome in MARKS}
        self.output.document({"checks": told, **counted})


class _Lines(_Shown):
    """A line for each step, and one for its advice; on a terminal also the name of the one under way."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._clear = "\r\033[K" if output.terminal and os.environ.get("TERM") != "dumb" else ""
        self._pending: list[str] = []  # the names of steps that an earlier failure leaves out

    def begin(self, name: str) -> None:
        if self._clear:
            self.output.text(f"{self._clear}{'...':<{MARK}} {name} ")

    def show(self, check: Check) -> None:
        if check.outcome == "left out" and not check.detail:
            self._pending.append(check.name)
            return
        mark, colour = MARKS[check.outcome]
        shown = self.output.paint(f"{mark:<{MARK}}", colour)
        self.output.line(f"{self._clear}{shown} {check.name:<{NAME}} {_flat(check.detail)}".rstrip())
        if check.advice:
            self.output.line(f"{'':<{MARK}} {'':<{NAME}} -> {_flat(check.advice)}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._clear:
            self.output.text(self._clear)

    def end(self, checks: list[Check], counts: Counter[Outcome]) -> None:
        if self._pending:
            mark, colour = MARKS["left out"]
            self.output.line(f"{self.output.paint(f'{mark:<{MARK}}', colour)} {', '.join(self._pending)}")
        told = [outcome for outcome in MARKS if counts[outcome] or outcome in ("passed", "failed")]
        summary = ", ".join(f"{counts[outcome]} {outcome}" for outcome in told)
        self.output.line(self.output.paint(summary, "31;1" if counts["failed"] else "32;1"))


def _flat(text: str) -> str:
    """Text as it stands on one line, and steers no terminal."""
    return printable(" ".join(text.split("\n")))


def _write_traceback(error: BaseException) -> None:
    import traceback

    write_error("".join(traceback.format_exception(error)).rstrip("\n"))


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Let what ends a process by default interrupt it instead, so that the scratch folder is removed."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


COMMANDS = (doctor,)
