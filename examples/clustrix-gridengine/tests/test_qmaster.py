"""`clustrix doctor` asks a real qmaster, from elsewhere and on the cluster."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig, ClusterFilesystem, ConfigError
from clustrix_core.doctor import Concern, Fault
from clustrix_gridengine import GridEngineBackend, GridEngineConfig

ANSWER = r"SGE \d+\.\S+, qmaster on \S+, 1 queues, \d jobs"


@pytest.fixture
def ask(configure):
    """Takes the last step of the backend's diagnosis, and says what it found."""

    def take(**fields):
        backend = GridEngineBackend(configure(model=GridEngineConfig, **fields))
        try:
            step = backend.diagnose()[-1]
            assert step.name == "scheduler"
            return step.run()
        finally:
            backend.close()

    return take


def test_qmaster_answers(ask) -> None:
    assert re.fullmatch(ANSWER, ask())


def test_jobs_are_counted(ask, cluster) -> None:
    end = time.monotonic() + 60
    while cluster.sh("qstat -u '*'"):  # what other tests have cancelled takes a moment to go
        assert time.monotonic() < end
        time.sleep(0.2)
    submitted = cluster.sh("runuser -u key -- qsub -terse -h -b y true")
    assert ask().endswith("1 queues, 1 jobs")
    cluster.sh('qdel "$1"', submitted.strip())


def test_settings_are_read(ask) -> None:
    settings = "/var/lib/gridengine/default/common/settings.sh"
    assert ask(sge_settings=settings).startswith("SGE ")
    with pytest.raises(Fault, match="no/such/settings"):
        ask(sge_settings="/no/such/settings.sh")


def test_no_queue(ask, cluster) -> None:
    queue = cluster.sh("qconf -sq all.q")
    cluster.sh("runuser -u sgeadmin -- qconf -dq all.q")
    found = ask()
    assert isinstance(found, Concern)
    assert "0 queues" in found.detail
    cluster.sh('echo "$1" >/run/queue; runuser -u sgeadmin -- qconf -Aq /run/queue', queue)


def test_qmaster_is_down(ask, configure, cluster) -> None:
    cluster.stop()
    try:
        with pytest.raises(Fault, match="unable to send message to qmaster"):
            ask()
        with ClusterFilesystem(configure()) as fs:  # the files are there all the same
            assert fs.exists(".")
    finally:
        cluster.start()


def test_on_the_cluster_itself(cluster) -> None:
    command = [sys.executable, "-m", "clustrix", "doctor", "--type", "gridengine", "--json"]
    done = cluster.server.namespace.run(["env", f"HOME={cluster.server.accounts['root'].home}", *command])
    assert done.returncode == 0, done
    told = json.loads(done.stdout)
    assert re.search(ANSWER, json.dumps(told))


def test_here_is_no_cluster(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert shutil.which("qconf") is None
    fs = ClusterFilesystem(ClusterConfig(cluster_type="gridengine"))
    with pytest.raises(ConfigError, match=r"'gridengine' without a cluster_host.*no qconf on the PATH"):
        fs.ls()


def test_readme_has_its_field() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    description = GridEngineConfig.model_fields["sge_settings"].description
    assert f"| `sge_settings` | none | {description} |\n" in readme
