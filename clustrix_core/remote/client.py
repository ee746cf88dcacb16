"""The near side of a remote backend: requests over one channel, by any number of threads."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any

from clustrix_core.engine import unpack
from clustrix_core.errors import ClustrixError, ConnectionFailedError, OperationTimeoutError
from clustrix_core.hookspecs import Progress
from clustrix_core.models import FileInfo
from clustrix_core.remote import agent, bootstrap
from clustrix_core.remote.channel import Channel

NOISE_ALLOWED = 1 << 20  # bytes of login banners before the hello
Frame = tuple[int, bytes]


class Client:
    """A running agent.

    Args:
        channel: to the command that `bootstrap.command` gives, just started.
        marker: what the agent says first.
        host: the name of the place, for error messages.
        op_timeout: seconds that an operation may take without news of it; None for no limit.
        dead_after: seconds of silence, signs of life included, after which the line counts as dead.
    """

    def __init__(
        self,
        channel: Channel,
        marker: bytes,
        host: str,
        *,
        connect_timeout: float = 30.0,
        op_timeout: float | None = None,
        dead_after: float = 30.0,
    ) -> None:
        self.host = host
        self._channel = channel
        self._op_timeout, self._dead_after = op_timeout, dead_after
        self._numbers = count(1)
        self._calls: dict[int, SimpleQueue[Frame]] = {}
        self._sending = threading.Lock()
        self._later: deque[tuple[int, int, bytes]] = deque()
        self._lost: ConnectionFailedError | None = None
        self._heard = time.monotonic()
        self._hello: SimpleQueue[Frame] = SimpleQueue()
        self._calls[0] = self._hello
        self._reader = threading.Thread(target=self._read, args=(marker,), name="clustrix-agent", daemon=True)
        self._reader.start()
        self.hello = self._greeted(connect_timeout)

    def _greeted(self, timeout: float) -> dict[str, Any]:
        try:
            kind, body = self._hello.get(timeout=timeout)
        except Empty:
            self.close()
            raise ConnectionFailedError(f"{self.host}: no Python answered within {timeout:g} s") from None
        if kind != agent.HELLO:
            raise self.failure()
        try:
            return dict(json.loads(body))
        except ValueError:
            self.close()
            raise ConnectionFailedError(f"{self.host}: what arrived makes no sense") from None

    @property
    def alive(self) -> bool:
        """Whether the agent can still be asked."""
        return self._lost is None

    def close(self) -> None:
        """End the agent."""
        self.lose("the connection was closed")
        self._channel.close()

    def abandon(self) -> None:
        """In a forked child: let go without a byte."""
        self._lost = ConnectionFailedError(f"{self.host}: this connection belongs to another process")
        self._channel.abandon()

    def call(self, operation: str, data: bytes = b"", **arguments: Any) -> Call:
        """Ask for something; the answer comes by the call."""
        if self._lost is not None:
            raise self.failure()
        call = Call(self, self.new_number())
        self._calls[call.number] = call.frames
        if self._lost is not None:  # since then: the reader may not have seen this call
            call.frames.put((agent.ERROR, b""))
        self.send(call.number, agent.CALL, agent.pack_call({"operation": operation, **arguments}, data))
        return call

    def new_number(self) -> int:
        """The number of one more request."""
        return next(self._numbers)

    def send(self, number: int, kind: int, body: bytes) -> None:
        """Send one frame."""
        try:
            with self._sending:
                self._channel.sendall(agent.HEADER.pack(len(body), number, kind) + body)
        except (OSError, ValueError) as error:
            self.lose(f"sending failed: {error}")
            raise self.failure() from error
        self._send_waiting()

    def send_soon(self, number: int, kind: int, body: bytes = b"") -> None:
        """Send one frame, now or after the one that is being sent: where the garbage collector runs, it may
        be this very thread that is sending. A connection that is lost needs no such frame."""
        self._later.append((number, kind, body))
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._later and self.alive and self._sending.acquire(blocking=False):
            try:
                frame = self._later.popleft()
                self._channel.sendall(agent.HEADER.pack(len(frame[2]), *frame[:2]) + frame[2])
            except IndexError:  # another thread took it
                pass
            except (OSError, ValueError) as error:
                self.lose(f"sending failed: {error}")
            finally:
                self._sending.release()

    def forget(self, number: int) -> None:
        """Take no more frames of a request."""
        self._calls.pop(number, None)

    def next_frame(self, frames: SimpleQueue[Frame]) -> Frame:
        """Wait for a frame, as long as there is life on the line."""
        started = time.monotonic()
        while True:
            try:
                return frames.get(timeout=1.0)
            except Empty:
                now = time.monotonic()
            if self._op_timeout is not None and now - started > self._op_timeout:
                raise OperationTimeoutError(
                    f"{self.host}: no answer within op_timeout={self._op_timeout:g} s"
                )
            if now - max(self._heard, started) > self._dead_after:
                self.lose(f"nothing was heard for {self._dead_after:g} s")
                self._channel.close()

    def failure(self) -> ConnectionFailedError:
        """The exception to raise for the connection that was lost."""
        return ConnectionFailedError(str(self._lost))

    def lose(self, reason: str) -> None:
        """Give the connection up: whoever waits for an answer gets an error. The first reason counts."""
        if self._lost is None:
            self._lost = ConnectionFailedError(f"{self.host}: {reason}")
        for frames in list(self._calls.values()):
            frames.put((agent.ERROR, b""))

    def _read(self, marker: bytes) -> None:
        try:
            self._read_frames(self._skip_noise(marker))
        except (OSError, ValueError) as error:
            self.lose(f"the connection broke: {error}")
        except EOFError as error:
            self.lose(str(error))
        self._channel.close()

    def _skip_noise(self, marker: bytes) -> bytes:
        noise = b""
        while marker not in noise:
            data = self._channel.recv(1 << 16)
            noise += data
            if not data or len(noise) > NOISE_ALLOWED:
                said = self._channel.last_words() or noise[-500:].decode("utf-8", "replace").strip()
                raise EOFError(f"the agent did not start; the host said: {said!r}")
        return noise.partition(marker)[2]

    def _read_frames(self, buffer: bytes) -> None:
        waiting = bytearray(buffer)
        while True:
            while len(waiting) >= agent.HEADER.size:
                length, number, kind = agent.HEADER.unpack_from(waiting)
                if length > agent.MAX_BODY:
                    raise EOFError("what arrived makes no sense")
                end = agent.HEADER.size + length
                if len(waiting) < end:
                    break
                body = bytes(memoryview(waiting)[agent.HEADER.size : end])
                del waiting[:end]
                frames = self._calls.get(number)
                if frames is not None and kind != agent.ALIVE:
                    frames.put((kind, body))
            data = self._channel.recv(1 << 18)
            self._heard = time.monotonic()
            if not data:
                said = self._channel.last_words()
                raise EOFError("the agent ended" + (f"; the host said: {said!r}" if said else ""))
            waiting += data


class Call:
    """One request and what arrives for it."""

    def __init__(self, client: Client, number: int) -> None:
        self.client, self.number = client, number
        self.frames: SimpleQueue[Frame] = SimpleQueue()
        self.result: Any = None
        self.failures: list[OSError] = []
        self.credit = agent.WINDOW  # for what is sent to the agent
        self._ended = False

    def parts(self, progress: Progress | None = None) -> Iterator[Any]:
        """The parts of the answer as they come: lists of names, lists of `FileInfo`, or bytes.

        At their end `result` and `failures` are there.

        Raises:
            OSError, ValueError: what the operation failed with.
            ConnectionFailedError: the connection was lost, or what arrives on it makes no sense.
        """
        while True:
            kind, body = self.client.next_frame(self.frames)
            if not body and kind == agent.ERROR:
                raise self.client.failure()
            try:
                part = self._understood(kind, body)
            except (ValueError, TypeError, KeyError, IndexError, struct.error):
                self.client.lose("what arrived makes no sense")
                raise self.client.failure() from None
            if kind == agent.PROGRESS:
                if progress is not None:
                    progress(*part)
            elif kind == agent.END:
                self._end()
                return
            elif kind == agent.ERROR:
                self._end()
                raise part
            elif kind != agent.CREDIT:
                yield part
                self.client.send(self.number, agent.CREDIT, struct.pack(">I", len(body)))

    def _understood(self, kind: int, body: bytes) -> Any:
        if kind == agent.NAMES:
            return unpack(body)
        if kind == agent.RECORDS:
            return [FileInfo.from_record(record) for record in agent.unpack_records(body)]
        if kind == agent.DATA:
            return body
        if kind == agent.CREDIT:
            self.credit += struct.unpack(">I", body)[0]
            return None
        if kind == agent.PROGRESS:
            done, total = json.loads(body)
            return done, total
        if kind == agent.END:
            answer = json.loads(body)
            self.result = answer["result"]
            self.failures = [self.os_error(told) for told in answer["failures"]]
            return None
        if kind == agent.ERROR:
            return self._error(json.loads(body))
        raise ValueError(kind)

    def wait(self, progress: Progress | None = None) -> Any:
        """The result of an operation that sends nothing else."""
        for _ in self.parts(progress):
            pass
        return self.result

    def feed(self, block: bytes) -> None:
        """Send data, once the agent has room for it."""
        while self.credit <= 0:
            kind, body = self.client.next_frame(self.frames)
            if kind == agent.CREDIT:
                self._understood(kind, body)
            else:  # it failed: `wait` tells why
                self.frames.put((kind, body))
                return
        self.credit -= len(block)
        self.client.send(self.number, agent.DATA, block)

    def cancel(self) -> None:
        """Say that the rest isn't wanted. After the end it does nothing."""
        if not self._ended:
            self._end()
            self.client.send_soon(self.number, agent.CANCEL)

    def _end(self) -> None:
        self._ended = True
        self.client.forget(self.number)

    def _error(self, answer: dict[str, Any]) -> Exception:
        if "os" in answer:
            return self.os_error(answer["os"])
        kind, message = answer["type"], answer["message"]
        if kind in ("ValueError", "UnicodeEncodeError"):
            return ValueError(message)
        return ClustrixError(f"{self.client.host}: the agent failed: {kind}: {message}")

    def os_error(self, told: list[Any]) -> OSError:
        code, text, name = told
        return OSError(code, f"{text} (on {self.client.host})", name)


def start(channel_to: Any, host: str, work_dir: str | None, python: str | None, **options: Any) -> Client:
    """Start an agent over a new channel; `channel_to` is called with the command line."""
    marker, source = bootstrap.payload(work_dir)
    channel: Channel = channel_to(bootstrap.command(len(source), python))
    with suppress(OSError):  # the reader finds out why
        channel.sendall(source)  # right behind the command, without waiting
    return Client(channel, marker, host, **options)
