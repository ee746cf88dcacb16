"""The client's side of SFTP version 3 (draft-ietf-secsh-filexfer-02), with many requests under way at once.

paramiko's `SFTPClient` waits for each answer before it asks again (but for the listing of one folder and
for reading ahead in one file), drops the answers of other threads, and takes names for UTF-8. A walk over
a thousand folders has to keep the line full instead, and names are bytes; so the protocol is spoken here,
over any `Channel`: paramiko's, or the pipes of `ssh -s HOST sftp`.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from clustrix_core.errors import ClustrixError, ConnectionFailedError
from clustrix_core.remote import Channel

INIT, VERSION = 1, 2
OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT, OPENDIR, READDIR, REMOVE = range(3, 14)
MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK = range(14, 21)
STATUS, HANDLE, DATA, NAME, ATTRS = range(101, 106)
EXTENDED, EXTENDED_REPLY = 200, 201
LOST = 0  # in place of a kind of answer: there will be none

(
    OK,
    EOF,
    NO_SUCH_FILE,
    PERMISSION_DENIED,
    FAILURE,
    BAD_MESSAGE,
    NO_CONNECTION,
    CONNECTION_LOST,
    UNSUPPORTED,
) = range(9)
HAS_SIZE, HAS_OWNER, HAS_PERMISSIONS, HAS_TIMES, HAS_EXTENSIONS = 1, 2, 4, 8, 1 << 31

LONGEST_PACKET = 1 << 22  # bytes; OpenSSH sends 256 KiB at most
LONGEST_PATH = 32000  # bytes: every server takes packets of 34,000
NOISE_ALLOWED = 1 << 16  # bytes that a login may print before the server speaks
TOGETHER = 1 << 18  # bytes of requests that are sent at once
CLOSING = 10.0  # seconds; more than a channel takes to close
WINDOW = 64  # requests under way, of one caller

Then = Callable[[int, bytes], object]

U32 = struct.Struct(">I")
_HEAD = struct.Struct(">IBI")  # length, kind, number of the request
_USUAL = struct.Struct(">IQIIIII")  # attributes as most servers send them: all but extensions
_USUAL_FLAGS = HAS_SIZE | HAS_OWNER | HAS_PERMISSIONS | HAS_TIMES


class SftpLostError(ClustrixError):
    """The connection to the SFTP server is lost. No `OSError`, so that nobody takes it for a file's fault."""


class SftpStatusError(Exception):
    """The server's answer is that it failed.

    Attributes:
        code: one of the draft's `SSH_FX_*` numbers.
        text: the server's own words.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code, self.text = code, text


class Attributes(NamedTuple):
    """What SFTP tells of a file, named as in `os.stat_result`. There is neither inode nor `st_nlink`."""

    flags: int
    st_size: int
    st_uid: int
    st_gid: int
    st_mode: int
    st_atime: int
    seconds: int

    @property
    def st_mtime_ns(self) -> int:
        """32 bits are all there is. From 2072 on they are taken for a time before 1970, which looks alike."""
        return (self.seconds if self.seconds < 3 << 30 else self.seconds - (1 << 32)) * 10**9

    @property
    def st_nlink(self) -> None:
        """Not told."""
        return None


Names = list[tuple[bytes, Attributes]]


def string(value: bytes) -> bytes:
    """A string as it travels."""
    return U32.pack(len(value)) + value


def attributes(
    size: int | None = None, owner: tuple[int, int] | None = None, mode: int | None = None
) -> bytes:
    """Attributes to set, as they travel."""
    flags, packed = 0, b""
    if size is not None:
        flags, packed = flags | HAS_SIZE, packed + struct.pack(">Q", size)
    if owner is not None:
        flags, packed = flags | HAS_OWNER, packed + struct.pack(">II", *owner)
    if mode is not None:
        flags, packed = flags | HAS_PERMISSIONS, packed + U32.pack(mode)
    return U32.pack(flags) + packed


def read_string(body: bytes, start: int = 0) -> tuple[bytes, int]:
    """A string, and where it ends."""
    (length,) = U32.unpack_from(body, start)
    end = start + 4 + length
    if end > len(body):
        raise ValueError("a string is longer than its packet")
    return body[start + 4 : end], end


def read_attributes(body: bytes, start: int = 0) -> tuple[Attributes, int]:
    """Attributes, and where they end. What isn't told is 0."""
    (flags,) = U32.unpack_from(body, start)
    if flags == _USUAL_FLAGS:
        return Attributes._make(_USUAL.unpack_from(body, start)), start + _USUAL.size
    size = uid = gid = mode = accessed = modified = 0
    start += 4
    if flags & HAS_SIZE:
        (size,) = struct.unpack_from(">Q", body, start)
        start += 8
    if flags & HAS_OWNER:
        uid, gid = struct.unpack_from(">II", body, start)
        start += 8
    if flags & HAS_PERMISSIONS:
        (mode,) = U32.unpack_from(body, start)
        start += 4
    if flags & HAS_TIMES:
        accessed, modified = struct.unpack_from(">II", body, start)
        start += 8
    if flags & HAS_EXTENSIONS:
        (count,) = U32.unpack_from(body, start)
        start += 4
        for _ in range(2 * count):
            start = read_string(body, start)[1]
    return Attributes(flags, size, uid, gid, mode, accessed, modified), start


