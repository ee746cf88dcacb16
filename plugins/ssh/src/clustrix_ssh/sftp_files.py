"""Files that are open over SFTP, with the methods of the engine's `File` and `Replacement`."""

from __future__ import annotations

import errno
import io
import os
import secrets
import stat
from collections import deque
from contextlib import suppress
from hashlib import sha256
from typing import Any

from clustrix_core.engine import BLOCK
from clustrix_ssh import sftp_client as sftp
from clustrix_ssh.sftp_client import Attributes, Reply, SftpClient, SftpStatusError, string

AHEAD = 1 << 23  # bytes that are asked for before they are wanted, or written before anyone waits
FLAG_READ, FLAG_WRITE, FLAG_APPEND, FLAG_CREATE, FLAG_TRUNCATE, FLAG_EXCLUSIVE = 1, 2, 4, 8, 16, 32
FLAGS = {"rb": FLAG_READ, "r+b": FLAG_READ | FLAG_WRITE, "ab": FLAG_WRITE | FLAG_APPEND | FLAG_CREATE}


def open_file(client: SftpClient, real: bytes, mode: str, permissions: int) -> SftpFile:
    """Open a file as `Engine.open` does; two round trips to read, five to write anew.

    Raises:
        OSError: as `open` raises; a FIFO is refused, as the server would wait for its other end and answer
            nobody meanwhile.
    """
    before = look(client, real, sftp.STAT)
    if before is not None:
        refuse_what_is_no_file(client, before, real, mode)
    if mode in FLAGS:
        file = SftpFile(client, real, FLAGS[mode], permissions, before)
        if mode == "ab" and before is not None:
            file.seek(0, os.SEEK_END)
        return file
    if mode == "xb" and (before is not None or look(client, real, sftp.LSTAT) is not None):
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), real)
    if before is None and real.endswith(b"/"):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), real)
    target = resolved(client, real)
    if before is not None and not stat.S_ISREG(before.st_mode):
        return SftpFile(client, target, FLAG_WRITE, permissions, before)
    if before is not None:
        SftpFile(client, target, FLAG_WRITE, permissions, before).close()  # is it ours to write?
        return SftpReplacement(client, target, before, 0o600, False)
    return SftpReplacement(client, target, None, permissions, mode == "xb")


def look(client: SftpClient, path: bytes, kind: int) -> Attributes | None:
    """What is there; None where nothing is."""
    try:
        status: Attributes = client.ask(kind, string(path), sftp.ATTRS)
        return status
    except SftpStatusError as status:
        if status.code == sftp.NO_SUCH_FILE:
            return None
        raise sftp.os_error(status, path) from None


def resolved(client: SftpClient, path: bytes) -> bytes:
    """A path without links, whose last component need not be there."""
    try:
        real: bytes = client.ask(sftp.REALPATH, string(path), sftp.NAME)[0][0]
        return real
    except SftpStatusError as status:
        raise sftp.os_error(status, path) from None


