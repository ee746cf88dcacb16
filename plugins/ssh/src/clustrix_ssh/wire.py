"""Streams to a server: a TCP connection, or the pipes of a proxy command."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import Any

from clustrix_core.errors import ConnectionFailedError
from clustrix_ssh.settings import Settings

_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}


Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]


def resolve(settings: Settings) -> list[Address]:
    """Look the host's addresses up.

    Raises:
        ConnectionFailedError: the name is unknown.
    """
    family = _FAMILIES.get(settings.family, socket.AF_UNSPEC)
    try:
        return list(socket.getaddrinfo(settings.host, settings.port, family, socket.SOCK_STREAM))
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "that is no host name"
        raise ConnectionFailedError(
            f"{settings.place}: the host name {settings.host!r} is unknown: {reason}; check it, and that the "
            "network (or VPN) is up"
        ) from None


def connect(settings: Settings, addresses: list[Address]) -> socket.socket:
    """Open a TCP connection to the host, at whichever of its addresses answers.

    Raises:
        ConnectionFailedError: none answers within `connect_timeout`.
    """
    end = time.monotonic() + settings.connect_timeout
    failure: OSError | None = None
    for tried, (kind, type_, protocol, _name, address) in enumerate(addresses):
        connection = socket.socket(kind, type_, protocol)
        try:
            # One that doesn't answer leaves time for the others, such as IPv6 where no way leads out by it.
            connection.settimeout(max(0.1, (end - time.monotonic()) / (len(addresses) - tried)))
            connection.connect(address)
            _tune(connection, settings)
            return connection
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
    raise _unreachable(settings, failure) from None


def _tune(connection: socket.socket, settings: Settings) -> None:
    """Without delay for small requests, and with an end for a line on which nothing is acknowledged."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        with suppress(OSError, OverflowError):
            connection.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(settings.dead_after * 1000)
            )


def _unreachable(settings: Settings, failure: OSError | None) -> ConnectionFailedError:
    if isinstance(failure, ConnectionRefusedError):
        reason = "the connection was refused: nothing listens at this port; check cluster_port and the host"
    elif isinstance(failure, TimeoutError):
        reason = (
            f"no answer within connect_timeout={settings.connect_timeout:g} s; check the host, and that no "
            "firewall is in the way"
        )
    else:
        said = failure.strerror if failure else "no address"
        reason = f"{said}; check the host, and that the network (or VPN) is up"
    return ConnectionFailedError(f"{settings.place}: {reason}")


class Proxy:
    """A proxy command, which sees a socket as its standard input and output.

    Args:
        settings: of the host that it leads to.

    Raises:
        ConnectionFailedError: it can't be started.

    Attributes:
        socket: our end.
    """

    def __init__(self, settings: Settings) -> None:
        self.socket, far = socket.socketpair()
        self._errors, errors = os.pipe()
        os.set_blocking(errors, False)  # what nobody reads is lost, and holds up nothing
        try:
            # `exec` as with ssh, so that the command itself, and not a shell, is what gets the signals
            self._process = subprocess.Popen(  # noqa: S603 (the user's own)
                ["/bin/sh", "-c", f"exec {settings.proxy_command}"],
                stdin=far.fileno(),
                stdout=far.fileno(),
                stderr=errors,
                start_new_session=True,
            )
        except BaseException as error:
            self.socket.close()
            os.close(self._errors)
            if isinstance(error, OSError):
                raise ConnectionFailedError(
                    f"{settings.place}: its ProxyCommand can't be started: {error.strerror}"
                ) from None
            raise
        finally:
            far.close()
            os.close(errors)

    def last_words(self) -> str:
        """What the command has written to stderr; it is not waited for long."""
        said = b""
        with suppress(OSError, ValueError):
            while len(said) < 4096 and select.select([self._errors], [], [], 0.5)[0]:
                data = os.read(self._errors, 4096)
                if not data:
                    break
                said += data
        return said.decode("utf-8", "replace").strip()

    def close(self) -> None:
        """End the command."""
        self.socket.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
        if self._errors >= 0:
            os.close(self._errors)
            self._errors = -1

    def abandon(self) -> None:
        """In a forked child: let go of the socket; the command is the parent's."""
        self._process.returncode = 0
        self.socket.close()
        if self._errors >= 0:
            os.close(self._errors)
            self._errors = -1
