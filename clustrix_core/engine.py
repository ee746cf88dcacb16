"""The nine operations, written once.

The local backend calls this file in its own process; a remote backend ships its source and calls it
there. So it keeps to Python 3.6 and the standard library, and imports nothing of the project. Neither
does it import `glob` or `fnmatch`, whose rules differ between versions of Python.

At the system's boundary names are bytes, outside they are text: UTF-8 with `surrogateescape`, whatever
the locale. Many names travel as one *blob*, joined by NUL bytes, which no name contains.

`fail`, an argument of the recursions, is called with the `OSError` of each place that can't be read; it
may raise. `tick` is called now and then with the number of directory entries seen so far.
"""

import binascii
import contextlib
import errno
import io
import os
import re
import stat as st_
import time
from itertools import chain

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing costs more than some of the operations
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    Record = tuple[str, int, int, int, int, int, int | None]
    Fail = Callable[[OSError], object]
    Tick = Callable[[int], object]
    Part = tuple[bytes, bytes, list[bytes]]  # a folder, what its names begin with in results, names
    Identity = Any  # of a directory: what is hashable and the same for all paths to it
    Folder = tuple[bytes, bytes, int, frozenset[Identity]]  # …, depth, the identities above

LIMIT_OF_BRACES = 10000
LIMIT_OF_DEPTH = 100
BLOCK = 1 << 20
PATH_MAX = 4096  # Linux's, its closing NUL included (limits.h); NAME_MAX is 255
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
SCANS_DESCRIPTORS = os.scandir in os.supports_fd  # Python 3.7


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def unpack(blob: bytes) -> "list[str]":
    """The names in a blob."""
    return decode(blob).split("\0") if blob else []


def is_at_home(path: str) -> bool:
    return path == "~" or path.startswith("~/")


def no_tick(_entries: int) -> None:
    pass


# --- patterns ---------------------------------------------------------------------------------------


def has_magic(pattern: str) -> bool:
    return any(mark in pattern for mark in "*?[")


def closing_bracket(pattern: str, start: int) -> int:
    """The index of the `]` that closes the `[` at `start`, or -1."""
    first = start + 2 if pattern[start + 1 : start + 2] == "!" else start + 1
    return pattern.find("]", first + 1)


def bracket_regex(body: str) -> str:
    """The regular expression of what stands between brackets. A reversed range holds nothing."""
    negated = body[0] == "!"
    chars = body[1:] if negated else body
    items = []
    i = 0
    while i < len(chars):
        low, high = chars[i], chars[i]
        if chars[i + 1 : i + 2] == "-" and i + 2 < len(chars):
            high = chars[i + 2]
            i += 2
        if low <= high:
            items.append(re.escape(low) + "-" + re.escape(high))
        i += 1
    if not items:
        return "[^/]" if negated else "(?!)"
    return "[^/%s]" % "".join(items) if negated else "(?!/)[%s]" % "".join(items)


def component_regex(pattern: str) -> "list[str]":
    """The regular expression of one component of a path."""
    runs = [[]]  # type: list[list[str]] # what stands between stars
    i = 0
    while i < len(pattern):
        char = pattern[i]
        end = closing_bracket(pattern, i) if char == "[" else -1
        if char == "*":
            runs.append([])
        elif char == "?":
            runs[-1].append("[^/]")
        elif end > 0:
            runs[-1].append(bracket_regex(pattern[i + 1 : end]))
            i = end
        else:
            runs[-1].append(re.escape(char))
        i += 1
    return ["".join(run) for run in runs]


class Groups:
    """Numbers for the groups of one regular expression."""

    def __init__(self) -> None:
        self.used = 0

    def regex(self, component: str) -> str:
        """As a whole: each star but the last takes the shortest match and never tries another.

        That is sound, as the shortest leaves most to the rest, and keeps the time linear in the stars.
        """
        runs = component_regex(component)
        parts = [runs[0]]
        for run in runs[1:-1]:
            parts.append(self.only("[^/]*?" + run))
        if len(runs) > 1:
            parts.append("[^/]*" + runs[-1])
        return "".join(parts)

    def only(self, regex: str) -> str:
        """Its first match and no other."""
        self.used += 1
        return "(?=(?P<g%d>%s))(?P=g%d)" % (self.used, regex, self.used)


def name_filter(pattern: str) -> "Callable[[list[bytes]], list[bytes]] | None":
    """A function from names (bytes) to those that match; None where all do."""
    pattern = decode(encode(pattern))
    if pattern.strip("*") == "":
        return None
    if not has_magic(pattern):
        literal = encode(pattern)
        return lambda names: [name for name in names if name == literal]
    suffix = pattern[1:]
    if pattern[0] == "*" and not has_magic(suffix) and all(char < "\x80" for char in suffix):
        ending = encode(suffix)
        return lambda names: [name for name in names if name.endswith(ending)]
    match = re.compile(Groups().regex(pattern) + r"\Z", re.DOTALL).match
    return lambda names: [name for name in names if match(decode(name))]


