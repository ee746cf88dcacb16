"""The command for authors of backends: `new-backend`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clustrix_core._version import __version__
from clustrix_core.cli.failures import OK
from clustrix_core.cli.output import Output
from clustrix_core.errors import ClustrixError, printable

if TYPE_CHECKING:
    from importlib.abc import Traversable

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
LONGEST = 60
TAKEN = ("core", "local", "slurm", "ssh")


def _name(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if not NAME.fullmatch(value) or len(value) > LONGEST:
        raise click.BadParameter(
            f"{printable(value)!r} is no name for a cluster_type: take lower-case letters, digits, and "
            f"single hyphens between them, {LONGEST} characters at most, such as 'acme' or 'my-site'"
        )
    if value in TAKEN:
        raise click.BadParameter(f"clustrix-{value} is a package of Clustrix itself: take another name")
    return value


@click.command("new-backend", short_help="Write the package of a new backend.")
@click.argument("name", callback=_name)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def new_backend(name: str, folder: Path | None) -> int:
    """Write the package of a new backend, which works and passes the conformance suite as it is.

    NAME is its cluster_type. The package is written to FOLDER, by default ./clustrix-NAME, which must not
    exist yet, or be empty.
    """
    folder = folder or Path(f"clustrix-{name.replace('_', '-')}")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ClustrixError(f"{printable(folder)} exists: name another folder, or move it away")
    written = [*render(name, folder)]
    output = Output()
    output.text("".join(f"{printable(path)}\n" for path in written))
    output.text(
        f"\nNext:\n  cd {printable(folder)}\n"
        '  pip install -e ".[test]"\n'
        "  pytest\n"
        f"and try it: clustrix ls --type {name}\n"
    )
    return OK


def render(name: str, folder: Path) -> Iterator[Path]:
    """Write the skeleton's files, with this name in place of `acme`.

    Yields:
        The files, as they are written.
    """
    from importlib.resources import files

    words = {
        "clustrix-acme": f"clustrix-{name.replace('_', '-')}",
        "clustrix_acme": f"clustrix_{name.replace('-', '_')}",
        "Acme": "".join(part.capitalize() for part in re.split("[-_]", name)),
        "acme": name,
        "clustrix-core>=0.0.0": f"clustrix-core>={__version__}",
    }

    def named(text: str) -> str:
        return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], text)

    for path, source in _files(files("clustrix_core") / "skeleton", ""):
        target = folder / named(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(named(source.read_text("utf-8")), "utf-8")
        yield target


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name == "__pycache__":
            continue
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            # Under its own name it would rule over what is beside it.
            yield prefix + entry.name.replace("gitignore", ".gitignore"), entry


COMMANDS: Iterable[click.Command] = (new_backend,)
