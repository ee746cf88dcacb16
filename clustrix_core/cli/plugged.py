"""Commands that other distributions bring: entry points of the group `clustrix.commands`."""

from __future__ import annotations

from typing import Any

import click

from clustrix_core.errors import BackendLoadError, printable

# What a list of commands says of Clustrix's own, which aren't imported for it.
SHORT_HELP = {
    ("clustrix-slurm", "cluster"): "Show what there is on a SLURM cluster",
    ("clustrix-ssh", "trust"): "Make the key of a host known",
}


class PluggedGroup(click.Group):
    """A group whose own commands come first; others are listed from metadata, and imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_distributions()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name in (known := _distributions()):
            told = SHORT_HELP.get((known[cmd_name], cmd_name), f"See `clustrix {cmd_name} --help`")
            command = click.Command(cmd_name, short_help=f"{told} ({known[cmd_name]}).")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and args[0] not in _distributions():
            _name_its_distribution(ctx, args[0])
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name not in self.commands and command is not None:
            command = _load(name)
        return name, command, rest


def _distributions() -> dict[str, str]:
    from clustrix_core.discovery import installed

    return {plugin.name: plugin.distribution for plugin in reversed(installed("command"))}


def _name_its_distribution(ctx: click.Context, name: str) -> None:
    from clustrix_core.discovery import OWN

    if name in OWN["command"]:
        distribution = OWN["command"][name]
        ctx.fail(f"The command {name!r} comes with {distribution}: `pip install {distribution}`.")


def _load(name: str) -> click.Command:
    from importlib.metadata import EntryPoint

    from clustrix_core.discovery import GROUPS, installed

    plugin = next(plugin for plugin in installed("command") if plugin.name == name)
    try:
        found: Any = EntryPoint(plugin.name, plugin.value, GROUPS["command"]).load()
    except Exception as error:
        raise BackendLoadError(
            f"the command {name!r} of {plugin.source} can't be loaded: {type(error).__name__}: "
            f"{printable(error)}; upgrade, reinstall or uninstall {plugin.distribution}"
        ) from error
    if not isinstance(found, click.Command):
        raise BackendLoadError(
            f"the command {name!r} of {plugin.source} is no click command; tell its authors"
        )
    return found
