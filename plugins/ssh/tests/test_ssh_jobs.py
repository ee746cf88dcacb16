"""Functions as jobs on a host behind SSH, over a line that breaks."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jobs_on_host import add, marks, naps

from clustrix import ClusterConfig, Job, JobArray, cluster_open
from clustrix import configure as activate
from clustrix_core import ClusterFilesystem
from clustrix_core.cli import main
from clustrix_core.config import given
from clustrix_core.jobs import records
from clustrix_core.jobs.job import Submission
from clustrix_core.testing.servers import Relay, SshServer

Configure = Callable[..., ClusterConfig]


@pytest.fixture
def work(server: SshServer) -> Iterator[str]:
    root = f"{server.root}/jobs"
    server.python(b"import os, sys; os.mkdir(sys.argv[1])", [root])
    yield root
    server.python(b"import shutil, sys; shutil.rmtree(sys.argv[1])", [root])


@pytest.fixture
def line(server: SshServer) -> Iterator[Relay]:
    with Relay(server.port, rtt=0.3) as relay:
        yield relay


@pytest.fixture
def config(configure: Configure, work: str) -> ClusterConfig:
    """As root, who has the only Python there of this version for certain."""
    return configure("root", remote_work_dir=work, python_executable=sys.executable)


@pytest.fixture
def far(configure: Configure, work: str, server: SshServer, line: Relay, tmp_path: Path) -> ClusterConfig:
    """The same over a slow line."""
    known = tmp_path / "known"
    known.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{line.port} "))
    return configure(
        "root",
        remote_work_dir=work,
        python_executable=sys.executable,
        cluster_port=line.port,
        known_hosts_file=str(known),
    )


def test_a_call_and_a_map(config: ClusterConfig, work: str) -> None:
    with cluster_open(f"{work}/data", "w", config=config) as file:
        file.write("40")
    assert add(config, 2) == 42
    array = add.map([config] * 3, range(3))
    assert isinstance(array, JobArray)
    assert list(array) == [40, 41, 42]
    again = Job.attach(array.id)
    assert isinstance(again, JobArray)
    assert list(again) == [40, 41, 42]


def test_cancelling(config: ClusterConfig) -> None:
    array = naps.map([config] * 3, [0.1, 1000, 1000])
    assert array.jobs[0].result(90) == 0.1
    array.cancel()
    assert [job.state for job in array.jobs] == ["completed", "cancelled", "cancelled"]


@pytest.mark.parametrize("moment", [0.1, 0.2, 0.3, 0.4, 0.5])
def test_a_line_that_breaks_during_a_submission(far: ClusterConfig, line: Relay, moment: float) -> None:
    with ClusterFilesystem(far) as place:
        assert place.isdir(".")
        cut = threading.Timer(moment, line.cut)
        cut.start()
        job = marks.submit(far, "seen")
        assert job.result(90) == "seen"
        cut.join()
        time.sleep(1.0)
        with place.open("seen") as file:
            assert file.read() == "x"


def test_a_warm_submission_is_one_round_trip(
    far: ClusterConfig, line: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Submission, "followed", lambda self: self)
    marks.submit(far, "first")
    line.reset()
    marks.submit(far, "second")
    assert line.round_trips == 1
    assert line.sent < 20_000


def test_passwords_are_those_of_the_active_config(
    configure: Configure, server: SshServer, capsys: pytest.CaptureFixture[str]
) -> None:
    password = server.accounts["password"].password
    config = configure("password", password=password)
    fields = {name: value for name, value in given(config).items() if name != "password"}
    record = records.save(records.new("f", None, ClusterConfig(**fields)))
    assert main(["jobs"]) == 3
    assert "no password is known" in capsys.readouterr().err
    activate(ClusterConfig(**{**fields, "cluster_host": "localhost"}), password="hunter3")
    assert records.config_of(record) == ClusterConfig(**fields)
    activate(config.model_copy(update={"remote_work_dir": "/elsewhere"}))
    try:
        assert records.config_of(record) == config
        assert main(["jobs"]) == 0
    finally:
        activate()
    told = capsys.readouterr()
    assert (told.out.split()[-1], told.err) == ("unknown", "")
