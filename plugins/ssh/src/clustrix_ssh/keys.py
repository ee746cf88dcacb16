"""Private keys: files in every format that the `cryptography` package reads, and the keys of an ssh-agent."""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from paramiko.agent import AgentSSH

from clustrix_core.errors import ConfigError, printable

LISTING = 10.0  # seconds that an agent may take to list its keys
SIGNING = 120.0  # seconds to sign: the user may have to confirm, or to touch a token

_MAGIC = b"openssh-key-v1\0"


class PassphraseNeededError(Exception):
    """The key is encrypted, and no passphrase was given."""


class WrongPassphraseError(Exception):
    """The key is encrypted with another passphrase."""


class PublicKey(NamedTuple):
    """The public half of a key.

    Attributes:
        kind: such as `ssh-ed25519`.
        blob: the key, as SSH sends it.
    """

    kind: str
    blob: bytes


def load(path: str, passphrase: bytes | None = None) -> paramiko.PKey:
    """Read a private key, with its certificate where there is one (`PATH-cert.pub`).

    Raises:
        PassphraseNeededError, WrongPassphraseError: it is encrypted.
        ConfigError: it can't be read, is of no known kind or format, or isn't a private key.
    """
    private = _decrypted(_read(path), path, passphrase)
    for kind, key_class in (
        (ed25519.Ed25519PrivateKey, paramiko.Ed25519Key),
        (ec.EllipticCurvePrivateKey, paramiko.ECDSAKey),
        (rsa.RSAPrivateKey, paramiko.RSAKey),
    ):
        if isinstance(private, kind):
            # paramiko reads fewer formats than cryptography; this one they share.
            text = private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            ).decode()
            key: paramiko.PKey = key_class.from_private_key(io.StringIO(text))
            load_certificate(key, path)
            return key
    raise ConfigError(f"the key {printable(path)} is of a kind that is not supported; use an Ed25519 key")


def _decrypted(data: bytes, path: str, passphrase: bytes | None) -> Any:
    in_openssh_format = b"BEGIN OPENSSH PRIVATE KEY" in data
    encrypted = in_openssh_format and _is_encrypted(data)
    if encrypted and passphrase is None:
        raise PassphraseNeededError
    read = serialization.load_ssh_private_key if in_openssh_format else serialization.load_pem_private_key
    try:
        return read(data, password=passphrase if encrypted or not in_openssh_format else None)
    except TypeError:  # of a PEM key: encrypted and no passphrase, or the other way round
        if passphrase is None:
            raise PassphraseNeededError from None
        return _decrypted(data, path, None)
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"BEGIN" not in data or b"PUBLIC KEY" in data or data.startswith((b"ssh-", b"ecdsa-")):
            problem = "it is no private key in a format that is supported (OpenSSH, PEM or PKCS#8)"
        elif in_openssh_format and _kind(data).startswith("sk-"):
            problem = "it is on a security token; add it to an agent (ssh-add), or use ssh_client 'openssh'"
        elif passphrase is not None and not isinstance(error, UnsupportedAlgorithm):
            raise WrongPassphraseError from None
        else:
            problem = "it is damaged, or of a kind that is not supported; `ssh-keygen -y -f` would tell"
        raise ConfigError(f"the key {printable(path)} can't be used: {problem}") from None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        hint = "correct the path" if isinstance(error, FileNotFoundError) else "make it readable for you"
        raise ConfigError(f"the key {printable(path)} can't be read: {error.strerror}; {hint}") from None


def load_certificate(key: paramiko.PKey, path: str) -> None:
    """Give a key the certificate beside its file (`PATH-cert.pub`), if there is one."""
    certificate = f"{path}-cert.pub"
    if os.path.exists(certificate):
        with suppress(Exception):  # a leftover of another key: the key itself may do
            key.load_certificate(certificate)


def public_half(path: str) -> PublicKey | None:
    """The public half of a key, if it can be known without decrypting anything."""
    with suppress(ConfigError):
        blob = _public_blob(_read(path))
        if blob is not None:
            return PublicKey(_name(blob), blob)
    with suppress(OSError, IndexError, binascii.Error, ValueError), open(f"{path}.pub") as file:
        kind, text = file.read(1 << 16).split()[:2]
        return PublicKey(kind, base64.b64decode(text))
    return None


def _public_blob(data: bytes) -> bytes | None:
    """The public key in a file of OpenSSH's format, PROTOCOL.key."""
    content = _openssh_content(data)
    if content is None:
        return None
    for _ in range(3):  # cipher, key derivation, its options
        content.get_binary()
    content.get_int()
    return content.get_binary() or None


def _is_encrypted(data: bytes) -> bool:
    content = _openssh_content(data)
    return content is not None and content.get_binary() != b"none"


def _openssh_content(data: bytes) -> paramiko.Message | None:
    match = re.search(rb"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END", data, re.DOTALL)
    with suppress(binascii.Error, ValueError):
        content = base64.b64decode(match[1]) if match else b""
        if content.startswith(_MAGIC):
            return paramiko.Message(content[len(_MAGIC) :])
    return None


def _kind(data: bytes) -> str:
    return _name(_public_blob(data) or b"")


def _name(blob: bytes) -> str:
    return str(paramiko.Message(blob).get_binary().decode("ascii", "replace"))


class Agent(AgentSSH):  # type: ignore[misc]
    """An ssh-agent, asked for its keys.

    Args:
        path: its socket.

    Raises:
        OSError, paramiko.SSHException: it can't be reached, or says something strange.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(LISTING)
        try:
            connection.connect(path)
            self._connect(connection)
        except BaseException:
            connection.close()
            raise
        connection.settimeout(SIGNING)

    def close(self) -> None:
        """Hang up; its keys can't sign any more."""
        self._close()


def matching(agent_keys: Iterable[Any], half: PublicKey | None) -> Any | None:
    """The agent's key with this public half."""
    return next((key for key in agent_keys if half is not None and key.blob == half.blob), None)
