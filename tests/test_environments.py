"""The environments of jobs, built and found on this machine with real venvs and pip, without the internet."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_runner import Here
from environments_sample import versions, waits_for
from wheelhouse import wheel

from clustrix import ClusterConfig, Job, JobError, cluster
from clustrix_core.errors import DependencyWarning
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.jobs import dependencies, preparing, records
from clustrix_core.jobs.dependencies import Dependencies, analyse
from clustrix_core.session import pool

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder, and pip, which has a folder of wheels alone."""
    home, wheels = tmp_path / "home", tmp_path / "wheels"
    home.mkdir()
    wheels.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "CONDA_EXE", "MAMBA_EXE", "MAMBA_ROOT_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    pool.close()
    preparing._known.clear()
    yield home
    preparing._known.clear()
    pool.close()


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """`tinytool` in two versions, which needs `tinybase`, in two as well."""
    for name, version, requires in (
        ("tinytool", "1.0", "tinybase"),
        ("tinytool", "2.0", "tinybase"),
        ("tinybase", "1.0", ""),
        ("tinybase", "2.0", ""),
    ):
        file, data = wheel(name, version, f"version = {version!r}\n", requires)
        (tmp_path / "wheels" / file).write_bytes(data)
    return tmp_path / "wheels"


@pytest.fixture
def installed(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The first version of each, where this process finds them, and no job does."""
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site)]
    subprocess.run([*command, "tinytool==1.0", "tinybase==1.0"], check=True)
    monkeypatch.syspath_prepend(str(site))
    folders = (site, *dependencies._site_folders())
    monkeypatch.setattr(dependencies, "_site_folders", lambda: folders)
    for cache in (dependencies._installed, dependencies._distribution):
        cache.cache_clear()
    yield
    for cache in (dependencies._installed, dependencies._distribution):
        cache.cache_clear()


def needed(**pins: str) -> Dependencies:
    return Dependencies(pins=pins, modules=dict.fromkeys(pins, ""))


def bare(path: Path) -> str:
    """A Python that has nothing."""
    venv.create(path, with_pip=False)
    return str(path / "bin" / "python")


@pytest.fixture
def here(capsysbinary: pytest.CaptureFixture[bytes]) -> Here:
    return Here(capsysbinary)


def environments(home: Path) -> list[Path]:
    return sorted(path for path in (home / ".clustrix" / "environments").iterdir() if path.is_dir())


def wait_until(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


# --- built


@pytest.mark.usefixtures("installed")
def test_what_a_job_needs_is_installed_once(home: Path) -> None:
    decorated = cluster(environment="auto")(versions)
    tool, base, prefix, variable, path = decorated()
    assert (tool, base) == ("1.0", "1.0")  # also what is needed in its turn is as it is here
    [built] = environments(home)
    assert (prefix, variable, path.split(":")[0]) == (str(built), str(built), f"{built}/bin")
    inode = built.stat().st_ino
    preparing._known.clear()
    job = decorated.submit()
    assert isinstance(job, Job)
    assert job.result(90)[:2] == ("1.0", "1.0")
    assert [path.stat().st_ino for path in environments(home)] == [inode]
    assert records.load(job.id).environment == str(built)


@pytest.mark.usefixtures("installed")
def test_an_environment_that_was_swept_is_built_again(home: Path) -> None:
    decorated = cluster(environment="auto")(versions)
    assert decorated()[:2] == ("1.0", "1.0")
    [built] = environments(home)
    shutil.rmtree(built)
    assert decorated()[:2] == ("1.0", "1.0")
    assert len(records.all_records()) == 2
    os.utime(built / "clustrix-ready", (0, 0))
    assert decorated()[:2] == ("1.0", "1.0")
    assert (built / "clustrix-ready").stat().st_mtime > 0  # it is used, so no sweeper takes it


@pytest.mark.usefixtures("wheels")
def test_pins_tell_environments_apart(home: Path) -> None:
    config = ClusterConfig()
    first = preparing.prepared(config, needed(tinytool="1.0"), "auto")
    second = preparing.prepared(config, needed(tinytool="2.0"), "auto")
    assert first.folder != second.folder
    assert (first.installed, second.installed) == ({"tinytool": "1.0"}, {"tinytool": "2.0"})
    assert first.version == sys.version_info[:3]


@pytest.mark.usefixtures("wheels")
def test_a_pin_that_fails_is_told_in_the_words_of_pip(home: Path) -> None:
    config = ClusterConfig()
    for _ in range(2):  # and it is tried again
        with pytest.raises(
            JobError, match=r"(?s)^local: .*pip install.*No matching distribution.*tinytool==9"
        ):
            preparing.prepared(config, needed(tinytool="9"), "auto")
        assert environments(home) == []


@pytest.mark.usefixtures("wheels")
def test_two_clients_at_once_build_one(home: Path) -> None:
    code = (
        "from clustrix import ClusterConfig\n"
        "from clustrix_core.jobs import preparing\n"
        "from clustrix_core.jobs.dependencies import Dependencies\n"
        "found = preparing.prepared(ClusterConfig(), Dependencies(pins={'tinytool': '1.0'}), 'auto')\n"
        "print(found.folder, found.installed['tinytool'])\n"
    )
    clients = [subprocess.Popen([sys.executable, "-c", code], stdout=-1, text=True) for _ in range(3)]
    said = {client.communicate(timeout=120)[0] for client in clients}
    [built] = environments(home)
    assert said == {f"{built} 1.0\n"}
    log = built.with_suffix(".log").read_text()
    assert log.count("Successfully installed") == 1


@pytest.mark.usefixtures("wheels")
def test_a_build_that_was_killed_is_done_again(home: Path) -> None:
    config, result = ClusterConfig(), []
    thread = threading.Thread(
        target=lambda: result.append(preparing.prepared(config, needed(tinytool="1.0"), "auto"))
    )
    thread.start()
    folder = home / ".clustrix" / "environments"
    assert wait_until(lambda: folder.exists() and [path for path in folder.iterdir() if path.is_dir()])
    [begun] = environments(home)
    killed = kill_those_that_hold(begun.with_suffix(".lock"))
    thread.join(120)
    assert killed
    assert not (begun / "clustrix-ready").exists() or result  # never a half
    assert result[0].installed == {"tinytool": "1.0"}
    assert environments(home) == [begun]


def kill_those_that_hold(lock: Path) -> int:
    killed = 0
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) != os.getpid() and any(opens(process, lock)):
            os.kill(int(process.name), signal.SIGKILL)
            killed += 1
    return killed


def opens(process: Path, file: Path) -> Iterator[bool]:
    try:
        for link in (process / "fd").iterdir():
            yield os.readlink(link) == str(file)
    except OSError:
        return


@pytest.mark.usefixtures("wheels")
def test_a_half_of_an_environment_is_none(home: Path) -> None:
    config = ClusterConfig()
    built = Path(preparing.prepared(config, needed(tinytool="1.0"), "auto").folder)
    (built / "clustrix-ready").unlink()
    (built / "bin" / "python").unlink()
    preparing._known.clear()
    again = preparing.prepared(config, needed(tinytool="1.0"), "auto")
    assert (again.folder, again.installed) == (str(built), {"tinytool": "1.0"})


@pytest.mark.usefixtures("wheels")
def test_uv_builds_where_it_is_there(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name tells how it is called; as it fails, pip has its turn."""
    (home / ".config" / "pip").mkdir(parents=True)
    wheels = os.environ["PIP_FIND_LINKS"]
    (home / ".config" / "pip" / "pip.conf").write_text(f"[global]\nno-index = 1\nfind-links = {wheels}\n")
    for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "uv").write_text('#!/bin/sh\necho "uv was called: $*"\nexit 2\n')
    (tools / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    built = Path(preparing.prepared(ClusterConfig(), needed(tinytool="1.0"), "auto").folder)
    log = built.with_suffix(".log").read_text()
    assert f"uv was called: venv --python {sys.executable} {built}" in log
    assert "Successfully installed" in log


# --- found


def test_nothing_is_asked_where_the_python_is_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterFilesystem, "_call", None)
    assert preparing.prepared(ClusterConfig(), needed(anything="1"), None).python == sys.executable


