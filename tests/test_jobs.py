"""Functions as jobs, in processes of this machine."""

from __future__ import annotations

import fcntl
import importlib
import json
import linecache
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import venv
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as WaitedInVainError  # Python's own from 3.11 on
from itertools import pairwise
from pathlib import Path
from typing import Any

import jobs_sample
import pytest
from cli_runner import Here

from clustrix import ClusterConfig, ClusterExecutor, Job, JobArray, JobError, cluster, configure
from clustrix_core import hookimpl
from clustrix_core.errors import ConnectionFailedError, OperationTimeoutError
from clustrix_core.filesystem import ClusterFilesystem, checked_config
from clustrix_core.jobs import following, glance, package, records, there, travel
from clustrix_core.jobs.dependencies import analyse
from clustrix_core.jobs.job import Submission
from clustrix_core.jobs.models import JobSpec
from clustrix_core.session import pool
from clustrix_local.backend import LocalBackend

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder, and a folder with a file in it, where jobs run."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    (tmp_path / "home").mkdir()
    work = tmp_path / "work"
    work.mkdir()
    (work / "a.csv").write_text("1")
    pool.close()
    configure(local_work_dir=str(work))
    yield work
    configure()
    pool.close()


def wait_until(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 120
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


def lasting_map(function: Any, items: Sequence[Any]) -> JobArray:
    """An array as other places have it; on this machine `map` goes to worker processes."""
    return JobArray(function._submit(checked_config(None), [((item,), {}) for item in items], len(items)))


def job_folder(job: Job, home: Path) -> Path:
    return home / ".clustrix" / "jobs" / job.id


# --- calls


def test_a_call_returns_what_the_function_returns(work: Path) -> None:
    assert jobs_sample.double(21) == 42
    assert jobs_sample.double.local(2) == 4
    assert jobs_sample.double.submit([1]).result(180) == [1, 1]


def test_a_job_is_a_future_that_tells_what_it_does() -> None:
    job = jobs_sample.double.submit(4)
    assert isinstance(job, Job)
    assert re.fullmatch(r"\d{6}-\d{6}-[0-9a-f]{6}", job.id)
    assert job.result(180) == 8
    assert (job.state, job.done(), job.exception(), job.cancel()) == ("completed", True, None, False)
    assert repr(job) == f"<Job {job.id} of double: completed>"
    assert job.logs() == "doubling 4\n"


def test_it_raises_what_the_function_raised() -> None:
    with pytest.raises(jobs_sample.ProblemError, match="^nix$") as raised:
        jobs_sample.raises("nix")
    assert 'jobs_sample.py", line' in str(raised.value.__cause__)
    assert "in raises" in str(raised.value.__cause__)
    assert "runner" not in str(raised.value.__cause__)


@pytest.mark.parametrize("way", ["call", "submit"])
def test_a_traceback_has_the_lines_of_code_that_only_this_process_has(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, cell = "def fails():\n    raise ValueError('here')\ndef calls():\n    fails()\n", f"<cell of {way}>"
    monkeypatch.setitem(linecache.cache, cell, (len(text), None, text.splitlines(True), cell))
    found: dict[str, Any] = {}
    exec(compile(text, cell, "exec"), found)
    function = cluster(found["calls"])
    with pytest.raises(ValueError, match="here") as raised:
        function() if way == "call" else function.submit().result(90)
    calls, fails = f'  File "{cell}", line 4, in calls\n', f'  File "{cell}", line 2, in fails\n'
    assert f"{calls}    fails()\n{fails}    raise ValueError('here')\n" in str(raised.value.__cause__)


def test_an_exception_may_be_made_of_other_things_than_it_holds() -> None:
    for failed in (jobs_sample.raises_pair.submit(7), jobs_sample.raises_pair.map([7]).jobs[0]):
        with pytest.raises(jobs_sample.PairError, match="^7: more$") as raised:
            failed.result(90)
        assert raised.value.code == 7
        assert "in raises_pair" in str(raised.value.__cause__)


def test_an_exception_that_makes_a_text_of_what_it_is_given_says_the_same() -> None:
    for failed in (jobs_sample.raises_code.submit(7), jobs_sample.raises_code.map([7]).jobs[0]):
        with pytest.raises(jobs_sample.CodeError, match="^code 7$") as raised:
            failed.result(90)
        assert raised.value.code == 7


def test_an_exception_may_be_called_as_it_likes() -> None:
    for name in ("Cancelled", "Died", "Terminated"):
        job = jobs_sample.raises_called.submit(name)
        with pytest.raises(Exception, match="^as it likes$") as raised:
            job.result(90)
        assert (type(raised.value).__name__, job.state) == (name, "failed")


def test_what_can_not_travel_is_told_by_its_text() -> None:
    with pytest.raises(
        Exception, match=r"result can't be pickled .*generator.*: <generator object"
    ) as raised:
        jobs_sample.unpicklable()
    assert type(raised.value).__name__ == "ResultError"
    with pytest.raises(JobError, match="failed: LocalError: here") as lost:
        jobs_sample.raises_unpicklable()
    assert "raise LocalError" in str(lost.value.__cause__)


def test_what_can_not_travel_is_named() -> None:
    lock = threading.Lock()

    def helper() -> bool:
        return lock.locked()

    class Counter:
        shared = lock

    def with_default(_of: object = lock) -> bool:
        return helper()

    for function, where in (
        (lambda: helper(), "lock in test_what_can_not_travel_is_named.<locals>.helper"),
        (lambda: Counter(), "shared of test_what_can_not_travel_is_named.<locals>.Counter"),
        (with_default, "lock in test_what_can_not_travel_is_named.<locals>.helper"),
    ):
        for way in (cluster(function), cluster(function).submit):
            with pytest.raises(TypeError, match=re.escape(f"cannot pickle '_thread.lock' object ({where})")):
                way()
    for way in (jobs_sample.double, jobs_sample.double.submit):
        for args, kwargs, name in (((lock,), {}, "1"), ((), {"x": [lock]}, "x")):
            with pytest.raises(TypeError, match=rf"lock' object \(argument {name}\)$"):
                way(*args, **kwargs)
    assert jobs_sample.double.map([1]).results() == [2]


def test_processes_that_end() -> None:
    with pytest.raises(JobError, match="failed: SystemExit: enough") as left:
        jobs_sample.exits("enough")
    assert "sys.exit(message)" in str(left.value.__cause__)
    with pytest.raises(JobError, match=r"worker process ended without a word \(exit code 7\)"):
        jobs_sample.ends(7)
    with pytest.raises(JobError, match=r"process ended without a word \(exit code 7\)"):
        jobs_sample.ends.submit(7).result(90)


def test_map_is_one_array_in_the_order_of_its_arguments() -> None:
    array = lasting_map(jobs_sample.double, range(5))
    assert (len(array), list(array), array.results()) == (5, [0, 2, 4, 6, 8], [0, 2, 4, 6, 8])
    assert [job.id for job in array.jobs] == [f"{array.id}_{task}" for task in range(5)]
    assert {job.result() for job in array.as_completed(180)} == {0, 2, 4, 6, 8}
    assert array.jobs[3].logs() == "doubling 3\n"
    with pytest.raises(ValueError, match="nothing"):
        jobs_sample.double.map([])


def test_a_map_on_this_machine_goes_to_workers(work: Path) -> None:
    array = jobs_sample.double.map(range(2000))
    assert isinstance(array, JobArray)
    assert len(array) == 2000
    assert list(array) == list(range(0, 4000, 2))
    assert array.results() == list(range(0, 4000, 2))
    assert array.jobs[7].result() == 14
    assert {job.result() for job in array.as_completed(90)} == set(range(0, 4000, 2))
    assert repr(array) == f"<JobArray {array.id} of double: 2000 of 2000 done>"
    folders = set(jobs_sample.folder.map(range(20)))
    assert {folder for folder, _, _ in folders} == {str(work)}
    assert os.getpid() not in {pid for _, pid, _ in folders}
    assert {here for _, _, here in folders} == {True}
    assert "CLUSTRIX_HERE" not in os.environ


def test_what_fails_in_a_map_fails_alone() -> None:
    array = jobs_sample.fails_at.map(range(30), [7] * 30)
    assert [job.exception(90) is not None for job in array.jobs] == [task == 7 for task in range(30)]
    with pytest.raises(jobs_sample.ProblemError, match="^7$") as raised:
        list(array)
    assert "in fails_at" in str(raised.value.__cause__)
    assert "worker.py" not in str(raised.value.__cause__)
    mixed = jobs_sample.unpicklable_at.map(range(4), [2] * 4)
    assert isinstance(mixed.jobs[2].exception(90), Exception)
    assert [mixed.jobs[task].result() for task in (0, 1, 3)] == [0, 1, 3]


def test_an_exception_that_is_returned_is_a_result() -> None:
    array = jobs_sample.gives.map([ValueError("a"), 1])
    assert [type(found) for found in array] == [ValueError, int]
    assert isinstance(array.jobs[0].result(), ValueError)
    assert isinstance(jobs_sample.gives(ValueError("a")), ValueError)


def test_a_worker_that_dies_takes_no_other_call_with_it() -> None:
    other = jobs_sample.naps.map([1.0])
    array = jobs_sample.ends_at.map([0, 1, 0, 0])
    ended = [job for job in array.jobs if job.exception(90) is not None]
    assert ended == [array.jobs[1]]
    assert "ended without a word (exit code 7)" in str(ended[0].exception())
    assert list(other) == [1.0]
    assert jobs_sample.double(3) == 6


def test_cancelling_a_map() -> None:
    array = jobs_sample.naps.map([0.1, 1000, 1000, 1000, 1000])
    assert array.jobs[0].result(90) == 0.1
    array.cancel()
    assert [job.state for job in array.jobs] == ["completed", *["cancelled"] * 4]
    with pytest.raises(CancelledError):
        list(array)
    assert jobs_sample.double(3) == 6


def test_cancelling_ends_nothing_else() -> None:
    other = jobs_sample.naps.map([1.5])
    array = jobs_sample.naps.map([1000, 1000, 1000])
    assert wait_until(array.jobs[0].running)
    assert array.jobs[0].cancel()
    assert array.jobs[2].cancel()
    assert [job.state for job in array.jobs] == ["cancelled", "pending", "cancelled"]
    assert list(other) == [1.5]
    array.cancel()
    assert jobs_sample.double(3) == 6


def test_what_was_cancelled_before_it_began_is_not_begun(work: Path) -> None:
    with ClusterExecutor(cores=1000) as executor:  # one at a time
        slow = executor.submit(jobs_sample.naps, 1.0)
        assert wait_until(slow.running)
        array = jobs_sample.counts.with_options(cores=1000).map([str(work / "a"), str(work / "b")])
        assert array.jobs[0].cancel()
        assert array.jobs[1].result(90) == 1
        waiting = executor.submit(jobs_sample.naps, 1000)
        slower = executor.submit(jobs_sample.naps, 0.5)
        executor.shutdown(wait=False, cancel_futures=True)
        assert slow.result(90) == 1.0
        assert waiting.cancelled() or waiting.running()
        waiting.cancel()
        assert slower.cancelled()
    assert not (work / "a").exists()


def test_calls_of_a_map_do_not_see_each_other() -> None:
    shared: list[int] = []
    assert list(jobs_sample.takes.map([shared] * 500)) == [1] * 500
    assert shared == []
    assert [found[-1] for found in jobs_sample.remembers.map(range(500))] == list(range(500))


def test_what_a_map_takes_and_gives_is_of_any_kind() -> None:
    values = [0, 1 << 5000, True, None, 0.1, 1j, "\udc80", b"", b"\x80\x05.", (), [1], {"a": {1}}, int, max]
    values += [number if number % 3 else [number] for number in range(500)]
    assert list(jobs_sample.gives.map(values)) == values
    assert list(map(type, jobs_sample.gives.map(values))) == list(map(type, values))


def test_what_is_pickled_after_something_else_is_as_if_it_were_alone() -> None:
    class Local:
        pass

    def returns_it() -> object:
        return shared

    shared = [1, Local, ClusterConfig(local_work_dir="/tmp")]
    packer = travel.Packer()
    for value in (shared, returns_it, [shared, returns_it], Local(), shared, "a", returns_it):
        assert packer.dumps(value) == travel.dumps(value)
        with pytest.raises(TypeError):
            packer.dumps([shared, threading.Lock()])


def test_what_can_not_travel_in_a_map_fails_alone() -> None:
    lock = threading.Lock()
    array = jobs_sample.gives.map([lock if number == 300 else number for number in range(400)])
    assert [job.task for job in array.jobs if job.exception(90) is not None] == [300]
    array = jobs_sample.only_there_at.map(range(400), [300] * 400)
    assert [job.task for job in array.jobs if job.exception(90) is not None] == [300]
    assert "its result can't be read: ProblemError: only there" in str(array.jobs[300].exception())


def test_an_exception_that_can_not_say_what_it_is() -> None:
    with pytest.raises(jobs_sample.SillyError):
        jobs_sample.raises_silly()
    with pytest.raises(jobs_sample.SillyError):
        jobs_sample.raises_silly.submit().result(90)


def test_a_forked_child_that_comes_back_tells_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert jobs_sample.forks() == "parent"
    assert jobs_sample.forks.submit().result(90) == "parent"
    assert capfd.readouterr().err == ""


def test_a_forked_child_ends_as_it_would_elsewhere_and_does_no_other_call(tmp_path: Path) -> None:
    expected = [3 << 8] * 4
    assert list(jobs_sample.forks_and_notes.map([str(tmp_path / f"{n}") for n in range(4)])) == expected
    assert [file.read_text() for file in tmp_path.glob("[0-9]")] == ["x"] * 4
    assert jobs_sample.forks_and_notes.submit(str(tmp_path / "last")).result(90) == 3 << 8


def test_jobs_that_a_job_of_the_same_place_asks_for_are_done_in_it(work: Path) -> None:
    config = ClusterConfig(local_work_dir=str(work))
    expected = ([2, 4], [2, 4], "ProblemError('inside')", ["_0", "_1"])
    assert jobs_sample.asks_inside(config, [1, 2]) == expected
    assert jobs_sample.asks_inside.submit(config, [1, 2]).result(90) == expected


def test_a_method_is_one() -> None:
    thing = jobs_sample.Thing(3)
    assert thing.times(4) == 12
    assert thing.times.submit(5).result(90) == 15
    assert list(thing.times.map([1, 2])) == [3, 6]
    assert jobs_sample.Thing.times(thing, 2) == 6


def test_a_map_is_in_one_place(work: Path) -> None:
    here, there = ClusterConfig(local_work_dir=str(work)), ClusterConfig(local_work_dir="/")
    with pytest.raises(ValueError, match="in one place"):
        jobs_sample.gives.map([here, there])
    with pytest.raises(ValueError, match="in one place"):
        jobs_sample.gives.map([here, 1])
    with pytest.raises(ValueError, match="in one place"):
        jobs_sample.gives.map([1, here])


def test_ctrl_c_cancels_what_is_waited_for(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, threading, time\n"
        "from clustrix import cluster\n"
        "from clustrix_core.jobs.job import JobArray\n"
        "from clustrix_core.filesystem import checked_config\n"
        "@cluster\n"
        "def nap(seconds):\n"
        "    time.sleep(seconds)\n"
        "def interrupted(wait):\n"
        "    threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    try:\n"
        "        wait()\n"
        "    except KeyboardInterrupt:\n"
        "        return True\n"
        "calls = [((1000,), {})] * 3\n"
        "lasting = JobArray(nap._submit(checked_config(None), calls, 3))\n"
        "for array in (nap.map([1000] * 3), lasting):\n"
        "    print(interrupted(lambda: list(array)), {job.state for job in array.jobs})\n"
        "print(interrupted(lambda: nap(1000)))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=90)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["True {'cancelled'}"] * 2 + ["True"]
    (record,) = records.all_records()
    assert record.ended == "cancelled"


def test_a_program_that_ends_ends_its_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, time\n"
        "from clustrix import cluster\n"
        "@cluster\n"
        "def nap(seconds):\n"
        "    time.sleep(seconds)\n"
        "    return os.getpid()\n"
        "print(next(iter(nap.map([0, 1000, 1000, 1000]))))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert wait_until(lambda: not is_alive(done.stdout.strip()))


def test_large_results_and_arguments() -> None:
    assert jobs_sample.big(1 << 20) == bytes(1 << 20)
    assert jobs_sample.big.submit(1 << 20).result(90) == bytes(1 << 20)
    assert jobs_sample.double.submit(bytes(9 << 20)).result(90) == bytes(18 << 20)


def test_files_in_a_job_are_those_of_the_place(work: Path) -> None:
    config = ClusterConfig(local_work_dir=str(work), password="hunter2", key_file="/secret/key")
    assert jobs_sample.looks(config) == {
        "found": ["a.csv"],
        "active": ["a.csv"],
        "folder": str(work),
        "inner": 8,  # in the job's own process
        "password": None,
        "key_file": None,
        "parent": jobs_sample.looks(config)["parent"],
        "tool": None,
    }
    assert (work / "seen").read_text() == "by the job"
    everything = b"".join(file.read_bytes() for file in Path.home().rglob("*") if file.is_file())
    assert b"hunter2" not in everything


def test_a_python_with_nothing_installed(work: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare")
    python = str(tmp_path / "bare" / "bin" / "python")
    lacks = subprocess.run([python, "-c", "import pydantic"], capture_output=True)
    assert b"ModuleNotFoundError" in lacks.stderr
    found = jobs_sample.looks(ClusterConfig(local_work_dir=str(work), python_executable=python))
    assert (found["found"], found["active"], found["inner"]) == (["a.csv"], ["a.csv"], 8)


def test_a_python_with_another_cloudpickle(work: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "other")
    python = str(tmp_path / "other" / "bin" / "python")
    told = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(told, capture_output=True, text=True, check=True).stdout.strip()
    (Path(packages) / "cloudpickle.py").write_text("__version__ = '0.1'\n")
    assert cluster(lambda x, *_: 2 * x)(4, ClusterConfig(python_executable=python)) == 8


def test_wrong_resources_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"takes no 'core'; .* after, files.*ask for cores"):
        cluster(core=3)
    for cores in (0, -1, "4", 1.5):
        with pytest.raises(ValueError, match="cores is a whole number from 1 on, not"):
            cluster(cores=cores)
    with pytest.raises(TypeError, match="options is a dict"):
        cluster(options="exclusive")


@pytest.mark.parametrize("what", [3, ClusterConfig(), classmethod(len)])
def test_what_is_no_function_is_refused_at_once(what: Any) -> None:
    with pytest.raises(TypeError, match=rf"for a function, not for a {type(what).__name__}: .*config="):
        cluster(what)


def test_a_function_is_shown_by_its_name() -> None:
    assert repr(jobs_sample.counts) == "<ClusterFunction counts>"


def test_async_functions_are_refused_at_once() -> None:
    async def waits() -> int:
        return 1

    with pytest.raises(TypeError, match=r"waits is async, .* a function that calls asyncio\.run"):
        cluster(waits)


# --- cancelling, and coming back


def test_cancelling() -> None:
    job = jobs_sample.sleeps.submit(1000)
    assert wait_until(lambda: "began" in job.logs())
    began = time.monotonic()
    assert job.cancel()
    assert (job.cancelled(), job.state) == (True, "cancelled")
    assert time.monotonic() - began < 10
    folder = job_folder(job, Path.home())
    assert wait_until(lambda: not [line for line in processes() if str(folder) in line])


def processes() -> list[str]:
    return subprocess.run(
        ["ps", "-ewwo", "args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def submitted_elsewhere(call: str, work: Path) -> str:
    """The id of a job whose client is gone."""
    code = f"import jobs_sample, os\njob = jobs_sample.{call}\nprint(job.id, flush=True)\nos._exit(9)\n"
    environment = {**os.environ, "PYTHONPATH": str(HERE), "CLUSTRIX_LOCAL_WORK_DIR": str(work)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    return done.stdout.strip()


def test_a_job_outlives_whoever_submitted_it(work: Path) -> None:
    job = Job.attach(submitted_elsewhere("sleeps.submit(2)", work))
    assert isinstance(job, Job)
    assert job.result(180) == "slept"
    assert records.load(job.id).config == {"local_work_dir": str(work)}
    assert wait_until(lambda: records.load(job.id).ended == "completed")
    with pytest.raises(JobError, match="no job 'nix' is known here"):
        Job.attach("nix")
    for odd in ("../nix", "", "a\0b", "a" * 300, "a\n"):
        with pytest.raises(JobError, match="is no job's id; `clustrix jobs` lists"):
            Job.attach(odd)


def test_the_commands(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    run = Here(capfdbinary)
    job = jobs_sample.double.submit("ab")
    array = lasting_map(jobs_sample.double, [1, 2])
    assert run("result", job.id).lines == ["'abab'"]
    assert run("result", array.id, "--json").out == b"[\n  2,\n  4\n]\n"
    assert run("result", f"{array.id}_1").lines == ["4"]
    assert run("logs", "-f", array.id).lines == ["doubling 1", "doubling 2"]
    assert [line.split()[:3] for line in run("jobs").lines[1:]] == [
        [job.id, "double", "-"],
        [array.id, "double", "2"],
    ]
    long = jobs_sample.sleeps.submit(1000)
    assert run("cancel", long.id).code == 0
    assert run("cancel", job.id).code == 1
    assert "has ended" in run("cancel", job.id).err
    assert run("result", "../nix").code != 0
    assert "has the tasks 0 to 1" in run("result", f"{array.id}_7").err


def test_how_a_job_ended_is_written_down_before_anybody_hears_of_it() -> None:
    job = jobs_sample.naps.submit(0.1)
    heard: list[str] = []
    job.add_done_callback(lambda _: heard.append(records.load(job.id).ended))
    assert job.result(90) == 0.1
    assert wait_until(lambda: heard)
    assert heard == ["completed"]


def test_tasks_are_found_by_their_ids() -> None:
    array = lasting_map(jobs_sample.double, [1, 2])
    found = Job.attach(array.jobs[1].id)
    assert found is array.jobs[1]
    assert array.results() == [2, 4]
    for wrong in (f"{array.id}_2", f"{array.id}_x", f"{array.id}_"):
        with pytest.raises(JobError, match="has the tasks 0 to 1, so there is no"):
            Job.attach(wrong)
    single = jobs_sample.double.submit(1)
    with pytest.raises(JobError, match="is no array"):
        Job.attach(f"{single.id}_0")
    assert single.result(90) == 2


def test_a_record_that_is_damaged(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    job = jobs_sample.double.submit(1)
    assert job.result(90) == 2
    folder = Path.home() / ".local" / "state" / "clustrix" / "jobs"
    (folder / "damaged.json").write_text("")
    newer = (folder / f"{job.id}.json").read_text().replace("{", '{"later": 1, ', 1)
    (folder / f"{job.id}.json").write_text(newer)
    run = Here(capfdbinary)
    assert [line.split()[0] for line in run("jobs").lines[1:]] == [job.id]
    assert "is damaged" in run("result", "damaged").err
    assert run("clean").code == 0
    assert records.all_records() == []


def test_jobs_are_asked_for_that_nobody_follows(
    work: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    run = Here(capfdbinary)
    calls = ("naps.submit(0.1)", "raises.submit('no')", "sleeps.submit(1000)")
    ids = [submitted_elsewhere(call, work) for call in calls]

    def states() -> list[str]:
        return [fact["state"] for fact in json.loads(run("jobs", "--json").out) if fact["id"] in ids]

    assert wait_until(lambda: states() == ["completed", "failed", "running"])
    assert [records.load(each).ended for each in ids] == ["", "", ""]  # their results are still to be fetched
    assert "has not ended" in run("clean", *ids).err
    assert run("clean").code == 0
    assert [record.id for record in records.all_records()] == ids
    assert run("clean", *ids[:2]).code == 0
    assert [record.id for record in records.all_records()] == ids[2:]
    assert run("cancel", ids[-1]).code == 0


@pytest.mark.parametrize(
    ("state", "over"),
    [
        *(("completed", True), ("node failure", True), ("1,000 completed, 1 timed out", True)),
        *(("unknown", False), ("pending (Priority)", False), ("2 completed, 1 running", False)),
    ],
)
def test_a_job_is_over_when_all_its_tasks_are(state: str, over: bool) -> None:
    assert glance.is_over(state) == over


def test_jobs_of_a_place_that_can_not_be_asked(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    records.save(records.new("f", 3, ClusterConfig(cluster_type="none-such")))
    told = Here(capfdbinary)("jobs")
    assert (told.code, told.lines[1].split()[-1]) == (3, "unknown")
    assert "none-such" in told.err


def test_jobs_of_a_place_that_is_gone_for_good(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    run = Here(capfdbinary)
    with socket.socket() as taken:  # nobody listens there
        taken.bind(("127.0.0.1", 0))
        gone = {"cluster_type": "ssh", "cluster_host": "127.0.0.1", "cluster_port": taken.getsockname()[1]}
        lost = [
            records.save(
                records.new("f", None, ClusterConfig(**gone, username="me", default_cores=cores)), ended=ended
            )
            for cores, ended in ((1, "completed"), (2, "completed"), (3, ""), (4, ""))
        ]
        lives = jobs_sample.double.submit(1)
        assert lives.result(90) == 2
        said = run("clean")
        assert said.code == 3
        first, second = said.err.splitlines()
        assert "127.0.0.1" in first
        assert second == (
            "clustrix: 127.0.0.1: 2 jobs are still remembered; if the place is gone for good, "
            "`clustrix clean --forget 127.0.0.1` forgets all of its jobs"
        )
        assert len(run("jobs").err.splitlines()) == 1
    assert {record.id for record in records.all_records()} == {record.id for record in lost}
    assert f"`clustrix clean --forget {lost[3].id}` forgets it" in run("clean", lost[3].id).err
    for wrong in (("clean", "--forget"), ("clean", "--forget", "--environments", lost[0].id)):
        assert run(*wrong).code == 2
    kept = "nothing there was touched, and what is left of them in ~/.clustrix/jobs stays"
    assert run("clean", "--forget", lost[3].id).lines == [f"127.0.0.1: forgot 1 job; {kept}"]
    assert run("clean", "--forget", "127.0.0.1", lost[0].id).lines == [f"127.0.0.1: forgot 3 jobs; {kept}"]
    assert records.all_records() == []


def test_what_jobs_left_is_removed_where_their_work_dir_is_gone(
    work: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    job = jobs_sample.double.submit(1)
    assert job.result(90) == 2
    work.rename(work.with_name("moved"))
    pool.close()
    assert Here(capfdbinary)("clean").code == 0
    assert not job_folder(job, Path.home()).exists()


def test_a_result_that_is_no_json(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    run, job = Here(capfdbinary), cluster(frozenset).submit("a")
    assert run("result", job.id).lines == ["frozenset({'a'})"]
    told = run("result", "--json", job.id)
    assert (told.code, told.out) == (3, b"")
    assert f"the result of job {job.id} is no JSON: Object of type frozenset" in told.err


def test_a_result_on_the_command_line_may_be_an_exception(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    run = Here(capfdbinary)
    told = run("result", jobs_sample.raises.submit("no").id)
    assert told.code == 3
    assert "failed: ProblemError: no\n\nTraceback (most" in told.err
    assert "in raises" in told.err
    job = jobs_sample.sleeps.submit(1000)
    job.cancel()
    assert run("result", job.id).err == f"clustrix: job {job.id} was cancelled\n"


# --- when something goes wrong on the way


def test_attaching_where_it_is_followed_already_gives_the_same_job() -> None:
    job = jobs_sample.naps.submit(1.0)
    assert Job.attach(job.id) is job
    assert job.result(180) == 1.0
    again = Job.attach(job.id)
    assert isinstance(again, Job)
    assert again.result(180) == 1.0


def test_a_result_that_ends_whoever_unpickles_it(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    job, other = jobs_sample.bomb.submit(), jobs_sample.naps.submit(2.0)
    with pytest.raises(JobError, match=r"can't be read here: SystemExit: boom; it is still there"):
        job.result(180)
    assert other.result(180) == 2.0
    assert wait_until(lambda: records.load(job.id).ended == "unread")
    assert wait_until(lambda: records.load(other.id).ended == "completed")
    run = Here(capfdbinary)
    assert run("clean").code == 0
    assert [record.id for record in records.all_records()] == [job.id]
    assert run("clean", job.id).code == 0
    assert records.all_records() == []


def lost_line() -> ConnectionFailedError:
    error = ConnectionFailedError("the line is lost")
    error.may_have_run = True
    return error


def test_what_is_asked_for_twice_is_submitted_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submit = LocalBackend.clustrix_submit
    asked: list[str] = []

    @hookimpl
    def lose_the_answer(self: LocalBackend, job: JobSpec) -> str:
        asked.append(submit(self, job))
        if len(asked) == 1:
            raise lost_line()
        if len(asked) == 2:
            raise OperationTimeoutError("no answer")
        return asked[-1]

    monkeypatch.setattr(LocalBackend, "clustrix_submit", lose_the_answer)
    job = jobs_sample.counts.submit(str(work / "marks"))
    assert job.result(180) == 1
    assert asked == [f"clustrix-{job.id}"] * 3
    assert records.load(job.id).scheduler_id == asked[0]
    time.sleep(0.5)
    assert (work / "marks").read_text() == "x"


def test_a_submission_of_which_nothing_is_known_is_remembered(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = LocalBackend.clustrix_submit

    @hookimpl
    def lose_every_answer(self: LocalBackend, job: JobSpec) -> str:
        submit(self, job)
        raise lost_line()

    monkeypatch.setattr(LocalBackend, "clustrix_submit", lose_every_answer)
    with pytest.raises(
        ConnectionFailedError, match=r"isn't known: `clustrix result (\S+)` follows"
    ) as raised:
        jobs_sample.counts.submit(str(work / "marks"))
    (record,) = records.all_records()
    assert record.id in str(raised.value)
    found = Job.attach(record.id)
    assert isinstance(found, Job)
    assert found.result(180) == 1


def test_a_job_that_can_not_be_remembered_is_not_submitted(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, room = records.save, [True, False]

    def no_room(record: records.Record, **changes: str) -> records.Record:
        if room and room.pop(0):
            return save(record, **changes)
        raise OSError(28, "No space left on device", "state")

    monkeypatch.setattr(records, "save", no_room)
    assert jobs_sample.counts.submit(str(work / "marks")).result(90) == 1  # it was remembered when it counted
    with pytest.raises(JobError, match=r"isn't submitted, as this machine .*No space left.*XDG_STATE_HOME"):
        jobs_sample.counts.submit(str(work / "marks"))
    assert (work / "marks").read_text() == "x"


def test_a_user_without_a_home_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a number without a name."""

    def nameless(number: int) -> None:
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nameless)
    package._core.cache_clear()
    with pytest.raises(JobError, match=r"isn't submitted, .* there is no home folder; set HOME or XDG_STATE"):
        jobs_sample.counts.submit("marks")


def test_a_large_result_is_fetched_once_the_line_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    get, failures = ClusterFilesystem.get, [ConnectionFailedError("lost"), OSError(28, "no space")]

    def lost_at_first(self: ClusterFilesystem, path: Any, target: Any, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        return get(self, path, target, **more)

    monkeypatch.setattr(ClusterFilesystem, "get", lost_at_first)
    assert jobs_sample.big.submit(1 << 20).result(90) == bytes(1 << 20)
    assert failures == []


def test_a_result_that_can_not_be_fetched_is_left_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_args: Any, **_more: Any) -> Any:
        raise PermissionError(13, "denied", "results/0")

    monkeypatch.setattr(following, "TRIES", 2)
    with monkeypatch.context() as patched:
        patched.setattr(ClusterFilesystem, "get", fails)
        job = jobs_sample.big.submit(1 << 20)
        with pytest.raises(JobError, match=r"can't be followed: PermissionError.*Job.attach"):
            job.result(180)
    found = Job.attach(job.id)
    assert isinstance(found, Job)
    assert found.result(180) == bytes(1 << 20)


def test_a_place_that_is_gone(work: Path) -> None:
    job = jobs_sample.naps.submit(4.0)
    work.rename(work.with_name("moved"))
    pool.close()
    with pytest.raises(JobError, match=r"can't be followed: ConfigError: .*there is no such directory"):
        job.result(180)
    work.with_name("moved").rename(work)
    found = Job.attach(job.id)
    assert isinstance(found, Job)
    assert found.result(180) == 4.0


def test_one_result_that_can_not_be_fetched_is_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    get = ClusterFilesystem.get

    def fails(self: ClusterFilesystem, path: Any, target: Any, **more: Any) -> Any:
        if str(path).endswith("/0"):
            raise PermissionError(13, "denied", path)
        return get(self, path, target, **more)

    monkeypatch.setattr(following, "TRIES", 2)
    monkeypatch.setattr(ClusterFilesystem, "get", fails)
    array = lasting_map(jobs_sample.big, [1 << 20, 2 << 20])
    assert array.jobs[1].result(90) == bytes(2 << 20)
    with pytest.raises(JobError, match="can't be followed: PermissionError"):
        array.jobs[0].result(90)
    assert wait_until(lambda: records.load(array.id).ended == "unread")


def test_a_task_that_died_is_told_while_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    outcomes = LocalBackend.clustrix_job_outcomes

    @hookimpl
    def counted(self: LocalBackend, known: Any, seconds: float) -> Any:
        asked.append(known)
        return outcomes(self, known, seconds)

    monkeypatch.setattr(LocalBackend, "clustrix_job_outcomes", counted)
    array = lasting_map(jobs_sample.dies_or_naps, [0, 1000])
    with pytest.raises(JobError, match=r"ended without a word \(exit code 7\)"):
        array.jobs[0].result(30)
    assert not array.jobs[1].done()
    assert len(asked) < 15
    array.cancel()


def test_a_scheduler_is_left_alone_for_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    states = LocalBackend.clustrix_job_states

    @hookimpl
    def counted(self: LocalBackend, jobs: list[str]) -> Any:
        asked.append(time.monotonic())
        return states(self, jobs)

    monkeypatch.setattr(LocalBackend, "clustrix_job_states", counted)
    one_at_a_time = lasting_map(jobs_sample.dies_or_naps.with_options(cores=1000), [0, 0.3] * 6)
    assert wait_until(lambda: all(job.done() for job in one_at_a_time.jobs))
    assert len(asked) > 1
    assert all(later - earlier >= following.FIRST for earlier, later in pairwise(asked))


def test_nothing_is_unpickled_from_a_folder_that_others_can_use() -> None:
    job = jobs_sample.naps.submit(2.0)
    folder = job_folder(job, Path.home())
    folder.chmod(0o755)
    with pytest.raises(JobError, match=r"must be yours alone \(mode 0700\)"):
        job.result(180)
    folder.chmod(0o700)
    found = Job.attach(job.id)
    assert isinstance(found, Job)
    assert found.result(180) == 2.0


def test_tasks_are_cancelled_one_by_one() -> None:
    array = lasting_map(jobs_sample.naps.with_options(cores=1000), [0.1, 1000, 1000, 0.2])  # one at a time
    assert array.jobs[0].result(180) == 0.1
    assert wait_until(array.jobs[1].running)
    assert not array.jobs[2].running()
    assert array.jobs[2].cancel()
    assert array.jobs[1].cancel()
    assert array.jobs[3].result(180) == 0.2
    assert [job.state for job in array.jobs] == ["completed", "cancelled", "cancelled", "completed"]
    again = Job.attach(array.id)
    assert isinstance(again, JobArray)
    assert wait_until(lambda: all(job.done() for job in again.jobs))
    assert [job.state for job in again.jobs] == ["completed", "cancelled", "cancelled", "completed"]


def test_an_array_of_which_some_tasks_have_ended_is_cancelled() -> None:
    array = lasting_map(jobs_sample.naps, [0.1, 1000, 1000])
    assert array.jobs[0].result(180) == 0.1
    array.cancel()
    assert [job.state for job in array.jobs] == ["completed", "cancelled", "cancelled"]


def test_processes_of_another_machine_with_the_same_disk_are_left_alone() -> None:
    job = jobs_sample.sleeps.submit(1000)
    held = job_folder(job, Path.home()) / "running" / "0"
    assert wait_until(lambda: held.exists() and held.read_text())
    before = held.read_text()
    held.write_text(f"{before.split()[0]} another-boot login2")
    with pytest.raises(
        JobError, match=r"another machine of this name; `kill -- -\d+` ends it there: 'login2'"
    ):
        job.cancel()
    assert not job.done()
    held.write_text(before)
    assert job.cancel()


def test_what_had_ended_before_it_was_cancelled_has_a_result(
    work: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    done = submitted_elsewhere("double.submit(4)", work)
    left = records.load(done)
    assert wait_until(lambda: "completed" in Here(capfdbinary)("jobs").out.decode())
    (job,) = Submission(left, ClusterConfig(**left.config)).jobs  # nobody follows it
    assert not job.cancel()
    assert (job.state, job.result(0)) == ("completed", 8)
    records.save(left)
    said = Here(capfdbinary)("cancel", done)
    assert (said.code, said.err) == (1, f"clustrix: job {done} has ended\n")
    assert records.load(done).ended == "completed"


def test_what_ignores_sigterm_is_ended_all_the_same(work: Path) -> None:
    job = jobs_sample.stubborn.submit(str(work))
    pids = work / "pids"
    assert wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    assert job.cancel()
    for pid in pids.read_text().split():
        assert wait_until(lambda pid=pid: not is_alive(pid)), pid


def is_alive(pid: str) -> bool:
    stat = Path("/proc") / pid / "stat"
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_many_threads_cancel_one_job() -> None:
    job = jobs_sample.sleeps.submit(1000)
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda _: job.cancel(), range(8)))
    assert job.cancelled()


def test_a_killed_supervisor_and_its_task(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "GRACE", 1.0)
    job = jobs_sample.stubborn.submit(str(work))
    pids = work / "pids"
    assert wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    supervisor = subprocess.run(
        ["pgrep", "-f", f"supervise {job_folder(job, Path.home())}"], capture_output=True, text=True
    ).stdout.split()
    os.kill(int(supervisor[0]), signal.SIGKILL)
    for pid in pids.read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    with pytest.raises(JobError, match=r"lost \(the scheduler doesn't know it, and it left no outcome\)"):
        job.result(180)


def test_a_full_disk_keeps_no_task_from_running(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from clustrix import cluster\n"
        "from clustrix_core.jobs.job import JobArray\n"
        "from clustrix_core.filesystem import checked_config\n"
        "@cluster\n"
        "def fills(task):\n"
        "    filler = os.path.expanduser('~/.clustrix/filler')\n"
        "    if task:\n"
        "        os.unlink(filler)\n"
        "        return task\n"
        "    with open(filler, 'wb', 0) as file:\n"
        "        try:\n"
        "            while file.write(bytes(1 << 12)):\n"
        "                pass\n"
        "        except OSError:\n"
        "            os._exit(7)\n"
        "one_at_a_time = fills.with_options(cores=1000)\n"
        "jobs = JobArray(one_at_a_time._submit(checked_config(None), [((0,), {}), ((1,), {})], 2)).jobs\n"
        "print(jobs[1].result(60), jobs[0].exception(60))\n"
    )
    said = on_small_disk("8m", script)
    assert said.startswith("1 job ")
    assert "ended without a word (exit code 7)" in said


def on_small_disk(size: str, script: Path) -> str:
    """What a script prints that has so much room for its jobs."""
    (Path.home() / ".clustrix").mkdir(mode=0o700)
    mounted = f'mount -t tmpfs -o size={size},mode=700 tmpfs "$HOME/.clustrix" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mounted, "sh", sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(("size", "where"), [("20m", "jobs/.*/arguments"), ("64k", "parts/.*zip")])
def test_what_does_not_fit_is_not_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str, where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("large").write_bytes(os.urandom(10 << 20) if size == "20m" else b"")
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from clustrix import JobError, cluster\n"
        "from clustrix_core.jobs.records import all_records\n"
        "@cluster(files='large')\n"
        "def takes(data): ...\n"
        "try:\n"
        "    takes.submit(os.urandom(11 << 20 if os.path.getsize('large') else 0))\n"
        "except JobError as error:\n"
        "    print(error)\n"
        "print(os.listdir(os.path.expanduser('~/.clustrix/jobs')), all_records())\n"
    )
    assert re.fullmatch(
        rf"No space left on device: .*\.clustrix/{where}'\n\[\] \[\]\n", on_small_disk(size, script)
    )


# --- jobs that come after others, files, executors


def test_a_job_that_comes_after_others(work: Path) -> None:
    first = jobs_sample.naps.submit(1.0)
    then = jobs_sample.counts.with_options(after=[first, first.id])
    job = then.submit(str(work / "marks"))
    time.sleep(0.3)
    assert not first.done()
    assert not (work / "marks").exists()
    assert job.result(90) == 1
    assert first.done()
    assert jobs_sample.counts.with_options(after=first)(str(work / "marks")) == 2
    bad = jobs_sample.naps.submit(1000)
    in_vain = jobs_sample.counts.with_options(after=bad)
    job = in_vain.submit(str(work / "never"))
    bad.cancel()
    with pytest.raises(JobError, match="come after did not succeed"):
        job.result(90)
    for ended in (bad, bad.id):  # the scheduler may have forgotten it
        with pytest.raises(
            JobError, match=f"{bad.id}, which it is to come after, did not succeed: cancelled"
        ):
            jobs_sample.counts.with_options(after=ended).submit(str(work / "never"))
    assert not (work / "never").exists()
    with pytest.raises(TypeError, match="jobs or their ids, not int"):
        jobs_sample.naps.with_options(after=3).submit(1)


def test_a_job_that_comes_after_a_task(work: Path) -> None:
    array = lasting_map(jobs_sample.naps, [0.1, 1000])
    then = jobs_sample.counts.with_options(after=array.jobs[0])
    assert then.submit(str(work / "marks")).result(90) == 1
    assert not array.jobs[1].done()
    in_vain = jobs_sample.counts.with_options(after=array.jobs[1].id).submit(str(work / "never"))
    array.cancel()
    with pytest.raises(JobError, match="come after did not succeed"):
        in_vain.result(90)


def test_files_have_the_rights_that_the_account_gives(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.txt").write_text("from here")
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    try:
        job = jobs_sample.counts.with_options(files=["data.txt"]).submit("marks")
        assert job.result(90) == 1
    finally:
        os.umask(before)
        pool.close()
    assert [(work / name).stat().st_mode & 0o777 for name in ("marks", "data.txt")] == [0o644, 0o644]
    assert job_folder(job, Path.home()).stat().st_mode & 0o777 == 0o700


def test_files_travel_to_the_work_dir(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    (here / "deep").mkdir(parents=True)
    (here / "deep" / "data.txt").write_text("from here")
    monkeypatch.chdir(here)
    reads = jobs_sample.reads.with_options(files=["deep/data.txt"])
    assert reads("deep/data.txt") == "from here"
    assert (work / "deep" / "data.txt").read_text() == "from here"
    assert reads("deep/data.txt") == "from here"
    (here / "deep" / "data.txt").write_text("changed")
    with pytest.raises(JobError, match=r"another file of this name is there.*deep/data.txt"):
        reads("deep/data.txt")
    assert (work / "deep" / "data.txt").read_text() == "from here"
    (here / "..odd").write_text("odd")
    (here / "..odd").chmod(0o700)
    assert jobs_sample.reads.with_options(files="..odd")("..odd") == "odd"
    modes = [(work / name).stat().st_mode & 0o111 for name in ("..odd", "deep/data.txt")]
    assert [bool(mode) for mode in modes] == [True, False]
    for bad, why in (
        ("../x", "not below"),
        ("..", "not below"),
        ("/etc/passwd", "not below"),
        ("none", "no file in the current directory, .*here"),
    ):
        with pytest.raises(JobError, match=why):
            jobs_sample.reads.with_options(files=bad).submit("x")
    assert len(records.all_records()) == 3  # those that were refused are not remembered
    assert len(list((Path.home() / ".clustrix" / "jobs").iterdir())) == 3


def test_a_file_that_travels_is_nothing_to_be_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.json").touch()
    monkeypatch.chdir(tmp_path)

    @cluster
    def reads() -> str:
        return open("./params.json").read()

    assert "names the local file './params.json'" in reads.dependencies().report()
    assert reads.with_options(files="params.json").dependencies().warnings == []


def test_a_file_beside_the_source_travels_from_there() -> None:
    @cluster
    def reads() -> str:
        return open("jobs_sample.py").read()

    (warning,) = reads.dependencies().warnings
    assert warning.endswith(f"files=['jobs_sample.py'] takes it along, started in {HERE}")


def test_a_file_that_appears_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "folder" / "theirs"
    theirs.parent.mkdir()
    ours.write_text("ours")
    theirs.write_text("theirs")
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    with pytest.raises(FileExistsError):
        there.bring(str(ours), str(theirs), False)
    assert [path.read_text() for path in theirs.parent.iterdir()] == ["theirs"]
    theirs.write_text("ours")
    there.bring(str(ours), str(theirs), False)


def test_a_dry_run_tells_all_and_sends_nothing() -> None:
    told = jobs_sample.double.dry_run(1)
    assert "double on local, with" in told
    assert re.search(r"job\.pyz: [\d,]+ bytes", told)
    assert "travels: jobs_sample.py" in told
    assert "job.pyz run" in told
    assert not (Path.home() / ".clustrix").exists()
    assert records.all_records() == []


def test_an_executor() -> None:
    with ClusterExecutor(cores=1) as executor:
        job = executor.submit(jobs_sample.double.local, 4)
        other = executor.submit(jobs_sample.double, x=5)
        assert list(executor.map(pow, [2, 3], [3, 2])) == [8, 9]
        assert list(executor.map(pow, [])) == []
        assert (job.result(90), other.result(90)) == (8, 10)
        assert {done.result() for done in as_completed([job, other], 90)} == {8, 10}
        slow = executor.map(time.sleep, [100], timeout=0.2)
        with pytest.raises(WaitedInVainError):
            next(slow)
        executor.shutdown(wait=False)
        with pytest.raises(RuntimeError, match="shut down"):
            executor.submit(pow, 1, 2)
        for each in list(executor._jobs):
            each.cancel()
    with pytest.raises(TypeError, match="takes no 'core'"):
        ClusterExecutor(core=1)


def test_logs_are_followed(capsys: pytest.CaptureFixture[str]) -> None:
    job = jobs_sample.sleeps.submit(0.5)
    assert job.logs(follow=True) == "began\n"
    assert capsys.readouterr().out == "began\n"
    assert job.done()


def test_what_is_printed_is_in_the_log_at_once() -> None:
    job = jobs_sample.prints_and_ends.submit("text")
    with pytest.raises(JobError, match="ended without a word"):
        job.result(90)
    assert job.logs() == "text\nafter text\n"


def test_processes_that_are_ended_as_they_begin_do_end() -> None:
    job = jobs_sample.ends_processes_that_begin.submit(300)
    assert job.result(120) == 300
    assert job.logs() == ""


def test_processes_that_the_function_leaves_at_work_end_in_silence() -> None:
    job = jobs_sample.leaves_processes_at_work.submit()
    process = job.result(90)
    assert wait_until(lambda: not Path(f"/proc/{process}").exists())
    assert job.logs() == ""


# --- what travels


def test_functions_of_a_script_take_what_they_name(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "pack" / "inner.py").write_text("from .deep import value\n")
    (tmp_path / "pack" / "deep.py").write_text("value = 'deep'\n")
    (tmp_path / "side.py").write_text("def add(x):\n    return x + 1\n")
    script = tmp_path / "script.py"
    script.write_text(
        "from clustrix import cluster\n"
        "import side\n"
        "offset = 10\n"
        "def helper(x):\n"
        "    return side.add(x) + offset\n"
        "@cluster\n"
        "def main(x, f=lambda x: x * 100):\n"
        "    from pack import inner\n"
        "    return helper(f(x)), inner.value\n"
        "print(main(1))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=180)
    assert (done.stdout, done.stderr) == ("(111, 'deep')\n", "")


def runs_script(*arguments: str) -> list[str]:
    command = [sys.executable, str(Path(jobs_sample.__file__).with_name("script_sample.py")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("way", ["call", "submit"])
def test_what_a_script_shares_is_shared_there_and_stays_as_it_is_here(way: str) -> None:
    same = ["shares", "by_name", "spawns", "memoizes", "dispatches", "keeps", "labels"]
    alike = ["counts", "collects", "notes", "draws", "remembers_by_attributes", "reaches"]
    told = [*(f"{name} True" for name in same), *(f"{name} 1" for name in alike)]
    assert runs_script(way) == [*told, "has_called {1}", "makes True 15 1 1"]


def test_classes_of_a_script_are_its_own_when_it_is_run_again() -> None:
    (job,) = runs_script("end")
    assert runs_script("attach", job) == ["again True 7"]


def test_what_arguments_are_made_of_travels(tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text(
        "import parts_of\n"
        "class Square:\n"
        "    def __init__(self, side):\n"
        "        self.side = side\n"
        "    def area(self):\n"
        "        return self.side.length ** 2\n"
    )
    (tmp_path / "parts_of.py").write_text(
        "class Side:\n    def __init__(self, length):\n        self.length = length\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        "from clustrix import cluster\n"
        "@cluster\n"
        "def area(shape):\n"
        "    return shape.area()\n"
        "if __name__ == '__main__':\n"
        "    from shapes import Square\n"
        "    from parts_of import Side\n"
        "    print(area(Square(Side(3))), area.submit(Square(Side(4))).result(90))\n"
        "    print('travels: parts_of.py (what is pickled)' in area.dry_run(Square(Side(3))))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=180)
    assert (done.stdout, done.stderr) == ("9 16\nTrue\n", "")


def test_decorated_functions_are_arguments_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other_steps.py").write_text(
        "from clustrix import cluster\n@cluster\ndef adds(x):\n    return x + 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import other_steps  # type: ignore[import-not-found]

    called = cluster(lambda function, x: function(x))
    assert called.submit(other_steps.adds, 2).result(90) == 3


@pytest.mark.parametrize("by_name", [True, False])
def test_a_module_that_is_loaded_anew_is_so_in_the_workers(
    by_name: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where only another module's function names it."""
    name = f"edited_{by_name}"
    text = "from clustrix import cluster\n@cluster\ndef number(x):\n    return x + {}\n"
    (tmp_path / f"{name}.py").write_text(text.format(1))
    monkeypatch.syspath_prepend(tmp_path)
    edited = importlib.import_module(name)

    def asks(x: int) -> Any:
        return edited.number.local(x)

    function = edited.number if by_name else cluster(asks)
    assert list(function.map([1, 2])) == [2, 3]
    (tmp_path / f"{name}.py").write_text(text.format(1000))
    importlib.reload(edited)
    function = edited.number if by_name else function
    assert [function(1), *function.map(range(20))] == [1001, *range(1000, 1020)]


def test_packages_without_an_init_file(tmp_path: Path) -> None:
    (tmp_path / "space" / "inner").mkdir(parents=True)
    (tmp_path / "space" / "inner" / "deep.py").write_text("from ..other import value\n")
    (tmp_path / "space" / "other.py").write_text("value = 'deep'\n")
    script = tmp_path / "script.py"
    script.write_text(
        "from clustrix import cluster\n"
        "import space.inner.deep\n"
        "@cluster\n"
        "def main():\n"
        "    return space.inner.deep.value\n"
        "print(main(), main.submit().result(90))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=180)
    assert (done.stdout, done.stderr) == ("deep deep\n", "")


def test_the_first_jobs_of_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    package._core.cache_clear()
    with ThreadPoolExecutor(4) as threads:
        jobs = list(threads.map(lambda _: jobs_sample.double.submit(1), range(4)))
    assert [job.result(90) for job in jobs] == [2] * 4
    (kept,) = (tmp_path / "cache" / "clustrix").iterdir()
    kept.unlink()
    shutil.rmtree(Path.home() / ".clustrix" / "parts")
    assert jobs_sample.double.submit(1).result(90) == 2
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    package._core.cache_clear()
    shutil.rmtree(Path.home() / ".clustrix" / "parts")
    assert jobs_sample.double.submit(1).result(90) == 2
    package._core.cache_clear()


def test_an_archive_that_others_can_write_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    package._core.cache_clear()
    assert jobs_sample.double.submit(1).result(90) == 2
    (kept,) = (tmp_path / "clustrix").iterdir()
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr("clustrix_core/__init__.py", "raise SystemExit('not ours')")
    kept.parent.chmod(0o777)
    package._core.cache_clear()
    assert jobs_sample.double.submit(1).result(90) == 2
    package._core.cache_clear()


def test_what_others_can_write_down_is_not_believed(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    job = jobs_sample.double.submit(1)
    assert job.result(90) == 2
    folder = Path.home() / ".local" / "state" / "clustrix" / "jobs"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o770)
    told = Here(capfdbinary)("jobs")
    assert told.code == 3
    assert f"{folder}: it must be yours, and nobody else may write there" in told.err
    with pytest.raises(JobError, match="couldn't remember it: .*must be yours"):
        jobs_sample.double.submit(1)
    folder.chmod(0o700)


def test_what_another_process_has_forgotten_stays_forgotten() -> None:
    job = jobs_sample.naps.submit(1.0)
    records.forget(records.load(job.id))
    assert job.result(90) == 1.0
    assert records.all_records() == []


def test_parts_that_no_job_uses_are_swept(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    run = Here(capfdbinary)
    old, job = jobs_sample.double.submit(1), jobs_sample.naps.submit(0.1)
    assert (old.result(90), job.result(90)) == (2, 0.1)
    assert wait_until(lambda: records.load(job.id).ended)
    parts = Path.home() / ".clustrix" / "parts"
    unused, fresh = parts / f"{'0' * 64}.zip", parts / f"{'1' * 64}.zip"
    for part in (unused, fresh):
        part.touch()
    for part in parts.glob("*.zip"):
        if part != fresh:
            os.utime(part, (0, 0))
    before = set(parts.iterdir())
    with open(parts / "lock") as lock:  # somebody submits a job at this moment
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert run("clean", old.id).code == 0
    assert set(parts.iterdir()) == before
    more = jobs_sample.naps.submit(0.1)
    os.utime(unused, (0, 0))
    assert more.result(90) == 0.1
    assert run("clean", job.id).code == 0
    assert set(parts.iterdir()) == before - {unused}
    assert jobs_sample.double.submit(1).result(90) == 2


def test_what_others_can_put_there_is_not_run() -> None:
    assert jobs_sample.double.submit(1).result(90) == 2
    parts = Path.home() / ".clustrix" / "parts"
    parts.chmod(0o770)
    with pytest.raises(JobError, match="parts: it must be yours, and nobody else may write there"):
        jobs_sample.double.submit(1)
    parts.chmod(0o700)
    environments = parts.parent / "environments"
    environments.mkdir()
    environments.chmod(0o777)
    for options in ({}, {"environment": "auto"}):
        with pytest.raises(JobError, match="environments: it must be yours, and nobody else may write there"):
            jobs_sample.double.with_options(**options).submit(1)
    environments.chmod(0o700)
    if not os.geteuid():
        os.chown(parts.parent, 1, 1)
        with pytest.raises(JobError, match=r"\.clustrix: it must be yours"):
            jobs_sample.double.submit(1)
        os.chown(parts.parent, 0, 0)
    moved = Path.home() / "elsewhere"
    parts.parent.rename(moved)
    parts.parent.symlink_to(moved)
    assert jobs_sample.double.submit(1).result(90) == 2


def test_dependencies_are_found_with_their_reasons() -> None:
    found = analyse(jobs_sample.double)
    assert set(found.sources) == {"jobs_sample.py"}
    assert found.missing == {}

    def uses() -> None:
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401
        import pytest  # noqa: F401

    needed = analyse(uses)
    assert needed.pins == {"pytest": pytest.__version__}
    assert list(needed.missing) == ["no_such_module"]
    assert "test_jobs.py:" in needed.missing["no_such_module"]
    assert "is not found here: no_such_module" in needed.report()
    with pytest.raises(JobError, match="no_such_module"):
        cluster(uses).submit()


def test_large_and_deep_data_is_not_looked_through() -> None:
    numbers = list(range(1_000_000))
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    def uses() -> int:
        return len(numbers) + len(deep)

    found = analyse(uses)
    assert (found.missing, found.pins) == ({}, {})


def test_another_python_says_what_it_needs(tmp_path: Path) -> None:
    content = package.pickled(tmp_path, jobs_sample.double, ClusterConfig(), [((1,), {})])
    package.build(content, analyse(jobs_sample.double))
    file = tmp_path / "job.pyz"
    other = tmp_path / "other.pyz"
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "__main__.py":
                data = data.replace(repr(tuple(sys.version_info[:2])).encode(), b"(3, 99)")
            target.writestr(name, data)
    done = subprocess.run([sys.executable, other, "run", str(tmp_path), "0"], capture_output=True, text=True)
    assert "this job needs Python 3.99, as it was submitted from that" in done.stderr
    assert '"WrongPython"' in (tmp_path / "done" / "0").read_text()


def test_what_names_a_job_is_checked(work: Path) -> None:
    from clustrix_core.jobs.models import folder_of

    assert folder_of("clustrix-1-a") == ".clustrix/jobs/1-a"
    for name in ("clustrix-../x", "x", "clustrix-", "clustrix-a/b", "clustrix-a b"):
        with pytest.raises(ValueError, match="no job's name"):
            folder_of(name)
