"""Split loops at work: copies of this process, what comes back from them, and the files that they write."""

from __future__ import annotations

import _ctypes
import errno
import gc
import io
import logging
import logging.handlers
import os
import pkgutil
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loops_running import always_split

from clustrix_core.errors import LoopError
from clustrix_core.loops import copies, execution, explain, independent, split
from clustrix_core.loops.comparing import difference

LOGGER = logging.getLogger("loops.here")


class Thing:
    def __init__(self, number: int) -> None:
        self.number = number


def kept(things: Any, rows: Any) -> Any:
    found = []
    for thing, row in zip(things, rows, strict=True):
        found.append((thing, row, Thing(thing.number)))
    return found


def doubled(values: Any) -> Any:
    return [2 * value for value in values]


def mapped(values: Any) -> Any:
    found = []
    for value in map(halved, values):
        found.append(value)
    return found


def halved(value: Any) -> Any:
    return value / 2


def megabytes(count: int) -> Any:
    return [bytes(1 << 20) + bytes([number]) for number in range(count)]


NOW = [0.0]


@independent
def slow(value: int) -> int:
    NOW[0] += 0.005
    return value


def comes_slowly(values: Any) -> Any:
    found = []
    for value in map(slow, values):
        found.append(value)
    return found


def scattered(values: Any) -> Any:
    return {value * 7919 % 100003 for value in values}


def pulled(values: Any) -> Any:
    found = []
    for value in noisy_halves(values):
        print("got", value)
        found.append(value)
    return found


def noisy_halves(values: Any) -> Any:
    for value in values:
        print("half of", value)
        yield value / 2
    print("no more")


def talks(values: Any) -> None:
    for value in values:
        print(value)
        LOGGER.warning("value %s", value)
        warnings.warn("a value", stacklevel=1)


def logs(values: Any) -> None:
    for value in values:
        LOGGER.warning("value %s of %s", value, "many")


def tries_to_print(values: Any) -> Any:
    failed = []
    for value in values:
        try:
            print(value)
        except UnicodeEncodeError:
            failed.append(value)
    return failed


def tries_to_write(names: Any) -> Any:
    failed = []
    for name in names:
        try:
            with open(name, "w") as file:
                file.write(name)
        except OSError as error:
            failed.append((name, str(error)))
    return failed


def writes(values: Any) -> None:
    for value in values:
        result = 6 // value
        with open(f"result_{value}.txt", "w") as file:
            file.write(f"{result} in {file.name}")


def saves(here: Any, values: Any) -> None:
    for value in values:
        np.save(here / f"{value}.npy", np.arange(value))
        (here / f"{value}.txt").write_text(str(value))


def writes_twice(values: Any) -> None:
    for value in values:
        with open(f"result_{value % 2}.txt", "w") as file:
            file.write(str(value))


@independent
def fatal(value: int) -> int:
    if copies.inside and value == 3:
        os._exit(1)
    return value * 2


def dies(values: Any) -> Any:
    return [fatal(value) for value in values]


@independent
def careless(value: int) -> int:
    os.mkdir(f"folder_{value}")
    return value


def makes_folders(values: Any) -> Any:
    return [careless(value) for value in values]


def views(tables: Any) -> Any:
    found = []
    for table in tables:
        made = np.zeros((4, 6), order="F")
        found.append((table[1:], made, made[::2, 1], made.transpose()))
    return found


def frames(values: Any) -> Any:
    found = []
    for value in values:
        found.append(pd.DataFrame({"a": [value, 2], "b": ["x", str(value)]}))
    return found


def known(values: Any, wanted: Any) -> Any:
    found = []
    for value in values:
        if value in wanted:
            found.append(value)
    return found


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def is_split(function: Any) -> bool:
    return any(loop.split for loop in explain(function).loops)


def test_what_was_there_before_comes_back_as_itself() -> None:
    assert is_split(kept)
    things, rows = [Thing(1), Thing(2), Thing(3)], [[1], [2], [3]]
    found = always_split(kept)(things, rows)
    assert [
        mine is thing and its is row for (mine, its, _), thing, row in zip(found, things, rows, strict=True)
    ]
    assert [type(new) is Thing and new.number for _, _, new in found] == [1, 2, 3]


