"""Every way in, on a real server."""

from __future__ import annotations

import os
import pty
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig, ClusterFilesystem
from clustrix_core.errors import AuthenticationFailedError, ConnectionFailedError
from clustrix_core.testing.servers import SshServer
from clustrix_ssh import Question, set_prompter

Configure = Callable[..., ClusterConfig]


def works(config: ClusterConfig) -> bool:
    with ClusterFilesystem(config) as fs:
        return fs.exists(".")


@pytest.fixture
def asked() -> Iterator[list[Question]]:
    """Nobody answers; the questions are kept."""
    questions: list[Question] = []

    def refuse(question: Question) -> None:
        questions.append(question)

    before = set_prompter(refuse)
    yield questions
    set_prompter(before)


@pytest.fixture
def agent(server: SshServer, tmp_path: Path) -> Iterator[str]:
    """An ssh-agent that holds three keys, that of `key` being the last."""
    path = str(tmp_path / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        while not listens(path):
            assert process.poll() is None
        for name in ("two-step", "fish", "key"):
            environment = {**os.environ, "SSH_AUTH_SOCK": path}
            command = ["ssh-add", "-q", str(server.accounts[name].key_file)]
            subprocess.run(command, env=environment, check=True)
        yield path
    finally:
        process.terminate()
        process.wait()


def listens(path: str) -> bool:
    """The socket is there a moment before anybody listens at it."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def test_a_key_file(configure: Configure) -> None:
    assert works(configure())


def test_an_encrypted_key_with_its_passphrase(configure: Configure, server: SshServer) -> None:
    assert works(configure("encrypted", passphrase=server.accounts["encrypted"].passphrase))


def test_an_encrypted_key_whose_passphrase_is_asked_for(configure: Configure, server: SshServer) -> None:
    seen: list[Question] = []

    def answer(question: Question) -> list[str]:
        seen.append(question)
        return ["wrong" if len(seen) == 1 else str(server.accounts["encrypted"].passphrase)]

    before = set_prompter(answer)
    try:
        assert works(configure("encrypted"))
    finally:
        set_prompter(before)
    assert [question.prompts[0][1] for question in seen] == [False, False]
    assert "Passphrase of the key" in seen[0].prompts[0][0]


def test_no_passphrase_is_asked_for_a_key_that_is_no_use(
    configure: Configure, server: SshServer, asked: list[Question]
) -> None:
    encrypted = server.accounts["encrypted"].key_file
    with pytest.raises(AuthenticationFailedError, match="login was refused"):
        works(configure("key", key_file=str(encrypted)))
    assert not [question for question in asked if "Passphrase" in question.prompts[0][0]]


def test_a_key_of_the_agent(configure: Configure, agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    assert works(configure(key_file=None, use_agent=True))


@pytest.mark.parametrize("where", ["agent", "beside the key"])
def test_a_certificate(
    configure: Configure,
    server: SshServer,
    agent: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    """Of an RSA key in the agent, which alone is not let in."""
    monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    authority, key = tmp_path / "authority", tmp_path / "key"
    for path, kind in ((authority, "ed25519"), (key, "rsa")):
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
    if where == "beside the key":
        subprocess.run(["ssh-add", "-q", key], check=True)
    line = ["ssh-keygen", "-q", "-s", authority, "-I", "me", "-n", "key", f"{key}.pub"]
    subprocess.run(line, check=True)
    if where == "agent":
        subprocess.run(["ssh-add", "-q", key], check=True)
    else:
        subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", key], check=True, capture_output=True)
    authorized = server.base / "authorized" / "key"
    before = authorized.read_text()
    authorized.write_text(f"cert-authority {authority.with_suffix('.pub').read_text()}")
    try:
        assert works(configure(key_file=None if where == "agent" else str(key), use_agent=True))
    finally:
        authorized.write_text(before)


def test_an_agent_that_is_gone_is_no_error(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere/agent")
    assert works(configure(use_agent=True))


def test_a_password(configure: Configure, server: SshServer) -> None:
    assert works(configure("password", password=server.accounts["password"].password))


def test_a_password_that_is_asked_for(configure: Configure, server: SshServer) -> None:
    before = set_prompter(lambda question: [str(server.accounts["password"].password)])
    try:
        assert works(configure("password"))
    finally:
        set_prompter(before)


@pytest.mark.parametrize("account", ["interactive", "two-step"])
def test_two_factors(configure: Configure, server: SshServer, account: str) -> None:
    """The configured password answers its prompt; the code is asked for."""
    seen: list[Question] = []

    def answer(question: Question) -> list[str]:
        seen.append(question)
        return [server.code()]

    before = set_prompter(answer)
    try:
        assert works(configure(account, password=server.accounts[account].password))
    finally:
        set_prompter(before)
    assert len(seen) == 1
    assert "code" in seen[0].prompts[0][0].lower()


def test_nobody_to_answer(configure: Configure, server: SshServer, asked: list[Question]) -> None:
    with pytest.raises(AuthenticationFailedError, match=r"it asks '.*ode.*set_prompter") as caught:
        works(configure("interactive", password=server.accounts["interactive"].password))
    assert str(server.accounts["interactive"].password) not in str(caught.value)


@pytest.mark.parametrize("account", ["noisy", "csh", "fish", "restricted"])
def test_login_shells(configure: Configure, account: str) -> None:
    assert works(configure(account, protocol="agent"))


@pytest.mark.parametrize("account", ["sftp", "nopython"])
@pytest.mark.parametrize("client", ["paramiko", "openssh"])
def test_sftp_where_no_agent_starts(configure: Configure, account: str, client: str) -> None:
    assert works(configure(account, ssh_client=client))


def test_how_it_is_reached_is_told(configure: Configure, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="clustrix.trace")
    for fields, told in (
        ({}, "paramiko, agent, Python 3."),
        ({"account": "nopython"}, "paramiko, SFTP (no Python there)"),
        ({"protocol": "sftp"}, "paramiko, SFTP"),
        ({"ssh_client": "openssh"}, "openssh, agent, Python 3."),
    ):
        with ClusterFilesystem(configure(extensions=("trace",), **fields)) as fs:
            assert fs.description().endswith("not connected")
            assert fs.exists(".")
            assert fs.description().startswith(told)
        assert f"ssh 127.0.0.1 ({told}" in caplog.records[-1].getMessage()


def test_a_login_file_that_exits(configure: Configure) -> None:
    """No command can run there, but the SFTP server needs no shell."""
    with ClusterFilesystem(configure("exits")) as fs:
        assert fs.exists(".")
        assert "SFTP" in fs.description()


@pytest.mark.parametrize("client", ["paramiko", "openssh"])
def test_a_login_file_that_exits_and_no_sftp(configure: Configure, client: str) -> None:
    with pytest.raises(ConnectionError, match="the agent did not start"):
        works(configure("exits", protocol="agent", ssh_client=client))


def test_a_master_connection_is_used(configure: Configure, server: SshServer, tmp_path: Path) -> None:
    """What `ssh` has logged in once needs no second login."""
    file = tmp_path / "config"
    file.write_text(
        f"Host {server.host}\n  ControlMaster auto\n  ControlPath {tmp_path}/c\n  ControlPersist 60\n"
    )
    before = server.logins()
    config = configure(ssh_client="openssh", ssh_config_file=str(file))
    line = ["ssh", "-F", str(file), "-p", str(server.port), "-l", "key"]
    line += ["-o", f"UserKnownHostsFile={server.known_hosts}", "-i", str(server.accounts["key"].key_file)]
    try:
        subprocess.run(
            [*line, server.host, "true"], check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert works(config)
        assert server.logins() - before == 1
    finally:
        subprocess.run([*line, "-O", "exit", server.host], check=True, stderr=subprocess.DEVNULL)


def test_what_a_terminal_of_the_user_would_run_is_not_run(configure: Configure, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("Host *\n  RemoteCommand tmux\n  RequestTTY yes\n")
    assert works(configure(ssh_client="openssh", ssh_config_file=str(file)))


def test_hashed_known_hosts(configure: Configure, server: SshServer, tmp_path: Path) -> None:
    file = tmp_path / "known"
    file.write_text(server.known_hosts.read_text())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert server.host not in file.read_text()
    assert works(configure(known_hosts_file=str(file)))


ASKING = """
import sys
from clustrix_core import ClusterConfig, ClusterFilesystem
fields = {fields!r}
print(ClusterFilesystem(ClusterConfig(**fields)).exists("."))
"""


def test_the_terminal_is_asked(configure: Configure, server: SshServer, tmp_path: Path) -> None:
    """A password, then a code, typed at a terminal, which shows neither."""
    account = server.accounts["interactive"]
    fields = configure("interactive").model_dump(exclude_unset=True)
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-c", ASKING.format(fields=fields)])
    try:
        seen = until(terminal, "Password")
        os.write(terminal, f"{account.password}\n".encode())
        seen += until(terminal, "code")
        os.write(terminal, f"{server.code()}\n".encode())
        seen += until(terminal, "True")
    finally:
        os.close(terminal)
        os.waitpid(process, 0)
    assert f"({account.name}@{server.host}:{server.port})" in seen
    assert str(account.password) not in seen


def test_completion_asks_nothing(server: SshServer) -> None:
    variables = {
        "_CLUSTRIX_COMPLETE": "bash_complete",
        "COMP_LINE": "clustrix ls not",
        "COMP_WORD": "not",
        "CLUSTRIX_CLUSTER_TYPE": "ssh",
        "CLUSTRIX_CLUSTER_HOST": server.host,
        "CLUSTRIX_CLUSTER_PORT": str(server.port),
        "CLUSTRIX_USERNAME": "password",
        "CLUSTRIX_KNOWN_HOSTS_FILE": str(server.known_hosts),
        "CLUSTRIX_SSH_CONFIG_FILE": "none",
    }
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, [sys.executable, "-m", "clustrix"], {**os.environ, **variables})
    try:
        with suppress(OSError):  # Linux's way of saying that the other side is closed
            assert os.read(terminal, 4096) == b""
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


def until(terminal: int, words: str) -> str:
    """What appears on a terminal, up to these words."""
    seen = ""
    while words.lower() not in seen.lower():
        assert select.select([terminal], [], [], 60)[0], f"nothing more after {seen!r}"
        try:
            seen += os.read(terminal, 4096).decode(errors="replace")
        except OSError:
            raise AssertionError(f"it ended after {seen!r}") from None
    return seen


def test_ssh_config(configure: Configure, server: SshServer, tmp_path: Path) -> None:
    included = tmp_path / "more"
    included.write_text(f"Host work\n  IdentityFile {server.accounts['key'].key_file}\n  User nobody\n")
    file = tmp_path / "config"
    file.write_text(
        f"Include {included}\nHost w*\n  HostName {server.host}\n  Port {server.port}\n  User fish\n"
        f"  UserKnownHostsFile {server.known_hosts}\n  IdentitiesOnly yes\n"
    )
    assert works(
        ClusterConfig(cluster_type="ssh", cluster_host="work", username="key", ssh_config_file=str(file))
    )


def test_jump_hosts(server: SshServer, tmp_path: Path) -> None:
    """Over two hops to the third; all of them are the same server, by different names."""
    file = tmp_path / "config"
    lines = ["Host *", f"  UserKnownHostsFile {server.known_hosts}", "  ProxyJump first,second"]
    for name, account in (("first", "key"), ("second", "root"), ("third", "fish")):
        lines += [f"Host {name}", f"  HostName {server.host}", f"  Port {server.port}", f"  User {account}"]
        lines += [f"  IdentityFile {server.accounts[account].key_file}"]
    file.write_text("\n".join(lines) + "\n")
    before = server.logins()
    assert works(ClusterConfig(cluster_type="ssh", cluster_host="third", ssh_config_file=str(file)))
    assert server.logins() - before == 3


def test_what_a_jump_host_does_not_reach(server: SshServer, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(
        f"Host first\n  HostName {server.host}\n  Port {server.port}\n  User root\n"
        f"  IdentityFile {server.accounts['root'].key_file}\n  UserKnownHostsFile {server.known_hosts}\n"
        "Host second\n  HostName no-such-host.invalid\n  ProxyJump first\n"
    )
    config = ClusterConfig(cluster_type="ssh", cluster_host="second", ssh_config_file=str(file))
    with pytest.raises(ConnectionFailedError, match=r"reached from root@.*: Connect failed; check host"):
        works(config)


def test_a_proxy_command(configure: Configure, server: SshServer, tmp_path: Path) -> None:
    file = tmp_path / "config"
    key = server.accounts["root"].key_file
    file.write_text(
        f"Host 127.0.0.1\n  ProxyCommand ssh -F none -i {key} -o UserKnownHostsFile={server.known_hosts} "
        f"-p {server.port} -W %h:%p root@{server.host}\n"
    )
    assert works(configure(ssh_config_file=str(file)))


def test_a_proxy_command_that_fails(configure: Configure, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("Host *\n  ProxyCommand echo no way >&2; false\n")
    with pytest.raises(ConnectionError, match="ProxyCommand failed: no way"):
        works(configure(ssh_config_file=str(file)))


def test_no_secret_is_logged(
    configure: Configure, server: SshServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secret = str(server.accounts["password"].password)
    assert works(configure("password", password=secret))
    assert caplog.text
    assert secret not in caplog.text
