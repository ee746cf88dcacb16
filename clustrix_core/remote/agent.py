"""The far side of a remote backend: answers requests by calling the engine.

Its source and the engine's travel over the channel (see `bootstrap`), so both keep to Python 3.6 and the
standard library. Both sides speak in frames: a header and a body. A request's frames carry its number.
"""

import json
import os
import struct
import sys
import threading
import time

from clustrix_core.engine import (
    Engine,
    Replacement,
    blocks,
    check_unchanged,
    commit_verified,
    decode,
    encode,
    write_all,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import io  # noqa: F401 (type comments name it)
    from collections.abc import Callable, Iterator
    from typing import Any

    from clustrix_core.engine import Record

HEADER = struct.Struct(">IIB")  # length of the body, number of the request, kind
MAX_BODY = 1 << 24
PIECE = 1 << 16  # names travel in frames of about this size
WINDOW = 1 << 22  # bytes that may be under way to the other side, in one request
BEAT = 5.0  # seconds between signs of life while requests are answered

CALL, CREDIT, CANCEL, DATA = 1, 2, 3, 4
HELLO, NAMES, RECORDS, PROGRESS, END, ERROR, ALIVE = 16, 17, 18, 19, 20, 21, 22

NUMBERS = "qqIIIIq"  # of a record: size, mtime_ns, mode, uid, gid, nlink, and the length of its path


class Cancelled(Exception):  # noqa: N818 (no error: the client changed its mind)
    """The client no longer wants the answer."""


def pack_call(arguments: "dict[str, Any]", data: bytes = b"") -> bytes:
    text = json.dumps(arguments).encode("ascii")
    return struct.pack(">I", len(text)) + text + data


def unpack_call(body: bytes) -> "tuple[dict[str, Any], bytes]":
    (length,) = struct.unpack_from(">I", body)
    return json.loads(body[4 : 4 + length].decode("ascii")), body[4 + length :]


def pack_records(records: "list[Record]") -> bytes:
    paths = [encode(record[0]) for record in records]
    numbers = []  # type: list[int]
    for path, record in zip(paths, records):
        numbers.extend(record[1:])
        numbers.append(len(path))
    return struct.pack(">I" + NUMBERS * len(records), len(records), *numbers) + b"".join(paths)


def unpack_records(body: bytes) -> "list[Record]":
    (count,) = struct.unpack_from(">I", body)
    layout = struct.Struct(">" + NUMBERS)
    start = 4
    offset = start + count * layout.size
    records = []
    for _ in range(count):
        size, mtime_ns, mode, uid, gid, nlink, length = layout.unpack_from(body, start)
        start += layout.size
        records.append((decode(body[offset : offset + length]), size, mtime_ns, mode, uid, gid, nlink))
        offset += length
    return records


def told(error: OSError) -> "list[Any]":
    """An error of the system as it travels."""
    name = error.filename
    return [error.errno, error.strerror, decode(name) if isinstance(name, bytes) else name]


def pieces(blob: bytes) -> "Iterator[bytes]":
    """A blob of names as blobs of about a frame's size."""
    start = 0
    while len(blob) - start > 2 * PIECE:
        end = blob.index(b"\0", start + PIECE)
        yield blob[start:end]
        start = end + 1
    yield blob[start:]


class Request:
    """One request, answered in a thread of its own."""

    def __init__(self, agent: "Agent", number: int) -> None:
        self.agent, self.number = agent, number
        self.changed = threading.Condition()
        self.credit = WINDOW
        self.cancelled = False
        self.arrived = []  # type: list[bytes] # data that the client sent
        self.failures = []  # type: list[OSError]
        self.strict = False
        self.reports = False
        self.reported = 0.0

    def fail(self, error: OSError) -> None:
        if self.strict:
            raise error
        self.failures.append(error)

    def tick(self, done: int, total: "int | None" = None) -> None:
        if self.cancelled:
            raise Cancelled()
        if self.reports and (time.monotonic() - self.reported > 0.1 or done == total):
            self.reported = time.monotonic()
            self.agent.send(self.number, PROGRESS, json.dumps([done, total]).encode("ascii"))

    def send(self, kind: int, body: bytes) -> None:
        """Send a part of the answer, once the client has room for it."""
        with self.changed:
            while self.credit <= 0 and not self.cancelled:
                self.changed.wait()
            if self.cancelled:
                raise Cancelled()
            self.credit -= len(body)
        self.agent.send(self.number, kind, body)

    def receive(self) -> bytes:
        """The next block that the client sends; nothing at the end."""
        with self.changed:
            while not self.arrived and not self.cancelled:
                self.changed.wait()
            if self.cancelled:
                raise Cancelled()
            block = self.arrived.pop(0)
        self.agent.send(self.number, CREDIT, struct.pack(">I", len(block)))
        return block

    def change(self, kind: int, body: bytes) -> None:
        with self.changed:
            if kind == CANCEL:
                self.cancelled = True
            elif kind == CREDIT:
                self.credit += struct.unpack(">I", body)[0]
            elif kind == DATA:
                self.arrived.append(body)
            self.changed.notify_all()


class Agent:
    """Reads requests from one descriptor and answers on another."""

    def __init__(self, engine: Engine, source: int, sink: int) -> None:
        self.engine = engine
        self.input = os.fdopen(source, "rb", 1 << 16)
        self.sink = sink
        self.sending = threading.Lock()
        self.requests = {}  # type: dict[int, Request]
        self.files = {}  # type: dict[int, io.FileIO]

    def send(self, number: int, kind: int, body: bytes) -> None:
        with self.sending:
            data = memoryview(HEADER.pack(len(body), number, kind) + body)
            while data:
                data = data[os.write(self.sink, data) :]

    def serve(self) -> None:
        """Answer until the client is gone."""
        self.start(self.keep_alive)
        while True:
            header = self.input.read(HEADER.size)
            if len(header) < HEADER.size:
                return
            length, number, kind = HEADER.unpack(header)
            if length > MAX_BODY:
                return
            body = self.input.read(length)
            request = self.requests.get(number)
            if kind == CALL:
                request = self.requests[number] = Request(self, number)
                self.start(self.answer, request, body)
            elif request is not None:
                request.change(kind, body)

    def start(self, run: "Callable[..., object]", *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments)
        thread.daemon = True
        thread.start()

    def keep_alive(self) -> None:
        while True:
            time.sleep(BEAT)
            if self.requests:
                self.send(0, ALIVE, b"")

    def answer(self, request: Request, body: bytes) -> None:
        try:
            arguments, data = unpack_call(body)
            request.strict = arguments.pop("on_error", "warn") == "raise"
            request.reports = arguments.pop("progress", False)
            operation = getattr(Operations(self, request, data), arguments.pop("operation"))
            result = {
                "result": operation(**arguments),
                "failures": [told(error) for error in request.failures],
            }
            kind, text = END, json.dumps(result)
        except Cancelled:
            kind, text = ERROR, json.dumps({"type": "Cancelled", "message": ""})
        except OSError as error:
            kind, text = ERROR, json.dumps({"os": told(error)})
        except Exception as error:  # whatever it is, the client is waiting
            kind, text = ERROR, json.dumps({"type": type(error).__name__, "message": str(error)})
        del self.requests[request.number]
        self.send(request.number, kind, text.encode("ascii"))


class Operations:
    """What can be asked for. Each method is an operation; its arguments come from the client."""

    def __init__(self, agent: Agent, request: Request, data: bytes) -> None:
        self.agent, self.request, self.data = agent, request, data
        self.engine = agent.engine

    def names(self, blob: bytes) -> None:
        if blob:
            for piece in pieces(blob):
                self.request.send(NAMES, piece)

    def records(self, records: "list[Record]") -> None:
        for start in range(0, len(records), 1000):
            self.request.send(RECORDS, pack_records(records[start : start + 1000]))

    def ls(self, path: str, detail: bool) -> None:
        if detail:
            self.records(self.engine.ls_detail(path))
        else:
            self.names(self.engine.ls(path))

    def find(
        self,
        pattern: str,
        path: str,
        detail: bool,
        type: str,
        max_depth: "int | None",
        follow_symlinks: bool,
    ) -> None:
        request = self.request
        find = self.engine.find_detail if detail else self.engine.find
        found = find(pattern, path, type, max_depth, follow_symlinks, request.fail, request.tick)
        if detail:
            for records in found:
                self.records(records)  # type: ignore[arg-type]
            return
        waiting, size = [], 0  # type: list[bytes], int
        for blob in found:
            waiting.append(blob)  # type: ignore[arg-type]
            size += len(blob)
            if size > PIECE:
                self.names(b"\0".join(waiting))
                waiting, size = [], 0
        self.names(b"\0".join(waiting))

    def stat(self, paths: "list[str]", follow_symlinks: bool, first_failure: bool) -> "list[Any]":
        records, failed = [], []
        for place, path in enumerate(paths):
            try:
                records.append(self.engine.stat(path, follow_symlinks))
            except OSError as error:
                if first_failure:
                    raise
                failed.append([place, told(error)])
        self.records(records)
        return failed

    def exists(self, path: str) -> bool:
        return self.engine.exists(path)

    def isdir(self, path: str) -> bool:
        return self.engine.isdir(path)

    def isfile(self, path: str) -> bool:
        return self.engine.isfile(path)

    def readlink(self, path: str) -> str:
        return self.engine.readlink(path)

    def glob(self, pattern: str, path: str) -> None:
        self.names(self.engine.glob(pattern, path, self.request.fail, self.request.tick))

    def du(self, path: str) -> "list[int]":
        return list(self.engine.du(path, self.request.fail, self.request.tick))

    def count_files(self, path: str, pattern: str) -> int:
        return self.engine.count_files(path, pattern, self.request.fail, self.request.tick)

    # files: `open` gives a handle, which is the number of the request that opened it

    def open(self, path: str, mode: str) -> "list[object]":
        file = self.engine.open(path, mode)
        self.agent.files[self.request.number] = file
        return [self.request.number, file.seekable(), isinstance(file, Replacement)]

    def read(self, handle: int, size: int) -> None:
        self.request.send(DATA, self.agent.files[handle].read(size) or b"")

    def write(self, handle: int) -> int:
        write_all(self.agent.files[handle], self.data)
        return len(self.data)

    def seek(self, handle: int, offset: int, whence: int) -> int:
        return int(self.agent.files[handle].seek(offset, whence))

    def truncate(self, handle: int, size: int) -> int:
        return int(self.agent.files[handle].truncate(size))

    def commit(self, handle: int) -> None:
        self.agent.files[handle].commit()  # type: ignore[attr-defined]

    def close(self, handle: int) -> None:
        self.agent.files.pop(handle).close()

    def get(self, path: str) -> "list[object]":
        """Send a file's content; returns its SHA-256 and permissions, having made sure that it held still."""
        from hashlib import sha256

        sent, done = sha256(), 0
        with self.engine.open(path, "rb") as file:
            before = os.fstat(file.fileno())
            for block in blocks(file):
                sent.update(block)
                self.request.send(DATA, block)
                done += len(block)
                self.request.tick(done, max(done, before.st_size))
                if 0 < before.st_size < done:
                    break
            check_unchanged(file, before)
        return [sent.hexdigest(), before.st_mode & 0o777]

    def put(self, path: str, name: str, permissions: int) -> None:
        """Receive a file's content, and at its end, in an empty block and one more, its SHA-256."""
        with self.engine.open(self.engine.inside(path, name), "wb", permissions) as file:
            for block in iter(self.request.receive, b""):
                write_all(file, block)
            commit_verified(file, self.request.receive().decode("ascii"))


def main(marker: bytes, work_dir: "str | None") -> None:
    """Say hello and serve; what was printed before the marker is noise of the login."""
    hello = {"python": sys.version.split()[0], "platform": sys.platform, "pid": os.getpid(), "error": None}
    sink = os.dup(1)
    os.dup2(2, 1)  # nothing else may write among the frames
    engine = Engine(work_dir)
    try:
        if not engine.isdir("."):
            hello["error"] = "there is no such directory"
    except OSError as error:
        hello["error"] = error.strerror
    agent = Agent(engine, 0, sink)
    os.write(sink, marker)
    agent.send(0, HELLO, json.dumps(hello).encode("ascii"))
    agent.serve()
    os._exit(0)  # whatever threads still wait for a disk
