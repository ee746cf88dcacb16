"""The commands that move contents: `cat` and `cp`."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING

import click

from clustrix_core.cli.failures import OK, each
from clustrix_core.cli.output import Output
from clustrix_core.cli.places import Place, Places, PlaceType, place_options
from clustrix_core.cli.progress import transfer
from clustrix_core.cli.trees import check_not_copied, copy_folder
from clustrix_core.engine import Engine, decode
from clustrix_core.errors import printable
from clustrix_core.meter import Meter

if TYPE_CHECKING:
    from clustrix_core.filesystem import ClusterFilesystem
    from clustrix_core.hookspecs import Progress
BLOCK = 1 << 20


@click.command()
@click.argument("paths", metavar="[PROFILE:]PATH...", type=PlaceType(), nargs=-1, required=True)
@place_options
def cat(paths: Sequence[Place], places: Places) -> int:
    """Write contents of files to standard output."""
    output = Output()

    def write(place: Place) -> None:
        with places.filesystem(place.profile).open(place.path, "rb") as file:
            for block in _blocks(file):
                output.raw(block)

    return each(paths, write)


@click.command()
@click.argument("sources", metavar="SRC...", type=PlaceType(bare_is_here=True), nargs=-1, required=True)
@click.argument("target", metavar="DST", type=PlaceType(bare_is_here=True))
@click.option("-r", "--recursive", is_flag=True, help="Copy folders, from a place to this machine.")
@place_options
def cp(sources: Sequence[Place], target: Place, recursive: bool, places: Places) -> int:
    """Copy files to, from, within and between places.

    SRC and DST are PROFILE:PATH, or PATH for a file of this machine, which starts in the current folder. A
    name that is empty, :PATH, is the place of the options, or that of the active config. A DST that is a
    folder takes the file under its own name. A file appears under its name when it is whole. Between two
    places a file goes through a temporary folder of this machine.

    With --recursive, a folder is copied with all below it; links are copied as links, while FIFOs, sockets
    and devices are left out. Nothing is written through a link that is already in the copy.
    """
    if recursive and (target.profile is not None or any(source.profile is None for source in sources)):
        raise click.UsageError(
            "--recursive copies from a place to this machine only; for the other way, pack the folder (tar) "
            "and copy the archive"
        )
    if len(sources) > 1 or (target.path.endswith("/") and not recursive):
        _check_folder(target, places)
    copied: set[str] = set()  # files, as they are called below the target
    return each(sources, lambda source: _copy(source, target, recursive, places, copied))


def _check_folder(target: Place, places: Places) -> None:
    if target.profile is None:
        is_folder = os.path.isdir(Engine().real(target.path))
    else:
        is_folder = places.filesystem(target.profile).isdir(target.path)
    if not is_folder:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), target.path)


def _copy(source: Place, target: Place, recursive: bool, places: Places, copied: set[str]) -> int:
    if source.profile is not None and recursive:
        filesystem = places.filesystem(source.profile)
        if filesystem.isdir(source.path):
            return copy_folder(filesystem, source.path, target.path, copied)
        if target.path.endswith("/"):
            _check_folder(target, places)
    name = _name(source)
    check_not_copied(name, source.path, copied)
    _check_not_itself(source, target, places)
    with Meter(transfer(printable(name))) as meter:
        try:
            _copy_file(source, target, places, meter.progress)
        except IsADirectoryError as error:
            if source.profile is None or target.profile is not None or error.filename != source.path:
                raise
            raise IsADirectoryError(
                error.errno, f"{error.strerror}; --recursive copies it", error.filename
            ) from None
    copied.add(name)
    return OK


def _name(source: Place) -> str:
    return posixpath.basename(source.path.rstrip("/"))


def _check_not_itself(source: Place, target: Place, places: Places) -> None:
    from_, to = _real(source, places), _real(target, places)
    if from_ is None or to is None:
        return
    if os.path.isdir(to):
        to = os.path.join(to, os.path.basename(from_.rstrip(b"/")))
    if os.path.isdir(from_) or not os.path.exists(from_) or not os.path.exists(to):
        return
    if os.path.samefile(from_, to):
        raise OSError(errno.EINVAL, f"is the same file as {printable(decode(to))}", source.path)


def _real(place: Place, places: Places) -> bytes | None:
    """The path to give to this machine's system; None where the place is elsewhere."""
    if place.profile is None:
        return Engine().real(place.path)
    config = places.filesystem(place.profile).config
    return Engine(config.local_work_dir).real(place.path) if config.cluster_type == "local" else None


def _copy_file(source: Place, target: Place, places: Places, progress: Progress | None) -> None:
    if source.profile is None and target.profile is None:
        Engine().copy(source.path, target.path, progress or (lambda done, total: None))
    elif target.profile is None:
        places.filesystem(source.profile).get(source.path, target.path or ".", progress=progress)
    elif source.profile is None:
        places.filesystem(target.profile).put(source.path, target.path, progress=progress)
    else:
        from_, to = places.filesystem(source.profile), places.filesystem(target.profile)
        _copy_through(from_, source, to, target.path, progress)


def _copy_through(
    source_place: ClusterFilesystem,
    source: Place,
    target_place: ClusterFilesystem,
    target: str,
    progress: Progress | None,
) -> None:
    """Copy from one place to another: each half is verified, and brings the mode."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="clustrix-") as folder:
        here = posixpath.join(folder, _name(source))
        size = source_place.get(source.path, here, progress=_half(progress, 0))
        target_place.put(here, target, progress=_half(progress, size))


def _half(progress: Progress | None, before: int) -> Progress | None:
    """The progress of one of two transfers of a file."""
    if progress is None:
        return None
    return lambda done, total: progress(before + done, total and 2 * total)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(BLOCK), b"")


COMMANDS: Iterable[click.Command] = (cat, cp)