def test_what_is_not_equal_to_itself_is_found() -> None:
    nan, other = float("nan"), float("nan")
    found = always_split(known)([nan, other, 1.0], [nan, 1.0])
    assert [value is nan for value in found] == [True, False]


def test_arrays_keep_their_memory_and_its_order() -> None:
    assert is_split(views)
    tables = [np.arange(6).reshape(3, 2), np.ones((3, 2))]
    for (part, made, strided, turned), table in zip(always_split(views)(tables), tables, strict=True):
        assert np.may_share_memory(part, table)
        assert part.flags.writeable
        assert made.flags.f_contiguous
        assert strided.strides == (16,)
        made[2, 1] = made[3, 0] = 5
        assert strided.tolist() == [0, 5]
        assert turned[0, 3] == 5


def test_what_comes_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def received(data: bytes, *rest: Any) -> Any:
        sizes.append(len(data))
        return original(data, *rest)

    sizes: list[int] = []
    original = execution.received
    monkeypatch.setattr(execution, "received", received)
    assert len(always_split(megabytes)(100)) == 100
    assert sum(sizes) > 100 << 20
    assert max(sizes) < execution.PIECE + (1 << 21)


def test_a_loop_whose_header_does_the_work_stays_here(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def received(
        data: bytes, *rest: Any
    ) -> Any:  # one copy may be so quick that the other hardly does anything
        answer = original(data, *rest)
        return answer._replace(before=1000 * answer.before)

    original = execution.received
    monkeypatch.setattr(time, "perf_counter", lambda: NOW[0])
    monkeypatch.setattr(execution, "received", received)
    monkeypatch.setattr(execution, "_cost", 0.01)
    caplog.set_level(logging.INFO, "clustrix.loops")
    assert is_split(comes_slowly)
    assert split(comes_slowly, workers=2)(range(150)) == list(range(150))
    assert "takes as long as to do them" in caplog.text


@pytest.mark.parametrize("count", [20, 100, 1000])
def test_a_set_has_the_order_in_which_it_is_filled(count: int) -> None:
    assert is_split(scattered)
    for function in split(scattered, workers=2), always_split(scattered):
        assert list(function(range(count))) == list(scattered(range(count)))


def test_a_loop_that_cannot_be_split_is_not_looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def obstacle() -> str:
        looked.append(1)
        return "something"

    looked: list[int] = []
    monkeypatch.setattr(copies, "obstacle", obstacle)
    monkeypatch.setattr(execution, "TASTE", 0.0)
    monkeypatch.setattr(execution.Run, "_worth", lambda *_: True)
    function = split(doubled, workers=2)
    for _ in range(60):
        assert function([1, 2]) == [2, 4]
    assert len(looked) == 8


def test_tables_come_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "clustrix.loops")
    assert is_split(frames)
    for one, other in zip(always_split(frames)([1, 2, 3]), frames([1, 2, 3]), strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert "serial" not in caplog.text


def test_headers_of_several_parts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "clustrix.loops")
    assert always_split(mapped)([1, 2, 3]) == [0.5, 1.0, 1.5]
    assert always_split(mapped)(range(2)) == [0, 0.5]
    assert len(always_split(kept)([Thing(1), Thing(2)], [[1], [2]])) == 2
    assert "serial" not in caplog.text


def test_output_of_the_header_comes_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    pulled([2, 4])
    serial = capsys.readouterr().out
    assert always_split(pulled)([2, 4]) == [1, 2]
    assert capsys.readouterr().out == serial


