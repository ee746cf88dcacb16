"""The operations over SFTP, for places without a Python, or without a shell."""

from __future__ import annotations

import errno
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from clustrix_core.engine import (
    ABSENT,
    PATH_MAX,
    Engine,
    Listing,
    decode,
    guarded,
    leave_out_long,
    no_tick,
    renamed,
)
from clustrix_ssh import sftp_client as sftp
from clustrix_ssh.sftp_client import Attributes, SftpClient, SftpStatusError, string
from clustrix_ssh.sftp_files import FLAG_CREATE, FLAG_EXCLUSIVE, FLAG_WRITE, SftpFile, open_file
from clustrix_ssh.sftp_folders import ReadAhead, Reading, plain

if TYPE_CHECKING:
    from clustrix_core.engine import Fail, Record, Tick

T = TypeVar("T")

MISSING = frozenset({"hardlinks", "subsecond_mtime", "mtime_before_1970", "fine_errno", "long_paths"})
"""The capabilities that SFTP version 3 takes from a backend."""

HARD_LINKS = (
    "du over SFTP counts the bytes of a file once for each of its hard links, which all look like files"
)


class SftpSystem(Engine):
    """What an engine asks the system, asked of an SFTP server.

    Args:
        client: the connection to the server.
        work_dir: where relative paths start; else at the folder in which the server starts, which is the
            home folder unless it is configured otherwise.
    """

    def __init__(self, client: SftpClient, work_dir: str | None = None) -> None:
        self.client = client
        super().__init__(work_dir)

    # paths and single files: one round trip each

    def home(self) -> bytes:
        return self.client.home

    def look(self, real: bytes, follow: bool = True) -> os.stat_result:
        (found,) = self.looks([real], follow)
        if isinstance(found, OSError):
            raise found
        return found

    def looks(self, reals: list[bytes], follow: bool = True) -> Iterator[os.stat_result | OSError]:
        # `Attributes` have all that an engine looks for.
        return cast(
            "Iterator[os.stat_result | OSError]",
            self._ask_all(sftp.STAT if follow else sftp.LSTAT, reals, sftp.ATTRS),
        )

    def identities(self, reals: list[bytes]) -> Iterator[Any]:
        """Without inodes: the path that the server makes of it, links resolved."""
        for answer in self._ask_all(sftp.REALPATH, reals, sftp.NAME):
            yield answer if isinstance(answer, OSError) else answer[0][0]

    def target(self, real: bytes) -> bytes:
        (answer,) = self._ask_all(sftp.READLINK, [real], sftp.NAME)
        if isinstance(answer, OSError):
            raise self._explained(answer, real)
        target: bytes = answer[0][0]
        return target

    def _ask_all(self, kind: int, reals: list[bytes], expected: int) -> Iterator[Any]:
        sound = [real for real in reals if len(real) <= sftp.LONGEST_PATH]
        answers = self.client.ask_all(kind, map(string, sound), expected)
        for real in reals:
            if len(real) > sftp.LONGEST_PATH:
                yield OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), real)
                continue
            answer = next(answers)
            yield sftp.os_error(answer, real) if isinstance(answer, SftpStatusError) else answer

    def record(self, path: str, real: bytes, follow: bool) -> Record:
        return as_record(path, self.look(real, follow))

    def stat(self, path: str, follow: bool) -> Record:
        return self._with_reasons(path, lambda: super(SftpSystem, self).stat(path, follow))

    def stats(self, paths: list[str], follow: bool) -> Iterator[Record | OSError]:
        """As many in one round trip as may be under way, and one more for all that are missing."""
        reals = [self.real(path) for path in paths]
        found = list(self.looks(reals, follow))
        doubtful = [real for real, one in zip(reals, found, strict=True) if is_doubtful(one)]
        files = self._files_among([above(real) for real in doubtful])
        for path, real, one in zip(paths, reals, found, strict=True):
            if isinstance(one, OSError):
                yield renamed(not_a_folder(real) if is_doubtful(one) and files & above(real) else one, path)
            else:
                yield as_record(self.shown(path), one)

    def status(self, path: str) -> os.stat_result:
        return self._with_reasons(path, lambda: super(SftpSystem, self).status(path))

    def _with_reasons(self, path: str, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except FileNotFoundError as error:
            raise renamed(self._explained(error, self.real(path)), path) from None

    def _explained(self, error: OSError, real: bytes, folder: bool = False) -> OSError:
        """`NO_SUCH_FILE`, or a mere failure, also stands for ENOTDIR: one more round trip tells."""
        paths = above(real) | ({real} if folder else set())
        return not_a_folder(real) if is_doubtful(error) and self._files_among([paths]) else error

    def _files_among(self, paths: list[set[bytes]]) -> set[bytes]:
        """Those that are there and no folders."""
        asked = sorted(set().union(*paths))
        return {
            path
            for path, status in zip(asked, self.looks(asked), strict=True)
            if not isinstance(status, OSError) and not stat.S_ISDIR(status.st_mode)
        }

    # folders

    def entries(self, real: bytes) -> dict[bytes, Attributes]:
        """What is in a folder, in two round trips, or more where there are many."""
        return Reading(self.client, real).wait()

    def names(self, real: bytes) -> list[bytes]:
        return list(self._listed(real))

    def _listed(self, real: bytes) -> dict[bytes, Attributes]:
        if len(real) > sftp.LONGEST_PATH:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), real)
        try:
            return self.entries(real)
        except OSError as error:
            raise self._explained(error, real, folder=True) from None

    def ls_detail(self, path: str) -> list[Record]:
        _folder, prefix = self.root(path)
        try:
            entries = self._listed(self.real(path))
        except OSError as error:
            raise renamed(error, path) from None
        names = sorted(entries) if prefix else guarded(sorted(entries))
        return [as_record(decode(prefix + name), entries[bare(name)]) for name in names]

    def scan(self, folder: bytes, prefix: bytes, fail: Fail) -> Listing:
        return self._sorted(self.entries(folder), folder, prefix, fail)

    def _sorted(self, entries: dict[bytes, Attributes], folder: bytes, prefix: bytes, fail: Fail) -> Listing:
        listing = Listing()
        lists = {stat.S_IFREG: listing.files, stat.S_IFDIR: listing.dirs, stat.S_IFLNK: listing.links}
        for name, told in entries.items():
            lists.get(stat.S_IFMT(told.st_mode), listing.others).append(name)
        # Walks take them from the end: so they want them in the order in which they are read ahead.
        listing.dirs.sort(key=lambda name: name + b"/", reverse=True)
        if len(folder) + 257 > PATH_MAX:
            leave_out_long(listing, folder, prefix, fail)
        return listing

    # scratch folders

    def make_folder(self, real: bytes) -> None:
        self._change(sftp.MKDIR, real, sftp.attributes())

    def make_file(self, real: bytes, content: bytes) -> None:
        with SftpFile(self.client, real, FLAG_WRITE | FLAG_CREATE | FLAG_EXCLUSIVE, 0o666, None) as file:
            file.write_all(content)

    def make_link(self, real: bytes, target: bytes) -> None:
        """OpenSSH has the two paths in the other order than the draft: elsewhere it would go astray."""
        if b"posix-rename@openssh.com" not in self.client.extensions:
            raise OSError(errno.EOPNOTSUPP, "links are made on OpenSSH's SFTP server only", real)
        self._change(sftp.SYMLINK, target, string(real))

    def remove_tree(self, real: bytes) -> None:
        folders = [real]
        for folder in folders:  # more are added meanwhile
            for name, told in self.entries(folder).items():
                path = folder + b"/" + name
                if stat.S_ISDIR(told.st_mode):
                    folders.append(path)
                else:
                    self._change(sftp.REMOVE, path)
        for folder in reversed(folders):
            self._change(sftp.RMDIR, folder)

    def _change(self, kind: int, path: bytes, rest: bytes = b"") -> None:
        try:
            self.client.ask(kind, string(path) + rest)
        except SftpStatusError as status:
            raise sftp.os_error(status, path) from None

    # files

    def open(self, path: str, mode: str, permissions: int = 0o666, key: str = "") -> SftpFile:  # type: ignore[override]
        real = self.real(path)
        try:
            file = open_file(self.client, real, mode, permissions)
        except OSError as error:
            raise renamed(self._explained(error, real), path) from None
        file.name = path
        return file


