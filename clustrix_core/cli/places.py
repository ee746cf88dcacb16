"""How a command line names places: `PROFILE:PATH`, or options that describe one."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from clustrix_core.config import ClusterConfig
    from clustrix_core.filesystem import ClusterFilesystem

_ESCAPE = "a path that has a colon before its first slash is written ./name:rest"


class Place(NamedTuple):
    """A path, and where it is.

    Attributes:
        profile: the name of a profile; empty for the place of the options, else of the active config;
            None where the command line names no place.
        path: the path there.
    """

    profile: str | None
    path: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read `[PROFILE:]PATH` as scp does: only a colon before the first slash ends a profile's name."""
        head, colon, rest = text.partition(":")
        if not colon or "/" in head:
            return cls(None, text)
        return cls(head, rest)


def utf8(argument: str) -> str:
    """An argument as Clustrix spells names: UTF-8 with `surrogateescape`, whatever the locale."""
    return os.fsencode(argument).decode("utf-8", "surrogateescape")


class PlaceType(click.ParamType):  # type: ignore[type-arg]
    """A command's `[PROFILE:]PATH`.

    Args:
        bare_is_here: whether a path without a profile is a file of this machine (else, of the active config).
    """

    name = "place"

    def __init__(self, bare_is_here: bool = False) -> None:
        self._bare_is_here = bare_is_here

    def convert(self, value: str | Place, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        if value == "":
            self.fail("a path can't be empty; . is the folder where relative paths start", param, ctx)
        return value if isinstance(value, Place) else Place.parse(utf8(value))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from clustrix_core.cli.completion import complete_place

        return complete_place(Place.parse(utf8(incomplete)), Places.of(dict(ctx.params)), self._bare_is_here)


class Places:
    """The filesystems that one command line speaks of.

    Args:
        profile: the option `--profile`.
        fields: what the other options say, as fields of a config.
        trace: whether to wrap every operation with the extension `trace`.

    Raises:
        click.UsageError: both are given.
    """

    def __init__(self, profile: str | None, fields: dict[str, str], trace: bool) -> None:
        if profile is not None and fields:
            raise click.UsageError(
                "--profile names a place, and --type, --host, --user, --workdir describe one: use one way"
            )
        self._profile = profile
        self._fields = fields
        self._trace = trace
        self._open: dict[str, ClusterFilesystem] = {}

    @classmethod
    def of(cls, options: dict[str, Any], trace: bool = False) -> Places:
        """Take the options that `place_options` adds out of all of a command's parameters.

        Raises:
            click.UsageError: one is empty, or they contradict each other.
        """
        given = {name: options.pop(name, None) for name in _OPTIONS}
        for name, value in given.items():
            if value == "":
                raise click.UsageError(f"--{name} is empty: give a value, or leave it out")
        profile, kind, host, user, workdir = given.values()
        fields = {"cluster_host": host, "username": user}
        if any((kind, host, user, workdir)):
            fields["cluster_type"] = kind or ("ssh" if host else "local")
            # Each backend reads the one for its side.
            fields["local_work_dir"] = fields["remote_work_dir"] = workdir
        return cls(profile, {name: value for name, value in fields.items() if value is not None}, trace)

    def filesystem(self, profile: str | None) -> ClusterFilesystem:
        """The filesystem of a profile; without a name, that of the options, else of the active config.

        Raises:
            click.UsageError: the place is named twice.
            ConfigError: there is no such profile, or its fields are wrong.
        """
        from clustrix_core.errors import ConfigError
        from clustrix_core.filesystem import ClusterFilesystem

        name = self.named(profile)
        if name not in self._open:
            try:
                self._open[name] = ClusterFilesystem(self.config(name))
            except ConfigError as error:
                if not name or _is_profile(name):
                    raise
                raise ConfigError(f"{error}; {_ESCAPE}") from None
        return self._open[name]

    def named(self, profile: str | None) -> str:
        """The name of a profile, empty for the place of the options or of the active config.

        Raises:
            click.UsageError: the place is named twice.
        """
        name = profile or ""
        if name and (self._profile is not None or self._fields):
            raise click.UsageError(f"the place is named twice, by {name + ':'!r} and by options; {_ESCAPE}")
        return name

    def config(self, name: str) -> ClusterConfig:
        """The config of a profile; without a name as `filesystem`."""
        return self._extended(self._config(name))

    def _config(self, name: str) -> ClusterConfig:
        from clustrix_core.config import ClusterConfig
        from clustrix_core.profiles import fill_secrets, get_config, load_config

        if self._fields:
            return fill_secrets(ClusterConfig(**self._fields))
        if self._profile is not None:
            return load_config(self._profile)
        return load_config(name) if name else get_config()

    def _extended(self, config: ClusterConfig) -> ClusterConfig:
        if not self._trace or "trace" in config.extensions:
            return config
        return config.model_copy(update={"extensions": ("trace", *config.extensions)})


def _is_profile(name: str) -> bool:
    from clustrix_core.errors import ConfigError
    from clustrix_core.profiles import list_profiles

    with suppress(ConfigError):
        return name in list_profiles()
    return True


def complete_profile(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a profile."""
    from clustrix_core.cli.completion import profiles

    return [CompletionItem(name) for name in profiles(incomplete)]


def complete_backend(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a backend."""
    from clustrix_core.discovery import installed

    return [CompletionItem(each.name) for each in installed("backend") if each.name.startswith(incomplete)]


_OPTIONS = ("profile", "type", "host", "user", "workdir")


def place_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options that describe a place; the command gets them as one argument, `places`."""

    @click.option(
        "--profile",
        metavar="NAME",
        help="Work in the place of this profile.",
        shell_complete=complete_profile,
    )
    @click.option(
        "--type",
        metavar="BACKEND",
        help="Work in a place of this type; without it, ssh if there is a --host, else local.",
        shell_complete=complete_backend,
    )
    @click.option("--host", help="The place's host.")
    @click.option("--user", help="The user's name on the host.")
    @click.option("--workdir", metavar="DIR", help="The folder in the place where relative paths start.")
    @click.pass_context
    @functools.wraps(command)
    def wrapper(ctx: click.Context, /, **parameters: Any) -> int:
        places = Places.of(parameters, trace=ctx.find_root().params["trace"])
        return command(places=places, **parameters)

    return wrapper