def path_filter(pattern: str) -> "tuple[Callable[[str], object], int | None]":
    """For a pattern with slashes: a regular expression's `match`, and the depth that it can reach or None."""
    parts = [part for part in decode(encode(pattern)).split("/") if part not in ("", ".")]
    runs = [[]]  # type: list[list[str]] # what stands between double stars
    for part in parts:
        if part == "**":
            runs.append([])
        else:
            runs[-1].append(part)
    groups = Groups()

    def spell(run: "list[str]") -> str:
        return "/".join(groups.regex(part) for part in run)

    if len(runs) == 1:
        return re.compile(spell(parts) + r"\Z", re.DOTALL).match, len(parts)
    rest = [run for run in runs[1:] if run]
    regex = spell(runs[0])
    if regex and rest:
        regex += "/"
    for run in rest[:-1]:  # shortest first and never another, as for single stars
        regex += groups.only("(?:[^/]+/)*?" + spell(run) + "/")
    if rest:
        regex += "(?:[^/]+/)*" + spell(rest[-1])
    if not runs[-1]:
        regex += "(?:/.*)?" if regex else ".*"
    return re.compile(regex + r"\Z", re.DOTALL).match, None


def check_find_pattern(pattern: str) -> None:
    if not pattern:
        raise ValueError("the pattern is empty; '*' matches every name")
    parts = pattern.split("/")
    if ".." in parts:
        raise ValueError("find's pattern can't contain '..': give the folder as the path: %r" % pattern)
    if len(parts) == 1:
        return
    if not parts[0]:
        raise ValueError(
            "find's pattern can't begin with a slash: it is matched below the path: %r" % pattern
        )
    if not parts[-1]:
        raise ValueError("find's pattern can't end in a slash; type='d' finds directories: %r" % pattern)


def expand_braces(pattern: str, depth: int = 0) -> "list[str]":
    """All that the braces of a pattern stand for, as bash does it; brackets protect what is in them."""
    words = [""]
    rest = pattern
    while True:
        marks = first_braces(rest)
        if marks is None:
            return [word + rest for word in words]
        if depth == LIMIT_OF_DEPTH:
            raise ValueError("the braces are nested more than %d deep" % LIMIT_OF_DEPTH)
        options = []  # type: list[str]
        for start, end in zip(marks, marks[1:]):
            options += expand_braces(rest[start + 1 : end], depth + 1)
        if len(words) * len(options) > LIMIT_OF_BRACES:
            raise ValueError("the braces stand for more than %d patterns: %r" % (LIMIT_OF_BRACES, pattern))
        words = [word + rest[: marks[0]] + option for word in words for option in options]
        rest = rest[marks[-1] + 1 :]


def first_braces(text: str) -> "list[int] | None":
    """Where the first expandable pair of braces opens, has its commas, and closes; or None."""
    i = 0
    while i < len(text):
        marks = marks_of_braces(text, i) if text[i] == "{" else None
        if marks:
            return marks
        i = (end_of_bracket(text, i) if text[i] == "[" else i) + 1
    return None


def marks_of_braces(text: str, start: int) -> "list[int] | None":
    if start == 0 and text[1:2] == "}":  # there `{}` is plain text to bash, whatever follows
        return None
    marks = [start]
    level = 0
    i = start + 1
    while i < len(text):
        char = text[i]
        if char == "[":
            i = end_of_bracket(text, i)
        elif char == "{":
            level += 1
        elif char == "," and not level:
            marks.append(i)
        elif char == "}" and level:
            level -= 1
        elif char == "}" and len(marks) > 1:  # bash takes one without commas for plain text
            return [*marks, i]
        i += 1
    return None


def end_of_bracket(text: str, start: int) -> int:
    """Where a bracket that is closed within its component ends; else `start`."""
    end = closing_bracket(text, start)
    return end if end > 0 and "/" not in text[start:end] else start


# --- the operations ---------------------------------------------------------------------------------


class Listing:
    """The names in one directory, by what they are."""

    __slots__ = ("dirs", "files", "ids", "links", "others")

    def __init__(self) -> None:
        self.files = []  # type: list[bytes]
        self.dirs = []  # type: list[bytes]
        self.links = []  # type: list[bytes]
        self.others = []  # type: list[bytes]
        self.ids = {}  # type: dict[bytes, Identity] # of directories, when links are followed

    def of_type(self, kind: str) -> "list[bytes]":
        return {"f": self.files, "d": self.dirs, "l": self.links}[kind]

    def everything(self) -> "list[bytes]":
        return self.files + self.dirs + self.links + self.others

    def size(self) -> int:
        return len(self.files) + len(self.dirs) + len(self.links) + len(self.others)


def identity(status: os.stat_result) -> "Identity":
    return status.st_dev, status.st_ino


def scan(folder: bytes, prefix: bytes, fail: "Fail") -> Listing:
    """Read one directory, whose entries are spelled `prefix + name`. Raises what opening it raises."""
    listing = Listing()
    files, dirs, links, others = listing.files, listing.dirs, listing.links, listing.others
    with os.scandir(folder) as entries:
        while True:
            try:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        files.append(entry.name)
                    elif entry.is_dir(follow_symlinks=False):
                        dirs.append(entry.name)
                    elif entry.is_symlink():
                        links.append(entry.name)
                    else:
                        others.append(entry.name)
                break
            except OSError as error:
                if error.filename == folder:
                    raise
                # Of this entry, on filesystems that don't tell types with names: go on with the next.
                fail(renamed(error, prefix + os.path.basename(error.filename)))
    if len(folder) + 257 > PATH_MAX:
        leave_out_long(listing, folder, prefix, fail)
    return listing


def leave_out_long(listing: Listing, folder: bytes, prefix: bytes, fail: "Fail") -> None:
    room = PATH_MAX - 2 - len(folder)
    for names in (listing.files, listing.dirs, listing.links, listing.others):
        for name in [name for name in names if len(name) > room]:
            names.remove(name)
            fail(too_long(prefix + name))


def too_long(name: bytes) -> OSError:
    return OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), decode(name))


