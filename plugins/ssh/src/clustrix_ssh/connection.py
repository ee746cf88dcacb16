"""`Connection`: one line to a host, perhaps through others, and the channels on it."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Generator, Iterator
from itertools import pairwise
from typing import Any

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

from clustrix_core.errors import ConnectionFailedError, printable
from clustrix_ssh import wire
from clustrix_ssh.authentication import Login
from clustrix_ssh.channel import SshChannel
from clustrix_ssh.host_keys import KnownKeys
from clustrix_ssh.known_hosts import HostKey
from clustrix_ssh.settings import Settings

WINDOW = 1 << 23  # bytes that may be on the way to us: some 1.3 Gbit/s at 50 ms
PACKET = 1 << 15  # bytes; OpenSSH sends no larger ones

STAGES = (
    "SSH settings",
    "name resolution",
    "TCP connection",
    "jump hosts",
    "SSH server",
    "host key",
    "authentication",
)
"""What `Connection.stages` goes through."""

# The fastest first, of those that paramiko offers by itself.
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else its errors go to stderr as well


class Transport(paramiko.Transport):  # type: ignore[misc]
    """paramiko's, which remembers what a server says when it hangs up."""

    farewell = ""

    def _parse_disconnect(self, message: paramiko.Message) -> None:
        super()._parse_disconnect(message)
        message.rewind()
        message.get_int()
        self.farewell = message.get_text()


