"""What a worker process of `workers` runs: it does what it is given, one thing after the other.

It ends, with all that it has started, when its parent does, whatever it is doing then.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO

BEGUN = b"\n"  # comes before each answer, as soon as there is something to do


def serve(line: socket.socket, given: BinaryIO) -> None:
    """Do what comes over the line: say that it begins, and then whether it worked, and what came of it."""
    if sys.stderr is not None:
        faulthandler.enable()
    line.set_inheritable(False)
    os.register_at_fork(after_in_child=partial(_leave, line))
    threading.Thread(target=_end_with_parent, args=(line.fileno(),), daemon=True).start()
    with line.makefile("wb") as answers:
        while given.peek(1):  # type: ignore[attr-defined]
            line.sendall(BEGUN)
            run, arguments = pickle.load(given)
            pickle.dump(_answer(run, arguments), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
            del arguments


def _answer(run: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, run(*arguments)
    except BaseException as error:
        return False, _sendable(error)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # it is closed, say
                stream.flush()


def _sendable(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        with suppress(Exception):
            pickle.loads(pickle.dumps(error))
            return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def _leave(line: socket.socket) -> None:
    """In a forked child: the worker, whose end shows by that of its line, is another."""
    descriptor = line.detach()
    if descriptor >= 0:
        os.close(descriptor)


def _end_with_parent(line: int) -> None:
    hung_up = select.poll()
    hung_up.register(line, 0)
    hung_up.poll()
    os.killpg(0, signal.SIGKILL)
