"""The remote half over the pipes of a process on this machine: the whole conformance suite, and faults."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue

import pytest

from clustrix_core import API_VERSION, hookspecs
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import ConfigError, ConnectionFailedError, OperationTimeoutError
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.remote import PipeChannel, Ran, RemoteBackend, RemoteConfig, agent, bootstrap, transfer
from clustrix_core.remote.client import Client
from clustrix_core.session import pool
from clustrix_core.testing import BackendSuite, Place, local_place
from clustrix_core.testing.properties import PropertySuite
from fakedist import FakeSite

PIPES = """
from pydantic import ConfigDict
from clustrix_core import API_VERSION
from clustrix_core.remote import PipeChannel, RemoteBackend, RemoteConfig

class PipesConfig(RemoteConfig):
    model_config = ConfigDict(extra="forbid")
    user: int | None = None
    shell: tuple[str, ...] = ("sh", "-c")

class Pipes(RemoteBackend):
    api_version = API_VERSION
    config_model = PipesConfig

    def open_channel(self, command):
        user = self.config.user
        become = () if user is None else ("setpriv", f"--reuid={user}", "--clear-groups")
        return PipeChannel([*become, *self.config.shell, command])
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSite]:
    with FakeSite(tmp_path_factory.mktemp("site")) as site:
        site.add("clustrix-pipes", "1.0", backends={"pipes": "pipes:Pipes"}, modules={"pipes": PIPES})
        yield site
        pool.close()


def pipes(root: str, **fields: object) -> ClusterConfig:
    return ClusterConfig(cluster_type="pipes", cluster_host="the.host", remote_work_dir=root, **fields)


@pytest.fixture(scope="module")
def place(site: FakeSite) -> Iterator[Place]:
    with local_place(pipes) as place:
        nobody = place.config.model_copy(update={"user": 65534})
        yield replace(place, unprivileged=lambda: nullcontext(nobody))


class TestPipes(BackendSuite):
    pass


class TestPipesProperties(PropertySuite):
    pass


@pytest.fixture
def there(site: FakeSite, tmp_path: Path) -> Iterator[ClusterFilesystem]:
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "f").write_text("x")
    with ClusterFilesystem(pipes(str(tmp_path))) as there:
        yield there
    pool.close()


def wait_until(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition())


def client_of(there: ClusterFilesystem):
    return there._session().backend._client


def agent_of(there: ClusterFilesystem) -> int:
    there.exists(".")
    return client_of(there).hello["pid"]


# --- the start


def test_the_agent_and_its_engine_fit_into_one_tcp_window() -> None:
    assert len(bootstrap.payload(bootstrap.new_marker(), "/scratch/project", 5.0)) < 14_000


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
@pytest.mark.parametrize("python", [None, sys.executable])
def test_any_shell_takes_the_command(shell: str, python: str | None) -> None:
    marker = bootstrap.new_marker()
    source = bootstrap.payload(marker, None, 5.0)
    channel = PipeChannel([shell, "-c", bootstrap.command(len(source), python)])
    try:
        channel.sendall(source)
        said = b""
        while marker not in said:
            data = channel.recv(1000)
            assert data, channel.last_words()
            said += data
    finally:
        channel.close()


def test_a_python_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my python").symlink_to(sys.executable)
    test_any_shell_takes_the_command("sh", "~/my python")


def test_the_command_is_plain_to_csh_and_fish() -> None:
    for python in (None, "/opt/my python/bin/python", "~/my python"):
        command = bootstrap.command(10_000, python)
        assert "\n" not in command
        assert "!" not in command
        assert "`" not in command