class Connection:
    """One TCP connection (or proxy command), logged in to a host; it is opened by `log_in`.

    Args:
        settings: the host, and those on the way.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._proxy: wire.Proxy | None = None
        self._socket: socket.socket | None = None
        self._transports: list[Transport] = []
        self._channels: list[SshChannel] = []
        self._inner: list[Any] = []  # the channels that lead from one host to the next
        self._logged_in = self._closed = False

    @property
    def alive(self) -> bool:
        """Whether it is logged in and something can still be sent, as far as is known."""
        return self._logged_in and not self._closed and all(each.is_active() for each in self._transports)

    @property
    def ended(self) -> bool:
        """Whether it has been alive, or was to be, and never will be again."""
        return self._closed or (self._logged_in and not self.alive)

    @property
    def transport(self) -> Transport:
        """paramiko's transport to the host, once it is logged in."""
        return self._transports[-1]

    def log_in(self) -> None:
        """Connect and log in to all hosts on the way.

        Raises:
            ConnectionFailedError: a host can't be reached, shows a wrong key, or refuses the login.
            ConfigError: the key that the config names can't be used.
        """
        for _detail in self.stages():
            pass

    def stages(self) -> Iterator[str | None]:
        """The same stage by stage: `STAGES` has their names.

        Yields:
            A few words on each stage once it is done; None for one that this way doesn't have.
        """
        settings = self.settings
        try:
            login = Login(settings)
            yield settings.place
            transport, known = yield from self._reach()
            key = HostKey.of(transport.get_remote_server_key())
            known.check(key)
            yield f"the {key.label} is known"
            login.run(transport)
            transport.set_keepalive(settings.keepalive)
            self._logged_in = True
        except BaseException:
            self.close()
            raise
        yield f"as {settings.user}, by {' and '.join(login.accepted)}"

    def meet(self) -> tuple[HostKey, KnownKeys]:
        """Connect, and log in to the hosts on the way only; the host's key, and what is known of it.

        Raises:
            ConnectionFailedError: a host can't be reached.
        """
        try:
            stages = self._reach()
            while True:
                next(stages)
        except StopIteration as end:
            transport, known = end.value
            return HostKey.of(transport.get_remote_server_key()), known
        except BaseException:
            self.close()
            raise

    def _reach(self) -> Generator[str | None, None, tuple[Transport, KnownKeys]]:
        hosts = (*self.settings.jumps, self.settings)
        line: Any = yield from self._open(hosts[0])
        for hop, following in pairwise(hosts):
            known = KnownKeys(hop)
            transport = self._shake_hands(line, hop, known)
            known.check(HostKey.of(transport.get_remote_server_key()))
            Login(hop).run(transport)
            transport.set_keepalive(hop.keepalive)
            line = self._pass_through(transport, hop, following)
        yield ", then ".join(hop.place for hop in hosts[:-1]) or None
        known = KnownKeys(self.settings)
        transport = self._shake_hands(line, self.settings, known)
        yield transport.remote_version
        return transport, known

    def _open(self, first: Settings) -> Generator[str | None, None, socket.socket]:
        if first.proxy_command is None:
            addresses = wire.resolve(first)
            shown = dict.fromkeys(str(address[-1][0]) for address in addresses)
            yield f"{first.host} is {', '.join(shown)}"
            self._socket = wire.connect(first, addresses)
            yield "to {0[0]}, port {0[1]}".format(self._socket.getpeername())
        else:
            yield None
            self._proxy = wire.Proxy(first)
            self._socket = self._proxy.socket
            yield None
        return self._socket

    def _shake_hands(self, line: Any, hop: Settings, known: KnownKeys) -> Transport:
        transport = self._new_transport(line)
        self._transports.append(transport)
        timeout = hop.connect_timeout
        transport.banner_timeout = transport.handshake_timeout = timeout
        options = transport.get_security_options()
        options.key_types = known.preferred(options.key_types)
        options.ciphers = tuple(dict.fromkeys([*CIPHERS, *options.ciphers]))
        try:
            transport.start_client(timeout=timeout)
            if not transport.initial_kex_done:
                raise TimeoutError
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._no_server(hop, transport, error) from None
        return transport

    def _new_transport(self, line: Any) -> Transport:
        return Transport(line)

    def _no_server(self, hop: Settings, transport: Transport, error: Exception) -> ConnectionFailedError:
        said = self._proxy.last_words() if self._proxy is not None else ""
        if said:
            reason = f"the ProxyCommand failed: {printable(said)}"
        elif isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
            reason = f"the server and paramiko share no algorithm ({error}); try ssh_client 'openssh'"
        elif isinstance(error, TimeoutError):
            reason = f"no SSH server answered within {hop.connect_timeout:g} s; check host and port"
        elif not transport.remote_version:
            reason = (
                "no SSH server answered; check the port, and whether the host turns you away (too many "
                "connections, a firewall)"
            )
        else:
            reason = (
                f"the key exchange failed: {printable(transport.farewell or str(error) or 'the line broke')}"
            )
        return ConnectionFailedError(f"{hop.place}: {reason}")

    def _pass_through(self, transport: Transport, hop: Settings, following: Settings) -> Any:
        try:
            channel = transport.open_channel(
                "direct-tcpip",
                (following.host, following.port),
                ("127.0.0.1", 0),
                window_size=WINDOW,
                timeout=following.connect_timeout,
            )
        except (paramiko.SSHException, EOFError, OSError) as error:
            reason = getattr(error, "text", "") or str(error) or "the line broke"
            raise ConnectionFailedError(
                f"{following.place}: it can't be reached from {hop.place}: {printable(reason)}; check host, "
                "port and ProxyJump"
            ) from None
        self._inner.append(channel)
        return channel

    def run(self, command: str) -> SshChannel:
        """Start a command line: one round trip. Whether the host takes it shows when its output is read.

        Raises:
            ConnectionFailedError: the host opens no session, or doesn't answer.
        """
        return self._session("exec", command)

    def subsystem(self, name: str) -> SshChannel:
        """Start a subsystem, such as sftp; otherwise as `run`."""
        return self._session("subsystem", name)

    def _session(self, kind: str, text: str) -> SshChannel:
        transport = self.transport
        try:
            channel = transport.open_session(WINDOW, PACKET, self.settings.connect_timeout)
            request = paramiko.Message()
            request.add_byte(cMSG_CHANNEL_REQUEST)
            request.add_int(channel.remote_chanid)
            request.add_string(kind)
            # A refusal closes the channel. paramiko's own method would wait for the answer.
            request.add_boolean(True)
            request.add_string(text)
            transport._send_user_message(request)
        except paramiko.ChannelException as error:
            raise ConnectionFailedError(
                f"{self.settings.place}: it opens no session: {printable(error.text or error)}; there may "
                "be too many on this connection, or the account may not have any"
            ) from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            self.close()
            raise ConnectionFailedError(
                f"{self.settings.place}: the connection was lost: {printable(error) or 'the host hung up'}"
            ) from None
        opened = SshChannel(self, transport, channel)
        self._channels.append(opened)
        return opened

    def forget(self, channel: SshChannel) -> None:
        """A channel was closed."""
        with contextlib.suppress(ValueError):
            self._channels.remove(channel)

    def close(self) -> None:
        """Hang up, without waiting for the line: also for one that is stalled."""
        self._closed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        for transport in reversed(self._transports):
            transport.packetizer.complete_handshake()  # ends a timer that would hold up the interpreter's end
            with contextlib.suppress(EOFError, OSError, paramiko.SSHException):
                transport.close()  # one that leads through another says so to that
        if self._socket is not None:
            self._socket.close()
        if self._proxy is not None:
            self._proxy.close()

    def abandon(self) -> None:
        """In a forked child: close the descriptor, send nothing, and wait for no lock of the parent."""
        self._closed = True
        for channel in [*self._inner, *(each.inner for each in self._channels)]:
            # Its finalizer would wait for this lock, and send that it is closed.
            channel.lock = threading.Lock()
            channel.active, channel.closed = False, True
        for transport in self._transports:
            transport.active = False
        if self._proxy is not None:
            self._proxy.abandon()
        elif self._socket is not None:
            self._socket.close()
