"""A file that is open in the place."""

from __future__ import annotations

import errno
import io
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from clustrix_core.errors import ClustrixError
from clustrix_core.remote import agent
from clustrix_core.remote.client import Call, Client

BLOCK = 1 << 18
AHEAD = 16  # blocks under way at most, read or written


class RemoteFile(io.RawIOBase):
    """A raw file by the agent's handle. Its position is kept here.

    What is read in sequence is asked for ahead; writing doesn't wait for the answer, `flush` and `close` do.
    A failed or interrupted write breaks the file: nobody knows what of it arrived, so no later write is
    taken and nothing is committed.

    Args:
        opened: the answered call that opened it.
    """

    name: str
    block_size = BLOCK

    def __init__(self, client: Client, opened: Call, path: str, mode: str) -> None:
        self.name, self.mode = path, mode
        self._client, self._opened = client, opened
        self._seekable, replaces, self._position = _shape(opened)
        self._left = memoryview(b"")  # what was read and not yet handed out
        self._ahead: deque[tuple[int, Call]] = deque()  # the offset of a block, and where it will arrive
        self._depth = 1
        self._written: deque[Call] = deque()
        self._broken: str | None = None
        self._dropped = False
        if replaces:
            self.commit = self._commit

    def readable(self) -> bool:
        return self.mode in ("rb", "r+b")

    def writable(self) -> bool:
        return self.mode != "rb"

    def seekable(self) -> bool:
        return self._seekable

    def _ask(self, operation: str, data: bytes = b"", **arguments: Any) -> Call:
        return self._client.call(operation, data, handle=self._opened.number, **arguments)

    # reading

    def readinto(self, buffer: Any) -> int:
        self._check(self.readable(), "not readable")
        view = memoryview(buffer).cast("B")
        if not view:
            return 0
        if self._written:
            self.flush()
        if not self._seekable:
            with self._or_broken("a read"):
                return _fill(view, _block(self._ask("read", offset=None, size=min(len(view), BLOCK))))
        if not self._left:
            self._left = memoryview(self._next_block())
        done = _fill(view, self._left[: len(view)])
        self._left = self._left[done:]
        self._position += done
        return done

    def readall(self) -> bytes:
        parts = []
        while part := self.read(BLOCK):
            parts.append(part)
        return b"".join(parts)

    def _next_block(self) -> bytes:
        if not self._ahead or self._ahead[0][0] != self._position:
            self._forget_ahead()
        while len(self._ahead) < self._depth:
            offset = self._ahead[-1][0] + BLOCK if self._ahead else self._position
            self._ahead.append((offset, self._ask("read", offset=offset, size=BLOCK)))
        self._depth = min(2 * self._depth, AHEAD)
        block = _block(self._ahead.popleft()[1])
        if len(block) < BLOCK:  # the end, for now: it may be written to
            self._forget_ahead()
        return block

    def _forget_ahead(self) -> None:
        self._left = memoryview(b"")
        self._depth = 1
        while self._ahead:
            self._ahead.pop()[1].cancel()

    # writing

    def write(self, data: Any) -> int:
        self._check(self.writable(), "not writable")
        block = bytes(memoryview(data).cast("B")[:BLOCK])
        if self._dropped and hasattr(self, "commit"):
            return len(block)  # it is never to appear
        with self._or_broken("a write"):
            self._forget_ahead()
            offset = self._position if self._seekable and self.mode != "ab" else None
            self._written.append(self._ask("write", block, offset=offset))
            self._position += len(block)
            if not self._dropped:
                while len(self._written) > AHEAD:
                    self._answered(self._written.popleft())
        return len(block)

    def flush(self) -> None:
        """Wait until all that was written has arrived."""
        super().flush()
        if not self._dropped:
            with self._or_broken("a write"):
                while self._written:
                    self._answered(self._written.popleft())

    def _answered(self, call: Call) -> None:
        end = call.value(int)
        if self.mode == "ab" and self._seekable and not self._written:
            self._position = end

    @contextmanager
    def _or_broken(self, what: str) -> Iterator[None]:
        self._check_whole()
        try:
            yield
        except BaseException:
            self._broken = f"{what} failed or was interrupted, so nobody knows the state of the file"
            raise

    def _check_whole(self) -> None:
        if self._broken is not None:
            raise OSError(errno.EIO, f"{self._broken}; open it again", self.name)

    def _check(self, can: bool, problem: str) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not can:
            raise io.UnsupportedOperation(problem)

    # the rest

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._check(self._seekable, "not seekable")
        if whence == os.SEEK_CUR:
            offset += self.tell()
        elif whence == os.SEEK_END:
            self.flush()
            offset += self._ask("size").value(int)
        elif whence != os.SEEK_SET:
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        if offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self.name)
        self._left = self._left[offset - self._position :] if offset >= self._position else memoryview(b"")
        self._position = offset
        return offset

    def tell(self) -> int:
        self._check(self._seekable, "not seekable")
        if self.mode == "ab":
            self.flush()
        return self._position

    def truncate(self, size: int | None = None) -> int:
        self._check(self.writable(), "not writable")
        self.flush()
        self._forget_ahead()
        with self._or_broken("truncating"):
            return self._ask("truncate", size=self.tell() if size is None else size).value(int)

    def _commit(self) -> None:
        self.flush()
        self._check_whole()
        self._ask("commit").value(type(None))

    def discard(self) -> None:
        """Leave what was there before, if the file was to appear by a commit; wait for that."""
        if not self._dropped and not self.closed:
            self._dropped = True
            with suppress(OSError, ClustrixError):  # of a line that is lost, the agent cleans up itself
                self._ask("close").value(type(None))

    def forget(self) -> None:
        """Let go of it without waiting for an answer. What is written from now on goes nowhere if the file
        was to appear by a commit, else it is sent, and not waited for."""
        self._dropped = True

    def close(self) -> None:
        """Close it. Reading ends without a round trip; after writing, failures of that are raised here."""
        if self.closed:
            return
        try:
            if self.writable() and not self._dropped and self._broken is None:
                self.flush()
                self._ask("close").value(type(None))
        finally:
            self._dropped = True
            self._let_go()
            super().close()

    def _let_go(self) -> None:
        self._forget_ahead()
        for call in self._written:
            self._client.forget(call.number)
        self._client.send(self._opened.number, agent.CANCEL)

    def __del__(self) -> None:
        if hasattr(self, "_dropped") and not self.closed:
            self.forget()
            self.close()


def _shape(opened: Call) -> tuple[bool, bool, int]:
    try:
        seekable, replaces, position = opened.result
        return bool(seekable), bool(replaces), int(position)
    except (TypeError, ValueError):
        raise opened.client.nonsense() from None


def _block(call: Call) -> bytes:
    return b"".join(call.parts())


def _fill(view: memoryview, block: bytes | memoryview) -> int:
    view[: len(block)] = block
    return len(block)
