"""The engine over SFTP against the engine on the same tree, and a server that is slow, broken, or mad.

All that is needed is OpenSSH's `sftp-server` at the end of a pipe.
"""

from __future__ import annotations

import errno
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clustrix_core.engine import Engine, raise_it, unpack
from clustrix_core.errors import ConnectionFailedError
from clustrix_core.remote import PipeChannel
from clustrix_core.testing import tree
from clustrix_ssh.sftp import SftpEngine
from clustrix_ssh.sftp_client import SftpClient, SftpLostError

SERVER = "/usr/lib/openssh/sftp-server"
PATHS = [
    ".",
    "odd",
    "odd/files/",
    "links",
    "links/to-folder",
    "order",
    "hollow",
    "modes",
    "times",
    "deep",
    "pathmax",
    "flat",
]
GLOBS = [
    "*",
    "*/",
    ".*",
    "**",
    "**/",
    "*/*",
    "*/*/",
    "**/*.csv",
    "**/inner.csv",
    "{odd,links}/**",
    "o*/f*/[a-c]*/*",
    "links/*/*",
    "links/**/",
    "missing/**",
    "project/top.csv/*",
]


@contextmanager
def connected(*options: str, user: int | None = None, **fields: Any) -> Iterator[SftpClient]:
    become = [] if user is None else ["setpriv", f"--reuid={user}", "--clear-groups"]
    client = SftpClient(PipeChannel([*become, SERVER, *options]), **fields)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module")
def client() -> Iterator[SftpClient]:
    with connected() as client:
        yield client


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = str(tmp_path_factory.mktemp("grown"))
    subprocess.run([sys.executable, tree.__file__, "make", root, "main"], check=True)
    yield root
    tree.remove(os.fsencode(root))


@pytest.fixture(scope="module")
def here(grown: str) -> Engine:
    return Engine(grown)


@pytest.fixture(scope="module")
def there(client: SftpClient, grown: str) -> SftpEngine:
    return SftpEngine(client, grown, warn=lambda text: None)


def comparable(record: Any) -> Any:
    path, size, mtime_ns, mode, uid, gid, _nlink = record
    return path, size, mtime_ns // 10**9, mode, uid, gid


# --- the same as the engine on the host


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["f", "d", "l"])
@pytest.mark.parametrize("follow", [False, True])
def test_find_is_the_same(here: Engine, there: SftpEngine, path: str, kind: str, follow: bool) -> None:
    for max_depth in (None, 1, 2):
        for pattern in ("*", "*.csv", "**/inner.csv"):
            met: list[list[OSError]] = [[], []]
            told, found = (
                list(engine.find(pattern, path, kind, max_depth, follow, failures.append))
                for engine, failures in zip((here, there), met, strict=True)
            )
            assert b"\0".join(found) == b"\0".join(told)
            assert met[0] == met[1] == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("follow", [False, True])
def test_find_in_detail_is_the_same(here: Engine, there: SftpEngine, path: str, follow: bool) -> None:
    told, found = (
        [
            comparable(one)
            for records in engine.find_detail("*", path, "f", None, follow, raise_it)
            for one in records
        ]
        for engine in (here, there)
    )
    assert found == told


@pytest.mark.parametrize("path", PATHS)
def test_ls_count_and_du_are_the_same(here: Engine, there: SftpEngine, path: str) -> None:
    assert there.ls(path) == here.ls(path)
    assert list(map(comparable, there.ls_detail(path))) == list(map(comparable, here.ls_detail(path)))
    assert there.count_files(path, "*", raise_it) == here.count_files(path, "*", raise_it)
    told = here.du(path, raise_it)
    assert there.du(path, raise_it)[1] == told[1]
    if path not in (".", "flat"):  # hard links
        assert there.du(path, raise_it) == told