def test_what_is_missing_is_listed_at_once(tmp_path: Path) -> None:
    config = ClusterConfig(python_executable=bare(tmp_path / "bare"))
    wanted = needed(first="1.0", second="2.0", spare="3.0")
    wanted.optional.add("spare")
    wanted.reasons.update(first="import at a.py:1", second="import at a.py:2")
    with pytest.raises(JobError) as raised:
        preparing.prepared(config, wanted, None)
    message = str(raised.value)
    assert f"local: {tmp_path}/bare/bin/python lacks what the function needs: " in message
    assert "first==1.0 (import at a.py:1), second==2.0 (import at a.py:2); environment=" in message
    assert "spare" not in message


@pytest.mark.usefixtures("wheels")
def test_another_version_is_a_warning_that_names_both(tmp_path: Path) -> None:
    python = bare(tmp_path / "other")
    site = next((tmp_path / "other" / "lib").glob("python*")) / "site-packages"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site), "tinytool==2.0"]
    subprocess.run(command, check=True)
    config = ClusterConfig(python_executable=python)
    with pytest.warns(DependencyWarning, match=r"tinytool 2\.0 \(here 1\.0\)"):
        found = preparing.prepared(config, needed(tinytool="1.0"), None)
    assert found.installed == {"tinytool": "2.0"}


