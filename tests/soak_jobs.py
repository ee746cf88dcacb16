"""A gigabyte there and a gigabyte back by jobs on a cluster: intact, and nowhere twice in memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clustrix_core.testing.servers import SlurmCluster

SIZE = 1 << 30
BEYOND = 100 << 20
"""Bytes of memory beyond the object itself."""

CLIENT = """
import hashlib, os, sys, time
from clustrix import ClusterConfig, cluster

config = ClusterConfig(**{config})
SIZE = {size}

@cluster(config=config)
def taken(data):
    leave_peak("taken")
    return hashlib.sha256(data).hexdigest()

@cluster(config=config)
def given(size):
    leave_peak("given")
    data = os.urandom(size)
    with open("digest", "w") as file:
        file.write(hashlib.sha256(data).hexdigest())
    return data

@cluster(config=config)
def read(name):
    with open(name) as file:
        return file.read()

def leave_peak(name):
    import atexit
    atexit.register(write_peak, name)

def write_peak(name):
    with open(name + ".part", "w") as file:
        file.write(str(status("VmHWM:")))
    os.rename(name + ".part", name)

def status(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

def begin():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return status("VmRSS:")

def report(what, before):
    print(what, status("VmHWM:") - before - SIZE, flush=True)

def peak_there(name):
    for _ in range(20):
        try:
            return int(read(name))
        except FileNotFoundError:
            time.sleep(0.5)
    raise SystemExit("the job left no " + name)

read.submit("/etc/hostname").result()  # so that all is loaded

before = begin()
data = os.urandom(SIZE)
digest = hashlib.sha256(data).hexdigest()
assert taken(data) == digest, "the argument arrived otherwise"
report("argument, here", before)
del data
before = begin()
data = given(SIZE)
report("result, here", before)
assert hashlib.sha256(data).hexdigest() == read("digest"), "the result arrived otherwise"
print("argument, there", peak_there("taken") - SIZE)
print("result, there", peak_there("given") - SIZE)
"""


@pytest.fixture
def cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster() as running:
        yield running


def test_a_gigabyte_there_and_back(cluster: SlurmCluster, tmp_path: Path) -> None:
    account = cluster.accounts["root"]
    config = {
        "cluster_type": "slurm",
        "cluster_host": cluster.host,
        "cluster_port": cluster.port,
        "username": "root",
        "key_file": str(account.key_file),
        "known_hosts_file": str(cluster.known_hosts),
        "ssh_config_file": "none",
        "use_agent": False,
        "remote_work_dir": cluster.root,
        "python_executable": sys.executable,
    }
    script = tmp_path / "client.py"
    script.write_text(CLIENT.format(config=config, size=SIZE))
    (tmp_path / "home").mkdir()
    environment = {"HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(
        [sys.executable, script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=900
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    beyond = dict(line.rsplit(" ", 1) for line in ran.stdout.splitlines())
    print(ran.stdout)  # for `pytest -s`
    assert len(beyond) == 4
    assert {what: number for what, number in beyond.items() if int(number) > BEYOND} == {}
