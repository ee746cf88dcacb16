from __future__ import annotations

import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig, cluster, cluster_put
from clustrix_core.testing import BackendSuite, Place

# A mount namespace of its own, in which /mnt is a disk that nobody else sees.
CONTAINER = """
mount -t tmpfs tmpfs /mnt && mkdir /mnt/root /mnt/home && chmod 755 /mnt /mnt/root
mkdir /mnt/home/sub && echo > /mnt/home/notes.csv && echo > /mnt/home/.profile
echo > /mnt/home/sub/more.csv && echo ready && exec sleep infinity
"""


@pytest.fixture(scope="module")
def place(monkeypatch_module):
    monkeypatch_module.setenv("HOME", "/mnt/home")
    command = ["unshare", "--mount", "sh", "-c", CONTAINER]
    container = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert container.stdout.readline() == b"ready\n"
        yield place_in(container.pid)
    finally:
        container.kill()
        container.communicate()


def place_in(pid):
    def python(source, arguments):
        enter = ["nsenter", "--mount", f"--target={pid}", "python3", "-I", "-S", "-"]
        command = [*enter, *arguments]
        return subprocess.run(
            command, input=source, stdout=subprocess.PIPE, check=True
        ).stdout

    config = ClusterConfig(
        cluster_type="container", container_pid=pid, remote_work_dir="/mnt/root"
    )
    nobody = config.model_copy(update={"run_as": 65534})
    return Place(config, "/mnt/root", python, lambda: nullcontext(nobody))


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield monkeypatch


class TestContainer(BackendSuite):
    pass


def test_a_function_runs_in_the_container(place, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert not Path("/mnt/root").exists()
    (tmp_path / "note").write_text("written here")
    cluster_put(str(tmp_path / "note"), "note", place.config)

    @cluster(config=place.config)
    def read(name):
        return Path(name).read_text(), Path.cwd()

    assert read("note") == ("written here", Path("/mnt/root"))
    assert [text for text, _ in read.map(["note", "note"])] == ["written here"] * 2