@pytest.mark.parametrize("pattern", GLOBS)
def test_glob_is_the_same(here: Engine, there: SftpEngine, pattern: str) -> None:
    assert unpack(there.glob(pattern, ".", raise_it)) == unpack(here.glob(pattern, ".", raise_it))


@pytest.mark.parametrize(
    "path",
    [
        "missing",
        "project/top.csv/below",
        "project/top.csv/",
        "links/broken.csv",
        "links/through-file",
        "links/loop",
        "special/fifo",
        "x" * 300,
        "x/" * 4000,
        "x/" * 40000,
    ],
)
def test_failures_are_of_the_same_kind(here: Engine, there: SftpEngine, path: str) -> None:
    for ask in (
        lambda engine: engine.stat(path, True),
        lambda engine: engine.ls(path),
        lambda engine: engine.ls_detail(path),
        lambda engine: list(engine.find("*", path, "f", None, False, raise_it)),
        lambda engine: engine.du(path, raise_it),
        lambda engine: engine.exists(path),
        lambda engine: engine.readlink(path),
        lambda engine: engine.open(path, "rb").close() if "fifo" not in path else None,
    ):
        told, found = outcome(ask, here), outcome(ask, there)
        if isinstance(told, OSError) and told.errno in (errno.ELOOP, errno.ENOTDIR) and "links" in path:
            assert isinstance(found, FileNotFoundError)  # fine_errno
        elif isinstance(told, OSError):
            assert (type(found), found.errno, found.filename) == (type(told), told.errno, told.filename)
        elif not isinstance(told, tuple):
            assert found == told


def outcome(ask: Callable[[Any], Any], engine: Engine) -> Any:
    try:
        return ask(engine)
    except OSError as error:
        return error


def test_stats_of_many_take_one_round_trip(far: tuple[SftpEngine, Callable[[], int]], grown: str) -> None:
    there, waited = far
    paths = [f"{grown}/flat/{name}" for name in os.listdir(f"{grown}/flat")[:50]] + [f"{grown}/missing"]
    there.exists(grown)
    waited()
    *found, missing = there.stats(paths, True)
    assert waited() <= 2  # the second for what is missing
    assert isinstance(missing, FileNotFoundError)
    *told, _ = Engine().stats(paths, True)
    assert list(map(comparable, found)) == list(map(comparable, told))


