"""The near side of a remote backend: requests over one channel, by any number of threads.

Two threads own the channel: one receives, one sends. Whoever asks for something puts a frame into the
sender's queue and waits at the queue of the answer; these queues take items also from signal handlers and
from the garbage collector, and no exception can leave half a frame behind.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import threading
import time
from collections.abc import Generator
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from clustrix_core.engine import unpack
from clustrix_core.errors import (
    ClustrixError,
    ConfigError,
    ConnectionFailedError,
    OperationTimeoutError,
    printable,
)
from clustrix_core.hookspecs import Progress
from clustrix_core.models import FileInfo
from clustrix_core.remote import agent
from clustrix_core.remote.channel import Channel

T = TypeVar("T")

NOISE_ALLOWED = 1 << 20  # bytes of login banners before the hello
UNREAD_ALLOWED = 4 * agent.WINDOW  # bytes of one answer that may wait here; an agent stays far below
CLOSING = 10.0  # seconds; more than a channel takes to close
PATIENCE = 0.25  # seconds between looks at the state of the line

Frame = tuple[int, bytes]
NONSENSE = (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, struct.error)


class Client:
    """A running agent, which may still be starting: its hello is waited for with the first answer.

    Args:
        channel: to the command that `bootstrap.command` gives, just started.
        source: what the command is waiting for.
        marker: what the agent says first.
        host: the name of the place, for error messages.
        work_dir: where relative paths start, for error messages.
        connect_timeout: seconds that the agent may take to say hello.
        op_timeout: seconds that an operation may take without news of it; None for no limit.
        dead_after: seconds of silence, signs of life included, after which the line counts as dead; also
            those in which nothing could be sent.

    Attributes:
        hello: what the agent said of itself; None as long as it is starting.
        unstarted: whether the command ended, or said something else, before there was an agent.
    """

    def __init__(
        self,
        channel: Channel,
        source: bytes,
        marker: bytes,
        host: str,
        work_dir: str | None = None,
        *,
        connect_timeout: float = 30.0,
        op_timeout: float | None = None,
        dead_after: float = 30.0,
    ) -> None:
        self.host = host
        self.hello: dict[str, Any] | None = None
        self._noise = b""
        self.unstarted = False
        self._settled = threading.Event()  # there is a hello, or never will be
        self._closing, self._closed = threading.Lock(), threading.Event()
        self._channel, self._work_dir = channel, work_dir
        self._connect_timeout, self._op_timeout, self._dead_after = connect_timeout, op_timeout, dead_after
        self._numbers = count(1)
        self._calls: dict[int, Call] = {}
        self._outbox: SimpleQueue[tuple[bytes, bytes] | None] = SimpleQueue()
        self._outbox.put((b"", source))
        self._lost: ClustrixError | None = None
        self._process = os.getpid()
        self._born = self._heard = time.monotonic()
        self._sending_since: float | None = None
        for run, name in ((self._write, "sender"), (lambda: self._read(marker), "receiver")):
            threading.Thread(target=run, name=f"clustrix-{name}", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the agent can still be asked."""
        return self._lost is None

    def close(self) -> None:
        """End the agent."""
        self._lose("the connection was closed")

    def abandon(self) -> None:
        """In a forked child: let go without a byte."""
        self._lost = self._failure("this connection belongs to another process")
        self._channel.abandon()

    def wait_for_hello(self) -> dict[str, Any]:
        """What the agent says of itself, once it is there. Otherwise it is waited for with the first answer.

        Raises:
            ConnectionFailedError: it doesn't start.
        """
        while not self._settled.wait(PATIENCE):
            self._check_life(self._born)
        if self.hello is None:
            raise self.failure()
        return self.hello

    def noise(self) -> str:
        """What the login has printed before the agent spoke, or to stderr."""
        return f"{self._noise.decode('utf-8', 'replace')} {self._channel.last_words()}".strip()

    def call(self, operation: str, data: bytes = b"", **arguments: Any) -> Call:
        """Ask for something; the answer comes by the call.

        Raises:
            ConnectionFailedError: the connection was lost before.
            ValueError: the arguments are too long.
        """
        body = agent.pack_call({"operation": operation, **arguments}, data)
        if len(body) > agent.MAX_BODY:
            raise ValueError(f"the arguments of {operation} are longer than {agent.MAX_BODY} bytes")
        call = Call(self, next(self._numbers))
        try:
            self._calls[call.number] = call
            if self._lost is not None:  # perhaps since just now, without having seen this call
                raise self.failure()
            self.send(call.number, agent.CALL, body)
        except BaseException:  # Ctrl-C, too: nobody else knows of the call
            call.cancel()
            raise
        return call

    def send(self, number: int, kind: int, body: bytes = b"") -> None:
        """Send one frame, after those that wait. It is not waited for."""
        if self._lost is None:
            self._outbox.put((agent.HEADER.pack(len(body), number, kind), body))

    def forget(self, number: int) -> None:
        """Take no more frames of a request."""
        self._calls.pop(number, None)

    def next_frame(self, frames: SimpleQueue[Frame]) -> Frame:
        """Wait for a frame, as long as there is life on the line."""
        started = time.monotonic()
        while True:
            if self._process != os.getpid():
                raise self.failure()
            try:
                return frames.get(timeout=PATIENCE)
            except Empty:
                self._check_life(started)

    def _check_life(self, started: float) -> None:
        now = time.monotonic()
        sending = self._sending_since
        if self.hello is None and now - self._born > self._connect_timeout:
            self._lose(f"no Python answered within connect_timeout={self._connect_timeout:g} s")
        elif sending is not None and now - sending > self._dead_after:
            self._lose(f"nothing could be sent for {self._dead_after:g} s")
        elif self.hello is not None and now - max(self._heard, started) > self._dead_after:
            self._lose(f"nothing was heard for {self._dead_after:g} s")
        elif self._op_timeout is not None and now - max(self._born, started) > self._op_timeout:
            raise OperationTimeoutError(
                f"{self.host}: no answer within op_timeout={self._op_timeout:g} s; the line is alive, but "
                "what was asked for takes longer, perhaps on a disk that hangs"
            )

    def failure(self) -> ClustrixError:
        """The exception to raise for the connection that was lost."""
        lost = self._lost or self._failure("this connection belongs to another process")
        return type(lost)(*lost.args)

    def _failure(self, reason: str) -> ConnectionFailedError:
        return ConnectionFailedError(f"{self.host}: {reason}")

    def nonsense(self) -> ClustrixError:
        """Give up a far side that doesn't speak as an agent does, and return the exception to raise."""
        self._lose("what arrived makes no sense")
        return self.failure()

    def _lose(self, reason: str | ClustrixError) -> None:
        """Give the connection up: whoever waits for an answer gets an error. The first reason counts."""
        if self._lost is None:
            self._lost = reason if isinstance(reason, ClustrixError) else self._failure(reason)
        self._settled.set()
        for call in list(self._calls.values()):
            call.frames.put((agent.ERROR, b""))
        self._outbox.put(None)
        if self._closing.acquire(blocking=False):  # and never released
            try:
                self._channel.close()
            finally:
                self._closed.set()

    def wait_until_closed(self) -> None:
        """Once it is lost: wait for the channel's end, with which a line may go that others would use."""
        self._closed.wait(CLOSING)

    def _write(self) -> None:
        while (frame := self._outbox.get()) is not None:
            try:
                for chunk in agent.chunks(*frame):
                    self._sending_since = time.monotonic()
                    self._channel.sendall(chunk)
            except Exception as error:  # channels of all kinds
                if self.hello is not None or self._lost is not None:
                    self._lose(f"sending failed: {error}")
                return  # else the receiver will know better why there is no agent
            finally:
                self._sending_since = None

    def _read(self, marker: bytes) -> None:
        try:
            self._read_frames(self._skip_noise(marker))
        except EOFError as error:
            self._lose(str(error))
        except Exception as error:
            self._lose(f"the connection broke: {error}")

    def _skip_noise(self, marker: bytes) -> bytearray:
        noise = bytearray()
        while True:
            seen = max(0, len(noise) - len(marker))
            data = self._channel.recv(1 << 16)
            noise += data
            place = noise.find(marker, seen)
            if place >= 0:
                self._noise = bytes(noise[:place])
                return noise[place + len(marker) :]
            if not data or len(noise) > NOISE_ALLOWED:
                self.unstarted = self._lost is None
                said = self._channel.last_words() or noise[-500:].decode("utf-8", "replace").strip()
                told = f"the host said: {said!r}" if said else "the host said nothing"
                raise EOFError(f"the agent did not start; {told}")

    def _read_frames(self, waiting: bytearray) -> None:
        while True:
            start = 0
            while len(waiting) - start >= agent.HEADER.size:
                length, number, kind = agent.HEADER.unpack_from(waiting, start)
                if length > agent.MAX_BODY:
                    raise EOFError("what arrived makes no sense")
                end = start + agent.HEADER.size + length
                if len(waiting) < end:
                    break
                self._take(number, kind, bytes(memoryview(waiting)[start + agent.HEADER.size : end]))
                start = end
            del waiting[:start]
            data = self._channel.recv(1 << 18)
            self._heard = time.monotonic()
            if not data:
                said = self._channel.last_words()
                raise EOFError("the agent ended" + (f"; the host said: {said!r}" if said else ""))
            waiting += data

    def _take(self, number: int, kind: int, body: bytes) -> None:
        if kind == agent.ALIVE:
            return
        if number == 0:
            self._take_news(kind, body)
            return
        call = self._calls.get(number)
        if call is not None:
            call.arrived += len(body) + agent.HEADER.size
            if call.arrived - call.taken > UNREAD_ALLOWED:
                raise EOFError("more arrived than was asked for")
            call.frames.put((kind, body))

    def _take_news(self, kind: int, body: bytes) -> None:
        """What the agent says of itself."""
        try:
            news = json.loads(body)
            if kind == agent.HELLO and self.hello is None:
                told = {"python": str(news["python"]), "path": str(news["path"])}
                self.hello = {**told, "pid": int(news["pid"])}
                self._settled.set()
                return
            if kind != agent.ERROR or not isinstance(news, str):
                raise ValueError(kind)
        except NONSENSE:
            raise EOFError("what arrived makes no sense") from None
        self._lose(
            ConfigError(
                f"remote_work_dir {printable(self._work_dir or '~')!r} on {self.host}: {printable(news)}; "
                "make it there, or correct the config"
            )
        )