def renamed(error: OSError, name: "str | bytes") -> OSError:
    """The same error, of a file as it is spelled in results."""
    text = decode(name) if isinstance(name, bytes) else name
    return OSError(error.errno, error.strerror, text.rstrip("/") or text or ".")


def raise_it(error: OSError) -> None:
    raise error


def guarded(paths: "list[bytes]") -> "list[bytes]":
    """Results that begin with a plain `~`, which would be taken for the home folder, spelled `./~`."""
    return [b"./" + path if path == b"~" or path.startswith(b"~/") else path for path in paths]


def parts(
    above: "Folder", names: "list[bytes]", dirs: "list[bytes]", ids: "dict[bytes, Identity]"
) -> "Iterator[Part | Folder]":
    """A folder's names, and between them its subfolders where whole paths would sort."""
    folder, prefix, depth, ancestors = above
    if not dirs:
        names.sort()
        if names:
            yield folder, prefix, names
        return
    run = []  # type: list[bytes]
    for key in sorted(names + [name + b"/" for name in dirs]):
        if not key.endswith(b"/"):
            run.append(key)
            continue
        if run:
            yield folder, prefix, run
            run = []
        name = key[:-1]
        known = ancestors | {ids[os.path.basename(name)]} if ids else ancestors
        yield folder + b"/" + name, prefix + key, depth + 1, known
    if run:
        yield folder, prefix, run


