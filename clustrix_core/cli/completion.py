"""Completion in the shell: click's, which learns here what places are, and how bash cuts and quotes words."""

from __future__ import annotations

import os
import re
import warnings
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
    """Click's own takes the words that bash makes of the line, which end at colons and the like."""

    name = "bash"
    source_template = """\
%(complete_func)s() {
    local value
    COMPREPLY=()
    while IFS= read -r value; do
        COMPREPLY+=("$value")
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORD="$2" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        *words, incomplete = _words_up_to_the_cursor(os.environ["COMP_LINE"])
        return words[1:], incomplete

    def complete(self) -> str:
        # Bash replaces what it takes for the word, and leaves alone what stands before: a quote, say, or
        # what ends in one of COMP_WORDBREAKS.
        kept = os.environ["COMP_LINE"].removesuffix(os.environ["COMP_WORD"])
        length = len(_words_up_to_the_cursor(kept)[-1])
        quote = _open_quote(kept)
        values = (item.value[length:] for item in self.get_completions(*self.get_completion_args()))
        return "\n".join(_escaped(value, quote) for value in values)


def _words_up_to_the_cursor(line: str) -> list[str]:
    """The words of a line; the last is the one at its end, perhaps empty, perhaps in an open quote."""
    *words, last = split_arg_string(line + "x")
    return [*words, last[:-1]]


def _open_quote(line: str) -> str:
    """The quote that is open at the end of a line, or nothing."""
    quote = ""
    chars = iter(line)
    for char in chars:
        if char == "\\" and quote != "'":
            next(chars, None)
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
    return quote


def _escaped(value: str, quote: str) -> str:
    """A value as bash reads it back where this quote is open."""
    if quote == "'":
        return value.replace("'", r"'\''")
    if quote == '"':
        return re.sub(r'(["\\$`])', r"\\\1", value).replace("!", '"\\!"')
    return re.sub(r"([^\w@%+=:,./~-])", r"\\\1", value)


class Fish(FishComplete):
    """Click's own cuts values at commas."""

    source_template = """\
function %(complete_func)s
    env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) \\
        %(prog_name)s 2>/dev/null
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.value}\t{item.help}" if item.help else item.value


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": ZshComplete, "fish": Fish}


def script(shell: str) -> str:
    """The script for bash, zsh or fish, which makes the shell ask this program."""
    return SHELLS[shell](click.Command(PROGRAM), {}, PROGRAM, VARIABLE).source()


def complete(cli: click.Command) -> int:
    """Answer the shell, which asks through variables."""
    shell, _, _ = os.environ[VARIABLE].partition("_")
    if shell not in SHELLS:
        return USAGE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they would be shown in the middle of what is being typed
        try:
            found = SHELLS[shell](cli, {}, PROGRAM, VARIABLE).complete()
        except click.UsageError:
            return USAGE
    if found:  # an empty line would be a completion
        click.echo(found)
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
