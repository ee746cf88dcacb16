"""The program `ssh` as the channel: its command line, and what its complaints mean."""

from __future__ import annotations

import os
import re
import subprocess

from clustrix_core.errors import AuthenticationFailedError, ConnectionFailedError, HostKeyError
from clustrix_ssh.config import SshConfig

FAILED = 255  # the exit code of ssh where it is ssh that failed

_HOST_KEY = re.compile(r"host key verification failed|identification has changed|host key .*revoked", re.I)
_LOGIN = re.compile(r"permission denied \(|too many authentication failures", re.I)
_LINE = re.compile(
    r"could not resolve|connection refused|timed out|no route to|unreachable|kex_exchange|banner exchange|"
    r"connection (closed|reset)|unable to negotiate|proxy|bad configuration|bad owner",
    re.I,
)


def command_line(config: SshConfig, command: str) -> list[str]:
    """`ssh` with what the config says; all else is as the user's ~/.ssh/config has it."""
    return [*_ssh(config), "--", str(config.cluster_host), command]


def sftp_line(config: SshConfig) -> list[str]:
    """The same for the subsystem sftp."""
    return [*_ssh(config), "-s", "--", str(config.cluster_host), "sftp"]


def explain(config: SshConfig, failure: ConnectionFailedError) -> None:
    """Raise what a failure to start something is about, if it is ssh that complained, and not the host.

    Raises:
        HostKeyError, AuthenticationFailedError, ConnectionFailedError: with the words of ssh.
    """
    text = str(failure)
    if _HOST_KEY.search(text):
        raise HostKeyError(
            f"{text}; compare the key with what those who run the host say, and add it with ssh"
        )
    if _LOGIN.search(text):
        raise AuthenticationFailedError(
            f"{text}; check username and key: `ssh -v {config.cluster_host}` tells more. Nothing is "
            "asked here: use an agent, or a ControlMaster that is logged in"
        )
    if _LINE.search(text):
        raise ConnectionFailedError(f"{text}; `ssh -v {config.cluster_host}` tells more")


def _ssh(config: SshConfig) -> list[str]:
    # As scp does: what the user's file wants for a terminal of theirs is none of this command's.
    line = ["ssh", "-T", "-a", "-x", "-o", "BatchMode=yes"]
    line += ["-o", "RemoteCommand=none", "-o", "ClearAllForwardings=yes"]

    def option(name: str, value: object) -> None:
        line.extend(["-o", f"{name}={value}"])

    if config.ssh_config_file is not None:
        line += ["-F", _path(config.ssh_config_file) if config.ssh_config_file.lower() != "none" else "none"]
    if config.cluster_port is not None:
        line += ["-p", str(config.cluster_port)]
    if config.username is not None:
        line += ["-l", config.username]
    if config.key_file is not None:
        line += ["-i", _path(config.key_file).replace("%", "%%")]
        option("IdentitiesOnly", "yes")
    if not config.use_agent:
        option("IdentityAgent", "none")
    if config.known_hosts_file is not None:
        file = _path(config.known_hosts_file).replace("%", "%%")
        option("UserKnownHostsFile", f'"{file}"')
        option("GlobalKnownHostsFile", "none")
    if config.host_key_policy is not None:
        option("StrictHostKeyChecking", "yes" if config.host_key_policy == "strict" else "accept-new")
    elif _takes_changed_keys([*line, "-G", "--", str(config.cluster_host)], config.connect_timeout):
        option("StrictHostKeyChecking", "accept-new")
    if "connect_timeout" in config.model_fields_set:
        option("ConnectTimeout", max(1, round(config.connect_timeout)))
    if config.keepalive is not None:
        option("ServerAliveInterval", config.keepalive)
    return line


def _takes_changed_keys(command: list[str], patience: float) -> bool:
    """Whether the user's file says `StrictHostKeyChecking no`, which is never that loose here."""
    quiet = subprocess.DEVNULL
    try:
        told = subprocess.run(  # noqa: S603 (the user's own)
            command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, timeout=patience
        ).stdout
    except (OSError, subprocess.TimeoutExpired):  # the program itself will tell
        return False
    return re.search(rb"^stricthostkeychecking (false|no|off)$", told, re.MULTILINE) is not None


def _path(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
