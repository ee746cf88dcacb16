"""`SshConfig`: which host, and how to log in there."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import ConfigDict, Field, SecretStr, model_validator

from clustrix_core.config import PathText
from clustrix_core.remote import RemoteConfig


def is_name(text: str) -> bool:
    """Whether this may be a host or a user: `ssh` takes the others for options, a proxy's shell for code."""
    return not text.startswith("-") and not re.search(r"[\s\x00-\x1f\x7f'\"`;&<>|(){}]", text)


def is_host(text: str) -> bool:
    """The same for a host alone: a user of a Windows domain has a backslash, and some have a dollar sign."""
    return is_name(text) and not re.search(r"[$\\]", text)


class SshConfig(RemoteConfig):
    """The config of the SSH backend. What it leaves open, ~/.ssh/config says, as it does for `ssh`."""

    model_config = ConfigDict(extra="forbid")

    passphrase: SecretStr | None = Field(
        default=None, description="Passphrase of the key file. Never printed, and never saved to a file."
    )
    host_key_policy: Literal["strict", "accept-new"] | None = Field(
        default=None,
        description="strict: a host whose key isn't known is refused; accept-new: its key is added to the "
        "known hosts. A changed key is always refused. None means what ~/.ssh/config says, else strict.",
    )
    known_hosts_file: PathText | None = Field(
        default=None,
        description="File of the known hosts' keys; none means what ~/.ssh/config says, else "
        "~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts.",
    )
    ssh_config_file: PathText | None = Field(
        default=None,
        description="File in the form of ssh_config(5), or the word none for no such file; without a value, "
        "~/.ssh/config and /etc/ssh/ssh_config.",
    )
    ssh_client: Literal["paramiko", "openssh"] = Field(
        default="paramiko",
        description="paramiko, or openssh: the program ssh of this machine, with all that it can do.",
    )
    protocol: Literal["auto", "agent", "sftp"] = Field(
        default="auto",
        description="agent: by a Python on the host; sftp: without one; auto: sftp where no Python starts.",
    )
    keepalive: int | None = Field(
        default=None,
        ge=0,
        description="Seconds of silence after which a sign of life is sent, 0 for never; none means what "
        "~/.ssh/config says, else 15.",
    )
    use_agent: bool = Field(
        default=True, description="Whether to use the keys of the ssh-agent that SSH_AUTH_SOCK names."
    )

    @model_validator(mode="after")
    def _check(self) -> SshConfig:
        self._check_host()
        return self

    def _check_host(self) -> None:
        """Raise ValueError for a host or a user that can't be, and for fields that contradict each other."""
        host = self.cluster_host
        if not host:
            raise ValueError(
                f"cluster_type {self.cluster_type!r} needs a cluster_host: give a host name, an address, or "
                "an alias in ~/.ssh/config"
            )
        user, at, rest = host.rpartition("@")
        if at:
            raise ValueError(
                f"cluster_host {host!r} holds a user name; give username={user!r} and cluster_host={rest!r}"
            )
        name, _, port = host.partition(":")
        if port.isdecimal():
            raise ValueError(
                f"cluster_host {host!r} holds a port; give cluster_port={port} and cluster_host={name!r}"
            )
        for name, value, is_sound in (
            ("cluster_host", host, is_host),
            ("username", self.username or "", is_name),
        ):
            if not is_sound(value):
                raise ValueError(
                    f"{name} {value!r} is no name: it begins with a dash, or holds blanks, quotes or other "
                    "characters that mean something to a shell"
                )
        if self.ssh_client == "openssh" and self.password is not None:
            raise ValueError(
                "ssh_client 'openssh' takes no password: use a key, an agent or a ControlMaster that is "
                "logged in, or ssh_client 'paramiko'"
            )
        if self.ssh_client == "openssh" and self.passphrase is not None:
            raise ValueError(
                "ssh_client 'openssh' takes no passphrase: add the key to an agent (ssh-add), or use "
                "ssh_client 'paramiko'"
            )