class Call:
    """One request and what arrives for it."""

    def __init__(self, client: Client, number: int) -> None:
        self.client, self.number = client, number
        self.frames: SimpleQueue[Frame] = SimpleQueue()
        self.arrived = self.taken = 0  # bytes that came, and those of them that were looked at
        self.result: Any = None
        self.failures: list[OSError] = []
        self._credit = agent.WINDOW  # for what is sent to the agent
        self._owed = 0  # bytes that were taken since the agent was last told
        self._refused: Frame | None = None
        self._ended = False

    def parts(self, progress: Progress | None = None) -> Generator[Any, None, None]:
        """The parts of the answer as they come: lists of names, lists of `FileInfo`, bytes, or facts.

        At their end `result` and `failures` are there. Leaving early, for whatever reason, cancels the
        request.

        Raises:
            OSError, ValueError: what the operation failed with.
            ConnectionFailedError: the connection was lost, or what arrives on it makes no sense.
        """
        try:
            while True:
                kind, body = self._next()
                part = self._understood(kind, body)
                if kind == agent.PROGRESS:
                    if progress is not None:
                        progress(*part)
                elif kind == agent.END:
                    self._end()
                    return
                elif kind == agent.ERROR:
                    self._end()
                    raise part
                elif kind == agent.FAILURES:
                    self.failures += part
                    self._give_credit(body)
                elif kind != agent.CREDIT:
                    yield part
                    self._give_credit(body)
        finally:
            self.cancel()

    def _next(self) -> Frame:
        if self._refused is not None:
            return self._refused
        kind, body = self.client.next_frame(self.frames)
        if kind == agent.ERROR and not body:
            raise self.client.failure()
        self.taken += len(body) + agent.HEADER.size
        return kind, body

    def _give_credit(self, body: bytes) -> None:
        """Room for more, told in large sums: a short answer needs none."""
        self._owed += len(body)
        if self._owed >= agent.SUM:
            self.client.send(self.number, agent.CREDIT, struct.pack(">I", self._owed))
            self._owed = 0

    def _understood(self, kind: int, body: bytes) -> Any:
        try:
            return self._read(kind, body)
        except NONSENSE:
            raise self.client.nonsense() from None

    def _read(self, kind: int, body: bytes) -> Any:
        if kind == agent.NAMES:
            return unpack(body)
        if kind == agent.RECORDS:
            return [FileInfo.from_record(record) for record in agent.unpack_records(body)]
        if kind == agent.DATA:
            return body
        if kind == agent.CREDIT:
            self._credit += struct.unpack(">I", body)[0]
            return None
        answer = json.loads(body)
        if kind == agent.PROGRESS:
            done, total = answer
            return int(done), None if total is None else int(total)
        if kind == agent.FAILURES:
            return [self.os_error(told) for told in answer]
        if kind == agent.FACTS:
            return answer
        if kind == agent.END:
            self.result = answer["result"]
            return None
        if kind == agent.ERROR:
            return self._error(answer)
        raise ValueError(kind)

    def facts(self) -> Any:
        """What the agent tells before the rest."""
        kind, body = self._next()
        part = self._understood(kind, body)
        if kind == agent.ERROR:
            self._end()
            raise part
        if kind != agent.FACTS:
            raise self.client.nonsense()
        self._give_credit(body)
        return part

    def value(self, kind: type[T], progress: Progress | None = None) -> T:
        """The result of an operation that sends nothing else, which is of this type."""
        for _ in self.parts(progress):
            pass
        return self.checked(kind, self.result)

    def checked(self, kind: type[T], value: Any) -> T:
        """What the agent said, if it is of the type that it should be."""
        if not isinstance(value, kind) or (kind is int and value is True):
            raise self.client.nonsense()
        return value

    def feed(self, block: bytes) -> bool:
        """Send data, once the agent has room for it; false if it wants none, which `value` explains."""
        while self._refused is None and (self._credit <= 0 or not self.frames.empty()):
            kind, body = self._next()
            if kind == agent.CREDIT:
                self._understood(kind, body)
            elif kind != agent.PROGRESS:
                self._refused = kind, body
        if self._refused is not None:
            return False
        self._credit -= len(block)
        self.client.send(self.number, agent.DATA, block)
        return True

    @property
    def pending(self) -> bool:
        """Whether an answer can still come."""
        return not self._ended and self.client.alive

    def cancel(self) -> None:
        """Say that the answer isn't wanted, or its file any more. After the end it does nothing."""
        if not self._ended:
            self._end()
            self.client.send(self.number, agent.CANCEL)

    def _end(self) -> None:
        self._ended = True
        self.client.forget(self.number)

    def _error(self, answer: dict[str, Any]) -> Exception:
        if "os" in answer:
            return self.os_error(answer["os"])
        kind, message = str(answer["type"]), str(answer["message"])
        if kind in ("ValueError", "UnicodeEncodeError"):
            return ValueError(message)
        return ClustrixError(f"{self.client.host}: the agent failed: {kind}: {message}")

    def os_error(self, told: Any) -> OSError:
        """An error of the system over there."""
        name, text, path = told
        if not isinstance(text, str) or not isinstance(path, (str, type(None))):
            raise TypeError(told)
        code = getattr(errno, name, errno.EIO) if isinstance(name, str) and name.isalnum() else errno.EIO
        return OSError(int(code), f"{text} (on {self.client.host})", path)
