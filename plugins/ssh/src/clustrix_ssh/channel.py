"""`SshChannel`: a command on a host, on a connection that others may share."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clustrix_ssh.connection import Connection

STDERR_KEPT = 4096
GRACE = 2.0  # seconds for the end of a command that has closed its output
PATIENCE = 0.5  # seconds for the rest of what is already on its way


class SshChannel:
    """A running command's standard input and output, as the core's `Channel`.

    Args:
        connection: the connection, which is closed with the channel unless the command has ended by itself:
            whoever gives up a command may do so because the line is dead, and must not wait to find out.
        transport: paramiko's transport.
        channel: paramiko's channel.

    Attributes:
        inner: paramiko's channel.
    """

    def __init__(self, connection: Connection, transport: Any, channel: Any) -> None:
        self.inner = channel
        self._connection, self._transport = connection, transport
        self._said: deque[bytes] = deque(maxlen=64)
        self._closed = False
        self._drain = threading.Thread(target=self._read_errors, name="clustrix-stderr", daemon=True)
        self._drain.start()

    def recv(self, size: int) -> bytes:
        data: bytes = self.inner.recv(size)
        if data or self._closed or self.inner.eof_received:
            return data
        # The host closed the channel, or the connection is gone: its thread ends then.
        self._transport.join(PATIENCE)
        if not self._transport.is_active() and not self._closed:
            raise ConnectionError(getattr(self._transport, "farewell", "") or "the host hung up")
        return b""

    def sendall(self, data: bytes | memoryview) -> None:
        self.inner.sendall(data)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._connection.forget(self)
        if self.inner.eof_received:  # then the command has ended, and the host closes the channel
            with self.inner.out_buffer_cv:
                self.inner.out_buffer_cv.wait_for(lambda: self.inner.closed, GRACE)
        if not self.inner.closed:
            self._connection.close()

    def abandon(self) -> None:
        self._closed = True
        self._connection.abandon()

    def last_words(self) -> str:
        self._drain.join(PATIENCE)
        return b"".join(self._said)[-STDERR_KEPT:].decode("utf-8", "replace").strip()

    def _read_errors(self) -> None:
        while data := self.inner.recv_stderr(4096):
            self._said.append(data)
