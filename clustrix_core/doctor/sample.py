"""A small tree with odd names, and what each operation has to say of it.

What is expected is worked out here from the list of what was made, never by the engine.
"""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from clustrix_core.doctor.steps import Fault, LeftOut, Step
from clustrix_core.errors import ClustrixError
from clustrix_core.filesystem import ClusterFilesystem

TREE = [
    ("d", "folder", ""),
    ("d", "folder/deep", ""),
    ("d", "hollow", ""),
    ("f", "plain.txt", "some text\n"),
    ("f", "empty.csv", ""),
    ("f", "folder/inner.csv", "1,2\n"),
    ("f", "folder/deep/last.csv", "1,2,3\n"),
    ("f", "folder.csv", "sorts before what is in the folder\n"),
    ("f", ".hidden.csv", "."),
    ("f", "with space.csv", "1"),
    ("f", "new\nline.csv", "12"),
    ("f", "quote's.csv", "123"),
    ("f", "-rf.csv", "1234"),
    ("f", "*.csv", "12345"),
    ("f", "$(touch pwned).csv", "123456"),
    ("f", "caf\u00e9.csv", "1234567"),
    ("f", "no utf-8 \udcff.csv", "12345678"),
    ("f", "~", "no home"),
    ("l", "to-file", "plain.txt"),
    ("l", "to-folder", "folder"),
    ("l", "broken", "nowhere"),
]
"""Kinds, names, and contents or targets."""

PLAIN = frozenset(name for kind, name, _ in TREE[:7] if kind != "l")
"""What any filesystem takes."""

ADVICE = "the backend breaks its promise: tell its authors (`clustrix plugins` names its distribution)"
BLOCK = bytes(range(256)) * 1000
SHOWN = 300  # characters of a result


