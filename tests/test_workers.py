"""Worker processes of this machine."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import jobs_sample
import pytest

from clustrix_core.workers import WorkerDiedError, Workers

SECONDS = 90


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers()
    yield workers
    workers.end()


def wait_until(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_they_are_started_as_they_are_needed_and_kept(workers: Workers) -> None:
    first = workers.submit(4, os.getpid).result(SECONDS)
    assert first != os.getpid()
    assert workers.running(1)
    assert not workers.running(2)
    assert wait_until(lambda: workers.submit(4, os.getpid).result(SECONDS) == first)


def test_only_so_many_are_busy_at_once(workers: Workers, tmp_path: Path) -> None:
    orders = [workers.submit(2, jobs_sample.overlaps, str(tmp_path)) for _ in range(8)]
    orders += [workers.submit(1, jobs_sample.overlaps, str(tmp_path)) for _ in range(4)]
    found = [order.result(SECONDS) for order in orders]
    assert max(found[:8]) <= 2
    assert found[9:] == [1, 1, 1]


def test_one_that_dies_dies_alone(workers: Workers) -> None:
    slow = workers.submit(2, time.sleep, 1.0)
    for function, arguments, how in (
        (os._exit, (7,), "exit code 7"),
        (signal.raise_signal, (signal.SIGKILL,), "signal 9"),
    ):
        with pytest.raises(WorkerDiedError, match=how):
            workers.submit(2, function, *arguments).result(SECONDS)
    assert slow.result(SECONDS) is None


def test_one_that_is_killed_while_it_is_idle_is_replaced(workers: Workers) -> None:
    for _ in range(10):  # its threads may hold its line for a moment, or not
        pid = workers.submit(1, os.getpid).result(SECONDS)
        os.kill(pid, signal.SIGKILL)
        assert workers.submit(1, os.getpid).result(SECONDS) not in (pid, os.getpid())


def test_what_was_not_begun_when_a_worker_was_killed_is_given_to_another(workers: Workers) -> None:
    pid = workers.submit(1, os.getpid).result(SECONDS)
    os.kill(pid, signal.SIGSTOP)
    order = workers.submit(1, os.getpid)
    assert wait_until(order.running)
    time.sleep(0.2)  # it is on its way
    os.kill(pid, signal.SIGKILL)
    assert order.result(SECONDS) not in (pid, os.getpid())


def test_what_was_begun_when_a_worker_was_killed_is_not_done_again(workers: Workers, tmp_path: Path) -> None:
    workers.submit(1, os.getpid).result(SECONDS)
    with pytest.raises(WorkerDiedError, match="signal 9"):
        workers.submit(1, jobs_sample.leaves_a_mark_and_dies, str(tmp_path / "marks")).result(SECONDS)
    assert (tmp_path / "marks").read_text() == "x"


def test_the_end_of_one_shows_where_it_has_left_children(workers: Workers, tmp_path: Path) -> None:
    with pytest.raises(WorkerDiedError, match="exit code 3"):
        workers.submit(1, jobs_sample.leaves_a_child, str(tmp_path / "pid")).result(SECONDS)


def test_what_is_ended_ends_alone_with_all_that_it_has_started(workers: Workers, tmp_path: Path) -> None:
    other = workers.submit(2, time.sleep, 1.0)
    order = workers.submit(2, jobs_sample.is_stubborn, str(tmp_path))
    waiting = workers.submit(2, os._exit, 1)
    waiting.end()
    assert waiting.cancelled()
    pids = tmp_path / "pids"
    assert wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    order.end()
    with pytest.raises(CancelledError):
        order.result(SECONDS)
    for pid in pids.read_text().split():
        assert wait_until(lambda pid=int(pid): not is_alive(pid))
    assert other.result(SECONDS) is None
    other.end()
    assert workers.submit(2, pow, 2, 3).result(SECONDS) == 8


def test_what_is_raised_is_raised_here(workers: Workers) -> None:
    with pytest.raises(ZeroDivisionError):
        workers.submit(1, divmod, 1, 0).result(SECONDS)
    with pytest.raises(RuntimeError, match="SystemExit: enough"):
        workers.submit(1, sys.exit, "enough").result(SECONDS)
    with pytest.raises(RuntimeError, match="LocalError: here"):
        workers.submit(1, jobs_sample.raises_it).result(SECONDS)


def test_a_callback_may_wait_for_more(workers: Workers) -> None:
    found: list[int] = []
    done = threading.Event()

    def ask_for_more(_: object) -> None:
        found.append(workers.submit(1, pow, 2, 3).result(SECONDS))
        done.set()

    workers.submit(1, time.sleep, 0.2).add_done_callback(ask_for_more)
    assert done.wait(SECONDS)
    assert found == [8]


def test_large_things(workers: Workers) -> None:
    big = bytes(50 << 20)
    assert workers.submit(1, operator.add, big, b"1").result(SECONDS) == big + b"1"


def test_they_look_for_modules_where_this_process_does(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.submit(1, os.getpid).result(SECONDS)
    (tmp_path / "arrived_late.py").write_text("def value():\n    return 'there'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import arrived_late  # type: ignore[import-not-found]

    assert workers.submit(1, arrived_late.value).result(SECONDS) == "there"


def test_a_folder_that_is_gone(workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert workers.submit(1, pow, 2, 3).result(SECONDS) == 8


def test_a_forked_child_has_its_own(workers: Workers) -> None:
    mine = workers.submit(1, os.getpid).result(SECONDS)
    child = os.fork()
    if not child:
        try:
            its = workers.submit(1, os.getpid).result(SECONDS)
            workers.end()
            os._exit(0 if its != mine else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert workers.submit(1, os.getpid).result(SECONDS) == mine


def test_they_end_with_whoever_is_killed() -> None:
    code = (
        "import os, sys, time\n"
        "from clustrix_core.workers import Workers\n"
        "workers = Workers()\n"
        "print(workers.submit(1, os.getpid).result(), flush=True)\n"
        "workers.submit(1, time.sleep, 1000)\n"
        "time.sleep(1000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        worker = int(program.stdout.readline())
        program.kill()
    assert wait_until(lambda: not is_alive(worker))


def test_they_leave_when_nobody_has_work(monkeypatch: pytest.MonkeyPatch, workers: Workers) -> None:
    monkeypatch.setattr("clustrix_core.workers.IDLE", 0.2)
    pid = workers.submit(1, os.getpid).result(SECONDS)
    assert wait_until(lambda: not is_alive(pid) and not workers.running(1))
    assert workers.submit(1, os.getpid).result(SECONDS) != pid