@pytest.mark.parametrize(
    "noise",
    [
        "echo welcome; echo 'to the cluster' >&2; ",
        "head -c 300000 /dev/zero; ",
        "trap 'echo bye' EXIT; printf 'no newline'; ",
    ],
)
def test_noise_of_the_login_disturbs_nothing(there, noise: str) -> None:
    config = there.config.model_copy(update={"shell": ("sh", "-c", noise + 'eval "$0"')})
    with ClusterFilesystem(config) as noisy:
        assert noisy.ls() == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("shell", "message"),
    [
        ("echo This account is not available.; exit 1", "the host said: 'This account is not available.'"),
        ("echo bad luck >&2; exit 1", "the host said: 'bad luck'"),
        ('PATH=/nowhere; eval "$0"', "the.host: "),
        ("yes", "the agent did not start"),
        ("exit", "the agent did not start"),
    ],
)
def test_an_agent_that_does_not_start_is_explained(there, shell: str, message: str) -> None:
    config = there.config.model_copy(update={"shell": ("/bin/sh", "-c", shell)})
    with (
        ClusterFilesystem(config) as silent,
        pytest.raises(ConnectionFailedError, match="the.host") as raised,
    ):
        silent.ls()
    assert message in str(raised.value)


def test_a_missing_work_dir_is_named_with_its_host(site: FakeSite) -> None:
    with (
        ClusterFilesystem(pipes("/no/such/dir")) as there,
        pytest.raises(ConfigError, match="remote_work_dir '/no/such/dir' on the.host: there is no such dir"),
    ):
        there.exists("x")


def test_a_new_agent_starts_once_the_channel_of_the_lost_one_is_closed() -> None:
    """Else a line that both go over is closed with the first."""
    events: list[str] = []

    class Slow(PipeChannel):
        def close(self) -> None:
            time.sleep(0.1)
            super().close()
            events.append("closed")

    class Backend(RemoteBackend):
        api_version, config_model = API_VERSION, RemoteConfig

        def open_channel(self, command: str) -> PipeChannel:
            events.append("opened")
            return Slow(["sh", "-c", command])

    backend = Backend(RemoteConfig(cluster_type="slow", remote_work_dir="/no/such/dir"))
    for _ in range(3):
        with pytest.raises(ConfigError):
            backend.clustrix_exists("x")
    backend.close()
    assert wait_until(lambda: events == ["opened", "closed"] * 3)


# --- requests


def test_a_program_is_run(there) -> None:
    backend = there._session().backend
    ran = backend.run(["sh", "-c", 'cat; echo "$1" >&2; exit 3', "sh", "; $HOME"], b"given\0")
    assert ran == Ran(3, b"given\0", "; $HOME\n")
    assert backend.run(["sh", "-c", "kill $$"]).status == -signal.SIGTERM
    assert len(backend.run(["head", "-c", "3000000", "/dev/zero"]).output) == 3_000_000


def test_a_program_that_is_not_there(there) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        there._session().backend.run(["no-such-program"])


def test_fifty_threads_share_one_agent(there) -> None:
    started = agent_of(there)

    def ask(number: int) -> object:
        kind = number % 4
        if kind == 0:
            return there.ls(str(number % 3))
        if kind == 1:
            return there.find("*")
        if kind == 2:
            return there.stat("0/f").size
        return there.du().file_count

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(ask, range(400)))
    assert answers == [["f"], ["0/f", "1/f", "2/f"], 1, 3] * 100
    assert agent_of(there) == started


