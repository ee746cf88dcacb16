"""`clustrix doctor` on a real server: what is well, and each thing that can be wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig, save_config
from clustrix_core.config import resolve
from clustrix_core.doctor import Check
from clustrix_core.doctor.examination import examine
from clustrix_core.testing.servers import Relay, SshServer
from clustrix_ssh import SshBackend, SshConfig, set_prompter
from clustrix_ssh.connection import STAGES
from clustrix_ssh.sftp import SftpEngine

Configure = Callable[..., ClusterConfig]

OPERATIONS = ["ls", "find", "stat", "exists", "isdir", "isfile", "glob", "du", "count_files"]
FILES = ["readlink", "open", "put and get"]
AGENT = ["Python", "login output", "agent"]
PLACE = ["work dir", "round trip", "scratch folder"]
LIMIT = 60.0  # seconds, for what would else hang


@pytest.fixture(autouse=True)
def _nobody_answers() -> Iterator[None]:
    before = set_prompter(lambda question: None)
    yield
    set_prompter(before)


def examined(config: ClusterConfig) -> dict[str, Check]:
    return {check.name: check for check in examine(lambda: config)}


def names(checks: dict[str, Check], outcome: str) -> list[str]:
    return [check.name for check in checks.values() if check.outcome == outcome]


def left_behind(server: SshServer) -> list[str]:
    """What the doctor made and did not remove, anywhere on the server's disk."""
    script = (
        b"import os, sys\n"
        b"for top, dirs, files in os.walk(sys.argv[1]):\n"
        b"    print(*(os.path.join(top, n) for n in dirs + files if 'doctor' in n), sep='\\n', end='')\n"
    )
    return server.python(script, [str(server.base / "far")]).decode().split()


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


def test_all_is_well(configure: Configure, server: SshServer) -> None:
    before = server.logins()
    checks = examined(configure())
    expected = ["config", "backend", *STAGES, *AGENT, *PLACE, *OPERATIONS, *FILES, "clean-up"]
    expected.remove("jump hosts")
    assert names(checks, "passed") == list(checks) == expected
    assert server.logins() - before == 1
    assert checks["name resolution"].detail == "127.0.0.1 is 127.0.0.1"
    assert checks["TCP connection"].detail == f"to 127.0.0.1, port {server.port}"
    assert "OpenSSH" in checks["SSH server"].detail
    assert "ED25519 key SHA256:" in checks["host key"].detail
    assert f"as key, by publickey with {server.accounts['key'].key_file}" in checks["authentication"].detail
    assert "python" in checks["Python"].detail
    assert checks["find"].detail == "as it was made"
    assert left_behind(server) == []


@pytest.mark.parametrize("client", ["paramiko", "openssh"])
@pytest.mark.parametrize("account", ["csh", "fish", "restricted"])
def test_other_shells(configure: Configure, account: str, client: str) -> None:
    checks = examined(configure(account, ssh_client=client))
    assert names(checks, "passed") == list(checks)
    assert checks["agent"].detail.startswith(f"{client}, agent, Python 3.")


@pytest.mark.parametrize("account", ["interactive", "two-step"])
def test_two_factors(configure: Configure, server: SshServer, account: str) -> None:
    set_prompter(lambda question: [server.code()])
    password = str(server.accounts[account].password)
    checks = examined(configure(account, password=password))
    assert names(checks, "passed") == list(checks)
    assert "keyboard-interactive" in checks["authentication"].detail
    assert ("publickey" in checks["authentication"].detail) == (account == "two-step")
    assert password not in str(checks)


def test_jump_hosts(server: SshServer, tmp_path: Path) -> None:
    file = tmp_path / "config"
    lines = ["Host *", f"  UserKnownHostsFile {server.known_hosts}"]
    for name, account in (("first", "root"), ("second", "key")):
        lines += [f"Host {name}", f"  HostName {server.host}", f"  Port {server.port}", f"  User {account}"]
        lines += [f"  IdentityFile {server.accounts[account].key_file}"]
    file.write_text("\n".join([*lines, "  ProxyJump first"]) + "\n")
    config = ClusterConfig(cluster_type="ssh", cluster_host="second", ssh_config_file=str(file))
    checks = examined(config)
    assert names(checks, "passed") == list(checks)
    assert checks["jump hosts"].detail == f"root@127.0.0.1:{server.port} (first)"
    file.write_text(
        file.read_text().replace(f"IdentityFile {server.accounts['root'].key_file}", "User nobody")
    )
    failed = examined(config)
    assert names(failed, "failed") == ["jump hosts"]
    assert "(first)" in failed["jump hosts"].detail


