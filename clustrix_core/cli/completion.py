"""Completion in the shell: click's, which learns here what places are, and what bash does about colons."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

from clustrix_core.cli.failures import OK, USAGE

if TYPE_CHECKING:
    from clustrix_core.cli.places import Place, Places

PROGRAM = "clustrix"
VARIABLE = "_CLUSTRIX_COMPLETE"


class Bash(ShellComplete):
    """Click's own takes the words that bash makes of the line, which end at colons."""

    name = "bash"
    source_template = """\
%(complete_func)s() {
    local value
    COMPREPLY=()
    while IFS= read -r value; do
        COMPREPLY+=("$value")
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)[1:]
        if not words or line[-1].isspace():
            return words, ""
        return words[:-1], words[-1]

    def complete(self) -> str:
        words, incomplete = self.get_completion_args()
        # Bash leaves alone what stands before the last colon.
        kept = incomplete.rfind(":") + 1 if ":" in os.environ.get("COMP_WORDBREAKS", "") else 0
        values = (item.value[kept:] for item in self.get_completions(words, incomplete))
        return "\n".join(re.sub(r"([^\w@%+=:,./~-])", r"\\\1", value) for value in values)


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": ZshComplete, "fish": FishComplete}


def script(shell: str) -> str:
    """The script for bash, zsh or fish, which makes the shell ask this program."""
    return SHELLS[shell](click.Command(PROGRAM), {}, PROGRAM, VARIABLE).source()


def complete(cli: click.Command) -> int:
    """Answer the shell, which asks through variables."""
    shell, _, _ = os.environ[VARIABLE].partition("_")
    if shell not in SHELLS:
        return USAGE
    click.echo(SHELLS[shell](cli, {}, PROGRAM, VARIABLE).complete())
    return OK


def profiles(incomplete: str) -> list[str]:
    """The names of profiles that begin so; none where they can't be read."""
    with suppress(Exception):  # nobody can be told
        from clustrix_core.profiles import list_profiles

        return [name for name in list_profiles() if name.startswith(incomplete) and name.isprintable()]
    return []


def complete_place(place: Place, places: Places, bare_is_here: bool) -> list[CompletionItem]:
    """Complete `PROFILE:PATH`: names of profiles, and paths in their places.

    Args:
        place: what has been typed.
        places: knows the options on the line.
        bare_is_here: whether a path without a profile is a file of this machine.
    """
    head = "" if place.profile is None else f"{place.profile}:"
    values = [head + path for path in _paths(place, places, bare_is_here)]
    if place.profile is None and "/" not in place.path:
        values = [f"{name}:" for name in profiles(place.path)] + [
            value for value in values if ":" not in value
        ]
    return [CompletionItem(value) for value in values]


def _paths(place: Place, places: Places, bare_is_here: bool) -> list[str]:
    """The paths that begin like the place's; folders end in a slash."""
    head, slash, begun = place.path.rpartition("/")
    folder = head + slash
    with suppress(Exception):  # nobody can be told
        entries = _here(folder) if bare_is_here and place.profile is None else _there(place, folder, places)
        return [
            f"{folder}{name}{'/' if is_dir else ''}"
            for name, is_dir in entries
            if name.startswith(begun) and name.isprintable() and (begun or not name.startswith("."))
        ]
    return []


def _there(place: Place, folder: str, places: Places) -> Iterable[tuple[str, bool]]:
    return ((info.name, info.is_dir) for info in places.filesystem(place.profile).ls(folder, detail=True))


def _here(folder: str) -> Iterator[tuple[str, bool]]:
    from clustrix_core.engine import Engine, decode

    for entry in sorted(os.scandir(Engine().real(folder)), key=lambda entry: entry.name):
        yield decode(entry.name), entry.is_dir()
