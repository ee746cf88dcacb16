"""What is wrong is told, each in its own words, with what to do next."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig, ClusterFilesystem
from clustrix_core.errors import (
    AuthenticationFailedError,
    ConfigError,
    ConnectionFailedError,
    HostKeyError,
)
from clustrix_core.testing.servers import SshServer
from clustrix_ssh import set_prompter, wire
from clustrix_ssh.config import SshConfig
from clustrix_ssh.settings import settings_of

Configure = Callable[..., ClusterConfig]


@pytest.fixture(autouse=True)
def _nobody_answers() -> Iterator[None]:
    before = set_prompter(lambda question: None)
    yield
    set_prompter(before)


def refusal(config: ClusterConfig, kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught, ClusterFilesystem(config) as fs:
        fs.exists(".")
    assert type(caught.value) in (kind, *kind.__subclasses__())
    return str(caught.value)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


CLIENTS = pytest.mark.parametrize("client", ["paramiko", "openssh"])


def test_no_host() -> None:
    assert "needs a cluster_host" in refusal(ClusterConfig(cluster_type="ssh"), ConfigError)


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", "$(id)", "$HOME", "a\\b", "me@host", "host:22"])
def test_hosts_that_are_none(configure: Configure, host: str) -> None:
    message = refusal(configure(cluster_host=host), ConfigError)
    hints = {"me@host": "give username='me'", "host:22": "give cluster_port=22"}
    assert hints.get(host, "is no name") in message


@CLIENTS
def test_an_unknown_host_name(configure: Configure, client: str) -> None:
    message = refusal(configure(cluster_host="no.such.invalid", ssh_client=client), ConnectionFailedError)
    assert "no.such.invalid" in message


@CLIENTS
def test_a_port_where_nothing_listens(configure: Configure, client: str) -> None:
    message = refusal(configure(cluster_port=free_port(), ssh_client=client), ConnectionFailedError)
    assert "refused" in message


def test_a_host_that_does_not_answer(configure: Configure) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        message = refusal(configure(cluster_port=port, connect_timeout=0.5), ConnectionFailedError)
    assert "no SSH server answered" in message


def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float | None] = []

    class Timed(socket.socket):
        def settimeout(self, value: float | None) -> None:
            given.append(value)
            super().settimeout(value)

    settings = settings_of(
        SshConfig(cluster_type="ssh", cluster_host="127.0.0.1", ssh_config_file="none", connect_timeout=1.0)
    )
    with (
        closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as busy,
        socket.create_connection(busy.getsockname()),  # which fills its queue
    ):
        addresses = wire.resolve(replace(settings, port=busy.getsockname()[1]))
        monkeypatch.setattr(socket, "socket", Timed)
        with pytest.raises(ConnectionFailedError, match="no answer within connect_timeout=1 s"):
            wire.connect(settings, addresses * 2)
    assert given[0] == pytest.approx(0.5, abs=0.1)
    assert given[1] > 0.1


def test_a_web_server(configure: Configure) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.handle_request, daemon=True).start()
    try:
        message = refusal(configure(cluster_port=server.server_port), ConnectionFailedError)
    finally:
        server.server_close()
    assert "no SSH server answered" in message
    assert "check the port" in message


@CLIENTS
def test_a_wrong_user(configure: Configure, client: str) -> None:
    message = refusal(configure(username="nosuchuser", ssh_client=client), AuthenticationFailedError)
    assert "publickey" in message
    assert "username" in message


def test_a_wrong_key(configure: Configure, server: SshServer) -> None:
    other = str(server.accounts["fish"].key_file)
    message = refusal(configure(key_file=other), AuthenticationFailedError)
    assert f"publickey with {other}, ED25519 key SHA256:" in message
    assert "the server takes: publickey" in message
    assert "authorized_keys" in message


def test_a_key_file_that_is_missing(configure: Configure) -> None:
    message = refusal(configure(key_file="/no/such/key"), ConfigError)
    assert "/no/such/key can't be read: No such file or directory; correct the path" in message


@pytest.mark.parametrize("content", ["", "hello", "-----BEGIN OPENSSH PRIVATE KEY-----\nxx\n-----END"])
def test_a_key_file_that_is_none(configure: Configure, tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    assert "can't be used: it is" in refusal(configure(key_file=str(tmp_path / "key")), ConfigError)


def test_a_wrong_passphrase(configure: Configure) -> None:
    message = refusal(configure("encrypted", passphrase="mellon"), AuthenticationFailedError)
    assert "the passphrase of the key" in message
    assert "mellon" not in message


def test_no_passphrase(configure: Configure) -> None:
    message = refusal(configure("encrypted"), AuthenticationFailedError)
    assert "is encrypted: give its passphrase, or add it to an agent (ssh-add)" in message


def test_a_wrong_password(configure: Configure) -> None:
    message = refusal(configure("password", password="mellon"), AuthenticationFailedError)
    assert "tried: password" in message
    assert "mellon" not in message


def test_no_password(configure: Configure) -> None:
    message = refusal(configure("password"), AuthenticationFailedError)
    assert "no password is known: set password (or CLUSTRIX_PASSWORD)" in message


def test_what_ssh_says_of_sftp(configure: Configure, tmp_path: Path) -> None:
    sftp = {"ssh_client": "openssh", "protocol": "sftp"}
    known = str(tmp_path / "known")
    assert "127.0.0.1: " in refusal(configure(known_hosts_file=known, **sftp), HostKeyError)
    assert "tells more" in refusal(configure(username="nobody", **sftp), AuthenticationFailedError)
    assert "tells more" in refusal(configure(cluster_port=free_port(), **sftp), ConnectionFailedError)


def test_no_program_ssh(configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no program ssh" in refusal(configure(ssh_client="openssh"), ConnectionFailedError)


def test_no_password_for_openssh(configure: Configure) -> None:
    message = refusal(configure("password", password="x", ssh_client="openssh"), ConfigError)
    assert "takes no password" in message


def test_a_wrong_work_dir(configure: Configure) -> None:
    assert "/no/such/folder" in refusal(configure(remote_work_dir="/no/such/folder"), ConfigError)


@CLIENTS
def test_an_unknown_host_key(configure: Configure, tmp_path: Path, server: SshServer, client: str) -> None:
    config = configure(known_hosts_file=str(tmp_path / "known"), ssh_client=client, host_key_policy="strict")
    message = refusal(config, HostKeyError)
    if client == "paramiko":
        assert "its host key is not known: ED25519 key SHA256:" in message
        assert f"clustrix trust --known-hosts {tmp_path}/known" in message
    assert not (tmp_path / "known").exists()


@CLIENTS
def test_accept_new(configure: Configure, tmp_path: Path, server: SshServer, client: str) -> None:
    known = tmp_path / "new" / "known"
    if client == "openssh":
        known.parent.mkdir()
    config = configure(known_hosts_file=str(known), host_key_policy="accept-new", ssh_client=client)
    with ClusterFilesystem(config) as fs:
        assert fs.exists(".")
    assert known.read_text().split()[:2] == server.known_hosts.read_text().split()[:2]
    if client == "paramiko":
        assert known.stat().st_mode & 0o777 == 0o600


def test_a_new_host_key_is_hashed_where_the_user_wants_that(
    configure: Configure, tmp_path: Path, server: SshServer
) -> None:
    known, file = tmp_path / "known", tmp_path / "config"
    file.write_text("HashKnownHosts yes\n")
    fields = {"known_hosts_file": str(known), "ssh_config_file": str(file)}
    with ClusterFilesystem(configure(host_key_policy="accept-new", **fields)) as fs:
        assert fs.exists(".")
    assert known.read_text().startswith("|1|")
    with ClusterFilesystem(configure(host_key_policy="strict", **fields)) as fs:
        assert fs.exists(".")


@CLIENTS
def test_no_host_key_checking_takes_new_keys_alone(
    configure: Configure, tmp_path: Path, server: SshServer, client: str
) -> None:
    name = server.known_hosts.read_text().split()[0]
    known, file = tmp_path / "known", tmp_path / "config"
    file.write_text("StrictHostKeyChecking no\n")
    fields = {"known_hosts_file": str(known), "ssh_config_file": str(file), "ssh_client": client}
    with ClusterFilesystem(configure(**fields)) as fs:
        assert fs.exists(".")
    other = Path(f"{server.accounts['fish'].key_file}.pub").read_text()
    known.write_text(f"{name} {other}")
    refusal(configure(**fields, remote_work_dir="/"), HostKeyError)


@CLIENTS
@pytest.mark.parametrize("policy", ["strict", "accept-new"])
def test_a_changed_host_key(
    configure: Configure, tmp_path: Path, server: SshServer, client: str, policy: str
) -> None:
    name = server.known_hosts.read_text().split()[0]
    other = Path(f"{server.accounts['fish'].key_file}.pub").read_text()
    known = tmp_path / "known"
    known.write_text(f"# a comment\n{name} {other}")
    config = configure(known_hosts_file=str(known), host_key_policy=policy, ssh_client=client)
    message = refusal(config, HostKeyError)
    assert known.read_text() == f"# a comment\n{name} {other}"
    if client == "paramiko":
        assert "its host key has changed" in message
        assert message.count("SHA256:") == 2
        assert f"{known}:2" in message
        assert f"ssh-keygen -f '{known}' -R '{name}'" in message


@CLIENTS
def test_a_host_key_that_changed_at_this_port_alone(
    configure: Configure, tmp_path: Path, server: SshServer, client: str
) -> None:
    """A key that is known for the host without the port will do only where the port has none."""
    name, key = server.known_hosts.read_text().split(maxsplit=1)
    other = Path(f"{server.accounts['fish'].key_file}.pub").read_text()
    known = tmp_path / "known"
    known.write_text(f"{server.host} {key}")
    with ClusterFilesystem(configure(known_hosts_file=str(known), ssh_client=client)) as fs:
        assert fs.exists(".")
    known.write_text(f"{name} {other}{server.host} {key}")
    refusal(configure(known_hosts_file=str(known), ssh_client=client, remote_work_dir="/"), HostKeyError)


def test_a_revoked_host_key(configure: Configure, tmp_path: Path, server: SshServer) -> None:
    line = server.known_hosts.read_text()
    known = tmp_path / "known"
    known.write_text(f"{line.rstrip()}\n@revoked * {' '.join(line.split()[1:])}\n")
    assert "is revoked" in refusal(configure(known_hosts_file=str(known)), HostKeyError)


def test_an_ssh_config_that_is_missing(configure: Configure) -> None:
    message = refusal(configure(ssh_config_file="/no/such/file"), ConfigError)
    assert "ssh_config_file '/no/such/file': there is no such file" in message


def test_an_ssh_config_that_makes_no_sense(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host *\n  Port many\n")
    message = refusal(configure(cluster_port=None, ssh_config_file=str(tmp_path / "config")), ConfigError)
    assert "Port 'many'" in message
