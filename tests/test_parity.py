"""One answer everywhere: random trees and questions, asked here, and of a cluster behind SSH in every way."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clustrix_core import ClusterConfig, ClusterFilesystem, FileInfo
from clustrix_core.engine import expand_braces, is_at_home
from clustrix_core.errors import PartialResultWarning
from clustrix_core.session import pool
from clustrix_core.testing import Place, local_place
from clustrix_core.testing.asking import Entry, Gardener
from clustrix_core.testing.properties import GLOBS, NAMES, PATTERNS
from clustrix_core.testing.servers import Account, SlurmCluster, SshServer, ssh_place
from clustrix_core.testing.suite.base import below_root
from clustrix_ssh.sftp import MISSING

WAYS: dict[str, dict[str, Any]] = {
    "agent": {"protocol": "agent"},
    "sftp": {"protocol": "sftp"},
    "openssh": {"ssh_client": "openssh"},
    "slurm": {"cluster_type": "slurm", "module_loads": ["tool"]},
}

# Deep enough that neither `..` nor a link leads out of what is the same in both places.
TOP = "up/and/any"

# Few names, so that paths, patterns and links often meet what is there.
FEW = st.sampled_from(["a", "b", "a.csv", ".h", "~", "*", "{a,b}", "é", "new\nline", "caf\udce9"]) | NAMES
PATHS = st.lists(FEW, min_size=1, max_size=3).map("/".join)
TARGETS = PATHS | st.sampled_from([".", "..", "../a", "nowhere", "/dev/null", "a/../a"])
KINDS = st.sampled_from(["file", "file", "file", "folder", "link", "link"])
ENTRIES = st.lists(st.tuples(KINDS, PATHS, TARGETS), max_size=10)
# No folder that can be listed but not entered: servers of SFTP don't tell what is in there.
MODES = st.sampled_from(["0", "111", "311", "555", "755"])
TIMES = st.sampled_from([0, 1, 1_600_000_000_123_456_789, 1_600_000_000_000_000_000])
ENDS = st.sampled_from(["", "", "", "", "/", "//", "/.", "/..", "/missing", "/a", "x"])
ODD_PATHS = st.sampled_from(["", ".", "./", TOP, f"./{TOP}//", "missing", "n" * 256, "a\0b"])

Question = tuple[str, tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Way:
    """How to ask in one place: as the user who made the trees, and as one who may not read everything."""

    place: Place
    fs: ClusterFilesystem
    stranger: ClusterFilesystem


@st.composite
def questions(draw: st.DrawFn, paths: list[str]) -> Question:
    """Any operation, about a path that is there, or nearly."""
    there = st.sampled_from(sorted(paths)) | st.sampled_from(sorted(paths)) | ODD_PATHS
    some = st.tuples(there, ENDS).map("".join).filter(stays_inside)
    flag, on_error = st.booleans(), st.sampled_from(["warn", "warn", "raise"])
    operation = draw(st.sampled_from([*OPERATIONS, "find", "glob", "stat"]))
    path = draw(some)
    if operation == "ls":
        return operation, (path,), {"detail": draw(flag)}
    if operation == "find":
        how = {
            "detail": draw(flag),
            "type": draw(st.sampled_from("ffdl")),
            "max_depth": draw(st.sampled_from([None, None, 1, 2])),
            "follow_symlinks": draw(flag),
            "on_error": draw(on_error),
        }
        return operation, (draw(PATTERNS | st.just("*")), path), how
    if operation == "stat":
        if draw(flag):
            many = [path, *draw(st.lists(some, max_size=4))]
            return operation, (many,), {"on_error": draw(st.sampled_from(["return", "raise"]))}
        return operation, (path,), {"follow_symlinks": draw(flag)}
    if operation == "glob":
        pattern = draw((GLOBS | st.just("**")).filter(stays_away_from_home))
        return operation, (pattern, path), {"on_error": draw(on_error)}
    if operation == "du":
        return operation, (path,), {"on_error": draw(on_error)}
    if operation == "count_files":
        return operation, (path, draw(PATTERNS | st.just("*"))), {"on_error": draw(on_error)}
    return operation, (path,), {}


def stays_inside(path: str) -> bool:
    return not path.startswith("/") and not os.path.normpath(path).startswith("..")


def stays_away_from_home(pattern: str) -> bool:
    """The home folder is another one in each place."""
    return not any(map(is_at_home, expand_braces(pattern)))


OPERATIONS = [
    "ls",
    "find",
    "stat",
    "exists",
    "isdir",
    "isfile",
    "glob",
    "du",
    "count_files",
    "readlink",
    "open",
]


@pytest.fixture(scope="module")
def ways() -> Iterator[dict[str, Way]]:
    """Here, and over there by every way; what is made in one place is made in the other."""
    with ExitStack() as stack:
        server = stack.enter_context(SlurmCluster())
        found = {"local": _way(stack, stack.enter_context(local_place()))}
        for name, fields in WAYS.items():
            missing = MISSING if name == "sftp" else frozenset()
            place = stack.enter_context(ssh_place(server, _config(server, fields), missing=missing))
            found[name] = _way(stack, place)
        for name in ("local", "agent"):
            grown = [("folder", os.path.dirname(TOP), ""), ("time", "up", "0"), ("time", ".", "0")]
            Gardener(found[name].place).plant(".", grown)
        yield found
    pool.close()


def _way(stack: ExitStack, place: Place) -> Way:
    with place.unprivileged() as config:
        stranger = stack.enter_context(ClusterFilesystem(config))
    return Way(place, stack.enter_context(ClusterFilesystem(place.config)), stranger)


def _config(server: SshServer, fields: dict[str, Any]) -> Any:
    def config(account: Account) -> ClusterConfig:
        usual = {"cluster_type": "ssh"}
        return ClusterConfig(
            cluster_host=server.host,
            cluster_port=server.port,
            username=account.name,
            key_file=str(account.key_file),
            known_hosts_file=str(server.known_hosts),
            ssh_config_file="none",
            use_agent=False,
            remote_work_dir=server.root,
            **{**usual, **fields},
        )

    return config


# Shrinking takes minutes, and what is generated is small.
@settings(
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
@given(entries=ENTRIES, modes=st.lists(st.tuples(PATHS, MODES), max_size=3), time=TIMES, data=st.data())
def test_every_way_gives_the_same(
    ways: dict[str, Way], entries: list[Entry], modes: list[tuple[str, str]], time: int, data: st.DataObject
) -> None:
    planted = fitting(entries)
    paths = [TOP, *(f"{TOP}/{path}" for path in planted)]
    for name in ("local", "agent"):  # the others are in the same place as the agent
        Gardener(ways[name].place).replant(TOP, with_modes_and_times(planted, modes, time))
    asked = data.draw(st.lists(questions(paths), min_size=5, max_size=20))
    closed = {path for path, _ in modes} & set(planted)
    for question in asked:
        told = answer(ways["local"], question, bool(closed))
        for name in WAYS:
            way = ways[name]
            assert comparable(way, answer(way, question, bool(closed)), told) == comparable(
                way, told, told
            ), f"{name} answers {question} otherwise"


def fitting(entries: list[Entry]) -> dict[str, Entry]:
    """The entries that can be in one tree, by their paths, and the folders that they are in."""
    found: dict[str, Entry] = {}
    for kind, path, value in entries:
        above = [path[:at] for at, char in enumerate(path) if char == "/"]
        if path in found or any(found.get(one, ("folder",))[0] != "folder" for one in above):
            continue
        for folder in above:
            found.setdefault(folder, ("folder", folder, ""))
        found[path] = kind, path, value
    return found


def with_modes_and_times(planted: dict[str, Entry], modes: list[tuple[str, str]], time: int) -> list[Entry]:
    entries = list(planted.values())
    entries += [("time", path, str(time)) for path in (".", "..", *planted)]
    plain = {path for path, (kind, _, _) in planted.items() if kind != "link"}
    return entries + [("mode", path, mode) for path, mode in modes if path in plain]


def answer(way: Way, question: Question, as_stranger: bool) -> tuple[Any, ...]:
    """What comes of a question: the kind, the value or the failure, and the failures that were warned of."""
    operation, positional, named = question
    with ExitStack() as stack:
        fs = way.stranger if as_stranger else way.fs
        if as_stranger:
            stack.enter_context(way.place.unprivileged())
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        try:
            if operation == "open":
                with fs.open(positional[0], "rb") as file:
                    value: Any = file.read()
            else:
                value = getattr(fs, operation)(*positional, **named)
        except (OSError, ValueError) as error:
            return "failure", failure(way, error), []
    partial = [one.message for one in caught if isinstance(one.message, PartialResultWarning)]
    return "value", value, [failure(way, each) for one in partial for each in one.failures]


def failure(way: Way, error: Exception) -> tuple[str, int | None, str]:
    if not isinstance(error, OSError):
        return type(error).__name__, None, ""
    return type(error).__name__, error.errno, below_root(way.place, error.filename)


def comparable(way: Way, given: tuple[Any, ...], here: tuple[Any, ...]) -> Any:
    """An answer, without what this way can't tell, or what differs between two disks."""
    kind, value, warned = given
    if kind == "failure":
        return kind, coarse(way, value, here[1] if here[0] == kind else value)
    if isinstance(value, list):
        same = here[0] == kind and isinstance(here[1], list) and len(here[1]) == len(value)
        told = [facts(way, one, other) for one, other in zip(value, here[1] if same else value, strict=True)]
    else:
        told = facts(way, value, value)
    return kind, told, [coarse(way, one, one) for one in warned]


def coarse(way: Way, told: tuple[str, int | None, str], here: tuple[str, int | None, str]) -> Any:
    if way.place.has("fine_errno") or here[1] in (None, errno.ENOENT, errno.EACCES):
        return told
    return "OSError", told[2]


def facts(way: Way, value: Any, here: Any) -> Any:
    if isinstance(value, OSError):
        return coarse(way, failure(way, value), failure(way, here if isinstance(here, OSError) else value))
    if not isinstance(value, FileInfo):
        return value
    mtime = value.mtime_ns if way.place.has("subsecond_mtime") else value.mtime_ns // 10**9
    links = value.nlink if way.place.has("hardlinks") else None
    size = None if value.is_dir else value.size
    return value.path, value.name, size, mtime, value.mode, value.uid, value.gid, links