class Engine:
    """The operations, with relative paths starting at `work_dir` (text), or at the current directory."""

    def __init__(self, work_dir: "str | None" = None) -> None:
        self.base = b""
        if work_dir:
            self.base = self.real(work_dir).rstrip(b"/") + b"/"

    # the system: an engine for files that are out of its reach asks somebody else

    scan = staticmethod(scan)

    def home(self) -> bytes:
        return os.path.expanduser(b"~")

    def look(self, real: bytes, follow: bool = True) -> os.stat_result:
        return os.stat(real) if follow else os.lstat(real)

    def looks(self, reals: "list[bytes]", follow: bool = True) -> "Iterator[os.stat_result | OSError]":
        """The status of each, or why there is none."""
        for real in reals:
            try:
                yield self.look(real, follow)
            except OSError as error:
                yield error

    def names(self, real: bytes) -> "list[bytes]":
        return os.listdir(real)

    def target(self, real: bytes) -> bytes:
        return os.readlink(real)

    def identities(self, reals: "list[bytes]") -> "Iterator[Identity | OSError]":
        """What tells whether two paths lead to the same directory."""
        for status in self.looks(reals):
            yield status if isinstance(status, OSError) else identity(status)

    def expect(self, folders: "list[bytes]", depth: float = 1, hidden: bool = True) -> None:
        """These folders will be read, and to that depth what is in them."""

    def make_folder(self, real: bytes) -> None:
        os.mkdir(real)

    def make_file(self, real: bytes, content: bytes) -> None:
        with open(real, "xb") as file:
            file.write(content)

    def make_link(self, real: bytes, target: bytes) -> None:
        os.symlink(target, real)

    def remove_tree(self, real: bytes) -> None:
        import shutil  # here, as next to no process needs it

        shutil.rmtree(real)

    # paths

    def real(self, path: str) -> bytes:
        """The path to give to the system."""
        given = encode(path)
        if is_at_home(path):
            return self.home().rstrip(b"/") + given[1:] or b"/"
        if given.startswith(b"/"):
            return given
        return self.base + given or b"."

    def root(self, path: str) -> "tuple[bytes, bytes]":
        """For the root of a listing: the path to give to the system, and what results begin with."""
        real = self.real(path)
        kept = real if is_at_home(path) else encode(path)
        kept = kept.rstrip(b"/")
        if real.startswith(b"/") and not real.strip(b"/"):
            return b"/", b"/"
        if kept in (b"", b"."):
            return self.base.rstrip(b"/") or self.base or b".", b""
        return real, kept + b"/"

    def shown(self, path: str) -> str:
        """How a path that was given is spelled in a result: with its `~` expanded."""
        return decode(self.real(path)) if is_at_home(path) else path

    # single paths

    def record(self, path: str, real: bytes, follow: bool) -> "Record":
        status = os.stat(real) if follow else os.lstat(real)
        return (
            path,
            status.st_size,
            status.st_mtime_ns,
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_nlink,
        )

    def stat(self, path: str, follow: bool) -> "Record":
        """`(path, size, mtime_ns, mode, uid, gid, nlink)`."""
        try:
            return self.record(self.shown(path), self.real(path), follow)
        except OSError as error:
            raise renamed(error, path) from None

    def stats(self, paths: "list[str]", follow: bool) -> "Iterator[Record | OSError]":
        """The record of each, or why there is none."""
        for path in paths:
            try:
                yield self.stat(path, follow)
            except OSError as error:
                yield error

    def mode(self, path: str) -> int:
        """`st_mode`, links followed; 0 where there is nothing."""
        try:
            return self.look(self.real(path)).st_mode
        except OSError as error:
            if error.errno in ABSENT:
                return 0
            raise renamed(error, path) from None

    def exists(self, path: str) -> bool:
        return self.mode(path) != 0

    def isdir(self, path: str) -> bool:
        return st_.S_ISDIR(self.mode(path))

    def isfile(self, path: str) -> bool:
        return st_.S_ISREG(self.mode(path))

    def readlink(self, path: str) -> str:
        try:
            return decode(self.target(self.real(path)))
        except OSError as error:
            raise renamed(error, path) from None

    # listings

    def ls(self, path: str) -> bytes:
        """The blob of the names, sorted."""
        try:
            return b"\0".join(sorted(self.names(self.real(path))))
        except OSError as error:
            raise renamed(error, path) from None

    def ls_detail(self, path: str) -> "list[Record]":
        """The records of the entries, links not followed, sorted."""
        folder, prefix = self.root(path)
        names = [encode(name) for name in unpack(self.ls(path))]
        return list(self.records(folder, prefix, names if prefix else guarded(names), False, raise_it))

    def records(
        self, folder: bytes, prefix: bytes, names: "list[bytes]", follow: bool, fail: "Fail"
    ) -> "Iterator[Record]":
        for name in names:
            real = folder + b"/" + name
            try:
                try:
                    yield self.record(decode(prefix + name), real, follow)
                except OSError as error:
                    if not follow or error.errno not in ABSENT:
                        raise
                    yield self.record(decode(prefix + name), real, False)
            except OSError as error:
                if error.errno != errno.ENOENT:  # removed since it was listed
                    fail(renamed(error, prefix + name))

    def status(self, path: str) -> os.stat_result:
        """The root of a recursion, followed when it is a link."""
        try:
            return self.look(self.real(path))
        except OSError as error:
            raise renamed(error, path) from None

    def find(
        self,
        pattern: str,
        path: str,
        kind: str,
        max_depth: "int | None",
        follow: bool,
        fail: "Fail",
        tick: "Tick" = no_tick,
    ) -> "Iterator[bytes]":
        """Iterate over blobs of paths, in the order of their bytes."""
        status = self.status(path)
        if not st_.S_ISDIR(status.st_mode):
            if self.is_candidate(pattern, path, kind, status):
                yield encode(self.shown(path))
            return
        for _folder, prefix, names in self.walk(pattern, path, kind, max_depth, follow, fail, tick):
            yield prefix + (b"\0" + prefix).join(names)

    def find_detail(
        self,
        pattern: str,
        path: str,
        kind: str,
        max_depth: "int | None",
        follow: bool,
        fail: "Fail",
        tick: "Tick" = no_tick,
    ) -> "Iterator[list[Record]]":
        """Iterate over lists of records, in the same order."""
        status = self.status(path)
        if not st_.S_ISDIR(status.st_mode):
            if self.is_candidate(pattern, path, kind, status):
                yield [self.stat(path, True)]
            return
        for folder, prefix, names in self.walk(pattern, path, kind, max_depth, follow, fail, tick):
            yield list(self.records(folder, prefix, names, follow, fail))

    def count_files(self, path: str, pattern: str, fail: "Fail", tick: "Tick" = no_tick) -> int:
        status = self.status(path)
        if not st_.S_ISDIR(status.st_mode):
            return int(self.is_candidate(pattern, path, "f", status))
        walk = self.walk(pattern, path, "f", None, False, fail, tick)
        return sum(len(names) for _folder, _prefix, names in walk)

    def is_candidate(self, pattern: str, path: str, kind: str, status: os.stat_result) -> bool:
        """Whether find gives its own root, which is no directory."""
        check_find_pattern(pattern)
        name = os.path.basename(self.real(path))
        return kind == "f" and st_.S_ISREG(status.st_mode) and bool(selector(pattern, b"")[0]([name], b""))

    def walk(
        self,
        pattern: str,
        path: str,
        kind: str,
        max_depth: "int | None",
        follow: bool,
        fail: "Fail",
        tick: "Tick",
    ) -> "Iterator[Part]":
        """Iterate over `(folder, prefix, names)`: the matches of one folder, or of a part of it."""
        check_find_pattern(pattern)
        folder, prefix = self.root(path)
        select, depth_of_pattern = selector(pattern, prefix)
        limit = min(depth for depth in (max_depth, depth_of_pattern, float("inf")) if depth)
        ancestors = frozenset(self.identities([folder]) if follow else [])  # type: frozenset[Any]
        self.expect([folder], limit)
        entries = 0
        pending = [(folder, prefix, 1, ancestors)]  # type: list[Part | Folder]
        while pending:
            item = pending.pop()
            if len(item) == 3:
                yield item
                continue
            folder, prefix, depth, ancestors = item
            try:
                listing = self.scan(folder, prefix, fail)
            except OSError as error:
                if depth == 1:
                    raise renamed(error, path) from None
                if error.errno not in ABSENT:  # removed since it was listed
                    fail(renamed(error, prefix))
                continue
            if follow:
                self.follow_links(listing, folder, prefix, ancestors, fail)
            entries += listing.size()
            tick(entries)
            names = select(listing.of_type(kind), prefix)
            dirs = listing.dirs if depth < limit else []
            if not prefix:
                names, dirs = guarded(names), guarded(dirs)
            pending.extend(reversed(list(parts(item, names, dirs, listing.ids))))

    def follow_links(
        self, listing: Listing, folder: bytes, prefix: bytes, ancestors: "frozenset[Any]", fail: "Fail"
    ) -> None:
        """Sort links by what they point to, as `find -L`; leave out folders that are their own ancestors."""
        links, listing.links = listing.links, []
        for name, status in zip(links, self.looks([folder + b"/" + name for name in links])):
            if isinstance(status, OSError):
                if status.errno in ABSENT:
                    listing.links.append(name)
                else:
                    fail(renamed(status, prefix + name))
            elif st_.S_ISREG(status.st_mode):
                listing.files.append(name)
            elif st_.S_ISDIR(status.st_mode):
                listing.dirs.append(name)
            else:
                listing.others.append(name)
        dirs, listing.dirs = listing.dirs, []
        for name, found in zip(dirs, self.identities([folder + b"/" + name for name in dirs])):
            if isinstance(found, OSError):
                if found.errno not in ABSENT:  # removed since it was listed
                    fail(renamed(found, prefix + name))
            elif found not in ancestors:
                listing.ids[name] = found
                listing.dirs.append(name)

    def du(self, path: str, fail: "Fail", tick: "Tick" = no_tick) -> "tuple[int, int]":
        """`(bytes, files)`: apparent bytes, each inode once; files, each name."""
        status = self.status(path)
        if not st_.S_ISDIR(status.st_mode):
            return (status.st_size, 1) if st_.S_ISREG(status.st_mode) else (0, 0)
        total = files = entries = 0
        counted = set()  # type: set[Identity] # inodes with several names
        folder, prefix = self.root(path)
        self.expect([folder], float("inf"))
        pending = [(folder, prefix)]
        while pending:
            folder, prefix = pending.pop()
            try:
                names, dirs, size = self.add_up(folder, prefix, counted, fail)
            except OSError as error:
                if prefix == self.root(path)[1]:
                    raise renamed(error, path) from None
                if error.errno not in ABSENT:
                    fail(renamed(error, prefix))
                continue
            total += size
            files += names
            entries += names + len(dirs)
            tick(entries)
            pending.extend((folder + b"/" + name, prefix + name + b"/") for name in dirs)
        return total, files

    def add_up(
        self, folder: bytes, prefix: bytes, counted: "set[Identity]", fail: "Fail"
    ) -> "tuple[int, list[bytes], int]":
        """`(files, subdirectories, bytes)` of one folder.

        It is read through a descriptor, so that each file's status is looked up from there: on deep
        trees that saves the kernel most of the work.
        """
        if not SCANS_DESCRIPTORS:
            return self.add_up_entries(folder, folder, prefix, counted, fail)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return self.add_up_entries(descriptor, folder, prefix, counted, fail)
        finally:
            os.close(descriptor)

    def add_up_entries(
        self,
        place: "int | bytes",
        folder: bytes,
        prefix: bytes,
        counted: "set[Identity]",
        fail: "Fail",
    ) -> "tuple[int, list[bytes], int]":
        files = total = 0
        dirs = []
        room = PATH_MAX - 2 - len(folder)
        with os.scandir(place) as entries:
            while True:
                try:
                    for entry in entries:
                        if room < 255 and len(os.fsencode(entry.name)) > room:
                            fail(too_long(prefix + os.fsencode(entry.name)))
                        elif entry.is_file(follow_symlinks=False):
                            files += 1
                            status = entry.stat(follow_symlinks=False)
                            if status.st_nlink > 1:
                                if identity(status) in counted:
                                    continue
                                counted.add(identity(status))
                            total += status.st_size
                        elif entry.is_dir(follow_symlinks=False):
                            dirs.append(os.fsencode(entry.name))
                    return files, dirs, total
                except OSError as error:
                    if error.filename == place:
                        raise
                    if error.errno != errno.ENOENT:
                        fail(renamed(error, prefix + os.path.basename(os.fsencode(error.filename))))

    # files

    def open(self, path: str, mode: str, permissions: int = 0o666, key: str = "") -> "File":
        """A raw file; `mode` is `rb`, `ab`, `r+b`, or `wb` and `xb`, which give a `Replacement`.

        `permissions` are those of a new file, before the umask. By its `key` a copy that was broken off
        is found again.
        """
        try:
            file = self.open_real(self.real(path), mode, permissions, key)
        except OSError as error:
            raise renamed(error, path) from None
        file.name = path
        return file

    def open_real(self, real: bytes, mode: str, permissions: int, key: str) -> "File":
        if mode not in ("wb", "xb"):
            return File(real, mode.replace("b", ""))
        if mode == "xb" and os.path.lexists(real):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), real)
        target = os.path.realpath(real)
        try:
            before = os.stat(target)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            if real.endswith(b"/"):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), real) from None
            return Replacement(target, None, permissions, mode == "xb", key)
        if not st_.S_ISREG(before.st_mode):  # a directory is refused here, a device or FIFO is written to
            return File(target, "w")
        os.close(os.open(target, os.O_WRONLY | os.O_CLOEXEC))  # is it ours to write?
        return Replacement(target, before, 0o600, False, key)

    def inside(self, path: str, name: str) -> str:
        """The file meant by a target: a directory stands for a file of that name in it."""
        return path.rstrip("/") + "/" + name if self.isdir(path) else path

    def copy(self, source: str, target: str, tick: "Callable[[int, int], object]") -> int:
        """Copy a file, verified; `tick` is called with bytes done and in all. Returns the bytes."""
        from hashlib import sha256  # here, as it takes a millisecond that most processes can save

        target = self.inside(target, os.path.basename(source.rstrip("/")))
        with self.open(source, "rb") as reader:
            before = reader.status()
            with self.open(target, "wb", before.st_mode & 0o777) as writer:
                sent = sha256()
                done = 0
                for block in content(reader, before):
                    sent.update(block)
                    writer.write_all(block)
                    done += len(block)
                    tick(done, max(done, before.st_size))
                commit_verified(writer, sent.hexdigest())
        return done

    # jobs: the outcome of a task is a file that appears at once and whole, see `clustrix_core.jobs.runner`

    def outcomes(
        self, known: "dict[str, list[tuple[int, int]]]", seconds: float, tick: "Tick" = no_tick
    ) -> "Iterator[tuple[str, int, bytes]]":
        """The outcomes, beyond those that are known, of the tasks of some job folders.

        Args:
            known: the numbers of the known ones, as ranges, by folder.
            seconds: how long to wait for the first.
        """
        end = time.monotonic() + seconds
        old = {
            (folder, task)
            for folder in known
            for first, last in known[folder]
            for task in range(first, last + 1)
        }
        while True:
            new = {(folder, task) for folder in known for task in self.outcome_numbers(folder)} - old
            if new or time.monotonic() >= end:
                break
            tick(0)
            time.sleep(0.05)
        for folder, task in sorted(new):
            if task < 0:
                yield folder, task, b"its folder must be yours alone (mode 0700)"
                continue
            with contextlib.suppress(FileNotFoundError):  # it is begun again just now
                with self.open("%s/done/%d" % (folder, task), "rb") as file:
                    content = b"".join(iter(lambda: file.read(1 << 20) or b"", b""))
                yield folder, task, content

    def outcome_numbers(self, folder: str) -> "list[int]":
        """The tasks that have an outcome; -1 if others can write there, as outcomes are unpickled."""
        path = self.real(folder)
        try:
            found = os.stat(path)
            if found.st_uid != os.geteuid() or found.st_mode & 0o77:
                return [-1]
            return [int(name) for name in self.names(path + b"/done") if name.isdigit()]
        except FileNotFoundError:
            return []

    # scratch folders: `clustrix doctor` makes one, with a tree that it knows, and removes it

    def plant(self, path: str, tree: "list[tuple[str, str, str]]") -> "list[tuple[str, str]]":
        """Make a new folder with a tree in it; what the system refuses, as names and reasons, is returned.

        The tree is made of kinds (as `find` has them), paths below the folder, and contents or targets.
        """
        top = self.real(path)
        try:
            self.make_folder(top)
        except OSError as error:
            raise renamed(error, path) from None
        refused = []
        for kind, name, content in tree:
            real = top + b"/" + encode(name)
            try:
                if kind == "d":
                    self.make_folder(real)
                elif kind == "l":
                    self.make_link(real, encode(content))
                else:
                    self.make_file(real, encode(content))
            except OSError as error:
                refused.append((name, error.strerror or str(error)))
        return refused

    def uproot(self, path: str) -> None:
        """Remove a folder with all that is in it, if it is there."""
        try:
            self.remove_tree(self.real(path))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise renamed(error, path) from None

    # glob

    def glob(self, pattern: str, path: str, fail: "Fail", tick: "Tick" = no_tick) -> bytes:
        """The blob of all matches, each once, sorted."""
        if not pattern:
            raise ValueError("the pattern is empty; '*' matches every name that doesn't begin with a dot")
        found = set()  # type: set[bytes]
        scans = Scans(self, fail, tick)
        patterns = expand_braces(pattern)
        absolute = [plain for plain in patterns if plain.startswith("/")]
        at_home = [plain for plain in patterns if is_at_home(plain)]
        relative = [plain for plain in patterns if plain and plain[0] != "/" and not is_at_home(plain)]
        if absolute:
            found.update(Globber(scans, b"", b"").matches(absolute))
        if at_home:
            found.update(self.glob_home(at_home, scans))
        if relative:
            found.update(guarded(list(self.globber(path, scans).matches(relative))))
        return b"\0".join(sorted(found))

    def glob_home(self, patterns: "list[str]", scans: "Scans") -> "Iterator[bytes]":
        """The home folder's own name is no pattern, whatever is in it."""
        home = self.real("~").rstrip(b"/")
        for pattern in patterns:
            below = pattern[1:].lstrip("/")
            if below:
                for path in Globber(scans, b"", b"").matches([below], home + b"/"):
                    yield path
            elif list(scans.present(home or b"/", home, [b""])):
                yield home + encode(pattern[1:]) or b"/"

    def globber(self, path: str, scans: "Scans") -> "Globber":
        if not st_.S_ISDIR(self.status(path).st_mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        folder, prefix = self.root(path)
        return Globber(scans, folder + b"/", prefix)


class Scans:
    """Readings of directories, the last of them kept: after `**` each folder is asked for twice."""

    def __init__(self, engine: Engine, fail: "Fail", tick: "Tick") -> None:
        self.engine, self.fail, self.tick = engine, fail, tick
        self.entries = 0
        self.last = (None, None)  # type: tuple[bytes | None, Listing | None]
        self.failed = set()  # type: set[bytes]

    def listing(self, folder: bytes, prefix: bytes) -> "Listing | None":
        """None where there is no such directory."""
        if self.last[0] != folder:
            self.last = (folder, self.read(folder, prefix))
        return self.last[1]

    def read(self, folder: bytes, prefix: bytes) -> "Listing | None":
        try:
            listing = self.engine.scan(folder, prefix, self.fail)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            if folder not in self.failed:
                self.failed.add(folder)
                self.fail(renamed(error, prefix))
            return Listing()
        self.entries += listing.size()
        self.tick(self.entries)
        return listing

    def present(
        self, folder: bytes, prefix: bytes, paths: "list[bytes]", follow: bool = True
    ) -> "Iterator[tuple[bytes, os.stat_result]]":
        """Those of the paths that are there, and their status."""
        for path, status in zip(paths, self.engine.looks([folder + path for path in paths], follow)):
            if not isinstance(status, OSError):
                yield path, status
            elif status.errno not in ABSENT:
                self.fail(renamed(status, prefix + path))


class Globber:
    """One pattern at one root. The paths under way are spelled from the root and end in a slash."""

    def __init__(self, scans: Scans, folder: bytes, prefix: bytes) -> None:
        self.scans, self.folder, self.prefix = scans, folder, prefix

    def matches(self, patterns: "list[str]", start: bytes = b"") -> "Iterator[bytes]":
        """Iterate over the matches, spelled with the root's prefix; some may come twice.

        `start` is a folder, ending in a slash, that stands before each pattern.
        """
        for pattern in patterns:
            head, parts = split_at_magic(pattern)
            paths = [start + encode(head)]  # type: Iterable[bytes]
            for part in parts[:-1]:
                paths = self.enter(paths, part)
            for path in self.finish(paths, parts[-1]):
                if path:
                    yield self.prefix + path

    def enter(self, paths: "Iterable[bytes]", part: str) -> "Iterable[bytes]":
        """The directories that one component of the pattern, not its last, leads to."""
        if part == "**":
            return self.descend(paths)
        if not has_magic(part):
            return [path + encode(part) + b"/" for path in paths]
        self.expect(paths)
        found = (path + name + b"/" for path in paths for name in self.select(path, part, only_dirs=True))
        return list(dict.fromkeys(found))

    def finish(self, paths: "Iterable[bytes]", part: str) -> "Iterable[bytes]":
        if part == "":
            return self.dirs([path for path in paths if path])
        if part == "**":
            paths = list(paths)
            below = (path + name for path in self.descend(paths) for name in self.select(path, "*"))
            return chain(self.dirs(paths), below)
        if has_magic(part):
            self.expect(paths)
            return (path + name for path in paths for name in self.select(path, part))
        name = encode(part)
        present = self.scans.present(self.folder, self.prefix, [path + name for path in paths], False)
        return (path for path, _status in present)

    def descend(self, paths: "Iterable[bytes]") -> "Iterator[bytes]":
        """Each directory and all below it, neither hidden ones nor through links."""
        seen = set()
        pending = list(paths)
        self.expect(pending, float("inf"), False)
        pending.reverse()
        while pending:
            path = pending.pop()
            listing = self.listing(path)
            if listing is None or path in seen:
                continue
            seen.add(path)
            yield path
            pending.extend(path + name + b"/" for name in listing.dirs if not name.startswith(b"."))

    def select(self, path: bytes, part: str, only_dirs: bool = False) -> "list[bytes]":
        """The names in one directory that match one component."""
        listing = self.listing(path)
        if listing is None:
            return []
        names = listing.dirs + listing.links if only_dirs else listing.everything()
        if not part.startswith("."):
            names = [name for name in names if not name.startswith(b".")]
        matching = name_filter(part)
        names = names if matching is None else matching(names)
        if only_dirs and listing.links:
            links = set(listing.links)
            dirs = self.dirs([path + name for name in names if name in links])
            links.difference_update(name[len(path) :] for name in dirs)
            names = [name for name in names if name not in links]
        return names

    def real(self, path: bytes) -> bytes:
        folder = self.folder + path
        return folder[:-1] or b"/" if folder else b"."

    def listing(self, path: bytes) -> "Listing | None":
        return self.scans.listing(self.real(path), self.prefix + path)

    def expect(self, paths: "Iterable[bytes]", depth: float = 1, hidden: bool = True) -> None:
        if isinstance(paths, list):  # else they come one by one
            self.scans.engine.expect([self.real(path) for path in paths], depth, hidden)

    def dirs(self, paths: "list[bytes]") -> "Iterator[bytes]":
        """Those of the paths that are directories."""
        for path, status in self.scans.present(self.folder, self.prefix, paths):
            if st_.S_ISDIR(status.st_mode):
                yield path


def split_at_magic(pattern: str) -> "tuple[str, list[str]]":
    """A pattern's head without magic, empty or ending in a slash as given, and its components from there on.

    The last component is empty where the pattern ends in a slash. The head is kept as it was spelled.
    """
    plain = pattern.split("/")
    count = 0
    while count < len(plain) - 1 and not has_magic(plain[count]):
        count += 1
    if count == len(plain) - 1 and not has_magic(plain[-1]):
        head, slash, last = pattern.rpartition("/")
        return head + slash, [last]
    head = "/".join(plain[:count])
    if count:
        head = head.rstrip("/") + "/"
    parts = [part for part in plain[count:-1] if part] + plain[-1:]
    return head, parts


def blocks(reader: io.RawIOBase) -> "Iterator[bytes]":
    return iter(lambda: reader.read(BLOCK), b"")


def content(reader: "File", before: os.stat_result) -> "Iterator[bytes]":
    """The blocks of a file that has to hold still until the last is read."""
    done = 0
    for block in blocks(reader):
        yield block
        done += len(block)
        if done > before.st_size and reader.status().st_size != before.st_size:
            break  # it grows, perhaps as fast as it is read
    after = reader.status()
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise OSError(errno.EIO, "the file changed while it was copied", reader.name)


def commit_verified(writer: "File", digest: str) -> None:
    """Give a copy its name if its SHA-256, read back, is this one. A device can't be read back."""
    if hasattr(writer, "commit"):
        if writer.read_back() != digest:  # type: ignore[attr-defined]
            raise OSError(errno.EIO, "the copy differs from the original", writer.name)
        writer.commit()


class File(io.FileIO):
    """A raw file that can be read and written at offsets, too; that leaves its position alone."""

    def status(self) -> os.stat_result:
        return os.fstat(self.fileno())

    def read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self.fileno(), size, offset)

    def write(self, block: "Any") -> int:
        try:
            return super().write(block)
        except OSError as error:  # the disk is full, say
            if error.errno is None:  # it wasn't opened for that
                raise
            raise renamed(error, self.name) from None

    def write_at(self, offset: int, block: bytes) -> None:
        view = memoryview(block)
        while view:
            try:
                done = os.pwrite(self.fileno(), view, offset)
            except OSError as error:
                raise renamed(error, self.name) from None
            view = view[done:]
            offset += done

    def write_all(self, block: bytes) -> None:
        view = memoryview(block)
        while view:
            view = view[self.write(view) :]


