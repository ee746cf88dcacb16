"""A real sshd in a mount namespace of its own, with accounts that exist there alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from clustrix_core.testing.servers.namespace import Namespace

PATIENCE = 20.0  # seconds that a server may take to start or to stop

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {base}/host_key
PidFile none
StrictModes no
UsePAM yes
PasswordAuthentication yes
KbdInteractiveAuthentication yes
PermitRootLogin yes
AuthorizedKeysFile {base}/authorized/%u
Subsystem sftp internal-sftp
MaxStartups 100:30:200
LogLevel VERBOSE
PrintMotd no
Match User password
    AuthenticationMethods password
Match User interactive
    AuthenticationMethods keyboard-interactive
Match User two-step
    AuthenticationMethods publickey,keyboard-interactive
Match User sftp
    ForceCommand internal-sftp
"""

PAM = """
auth required pam_unix.so
auth [success=ignore default=1] pam_succeed_if.so quiet user in interactive:two-step
auth required pam_google_authenticator.so user=root secret={base}/codes
account required pam_permit.so
session required pam_permit.so
"""

NOISE = """
echo "Welcome to the cluster!"
echo "There is maintenance on Friday." >&2
trap 'echo bye' EXIT
printf '\\033[2J no newline'
cd /tmp
"""

BASHRC = {"noisy": NOISE, "exits": "echo Goodbye; exit 3"}

SETUP = """
mount -t tmpfs -o mode=755 tmpfs far
mkdir far/place far/home
for file in passwd shadow group; do mount --bind etc/$file /etc/$file; done
mount --bind etc/pam /etc/pam.d/sshd
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
sh etc/homes
"""


@dataclass(frozen=True)
class Account:
    """Somebody who can log in.

    Attributes:
        name: the user name.
        home: the home folder there.
        key_file: a private key on this machine that lets them in, or None.
        passphrase: that of the key.
        password: what they type.
    """

    name: str
    home: str
    key_file: Path | None = None
    passphrase: str | None = None
    password: str | None = None


SHELLS = {
    "key": "/bin/bash",
    "researcher": "/bin/bash",
    "encrypted": "/bin/bash",
    "password": "/bin/bash",
    "interactive": "/bin/bash",
    "two-step": "/bin/bash",
    "sftp": "/bin/bash",
    "noisy": "/bin/bash",
    "exits": "/bin/bash",
    "csh": "/bin/tcsh",
    "fish": "/usr/bin/fish",
    "restricted": "/bin/rbash",
    "nopython": "{base}/nopython",
}