def read_names(body: bytes) -> Names:
    """The entries of a `NAME` answer. The long names are for people's eyes and are passed over."""
    (count,) = U32.unpack_from(body)
    number = U32.unpack_from
    names: Names = []
    at = 4
    for _ in range(count):
        (length,) = number(body, at)
        at += 4
        name = body[at : at + length]
        at += length
        at += 4 + number(body, at)[0]
        told, at = read_attributes(body, at)
        names.append((name, told))
    if at > len(body):
        raise ValueError("a name is longer than its packet")
    return names


def os_error(status: SftpStatusError, path: bytes) -> OSError:
    """The error of the system that a failure stands for, as far as can be told.

    OpenSSH says `NO_SUCH_FILE` for ENOTDIR and ELOOP, too, `BAD_MESSAGE` for EINVAL and ENAMETOOLONG, and
    `FAILURE` for most others.
    """
    if status.code == NO_SUCH_FILE:
        code = errno.ENOENT
    elif status.code == PERMISSION_DENIED:
        code = errno.EACCES
    elif status.code == BAD_MESSAGE:
        too_long = len(path) > 4095 or any(len(part) > 255 for part in path.split(b"/"))
        code = errno.ENAMETOOLONG if too_long else errno.EINVAL
    elif status.code == UNSUPPORTED:
        code = errno.EOPNOTSUPP
    else:
        return OSError(errno.EIO, f"the SFTP server says {status.text or status.code!r}", path)
    return OSError(code, os.strerror(code), path)


class Reply:
    """An answer that is still to come."""

    __slots__ = ("_client", "_done", "body", "kind", "sent")

    def __init__(self, client: SftpClient) -> None:
        self._client = client
        self._done = threading.Event()
        self.kind, self.body, self.sent = LOST, b"", time.monotonic()

    def arrive(self, kind: int, body: bytes) -> None:
        """Take the answer; the reader's thread calls this."""
        self.kind, self.body = kind, body
        self._done.set()

    def wait(self, kind: int = STATUS) -> Any:
        """What the answer says, which has to be of this kind; see `checked`.

        Raises:
            SftpStatusError: the server says that it failed.
            SftpLostError: there will be no answer.
        """
        self._client.wait_for(self._done, self.sent)
        return checked(self._client, self.kind, self.body, kind)


def checked(client: SftpClient, kind: int, body: bytes, expected: int) -> Any:
    """What an answer says: `Attributes`, at least one name, data, or bytes as they are.

    Raises:
        SftpStatusError, SftpLostError: see `Reply.wait`. An answer that makes no sense loses the connection.
    """
    if kind == LOST:
        raise client.failure()
    try:
        if kind == STATUS:
            (code,) = U32.unpack_from(body)
            if code == OK and expected == STATUS:
                return None
            if code == OK:
                raise ValueError("success, but nothing comes with it")
            text = read_string(body, 4)[0] if len(body) > 4 else b""
            raise SftpStatusError(code, text.decode("utf-8", "replace"))
        if kind != expected:
            raise ValueError(kind)
        if kind == ATTRS:
            return read_attributes(body)[0]
        if kind == NAME:
            names = read_names(body)
            if not names:
                raise ValueError("no name")
            return names
        return read_string(body)[0] if kind == DATA else body
    except (struct.error, ValueError):
        client.lose("what the SFTP server sent makes no sense")
        raise client.failure() from None


