"""What breaks in the middle of a call: the right answer or a clear error, soon, and never half a result."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from test_connection import LIMIT, agents

from clustrix_core import ClusterConfig, ClusterFilesystem
from clustrix_core.errors import ConnectionFailedError
from clustrix_core.remote.agent import WINDOW
from clustrix_core.testing.servers import Relay, SshServer

Configure = Callable[..., ClusterConfig]

MANY = 60_000  # names of 205 bytes: more than may be under way to a reader that doesn't read
FOLDERS = 3_000
BIG = 64 << 20  # bytes

PLANT = b"""
import os, sys
root, many, big = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.mkdir(root + "/many")
for number in range(many):
    os.close(os.open("%s/many/%s%05d" % (root, "n" * 200, number), os.O_CREAT | os.O_WRONLY))
for number in range(int(sys.argv[4])):
    os.makedirs("%s/wide/%05d" % (root, number))
    os.close(os.open("%s/wide/%05d/file" % (root, number), os.O_CREAT | os.O_WRONLY))
with open(root + "/big", "wb") as file:
    for number in range(big >> 20):
        file.write(os.urandom(1 << 20))
os.chmod(root, 0o777)
"""

WAYS = pytest.mark.parametrize(
    "way", [{"protocol": "agent"}, {"protocol": "sftp"}, {"ssh_client": "openssh"}], ids=str
)


@pytest.fixture(scope="module")
def planted(server: SshServer) -> Iterator[str]:
    root = f"{server.root}/broken-lines"
    server.python(b"import os, sys; os.mkdir(sys.argv[1])", [root])
    server.python(PLANT, [root, str(MANY), str(BIG), str(FOLDERS)])
    yield root
    server.python(b"import shutil, sys; shutil.rmtree(sys.argv[1])", [root])


@pytest.fixture
def line(
    configure: Configure, server: SshServer, planted: str, tmp_path: Path
) -> Iterator[tuple[Relay, Callable[..., ClusterConfig]]]:
    """A relay, and what makes a config that leads through it to the planted files."""
    with Relay(server.port) as relay:
        known = tmp_path / "known"
        known.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{relay.port} "))

        def through(**fields: object) -> ClusterConfig:
            usual = {"cluster_port": relay.port, "known_hosts_file": str(known), "remote_work_dir": planted}
            return configure(**{**usual, "dead_after": 2.0, "connect_timeout": 10.0, **fields})

        yield relay, through


@pytest.fixture
def tidy(server: SshServer, planted: str) -> Callable[[list[str]], None]:
    """Removes files there."""

    def remove(names: list[str]) -> None:
        script = b"import os, sys; [os.remove(os.path.join(sys.argv[1], name)) for name in sys.argv[2:]]"
        server.python(script, [planted, *names])

    return remove


Line = tuple[Relay, Callable[..., ClusterConfig]]


@WAYS
@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_in_the_middle_of_a_stream(line: Line, way: dict[str, str], fault: str) -> None:
    relay, through = line
    assert 205 * MANY > 1.4 * WINDOW
    # Over SFTP a folder is read whole before its first name is given.
    folder, files = ("wide", FOLDERS) if way.get("protocol") == "sftp" else ("many", MANY)
    with ClusterFilesystem(through(**way)) as fs:
        found = fs.iterfind("*", folder)
        seen = [next(found)]
        getattr(relay, fault)()
        began = time.monotonic()
        with pytest.raises(ConnectionFailedError):
            seen.extend(found)
        assert time.monotonic() - began < LIMIT
        assert len(seen) < files
        assert seen == sorted(seen)
        relay.resume()
        assert fs.count_files(folder) == files  # over a new line


@WAYS
def test_in_the_middle_of_a_copy(
    line: Line, tidy: Callable[[list[str]], None], way: dict[str, str], tmp_path: Path
) -> None:
    """Nothing appears under the name of the target; the next copy is whole."""
    relay, through = line
    target = tmp_path / "there" / "copy"
    target.parent.mkdir()
    with ClusterFilesystem(through(**way)) as fs:
        assert fs.exists("big")
        broken_off_once(relay, partial(fs.get, "big", target), target.exists)
        broken_off_once(relay, partial(fs.put, target, "new"), partial(fs.exists, "new"))
        with fs.open("new", "rb") as file:
            assert file.read() == target.read_bytes()
        left = fs.glob(".clustrix-*")
        if way.get("protocol") == "sftp":  # nobody is there to remove it
            assert len(left) == 1
        else:
            assert left == []
    assert os.listdir(target.parent) == ["copy"]
    tidy(["new", *left])


def broken_off_once(relay: Relay, copy: Callable[..., int], appeared: Callable[[], bool]) -> None:
    cut = Once(relay.cut)

    def progress(done: int, total: int | None) -> None:
        if done > BIG // 4:
            cut()

    try:
        copied = copy(progress=progress)
    except ConnectionFailedError:
        assert not appeared()
        copied = copy()
    assert cut.done
    assert copied == BIG


class Once:
    """Calls a function, the first time only."""

    def __init__(self, run: Callable[[], object]) -> None:
        self.done = False
        self._run = run

    def __call__(self) -> None:
        if not self.done:
            self.done = True
            self._run()


@WAYS
def test_a_line_that_is_cut_while_many_wait(line: Line, way: dict[str, str]) -> None:
    """Each gets the right answer or an error; all of them share one new connection."""
    relay, through = line
    answers: list[object] = []
    with ClusterFilesystem(through(**way)) as fs:
        assert fs.exists("big")
        relay.reset()

        def ask() -> None:
            for _ in range(20):
                try:
                    answers.append(fs.stat("big").size)
                except ConnectionFailedError as error:
                    answers.append(error)

        threads = [threading.Thread(target=ask) for _ in range(10)]
        for thread in threads:
            thread.start()
        relay.cut()
        for thread in threads:
            thread.join(LIMIT)
            assert not thread.is_alive()
        assert {answer for answer in answers if isinstance(answer, int)} == {BIG}
        assert relay.connections <= 2


def test_an_agent_that_is_stopped(line: Line, server: SshServer) -> None:
    """It neither answers nor gives a sign of life, though the line is fine."""
    _relay, through = line
    with ClusterFilesystem(through(protocol="agent")) as fs:
        assert fs.exists("big")
        stopped = agents(server)
        for process in stopped:
            os.kill(process, signal.SIGSTOP)
        began = time.monotonic()
        assert fs.exists("big")  # of another agent
        assert time.monotonic() - began < LIMIT
        assert set(agents(server)) - set(stopped)
        for process in stopped:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue


@WAYS
def test_a_stream_that_nobody_reads_holds_up_nothing(line: Line, way: dict[str, str]) -> None:
    """The far side's pipe fills, and other calls are answered all the same."""
    _relay, through = line
    with ClusterFilesystem(through(**way)) as fs:
        unread = fs.iterfind("*", "many")
        next(unread)
        for _ in range(50):
            assert fs.stat("big").size == BIG
        unread.close()
        assert fs.exists("big")


def test_an_idle_line_that_died_is_not_used(line: Line) -> None:
    """It is found dead by the first call after that, which goes over a new one or fails soon."""
    relay, through = line
    with ClusterFilesystem(through(keepalive=1)) as fs:
        assert fs.exists("big")
        relay.stall()
        time.sleep(0.5)
        began = time.monotonic()
        with pytest.raises(ConnectionFailedError):
            fs.exists("big")
        assert time.monotonic() - began < LIMIT
        relay.resume()
        assert fs.exists("big")