class SshServer:
    """A running sshd; a context manager. It needs root.

    Attributes:
        host: where it listens.
        port: its port.
        root: a scratch folder on a disk that only the server's side sees.
        known_hosts: a file, on this machine, with its host key.
        accounts: by their names: `key` and `researcher` (ed25519), `encrypted` (a key with a passphrase),
            `password`, `interactive` (keyboard-interactive: the password, then a code), `two-step` (the key,
            then the same), `sftp` (no shell), `noisy`, `exits` (whose `.bashrc` does), `csh`, `fish`,
            `restricted` (rbash), `nopython`, and `root`, who has a key.
    """

    host = "127.0.0.1"

    def __enter__(self) -> SshServer:
        if os.geteuid() != 0:
            raise RuntimeError("the SSH server of the tests needs root, for its namespace and accounts")
        self.base = Path(tempfile.mkdtemp(prefix="clustrix-sshd-"))
        self.namespace: Namespace | None = None
        try:
            self._prepare()
            self.namespace = Namespace(self._setup(), self.base)
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.namespace is not None:
            self.namespace.close()
        shutil.rmtree(self.base)

    def _setup(self) -> str:
        """Shell commands that furnish the namespace."""
        return SETUP

    def _prepare(self) -> None:
        self.base.chmod(0o755)
        self.root = str(self.base / "far" / "place")
        for folder in ("far", "etc", "authorized", "keys", "bin"):
            (self.base / folder).mkdir()
        self.accounts = {"root": Account("root", f"{self.base}/far/home/root", self._key("root"))}
        for name in SHELLS:
            self.accounts[name] = self._account(name)
        self.new_host_key()
        self._write_accounts()
        (self.base / "etc" / "pam").write_text(PAM.format(base=self.base))
        self._secret = base64.b32encode(secrets.token_bytes(20)).decode()
        self._write_private("codes", f'{self._secret}\n" TOTP_AUTH\n" WINDOW_SIZE 17\n')
        (self.base / "bin" / "sh").symlink_to("/bin/sh")
        nopython = self.base / "nopython"
        nopython.write_text(f'#!/bin/sh\nexport PATH={self.base}/bin\nexec /bin/sh "$@"\n')
        nopython.chmod(0o755)

    def _account(self, name: str) -> Account:
        home = f"{self.base}/far/home/{name}"
        if name in ("password", "interactive"):
            return Account(name, home, password=secrets.token_urlsafe(12))
        passphrase = secrets.token_urlsafe(12) if name == "encrypted" else ""
        password = secrets.token_urlsafe(12) if name == "two-step" else None
        return Account(name, home, self._key(name, passphrase), passphrase or None, password)

    def _key(self, name: str, passphrase: str = "") -> Path:
        path = self.base / "keys" / name
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-C", name, "-N", passphrase, "-f", str(path)]
        subprocess.run(command, check=True)
        shutil.copy(f"{path}.pub", self.base / "authorized" / name)
        return path

    def _write_private(self, name: str, text: str) -> None:
        path = self.base / name
        path.touch(0o600)
        path.write_text(text)

    def _write_accounts(self) -> None:
        passwd = ["root:x:0:0::{base}/far/home/root:/bin/bash", "nobody:x:65534:65534::/:/usr/sbin/nologin"]
        passwd.append("sshd:x:64999:65534::/run/sshd:/usr/sbin/nologin")
        shadow = ["root:*:19000:0:99999:7:::"]
        group = ["root:x:0:", "nogroup:x:65534:"]
        homes = ["umask 022"]
        for number, account in enumerate(self.accounts.values()):
            user, home = 64000 + number, account.home
            if account.name != "root":
                passwd.append(f"{account.name}:x:{user}:{user}::{home}:{SHELLS[account.name]}")
                shadow.append(f"{account.name}:{_hashed(account.password)}:19000:0:99999:7:::")
                group.append(f"{account.name}:x:{user}:")
            homes += [
                f"mkdir -p {home}/sub",
                f"cd {home}",
                "echo >notes.csv; echo >.profile; echo >sub/more.csv",
            ]
            if account.name in BASHRC:
                homes.append(f"cat >.bashrc <<'EOF'\n{BASHRC[account.name]}\nEOF")
            if account.name != "root":
                homes.append(f"chown -R {user}:{user} {home}")
        etc = self.base / "etc"
        (etc / "passwd").write_text("\n".join(passwd).format(base=self.base) + "\n")
        (etc / "group").write_text("\n".join(group) + "\n")
        (etc / "homes").write_text("\n".join(homes) + "\n")
        self._write_private("etc/shadow", "\n".join(shadow) + "\n")

    def new_host_key(self) -> None:
        """Make another host key, which the next start presents, and which `known_hosts` doesn't know."""
        path = self.base / "host_key"
        for file in (path, path.with_suffix(".pub")):
            file.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)

    def start(self) -> None:
        """Start sshd, on the same port as before."""
        first = not hasattr(self, "port")
        for _ in range(10):
            if first:
                self.port = free_port()
            config = self.base / "sshd_config"
            config.write_text(CONFIG.format(port=self.port, base=self.base))
            sshd = self._inside().start(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)], self.base / "log")
            if self._answers(sshd):
                break
            sshd.kill()
        else:
            raise RuntimeError(f"sshd doesn't start: {self.log()[-2000:]}")
        self.known_hosts = self.base / "known_hosts"
        if first:
            key = (self.base / "host_key.pub").read_text().split()[:2]
            self.known_hosts.write_text(f"[{self.host}]:{self.port} {' '.join(key)}\n")

    def _answers(self, sshd: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and sshd.poll() is None:
            try:
                with socket.create_connection((self.host, self.port), 1) as line:
                    return line.recv(4) == b"SSH-"
            except OSError:
                time.sleep(0.01)
        return False

    def stop(self) -> None:
        """Kill sshd with all that was started by way of it. What is on its disk stays."""
        self._inside().kill()

    def processes(self) -> list[int]:
        """The ids of all processes in there, sshd's included."""
        return self._inside().processes()

    def _inside(self) -> Namespace:
        assert self.namespace is not None
        return self.namespace

    def python(self, source: bytes, arguments: list[str]) -> bytes:
        """Run a script there, as root: `Place.python`."""
        done = self._inside().run([sys.executable, "-I", "-S", "-", *arguments], source)
        if done.returncode:
            raise RuntimeError(f"the script failed: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def log(self) -> str:
        """What sshd has logged."""
        return (self.base / "log").read_text(errors="replace")

    def logins(self) -> int:
        """How many logins succeeded."""
        return len(re.findall(r"Accepted \S+ for ", self.log()))

    def code(self) -> str:
        """The code that `interactive` and `two-step` are asked for now (RFC 6238)."""
        counter = struct.pack(">Q", int(time.time()) // 30)
        digest = hmac.new(base64.b32decode(self._secret), counter, hashlib.sha1).digest()
        start = digest[-1] & 15
        return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def _hashed(password: str | None) -> str:
    if password is None:
        return "*"
    command = ["openssl", "passwd", "-6", "-stdin"]
    return subprocess.run(command, input=password, capture_output=True, check=True, text=True).stdout.strip()


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
