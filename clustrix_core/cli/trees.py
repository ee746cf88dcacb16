"""Copying a folder of a place, with all below it, to this machine."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clustrix_core.cli.failures import each
from clustrix_core.cli.progress import transfer
from clustrix_core.engine import Engine, decode, encode, is_at_home
from clustrix_core.errors import BackendIncompatibleError, printable
from clustrix_core.meter import Meter

if TYPE_CHECKING:
    from clustrix_core.filesystem import ClusterFilesystem
    from clustrix_core.models import FileInfo

_NAMELESS = ("", ".", "..", "~")


def copy_folder(place: ClusterFilesystem, source: str, target: str, copied: set[str]) -> int:
    """Copy a folder; report what can't be copied, and go on. Returns the exit code.

    Args:
        place: where the folder is.
        source: the folder.
        target: the folder to make here; one that is there takes the copy under its own name.
        copied: the files that this command has made below the target so far; they are not overwritten.

    Raises:
        FileExistsError: something else stands where the folder belongs.
    """
    if is_at_home(source):
        source = place.stat(source).path
    # All is listed before anything is made, lest a copy into the folder itself goes on for ever.
    root = place.stat(source)
    folders = place.find("*", source, type="d", detail=True)
    files = place.find("*", source, detail=True)
    links = place.find("*", source, type="l")
    copy = _Copy(place, source, target, copied)
    try:
        copy.start(root.mode)
        code = each(folders, copy.make_folder)
        code = max(code, copy.get_all(files))
        # Links come last, so that the folders made here stay what they are.
        code = max(code, each(links, copy.make_link))
    finally:
        permitted = each(reversed(copy.modes.items()), lambda item: copy.permit(*item))
    return max(code, permitted)


class _Copy:
    """A copy in the making. Below the folder that the user named, nothing is written through a link.

    Attributes:
        modes: the folders that were made, parents first, and the modes that they get in the end.
    """

    def __init__(self, place: ClusterFilesystem, source: str, target: str, copied: set[str]) -> None:
        self._place = place
        gives_bare_names = source.rstrip("/") in ("", ".") and not source.startswith("/")
        self._prefix = "" if gives_bare_names else source.rstrip("/") + "/"
        self._target = os.path.abspath(Engine().real(target))
        name = posixpath.basename(source.rstrip("/"))
        self._name = name if name not in _NAMELESS and os.path.isdir(self._target) else ""
        self._copied = copied
        self._umask = _umask()
        self.modes: dict[bytes, int] = {}

    def start(self, mode: int) -> None:
        """Make the folder itself."""
        if self._name:
            self._make(os.path.join(self._target, encode(self._name)), mode)
        elif not os.path.isdir(self._target):
            os.makedirs(os.path.dirname(self._target), exist_ok=True)
            self._make(self._target, mode)

    def make_folder(self, info: FileInfo) -> None:
        self._make(self._checked(self._below(info.path)), info.mode)

    def get_all(self, files: Sequence[FileInfo]) -> int:
        """Copy files. Returns the exit code."""
        done = 0
        size = sum(info.size for info in files)
        with Meter(transfer(f"{len(files)} files")) as meter:

            def get(info: FileInfo) -> None:
                nonlocal done
                update = meter.progress
                progress = update and (lambda bytes_done, _: update(done + bytes_done, size))
                below = self._below(info.path)
                check_not_copied(below, info.path, self._copied)
                target = self._checked(below)
                _check_free_for_file(target)
                done += self._place.get(info.path, decode(target), progress=progress)
                self._copied.add(below)

            return each(files, get, meter.clear)

    def make_link(self, path: str) -> None:
        """Make a symbolic link, in the stead of one that is there."""
        link = self._checked(self._below(path))
        to = encode(self._place.readlink(path))
        if os.path.islink(link):
            os.unlink(link)
        os.symlink(to, link)

    def permit(self, folder: bytes, mode: int) -> None:
        """Give a folder its mode; what it inherited from its parent, such as the group, stays."""
        inherited = stat.S_IMODE(os.lstat(folder).st_mode) & ~0o777
        os.chmod(folder, inherited | mode & 0o777 & ~self._umask)

    def _make(self, folder: bytes, mode: int) -> None:
        """Make a folder that only its owner can enter, until all is in it."""
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            _check_folder(folder)
        else:
            self.modes[folder] = mode

    def _below(self, path: str) -> str:
        """A path as it is below the target; nothing that a host says may lead out of there."""
        rest = path.removeprefix(self._prefix or "./")
        if not path.startswith(self._prefix) or {"", ".", ".."} & set(rest.split("/")):
            raise BackendIncompatibleError(
                f"the backend says that {printable(path)!r} is below {printable(self._prefix)!r}, "
                "and it is not; the rest was not copied"
            )
        return f"{self._name}/{rest}" if self._name else rest

    def _checked(self, below: str) -> bytes:
        """The path on this machine, once all folders on the way to it prove to be real ones."""
        path = self._target
        *folders, name = encode(below).split(b"/")
        for folder in folders:
            path = os.path.join(path, folder)
            _check_folder(path)
        return os.path.join(path, name)


def check_not_copied(below: str, source: str, copied: set[str]) -> None:
    """Refuse to overwrite what this very command has made.

    Raises:
        FileExistsError: another source had the same name.
    """
    if below in copied:
        raise FileExistsError(
            errno.EEXIST, f"will not overwrite just-created {printable(below)!r}; copy it by itself", source
        )


def _check_folder(path: bytes) -> None:
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        raise _in_the_way(path, "folder")


def _check_free_for_file(path: bytes) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "cannot overwrite a folder with a file", path)
    if stat.S_ISLNK(mode):
        raise _in_the_way(path, "file")


def _in_the_way(path: bytes, what: str) -> FileExistsError:
    thing = "a link, which is not followed," if os.path.islink(path) else "something else"
    return FileExistsError(errno.EEXIST, f"{thing} stands where a {what} belongs; move it away", path)


def _umask() -> int:
    mask = os.umask(0o077)  # it can't be read without being set
    os.umask(mask)
    return mask
