"""Functions as jobs, in processes of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jobs_sample
import pytest
from cli_runner import Here

from clustrix import ClusterConfig, Job, JobArray, JobError, cluster, configure
from clustrix_core.jobs import package, records
from clustrix_core.jobs.dependencies import analyse
from clustrix_core.session import pool

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


def test_what_can_not_travel_is_told_by_its_text() -> None:
    with pytest.raises(
        Exception, match=r"result can't be pickled .*generator.*: <generator object"
    ) as raised:
        jobs_sample.unpicklable()
    assert type(raised.value).__name__ == "ResultError"
    with pytest.raises(JobError, match="failed: LocalError: here") as lost:
        jobs_sample.raises_unpicklable()
    assert "raise LocalError" in str(lost.value.__cause__)


def test_processes_that_end() -> None:
    with pytest.raises(JobError, match="failed: SystemExit: enough") as left:
        jobs_sample.exits("enough")
    assert "sys.exit(message)" in str(left.value.__cause__)
    with pytest.raises(JobError, match=r"ended without a word \(exit code 7\)"):
        jobs_sample.ends(7)


def test_map_is_one_array_in_the_order_of_its_arguments() -> None:
    array = jobs_sample.double.map(range(5))
    assert isinstance(array, JobArray)
    assert (len(array), list(array), array.results()) == (5, [0, 2, 4, 6, 8], [0, 2, 4, 6, 8])
    assert [job.id for job in array.jobs] == [f"{array.id}_{task}" for task in range(5)]
    assert {job.result() for job in array.as_completed(180)} == {0, 2, 4, 6, 8}
    assert array.jobs[3].logs() == "doubling 3\n"
    with pytest.raises(ValueError, match="nothing"):
        jobs_sample.double.map([])


def test_large_results_and_arguments() -> None:
    assert jobs_sample.big(1 << 20) == bytes(1 << 20)
    assert jobs_sample.double(bytes(9 << 20)) == bytes(18 << 20)


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


def test_wrong_resources_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"takes no 'core'; a job can ask for cores, memory, time"):
        cluster(core=3)


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


def test_a_job_outlives_whoever_submitted_it(work: Path) -> None:
    code = (
        "import jobs_sample, os\njob = jobs_sample.sleeps.submit(2)\nprint(job.id, flush=True)\nos._exit(9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE), "CLUSTRIX_LOCAL_WORK_DIR": str(work)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    job = Job.attach(done.stdout.strip())
    assert isinstance(job, Job)
    assert job.result(180) == "slept"
    assert records.load(job.id).config == {"local_work_dir": str(work)}
    assert wait_until(lambda: records.load(job.id).ended == "completed")
    with pytest.raises(JobError, match="no job 'nix' is known here"):
        Job.attach("nix")


def test_the_commands(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    run = Here(capfdbinary)
    job = jobs_sample.double.submit("ab")
    array = jobs_sample.double.map([1, 2])
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
    assert run("result", f"{array.id}_7").code == 1


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


def test_another_python_says_what_it_needs(tmp_path: Path) -> None:
    package.build(tmp_path, jobs_sample.double, ClusterConfig(), [((1,), {})], analyse(jobs_sample.double))
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
