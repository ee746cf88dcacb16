"""The command `clustrix trust`: make a host's key a known one, once somebody has looked at it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from clustrix_core.cli.failures import NO, OK, USAGE, complain
from clustrix_core.cli.output import Output, output_options
from clustrix_core.errors import ConfigError, HostKeyError

if TYPE_CHECKING:
    from clustrix_ssh.known_hosts import HostKey
    from clustrix_ssh.settings import Settings


@click.command()
@click.argument("host")
@click.option("--yes", is_flag=True, help="Don't ask; needs --fingerprint.")
@click.option("--fingerprint", metavar="SHA256:...", help="The fingerprint that the key must have.")
@click.option("--known-hosts", metavar="FILE", help="The file to add the key to.")
@click.option("--ssh-config", metavar="FILE", help="The file to read instead of ~/.ssh/config.")
@output_options(null=False)
def trust(
    host: str,
    yes: bool,
    fingerprint: str | None,
    known_hosts: str | None,
    ssh_config: str | None,
    output: Output,
) -> int:
    """Show the key of a host, and add it to the known hosts on yes.

    HOST is a host, an alias in ~/.ssh/config, or [user@]host[:port]; NAME: with a colon behind it is the
    host of a profile. Compare the fingerprint with what those who run the host say.
    """
    from clustrix_ssh.connection import Connection

    if yes and fingerprint is None:
        raise click.UsageError("--yes needs --fingerprint SHA256:..., or a stranger's key would do as well")
    settings = _settings(host, known_hosts, ssh_config)
    connection = Connection(settings)
    try:
        key, known = connection.meet()
    finally:
        connection.close()
    try:
        if known.is_known(key):
            return _tell(output, settings, key, "known", None)
    except HostKeyError as error:
        complain(str(error))
        return NO
    if fingerprint is not None and fingerprint != key.fingerprint:
        complain(f"{settings.place} shows the {key.label}, which isn't {fingerprint}: nothing was added")
        return NO
    if fingerprint is None:
        if not sys.stdin.isatty():
            complain(
                f"{settings.place} shows the {key.label}; there is nobody to ask. If it is right: "
                f"{settings.trust_command} --yes --fingerprint {key.fingerprint}"
            )
            return USAGE
        click.echo(f"{settings.place} shows the {key.label}.", err=True)
        if not click.confirm("Is that what those who run the host say?", err=True):
            return NO
    return _tell(output, settings, key, "added", known.add(key))


def _tell(output: Output, settings: Settings, key: HostKey, outcome: str, file: str | None) -> int:
    if output.as_json:
        told: dict[str, Any] = {"host": settings.host, "port": settings.port, "outcome": outcome}
        output.document({**told, "type": key.kind, "fingerprint": key.fingerprint, "file": file})
    elif file is None:
        output.text(f"{settings.place} is known by this {key.label}.\n")
    else:
        output.text(f"{settings.place} is known now: the {key.label} was added to {file}.\n")
    return OK


def _settings(host: str, known_hosts: str | None, ssh_config: str | None) -> Settings:
    from clustrix_core.config import resolve
    from clustrix_core.discovery import load_backend
    from clustrix_core.profiles import load_config
    from clustrix_ssh.backend import SshFiles
    from clustrix_ssh.config import SshConfig
    from clustrix_ssh.settings import parse_host, settings_of

    files = {"known_hosts_file": known_hosts, "ssh_config_file": ssh_config}
    fields: dict[str, Any] = {name: value for name, value in files.items() if value is not None}
    if host.endswith(":") and host.count(":") == 1:
        config = load_config(host[:-1])
        backend: Any = load_backend(config.cluster_type)
        if not issubclass(backend, SshFiles):
            raise ConfigError(
                f"the profile {host[:-1]!r} is of the type {config.cluster_type!r}, which has no host key"
            )
        resolved = resolve(config, backend.config_model).model_copy(update=fields)
        settings: Settings = backend(resolved).new_connection().settings
        return settings
    name, user, port = parse_host(host)
    given = {"cluster_host": name, "username": user, "cluster_port": port, **fields}
    kept = {key: value for key, value in given.items() if value is not None}
    return settings_of(SshConfig(cluster_type="ssh", **kept))
