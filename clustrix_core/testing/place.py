"""`Place`: where the backend under test looks, and how the suite gets there without it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from clustrix_core.config import ClusterConfig
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.testing import tree

CAPABILITIES = {
    "files": "open, get and put",
    "readlink": "readlink",
    "hardlinks": "du counts hard links once, and nlink is known",
    "subsecond_mtime": "times of modification have fractions of a second",
    "mtime_before_1970": "times of modification before 1970 are right",
    "fine_errno": "errors other than ENOENT and EACCES keep their errno and type",
    "long_paths": "recursions report names that would make a path longer than PATH_MAX",
}
"""What a backend may declare as missing, and what each means."""

NOBODY = 65534


@dataclass(frozen=True)
class Place:
    """A place on which the suite runs, and the backend's way to it.

    Attributes:
        config: the config by which the backend is chosen and reaches the place; its work dir is `root`.
        root: the absolute path of an empty scratch folder in the place, which `unprivileged` can enter.
        python: runs a Python script in the place without the backend: it is given the source and the
            arguments (ASCII), and returns what the script printed; it raises, with what the script wrote to
            stderr, when that fails. It runs as the user of `config`, with the same home folder.
        unprivileged: a context in which the config that it gives acts as an ordinary user, who has no rights
            to what the user of `python` has closed to others.
        missing: the names of the capabilities (see `CAPABILITIES`) that the backend lacks. All that
            isn't named here is tested in full.
        own_home: whether the home folder in the place is one that was made for the suite, which holds
            `notes.csv`, `.profile` and `sub/more.csv`. Where it isn't, tests that list it are skipped.
    """

    config: ClusterConfig
    root: str
    python: Callable[[bytes, list[str]], bytes]
    unprivileged: Callable[[], AbstractContextManager[ClusterConfig]]
    missing: frozenset[str] = frozenset()
    own_home: bool = True

    def __post_init__(self) -> None:
        unknown = sorted(set(self.missing) - set(CAPABILITIES))
        if unknown:
            raise ValueError(
                f"no such capability: {', '.join(unknown)}; what can be missing is {', '.join(CAPABILITIES)}"
            )

    def has(self, capability: str) -> bool:
        """Whether the backend has a capability."""
        if capability not in CAPABILITIES:
            raise ValueError(f"no such capability: {capability}")
        return capability not in self.missing


@contextmanager
def local_place(
    config: Callable[[str], ClusterConfig] | None = None,
    *,
    missing: frozenset[str] = frozenset(),
    folder: str | None = None,
) -> Iterator[Place]:
    """A scratch place on this machine, with a home folder of its own, removed afterwards.

    Args:
        config: makes the config from the path of the scratch folder; by default that of the local backend.
        missing: the capabilities that the backend lacks.
        folder: where to make it; by default where temporary files go.
    """
    make_config = config or _local_config
    base = os.path.realpath(tempfile.mkdtemp(prefix="clustrix-suite-", dir=folder))
    try:
        os.chmod(base, 0o755)
        root, home = os.path.join(base, "root"), os.path.join(base, "home")
        for folder in (root, home, os.path.join(home, "sub")):
            os.mkdir(folder)
        for name in ("notes.csv", ".profile", "sub/more.csv"):
            with open(os.path.join(home, name), "w") as file:
                file.write(name)
        with _home_folder(home):
            made = make_config(root)
            yield Place(made, root, run_here, lambda: as_nobody(made), missing)
    finally:
        tree.remove(os.fsencode(base))


def run_here(source: bytes, arguments: list[str]) -> bytes:
    """Run a script with this Python in a process of its own: `Place.python` for this machine."""
    done = subprocess.run([sys.executable, "-I", "-S", "-", *arguments], input=source, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"the script failed: {done.stderr.decode(errors='replace')}")
    return done.stdout


@contextmanager
def as_nobody(config: ClusterConfig) -> Iterator[ClusterConfig]:
    """Give up root's rights, which an ordinary user doesn't have: `Place.unprivileged` for this machine."""
    user = os.geteuid()
    with ClusterFilesystem(config) as fs:
        fs.exists(".")  # Loads the backend now: its modules may not be readable by the other user.
        if user == 0:
            os.seteuid(NOBODY)
        try:
            yield config
        finally:
            if user == 0:
                os.seteuid(0)


def _local_config(root: str) -> ClusterConfig:
    return ClusterConfig(cluster_type="local", local_work_dir=root)


@contextmanager
def _home_folder(path: str) -> Iterator[None]:
    before = os.environ.get("HOME")
    os.environ["HOME"] = path
    try:
        yield
    finally:
        if before is None:
            del os.environ["HOME"]
        else:
            os.environ["HOME"] = before