class SftpEngine(SftpSystem):
    """The nine operations, and files, over SFTP. Any number of threads may call it.

    Recursions read ahead, so that a walk over a thousand folders takes few more round trips than the tree
    has levels. What SFTP can't tell is in `MISSING`. Where even the server is silent, so is this: OpenSSH's
    leaves out of listings what it can't look at, which are names in a folder whose path is so long that
    with them it would be longer than a path can be.

    Args:
        client: the connection to the server.
        work_dir: where relative paths start, else in the folder in which the server starts.
        warn: called once, at the first `du`, with a sentence about hard links.
    """

    def __init__(
        self,
        client: SftpClient,
        work_dir: str | None = None,
        warn: Callable[[str], object] = warnings.warn,
    ) -> None:
        super().__init__(client, work_dir)
        self._warn = warn
        self._warned = threading.Lock()

    def when_lost(self, tell: Callable[[str], object]) -> None:
        """Call this, with the reason, when the connection is lost or closed."""
        self.client.when_lost(tell)

    def close(self) -> None:
        """End the connection."""
        self.client.close()

    def abandon(self) -> None:
        """In a forked child: let go of the connection without a byte."""
        self.client.abandon()

    @contextmanager
    def _recursion(self, detail: bool = False) -> Iterator[Recursion]:
        recursion = Recursion(self, detail)
        try:
            yield recursion
        finally:
            recursion.ahead.stop()

    def find(
        self,
        pattern: str,
        path: str,
        kind: str,
        max_depth: int | None,
        follow: bool,
        fail: Fail,
        tick: Tick = no_tick,
    ) -> Iterator[bytes]:
        with self._recursion() as recursion:
            yield from recursion.find(pattern, path, kind, max_depth, follow, fail, tick)

    def find_detail(
        self,
        pattern: str,
        path: str,
        kind: str,
        max_depth: int | None,
        follow: bool,
        fail: Fail,
        tick: Tick = no_tick,
    ) -> Iterator[list[Record]]:
        with self._recursion(detail=True) as recursion:
            yield from recursion.find_detail(pattern, path, kind, max_depth, follow, fail, tick)

    def count_files(self, path: str, pattern: str, fail: Fail, tick: Tick = no_tick) -> int:
        with self._recursion() as recursion:
            return recursion.count_files(path, pattern, fail, tick)

    def du(self, path: str, fail: Fail, tick: Tick = no_tick) -> tuple[int, int]:
        """`(bytes, files)`: apparent bytes and files, both of each name: hard links can't be told."""
        if self._warned.acquire(blocking=False):  # and never released
            self._warn(HARD_LINKS)
        with self._recursion() as recursion:
            return recursion.du(path, fail, tick)

    def glob(self, pattern: str, path: str, fail: Fail, tick: Tick = no_tick) -> bytes:
        with self._recursion() as recursion:
            return recursion.glob(pattern, path, fail, tick)