class Replacement(File):
    """A new file that takes its name by `commit`: whole, or not at all.

    It is written beside its target under a temporary name. Closing it without a commit leaves what was
    there before, whatever the reason: an exception, a full disk, or nobody's having closed it.
    """

    def __init__(
        self,
        target: bytes,
        before: "os.stat_result | None",
        permissions: int,
        exclusive: bool,
        key: str = "",
    ) -> None:
        self.before, self.exclusive = before, exclusive
        self.permissions = None  # type: int | None # to be set by the commit
        self.pending = 0  # the process whose temporary file it is
        self.sha256 = None  # type: Any # of its first `known` bytes
        self.known = 0
        folder, self.target = os.path.split(target)
        # By the folder's descriptor, as the temporary name may be longer than PATH_MAX leaves room for.
        self.folder = os.open(folder or b".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC)
        try:
            descriptor = self.reopened(key) if key else None
            if descriptor is not None:
                self.permissions = permissions
            if descriptor is None:
                self.temporary = temporary_name(binascii.hexlify(os.urandom(8)))
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                descriptor = os.open(self.temporary, flags, permissions, dir_fd=self.folder)
        except OSError as error:
            os.close(self.folder)
            raise OSError(error.errno, error.strerror, target) from None
        self.pending = os.getpid()
        super().__init__(descriptor, "r+")

    def reopened(self, key: str) -> "int | None":
        """The descriptor of what a copy with this key left, or of a new one; None if it isn't ours alone."""
        import fcntl

        self.temporary = temporary_name(encode(key))
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = None
        try:
            descriptor = os.open(self.temporary, flags, 0o600, dir_fd=self.folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
            named = os.stat(self.temporary, dir_fd=self.folder, follow_symlinks=False)
            if (
                identity(named) == identity(status)
                and st_.S_ISREG(status.st_mode)
                and status.st_uid == os.geteuid()
                and status.st_nlink == 1
            ):
                return descriptor
        except OSError:  # another copy is at it, or nothing can be locked here
            pass
        if descriptor is not None:
            os.close(descriptor)
        return None

    def readable(self) -> bool:
        return False

    def read_back(self) -> str:
        """The SHA-256 of what is in it. What an earlier call has read isn't read again."""
        if self.sha256 is None:
            from hashlib import sha256

            self.sha256 = sha256()
        for block in iter(lambda: self.read_at(self.known, BLOCK), b""):
            self.sha256.update(block)
            self.known += len(block)
        return str(self.sha256.hexdigest())

    def commit(self) -> None:
        """Give the file its name. What is written afterwards is lost."""
        try:
            if self.before:
                self.keep_attributes(self.before)
            elif self.permissions is not None:
                os.fchmod(self.fileno(), self.permissions & ~umask())
            os.fsync(self.fileno())
            if self.pending == os.getpid():
                self.publish()
        except OSError as error:
            raise renamed(error, self.name) from None
        finally:
            self.discard()

    def publish(self) -> None:
        if self.exclusive:
            try:  # unlike a rename, a link fails where somebody was faster
                os.link(self.temporary, self.target, src_dir_fd=self.folder, dst_dir_fd=self.folder)
                return
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                    raise
            # No hard links here: take the name first, then fill it.
            os.close(os.open(self.target, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, dir_fd=self.folder))
        os.rename(self.temporary, self.target, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        self.pending = 0

    def keep_attributes(self, before: os.stat_result) -> None:
        mode = before.st_mode & 0o777
        if before.st_gid != os.fstat(self.fileno()).st_gid:
            try:
                os.fchown(self.fileno(), -1, before.st_gid)
            except PermissionError:
                mode &= ~0o070  # they were for another group
        if before.st_uid != os.geteuid():
            with contextlib.suppress(PermissionError):  # only root gives files away
                os.fchown(self.fileno(), before.st_uid, -1)
        os.fchmod(self.fileno(), mode)

    def keep(self) -> None:
        """Leave what was written under its temporary name, for a later copy with the same key."""
        self.pending = 0

    def discard(self) -> None:
        """Leave what was there before. After `commit` or `keep` it does nothing."""
        if self.pending == os.getpid():  # not in a forked child: the file is its parent's
            self.pending = 0
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.temporary, dir_fd=self.folder)

    def close(self) -> None:
        if not self.closed:
            self.discard()
            os.close(self.folder)
        super().close()

    def __del__(self) -> None:
        self.close()


def umask() -> int:
    with contextlib.suppress(OSError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)  # elsewhere it can't be read without setting it, for all threads
    os.umask(mask)
    return mask


def temporary_name(key: bytes) -> bytes:
    return b".clustrix-" + key + b".tmp"


def selector(pattern: str, root: bytes) -> "tuple[Callable[[list[bytes], bytes], list[bytes]], int | None]":
    """A function from a folder's names and its prefix to the names that match, and the depth it can reach."""
    if "/" not in pattern:
        matching = name_filter(pattern)
        return (lambda names, prefix: names if matching is None else matching(names)), None
    match, depth = path_filter(pattern)

    def select(names: "list[bytes]", prefix: bytes) -> "list[bytes]":
        below = decode(prefix[len(root) :])
        below = below[2:] if below.startswith("./") else below  # as `guarded` spells it
        return [name for name in names if match(below + decode(name))]

    return select, depth
