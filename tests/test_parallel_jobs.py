"""Functions with loops that run in parallel, as jobs of this machine."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import uuid
import venv
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import parallel_sample
import pytest

from clustrix import ClusterConfig, LoopError, cluster, configure
from clustrix_core.jobs import records
from clustrix_core.session import pool
from clustrix_core.workers import cores

HERE = Path(__file__).parent
COUNT = 150

pytestmark = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder, and a folder with files in it, where jobs run."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    (tmp_path / "home").mkdir()
    work = tmp_path / "work"
    (work / "input").mkdir(parents=True)
    (work / "a.csv").write_text("1")
    for number in range(COUNT):
        (work / "input" / f"{number:03}.csv").write_text("x" * number)
    pool.close()
    configure(local_work_dir=str(work))
    yield work
    configure()
    pool.close()


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    """What the processes that are started have in their environment."""
    token = uuid.uuid4().hex
    monkeypatch.setenv("TOKEN_OF_TEST", token)
    return token


def with_token(token: str) -> list[int]:
    """The processes that live and have a token."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if token.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except (OSError, ValueError):
            continue
    return [pid for pid in found if pid != os.getpid()]


def wait_until(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 90
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(condition())


def as_written(found: list[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], int]:
    """Results without the processes that they are from, and how many these are."""
    return [one[:-1] for one in found], len({one[-1] for one in found})


# --- splitting in jobs


def test_a_call_uses_the_cores_that_it_asked_for() -> None:
    values, processes = as_written(parallel_sample.works(COUNT))
    assert values == as_written(parallel_sample.works.local(COUNT))[0]
    assert processes > 1
    assert "CLUSTRIX_CORES" not in os.environ


def test_a_job_that_lasts_does_so_too() -> None:
    values, processes = as_written(parallel_sample.works.submit(COUNT).result(180))
    assert values == as_written(parallel_sample.works.local(COUNT))[0]
    assert processes > 1


@pytest.mark.parametrize("lasting", [False, True])
def test_a_job_of_one_core_runs_as_it_is_written(lasting: bool) -> None:
    function = parallel_sample.works.with_options(cores=1)
    found = function.submit(COUNT).result(180) if lasting else function(COUNT)
    assert as_written(found)[1] == 1


def test_the_tasks_of_a_map_have_their_own_cores() -> None:
    found = list(parallel_sample.works.with_options(cores=1).map([COUNT] * 2))
    assert [as_written(one)[1] for one in found] == [1, 1]
    assert as_written(next(iter(parallel_sample.works.map([COUNT]))))[1] > 1


@pytest.mark.parametrize("lasting", [False, True])
def test_the_example(work: Path, lasting: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    function, config = parallel_sample.process_datasets, ClusterConfig(local_work_dir=str(work))
    assert [loop.split for loop in function.explain().loops] == [True]
    found = function.submit(config).result(180) if lasting else function(config)
    values, processes = as_written(found)
    assert values == as_written(function.local(config))[0]
    assert processes > 1


def test_in_the_workers_the_place_is_here_as_well(work: Path) -> None:
    for folder, size in ((work, 1), (work / "input", 5)):
        (folder / "a.csv").write_text("x" * size)
        configure(local_work_dir=str(folder))
        values, processes = as_written(parallel_sample.sizes_here(COUNT))
        assert {one[0] for one in values} == {size}
        assert processes > 1


def test_a_python_with_nothing_installed(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    venv.create(tmp_path / "bare")
    python = str(tmp_path / "bare" / "bin" / "python")
    config = ClusterConfig(local_work_dir=str(work), python_executable=python)
    values, processes = as_written(parallel_sample.process_datasets(config))
    assert values == as_written(parallel_sample.process_datasets.local(config))[0]
    assert processes > 1


# --- modes


def test_a_job_of_several_cores_uses_them_unless_it_is_told_not_to() -> None:
    plain = parallel_sample.works.local
    assert as_written(cluster(cores=2)(plain)(COUNT))[1] > 1
    assert as_written(cluster(cores=2, parallel=False)(plain)(COUNT))[1] == 1
    assert as_written(cluster(plain)(COUNT))[1] == 1


def test_what_is_required_is_refused_before_anything_is_sent() -> None:
    for run in (parallel_sample.carries, parallel_sample.carries.submit):
        with pytest.raises(LoopError, match=r"carries .*\n.*parallel_sample\.py:\d+: .*before"):
            run([1, 2])
    assert records.all_records() == []
    assert not (Path.home() / ".clustrix").exists()
    assert parallel_sample.carries.with_options(parallel=True)([1, 2]) == [1, 3]
    with pytest.raises(LoopError, match="isn't a function written in Python"):
        cluster(parallel="require")(len)("abc")


def test_checking_finds_out_whose_word_was_not_true() -> None:
    with pytest.raises(LoopError, match=r"differs .*parallel_sample\.py:\d+"):
        parallel_sample.differs(40)


def test_trust_is_an_assumption_that_is_told() -> None:
    def calls(function: Any, values: Any) -> Any:
        return [function(value) for value in values]

    assert not cluster(parallel=True)(calls).explain().loops[0].split
    (loop,) = cluster(parallel="trust")(calls).explain().loops
    assert loop.split
    assert "function" in "".join(loop.assumptions)


def test_wrong_modes_are_refused_at_once() -> None:
    for wrong in ("requires", 1, None):
        with pytest.raises(ValueError, match=r'parallel is True, False, "require", "trust" or "check", not'):
            cluster(parallel=wrong)


# --- progress


LINE = re.compile(r"\[#* *\] +(\d+)% the loop in (?:collecting_)?naps \(.*parallel_sample\.py:\d+\), \d+ s\n")


def test_the_log_of_a_job_tells_how_far_a_loop_is() -> None:
    job = parallel_sample.naps.submit(180)
    job.result(180)
    log = job.logs()
    told = [int(percent) for percent in LINE.findall(log)]
    assert told == sorted(told)
    assert 2 <= len(told) <= 12
    assert told[-1] == 100
    assert LINE.sub("", log) == "".join(f"nap {number}\n" for number in range(180))


def test_what_a_function_collects_is_its_own() -> None:
    job = parallel_sample.collecting_naps.submit(80)
    assert job.result(180) == "".join(f"nap {number}\n" for number in range(80))
    assert LINE.findall(job.logs())
    assert LINE.sub("", job.logs()) == ""


def on_terminal(code: str, work: Path) -> tuple[str, bytes]:
    """What a program prints, and what it shows on the terminal that is its standard error."""
    terminal, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", f"{SCRIPT.partition('parallel_sample.{}')[0]}{code}", str(work)],
        env={**os.environ, "PYTHONPATH": str(HERE), "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
    )
    try:
        printed = process.communicate(timeout=60)[0]
        assert select.select([terminal], [], [], 0)[0]
        return printed, os.read(terminal, 1 << 16)
    finally:
        process.kill()
        os.close(slave)
        os.close(terminal)


def test_a_call_on_this_machine_shows_its_bar_on_the_terminal(work: Path) -> None:
    printed, shown = on_terminal("parallel_sample.naps(30)", work)
    assert printed == "".join(f"nap {number}\n" for number in range(30))
    assert re.search(rb"\r\033\[K\[#+ +\] +\d+% the loop in naps", shown)


def test_of_the_calls_of_a_map_one_line_tells(work: Path) -> None:
    printed, shown = on_terminal("list(parallel_sample.naps.map([30]))", work)
    assert printed == "".join(f"nap {number}\n" for number in range(30))
    assert b"naps: 0 of 1 done" in shown
    assert b"the loop in" not in shown


def test_progress_is_asked_for() -> None:
    assert not cluster(parallel_sample.naps.local).options.progress
    for wrong in (1, None, "bar"):
        with pytest.raises(ValueError, match="progress is True or False, not"):
            cluster(progress=wrong)


# --- how they end


SCRIPT = """
import sys
import parallel_sample
from clustrix import configure
configure(local_work_dir=sys.argv[1])
parallel_sample.{}()
"""


def copies(token: str) -> list[int]:
    """The processes that work on a loop: they look like the one that began it."""
    found = []
    for pid in with_token(token):
        with suppress(OSError):
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            command, parents = (Path(f"/proc/{one}/cmdline").read_bytes() for one in (pid, status[1]))
            if command == parents:
                found.append(pid)
    return found


@pytest.mark.parametrize("function", ["endless", "two_long_ones"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_call_that_is_interrupted_leaves_no_process(
    work: Path, token: str, number: signal.Signals, function: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(function), str(work)],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        assert wait_until(lambda: len(copies(token)) == 2)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        assert said.count("Traceback") <= 1, said
        assert wait_until(lambda: not with_token(token))
    finally:
        process.kill()


@pytest.mark.parametrize("function", [parallel_sample.endless, parallel_sample.two_long_ones])
@pytest.mark.parametrize("killed", [False, True])
def test_a_job_that_is_ended_leaves_no_process(token: str, killed: bool, function: Any) -> None:
    job = function.submit()
    try:
        assert wait_until(lambda: len(copies(token)) == 2)
        if killed:
            (main,) = {int(Path(f"/proc/{pid}/stat").read_text().split()[3]) for pid in copies(token)}
            os.kill(main, signal.SIGKILL)
            assert job.exception(180) is not None
        else:
            assert job.cancel()
        assert wait_until(lambda: not with_token(token))
    finally:
        job.cancel()


def test_names_cost_nothing_until_they_are_used() -> None:
    code = "import sys, clustrix; clustrix.independent(lambda: 1); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "clustrix_core.loops.declared" in done.stdout
    assert "clustrix_core.loops.analysis" not in done.stdout
    assert cores() >= 1
