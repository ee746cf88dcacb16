"""What is compared on the tree of 100,000 files: each contender answers one question about `root`.

The first contender of each operation is Clustrix. `at_most` is the requirement: Clustrix's time, divided by
the contender's. `read` brings an answer into the form in which all answers to a question must be equal; that
isn't timed. Contenders are given what `place_of` makes of the place that the worker is told of.
"""

from __future__ import annotations

import fnmatch
import glob
import importlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clustrix import ClusterFilesystem

UNSEEN = None
"""What a contender that writes to /dev/null is taken to answer."""

RGLOB_AT_MOST = 0.2 if sys.version_info[:2] == (3, 11) else None
"""Later versions of pathlib are faster; the requirement is about 3.11."""


@dataclass(frozen=True)
class Contender:
    label: str
    run: Callable[[Any], Any]
    at_most: float | None = None
    read: Callable[[Any, Any], Any] = lambda answer, place: answer
    peer: bool = False  # runs in the peers' environment


@dataclass(frozen=True)
class Operation:
    title: str
    contenders: tuple[Contender, ...]


def place_of(root: str) -> str:
    return root


@cache
def clustrix() -> ClusterFilesystem:
    from clustrix import ClusterConfig, ClusterFilesystem

    return ClusterFilesystem(ClusterConfig())


@cache
def fsspec_local() -> Any:
    return importlib.import_module("fsspec").filesystem("file")


def walk_joined(root: str) -> list[str]:
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            found.append(os.path.join(folder, name))
    found.sort()
    return found


def walk_formatted(root: str) -> list[str]:
    found: list[str] = []
    for folder, _, names in os.walk(root):
        found += [f"{folder}/{name}" for name in names]
    found.sort()
    return found


def walk_csv(root: str) -> list[str]:
    found: list[str] = []
    for folder, _, names in os.walk(root):
        found += [f"{folder}/{name}" for name in fnmatch.filter(names, "*.csv")]
    found.sort()
    return found


def walk_count(root: str) -> int:
    count = 0
    for _, _, names in os.walk(root):
        count += len(names)
    return count


def walk_sizes(root: str) -> int:
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            total += os.lstat(f"{folder}/{name}").st_size
    return total


def walk_lstat(root: str) -> list[tuple[str, os.stat_result]]:
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = f"{folder}/{name}"
            found.append((path, os.lstat(path)))
    found.sort()
    return found


def rglob(pattern: str) -> Callable[[str], list[str]]:
    return lambda root: sorted(map(str, pathlib.Path(root).rglob(pattern)))


def shell(command: str) -> Callable[[str], bytes]:
    """Run a command on the tree, `$1`, and read all that it writes."""
    return lambda root: (
        subprocess.run(["/bin/sh", "-c", command, "sh", root], check=True, stdout=subprocess.PIPE).stdout
    )


def lines(output: bytes, root: str) -> list[str]:
    return os.fsdecode(output).splitlines()


def files_only(paths: list[str], root: str) -> list[str]:
    return [path for path in paths if os.path.isfile(path)]


def unseen(output: bytes, root: str) -> None:
    return UNSEEN


def number(output: bytes, root: str) -> int:
    return int(output.split()[0])


def without_folders(output: bytes, root: str) -> int:
    """What `du` says, less the sizes of the directories themselves, which it adds."""
    return number(output, root) - sum(os.stat(folder).st_size for folder, _, _ in os.walk(root))


OPERATIONS = (
    Operation(
        "find('*')",
        (
            Contender("clustrix find", lambda root: clustrix().find("*", root)),
            Contender("os.walk, os.path.join, sorted", walk_joined, at_most=0.9),
            Contender("os.walk, f-strings, sorted", walk_formatted),
            Contender("find | sort, read", shell('find "$1" -type f | LC_ALL=C sort'), 1.0, lines),
            Contender(
                "find | sort > /dev/null", shell('find "$1" -type f | LC_ALL=C sort > /dev/null'), 1.0, unseen
            ),
            Contender("find > /dev/null, unsorted", shell('find "$1" -type f > /dev/null'), None, unseen),
            Contender("pathlib.rglob, str, sorted", rglob("*"), RGLOB_AT_MOST, files_only),
            Contender("fsspec find", lambda root: fsspec_local().find(root), at_most=0.2, peer=True),
        ),
    ),
    Operation(
        "find('*.csv')",
        (
            Contender("clustrix find", lambda root: clustrix().find("*.csv", root)),
            Contender("os.walk, fnmatch.filter, sorted", walk_csv),
            Contender(
                "find -name | sort, read",
                shell("find \"$1\" -type f -name '*.csv' | LC_ALL=C sort"),
                read=lines,
            ),
            Contender("pathlib.rglob, str, sorted", rglob("*.csv")),
            Contender(
                "fsspec find, endswith",
                lambda root: [path for path in fsspec_local().find(root) if path.endswith(".csv")],
                peer=True,
            ),
        ),
    ),
    Operation(
        "glob('**/*.csv')",
        (
            Contender("clustrix glob", lambda root: clustrix().glob("**/*.csv", root)),
            Contender(
                "glob.glob, sorted", lambda root: sorted(glob.glob(f"{root}/**/*.csv", recursive=True))
            ),
            Contender(
                "fsspec glob", lambda root: fsspec_local().glob(f"{root}/**/*.csv"), at_most=0.2, peer=True
            ),
        ),
    ),
    Operation(
        "count_files()",
        (
            Contender("clustrix count_files", lambda root: clustrix().count_files(root)),
            Contender("os.walk, counting", walk_count, at_most=1.1),
            Contender("find | wc -l", shell('find "$1" -type f | wc -l'), read=number),
        ),
    ),
    Operation(
        "du()",
        (
            Contender("clustrix du", lambda root: clustrix().du(root).total_bytes),
            Contender(
                "find -printf %s > /dev/null",
                shell("find \"$1\" -type f -printf '%s\\n' > /dev/null"),
                1.4,
                unseen,
            ),
            Contender("du -sb", shell('du -sb "$1"'), read=without_folders),
            Contender("os.walk, os.lstat, summed", walk_sizes),
            Contender("fsspec du", lambda root: fsspec_local().du(root), peer=True),
        ),
    ),
    Operation(
        "find('*', detail=True)",
        (
            Contender(
                "clustrix find",
                lambda root: clustrix().find("*", root, detail=True),
                read=lambda found, root: [[info.path, info.size] for info in found],
            ),
            Contender(
                "os.walk, os.lstat, sorted",
                walk_lstat,
                read=lambda found, root: [[path, status.st_size] for path, status in found],
            ),
            Contender(
                "fsspec find",
                lambda root: fsspec_local().find(root, detail=True),
                read=lambda found, root: [[path, info["size"]] for path, info in found.items()],
                peer=True,
            ),
        ),
    ),
)
