"""Channels: two streams of bytes to and from a command that runs somewhere."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from clustrix_core.engine import Engine
from clustrix_core.remote.agent import Agent, Cancelled, widen

STDERR_KEPT = 4096
GRACE = 2.0  # seconds that a command has to end by itself once its input is closed


class Channel(Protocol):
    """A running command's standard input and output.

    One thread receives while another sends; any thread may close. The channel drains the command's stderr
    by itself.
    """

    def recv(self, size: int) -> bytes:
        """Wait for output and return up to `size` bytes of it; nothing at its end, or once closed.

        Raises:
            Exception: the connection is broken.
        """
        ...

    def sendall(self, data: bytes | memoryview) -> None:
        """Send all of it.

        Raises:
            Exception: the connection is broken or closed.
        """
        ...

    def close(self) -> None:
        """End the command, which sees the end of its input first, and wake whoever receives or sends.

        It takes bounded time, also on a line that is stalled. Closing twice does nothing.
        """
        ...

    def abandon(self) -> None:
        """In a forked child: close inherited descriptors without sending a byte, or waiting for a lock."""
        ...

    def last_words(self) -> str:
        """The end of what the command wrote to stderr, for error messages."""
        ...


class PipeChannel:
    """The channel of a command on this machine, such as `ssh`, `kubectl exec -i` or `docker exec -i`.

    Args:
        command: the program and its arguments.
        new_session: keep the terminal's Ctrl-C from it, and the terminal itself, where it could ask things.

    Raises:
        OSError: it can't be started.
    """

    def __init__(self, command: Sequence[str], *, new_session: bool = True) -> None:
        pipe = subprocess.PIPE
        self._new_session = new_session
        self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 (the user's own command)
            list(command), bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=new_session
        )
        self._input: Any = self._process.stdin
        self._output: Any = self._process.stdout
        self._errors: Any = self._process.stderr
        widen(*(file.fileno() for file in (self._process.stdin, self._process.stdout) if file))
        self._said: deque[bytes] = deque(maxlen=64)
        self._sending = threading.Lock()
        self._closed = False
        self._drain = threading.Thread(target=self._read_errors, name="clustrix-stderr", daemon=True)
        self._drain.start()

    def recv(self, size: int) -> bytes:
        return os.read(self._output.fileno(), size)

    def sendall(self, data: bytes | memoryview) -> None:
        with self._sending:
            view = memoryview(data)
            while view:
                view = view[os.write(self._input.fileno(), view) :]

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._sending.acquire(blocking=False):  # else somebody is stuck in there: killing wakes them
            try:
                self._input.close()
            finally:
                self._sending.release()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
        if self._process.poll() is None:
            self._kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # a program may run as somebody else
            if self._new_session:
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def abandon(self) -> None:
        self._closed = True
        self._process.returncode = 0  # another process's child: never waited for here
        for file in (self._input, self._output, self._errors):
            file.close()

    def __del__(self) -> None:  # not before: another thread may still read from them
        for name in ("_input", "_output", "_errors"):
            if hasattr(self, name):
                getattr(self, name).close()

    def last_words(self) -> str:
        self._drain.join(0.5)  # it ends with the command
        return b"".join(self._said)[-STDERR_KEPT:].decode("utf-8", "replace").strip()

    def _read_errors(self) -> None:
        while True:
            try:
                data = os.read(self._errors.fileno(), 4096)
            except (OSError, ValueError):
                return
            if not data:
                return
            self._said.append(data)


class EngineChannel:
    """A channel to an agent in a thread of this process, over an engine that reaches the place by itself.

    Args:
        engine: whose methods do what the agent is asked for. If it has them, `close` and `abandon` are called
            with the channel's, and `when_lost` takes a function to call when it lost the place.
        marker: what the agent says first.
        beat: the time between its signs of life, in seconds.
    """

    def __init__(self, engine: Engine, marker: bytes, beat: float) -> None:
        self._near, far = socket.socketpair()
        self._far, self._engine = far, engine
        self._agent = Agent(engine, os.dup(far.fileno()), far.fileno(), beat)
        when_lost = getattr(engine, "when_lost", None)
        if when_lost is not None:
            when_lost(lambda reason: self._hang_up())
        threading.Thread(target=self._serve, args=(marker,), name="clustrix-engine", daemon=True).start()

    def _serve(self, marker: bytes) -> None:
        with suppress(Cancelled, OSError, ValueError), self._far, self._agent.input:
            self._agent.serve(marker)

    def recv(self, size: int) -> bytes:
        return self._near.recv(size)

    def sendall(self, data: bytes | memoryview) -> None:
        self._near.sendall(data)

    def close(self) -> None:
        self._hang_up()
        if hasattr(self._engine, "close"):
            self._engine.close()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._near.shutdown(socket.SHUT_RDWR)

    def abandon(self) -> None:
        self._near.close()
        self._far.close()
        if hasattr(self._engine, "abandon"):
            self._engine.abandon()

    def __del__(self) -> None:  # not before: another thread may still read from it
        if hasattr(self, "_near"):
            self._near.close()

    def last_words(self) -> str:
        return ""