def test_a_module_without_metadata_is_there_in_a_version_that_is_not_known(tmp_path: Path) -> None:
    python = bare(tmp_path / "other")
    site = next((tmp_path / "other" / "lib").glob("python*")) / "site-packages"
    (site / "cv2.py").write_text("")
    wanted = Dependencies(pins={"opencv-python": "4.0"}, modules={"opencv-python": "cv2"})
    found = preparing.prepared(ClusterConfig(python_executable=python), wanted, None)
    assert found.installed == {"opencv-python": ""}


def test_what_is_only_there_is_found_there(tmp_path: Path) -> None:
    def uses() -> str:
        import solver.mesh as mesh  # type: ignore[import-not-found]

        return str(mesh.NAME)

    python = bare(tmp_path / "other")
    there = cluster(config=ClusterConfig(python_executable=python))(uses)
    with pytest.raises(
        JobError, match=r"lacks what the function needs: solver, which isn't here either \(import"
    ):
        there.submit()
    site = next((tmp_path / "other" / "lib").glob("python*")) / "site-packages"
    (site / "solver").mkdir()
    (site / "solver" / "mesh.py").write_text("NAME = 'from there'\n")
    assert there.submit().result(90) == "from there"
    for function in (cluster(uses), there.with_options(environment="auto")):
        with pytest.raises(JobError, match=r"not found here: solver\.mesh \(import"):
            function.submit()


def fake(path: Path, script: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("environment", [None, "auto"])
def test_another_version_of_python_is_refused(tmp_path: Path, environment: str | None) -> None:
    old = fake(tmp_path / "old", """echo '{"version": [3, 6, 8], "installed": {}}'""")
    with pytest.raises(
        JobError, match=rf"old is Python 3\.6\.8, and functions from Python {HERE} need {HERE} there"
    ):
        preparing.prepared(ClusterConfig(python_executable=old), needed(), environment)


def test_a_python_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"Python '/none' can't be used: there is no such program"):
        preparing.prepared(ClusterConfig(python_executable="/none"), needed(), None)
    broken = fake(tmp_path / "broken", "echo it is broken >&2; exit 1")
    with pytest.raises(JobError, match="broken' can't be used: it is broken"):
        preparing.prepared(ClusterConfig(python_executable=broken), needed(), None)


def test_the_home_folder_is_no_place_for_modules(home: Path, tmp_path: Path) -> None:
    (home / "json.py").write_text("raise SystemExit('mine')\n")
    config = ClusterConfig(python_executable=bare(tmp_path / "bare"))
    assert preparing.prepared(config, needed(), None).version == sys.version_info[:3]


def test_it_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ClusterConfig(python_executable=bare(tmp_path / "bare"))
    preparing.prepared(config, needed(), None)
    monkeypatch.setattr(ClusterFilesystem, "_call", None)
    preparing.prepared(config, needed(), None)


# --- conda


def conda(root: Path, name: str | None) -> Path:
    """An environment as conda makes them, as far as its folders say."""
    prefix = root if name is None else root / "envs" / name
    venv.create(prefix, with_pip=False)
    (prefix / "conda-meta").mkdir()
    (prefix / "conda-meta" / "state").write_text(json.dumps({"env_vars": {"FROM_CONDA": "yes"}}))
    return prefix


