"""`ClusterConnection`: fabric's `Connection` to a cluster, logged in by the SSH backend.

The two share the work. fabric's configuration files say where to go, like ~/.ssh/config, which wins: user,
port, gateway, timeout and `connect_kwargs`. Getting there is the SSH backend's: fabric itself would take the
key of any unknown host, and knows of no prompts, and of no line that is dead. Once logged in, paramiko's
transport is handed to fabric, whose commands and tunnels then work on it as well.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import fabric
import paramiko

from clustrix_core.errors import ConfigError, printable
from clustrix_slurm.config import SlurmConfig
from clustrix_ssh import SshConfig
from clustrix_ssh.connection import Connection, Transport
from clustrix_ssh.settings import Settings, settings_of
from clustrix_ssh.ssh_config import options_of

# Of `connect_kwargs`, those that mean something here.
_LOGIN = ("allow_agent", "key_filename", "look_for_keys", "passphrase", "password", "timeout")
_LINE = ("compress", "disabled_algorithms")
_TIMEOUTS = ("auth_timeout", "banner_timeout", "channel_timeout")  # connect_timeout is the limit of each


class ClusterConnection(Connection):
    """One line to a cluster's login node, on which both clustrix and fabric work.

    Args:
        config: the cluster. What it leaves open, ~/.ssh/config says, and then fabric's files.

    Attributes:
        fabric: fabric's `Connection`, open as long as this one is.

    Raises:
        ConfigError: one of these files can't be used.
    """

    def __init__(self, config: SlurmConfig) -> None:
        files = read_files()
        settings = settings_from(config, files)
        super().__init__(settings)
        self._options = {name: files.connect_kwargs[name] for name in _LINE if name in files.connect_kwargs}
        with _unlogged():
            self.fabric = fabric.Connection(
                settings.host, user=settings.user, port=settings.port, gateway=False, config=files
            )

    def stages(self) -> Iterator[str | None]:
        for detail in super().stages():
            if self.alive:
                self.fabric.client._transport = self.fabric.transport = self.transport
            yield detail

    def _new_transport(self, line: Any) -> Transport:
        transport = Transport(line, disabled_algorithms=self._options.get("disabled_algorithms"))
        transport.use_compression(bool(self._options.get("compress")))
        return transport


def read_files() -> fabric.Config:
    """What fabric's configuration files say, without ~/.ssh/config, which is read elsewhere.

    Raises:
        ConfigError: one of them can't be read, or makes no sense.
    """
    try:
        with _unlogged():
            return fabric.Config(ssh_config=paramiko.SSHConfig())
    except Exception as error:  # whatever strange files bring invoke to; it may quote a password
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        raise ConfigError(
            "fabric's configuration (~/.fabric.yml, /etc/fabric.yml, or the like) can't be used: "
            f"{type(error).__name__}{where}; correct the file"
        ) from None


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep invoke from telling the debug log all that is in the files, passwords included."""

    def silence(_record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("invoke")
    logger.addFilter(silence)  # one of its own for each thread
    try:
        yield
    finally:
        logger.removeFilter(silence)


def settings_from(config: SshConfig, files: fabric.Config) -> Settings:
    """Where a config leads, with what fabric's files add to it.

    Raises:
        ConfigError: ~/.ssh/config or one of fabric's files makes no sense.
    """
    try:
        return _Reader(config, files).settings()
    except ConfigError as error:
        if not (files.connect_kwargs or files.gateway):
            raise
        raise ConfigError(f"{error} (fabric's configuration files have a say in this)") from None


class _Reader:
    def __init__(self, config: SshConfig, files: fabric.Config) -> None:
        self._config, self._files = config, files

    def settings(self) -> Settings:
        files, update = self._files, {}
        if self._config.ssh_config_file is None and (files.ssh_config_path or not files.load_ssh_configs):
            update["ssh_config_file"] = files.ssh_config_path or "none"
        config = self._config.model_copy(update=update)
        return self._reach(config, files.connect_kwargs, files.gateway, files.user, files.port)

    def _reach(
        self, config: SshConfig, kwargs: Mapping[str, Any], gateway: Any, user: Any, port: Any
    ) -> Settings:
        _check(kwargs)
        if gateway and not isinstance(gateway, (str, fabric.Connection)):
            raise ConfigError(
                "gateway of fabric's configuration is neither a command nor a fabric Connection"
            )
        host = str(config.cluster_host)
        told = options_of(host, config.ssh_config_file)
        defaults = {
            "username": None if "user" in told else user,
            "cluster_port": None if "port" in told else port,
            "password": kwargs.get("password"),
            "passphrase": kwargs.get("passphrase"),
        }
        update = {name: value for name, value in defaults.items() if getattr(config, name) is None}
        timeout = kwargs.get("timeout") or self._files.timeouts.connect
        if timeout and "connect_timeout" not in config.model_fields_set and "connecttimeout" not in told:
            update["connect_timeout"] = timeout
        if not kwargs.get("allow_agent", True):
            update["use_agent"] = False
        config = config.model_copy(update=update)
        found = _with_keys(settings_of(config), kwargs) if config.key_file is None else settings_of(config)
        if found.jumps or found.proxy_command or not gateway:
            return found
        if isinstance(gateway, str):
            return replace(found, proxy_command=_expanded(gateway, found))
        return replace(found, jumps=self._jumps(config, gateway))

    def _jumps(self, config: SshConfig, gateway: fabric.Connection) -> tuple[Settings, ...]:
        """The hosts of a fabric `Connection` that stands as the gateway in a configuration in Python."""
        way = SshConfig(
            cluster_type=config.cluster_type,
            cluster_host=gateway.original_host,
            username=gateway.user,
            cluster_port=gateway.port,
            **{
                name: getattr(config, name)
                for name in ("ssh_config_file", "known_hosts_file", "host_key_policy", "use_agent")
            },
        )
        hop = self._reach(way, gateway.connect_kwargs, gateway.gateway, gateway.user, gateway.port)
        return (*hop.jumps, replace(hop, jumps=()))


def _check(kwargs: Mapping[str, Any]) -> None:
    unknown = sorted(set(kwargs) - {*_LOGIN, *_LINE, *_TIMEOUTS})
    if unknown:
        raise ConfigError(
            f"connect_kwargs of fabric's configuration: {', '.join(map(printable, unknown))} can't be used "
            f"here; known are {', '.join(sorted([*_LOGIN, *_LINE, *_TIMEOUTS]))}. Kerberos (gss_…) works "
            "with ssh_client 'openssh'"
        )
    keys = kwargs.get("key_filename") or ()
    if not _are_texts([keys] if isinstance(keys, str) else keys):
        raise ConfigError(
            "connect_kwargs of fabric's configuration: key_filename is a path, or a list of paths"
        )
    disabled = kwargs.get("disabled_algorithms") or {}
    if not isinstance(disabled, Mapping) or not all(map(_are_texts, disabled.values())):
        raise ConfigError(
            "connect_kwargs of fabric's configuration: disabled_algorithms has a list of names for each kind"
        )


def _are_texts(values: object) -> bool:
    return isinstance(values, (list, tuple)) and all(isinstance(value, str) for value in values)


def _with_keys(found: Settings, kwargs: Mapping[str, Any]) -> Settings:
    """The keys that fabric's files name come before those of ~/.ssh/config."""
    given = kwargs.get("key_filename") or ()
    paths = [given] if isinstance(given, str) else list(given)
    named = found.identity_files if found.identity_files_given else ()
    if paths:
        ours = tuple(os.path.abspath(os.path.expanduser(path)) for path in paths)
        return replace(found, identity_files=(*ours, *named), identity_files_given=True)
    if not kwargs.get("look_for_keys", True):
        return replace(found, identity_files=named, identity_files_given=True)
    return found


def _expanded(command: str, found: Settings) -> str:
    """A gateway that is a command, with host, port and user for %h, %p and %r."""
    given = {"HostName": found.host, "Port": str(found.port), "User": found.user}
    options = options_of(found.alias, "none", {**given, "ProxyCommand": " ".join(command.split())})
    return options["proxycommand"][0]
