"""The tutorial is done as it is written, on a cluster of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clustrix_core.testing.servers import SlurmCluster

CHECKOUT = Path(__file__).parents[3]
PAGE = CHECKOUT / "docs" / "tutorial.md"

# A module that leads to a Python of this version, wherever root keeps it, and a folder of the researcher's.
PREPARE = rb"""
import os, shutil, subprocess, sys
site, python = sys.argv[1:]
os.makedirs("/scratch/python")
subprocess.run(["mount", "--bind", python, "/scratch/python"], check=True)
os.makedirs(site + "/lmod/Core/python")
with open(site + "/lmod/Core/python/3.12.lua", "w") as file:
    file.write('prepend_path("PATH", "/scratch/python/bin")\n')
    file.write('prepend_path("LD_LIBRARY_PATH", "/scratch/python/lib")\n')
os.mkdir("/scratch/flights")
shutil.chown("/scratch/flights", "researcher", "researcher")
"""


@pytest.fixture
def cluster() -> Iterator[SlurmCluster]:
    with SlurmCluster() as made:
        made.python(PREPARE, [f"{made.base}/far/site", sys.base_prefix])
        yield made


@pytest.fixture
def ssh_config(cluster: SlurmCluster, home: Path) -> None:
    folder = home / ".ssh"
    folder.mkdir()
    account = cluster.accounts["researcher"]
    (folder / "config").write_text(
        f"Host cluster.edu\n HostName {cluster.host}\n Port {cluster.port}\n"
        f" IdentityFile {account.key_file}\n"
    )


@pytest.mark.usefixtures("ssh_config")
def test_the_tutorial(home: Path) -> None:
    folder = home / "work"
    folder.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLUSTRIX", "XDG_"))}
    variables = {
        **kept,
        "MPLBACKEND": "Agg",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(CHECKOUT / "tests"),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", CHECKOUT / "tests" / "test_docs.py", PAGE],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "late.png").stat().st_size > 10_000
