"""The pool of sessions: one for each config, whoever asks, and closed when nobody does."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from clustrix import ClusterConfig, ClusterFilesystem, cluster_exists, cluster_ls, cluster_open
from clustrix_core.errors import BackendLoadError, ConfigError, ConnectionFailedError
from clustrix_core.session import pool
from fakedist import FakeSite, extension_source


@pytest.fixture
def counted(backends: FakeSite) -> ModuleType:
    return importlib.import_module("counted")


def config(**fields: object) -> ClusterConfig:
    return ClusterConfig(cluster_type="counted", **fields)


def wait_until(condition: object, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.01)
    return bool(condition())  # type: ignore[operator]


def test_equal_configs_share_one_session_and_different_ones_do_not(counted: ModuleType) -> None:
    for _ in range(3):
        cluster_exists("/", config())
        with ClusterFilesystem(config()) as place:
            place.exists("/")
    assert len(counted.opened) == 1
    cluster_exists("/", config(username="another"))
    cluster_exists("/", config(password="secret"))
    cluster_exists("/", config(password="another secret"))
    assert len(counted.opened) == 4


def test_fifty_threads_open_one_session(counted: ModuleType) -> None:
    start = threading.Barrier(50)

    def ask(_: int) -> bool:
        start.wait()
        return cluster_exists("/", config(slow=0.2))

    with ThreadPoolExecutor(50) as threads:
        assert all(threads.map(ask, range(50)))
    assert len(counted.opened) == 1


def test_a_slow_opening_does_not_hold_up_another_config(counted: ModuleType) -> None:
    slow = threading.Thread(target=cluster_exists, args=("/", config(slow=5)))
    slow.daemon = True
    slow.start()
    assert wait_until(lambda: pool._shared)
    cluster_exists("/", config())
    assert slow.is_alive()
    assert len(counted.opened) == 1
    slow.join()


def test_a_failed_opening_leaves_nothing_behind_and_is_tried_again(counted: ModuleType) -> None:
    broken = config(slow=-1.0)  # time.sleep refuses
    for _ in range(2):
        with pytest.raises(ValueError, match="sleep"):
            cluster_exists("/", broken)
    assert not counted.opened
    assert broken not in pool._shared


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        ("ConfigError('no log')", ConfigError, "^the extension 'watch': no log$"),
        (
            "FileNotFoundError(2, 'No such file', '/var/log/x')",
            BackendLoadError,
            r"^the extension 'watch' can't be started: FileNotFoundError: .*'/var/log/x'$",
        ),
        ("ConnectionFailedError('no server')", ConnectionFailedError, "^no server$"),
    ],
)
def test_an_extension_that_cannot_be_made_is_named(
    backends: FakeSite, raised: str, expected: type[Exception], message: str
) -> None:
    source = "from clustrix_core.errors import *\n" + extension_source("Audit")
    source = source.replace("self.config = config", f"raise {raised}")
    backends.add("watch", "1", extensions={"watch": "audit_mod:Audit"}, modules={"audit_mod": source})
    with pytest.raises(expected, match=message):
        cluster_ls("/", config(extensions=["watch"]))


def test_an_idle_session_is_closed_after_its_time_and_a_used_one_is_not(counted: ModuleType) -> None:
    with ClusterFilesystem(config(idle_timeout=0.05, username="used")) as used:
        used.exists("/")
        cluster_exists("/", config(idle_timeout=0.05, username="idle"))
        assert wait_until(lambda: counted.closed)
        time.sleep(0.2)
        assert counted.closed == [counted.opened[1]]
        used.exists("/")
        assert len(counted.opened) == 2
    assert wait_until(lambda: len(counted.closed) == 2)
    cluster_exists("/", config(idle_timeout=0.05, username="idle"))
    assert len(counted.opened) == 3


def test_a_short_timeout_is_kept_beside_a_long_one(counted: ModuleType) -> None:
    cluster_exists("/", config(idle_timeout=3600))
    cluster_exists("/", config(idle_timeout=0.05))
    assert wait_until(lambda: counted.closed == [counted.opened[1]])


def test_a_forgotten_filesystem_lets_go_of_its_session(counted: ModuleType) -> None:
    place = ClusterFilesystem(config(idle_timeout=0.05))
    place.exists("/")
    del place
    gc.collect()
    assert wait_until(lambda: counted.closed)


def test_an_open_file_keeps_its_session(counted: ModuleType, tmp_path: Path) -> None:
    with cluster_open(tmp_path / "f", "w", config(idle_timeout=0.05)) as file:
        time.sleep(0.3)
        assert not counted.closed
        file.write("text")
    assert (tmp_path / "f").read_text() == "text"
    del file
    gc.collect()
    assert wait_until(lambda: counted.closed)


def test_a_closed_filesystem_says_so(counted: ModuleType) -> None:
    place = ClusterFilesystem(config())
    place.close()
    place.close()
    with pytest.raises(ValueError, match="closed; make a new one"):
        place.exists("/")


def test_a_forgotten_filesystem_does_no_harm_while_the_pool_is_locked(counted: ModuleType) -> None:
    place = ClusterFilesystem(config(idle_timeout=0.05))
    place.exists("/")
    with pool._lock:  # as when the garbage collector runs inside
        del place
        gc.collect()
    assert wait_until(lambda: counted.closed)


def test_a_filesystem_closed_before_a_fork_stays_closed(counted: ModuleType) -> None:
    place = ClusterFilesystem(config())
    place.close()
    pool.close()
    with pytest.raises(ValueError, match="closed; make a new one"):
        place.exists("/")


def test_a_closed_pool_opens_anew(counted: ModuleType) -> None:
    place = ClusterFilesystem(config())
    place.exists("/")
    pool.close()
    assert counted.closed == counted.opened
    assert place.exists("/")
    assert len(counted.opened) == 2
    place.close()


def test_sessions_are_closed_when_the_process_ends(backends: FakeSite) -> None:
    code = """
