"""Where nothing can be made: whether the operations agree with each other on what is there.

Only one folder is read, the work dir itself, and not what is below it, which may be millions of files.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from clustrix_core.doctor.sample import in_order, same
from clustrix_core.doctor.steps import Concern, Fault, LeftOut, Step
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.hookspecs import EntryType
from clustrix_core.models import FileInfo

LOOKED_AT = 50  # entries
ASKED_ABOUT = 3  # entries, each with a call of its own
TRIES = 3


@dataclass(frozen=True)
class Seen:
    """What is in the folder, and the status of some of it: of links, of the links themselves."""

    names: list[str]
    infos: list[FileInfo]

    @classmethod
    def of(cls, fs: ClusterFilesystem) -> Seen:
        names = fs.ls(".")
        found = fs.stat([f"./{name}" for name in names[:LOOKED_AT]], follow_symlinks=False, on_error="return")
        return cls(names, [info for info in found if isinstance(info, FileInfo)])

    def of_kind(self, test: Callable[[int], bool]) -> list[FileInfo]:
        return [info for info in self.infos if test(info.mode)]


def steps(fs: Callable[[], ClusterFilesystem]) -> list[Step]:
    """The nine operations of a filesystem that there may not be yet, one step for each."""
    looks = {
        "ls": _ls,
        "find": _find,
        "stat": _stat,
        "exists": _exists,
        "isdir": _isdir,
        "isfile": _isfile,
        "glob": _glob,
        "du": _du,
        "count_files": _count_files,
    }
    return [Step(name, partial(_settled, fs, look), vital=False) for name, look in looks.items()]


def _settled(
    get: Callable[[], ClusterFilesystem], look: Callable[[ClusterFilesystem, Seen], object]
) -> str | Concern:
    """Compare; a difference counts if the folder has not changed meanwhile."""
    fs = get()
    for _ in range(TRIES):
        seen = Seen.of(fs)
        try:
            look(fs, seen)
            return "agrees with the others on the work dir"
        except Fault:
            if Seen.of(fs) == seen:
                raise
    return Concern("the work dir changes all the time", "try again when nothing works in it")


def _ls(fs: ClusterFilesystem, seen: Seen) -> None:
    same("ls", seen.names, in_order(set(seen.names)))
    same("ls with . or ..", [name for name in seen.names if name in (".", "..")], [])


def _find(fs: ClusterFilesystem, seen: Seen) -> None:
    tests: dict[EntryType, Callable[[int], bool]] = {"f": stat.S_ISREG, "d": stat.S_ISDIR, "l": stat.S_ISLNK}
    for kind, test in tests.items():
        found = fs.find("*", ".", type=kind, max_depth=1)
        same(f"the order of find's type {kind!r}", found, in_order(set(found)))
        known = {info.name for info in seen.infos}
        expected = _spelled([info.name for info in seen.of_kind(test)])
        same(f"find of type {kind!r}", [path for path in found if _bare(path) in known], expected)


def _stat(fs: ClusterFilesystem, seen: Seen) -> None:
    names = [info.name for info in seen.infos]
    same("stat", names, [name for name in seen.names[:LOOKED_AT] if name in set(names)])
    for info in seen.infos[:ASKED_ABOUT]:
        same(f"stat of {info.name!r} alone", fs.stat(info.path, follow_symlinks=False), info)


def _exists(fs: ClusterFilesystem, seen: Seen) -> None:
    for info in _telling(seen):
        same(f"exists of {info.name!r}", fs.exists(info.path), True)
    same("exists of the work dir", fs.exists("."), True)


def _isdir(fs: ClusterFilesystem, seen: Seen) -> None:
    for info in _telling(seen):
        same(f"isdir of {info.name!r}", fs.isdir(info.path), stat.S_ISDIR(info.mode))
    same("isdir of the work dir", fs.isdir("."), True)


def _isfile(fs: ClusterFilesystem, seen: Seen) -> None:
    for info in _telling(seen):
        same(f"isfile of {info.name!r}", fs.isfile(info.path), stat.S_ISREG(info.mode))
    same("isfile of the work dir", fs.isfile("."), False)


def _glob(fs: ClusterFilesystem, seen: Seen) -> None:
    same("glob '*'", fs.glob("*"), _spelled([name for name in seen.names if not name.startswith(".")]))


def _du(fs: ClusterFilesystem, seen: Seen) -> None:
    file = _some_file(seen)
    found = fs.du(file.path)
    same(f"du of {file.name!r}", (found.total_bytes, found.file_count), (file.size, 1))


def _count_files(fs: ClusterFilesystem, seen: Seen) -> None:
    file = _some_file(seen)
    same(f"count_files of {file.name!r}", fs.count_files(file.path), 1)


def _telling(seen: Seen) -> list[FileInfo]:
    """Some of both kinds; links are left out, as what they point to isn't known."""
    folders, files = seen.of_kind(stat.S_ISDIR), seen.of_kind(stat.S_ISREG)
    return folders[:ASKED_ABOUT] + files[:ASKED_ABOUT]


def _some_file(seen: Seen) -> FileInfo:
    files = seen.of_kind(stat.S_ISREG)
    if not files:
        raise LeftOut("there is no file to compare it on")
    return files[0]


def _spelled(names: list[str]) -> list[str]:
    """As results in the work dir are: what would stand for the home folder gets a `./`."""
    return in_order(f"./{name}" if name == "~" else name for name in names)


def _bare(path: str) -> str:
    return path.removeprefix("./")