def test_what_the_original_cannot_print(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_split(tries_to_print)
    for encoding in "ascii", "utf-8":
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
        failed = always_split(tries_to_print)(["a", "\xe9", "\udce9", "b"])
        sys.stdout.flush()
        assert failed == (["\xe9", "\udce9"] if encoding == "ascii" else ["\udce9"])
        assert sys.stdout.buffer.getvalue().decode(encoding) == "".join(
            f"{text}\n" for text in ["a", "\xe9", "\udce9", "b"] if text not in failed
        )


def test_output_without_results(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    assert is_split(talks)
    caplog.set_level(logging.INFO, "clustrix.loops")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        always_split(talks)([3, 1, 2])
    assert capsys.readouterr().out == "3\n1\n2\n"
    assert [record.getMessage() for record in caplog.records] == ["value 3", "value 1", "value 2"]
    assert len(caught) == 1


def test_filters_and_handlers_of_logging_get_what_they_would_get(monkeypatch: pytest.MonkeyPatch) -> None:
    def new(record: logging.LogRecord) -> bool:
        seen.append((record.msg, record.args))
        return seen.count(seen[-1]) == 1

    def run(function: Any) -> Any:
        seen.clear()
        handler = logging.handlers.BufferingHandler(100)
        monkeypatch.setattr(LOGGER, "handlers", [handler])
        monkeypatch.setattr(LOGGER, "filters", [new])
        function([3, 1, 3, 2])
        return [*seen], [record.getMessage() for record in handler.buffer]

    seen: list[Any] = []
    assert is_split(logs)
    assert run(logs) == run(always_split(logs))
    assert len(seen) == 4


@pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="needs Python 3.12")
def test_what_a_debugger_follows_is_not_split() -> None:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
    required = split(doubled, workers=2, mode="require")
    monitoring.use_tool_id(monitoring.DEBUGGER_ID, "test")
    try:
        with pytest.raises(LoopError, match="traced"):
            required([1, 2])
    finally:
        monitoring.free_tool_id(monitoring.DEBUGGER_ID)
    assert required([1, 2]) == [2, 4]


def test_a_file_for_each_iteration_up_to_the_one_that_fails(here: Path) -> None:
    assert is_split(writes)
    with pytest.raises(ZeroDivisionError):
        always_split(writes)([3, 1, 0, 2])
    assert sorted(os.listdir()) == ["result_1.txt", "result_3.txt"]
    assert Path("result_3.txt").read_text() == "2 in result_3.txt"


def test_files_that_cannot_be_written(here: Path) -> None:
    assert is_split(tries_to_write)
    names = ["a", "none/b", "c" * 250, "d" * 300, "e"]
    serial = tries_to_write(names)
    assert len(serial) == 2
    for path in here.iterdir():
        path.unlink()
    assert always_split(tries_to_write)(names) == serial
    assert sorted(os.listdir()) == ["a", "c" * 250, "e"]


def test_files_of_libraries(here: Path) -> None:
    assert is_split(saves)
    always_split(saves)(here, range(4))
    assert sorted(os.listdir()) == sorted([f"{n}.npy" for n in range(4)] + [f"{n}.txt" for n in range(4)])
    assert np.load("3.npy").tolist() == [0, 1, 2]


def test_a_file_that_two_iterations_write_is_that_of_the_last(here: Path) -> None:
    Path("result_0.txt").write_text("from before")
    always_split(writes_twice)([4, 1, 2, 3, 5])
    assert {path.name: path.read_text() for path in here.iterdir()} == {
        "result_0.txt": "2",
        "result_1.txt": "5",
    }


def test_a_copy_that_dies_is_done_without(caplog: pytest.LogCaptureFixture) -> None:
    assert always_split(dies)(range(8)) == [fatal(n) for n in range(8)]
    assert "has died" in caplog.text


def test_what_changes_the_world_is_left_to_the_original(here: Path) -> None:
    assert always_split(makes_folders)(range(3)) == [0, 1, 2]
    assert sorted(os.listdir()) == ["folder_0", "folder_1", "folder_2"]


def test_where_no_process_can_be_made_the_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = []

    def fork() -> int:
        if made:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        made.append(forked())
        return made[0]

    forked = os.fork
    monkeypatch.setattr(os, "fork", fork)
    before = children()
    assert always_split(mapped)(range(5)) == mapped(range(5))
    assert made
    assert children() == before
    assert "goes on serially" in caplog.text


class AlarmError(TimeoutError):
    """What a handler raises: an OSError, like those that splitting expects."""


@pytest.mark.parametrize(
    "place", ["copies.os.fork", "execution.received", "copies.obstacle", "execution.Staged"]
)
def test_what_a_handler_of_signals_raises_comes_out_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, place: str, here: Path
) -> None:
    def handler(*_: Any) -> None:
        raise AlarmError

    def interrupted(*args: Any) -> Any:
        done = original(*args)
        if not copies.inside and os.getpid() == process:
            os.kill(process, signal.SIGALRM)  # any thread may get it
        return done

    process, function = os.getpid(), always_split(writes)
    place = f"clustrix_core.loops.{place}"
    original = pkgutil.resolve_name(place)
    monkeypatch.setattr(place, interrupted)
    before, descriptors = children(), os.listdir("/proc/self/fd")
    set_before, over = signal.signal(signal.SIGALRM, handler), threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    try:
        with pytest.raises(AlarmError):
            function([1, 2, 3])
        assert signal.getsignal(signal.SIGALRM) is handler
    finally:
        over.set()
        other.join()
        signal.signal(signal.SIGALRM, set_before)
    assert children() == before
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)
    assert os.listdir() == []


