"""Files of known hosts: what they say of a host, and how a host is added.

The format is that of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. Lines that can't be read are passed over, as ssh
does, and so are those of certificate authorities, since certificates of hosts are not used here.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

import paramiko

from clustrix_core.errors import HostKeyError, printable

PORT = 22


class HostKey(NamedTuple):
    """A host's public key.

    Attributes:
        kind: such as `ssh-ed25519`.
        blob: the key itself, as SSH sends it.
    """

    kind: str
    blob: bytes

    @classmethod
    def of(cls, key: paramiko.PKey) -> HostKey:
        """The key that a server showed."""
        return cls(key.get_name(), key.asbytes())

    @property
    def fingerprint(self) -> str:
        """As `ssh` and `ssh-keygen -l` print it."""
        return "SHA256:" + base64.b64encode(sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def label(self) -> str:
        """Its kind as `ssh` prints it, and its fingerprint."""
        name = re.sub(r"^(ssh|ecdsa-sha2)-(?=.)", "", self.kind).upper()
        name = "ECDSA" if name.startswith("NISTP") else name
        return f"{name} key {self.fingerprint}"


class Entry(NamedTuple):
    """One line about a host.

    Attributes:
        key: the key.
        file: the file.
        line: the number of the line, from 1.
        revoked: whether it is marked as one that must not be used.
    """

    key: HostKey
    file: str
    line: int
    revoked: bool

    @property
    def origin(self) -> str:
        return f"{self.file}:{self.line}"


def name_of(host: str, port: int) -> str:
    """What known_hosts calls a host: with the port in brackets unless that is 22."""
    return host if port == PORT else f"[{host}]:{port}"


def entries_of(name: str, files: Iterable[str]) -> list[Entry]:
    """What the files say of a host; a file that isn't there says nothing.

    Raises:
        HostKeyError: a file can't be read, so what it forbids isn't known.
    """
    return [entry for file in files for entry in _entries_of(name.lower(), file)]


def _entries_of(name: str, file: str) -> Iterator[Entry]:
    try:
        with open(file, "rb") as opened:
            lines = opened.read().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise HostKeyError(
            f"the known hosts in {printable(file)} can't be read: {error.strerror}; make the file readable, "
            "or give another known_hosts_file"
        ) from None
    for number, line in enumerate(lines, 1):
        entry = _read(line.decode("utf-8", "replace"), name)
        if entry is not None:
            key, revoked = entry
            yield Entry(key, file, number, revoked)


def _read(line: str, name: str) -> tuple[HostKey, bool] | None:
    """The key of a line, and whether it is revoked, if the line is about this host."""
    fields = line.split()
    marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
    if len(fields) < 3 or fields[0].startswith("#") or marker not in ("", "@revoked"):
        return None
    if not _matches(name, fields[0]):
        return None
    with suppress(binascii.Error, ValueError):
        blob = base64.b64decode(fields[2], validate=True)
        kind = fields[1]
        if blob[:4] == len(kind).to_bytes(4, "big") and blob[4 : 4 + len(kind)] == kind.encode():
            return HostKey(kind, blob), marker == "@revoked"
    return None


def _matches(name: str, patterns: str) -> bool:
    if patterns.startswith("|"):
        with suppress(binascii.Error, ValueError, AssertionError, IndexError):
            return bool(paramiko.HostKeys.hash_host(name, patterns) == patterns)
        return False
    return matches(name, patterns.lower().split(","))


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name matches one of the patterns, and none that begins with `!` (ssh_config(5), PATTERNS)."""
    found = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        if _glob(pattern.removeprefix("!")).fullmatch(name):
            if negated:
                return False
            found = True
    return found


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern))


def add(name: str, key: HostKey, file: str, hashed: bool = False) -> None:
    """Append a line for a host; all else in the file stays as it is, also if others append meanwhile.

    The file, made with mode 600, and its folder, with 700, need not exist. A hashed name can't be read
    there by anybody, but is found all the same.

    Raises:
        HostKeyError: the file can't be written.
    """
    shown = paramiko.HostKeys.hash_host(name.lower()) if hashed else name
    line = f"{shown} {key.kind} {base64.b64encode(key.blob).decode()}\n".encode()
    try:
        os.makedirs(os.path.dirname(file), mode=0o700, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            ended = not size or os.pread(descriptor, 1, size - 1) == b"\n"
            os.write(descriptor, line if ended else b"\n" + line)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise HostKeyError(
            f"the key of {name} can't be added to {printable(file)}: {error.strerror}; make it writable, or "
            "give another known_hosts_file"
        ) from None