def test_a_long_find_does_not_hold_up_a_stat_and_memory_is_bounded(there, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for number in range(400):
        folder = tmp_path / "many" / f"{number:0200}"
        folder.mkdir()
        for name in range(150):
            os.mknod(folder / f"{name:0200}")
    with there.iterfind("*", "many") as stream:
        next(stream)
        assert there.stat("0/f").size == 1
        time.sleep(0.3)
        waiting = sum(call.frames.qsize() for call in client_of(there)._calls.values())
        assert waiting * agent.PIECE < 2 * agent.WINDOW
        assert sum(1 for _ in stream) == 400 * 150 - 1


def test_closing_a_stream_ends_the_walk_there(there, tmp_path: Path) -> None:
    there.iterfind("*").close()
    stream = there.iterfind("*")
    next(stream)
    del stream
    gc.collect()
    assert there.exists(".")
    assert not client_of(there)._calls


def test_forgetting_waits_for_nothing(there) -> None:
    """The garbage collector may run anywhere, on a line that stalls as well."""
    stream = there.iterfind("*")
    next(stream)
    files = [there.open(name, mode) for name, mode in (("new", "w"), ("0/f", "r"), ("1/f", "a"))]
    files[0].write("text")
    files[2].write("more")
    pid = agent_of(there)
    os.kill(pid, signal.SIGSTOP)
    with pytest.warns(ResourceWarning):
        files.clear()
        gc.collect()
    del stream
    gc.collect()
    os.kill(pid, signal.SIGCONT)
    assert wait_until(lambda: there.ls() == ["0", "1", "2"])
    assert wait_until(lambda: there.stat("1/f").size == 5)  # as of a local file
    assert not client_of(there)._calls


# --- lines that fail


def test_a_killed_agent_is_replaced_for_a_call_that_can_be_repeated(there) -> None:
    for ask in (there.ls, lambda: there.find("*"), lambda: there.stat("0/f"), there.du):
        before = agent_of(there)
        os.kill(before, signal.SIGKILL)
        assert ask()
        assert agent_of(there) != before


def test_a_killed_agent_is_an_error_in_the_middle_of_a_stream(there, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    names = [f"{number:0250}" for number in range(60_000)]
    assert len("".join(names)) > 1.5 * agent.WINDOW  # so that the agent can't be done
    for name in names:
        os.mknod(tmp_path / "many" / name)
    stream = there.iterfind("*", "many")
    next(stream)
    os.kill(agent_of(there), signal.SIGKILL)
    with pytest.raises(ConnectionFailedError, match="the.host: (the agent ended|sending failed)"):
        stream.read()
    assert there.exists(".")


def test_a_killed_agent_leaves_no_half_written_file(there, tmp_path: Path) -> None:
    file = there.open("f", "w")
    file.write("half")
    os.kill(agent_of(there), signal.SIGKILL)
    with pytest.raises(ConnectionFailedError):
        file.close()
    assert not (tmp_path / "f").exists()


def test_temporary_files_go_with_a_client_that_is_gone(site: FakeSite, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from clustrix import ClusterConfig, cluster_open\n"
        "config = ClusterConfig(cluster_type='pipes', remote_work_dir=sys.argv[2])\n"
        "file = cluster_open('f', 'w', config); file.write('half'); file.flush()\n"
        "print(len(os.listdir(sys.argv[2])), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, str(site.path), str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "1\n"
    assert wait_until(lambda: not os.listdir(tmp_path))


def test_a_stalled_line_counts_as_dead(there) -> None:
    pid = agent_of(there)
    client_of(there)._dead_after = 1.0
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ConnectionFailedError, match="nothing was heard for 1 s"):
        client_of(there).call("exists", path=".").value(bool)
    assert there.find("*") == ["0/f", "1/f", "2/f"]
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_an_operation_that_hangs_runs_out_of_time(there, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    config = there.config.model_copy(update={"op_timeout": 1.0})
    with ClusterFilesystem(config) as hurried:
        with pytest.raises(OperationTimeoutError, match="op_timeout=1"):
            hurried.open("fifo")  # nobody writes to it
        assert hurried.exists("fifo")


def test_nothing_can_be_sent_on_a_stalled_line(there) -> None:
    pid = agent_of(there)
    client_of(there)._dead_after = 1.0
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ConnectionFailedError, match="nothing (could be sent|was heard) for 1 s"):
        client_of(there).call("stat", b"x" * (1 << 22), follow_symlinks=True, first_failure=True).value(list)
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_twenty_threads_share_the_failure_of_one_attempt(there, tmp_path: Path) -> None:
    log = tmp_path / "log"
    shell = ("sh", "-c", f"echo >>{log}; sleep 0.5; exit 1")
    config = there.config.model_copy(update={"shell": shell})
    with ClusterFilesystem(config) as broken:

        def ask(_number: int) -> str:
            with pytest.raises(ConnectionFailedError) as raised:
                broken.exists("x")
            return str(raised.value)

        with ThreadPoolExecutor(20) as threads:
            assert len(set(threads.map(ask, range(20)))) == 1
    assert log.read_text() == "\n"


def test_closing_during_a_call_ends_it_and_starts_nothing(there, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    pid = agent_of(there)
    backend = there._session().backend
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(there.open, "fifo")
        assert wait_until(lambda: client_of(there)._calls)
        backend.close()
        with pytest.raises(ConnectionFailedError, match="closed"):
            waiting.result(10)
    assert not backend._client.alive
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists())


class Interruption(Exception):  # noqa: N818 (as KeyboardInterrupt)
    pass


@contextmanager
def interrupted(when: Callable[[], object]) -> Iterator[None]:
    """As Ctrl-C: an exception out of nowhere, in the main thread."""

    def interrupt(*_: object) -> None:
        raise Interruption

    def watch() -> None:
        if wait_until(when):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, interrupt)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(Interruption):
            yield
    finally:
        watcher.join()
        signal.signal(signal.SIGALRM, before)


def test_an_interrupted_read_loses_nothing(there, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "data").write_bytes(content)
    with there.open("data", "rb") as file:
        assert file.read(1000) == content[:1000]
        os.kill(agent_of(there), signal.SIGSTOP)
        with interrupted(lambda: client_of(there)._calls):
            file.seek(2_000_000)
            file.read(900_000)
        os.kill(agent_of_file(file), signal.SIGCONT)
        file.seek(1000)
        assert file.read() == content[1000:]


def agent_of_file(file) -> int:
    return file.raw_file._client.hello["pid"]


@pytest.mark.parametrize("mode", ["wb", "ab", "r+b"])
def test_after_an_interrupted_write_nothing_more_is_taken(there, tmp_path: Path, mode: str) -> None:
    (tmp_path / "0" / "f").write_bytes(b"old")
    file = there.open("0/f", mode)
    os.kill(agent_of_file(file), signal.SIGSTOP)
    with interrupted(lambda: len(file.raw_file._written) >= 16):
        file.write(b"x" * 20_000_000)
    os.kill(agent_of_file(file), signal.SIGCONT)
    with pytest.raises(OSError, match="interrupted"):
        file.write(b"y" * 1_000_000)
        file.flush()
    with suppress(OSError):
        file.close()
    if mode == "wb":
        assert (tmp_path / "0" / "f").read_bytes() == b"old"
    assert there.ls("0") == ["f"]


def test_calls_after_an_interrupted_one_are_answered(there) -> None:
    pid = agent_of(there)
    os.kill(pid, signal.SIGSTOP)
    with interrupted(lambda: client_of(there)._calls):
        there.stat(["0/f"] * 100_000)
    os.kill(pid, signal.SIGCONT)
    assert there.ls() == ["0", "1", "2"]
    assert agent_of(there) == pid
    assert wait_until(lambda: not client_of(there)._calls)


def test_a_signal_handler_may_ask_while_a_call_waits(there) -> None:
    agent_of(there)
    answers: list = []
    before = signal.signal(signal.SIGALRM, lambda *_: answers.append(there.ls()))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        for _ in range(100):
            assert there.stat(["0/f"] * 1000)[0].size == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(answers) > 3
    assert all(answer == ["0", "1", "2"] for answer in answers)


def test_many_paths_and_many_failures(there, tmp_path: Path) -> None:
    paths = [f"{number % 3}/{'f' if number % 5 else 'missing' * 10}" for number in range(200_000)]
    found = there.stat(paths, on_error="return")
    assert [isinstance(one, FileNotFoundError) for one in found] == [
        not number % 5 for number in range(200_000)
    ]
    assert found[0].filename == paths[0]
    with pytest.raises(FileNotFoundError, match="missing"):
        there.stat(paths)
    for answer in (there.stat([]), there.stat([], on_error="return")):
        assert answer == []


# --- copies


def big_file(path: Path) -> bytes:
    content = os.urandom(1 << 20) * 24
    path.write_bytes(content)
    return content


@pytest.mark.parametrize("way", ["get", "put"])
def test_a_copy_goes_on_where_it_broke_off(there, tmp_path: Path, way: str) -> None:
    """The second attempt is made by `get` and `put` themselves; the third by the user."""
    content = big_file(tmp_path / "source")
    copy = {
        "get": lambda report: there.get("source", str(tmp_path / "copy"), progress=report),
        "put": lambda report: there.put(str(tmp_path / "source"), "copy", progress=report),
    }[way]
    killed: list[int] = []

    def kill_twice(done: int, _total: object) -> None:
        if len(killed) < 2 and done >= (6 << 20) * (len(killed) + 1):
            killed.append(client_of(there).hello["pid"])
            client_of(there)._channel._input.close()

    agent_of(there)
    with pytest.raises(ConnectionFailedError):
        copy(kill_twice)
    (kept,) = [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
    assert wait_until(lambda: not Path(f"/proc/{killed[1]}").exists())
    there_already = (tmp_path / kept).stat().st_size
    assert 0 < there_already < len(content)
    assert (tmp_path / kept).read_bytes() == content[:there_already]
    assert copy(lambda done, total: None) == len(content)
    assert (tmp_path / "copy").read_bytes() == content
    assert kept not in os.listdir(tmp_path)


@pytest.mark.parametrize("way", ["get", "put"])
def test_a_kept_part_that_was_spoilt_is_noticed(there, tmp_path: Path, way: str) -> None:
    content = big_file(tmp_path / "source")
    if way == "get":
        status = (tmp_path / "source").stat()
        identity = ("the.host", "source", status.st_size, status.st_mtime_ns, status.st_ino)
    else:
        status = (tmp_path / "source").stat()
        identity = (os.uname().nodename, str(tmp_path / "source"), status.st_size, status.st_mtime_ns)
    (tmp_path / f".clustrix-{transfer._key(*identity)}.tmp").write_bytes(b"x" * 1000)
    copy = {
        "get": lambda: there.get("source", str(tmp_path / "copy")),
        "put": lambda: there.put(str(tmp_path / "source"), "copy"),
    }[way]
    with pytest.raises(OSError, match="differs"):
        copy()
    assert not (tmp_path / "copy").exists()
    assert copy() == len(content)
    assert (tmp_path / "copy").read_bytes() == content


def test_permissions_from_elsewhere_set_no_id(tmp_path: Path) -> None:
    answer = frame(agent.FACTS, b"[[1, 1, 1], %d]" % 0o6755) + frame(agent.DATA, b"x")
    answer += frame(agent.END, b'{"result": "%s"}' % sha256(b"x").hexdigest().encode())
    client = Client(Babble(GREETING, answer), b"", b"marker", "the.host")
    transfer.get(lambda ask: ask(client), "f", str(tmp_path / "f"), "the.host", None)
    client.close()
    assert (tmp_path / "f").stat().st_mode & 0o7700 == 0o700


def test_a_file_that_is_refused_is_not_sent(there, tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(bytes(3 << 20))
    os.truncate(content, 1 << 34)  # sixteen gigabytes of holes
    sent: list[int] = []
    with pytest.raises(FileNotFoundError):
        there.put(str(content), "no/such/folder/f", progress=lambda done, total: sent.append(done))
    assert max(sent, default=0) < 1 << 26


class Babble:
    """A channel whose far side greets, and gives one answer to the first thing that it is asked."""

    def __init__(self, hello: bytes, answer: bytes) -> None:
        self.says: SimpleQueue[bytes] = SimpleQueue()
        self.says.put(hello)
        self.answer = answer

    def recv(self, size: int) -> bytes:
        return self.says.get()

    def sendall(self, data: bytes) -> None:
        self.says.put(self.answer)

    def close(self) -> None:
        self.says.put(b"")

    def abandon(self) -> None:
        pass

    def last_words(self) -> str:
        return ""


def frame(kind: int, body: bytes, number: int = 1) -> bytes:
    return agent.HEADER.pack(len(body), number, kind) + body


GREETING = b"marker" + frame(agent.HELLO, b'{"python": "3.6", "path": "python3", "pid": 1}', 0)


@pytest.mark.parametrize(
    "garbage",
    [
        agent.HEADER.pack(1 << 31, 1, agent.NAMES),
        frame(agent.END, b"{{{"),
        frame(agent.END, b"[]"),
        frame(agent.END, b'{"result": "yes"}'),
        frame(agent.FAILURES, b"[[1]]"),
        frame(agent.ERROR, b'{"os": [1, 2, 3]}'),
        frame(agent.PROGRESS, b"[" * 100_000),
        frame(agent.CREDIT, b""),
        frame(agent.ERROR, b"{}"),
        frame(agent.RECORDS, b"x"),
        frame(agent.RECORDS, b"\xff\xff\xff\xff"),
        frame(agent.PROGRESS, b"1"),
        frame(99, b""),
        b"",
    ],
)
def test_garbage_from_the_far_side_is_an_error(garbage: bytes) -> None:
    client = Client(Babble(GREETING, garbage), b"", b"marker", "the.host")
    with pytest.raises(
        ConnectionFailedError, match="the.host: (what arrived makes no sense|the agent ended)"
    ):
        client.call("exists", path=".").value(bool)
    assert not client.alive
    with pytest.raises(ConnectionFailedError, match="the.host"):
        client.call("exists", path=".")


def test_a_hello_that_makes_no_sense_is_an_error() -> None:
    with pytest.raises(ConnectionFailedError, match="the.host: what arrived makes no sense"):
        client = Client(Babble(b"marker" + frame(agent.HELLO, b"{", 0), b""), b"", b"marker", "the.host")
        client.call("exists", path=".").value(bool)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_starts_an_agent_of_its_own(there) -> None:
    parent = agent_of(there)
    child = os.fork()
    if child == 0:
        os._exit(0 if agent_of(there) != parent and there.ls() == ["0", "1", "2"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert agent_of(there) == parent


def test_no_agent_is_left_behind(there) -> None:
    pid = agent_of(there)
    pool.close()
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_the_agent_ends_with_a_killed_client(site: FakeSite, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from clustrix import ClusterConfig, ClusterFilesystem\n"
        "there = ClusterFilesystem(ClusterConfig(cluster_type='pipes', remote_work_dir=sys.argv[2]))\n"
        "there.exists('.'); print(there._session().backend._client.hello['pid'], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, str(site.path), str(tmp_path)]
    pid = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_one_operation_is_one_request(there, monkeypatch: pytest.MonkeyPatch) -> None:
    there.exists(".")
    sent: list = []
    real_send = client_of(there).send
    monkeypatch.setattr(client_of(there), "send", lambda *frame: (sent.append(frame[1]), real_send(*frame)))
    for ask in (
        there.ls,
        lambda: there.ls(detail=True),
        lambda: there.find("*"),
        lambda: there.stat(["0/f"] * 1000),
        lambda: there.exists("0"),
        lambda: there.isdir("0"),
        lambda: there.isfile("0"),
        lambda: there.glob("*/f"),
        there.du,
        there.count_files,
    ):
        sent.clear()
        ask()
        assert sent.count(agent.CALL) == 1
    assert len(hookspecs.REQUIRED) == 9