def refused(checks: dict[str, Check], step: str, *words: str) -> None:
    """See that this step failed, and that all before it passed and all after it were left out."""
    steps = list(checks)
    place = steps.index(step)
    assert checks[step].outcome == "failed", checks[step]
    assert names(checks, "passed") == steps[:place]
    assert names(checks, "left out") == steps[place + 1 :]
    assert steps[-1] == "clean-up"
    for word in words:
        assert word in checks[step].detail


def test_a_wrong_host_name(configure: Configure) -> None:
    refused(examined(configure(cluster_host="no.such.invalid")), "name resolution", "no.such.invalid", "VPN")


def test_a_closed_port(configure: Configure) -> None:
    checks = examined(configure(cluster_port=free_port()))
    refused(checks, "TCP connection", "nothing listens at this port; check cluster_port")


def test_a_server_of_another_kind(configure: Configure) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        checks = examined(configure(cluster_port=port, connect_timeout=0.5))
    refused(checks, "SSH server", "no SSH server answered")


def test_an_unknown_host_key(configure: Configure, tmp_path: Path) -> None:
    checks = examined(configure(known_hosts_file=str(tmp_path / "known")))
    refused(checks, "host key", "its host key is not known", "clustrix trust")


def test_a_wrong_key(configure: Configure, server: SshServer) -> None:
    checks = examined(configure(key_file=str(server.accounts["fish"].key_file)))
    refused(checks, "authentication", "the login was refused", "authorized_keys")


def test_a_key_file_that_is_missing(configure: Configure) -> None:
    refused(examined(configure(key_file="/no/such/key")), "SSH settings", "/no/such/key can't be read")


def test_a_config_that_is_wrong(configure: Configure) -> None:
    checks = examined(ClusterConfig(cluster_type="ssh"))
    assert names(checks, "failed") == ["backend"]
    assert "needs a cluster_host" in checks["backend"].detail


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cluster_host": "no.such.invalid"}, "resolve"),
        ({"username": "nosuchuser"}, "Permission denied"),
        ({"known_hosts_file": "/dev/null", "host_key_policy": "strict"}, "Host key verification failed"),
    ],
)
def test_what_the_program_ssh_complains_of(
    configure: Configure, fields: dict[str, object], words: str
) -> None:
    refused(examined(configure(ssh_client="openssh", **fields)), "login by ssh", words)


@pytest.mark.parametrize("client", ["paramiko", "openssh"])
def test_a_noisy_login(configure: Configure, client: str) -> None:
    checks = examined(configure("noisy", ssh_client=client))
    assert names(checks, "warned") == ["login output"]
    assert "Welcome to the cluster!" in checks["login output"].detail
    assert "maintenance on Friday" in checks["login output"].detail
    assert "interactive" in checks["login output"].advice
    assert names(checks, "failed") == []


@pytest.mark.parametrize("account", ["nopython", "sftp"])
@pytest.mark.parametrize("client", ["paramiko", "openssh"])
def test_no_python(configure: Configure, server: SshServer, account: str, client: str) -> None:
    checks = examined(configure(account, ssh_client=client))
    assert names(checks, "warned") == ["Python", "agent", "du"]
    if account == "nopython":
        assert "no Python 3.6 or newer found" in checks["Python"].detail
    assert "remote_python" in checks["Python"].advice
    assert "SFTP" in checks["agent"].detail
    assert "hard links" in checks["du"].detail
    assert names(checks, "failed") == []
    assert left_behind(server) == []


def test_sftp_that_is_wanted_is_no_concern(configure: Configure) -> None:
    checks = examined(configure(protocol="sftp"))
    assert names(checks, "warned") == ["du"]
    assert names(checks, "failed") == []
    assert checks["agent"].detail == "paramiko, SFTP"
    assert "Python" not in checks


def test_no_python_where_an_agent_is_wanted(configure: Configure) -> None:
    checks = examined(configure("nopython", protocol="agent"))
    refused(checks, "Python", "no Python 3.6 or newer found")


def test_a_wrong_remote_python(configure: Configure) -> None:
    checks = examined(configure(protocol="agent", remote_python="/no/such/python"))
    refused(checks, "Python", "/no/such/python")


@pytest.mark.parametrize("protocol", ["agent", "sftp"])
def test_a_wrong_work_dir(configure: Configure, protocol: str) -> None:
    checks = examined(configure(remote_work_dir="/no/such/folder", protocol=protocol))
    refused(checks, "work dir", "remote_work_dir '/no/such/folder'", "there is no such directory")