class Sample:
    """The tree as it was made.

    Args:
        fs: the filesystem that has it.
        root: the path of its folder.
        refused: the names that could not be made, none of them `PLAIN`.
    """

    def __init__(self, fs: ClusterFilesystem, root: str, refused: Collection[str]) -> None:
        self.fs, self.root = fs, root
        made = [item for item in TREE if item[1] not in refused]
        self.contents = {name: content.encode() for kind, name, content in made if kind == "f"}
        self.folders = [name for kind, name, _ in made if kind == "d"]
        self.targets = {name: target for kind, name, target in made if kind == "l"}
        self._gone = False

    def steps(self) -> list[Step]:
        """The nine operations, and what else there may be, one step for each."""
        looks = {
            "ls": self._ls,
            "find": self._find,
            "stat": self._stat,
            "exists": self._exists,
            "isdir": self._isdir,
            "isfile": self._isfile,
            "glob": self._glob,
            "du": self._du,
            "count_files": self._count_files,
            "readlink": self._readlink,
            "open": self._open,
            "put and get": self._copy,
        }
        return [Step(name, partial(self._compare, look), vital=False) for name, look in looks.items()]

    def _compare(self, look: Callable[[], None]) -> str:
        """Compare; where the tree itself is gone, no operation is to blame."""
        if self._gone:
            raise LeftOut("the scratch folder is gone")
        try:
            look()
        except (OSError, Fault):
            self._gone = not self.fs.exists(self.root)
            if not self._gone:
                raise
            raise Fault(
                "the scratch folder is gone: the connection broke meanwhile, or somebody removed it",
                "try again",
            ) from None
        return "as it was made"

    def _names(self) -> list[str]:
        return [*self.folders, *self.contents, *self.targets]

    def _paths(self, names: Collection[str]) -> list[str]:
        """As an operation has to spell and sort them."""
        return in_order(f"{self.root}/{name}" for name in names)

    def _ls(self) -> None:
        top = in_order(name for name in self._names() if "/" not in name)
        same("ls", self.fs.ls(self.root), top)
        told = [(info.name, kind_of(info.mode)) for info in self.fs.ls(self.root, detail=True)]
        kinds = dict.fromkeys(self.folders, "d") | dict.fromkeys(self.targets, "l")
        same("ls with detail", told, [(name, kinds.get(name, "f")) for name in top])
        same("ls of a folder", self.fs.ls(f"{self.root}/folder"), ["deep", "inner.csv"])
        same("ls of an empty folder", self.fs.ls(f"{self.root}/hollow"), [])
        refuses("ls of a file", lambda: self.fs.ls(f"{self.root}/plain.txt"))

    def _find(self) -> None:
        csv = [name for name in self.contents if name.endswith(".csv")]
        same("find '*.csv'", self.fs.find("*.csv", self.root), self._paths(csv))
        top = [name for name in csv if "/" not in name]
        same("find with max_depth", self.fs.find("*.csv", self.root, max_depth=1), self._paths(top))
        same("find of folders", self.fs.find("*", self.root, type="d"), self._paths(self.folders))
        same("find of links", self.fs.find("*", self.root, type="l"), self._paths(self.targets))
        below = [name for name in csv if name.startswith("folder/")]
        same("find 'folder/**/*.csv'", self.fs.find("folder/**/*.csv", self.root), self._paths(below))
        sizes = {f"{self.root}/{name}": len(content) for name, content in self.contents.items()}
        found = self.fs.find("*", self.root, detail=True)
        expected = [(path, sizes[path]) for path in in_order(sizes)]
        same("find with detail", [(info.path, info.size) for info in found], expected)
        refuses("find below nothing", lambda: self.fs.find("*", f"{self.root}/missing"))

    def _stat(self) -> None:
        names = list(self.contents)
        infos = self.fs.stat([f"{self.root}/{name}" for name in names])
        sizes = [(name.rpartition("/")[2], len(self.contents[name])) for name in names]
        same("stat", [(info.name, info.size) for info in infos], sizes)
        for name, kind, own in (("folder", "d", "d"), ("to-folder", "d", "l"), ("to-file", "f", "l")):
            if name in self._names():
                path = f"{self.root}/{name}"
                same(f"stat of {name!r}", kind_of(self.fs.stat(path).mode), kind)
                itself = self.fs.stat(path, follow_symlinks=False)
                same(f"stat of {name!r} itself", kind_of(itself.mode), own)
        refuses("stat of nothing", lambda: self.fs.stat(f"{self.root}/missing"))

    def _exists(self) -> None:
        self._ask("exists", self.fs.exists, {"folder", "plain.txt", "~", "to-file", "to-folder"})

    def _isdir(self) -> None:
        self._ask("isdir", self.fs.isdir, {"folder", "to-folder"})

    def _isfile(self) -> None:
        self._ask("isfile", self.fs.isfile, {"plain.txt", "~", "to-file"})

    def _ask(self, name: str, ask: Callable[[str], bool], yes: set[str]) -> None:
        asked = ("folder", "plain.txt", "~", "to-file", "to-folder", "broken")
        for each in (*(one for one in asked if one in self._names()), "missing", "plain.txt/below"):
            same(f"{name} of {each!r}", ask(f"{self.root}/{each}"), each in yes)

    def _glob(self) -> None:
        shown = [name for name in self.contents if name.endswith(".csv") and not name.startswith(".")]
        top = [name for name in shown if "/" not in name]
        same("glob '*.csv'", self.fs.glob("*.csv", self.root), self._paths(top))
        same("glob '**/*.csv'", self.fs.glob("**/*.csv", self.root), self._paths(shown))
        same("glob '{plain,none}.*'", self.fs.glob("{plain,none}.*", self.root), self._paths(["plain.txt"]))
        same("glob '.*'", self.fs.glob(".*", self.root), self._paths({".hidden.csv"} & set(self.contents)))
        same("glob 'none*'", self.fs.glob("none*", self.root), [])

    def _du(self) -> None:
        found = self.fs.du(self.root)
        total = sum(map(len, self.contents.values()))
        same("du", (found.total_bytes, found.file_count), (total, len(self.contents)))

    def _count_files(self) -> None:
        same("count_files", self.fs.count_files(self.root), len(self.contents))
        csv = sum(name.endswith(".csv") for name in self.contents)
        same("count_files '*.csv'", self.fs.count_files(self.root, "*.csv"), csv)

    def _readlink(self) -> None:
        if not self.targets:
            raise LeftOut("there are no links to read")
        for name, target in self.targets.items():
            same(f"readlink of {name!r}", self.fs.readlink(f"{self.root}/{name}"), target)
        refuses("readlink of a file", lambda: self.fs.readlink(f"{self.root}/plain.txt"))

    def _open(self) -> None:
        for name, content in self.contents.items():
            with self.fs.open(f"{self.root}/{name}", "rb") as file:
                same(f"what {name!r} holds", file.read(), content)
        path = f"{self.root}/written"
        with self.fs.open(path, "wb") as file:
            file.write(BLOCK)
        with self.fs.open(path, "rb") as file:
            file.seek(len(BLOCK) - 4)
            same("the end of what was written", file.read(), BLOCK[-4:])

    def _copy(self) -> None:
        with tempfile.TemporaryDirectory(prefix="clustrix-doctor-") as here:
            source, back = Path(here, "source"), Path(here, "back")
            source.write_bytes(BLOCK)
            same("put", self.fs.put(source, f"{self.root}/copy"), len(BLOCK))
            same("get", self.fs.get(f"{self.root}/copy", back), len(BLOCK))
            same("what came back", back.read_bytes(), BLOCK)


def same(call: str, found: object, expected: object) -> None:
    """Compare what a call gave with what it should.

    Raises:
        Fault: they differ.
    """
    if found != expected:
        raise Fault(f"{call} gives {_shown(found)}, where {_shown(expected)} is right", ADVICE)


def refuses(call: str, ask: Callable[[], Any]) -> None:
    """See that something is refused with an error of the filesystem.

    Raises:
        Fault: it isn't.
    """
    try:
        found = ask()
    except ClustrixError:
        raise
    except OSError:
        return
    raise Fault(f"{call} gives {_shown(found)}, where an error is right", ADVICE)


def in_order(names: Iterable[str]) -> list[str]:
    """Sorted by bytes, as every operation sorts."""
    return sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape"))


def kind_of(mode: int) -> str:
    """A kind as `find` has it."""
    return {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l"}.get(stat.S_IFMT(mode), "?")


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
