"""Jobs on this machine run in the environment of the config; looking at files takes none."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from jobs_with_surroundings import core_limit, sleeps, values_of

from clustrix import ClusterConfig, ClusterExecutor, cluster, cluster_ls
from clustrix_core.doctor import Check
from clustrix_core.doctor.examination import examine
from clustrix_core.errors import ConfigError, JobError
from clustrix_core.jobs import records
from clustrix_core.session import pool

Configure = Callable[..., ClusterConfig]

TOOL = 'setenv("TOOL_HOME", "/apps/tool")\n'


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Makes a config; there is a folder of modules, and a home folder."""
    for name in ("home", "work", "modules/tool"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "modules/tool/1.0.lua").write_text(TOOL)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def make(**fields: object) -> ClusterConfig:
        return ClusterConfig(local_work_dir=str(tmp_path / "work"), **fields)

    yield make
    pool.close()


def is_alive(number: str) -> bool:
    """Whether there is such a process, and it isn't a dead one that nobody has asked for."""
    try:
        return bool(Path(f"/proc/{number}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_job_has_modules_variables_and_commands(configure: Configure, tmp_path: Path) -> None:
    config = configure(
        module_loads=[f"use:{tmp_path}/modules", "tool"],
        environment_variables={"GREETING": "it's $HOME"},
        pre_execution_commands=["export LATE=$GREETING", "ulimit -c 0", "sleep 4 &"],
    )
    names = "TOOL_HOME", "GREETING", "LATE", "CLUSTRIX_SCRIPT"
    expected = ["/apps/tool", "it's $HOME", "it's $HOME", None]
    assert cluster(values_of).submit(config, *names).result(90) == expected
    assert cluster(values_of)(config, *names) == expected  # what a worker process would do, too
    assert list(cluster(values_of).map([config] * 2, names[:2])) == [expected[:1], expected[1:2]]
    with ClusterExecutor(config) as executor:
        assert executor.submit(core_limit, config).result(90) == 0
    assert "TOOL_HOME" not in os.environ


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"module_loads": ["nosuch/3"]}, r"local: the module 'nosuch/3' doesn't load.*said.*unknown"),
        ({"environment_variables": {"UID": 3}}, r"local: the variable UID can't be set.*readonly"),
        ({"pre_execution_commands": ["echo why; (exit 7)"]}, r"commands failed \(status 7\).*'why'"),
        ({"pre_execution_commands": ["exit 7"]}, r"the shell ended with status 7"),
    ],
)
def test_what_fails_is_an_error_and_nothing_is_submitted(
    configure: Configure, tmp_path: Path, fields: dict[str, object], said: str
) -> None:
    config = configure(**fields)
    with pytest.raises(ConfigError, match=said):
        cluster(values_of).submit(config, "HOME")
    assert records.all_records() == []
    assert not (tmp_path / "home/.clustrix").exists()
    assert cluster_ls(".", config) == []


def test_a_command_that_hangs_ends_by_ctrl_c_and_nothing_is_submitted(
    configure: Configure, tmp_path: Path
) -> None:
    config = configure(pre_execution_commands=[f"echo $$ >{tmp_path}/shell; sleep 1000 & wait"])

    def interrupt() -> None:
        while not ((tmp_path / "shell").exists() and (tmp_path / "shell").read_text()):
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        cluster(values_of).submit(config, "HOME")
    number = (tmp_path / "shell").read_text().strip()
    while is_alive(number):
        time.sleep(0.01)
    assert not list((tmp_path / "home").glob(".clustrix/jobs/*"))


def test_the_python_of_jobs_is_looked_for_in_it(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/mine").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (tmp_path / "bin/mine").chmod(0o755)
    asked = {"python_executable": "mine"}
    with pytest.raises(JobError, match="'mine' can't be used: there is no such program"):
        cluster(values_of).submit(configure(**asked), "X")
    config = configure(pre_execution_commands=[f"PATH={tmp_path}/bin:$PATH", "export X=1"], **asked)
    assert cluster(values_of).submit(config, "X").result(90) == ["1"]


def test_doctor_looks_at_it(configure: Configure, tmp_path: Path) -> None:
    def checked(**fields: object) -> dict[str, Check]:
        return {check.name: check for check in examine(lambda: configure(**fields))}

    assert "environment" not in checked()
    found = checked(module_loads=[f"use:{tmp_path}/modules", "tool"])
    assert found["environment"].detail == "set up; modules: tool/1.0"
    found = checked(module_loads=["nosuch"])
    assert (found["environment"].outcome, found["find"].outcome) == ("failed", "passed")
    assert "the module 'nosuch' doesn't load" in found["environment"].detail


def test_looking_after_jobs_sets_up_nothing(configure: Configure, tmp_path: Path) -> None:
    config = configure(pre_execution_commands=[f"echo x >>{tmp_path}/times"])
    job = cluster(values_of).submit(config, "HOME")
    longer = cluster(sleeps).submit(config, 60)
    count = (tmp_path / "times").read_text()
    job.result(90)
    longer.cancel()
    with pytest.raises(CancelledError):
        longer.result(90)
    assert (tmp_path / "times").read_text() == count