def test_where_no_file_can_be_opened_or_put_loops_go_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    function, soft_and_hard = always_split(doubled), resource.getrlimit(resource.RLIMIT_NOFILE)
    for free in range(4):
        held = [os.open(os.devnull, os.O_RDONLY)]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (held[0] + 1 + free, soft_and_hard[1]))
            assert function([1, 2, 3]) == [2, 4, 6]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, soft_and_hard)
            os.close(held.pop())
    monkeypatch.setattr(tempfile, "tempdir", str(here / "nowhere"))
    always_split(writes)([1, 2, 3])
    assert len(os.listdir()) == 3


def test_no_garbage_of_the_original_is_collected_in_copies() -> None:
    def seen(phase: str, _: Any) -> None:
        if os.getpid() != process and not gc.get_freeze_count():
            os.write(there, b"!")

    process, (here, there) = os.getpid(), os.pipe()
    thresholds = gc.get_threshold()
    gc.callbacks.append(seen)
    gc.set_threshold(1)
    try:
        assert always_split(doubled)([1, 2, 3]) == [2, 4, 6]
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(seen)
        os.close(there)
    with open(here, "rb") as collected:
        assert collected.read() == b""


BUSY = """
import time
from loops_running import always_split
from clustrix_core.loops import copies, independent

@independent
def long(value):
    time.sleep(1000)

def f(values):
    return [long(value) for value in values]

always_split(f)(range(4))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_copies_end_with_the_process_whatever_they_are_doing(number: int, here: Path) -> None:
    Path("busy.py").write_text(BUSY)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, "busy.py"], env=environment, stderr=subprocess.DEVNULL) as process:
        while len(pids := children_of(process.pid)) < 2:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        process.wait(60)
        assert process.returncode != 0
    while any(is_alive(pid) for pid in pids):  # the system ends them
        time.sleep(0.02)


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def is_alive(pid: str) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_no_process_is_left() -> None:
    before = children()
    always_split(mapped)(range(20))
    assert children() == before


def children() -> list[str]:
    return sorted(" ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split())


def test_required_and_not_possible_with_these_arguments() -> None:
    with pytest.raises(LoopError, match="list_iterator"):
        split(mapped, workers=2, mode="require")(iter([1, 2]))


def test_checking_notices_what_was_declared_wrongly() -> None:
    with pytest.raises(LoopError, match="differ"):
        split(counts, workers=2, mode="check")(range(40))


def test_where_values_differ() -> None:
    one: Any = {"a": [1.0, np.array(["b", 2], dtype=object)]}
    assert difference(one, {"a": [1.0, np.array(["b", 2], dtype=object)]}, "it") == ""
    assert (
        difference(one, {"a": [1.0, np.array(["b", 3], dtype=object)]}, "it")
        == "it['a'][1][1]: 2 here, 3 there"
    )
    assert difference(0.0, -0.0, "it") == "it: 0.0 here, -0.0 there"
    assert difference(float("nan"), float("nan"), "it") == ""
    assert difference(array("d", [1]), array("d", [2]), "it")


CALLS: list[int] = []


@independent
def counted(value: int) -> int:
    CALLS.append(value)
    return len(CALLS)


def counts(values: Any) -> Any:
    return [counted(value) for value in values]


OPENMP = """
import ctypes, sys
from clustrix_core.loops import split
from test_loops_running import doubled
required = split(doubled, workers=2, mode="require")
assert required([2, 4]) == [4, 8]
ctypes.CDLL(sys.argv[1])
required([2, 4])
"""


def test_a_library_that_hangs_in_copies_keeps_loops_serial(here: Path) -> None:
    library = Path(shutil.copy(_ctypes.__file__, here / "libgomp.so.1"))  # any will do: it counts by its name
    done = subprocess.run(
        [sys.executable, "-c", OPENMP, library],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert "LoopError: the loop in doubled" in done.stderr
    assert "a library in this process uses GNU OpenMP (libgomp)" in done.stderr
