"""Channels: two streams of bytes to and from a command that runs somewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

STDERR_KEPT = 4096


class Channel(Protocol):
    """A running command's standard input and output.

    One thread receives while others send. The channel drains the command's stderr by itself.
    """

    def recv(self, size: int) -> bytes:
        """Wait for output and return up to `size` bytes of it; nothing at its end, or once closed.

        Raises:
            OSError: the connection is broken.
        """
        ...

    def sendall(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            OSError: the connection is broken or closed.
        """
        ...

    def close(self) -> None:
        """End the command and wake a thread that waits in `recv`. Closing twice does nothing."""
        ...

    def abandon(self) -> None:
        """In a forked child: close inherited descriptors without sending a byte."""
        ...

    def last_words(self) -> str:
        """The end of what the command wrote to stderr, for error messages."""
        ...


class PipeChannel:
    """The channel of a command on this machine, such as `ssh`, `kubectl exec -i` or `docker exec -i`.

    Args:
        command: the program and its arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        pipe = subprocess.PIPE
        # A session of its own: Ctrl-C is for this program, and all that it started ends with it.
        self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 (the user's own command)
            list(command), bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        self._input: Any = self._process.stdin
        self._output: Any = self._process.stdout
        self._errors: Any = self._process.stderr
        self._said: deque[bytes] = deque(maxlen=64)
        self._closing = threading.Lock()
        self._drain = threading.Thread(target=self._read_errors, name="clustrix-stderr", daemon=True)
        self._drain.start()

    def recv(self, size: int) -> bytes:
        return os.read(self._output.fileno(), size)

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._input.fileno(), view) :]

    def close(self) -> None:
        with self._closing:
            if self._process.returncode is not None:
                return
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # this closes the pipes and wakes whoever reads
            self._process.wait()
            self._input.close()

    def abandon(self) -> None:
        self._process.returncode = 0  # another process's child: never waited for here
        self._input.close()

    def __del__(self) -> None:  # not before: another thread may still read from them
        for file in (self._output, self._errors):
            file.close()

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
