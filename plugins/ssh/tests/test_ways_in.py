"""Every way in, on a real server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Configure

from clustrix_core import ClusterConfig, ClusterFilesystem
from clustrix_core.errors import AuthenticationFailedError
from clustrix_core.testing.servers import SshServer
from clustrix_ssh import Question, set_prompter


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
        while not os.path.exists(path):
            assert process.poll() is None
        for name in ("two-step", "fish", "key"):
            environment = {**os.environ, "SSH_AUTH_SOCK": path}
            command = ["ssh-add", "-q", str(server.accounts[name].key_file)]
            subprocess.run(command, env=environment, check=True)
        yield path
    finally:
        process.terminate()
        process.wait()


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
