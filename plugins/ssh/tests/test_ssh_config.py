"""~/.ssh/config, read as the program `ssh` reads it: `ssh -G` tells what it makes of a file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from clustrix_core.errors import ConfigError
from clustrix_ssh.config import SshConfig
from clustrix_ssh.settings import Settings, settings_of

FILES = {
    "the first value counts": "Host x\n  User a\n  User b\nHost *\n  User c\n  Port 77\n",
    "a comment behind a value": "Host x # the machine\n  Port 77 # odd\n  User a\n",
    "a comment is no pattern": "Host y # x\n  Port 77\n",
    "equals signs": "Host=x\n  User=a\n  Port = 77\n",
    "quotes": 'Host "x"\n  User "a"\n  "Port" 77\n  UserKnownHostsFile "/a b" \'/c d\'\n',
    "an escaped quote": 'Host x\n  UserKnownHostsFile "/a\\"b" /c\\ d\n',
    "upper case": "HOST x\n  PORT 77\n",
    "tabs and carriage returns": "Host\tx\ty\r\n\tPort\t77\r\n",
    "negated patterns": "Host * !x\n  User a\nHost ? !y\n  User b\n",
    "brackets mean nothing": "Host [x]\n  User a\n",
    "commas mean nothing": "Host x,y\n  User a\n",
    "keys add up": "IdentityFile /a\nHost x\n  IdentityFile /b\nHost *\n  IdentityFile /a\n",
    "times": "Host x\n  ConnectTimeout 1m30\n  ServerAliveInterval 2m\n",
    "Match host": "Host x\n  HostName x.edu\nMatch host x.edu\n  User a\n",
    "Match host before its name is known": "Match host x.edu\n  User a\nHost x\n  HostName x.edu\n",
    "Match final": "Match final host x.edu\n  User a\nHost x\n  HostName x.edu\n",
    "Match user before it is known": "Match user a\n  Port 77\nHost *\n  User a\n",
    "Match user": "Host *\n  User a\nMatch user b,a\n  Port 77\n",
    "Match !originalhost": "Match !originalhost y,z\n  Port 77\n",
    "Match with an equals sign": "Match host=x\n  Port 77\n",
    "Match exec": 'Match exec "test %n = x"\n  Port 77\nMatch exec "test %n = y"\n  User a\n',
    "Match all": "Match host y\n  Port 76\nMatch all\n  Port 77\n",
    "a jump before a command": "Host x\n  ProxyJump j\nHost *\n  ProxyCommand nc %h %p\n",
    "a command before a jump": "Host x\n  ProxyCommand nc 1 2 # a word\nHost *\n  ProxyJump j\n",
    "no command before a jump": "Host x\n  ProxyCommand none\nHost *\n  ProxyJump j\n",
    "no jump before a command": "Host x\n  ProxyJump none\nHost *\n  ProxyCommand nc 1 2\n",
    "an included file": "Host x\n  Include {sections}\n  Port 77\n",
    "a file included where nothing applies": "Host y\n  Include {sections}\n  Port 76\nHost x\n  Port 77\n",
    "a file of no sections included where nothing applies": "Host y\n  Include {plain}\n",
    "a file included in a Match": "Match host y\n  Include {sections}\nMatch host x\n  Include {plain}\n",
    "environment variables": "UserKnownHostsFile ${{CLUSTRIX_TEST}}/a\nIdentityAgent ${{CLUSTRIX_TEST}}/b\n",
    "tokens": "Host x\n  HostName %h.edu\n  HostKeyAlias y\n  User a\n",
}


@pytest.mark.parametrize("name", FILES)
def test_as_ssh_reads_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTRIX_TEST", "/env")
    sections, plain, file = (tmp_path / each for each in ("sections", "plain", "config"))
    sections.write_text("User a\nHost *\n  User b\n  IdentityFile /b\n")
    plain.write_text("User c\n")
    file.write_bytes(FILES[name].format(sections=sections, plain=plain).encode())
    told = as_ssh(file)
    found = settings_in(file)
    assert (found.user, found.host, str(found.port)) == (told["user"], told["hostname"], told["port"])
    jump = found.jumps[0].alias if found.jumps else None
    assert (jump, found.proxy_command) == (told.get("proxyjump"), told.get("proxycommand"))
    assert found.host_key_name == told.get("hostkeyalias")
    if found.identity_files_given:
        assert "\n".join(found.identity_files) == told["identityfile"]
    if "userknownhostsfile" in file.read_text().lower():
        assert " ".join(found.user_known_hosts) == told["userknownhostsfile"]
    if "identityagent" in told:
        assert found.agent == told["identityagent"]
    if "connecttimeout" in told:
        assert str(int(found.connect_timeout)) == told["connecttimeout"]
        assert str(found.keepalive) == told["serveraliveinterval"]


def as_ssh(file: Path) -> dict[str, str]:
    """What `ssh` would use, by keyword, where that isn't nothing; several values are lines."""
    line = ["ssh", "-G", "-F", str(file), "x"]
    told: dict[str, str] = {}
    for each in subprocess.run(line, check=True, capture_output=True, text=True).stdout.splitlines():
        keyword, _, value = each.partition(" ")
        if value != "none" and (keyword, value) != ("connecttimeout", "0"):
            told[keyword] = f"{told[keyword]}\n{value}" if keyword == "identityfile" in told else value
    return told


def settings_in(file: Path, host: str = "x") -> Settings:
    return settings_of(SshConfig(cluster_type="ssh", cluster_host=host, ssh_config_file=str(file)))


def test_tokens(tmp_path: Path) -> None:
    """`ssh -G` leaves them as they are."""
    file = tmp_path / "config"
    file.write_text(
        "Host x\n  HostName %h.edu\n  User a\n  Port 77\n  IdentityFile %d/%%h/%h/%n/%p/%r/%i\n"
        "  ProxyCommand nc '%h' %p  # %r\n"
    )
    found = settings_in(file)
    home = os.path.expanduser("~")
    assert found.identity_files == (f"{home}/%h/x.edu/x/77/a/{os.getuid()}",)
    assert found.proxy_command == "nc 'x.edu' 77  # a"


def test_no_key_at_all(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("IdentityFile none\n")
    found = settings_in(file)
    assert found.identity_files_given
    assert not found.identity_files


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Host x\n  Port\n", "config:2: Port has no value"),
        ("???\n", "config:1: '[?]+' makes no sense"),
        ('Host "x\n', "config:1: .*a quote has no end"),
        ("Match host\n", "config:1: Match host has no value"),
        ("Match host x localnetwork 10.0.0.0/8\n", "config:1: whether Match localnetwork holds"),
        ("IdentityFile %z\n", "%z stands for nothing"),
        ("IdentityFile ${CLUSTRIX_NO_SUCH_VARIABLE}\n", "CLUSTRIX_NO_SUCH_VARIABLE} stands for nothing"),
        ("ConnectTimeout soon\n", "ConnectTimeout 'soon'"),
        ("Include {file}\n", "files include each other"),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "config"
    file.write_text(text.replace("{file}", str(file)))
    with pytest.raises(ConfigError, match=problem):
        settings_in(file)


def test_what_is_not_understood_harms_no_other_host(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("Match host x localnetwork 10.0.0.0/8\n  Port 77\n")
    assert settings_in(file, "y").port == 22


def test_a_file_that_others_can_write_to_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".ssh" / "config"
    file.parent.mkdir()
    file.write_text("Host x\n  Port 77\n")
    config = SshConfig(cluster_type="ssh", cluster_host="x")
    assert settings_of(config).port == 77
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="others can write to it"):
        settings_of(config)
