"""`clustrix trust`, as a program."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from clustrix_core.testing.servers import SshServer


def clustrix(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clustrix", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


@pytest.fixture
def fingerprint(server: SshServer) -> str:
    command = ["ssh-keygen", "-l", "-f", str(server.known_hosts)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]


def test_it_is_listed_without_being_imported() -> None:
    assert "Make the key of a host known (clustrix-ssh)." in clustrix("--help").stdout
    assert "--fingerprint" in clustrix("trust", "--help").stdout


def test_a_key_is_added_and_then_known(server: SshServer, tmp_path: Path, fingerprint: str) -> None:
    known = tmp_path / "known"
    known.write_text("# no newline at the end")
    arguments = ["trust", "--known-hosts", str(known), "--ssh-config", "none", f"{server.host}:{server.port}"]
    asked = clustrix(*arguments)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert f"--yes --fingerprint {fingerprint}" in asked.stderr
    added = clustrix(*arguments, "--yes", "--fingerprint", fingerprint, "--json")
    assert added.returncode == 0, added.stderr
    told = json.loads(added.stdout)
    assert (told["outcome"], told["fingerprint"], told["file"]) == ("added", fingerprint, str(known))
    line = " ".join(server.known_hosts.read_text().split()[:3])
    assert known.read_text() == f"# no newline at the end\n{line}\n"
    again = clustrix(*arguments)
    assert again.returncode == 0
    assert "is known by this ED25519 key" in again.stdout


@pytest.mark.parametrize("key", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_the_question_can_be_left(server: SshServer, tmp_path: Path, key: bytes) -> None:
    known = tmp_path / "known"
    arguments = ["trust", "--known-hosts", str(known), "--ssh-config", "none", f"{server.host}:{server.port}"]
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-m", "clustrix", *arguments])
    with open(terminal, "r+b", buffering=0) as keyboard:
        shown = b""
        while b"[y/N]" not in shown:
            shown += keyboard.read(4096)
        keyboard.write(key)
        with suppress(OSError):  # Linux's way of saying that the other side is closed
            while block := keyboard.read(4096):
                shown += block
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130
    assert b"clustrix:" not in shown
    assert not known.exists()


def test_another_fingerprint_adds_nothing(server: SshServer, tmp_path: Path) -> None:
    known = tmp_path / "known"
    refused = clustrix(
        *("trust", "--known-hosts", str(known), "--ssh-config", "none"),
        *("--yes", "--fingerprint", "SHA256:other", f"{server.host}:{server.port}"),
    )
    assert refused.returncode == 1
    assert "nothing was added" in refused.stderr
    assert not known.exists()


def test_a_changed_key_is_refused(server: SshServer, tmp_path: Path) -> None:
    known = tmp_path / "known"
    other = Path(f"{server.accounts['fish'].key_file}.pub").read_text()
    known.write_text(f"{server.known_hosts.read_text().split()[0]} {other}")
    refused = clustrix(
        "trust", "--known-hosts", str(known), "--ssh-config", "none", f"{server.host}:{server.port}"
    )
    assert refused.returncode == 1
    assert "its host key has changed" in refused.stderr
    assert "ssh-keygen" in refused.stderr


def test_yes_needs_a_fingerprint() -> None:
    refused = clustrix("trust", "--yes", "somewhere")
    assert refused.returncode == 2
    assert "--yes needs --fingerprint" in refused.stderr