import clustrix, counted
counted.Counted.close = lambda self: print("closed")
clustrix.cluster_exists("/", clustrix.ClusterConfig(cluster_type="counted"))
"""
    environment = {**os.environ, "PYTHONPATH": str(backends.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("closed\n", "")


FORK = """
import os, threading, clustrix, counted
from clustrix_core.session import pool
config = clustrix.ClusterConfig(cluster_type="counted", idle_timeout=0.05)
place = clustrix.ClusterFilesystem(config)
place.exists("/")
with pool._lock if LOCKED else open("/dev/null"):
    child = os.fork()
    if child == 0:
        assert place.exists("/") and clustrix.cluster_exists("/", config)
        assert len(counted.abandoned) == 1 and not counted.closed, (counted.abandoned, counted.closed)
        assert len(counted.opened) == 2, counted.opened
        os._exit(0)
    status = os.waitpid(child, 0)[1]
assert status == 0, status
assert place.exists("/")
assert len(counted.opened) == 1 and not counted.abandoned
print("fine")
"""


@pytest.mark.parametrize("locked", [False, True])
def test_a_forked_child_starts_with_an_empty_pool_and_new_locks(backends: FakeSite, locked: bool) -> None:
    environment = {**os.environ, "PYTHONPATH": str(backends.path)}
    code = FORK.replace("LOCKED", str(locked))
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_the_local_backend_starts_no_thread() -> None:
    code = (
        "import threading, clustrix\n"
        "clustrix.cluster_ls('/', clustrix.ClusterConfig())\n"
        "print(threading.active_count())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\n"


def test_many_threads_come_and_go(counted: ModuleType) -> None:
    def ask(number: int) -> list[str]:
        return cluster_ls("/", config(idle_timeout=0.001, username=str(number % 3)))

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, range(2000)))
    assert all(answer == sorted(os.listdir("/")) for answer in answers)
    assert wait_until(lambda: len(counted.closed) == len(counted.opened))
    assert not pool._shared


def test_a_stream_keeps_its_session(counted: ModuleType, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "data" / str(number)).mkdir(parents=True)
        (tmp_path / "data" / str(number) / "f").write_text("")
    with ClusterFilesystem(config(idle_timeout=0.05, local_work_dir=str(tmp_path / "data"))) as place:
        stream = place.iterfind("*")
        next(stream)
    time.sleep(0.3)
    assert not counted.closed
    assert len(list(stream)) == 2
    assert wait_until(lambda: counted.closed)


def test_a_forgotten_stream_ends_at_once(counted: ModuleType) -> None:
    ends: list = []
    with ClusterFilesystem(config()) as place:
        gc.disable()
        try:
            for iterate in (False, True):
                stream = place.iterfind("*", "/etc")
                stream.on_end(ends.append)
                if iterate:
                    next(stream)
                del stream
                assert len(ends) == 1 + iterate
        finally:
            gc.enable()


def test_a_backend_that_fails_to_close_keeps_no_other_open(
    counted: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(backend: object) -> None:
        counted.closed.append(backend)
        raise OSError("close failed")

    counted.Counted.close = fail
    for name in "ab":
        cluster_exists("/", config(username=name))
    pool.close()
    assert len(counted.closed) == 2
    for name in "cd":
        cluster_exists("/", config(username=name, idle_timeout=0.05))
        assert wait_until(lambda: len(counted.closed) == len(counted.opened))
    assert "closing a session of the backend 'counted' failed" in caplog.text


def test_a_signal_handler_may_use_a_session(counted: ModuleType) -> None:
    """Anywhere: also where the pool's locks are held, and while the session is being opened."""
    answers: list = []
    before = signal.signal(signal.SIGALRM, lambda *_: answers.append(cluster_exists("/", config(slow=0.2))))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        assert cluster_exists("/", config(slow=0.2))
        with pool._lock:
            signal.raise_signal(signal.SIGALRM)
        assert answers == [True, True]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(counted.opened) - len(counted.closed) == 1


def test_a_session_opened_while_the_pool_was_closed_is_closed_in_the_end(counted: ModuleType) -> None:
    place = ClusterFilesystem(config(slow=0.3, idle_timeout=0.05))
    thread = threading.Thread(target=place.exists, args=("/",))
    thread.start()
    time.sleep(0.1)
    pool.close()
    thread.join()
    place.close()
    assert wait_until(lambda: len(counted.opened) == len(counted.closed) == 1)


def test_a_very_long_idle_timeout_is_no_trouble(counted: ModuleType) -> None:
    cluster_exists("/", config(idle_timeout=1e10))
    cluster_exists("/", config(idle_timeout=0.05))
    assert wait_until(lambda: len(counted.closed) == 1)