def test_ten_thousand_entries(client: SftpClient, tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{number:05}").touch()
    assert unpack(SftpEngine(client, str(tmp_path)).ls(".")) == [f"{number:05}" for number in range(10_000)]


def test_hard_links_are_mentioned_once(client: SftpClient, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1234567")
    os.link(tmp_path / "one", tmp_path / "two")
    said: list[str] = []
    there = SftpEngine(client, str(tmp_path), warn=said.append)
    assert there.du(".", raise_it) == there.du(".", raise_it) == (14, 2)
    assert len(said) == 1
    assert "hard link" in said[0]
    assert there.stat("one", True)[-1] is None


def test_home_is_the_servers(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("x")
    with connected("-d", str(tmp_path)) as client:
        there = SftpEngine(client)
        assert unpack(there.ls("~")) == unpack(there.ls(".")) == ["notes"]
        assert unpack(there.glob("~/n*", ".", raise_it)) == [f"{tmp_path}/notes"]


# --- what may not be read


@pytest.fixture
def locked(tmp_path: Path) -> str:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o755)
    for name in ("open", "secret", "list-only", "enter-only"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("x")
    os.chmod(tmp_path / "secret", 0o700)
    os.chmod(tmp_path / "list-only", 0o744)
    os.chmod(tmp_path / "enter-only", 0o711)
    return str(tmp_path)


def test_unreadable_folders_are_told_and_never_empty(locked: str) -> None:
    with connected(user=65534) as client:
        there = SftpEngine(client, locked)
        failures: list[OSError] = []
        assert unpack(b"\0".join(there.find("*", ".", "f", None, False, failures.append))) == ["open/f"]
        told = ["enter-only", "list-only", "secret"]
        assert [(one.errno, one.filename) for one in failures] == [(errno.EACCES, name) for name in told]
        for name in told:
            with pytest.raises(PermissionError):
                there.ls(name)
            with pytest.raises(PermissionError):
                there.open(f"{name}/new", "wb")
        for name, kind in (("secret", PermissionError), ("list-only", IsADirectoryError)):
            with pytest.raises(kind):  # as the system here: whether it may be read comes first
                there.open(name, "rb")
        assert there.isfile("enter-only/f")
        with pytest.raises(PermissionError):
            there.exists("secret/f")


# --- round trips


class Delayed:
    """A channel whose other end is 40 ms away. It tells how many round trips were waited for, one after the
    other: the longest chain of requests of which each was sent after the answer to the one before it."""

    def __init__(self, command: list[str], seconds: float = 0.04) -> None:
        self._channel, self._half = PipeChannel(command), seconds / 2
        self._lines: tuple[deque[tuple[float, bytes]], ...] = (deque(), deque())
        self._changed = threading.Condition()
        self._over = False
        self._depths: dict[bytes, int] = {}  # of requests under way
        self._arrived = b""
        self.deepest = 0  # of the answers that have arrived
        for run in (self._carry, self._fetch):
            threading.Thread(target=run, daemon=True).start()

    def _put(self, line: int, data: bytes) -> None:
        with self._changed:
            self._lines[line].append((time.monotonic() + self._half, data))
            self._changed.notify_all()

    def _take(self, line: int) -> bytes:
        with self._changed:
            while not self._over and not (self._lines[line] and self._due(line) <= 0):
                self._changed.wait(max(0.0, self._due(line)) if self._lines[line] else None)
            return b"" if self._over else self._lines[line].popleft()[1]

    def _due(self, line: int) -> float:
        return self._lines[line][0][0] - time.monotonic()

    def _carry(self) -> None:
        while data := self._take(0):
            self._channel.sendall(data)

    def _fetch(self) -> None:
        while not self._over:
            self._put(1, self._channel.recv(1 << 16))

    def sendall(self, data: bytes) -> None:
        for number in packets(data)[0]:
            self._depths[number] = self.deepest + 1
        self._put(0, data)

    def recv(self, size: int) -> bytes:
        data = self._take(1)
        numbers, self._arrived = packets(self._arrived + data)
        for number in numbers:
            self.deepest = max(self.deepest, self._depths.pop(number))
        return data

    def close(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._channel.close()

    def abandon(self) -> None:
        self._channel.abandon()

    def last_words(self) -> str:
        return ""


def packets(data: bytes) -> tuple[list[bytes], bytes]:
    """The numbers of the packets in it, and what is left over."""
    numbers = []
    while len(data) >= 4 and len(data) >= (end := 4 + int.from_bytes(data[:4], "big")):
        numbers.append(data[5:9])
        data = data[end:]
    return numbers, data


@pytest.fixture
def far() -> Iterator[tuple[SftpEngine, Callable[[], int]]]:
    """An engine far away, and how many round trips were waited for since last asked."""
    channel = Delayed([SERVER])
    client = SftpClient(channel)
    since = 0

    def waited() -> int:
        nonlocal since
        before, since = since, channel.deepest
        return since - before

    try:
        yield SftpEngine(client), waited
    finally:
        client.close()


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> str:
    """640 folders, 64 to a parent, of three files each."""
    root = tmp_path_factory.mktemp("wide")
    for number in range(640):
        folder = root / f"g{number // 64}" / f"d{number}"
        folder.mkdir(parents=True)
        for name in "abc":
            (folder / name).write_text(name)
    return str(root)


@pytest.mark.parametrize("name", ["find", "detail", "follow", "count", "du", "**", "*/*/*", "*/*/a"])
def test_a_walk_waits_far_less_often_than_it_meets_folders(
    far: tuple[SftpEngine, Callable[[], int]], wide: str, name: str
) -> None:
    there, waited = far
    there.exists(wide)
    waited()
    if name in ("find", "follow"):
        blobs = there.find("*", wide, "f", None, name == "follow", raise_it)
        assert sum(len(unpack(blob)) for blob in blobs) == 1920
    elif name == "detail":
        assert sum(map(len, there.find_detail("*", wide, "f", None, False, raise_it))) == 1920
    elif name == "count":
        assert there.count_files(wide, "*", raise_it) == 1920
    elif name == "du":
        with pytest.warns(UserWarning, match="hard link"):
            assert there.du(wide, raise_it) == (1920, 1920)
    else:
        assert len(unpack(there.glob(name, wide, raise_it))) in (640, 1920, 1920 + 640 + 10)
    assert waited() <= 640 / 16  # one after the other they would take 1,300


# --- the end of it


def test_a_walk_that_is_left_leaves_nothing_open(wide: str) -> None:
    channel = PipeChannel([SERVER])
    client = SftpClient(channel)
    try:
        there = SftpEngine(client, wide)
        there.exists(".")
        descriptors = Path(f"/proc/{channel._process.pid}/fd")
        before = len(list(descriptors.iterdir()))
        found = there.find("*", ".", "f", None, False, raise_it)
        next(found)
        found.close()
        assert wait_until(lambda: len(list(descriptors.iterdir())) == before and not client._pending)
    finally:
        client.close()


def wait_until(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition())


def test_a_server_that_dies_is_an_error_and_no_partial_result(wide: str) -> None:
    channel = PipeChannel([SERVER])
    reasons: list[str] = []
    client = SftpClient(channel)
    client.when_lost(reasons.append)
    there = SftpEngine(client, wide)
    failures: list[OSError] = []
    found = there.find("*", ".", "f", None, False, failures.append)
    next(found)
    channel._process.kill()
    with pytest.raises(SftpLostError):
        for _ in found:
            pass
    assert failures == []
    with pytest.raises(SftpLostError):
        there.exists(".")
    assert len(reasons) == 1
    assert not client.alive


def test_closing_wakes_whoever_waits(tmp_path: Path) -> None:
    client = SftpClient(PipeChannel([SERVER]))
    os.mkfifo(tmp_path / "fifo")
    waiting = threading.Event()

    def read_pipe() -> None:
        waiting.set()
        with pytest.raises(SftpLostError):  # the server waits for the other end
            client.ask(3, struct.pack(">I", len(path)) + path + struct.pack(">II", 1, 0))

    path = os.fsencode(tmp_path / "fifo")
    thread = threading.Thread(target=read_pipe)
    thread.start()
    waiting.wait()
    client.close()
    thread.join(10)
    assert not thread.is_alive()


def test_a_loss_is_told_before_it_is_felt() -> None:
    """Else an agent over it could answer with the loss, where the line should seem to break."""
    channel = PipeChannel([SERVER])
    client = SftpClient(channel)
    channel._process.send_signal(signal.SIGSTOP)

    def ask() -> None:
        with pytest.raises(SftpLostError, match="it is enough"):
            client.ask(17, struct.pack(">I", 1) + b"/")

    asker = threading.Thread(target=ask)
    waiting: list[bool] = []

    def listen(_reason: str) -> None:
        asker.start()
        asker.join(0.5)
        waiting.append(asker.is_alive())

    client.when_lost(listen)
    client.lose("it is enough")
    asker.join(10)
    assert waiting == [True]
    assert not asker.is_alive()


def test_a_fifo_is_refused_before_the_server_waits_for_it(client: SftpClient, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    there = SftpEngine(client, str(tmp_path))
    for mode in ("rb", "wb", "ab"):
        with pytest.raises(OSError, match="FIFO"):
            there.open("fifo", mode)
    assert there.exists("fifo")


# --- servers that aren't right


HELLO = struct.pack(">IBI", 5, 2, 3)


def script(code: str) -> PipeChannel:
    """A server that runs this code; `take()` gives the next request, `answer(kind, number, body)` answers."""
    beginning = """
import os, struct, sys, time
say = lambda data: os.write(1, data)
def need(size):
    data = b""
    while len(data) < size:
        more = os.read(0, size - len(data))
        if not more:
            sys.exit()
        data += more
    return data
def take():
    body = need(*struct.unpack(">I", need(4)))
    return body[0], body[1:5], body[5:]
def answer(kind, number, body):
    say(struct.pack(">IB", 5 + len(body), kind) + number + body)
string = lambda value: struct.pack(">I", len(value)) + value
status = lambda code: struct.pack(">I", code) + string(b"so it is") + string(b"")
hello = struct.pack(">IBI", 5, 2, 3)
"""
    return PipeChannel([sys.executable, "-I", "-S", "-c", beginning + code])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("say(b'Welcome!\\n')", "it said b'Welcome!"),
        ("say(b'noise ' * 20000); time.sleep(9)", "no SFTP server"),
        ("print('no such thing', file=sys.stderr); sys.exit(1)", "no such thing"),
        ("time.sleep(60)", "said nothing for 0.5 s"),
    ],
)
def test_what_is_no_server_is_told(code: str, said: str) -> None:
    with pytest.raises(ConnectionFailedError, match=said):
        SftpClient(script(code), silence=0.5)


@pytest.mark.parametrize(
    "answer",
    [
        "say(b'garbage' * 100)",
        "say(b'\\xff' * 20)",
        "answer(105, b'none', b'')",
        "answer(105, number, b'')",
        "answer(101, number, b'')",
        "answer(102, number, b'handle')",
        "answer(101, number, status(0))",
        "answer(104, number, struct.pack('>I', 1 << 30))",
        "sys.exit()",
        "time.sleep(60)",
    ],
)
def test_answers_that_make_no_sense_end_the_connection(answer: str) -> None:
    client = SftpClient(
        script(
            "say(b'Last login: today\\r\\n' + hello); take()\n"
            f"while True:\n  kind, number, body = take()\n  {answer}"
        ),
        silence=1.0,
    )
    try:
        with pytest.raises((SftpLostError, OSError)) as caught:
            SftpEngine(client, "/").stat("x", True)
        assert isinstance(caught.value, SftpLostError) or caught.value.errno == errno.EIO
    finally:
        client.close()


LISTING = """
say(hello); take()
while True:
    kind, number, body = take()
    if kind == 11:
        answer(102, number, string(b"h"))
    elif kind == 12:
        answer(*reading(number))
    elif kind == 7:
        answer(105, number, struct.pack(">II", 4, 0o100644))
    elif kind == 17:
        answer(105, number, struct.pack(">II", 4, 0o40755))
    else:
        answer(101, number, status(0))
"""


@pytest.mark.parametrize("name", ["b'same'", "b'../up'", "b''", "b'nul\\0'"])
def test_listings_that_cannot_be_are_refused(name: str) -> None:
    reading = f"""
def reading(number):
    entry = string({name}) + string(b"long") + struct.pack(">I", 0)
    return 104, number, struct.pack(">I", 100) + 100 * entry
"""
    client = SftpClient(script(reading + LISTING))
    try:
        with pytest.raises(OSError, match="name") as caught:
            SftpEngine(client).ls("/folder")
        assert caught.value.errno == errno.EIO
    finally:
        client.close()


def test_types_that_a_server_leaves_out_are_asked_for() -> None:
    reading = """
given = []
def reading(number):
    if given:
        return 101, number, status(1)
    given.append(1)
    entry = string(b"bare") + string(b"long") + struct.pack(">I", 0)
    return 104, number, struct.pack(">I", 1) + entry
"""
    client = SftpClient(script(reading + LISTING))
    try:
        found = SftpEngine(client).find("*", "/folder", "f", None, False, raise_it)
        assert unpack(b"\0".join(found)) == ["/folder/bare"]
    finally:
        client.close()


# --- files


LARGE = os.urandom(1 << 20) * 5 + b"tail"
FEWER = ("-P", "posix-rename,hardlink,fsync,limits,expand-path")


@pytest.mark.parametrize("options", [(), FEWER], ids=["all extensions", "none"])
@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_files_are_written_and_read(options: tuple[str, ...], content: bytes, tmp_path: Path) -> None:
    with connected(*options) as client:
        there = SftpEngine(client, str(tmp_path))
        for name in ("new", "new"):  # and then replaced
            with there.open(name, "wb", 0o640) as file:
                for start in range(0, len(content), 700_000):
                    file.write_all(content[start : start + 700_000])
                assert file.status().st_size == len(content)
                file.commit()
            assert (tmp_path / name).read_bytes() == content
        with there.open("new", "rb") as file:
            assert b"".join(iter(lambda: file.read(300_000), b"")) == content
            assert file.read_at(3, 7) == content[3:10]
            assert file.read_at(len(content) + 5, 7) == b""
            file.seek(0)
            assert file.readall() == content
        assert os.listdir(tmp_path) == ["new"]
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("options", [(), FEWER], ids=["all extensions", "none"])
def test_a_new_file_of_mode_x_replaces_nobodys(options: tuple[str, ...], tmp_path: Path) -> None:
    with connected(*options) as client:
        there = SftpEngine(client, str(tmp_path))
        with there.open("new", "xb") as file:
            file.write(b"mine")
            (tmp_path / "new").write_text("theirs")
            with pytest.raises(FileExistsError):
                file.commit()
        assert (tmp_path / "new").read_text() == "theirs"
        assert os.listdir(tmp_path) == ["new"]


def test_a_file_that_is_not_committed_leaves_all_as_it_was(client: SftpClient, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    there = SftpEngine(client, str(tmp_path))
    for name in ("old", "new"):
        with there.open(name, "wb") as file:
            file.write(LARGE)
        forgotten = there.open(name, "wb")
        forgotten.write(LARGE)
        del forgotten
    assert wait_until(lambda: os.listdir(tmp_path) == ["old"])
    assert (tmp_path / "old").read_text() == "old"


def test_appending_and_updating(client: SftpClient, tmp_path: Path) -> None:
    there = SftpEngine(client, str(tmp_path))
    for text in (b"one", LARGE):
        with there.open("f", "ab") as file:
            assert file.write(text) == len(text)
            assert file.tell() == os.path.getsize(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"one" + LARGE
    with there.open("f", "r+b") as file:
        file.write_at(1, b"NE")
        assert file.read_at(0, 4) == b"oNE" + LARGE[:1]
        assert file.truncate(3) == 3
        assert file.read_at(0, 100) == b"oNE"
    assert (tmp_path / "f").read_bytes() == b"oNE"


def test_a_file_that_grows_is_read_to_its_end(client: SftpClient, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"one")
    with SftpEngine(client, str(tmp_path)).open("f", "rb") as file:
        assert file.read(100) == b"one"
        assert file.read(100) == b""
        with open(tmp_path / "f", "ab") as more:
            more.write(LARGE)
        assert file.readall() == LARGE


def test_files_that_do_not_tell_their_size_are_read(client: SftpClient) -> None:
    with SftpEngine(client).open("/proc/self/mountinfo", "rb") as file:
        assert file.status().st_size == 0
        assert file.readall().count(b"\n") > 1


def test_a_write_that_fails_is_told(client: SftpClient) -> None:
    with SftpEngine(client).open("/dev/full", "wb") as file:
        file.write(b"x")
        with pytest.raises(OSError, match="Failure"):
            file.write(b"y")
            file.status()
