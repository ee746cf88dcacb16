"""The commands that move contents: `cat` and `cp`."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING

import click

from clustrix_core.cli.failures import OK, each
from clustrix_core.cli.output import Output
from clustrix_core.cli.places import Place, Places, PlaceType, place_options
from clustrix_core.cli.progress import Meter, transfer
from clustrix_core.engine import Engine, decode, encode
from clustrix_core.errors import BackendIncompatibleError, printable

if TYPE_CHECKING:
    from clustrix_core.filesystem import ClusterFilesystem
    from clustrix_core.hookspecs import Progress
    from clustrix_core.models import FileInfo
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
    folder takes the file under its own name. A file appears under its name when it is whole.

    With --recursive, a folder is copied with all below it; links are copied as links, while FIFOs, sockets
    and devices are left out.
    """
    if recursive and (target.profile is not None or any(source.profile is None for source in sources)):
        raise click.UsageError(
            "--recursive copies from a place to this machine only; for the other way, pack the folder (tar) "
            "and copy the archive"
        )
    if len(sources) > 1 or target.path.endswith("/"):
        _check_folder(target, places)
    return each(sources, lambda source: _copy(source, target, recursive, places))


def _check_folder(target: Place, places: Places) -> None:
    if target.profile is None:
        is_folder = os.path.isdir(_here(target.path))
    else:
        is_folder = places.filesystem(target.profile).isdir(target.path)
    if not is_folder:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), target.path)


def _copy(source: Place, target: Place, recursive: bool, places: Places) -> int:
    if source.profile is not None and recursive:
        filesystem = places.filesystem(source.profile)
        if filesystem.isdir(source.path):
            return _copy_folder(filesystem, source.path, target.path)
    with Meter(transfer(printable(posixpath.basename(source.path)))) as meter:
        try:
            _copy_file(source, target, places, meter.progress)
        except IsADirectoryError as error:
            if source.profile is None or recursive or error.filename != source.path:
                raise
            raise IsADirectoryError(
                error.errno, f"{error.strerror}; --recursive copies it", error.filename
            ) from None
    return OK


def _copy_file(source: Place, target: Place, places: Places, progress: Progress | None) -> None:
    if source.profile is None and target.profile is None:
        _copy_here(source.path, target.path, progress)
    elif target.profile is None:
        places.filesystem(source.profile).get(source.path, target.path or ".", progress=progress)
    elif source.profile is None:
        places.filesystem(target.profile).put(source.path, target.path, progress=progress)
    else:
        from_, to = places.filesystem(source.profile), places.filesystem(target.profile)
        _copy_through(from_, source.path, to, target.path, progress)


def _copy_here(source: str, target: str, progress: Progress | None) -> None:
    Engine().copy(source, target, progress or (lambda done, total: None))


def _copy_through(
    source_place: ClusterFilesystem,
    source: str,
    target_place: ClusterFilesystem,
    target: str,
    progress: Progress | None,
) -> None:
    """Copy from one place to another, through this machine's memory."""
    if target_place.isdir(target):
        target = posixpath.join(target or ".", posixpath.basename(source.rstrip("/")))
    size = source_place.stat(source).size
    done = 0
    with source_place.open(source, "rb") as reader, target_place.open(target, "wb") as writer:
        for block in _blocks(reader):
            writer.write(block)
            done += len(block)
            if progress:
                progress(done, size)
        if done != size:
            raise OSError(errno.EIO, "the file changed while it was copied", source)


def _copy_folder(place: ClusterFilesystem, source: str, target: str) -> int:
    """Copy a folder of a place to this machine; report what can't be copied, and go on."""
    root = os.path.abspath(_here(target))
    name = posixpath.basename(source.rstrip("/"))
    if name not in ("", ".", "..", "~") and os.path.isdir(root):
        root = os.path.join(root, encode(name))
    source = _spelled(place, source)
    prefix = source.rstrip("/") + "/"
    # All is listed before anything is made, lest a copy into the folder itself goes on for ever.
    folders = place.find("*", source, type="d")
    files = place.find("*", source, detail=True)
    links = place.find("*", source, type="l")

    def copied(path: str) -> bytes:
        return os.path.join(root, encode(_below(prefix, path)))

    os.makedirs(root, exist_ok=True)
    code = each(folders, lambda path: os.makedirs(copied(path), exist_ok=True))
    code = max(code, _copy_files(place, files, copied))
    # Links come last, so that nothing is written through one.
    return max(code, each(links, lambda path: _link(place.readlink(path), copied(path))))


def _copy_files(place: ClusterFilesystem, files: Sequence[FileInfo], copied: Callable[[str], bytes]) -> int:
    done = 0
    size = sum(info.size for info in files)
    with Meter(transfer(f"{len(files)} files")) as meter:

        def get(info: FileInfo) -> None:
            nonlocal done
            update = meter.progress
            progress = update and (lambda bytes_done, _: update(done + bytes_done, size))
            done += place.get(info.path, decode(copied(info.path)), progress=progress)

        return each(files, get, meter.clear)


def _link(to: str, name: bytes) -> None:
    """Make a symbolic link, in the stead of one that is there."""
    if os.path.islink(name):
        os.unlink(name)
    os.symlink(encode(to), name)


def _spelled(place: ClusterFilesystem, root: str) -> str:
    """A root such that all that is found below begins with it and a slash."""
    if root == "~" or root.startswith("~/"):
        return place.stat(root).path
    return "./." if root.rstrip("/") in ("", ".") and not root.startswith("/") else root


def _below(prefix: str, path: str) -> str:
    """The part of a path below a root; nothing that a host says may lead out of it."""
    rest = path.removeprefix(prefix)
    if not path.startswith(prefix) or {"", ".", ".."} & set(rest.split("/")):
        raise BackendIncompatibleError(
            f"the backend says that {printable(path)!r} is below {printable(prefix)!r}, and it is not; "
            "the rest was not copied"
        )
    return rest


def _here(path: str) -> bytes:
    """A path of this machine, as the system takes it."""
    return Engine().real(path)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(BLOCK), b"")


COMMANDS: Iterable[click.Command] = (cat, cp)
