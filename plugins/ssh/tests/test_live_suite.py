"""The conformance suite from the command line, on a real SSH server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig, ClusterFilesystem, save_config
from clustrix_core.config import resolve
from clustrix_core.testing.servers import SshServer
from clustrix_ssh import SshConfig
from clustrix_ssh.sftp import MISSING

Configure = Callable[..., ClusterConfig]

TESTS = "order or secret or spelling or put_and_get_carry or what_os_stat_tells or what_may_not_be_read"


def run_suite(folder: Path, config: SshConfig, *arguments: str) -> str:
    save_config(config, folder / "clustrix.yml", "cluster")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rs",
        "-p",
        "no:cacheprovider",
        "--clustrix-profile",
        "cluster",
    ]
    done = subprocess.run(
        [*command, "--pyargs", "clustrix_core.testing.conformance", "-k", TESTS, *arguments],
        cwd=folder,
        env={**os.environ, "CLUSTRIX_CONFIG": str(folder / "clustrix.yml")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize(
    ("account", "skipped"),
    [
        ("key", "the home folder wasn't made for the suite"),
        ("root", "root is let into every folder: run the suite as an ordinary user, too"),
    ],
)
def test_the_suite_runs_on_a_live_place(
    configure: Configure, tmp_path: Path, account: str, skipped: str
) -> None:
    config = resolve(configure(account, remote_work_dir="~"), SshConfig)
    with ClusterFilesystem(config) as fs:
        before = fs.ls()
        said = run_suite(tmp_path, config)
        assert skipped in said
        assert fs.ls() == before


def test_the_suite_takes_a_command_and_missing_capabilities(
    server: SshServer, configure: Configure, tmp_path: Path
) -> None:
    config = resolve(configure("key", protocol="sftp"), SshConfig)
    known = f"-F none -p {server.port} -i {config.key_file} -o UserKnownHostsFile={config.known_hosts_file}"
    python = f"ssh {known} {config.username}@{config.cluster_host} python3 -"
    said = run_suite(tmp_path, config, "--clustrix-missing", ",".join(MISSING), "--clustrix-python", python)
    assert "root is let into" not in said
