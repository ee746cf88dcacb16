"""A file that is open in the place."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from clustrix_core.remote import agent

if TYPE_CHECKING:
    from clustrix_core.remote.client import Client


class RemoteFile(io.RawIOBase):
    """A raw file by the agent's handle; each call is one round trip."""

    name: str

    def __init__(self, client: Client, path: str, mode: str) -> None:
        self._client = client
        self.name, self.mode = path, mode
        self._handle, self._seekable, replaces = client.call("open", path=path, mode=mode).wait()
        self._dropped = False
        if replaces:
            self.commit = self._commit

    def _ask(self, operation: str, data: bytes = b"", **arguments: Any) -> Any:
        return self._client.call(operation, data, handle=self._handle, **arguments).wait()

    def readable(self) -> bool:
        return self.mode in ("rb", "r+b")

    def writable(self) -> bool:
        return self.mode != "rb"

    def seekable(self) -> bool:
        return bool(self._seekable)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        call = self._client.call("read", handle=self._handle, size=min(len(view), agent.MAX_BODY))
        done = 0
        for block in call.parts():
            view[done : done + len(block)] = block
            done += len(block)
        return done

    def write(self, data: Any) -> int:
        block = bytes(memoryview(data).cast("B")[: agent.MAX_BODY // 2])
        return len(block) if self._dropped else int(self._ask("write", block))

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._ask("seek", offset=offset, whence=whence))

    def truncate(self, size: int | None = None) -> int:
        return int(self._ask("truncate", size=self.tell() if size is None else size))

    def _commit(self) -> None:
        self._ask("commit")

    def discard(self) -> None:
        """Let go of it without waiting for an answer; what is written from now on goes nowhere."""
        if not self._dropped:
            self._dropped = True
            arguments = {"operation": "close", "handle": self._handle}
            self._client.send_soon(self._client.new_number(), agent.CALL, agent.pack_call(arguments))

    def close(self) -> None:
        if self.closed:
            return
        try:
            if self._client.alive and not self._dropped:
                self._dropped = True
                self._ask("close")
        finally:
            super().close()

    def __del__(self) -> None:
        if not self.closed and hasattr(self, "_dropped"):
            self.discard()
            self.close()
