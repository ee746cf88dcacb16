"""The commands about Clustrix itself: `plugins`, `config` and `completion`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from clustrix_core.cli.failures import OK
from clustrix_core.cli.output import Output, output_options
from clustrix_core.cli.places import complete_profile
from clustrix_core.errors import printable

if TYPE_CHECKING:
    from clustrix_core.config import ClusterConfig
    from clustrix_core.discovery import Kind


@click.command()
@output_options(null=False)
def plugins(output: Output) -> int:
    """List the installed backends and extensions.

    Each is imported and checked. One that is broken harms only whoever selects it, so the exit code is 0.
    """
    from clustrix_core.discovery import check, installed

    kinds: tuple[Kind, ...] = ("backend", "extension")
    found = [(plugin, check(plugin)) for kind in kinds for plugin in installed(kind)]
    if output.as_json:
        names = ("kind", "name", "distribution", "version")
        output.document(
            [
                {name: getattr(plugin, name) for name in names} | {"problem": problem}
                for plugin, problem in found
            ]
        )
        return OK
    rows = [
        (plugin.kind, printable(plugin.name), plugin.distribution, plugin.version, printable(problem or "ok"))
        for plugin, problem in found
    ]
    output.table(("KIND", "NAME", "DISTRIBUTION", "VERSION", "STATUS"), rows)
    return OK


@click.command()
@click.argument("profile", metavar="[PROFILE:]", required=False, shell_complete=complete_profile)
@click.option("--profiles", is_flag=True, help="List the profiles instead, and the files that they are in.")
@output_options(null=False)
def config(profile: str | None, profiles: bool, output: Output) -> int:
    """Show a config, and where its values come from.

    By default it is the active config.

    A value comes from a file (and its line), from a CLUSTRIX_ variable, or is the default. Secrets are
    masked.
    """
    if profiles:
        if profile is not None:
            raise click.UsageError("give a profile, or --profiles")
        return _list_profiles(output)
    from clustrix_core.profiles import explain_config

    explained = explain_config(profile and profile.removesuffix(":"))
    values = _shown(explained.config)
    if output.as_json:
        output.document(
            {name: {"value": value, "origin": explained.origins[name]} for name, value in values.items()}
        )
        return OK
    rows = [(name, _cell(value), printable(explained.origins[name])) for name, value in values.items()]
    output.table(("FIELD", "VALUE", "ORIGIN"), rows)
    return OK


def _list_profiles(output: Output) -> int:
    from clustrix_core.profiles import list_profiles

    files = list_profiles()
    if output.as_json:
        output.document(files)
    else:
        output.table(
            ("PROFILE", "FILE"), [(printable(name), printable(file)) for name, file in files.items()]
        )
    return OK


def _shown(config: ClusterConfig) -> dict[str, Any]:
    """The fields as JSON knows them, without what may be secret."""
    from clustrix_core.config import secret_fields

    model = type(config)
    secret = secret_fields(model) | {name for name, field in model.model_fields.items() if not field.repr}
    hidden = {name for name in secret if getattr(config, name) is not None}
    values = config.model_dump(mode="json", include=model.model_fields.keys() - hidden)
    return {name: "***" if name in hidden else _finite(values[name]) for name in model.model_fields}


def _finite(value: Any) -> Any:
    """A number that JSON has: infinity becomes text, which a config takes as well."""
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _cell(value: Any) -> str:
    if value is None or value == [] or value == {}:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, dict):
        return ", ".join(f"{printable(name)}={_cell(item)}" for name, item in value.items())
    return printable(value)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Write a shell's completion script.

    \b
    bash: eval "$(clustrix completion bash)"          in ~/.bashrc
    zsh:  eval "$(clustrix completion zsh)"           in ~/.zshrc
    fish: clustrix completion fish | source           in ~/.config/fish/config.fish
    """
    from clustrix_core.cli.completion import script

    Output().text(script(shell))
    return OK


COMMANDS: Iterable[click.Command] = (plugins, config, completion)