@pytest.mark.parametrize("protocol", ["agent", "sftp"])
def test_an_unwritable_work_dir(configure: Configure, server: SshServer, protocol: str) -> None:
    """What is there is read, and nothing is made."""
    server.python(
        b"import os, sys\n"
        b"os.chdir(sys.argv[1]); os.makedirs('fixed/folder', exist_ok=True); os.chdir('fixed')\n"
        b"open(b'raw\\xff', 'w').write('four'); open('a', 'w').close(); open('.b', 'w').close()\n"
        b"os.path.lexists('link') or os.symlink('folder', 'link'); os.path.lexists('~') or os.mkdir('~')\n",
        [server.root],
    )
    checks = examined(configure(remote_work_dir=f"{server.root}/fixed", protocol=protocol))
    assert [name for name in names(checks, "warned") if name != "du"] == ["scratch folder"]
    assert "Permission denied" in checks["scratch folder"].detail
    assert names(checks, "failed") == []
    assert {checks[name].detail.partition(",")[0] for name in OPERATIONS} == {
        "agrees with the others on the work dir"
    }
    assert left_behind(server) == []


def profile(tmp_path: Path, config: ClusterConfig) -> dict[str, str]:
    """The environment in which `there:` is a place."""
    save_config(resolve(config, SshConfig), tmp_path / "clustrix.yml", "there")
    return {**os.environ, "CLUSTRIX_CONFIG": str(tmp_path / "clustrix.yml")}


COMMAND = [sys.executable, "-m", "clustrix", "doctor", "there:"]


def test_the_command(configure: Configure, server: SshServer, tmp_path: Path) -> None:
    environment = profile(tmp_path, configure("noisy"))
    done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "26 passed, 1 warned, 0 failed"
    assert "passed   host key        the ED25519 key SHA256:" in done.stdout
    assert "warning  login output    the login prints" in done.stdout
    done = subprocess.run(
        [*COMMAND, "--json"], env=environment, capture_output=True, text=True, timeout=LIMIT
    )
    told = json.loads(done.stdout)
    assert (told["passed"], told["warned"], told["failed"], told["left_out"]) == (26, 1, 0, 0)
    assert told["checks"][-1]["name"] == "clean-up"


def test_the_command_where_something_fails(configure: Configure, tmp_path: Path) -> None:
    environment = profile(tmp_path, configure(cluster_port=free_port()))
    done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (3, "")
    *_, failed, left_out, summary = done.stdout.splitlines()
    assert failed.startswith("FAILED   TCP connection  key@127.0.0.1:")
    assert left_out.startswith("left out jump hosts, SSH server, host key, authentication, Python, ")
    assert summary.startswith("4 passed, 1 failed, ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_when_it_is_interrupted(
    configure: Configure, server: SshServer, tmp_path: Path, number: signal.Signals
) -> None:
    """On a line that is slow enough for a signal to arrive in the middle."""
    with Relay(server.port, 0.05) as relay:
        known = tmp_path / "known"
        known.write_text(server.known_hosts.read_text().replace(str(server.port), str(relay.port)))
        config = configure(cluster_port=relay.port, known_hosts_file=str(known))
        with subprocess.Popen(
            COMMAND,
            env=profile(tmp_path, config),
            stdout=subprocess.PIPE,
            preexec_fn=lambda: number == signal.SIGKILL or signal.signal(number, signal.SIG_DFL),
        ) as process:  # also where the tests are run by nohup
            assert process.stdout is not None
            for line in process.stdout:
                if b"scratch folder" in line:
                    break
            assert left_behind(server)
            process.send_signal(number)
            process.wait(LIMIT)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130)
    end = time.monotonic() + LIMIT
    while left_behind(server):  # the agent has to see the end of the line where nobody told it
        assert time.monotonic() < end
        time.sleep(0.05)


def test_sftp_leaves_nothing_when_it_is_interrupted(
    configure: Configure, server: SshServer, tmp_path: Path
) -> None:
    environment = profile(tmp_path, configure(protocol="sftp"))
    with subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"scratch folder" in line:
                break
        process.send_signal(signal.SIGINT)
        process.wait(LIMIT)
    assert process.returncode in (0, 130)
    assert left_behind(server) == []


def test_links_are_made_on_servers_alone_that_take_them_as_openssh_does(
    configure: Configure, server: SshServer
) -> None:
    """The draft has the two paths in the other order: there the link would be made outside the folder."""
    backend = SshBackend(resolve(configure(), SshConfig))
    try:
        engine = backend._sftp_engine()
        assert isinstance(engine, SftpEngine)
        engine.client.extensions.clear()
        refused = engine.plant("doctored", [("f", "file", "x"), ("l", "link", "file")])
        assert refused == [("link", "links are made on OpenSSH's SFTP server only")]
        assert engine.exists("doctored/file")
        engine.uproot("doctored")
        engine.uproot("doctored")
        assert left_behind(server) == []
    finally:
        backend.close()