def refuse_what_is_no_file(client: SftpClient, status: Attributes, path: bytes, mode: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        if mode == "rb":  # a system looks first whether it may be read
            try:
                client.tell(sftp.CLOSE, client.ask(sftp.OPENDIR, string(path), sftp.HANDLE))
            except SftpStatusError as failure:
                raise sftp.os_error(failure, path) from None
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if stat.S_ISFIFO(status.st_mode):
        raise OSError(errno.EOPNOTSUPP, "a FIFO can't be opened over SFTP", path)


class SftpFile(io.RawIOBase):
    """A raw file. What is read in order is read ahead; what is written is on its way when `write` returns.

    A write that failed raises at the next call.

    Args:
        path: as the server is given it.
        flags: the draft's `SSH_FXF_*`.
        permissions: of a new file, before the server's umask.
        before: what was there; None where nothing was.
    """

    name: str | bytes

    def __init__(
        self, client: SftpClient, path: bytes, flags: int, permissions: int, before: Attributes | None
    ) -> None:
        super().__init__()
        self._closed_there = True
        self._client, self._path, self._flags = client, path, flags
        self.name = path
        self._position = 0
        self._regular = before is None or stat.S_ISREG(before.st_mode)
        self._size = before.st_size if before is not None else 0
        self._asked: deque[tuple[int, int, Reply]] = deque()  # reads under way: offset, length, answer
        self._asked_to = self._at = 0  # where the last of them ends, and where the next should begin
        self._left = b""  # what was read before that place and not yet wanted
        self._written: deque[tuple[int, Reply]] = deque()  # writes under way
        self._writing = self._written_to = 0
        self._broken: OSError | None = None
        self._told = False  # that it is broken
        arguments = string(path) + sftp.U32.pack(flags) + sftp.attributes(mode=permissions & 0o777)
        self._handle: bytes = self._ask(sftp.OPEN, arguments, sftp.HANDLE)
        self._closed_there = False

    def _ask(self, kind: int, body: bytes, expected: int = sftp.STATUS) -> Any:
        try:
            return self._client.ask(kind, body, expected)
        except SftpStatusError as status:
            raise sftp.os_error(status, self._path) from None

    # what it is

    def readable(self) -> bool:
        return bool(self._flags & FLAG_READ)

    def writable(self) -> bool:
        return bool(self._flags & FLAG_WRITE)

    def seekable(self) -> bool:
        return self._regular

    def status(self) -> Attributes:
        """What `fstat` tells, once all is written. One round trip."""
        self._settle()
        status: Attributes = self._ask(sftp.FSTAT, self._handle, sftp.ATTRS)
        return status

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if not self._regular:
            raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE), self.name)
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        if start is None:
            start = self.status().st_size
        if start + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self.name)
        self._position = start + offset
        return self._position

    # reading

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        self._check_readable()
        if size is None or size < 0:
            return self.readall()
        data = self.read_at(self._position, size)
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self.read(1 << 20), b""))

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from there on, fewer only at the end; the position stays.

        The more of the file has been read in order, the more is asked for ahead.
        """
        self._settle()
        in_order = offset == self._at - len(self._left)
        if not in_order:
            self._restart(offset)
        ahead = min(AHEAD, 2 * (self._asked_to - offset) + size) if in_order else 0
        self._ask_until(max(offset + size, min(offset + size + ahead, self._size)))
        parts, missing = [], size
        while missing > 0:
            part = self._next_part()
            if not part:
                break
            parts.append(part[:missing])
            self._left = part[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def _ask_until(self, end: int) -> None:
        """Ask for all before `end`, but past the size that was known only for one answer at a time."""
        limit = self._client.longest_read
        while self._asked_to < end and (not self._asked or self._asked_to < self._size):
            length = min(limit, end - self._asked_to) if self._asked_to < self._size else limit
            self._asked.append((self._asked_to, length, self._send_read(self._asked_to, length)))
            self._asked_to += length

    def _send_read(self, offset: int, length: int) -> Reply:
        place = offset.to_bytes(8, "big") + length.to_bytes(4, "big")
        return self._client.send(sftp.READ, self._handle + place)

    def _next_part(self) -> bytes:
        """What comes next; nothing at the end."""
        if self._left:
            part, self._left = self._left, b""
            return part
        if not self._asked or self._asked[0][0] != self._at:  # the last answer was the end, at that time
            self._restart(self._at)
            self._ask_until(self._at + 1)
        offset, length, reply = self._asked.popleft()
        parts = [self._data(reply)]
        self._at += len(parts[0])
        while parts[-1] and self._at < offset + length:  # servers may give less than was asked for
            parts.append(self._data(self._send_read(self._at, offset + length - self._at)))
            self._at += len(parts[-1])
        return b"".join(parts)

    def _restart(self, offset: int) -> None:
        self._asked.clear()
        self._left, self._at, self._asked_to = b"", offset, offset

    def _data(self, reply: Reply) -> bytes:
        try:
            data: bytes = reply.wait(sftp.DATA)
            return data
        except SftpStatusError as status:
            if status.code == sftp.EOF:
                return b""
            raise sftp.os_error(status, self._path) from None

    def _check_readable(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not self.readable():
            raise io.UnsupportedOperation("not readable")

    # writing

    def write(self, data: Any) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not self.writable():
            raise io.UnsupportedOperation("not writable")
        block = bytes(memoryview(data).cast("B"))
        self.write_at(self._position, block)
        self._position += len(block)
        return len(block)

    def write_all(self, block: bytes) -> None:
        self.write(block)

    def write_at(self, offset: int, block: bytes) -> None:
        """Write all of it there; the position stays. What is appended goes to the end whatever the offset."""
        self._raise_broken()
        self._restart(-1)
        if offset != self._written_to:  # it may overlap with what is under way, and no order is promised
            self._settle()
        limit = self._client.longest_write
        for start in range(0, len(block), limit):
            part = block[start : start + limit]
            place = (offset + start).to_bytes(8, "big")
            self._written.append(
                (len(part), self._client.send(sftp.WRITE, self._handle + place + string(part)))
            )
            self._writing += len(part)
            self._settle(0 if self._flags & FLAG_APPEND else AHEAD)
        self._written_to = offset + len(block)
        self._size = max(self._size, self._written_to)

    def _settle(self, under_way: int = 0) -> None:
        """Wait until no more than so many bytes are being written."""
        while self._writing > under_way:
            length, reply = self._written.popleft()
            self._writing -= length
            try:
                reply.wait()
            except SftpStatusError as status:
                self._broken = sftp.os_error(status, self._path)
        self._raise_broken()

    def _raise_broken(self) -> None:
        if self._broken is not None:
            self._told = True
            raise OSError(self._broken.errno, self._broken.strerror, self.name)

    def truncate(self, size: int | None = None) -> int:
        self._settle()
        self._restart(-1)
        length = self._position if size is None else size
        self._set(sftp.attributes(size=length))
        self._size = length
        return length

    def _set(self, attributes: bytes) -> None:
        self._ask(sftp.FSETSTAT, self._handle + attributes)

    # the end

    def close(self) -> None:
        if self.closed:
            return
        try:
            if not self._closed_there:
                self._close_there()
        finally:
            super().close()

    def _close_there(self) -> None:
        self._closed_there = True
        self._asked.clear()
        if not self.writable():
            self._client.tell(sftp.CLOSE, self._handle)
            return
        told = self._told
        try:
            self._settle()
        except OSError:
            if not told:
                raise
        finally:
            self._ask(sftp.CLOSE, self._handle)

    def __del__(self) -> None:  # whoever forgot it doesn't wait for the server
        if not getattr(self, "_closed_there", True):
            self._closed_there = True
            self._client.tell(sftp.CLOSE, self._handle)
        super().close()


class SftpReplacement(SftpFile):
    """A new file that takes its name by `commit`; see the engine's `Replacement`.

    It replaces a file atomically where the server offers `posix-rename@openssh.com`. Elsewhere the old file
    is moved aside first and removed at the end: whoever looks in between finds none, and after a crash there
    it is still there, under a name that begins with `.clustrix-`. A new file of mode `x` takes its name by
    SFTP's own rename, which replaces nothing.
    """

    def __init__(
        self, client: SftpClient, target: bytes, before: Attributes | None, permissions: int, exclusive: bool
    ) -> None:
        self._pending = 0
        self._target, self._before, self._exclusive = target, before, exclusive
        folder = target.rpartition(b"/")[0]
        self._temporary = beside(folder)
        flags = FLAG_READ | FLAG_WRITE | FLAG_CREATE | FLAG_EXCLUSIVE
        super().__init__(client, self._temporary, flags, permissions, None)
        self._pending = os.getpid()

    def readable(self) -> bool:
        return False

    def read_back(self) -> str:
        """The SHA-256 of what is in it."""
        kept, known = sha256(), 0
        while block := self.read_at(known, BLOCK):
            kept.update(block)
            known += len(block)
        return kept.hexdigest()

    def commit(self) -> None:
        """Give the file its name. What is written afterwards is lost."""
        try:
            self._settle()
            if self._before is not None:
                self._keep_attributes(self._before)
            if b"fsync@openssh.com" in self._client.extensions:
                with suppress(OSError):  # not every file system can
                    self._ask(sftp.EXTENDED, string(b"fsync@openssh.com") + self._handle)
            if self._pending == os.getpid():
                self._publish()
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.name) from None
        finally:
            self.discard()

    def _keep_attributes(self, before: Attributes) -> None:
        mode = before.st_mode & 0o777
        made = self.status()
        if before.st_gid != made.st_gid:
            try:
                self._set(sftp.attributes(owner=(made.st_uid, before.st_gid)))
            except OSError:
                mode &= ~0o070  # they were for another group
        if before.st_uid != made.st_uid:
            with suppress(OSError):  # only root gives files away
                self._set(sftp.attributes(owner=(before.st_uid, self.status().st_gid)))
        self._set(sftp.attributes(mode=mode))

    def _publish(self) -> None:
        if self._exclusive:
            try:
                self._rename(self._temporary, self._target)
            except OSError:
                if look(self._client, self._target, sftp.LSTAT) is not None:
                    raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), self._target) from None
                raise
        elif b"posix-rename@openssh.com" in self._client.extensions:
            paths = string(self._temporary) + string(self._target)
            self._ask(sftp.EXTENDED, string(b"posix-rename@openssh.com") + paths)
        else:
            self._replace()
        self._pending = 0

    def _replace(self) -> None:
        aside = beside(self._target.rpartition(b"/")[0])
        there = look(self._client, self._target, sftp.LSTAT) is not None
        if there:
            self._rename(self._target, aside)
        try:
            self._rename(self._temporary, self._target)
        except OSError:
            if there:
                self._rename(aside, self._target)
            raise
        if there:
            self._ask(sftp.REMOVE, string(aside))

    def _rename(self, old: bytes, new: bytes) -> None:
        self._ask(sftp.RENAME, string(old) + string(new))

    def keep(self) -> None:
        """Copies that were broken off aren't gone on with: over SFTP nothing can be locked."""

    def discard(self) -> None:
        """Leave what was there before. After `commit` it does nothing."""
        if self._pending == os.getpid():
            self._pending = 0
            with suppress(OSError):
                self._ask(sftp.REMOVE, string(self._temporary))

    def _close_there(self) -> None:
        try:
            self.discard()
        finally:
            self._written.clear()
            self._writing = 0
            super()._close_there()

    def __del__(self) -> None:
        if getattr(self, "_pending", 0) == os.getpid():
            self._pending = 0
            self._client.tell(sftp.REMOVE, string(self._temporary))
        super().__del__()


def beside(folder: bytes) -> bytes:
    """A new temporary name in a folder."""
    return folder + b"/.clustrix-" + secrets.token_hex(8).encode() + b".tmp"
