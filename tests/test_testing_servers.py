"""The throwaway servers: real logins, isolation, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clustrix_core.testing.servers import Account, Relay, SshServer


@pytest.fixture(scope="module")
def server() -> Iterator[SshServer]:
    with SshServer() as server:
        yield server


def ssh(server: SshServer, account: Account, command: str, port: int = 0) -> subprocess.CompletedProcess[str]:
    options = {"UserKnownHostsFile": server.known_hosts, "BatchMode": "yes", "IdentitiesOnly": "yes"}
    if port:
        options["HostKeyAlias"] = f"[{server.host}]:{server.port}"
    line = ["ssh", "-F", "none", "-p", str(port or server.port), "-i", str(account.key_file)]
    line += [f"-o{name}={value}" for name, value in options.items()]
    return subprocess.run(
        [*line, f"{account.name}@{server.host}", command], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("root", "2\n"),
        ("key", "2\n"),
        ("csh", "2\n"),
        ("fish", "2\n"),
        ("restricted", "2\n"),
        ("noisy", "Welcome to the cluster!\n\x1b[2J no newline2\nbye\n"),
    ],
)
def test_accounts_with_a_key_run_commands(server: SshServer, name: str, said: str) -> None:
    done = ssh(server, server.accounts[name], "python3 -c 'print(1+1)'")
    assert (done.returncode, done.stdout) == (0, said), done.stderr


def test_accounts_without_python_or_shell(server: SshServer) -> None:
    assert ssh(server, server.accounts["nopython"], "python3 -c 1").returncode == 127
    assert "sftp connections only" in ssh(server, server.accounts["sftp"], "true").stdout


@pytest.mark.parametrize("name", ["encrypted", "password", "interactive", "two-step"])
def test_accounts_that_need_more_than_a_key(server: SshServer, name: str) -> None:
    done = ssh(server, server.accounts[name], "true")
    assert done.returncode == 255
    assert "denied" in done.stderr


def test_what_is_made_there_is_not_seen_here(server: SshServer) -> None:
    server.python(b"import sys; open(sys.argv[1], 'w').close()", [f"{server.root}/made"])
    assert ssh(server, server.accounts["key"], f"ls {server.root}").stdout == "made\n"
    assert not os.path.exists(server.root)
    assert "two-step" not in Path("/etc/passwd").read_text()


def test_a_server_restarts_with_its_files_and_key(server: SshServer) -> None:
    server.python(b"import sys; open(sys.argv[1], 'w').close()", [f"{server.root}/kept"])
    server.stop()
    assert ssh(server, server.accounts["key"], "true").returncode == 255
    server.start()
    assert "kept" in ssh(server, server.accounts["key"], f"ls {server.root}").stdout


def test_logins_are_counted(server: SshServer) -> None:
    before = server.logins()
    ssh(server, server.accounts["key"], "true")
    assert server.logins() == before + 1


def test_nothing_is_left() -> None:
    with SshServer() as server:
        base, sleeper = server.base, server.accounts["key"]
        line = ["ssh", "-F", "none", "-p", str(server.port), "-i", str(sleeper.key_file)]
        line += [f"-oUserKnownHostsFile={server.known_hosts}", "key@127.0.0.1", "echo up; exec sleep 1000"]
        client = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        there = server.processes()
        assert len(there) > 2
    client.communicate(timeout=60)
    assert not base.exists()
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in there) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [pid for pid in there if os.path.exists(f"/proc/{pid}")]


def test_a_relay_counts_delays_and_cuts(server: SshServer) -> None:
    account = server.accounts["key"]
    with Relay(server.port, rtt=0.05) as relay:
        started = time.monotonic()
        assert ssh(server, account, "true", relay.port).returncode == 0
        trips = relay.round_trips
        assert 5 < trips < 20
        assert time.monotonic() - started > 0.05 * trips * 0.8
        assert relay.connections == 1
        assert relay.received > 1000
        relay.reset()
        assert (relay.round_trips, relay.sent) == (0, 0)
        line = ["ssh", "-F", "none", "-p", str(relay.port), "-i", str(account.key_file)]
        line += [
            f"-oUserKnownHostsFile={server.known_hosts}",
            f"-oHostKeyAlias=[{server.host}]:{server.port}",
        ]
        client = subprocess.Popen([*line, "key@127.0.0.1", "echo up; cat"], stdin=-1, stdout=-1, stderr=-1)
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        relay.cut()
        assert client.wait(30) == 255
        client.communicate()
