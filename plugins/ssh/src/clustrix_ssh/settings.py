"""`Settings`: all that is known of one host to log in to, from the config and from ~/.ssh/config."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass, replace
from urllib.parse import unquote

from pydantic import SecretStr

from clustrix_core.errors import ConfigError, printable
from clustrix_ssh.config import SshConfig, is_host, is_name
from clustrix_ssh.known_hosts import PORT
from clustrix_ssh.ssh_config import flag, local_user, options_of

KEEPALIVE = 15  # seconds
MAX_HOPS = 10
DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
USER_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_ADDRESS = re.compile(r"\[([^\]]+)\](?::(\d+))?|([^:\[\]]+)(?::(\d+))?|([^\[\]]*:[^\[\]]*:[^\[\]]*)")
SYSTEM_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")


@dataclass(frozen=True)
class Settings:
    """One host on the way, and how to get in.

    Attributes:
        alias: what the user calls it.
        host: the name or address to connect to.
        port: the TCP port.
        user: the user's name there.
        host_key_name: the name under which its key is known, if that is not the host's.
        key_file: the key that the config names.
        identity_files: the keys to try, the config's first.
        identity_files_given: whether they were named, and aren't just the usual ones.
        identities_only: try no other key of the agent.
        agent: the path of the ssh-agent's socket.
        password, passphrase: what the config holds.
        accept_new: add the key of an unknown host to the known ones.
        user_known_hosts: the files of known hosts that the user owns; new ones are added to the first.
        system_known_hosts: the others.
        hash_known_hosts: hash the names of hosts that are added.
        connect_timeout, dead_after: seconds, as in the config.
        keepalive: seconds between signs of life, 0 for none.
        family: `inet` or `inet6` to allow only that.
        proxy_command: the command line, for a shell, whose pipes lead there.
        jumps: the hosts to pass through, the first one first.
        trust_command: the command line by which the user can make the host's key a known one.
    """

    alias: str
    host: str
    port: int
    user: str
    host_key_name: str | None
    key_file: str | None
    identity_files: tuple[str, ...]
    identity_files_given: bool
    identities_only: bool
    agent: str | None
    password: SecretStr | None
    passphrase: SecretStr | None
    accept_new: bool
    user_known_hosts: tuple[str, ...]
    system_known_hosts: tuple[str, ...]
    hash_known_hosts: bool
    connect_timeout: float
    dead_after: float
    keepalive: int
    family: str
    proxy_command: str | None
    jumps: tuple[Settings, ...]
    trust_command: str

    @property
    def place(self) -> str:
        """What messages call it."""
        name = f"{self.user}@{self.endpoint}"
        return name if self.alias == self.host else f"{name} ({self.alias})"

    @property
    def endpoint(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def settings_of(config: SshConfig) -> Settings:
    """Where a config leads, hosts on the way included.

    Raises:
        ConfigError: ~/.ssh/config, or the file in its place, makes no sense.
    """
    return _Reader(config).target()


class _Reader:
    def __init__(self, config: SshConfig) -> None:
        self._config = config

    def target(self) -> Settings:
        config = self._config
        assert config.cluster_host
        given = {"Port": config.cluster_port, "User": config.username}
        found = self._settings(config.cluster_host, given, None, 0)
        if config.key_file is None:
            return replace(found, password=config.password, passphrase=config.passphrase)
        key_file = os.path.abspath(os.path.expanduser(config.key_file))
        return replace(
            found,
            password=config.password,
            passphrase=config.passphrase,
            key_file=key_file,
            identity_files=(key_file,),
            identity_files_given=True,
        )

    def _settings(
        self, alias: str, given: dict[str, str | int | None], jumps: tuple[Settings, ...] | None, depth: int
    ) -> Settings:
        if depth > MAX_HOPS:
            raise ConfigError(f"{alias}: more than {MAX_HOPS} hosts on the way; ProxyJump leads in a circle")
        config = self._config
        wanted = {name: str(value) for name, value in given.items() if value is not None}
        options = options_of(alias, config.ssh_config_file, wanted)

        def option(keyword: str) -> str | None:
            value = options.get(keyword, ["none"])[0]
            return value if value.lower() != "none" else None

        host = option("hostname") or alias
        user = option("user") or local_user()
        for name, value, is_sound in (("host name", host, is_host), ("user name", user, is_name)):
            if not is_sound(value):
                raise ConfigError(f"{alias}: {value!r} can't be a {name}; correct the ssh configuration")
        if jumps is None:
            jumps = self._jumps(alias, option("proxyjump"), depth)
        given_files = options.get("identityfile")
        return Settings(
            alias=alias,
            host=host.lower(),
            port=_number(option("port"), "Port", PORT),
            user=user,
            host_key_name=option("hostkeyalias"),
            key_file=None,
            identity_files=_paths(given_files, DEFAULT_KEYS),
            identity_files_given=given_files is not None,
            identities_only=flag(options, "identitiesonly"),
            agent=_agent(options.get("identityagent")) if config.use_agent else None,
            password=None,
            passphrase=None,
            accept_new=self._accepts_new(option("stricthostkeychecking")),
            user_known_hosts=self._known_hosts(options.get("userknownhostsfile")),
            system_known_hosts=_paths(options.get("globalknownhostsfile"), SYSTEM_KNOWN_HOSTS)
            if config.known_hosts_file is None
            else (),
            hash_known_hosts=flag(options, "hashknownhosts"),
            connect_timeout=config.connect_timeout
            if "connect_timeout" in config.model_fields_set
            else _seconds(option("connecttimeout"), "ConnectTimeout") or config.connect_timeout,
            dead_after=config.dead_after,
            keepalive=config.keepalive
            if config.keepalive is not None
            else _seconds(option("serveraliveinterval"), "ServerAliveInterval") or KEEPALIVE,
            family=(option("addressfamily") or "any").lower(),
            proxy_command=None if jumps else option("proxycommand"),
            jumps=jumps,
            trust_command=self._trust_command(alias, given.get("Port")),
        )

    def _trust_command(self, alias: str, port: str | int | None) -> str:
        if port is not None:
            alias = f"[{alias}]:{port}" if ":" in alias else f"{alias}:{port}"
        command = ["clustrix", "trust"]
        if self._config.known_hosts_file is not None:
            command += ["--known-hosts", self._config.known_hosts_file]
        if self._config.ssh_config_file is not None:
            command += ["--ssh-config", self._config.ssh_config_file]
        return shlex.join([*command, alias])

    def _jumps(self, alias: str, value: str | None, depth: int) -> tuple[Settings, ...]:
        """As with `ssh`, the first host is reached as the file says, the others through those before."""
        jumps: tuple[Settings, ...] = ()
        for name in (value or "").split(","):
            host, user, port = parse_host(name.strip()) if name.strip() else (alias, None, None)
            if host == alias:  # a ProxyJump for `Host *` leads to its own hosts only as far as they are
                break
            hop = self._settings(host, {"User": user, "Port": port}, jumps or None, depth + 1)
            jumps = (*(jumps or hop.jumps), replace(hop, jumps=()))
        return jumps

    def _accepts_new(self, checking: str | None) -> bool:
        if self._config.host_key_policy is not None:
            return self._config.host_key_policy == "accept-new"
        # `no` would take changed keys as well, which never happens here.
        return (checking or "ask").lower() in ("accept-new", "no", "off", "false")

    def _known_hosts(self, value: list[str] | None) -> tuple[str, ...]:
        if self._config.known_hosts_file is not None:
            return (_path(self._config.known_hosts_file),)
        return _paths(value, USER_KNOWN_HOSTS)


def parse_host(text: str) -> tuple[str, str | None, int | None]:
    """Read `[user@]host[:port]` or `ssh://[user@]host[:port]`; an IPv6 address with a port is in brackets.

    Raises:
        ConfigError: it is none of these.
    """
    rest = text.removeprefix("ssh://").rstrip("/") if text.startswith("ssh://") else text
    user, _, address = rest.rpartition("@")
    match = re.fullmatch(
        r"\[([^\]]+)\](?::(\d+))?|([^:\[\]]+)(?::(\d+))?|([^\[\]]*:[^\[\]]*:[^\[\]]*)", address
    )
    if match is None:
        raise ConfigError(f"{printable(text)!r} is no host; write [user@]host[:port]")
    host = match[1] or match[3] or match[5]
    port = match[2] or match[4]
    user = unquote(user) if text.startswith("ssh://") else user
    if not is_host(host) or not is_name(user):
        raise ConfigError(f"{printable(text)!r} is no host; write [user@]host[:port]")
    return host, user or None, _number(port, "the port", 0) or None


def _number(text: str | None, name: str, default: int) -> int:
    if text is None:
        return default
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0 or (name.lower().endswith("port") and not 0 < number < 65536):
        raise ConfigError(
            f"{name} {printable(text)!r} in the ssh configuration is no valid number; correct it"
        )
    return number


def _seconds(text: str | None, name: str) -> int:
    """A time as in sshd_config(5), such as `90`, `90s` or `1m30s`."""
    if text is None or not re.fullmatch(r"(\d+[smhdw])*(\d+[smhdw]?)", text, re.IGNORECASE):
        return _number(text, name, 0)
    units = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    return sum(int(count) * units[unit.lower()] for count, unit in re.findall(r"(\d+)([a-zA-Z]?)", text))


def _agent(words: list[str] | None) -> str | None:
    value = words[0] if words else "SSH_AUTH_SOCK"
    if value == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK") or None
    if value.lower() == "none":
        return None
    return os.environ.get(value[1:]) if value.startswith("$") else _path(value)


def _paths(words: list[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    paths = default if words is None else words
    return tuple(_path(path) for path in paths if path.lower() != "none")


def _path(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