class Recursion(SftpSystem):
    """The engine of one recursion: it keeps what was read ahead, and what it will soon be asked for again."""

    def __init__(self, engine: SftpSystem, detail: bool) -> None:
        self.client, self.base = engine.client, engine.base
        self.ahead = ReadAhead(self.client)
        self._detail = detail
        self._kept: list[
            tuple[bytes, dict[bytes, Attributes]]
        ] = []  # of the folder last read and those above
        self._known: dict[bytes, bytes] = {}  # the real paths of folders that are still to be read

    def expect(self, folders: list[bytes], depth: float = 1, hidden: bool = True) -> None:
        self.ahead.expect(folders, depth, hidden)

    def entries(self, real: bytes) -> dict[bytes, Attributes]:
        entries = self.ahead.take(real)
        if self._detail:
            folder = plain(real)
            while self._kept and not folder.startswith(self._kept[-1][0].rstrip(b"/") + b"/"):
                self._kept.pop()
            self._kept.append((folder, entries))
        return entries

    def records(
        self, folder: bytes, prefix: bytes, names: list[bytes], follow: bool, fail: Fail
    ) -> Iterator[Record]:
        """What the listing told is not asked for again, but what links point to."""
        while self._kept[-1][0] != plain(folder):
            self._kept.pop()
        entries = self._kept[-1][1]
        links = [name for name in names if follow and stat.S_ISLNK(entries[bare(name)].st_mode)]
        followed = dict(zip(links, self.looks([folder + b"/" + name for name in links]), strict=True))
        for name in names:
            status = followed.get(name)
            if isinstance(status, OSError) and status.errno not in ABSENT:
                fail(renamed(status, prefix + name))
            else:
                absent = status is None or isinstance(status, OSError)
                yield as_record(decode(prefix + name), entries[bare(name)] if absent else status)

    def add_up(
        self, folder: bytes, prefix: bytes, counted: set[Any], fail: Fail
    ) -> tuple[int, list[bytes], int]:
        entries = self.entries(folder)
        listing = self._sorted(entries, folder, prefix, fail)
        return len(listing.files), listing.dirs, sum(entries[name].st_size for name in listing.files)

    # links that are followed

    def follow_links(
        self, listing: Listing, folder: bytes, prefix: bytes, ancestors: frozenset[Any], fail: Fail
    ) -> None:
        depth, links = self.ahead.depth, set(listing.links)
        here = self._known.pop(plain(folder), None)
        if here is not None:
            for name in listing.dirs:
                self._known[plain(folder + b"/" + name)] = here.rstrip(b"/") + b"/" + name
        super().follow_links(listing, folder, prefix, ancestors, fail)
        behind = sorted(name for name in listing.dirs if name in links)
        if depth > 1:
            self.expect([folder + b"/" + name for name in behind], depth - 1)

    def identities(self, reals: list[bytes]) -> Iterator[Any]:
        """The real path of a folder in a folder whose own is known needs no question."""
        unknown = [real for real in reals if plain(real) not in self._known]
        answers = super().identities(unknown)
        for real in reals:
            known = self._known.get(plain(real))
            if known is None:
                known = next(answers)
                if not isinstance(known, OSError):
                    self._known[plain(real)] = known
            yield known


def is_doubtful(answer: object) -> bool:
    """Whether it is one of the errors by which SFTP says that a file is in the way."""
    return isinstance(answer, OSError) and answer.errno in (errno.ENOENT, errno.EIO)


def not_a_folder(real: bytes) -> OSError:
    return OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), real)


def above(real: bytes) -> set[bytes]:
    """The paths of the folders that a path leads through; of many the last."""
    parts = real.split(b"/")
    last = max(1, len(parts) - sftp.WINDOW)
    return {b"/".join(parts[:count]) for count in range(last, len(parts)) if parts[count - 1]}


def as_record(path: str, status: Any) -> Record:
    """As `Engine.record` gives it."""
    return path, status.st_size, status.st_mtime_ns, status.st_mode, status.st_uid, status.st_gid, None


def bare(name: bytes) -> bytes:
    """A name without the `./` that keeps it from being taken for the home folder."""
    return name[2:] if name.startswith(b"./") else name