class SftpClient:
    """A connection to an SFTP server. Any number of threads may ask at once.

    Args:
        channel: to the server, just started.
        silence: seconds without a word from the server, while it owes an answer, after which the
            connection counts as lost.

    Raises:
        ConnectionFailedError: the other end is no SFTP server, or it said nothing in time. One round trip.

    Attributes:
        extensions: what the server offers beyond the draft: names and versions.
        folders: how many the server has open.
    """

    def __init__(self, channel: Channel, *, silence: float = 60.0) -> None:
        self._channel, self._silence = channel, silence
        self._when_lost: list[Callable[[str], object]] = []
        self._changed = threading.Condition()
        self._outgoing: deque[bytes] = deque()
        self._pending: dict[int, Then] = {}
        self._number = 0
        self._heard = time.monotonic()
        self._reason: str | None = None  # for the loss; there is one before those who ask are told
        self._lost = False
        self._greeted, self._closed = threading.Event(), threading.Event()
        self.extensions: dict[bytes, bytes] = {}
        self.folders = 0
        for run, name in ((self._read, "clustrix-sftp-reader"), (self._write, "clustrix-sftp-writer")):
            threading.Thread(target=run, name=name, daemon=True).start()
        self._put(struct.pack(">IBI", 5, INIT, 3))
        self.wait_for(self._greeted, time.monotonic())
        if self._lost:
            raise ConnectionFailedError(str(self._reason))
        self._limits = self._asked_early(b"limits@openssh.com")
        self._home = self._asked_early(b"expand-path@openssh.com", string(b"~")) or self.send(
            REALPATH, string(b".")
        )

    def _asked_early(self, extension: bytes, rest: bytes = b"") -> Reply | None:
        """Ask for what will be wanted at some time: nobody waits for it now."""
        if extension not in self.extensions:
            return None
        return self.send(EXTENDED, string(extension) + rest)

    # asking

    def send(self, kind: int, body: bytes) -> Reply:
        """Ask for something; the answer is waited for by the `Reply`."""
        reply = Reply(self)
        self.call(kind, body, reply.arrive)
        return reply

    def call(self, kind: int, body: bytes, then: Then) -> None:
        """Ask for something. `then` is called with the answer by the reader's thread: it must not wait."""
        if self._lost:  # also in a forked child, where nobody may let go of a lock
            then(LOST, b"")
            return
        with self._changed:
            if not self._lost:
                self._number = (self._number + 1) & 0xFFFFFFFF
                number = self._number
                self._pending[number] = then
                self._outgoing.append(_HEAD.pack(len(body) + 5, kind, number) + body)
                self._changed.notify()
                return
        then(LOST, b"")

    def tell(self, kind: int, body: bytes) -> None:
        """Ask for something whose outcome nobody needs."""
        self.call(kind, body, _ignore)

    def ask(self, kind: int, body: bytes, expected: int = STATUS) -> Any:
        """Ask and wait. One round trip. Raises as `Reply.wait` does."""
        return self.send(kind, body).wait(expected)

    def ask_all(self, kind: int, bodies: Iterable[bytes], expected: int = STATUS) -> Iterator[Any]:
        """Ask many things, with `WINDOW` of them under way; the answers come in the same order.

        A failure is an `SftpStatusError` in its place.
        """
        replies: deque[Reply] = deque()
        for body in bodies:
            replies.append(self.send(kind, body))
            if len(replies) >= WINDOW:
                yield _outcome(replies.popleft(), expected)
        while replies:
            yield _outcome(replies.popleft(), expected)

    def wait_for(self, event: threading.Event, since: float) -> None:
        """Wait, as long as the server isn't silent for too long."""
        while not event.wait(1.0):
            if self._lost:
                return
            if time.monotonic() - max(self._heard, since) > self._silence:
                self.lose(f"the SFTP server said nothing for {self._silence:g} s")

    def count_folder(self, change: int) -> None:
        """Keep count of the folders that the server has open."""
        with self._changed:
            self.folders += change

    # what the server is like

    @property
    def longest_read(self) -> int:
        """Bytes that one `READ` may ask for."""
        return self._limit(1)

    @property
    def longest_write(self) -> int:
        """Bytes that one `WRITE` may carry."""
        return self._limit(2)

    def _limit(self, index: int) -> int:
        """One of `limits@openssh.com`; 32 KiB is what every server takes."""
        if self._limits is not None:
            with suppress(SftpStatusError, struct.error):
                told: tuple[int, ...] = struct.unpack_from(">QQQQ", self._limits.wait(EXTENDED_REPLY))
                return max(1 << 15, min(told[index], 1 << 18))
        return 1 << 15

    @property
    def home(self) -> bytes:
        """The home folder; in want of a better answer, the folder where the server starts."""
        try:
            home: bytes = self._home.wait(NAME)[0][0]
            return home
        except SftpStatusError as status:
            raise os_error(status, b"~") from None

    # the end

    @property
    def alive(self) -> bool:
        """Whether the server can still be asked."""
        return self._reason is None

    def failure(self) -> SftpLostError:
        """The exception to raise for the connection that was lost."""
        return SftpLostError(str(self._reason))

    def when_lost(self, tell: Callable[[str], object]) -> None:
        """Call this once, with the reason, when the connection is lost or closed: before those who wait."""
        with self._changed:
            if self._reason is None:
                self._when_lost.append(tell)
                return
        tell(self._reason)

    def close(self) -> None:
        """End the connection, channel and all; whoever waits gets an `SftpLostError`."""
        self.lose("the SFTP connection was closed")
        self._closed.wait(CLOSING)  # also if another thread is about to close the channel

    def abandon(self) -> None:
        """In a forked child: let go without a byte."""
        self._reason, self._lost = "this SFTP connection belongs to another process", True
        self._channel.abandon()

    def lose(self, reason: str) -> None:
        """Give the connection up. The first reason counts."""
        with self._changed:
            if self._reason is not None:
                return
            self._reason = reason
            listeners, self._when_lost = self._when_lost, []
        for tell in listeners:
            tell(reason)
        with self._changed:
            self._lost = True
            pending, self._pending = list(self._pending.values()), {}
            self._outgoing.clear()
            self._changed.notify_all()
        for then in pending:
            then(LOST, b"")
        self._greeted.set()
        try:
            self._channel.close()
        finally:
            self._closed.set()

    # the two threads

    def _put(self, packet: bytes) -> None:
        with self._changed:
            self._outgoing.append(packet)
            self._changed.notify()

    def _write(self) -> None:
        try:
            while True:
                with self._changed:
                    while not self._outgoing and not self._lost:
                        self._changed.wait()
                    if self._lost:
                        return
                    packets, size = [], 0
                    while self._outgoing and size < TOGETHER:
                        packets.append(self._outgoing.popleft())
                        size += len(packets[-1])
                self._channel.sendall(b"".join(packets))
        except Exception as error:  # whatever the channel breaks with
            if self._greeted.is_set():  # else the reader knows better why there is no server
                self.lose(f"sending to the SFTP server failed: {error}")

    def _read(self) -> None:
        try:
            self._read_packets(self._skip_noise())
        except (ValueError, IndexError, struct.error):
            self.lose("what the SFTP server sent makes no sense")
        except Exception as error:  # whatever the channel breaks with
            self.lose(f"the SFTP connection broke: {error}")

    def _receive(self) -> bytes:
        data = self._channel.recv(1 << 18)
        self._heard = time.monotonic()
        if not data:
            said = self._channel.last_words()
            raise EOFError("the server ended it" + (f"; it said: {said!r}" if said else ""))
        return data

    def _skip_noise(self) -> bytearray:
        """What arrives from the server's greeting on: a login may have printed something before."""
        greeting = struct.pack(">BI", VERSION, 3)
        noise = bytearray()
        while (at := noise.find(greeting, 4)) < 0:
            if len(noise) > NOISE_ALLOWED:
                raise EOFError(f"this is no SFTP server: it said {bytes(noise[:200])!r}")
            try:
                noise += self._receive()
            except EOFError as error:
                said = f"; it said {bytes(noise[:200])!r}" if noise else ""
                raise EOFError(f"{error}{said}") from None
        return noise[at - 4 :]

    def _read_packets(self, waiting: bytearray) -> None:
        while True:
            start = 0
            while len(waiting) - start >= _HEAD.size:
                length, kind, number = _HEAD.unpack_from(waiting, start)
                end = start + 4 + length
                if not 5 <= length <= LONGEST_PACKET:
                    raise ValueError(length)
                if len(waiting) < end:
                    break
                self._take(kind, number, bytes(memoryview(waiting)[start + _HEAD.size : end]))
                start = end
            del waiting[:start]
            waiting += self._receive()

    def _take(self, kind: int, number: int, body: bytes) -> None:
        if kind == VERSION:
            at = 0
            while at < len(body):
                name, at = read_string(body, at)
                self.extensions[name], at = read_string(body, at)
            self._greeted.set()
            return
        with self._changed:
            then = self._pending.pop(number, None)
        if then is None:
            raise ValueError(number)
        then(kind, body)


def _outcome(reply: Reply, expected: int) -> Any:
    try:
        return reply.wait(expected)
    except SftpStatusError as status:
        return status


def _ignore(kind: int, body: bytes) -> None:
    pass