@pytest.mark.parametrize("way", ["home", "variable", "program", "list", "path"])
def test_conda_environments_are_found(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    root = home / "miniforge3" if way == "home" else tmp_path / "elsewhere"
    prefix, name = conda(root, "science"), "science"
    if way == "variable":
        monkeypatch.setenv("CONDA_EXE", fake(root / "bin" / "conda", "exit 1"))
    if way == "program":
        told = json.dumps({"envs": [str(prefix)]})
        fake(tmp_path / "tools" / "mamba", f"echo '{told}'")
        monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:{os.environ['PATH']}")
    if way == "list":
        (home / ".conda").mkdir()
        (home / ".conda" / "environments.txt").write_text(f"{tmp_path}/gone\n{prefix}\n")
    if way == "path":
        name = str(prefix)
    found = preparing.prepared(ClusterConfig(conda_env_name=name), needed(), None)
    assert found.python == f"{prefix}/bin/python"


def test_a_conda_environment_that_is_not_there(home: Path) -> None:
    conda(home / "miniconda3", None)
    conda(home / "miniconda3", "other")
    with pytest.raises(
        JobError, match=r"no conda environment 'science'; those that there are: base, other; "
    ):
        preparing.prepared(ClusterConfig(conda_env_name="science"), needed(), None)
    with pytest.raises(JobError, match=r"no conda environment at '/none/x'"):
        preparing.prepared(ClusterConfig(conda_env_name="/none/x"), needed(), None)


# --- what is needed


def test_what_the_code_can_do_without_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "choosy.py").write_text(
        "try:\n    import numpy_of_nowhere\nexcept ImportError:\n    numpy_of_nowhere = None\n"
        "try:\n    import pluggy, pydantic\nexcept ImportError:\n    pass\n"
        "import pydantic\n"
        "def works(): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import choosy  # type: ignore[import-not-found]

    found = analyse(choosy.works)
    assert (found.missing, found.optional) == ({}, {"pluggy"})
    assert found.pins.keys() == {"pluggy", "pydantic"}
    assert found.modules["pydantic"] == "pydantic"


def test_nothing_is_imported_to_look_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shy").mkdir()
    (tmp_path / "shy" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "shy" / "inner.py").write_text("from .other import name, thing\n")
    (tmp_path / "shy" / "other").mkdir()
    (tmp_path / "shy" / "other" / "thing.py").write_text("import shy.none\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def uses() -> None:
        from shy import inner  # type: ignore[import-not-found]  # noqa: F401

    found = analyse(uses)
    assert found.sources.keys() == {"shy/__init__.py", "shy/inner.py", "shy/other/thing.py"}
    assert [*found.missing] == ["shy.none"]


def test_what_only_functions_import_that_nothing_calls_is_optional(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lazy_main.py").write_text(
        "import lazy_help as helping\n"
        "from lazy_help import made as make\n"
        "TABLE = make()\n"
        "def works(thing): return helping.tidy(thing).told()\n"
        "def plot():\n    import lazy_plots, nowhere_to_be_found\n"
    )
    (tmp_path / "lazy_help.py").write_text(
        "def tidy(thing):\n    import pydantic\n    return inner(thing)\n"
        "def inner(thing):\n    import yaml\n"
        "def made():\n    import click\n"
        "class Thing:\n"
        "    def __init__(self):\n        import packaging\n"
        "    def told(self):\n        import cloudpickle\n"
        "    def drawn(self):\n        import pytest\n"
    )
    (tmp_path / "lazy_plots.py").write_text("import pluggy\ndef f():\n    import lazy_more\n")
    (tmp_path / "lazy_more.py").write_text("import __main__\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import lazy_main  # type: ignore[import-not-found]

    found = analyse(lazy_main.works)
    assert found.sources.keys() == {f"lazy_{name}.py" for name in ("main", "help", "plots", "more")}
    needed = {"pydantic", "PyYAML", "click", "cloudpickle", "packaging"}
    assert found.pins.keys() - found.optional == needed
    assert (found.missing, found.optional) == ({}, {"pluggy", "pytest"})
    assert re.search(r"may be used there: pluggy==\S+ \(import at .*lazy_plots", found.report())
    assert re.search(r"is needed there: pydantic==", found.report())
    given = analyse(lazy_main.works, ["lazy_main:plot"])
    assert ("pluggy" in given.optional, [*given.missing]) == (False, ["nowhere_to_be_found"])


# --- swept


@pytest.mark.usefixtures("wheels")
def test_environments_are_swept_when_nobody_uses_them(home: Path, here: Here) -> None:
    config = ClusterConfig()
    kept = preparing.prepared(config, needed(tinytool="1.0"), "auto").folder
    old = preparing.prepared(config, needed(tinytool="2.0"), "auto").folder
    record = records.save(records.new("f", None, config), environment=kept)
    for folder in (kept, old):
        os.utime(f"{folder}/clustrix-ready", (0, 0))
    assert here("clean", "--environments").code == 0
    assert [str(path) for path in environments(home)] == [kept]
    records.save(record, ended="completed")
    assert here("clean").code == 0
    assert environments(home) == []
    assert not list((home / ".clustrix" / "environments").glob("*.lock"))


@pytest.mark.usefixtures("installed")
def test_the_environment_of_a_job_that_is_not_known_here_stays(
    home: Path, here: Here, tmp_path: Path
) -> None:
    job = cluster(environment="auto")(waits_for).submit(str(tmp_path / "go"))
    records.forget(records.load(job.id))  # as on another machine
    assert here("clean", "--environments").code == 0
    assert len(environments(home)) == 1
    assert (environments(home)[0] / "clustrix-ready").exists()
    (tmp_path / "go").touch()
    assert job.result(90) == str(environments(home)[0])
    assert here("clean", "--environments").code == 0
    assert environments(home) == []
