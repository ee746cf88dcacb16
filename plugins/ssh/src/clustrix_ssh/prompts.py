"""Asking the user: passphrases, passwords, and whatever a host wants to know besides."""

from __future__ import annotations

import os
import select
import termios
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

PATIENCE = 120.0  # seconds for one answer; sshd's own LoginGraceTime


@dataclass(frozen=True)
class Question:
    """What has to be answered to log in.

    Attributes:
        place: who asks, such as `researcher@cluster.edu:22`.
        title: a title that the host gives, often empty.
        instructions: further text of the host, often empty.
        prompts: each prompt, and whether its answer may be seen while it is typed.
    """

    place: str
    title: str
    instructions: str
    prompts: tuple[tuple[str, bool], ...]


Prompter = Callable[[Question], "Sequence[str] | None"]


def set_prompter(prompter: Prompter | None) -> Prompter | None:
    """Say who answers when logging in takes a passphrase, a password or a code; for the whole process.

    By default that is the user at the terminal, if the process has one. It is called by the thread that
    needs the connection, one at a time.

    Args:
        prompter: gets a `Question` and returns one answer for each of its prompts, or None if it has none.
            None stands for the default.

    Returns:
        The prompter so far.
    """
    global _prompter
    before, _prompter = _prompter, prompter
    return before


def ask(question: Question) -> list[str] | None:
    """The user's answers; None if there is nobody to ask, or no answer."""
    with _asking:
        answers = (_prompter or ask_terminal)(question)
    if answers is None or len(answers) != len(question.prompts):
        return None
    return [str(answer) for answer in answers]


def ask_terminal(question: Question) -> list[str] | None:
    """Ask at the controlling terminal; None if there is none, if it is another's, or if nobody answers."""
    if "_CLUSTRIX_COMPLETE" in os.environ:  # a shell completes a line, which is what is typed there
        return None
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # A background job would be stopped for touching the terminal.
        if os.tcgetpgrp(terminal) != os.getpgrp():
            return None
        for text in (question.title, question.instructions):
            if text.strip():
                _write(terminal, text.rstrip("\n") + "\n")
        return [_ask_one(terminal, question.place, prompt, echo) for prompt, echo in question.prompts]
    except (OSError, EOFError, termios.error):
        return None
    finally:
        os.close(terminal)


def _ask_one(terminal: int, place: str, prompt: str, echo: bool) -> str:
    before = termios.tcgetattr(terminal)
    quiet = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    try:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before if echo else quiet)
        _write(terminal, f"({place}) {prompt}")
        return _line(terminal)
    finally:
        with suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        if not echo:
            _write(terminal, "\n")


def _line(terminal: int) -> str:
    end = time.monotonic() + PATIENCE
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0]:
            raise EOFError
        data = os.read(terminal, 1024)
        if not data:
            raise EOFError
        line += data
    return line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")


def _write(terminal: int, text: str) -> None:
    """What a host says must not steer the terminal."""
    shown = "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
    os.write(terminal, shown.encode("utf-8", "replace"))


_prompter: Prompter | None = None
_asking = threading.RLock()


def _forget_askers() -> None:
    global _asking
    _asking = threading.RLock()


os.register_at_fork(after_in_child=_forget_askers)
