"""`clustrix.yml`: which files count, whether they are to be trusted, and what stands in them.

The nearest file is that in the current folder or its parents, up to the home folder or the filesystem's
boundary; then comes the user's, in `$XDG_CONFIG_HOME/clustrix` (`~/.config/clustrix`). `CLUSTRIX_CONFIG` is
the path of a file to read instead of searching.

A file is read only if it belongs to the user or root and nobody else can write it. It holds either fields, or
`profiles:` (fields by profile name) and perhaps `default_profile:`.
"""

from __future__ import annotations

import codecs
import os
import shlex
import stat
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clustrix_core import plainyaml
from clustrix_core.errors import ConfigError, ConfigWarning, printable, users_stacklevel

if TYPE_CHECKING:
    from yaml import Node

    from clustrix_core.plainyaml import Pairs

FILE_NAME = "clustrix.yml"


def warn(message: str) -> None:
    """Issue a `ConfigWarning`."""
    warnings.warn(message, ConfigWarning, stacklevel=users_stacklevel())


class UnusableFileError(ConfigError):
    """A file can't be read, or should not be trusted."""


@dataclass(frozen=True)
class Given:
    """A value that isn't validated yet, and where it comes from.

    Attributes:
        value: the value, which doesn't print: it may be a secret.
        origin: `"argument"`, the name of a variable, or the file (and line, as `"/path/clustrix.yml:12"`).
    """

    value: Any = field(repr=False)
    origin: str


Layer = dict[str, Given]


@dataclass(frozen=True)
class ConfigFile:
    """What stands in a `clustrix.yml`: fields, or else profiles and the name of one."""

    path: str
    fields: Layer
    profiles: dict[str, Layer] | None = None
    default_profile: Given | None = None


# ---- which files count


def files(path: str | os.PathLike[str] | None = None) -> Iterator[ConfigFile]:
    """The files in which profiles are looked for, the nearest first. Each is read when it is asked for.

    Args:
        path: the only file to read, instead of searching and of `CLUSTRIX_CONFIG`.

    Raises:
        ConfigError: a file is wrong, or one that was named can't be read or trusted. One that was found
            and can't be is passed over with a `ConfigWarning`.
    """
    explicit = path if path is not None else os.environ.get("CLUSTRIX_CONFIG") or None
    if explicit is not None:
        yield load(absolute(explicit))[1]
        return
    nearest = next(filter(None, map(_found, _project_files())), None)
    if nearest is not None:
        yield nearest
    own = user_file()
    if own is not None and (nearest is None or os.path.realpath(nearest.path) != os.path.realpath(own)):
        found = _found(own)
        if found is not None:
            yield found


def user_file() -> str | None:
    """The path of the user's file, be it there or not; None for a user without a home folder."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):
        folder = os.path.expanduser("~/.config")
    return os.path.join(folder, "clustrix", FILE_NAME) if os.path.isabs(folder) else None


def absolute(path: str | os.PathLike[str]) -> str:
    """The absolute form of a path that was given, with a leading `~` expanded."""
    return os.path.abspath(os.path.expanduser(os.fspath(path)))


def _project_files() -> Iterator[str]:
    """Candidates from the current folder up to the home folder, or as far as the filesystem goes."""
    with suppress(OSError):  # the current folder was deleted, or can't be seen from here
        home = os.path.realpath(os.path.expanduser("~"))
        folder = Path.cwd()
        device = folder.stat().st_dev
        for parent in (folder, *folder.parents):
            if parent.stat().st_dev != device:
                return
            yield str(parent / FILE_NAME)
            if str(parent) == home:
                return


def _found(path: str) -> ConfigFile | None:
    if not os.path.lexists(path):
        return None
    try:
        return load(path)[1]
    except UnusableFileError as error:
        warn(f"passed over: {error}")
        return None


# ---- whether they are to be trusted


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            _check_trust(path, os.fstat(file.fileno()), os.lstat(path))
            return file.read()
    except OSError as error:
        raise UnusableFileError(
            f"{printable(path)}: {error.strerror}; check the path and permissions"
        ) from None


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO without a writer would wait for one


def _check_trust(path: str, status: os.stat_result, link: os.stat_result) -> None:
    name = printable(path)
    if not stat.S_ISREG(status.st_mode):
        raise UnusableFileError(f"{name}: this is no regular file; remove it")
    for owner in (status.st_uid, link.st_uid):
        if owner not in (0, os.geteuid()):
            raise UnusableFileError(
                f"{name}: it belongs to user {owner}, who could put commands into it; if you trust it, "
                f"make it yours: sudo chown {os.geteuid()} {shlex.quote(name)}"
            )
    if status.st_mode & 0o022:
        raise UnusableFileError(
            f"{name}: others can write to it; check what it says, then: chmod go-w {shlex.quote(name)}"
        )


# ---- what stands in them


def load(path: str) -> tuple[Node, ConfigFile]:
    """Read a file, as a YAML document and as what it means.

    Raises:
        UnusableFileError: it can't be read, or should not be trusted.
        ConfigError: it is wrong.
    """
    data = _read(path).removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        place = plainyaml.position(path, data[: error.start].decode("utf-8", "replace"))
    else:
        return plainyaml.parse(text, path, lambda root: (root, _interpreted(root, path)))
    raise ConfigError(f"{place}: this is no UTF-8; save the file as UTF-8")


def with_profile(document: Node, path: str, profile: str, fields: Node) -> Node:
    """A document that holds no fields of its own, with a profile added or replaced."""
    item = plainyaml.pairs(document, path).get("profiles")
    profiles = item[1] if item is not None and item[1].tag == plainyaml.MAPPING else plainyaml.node_of({})
    root = document if document.tag == plainyaml.MAPPING else plainyaml.node_of({})
    plainyaml.put(profiles, profile, fields)
    plainyaml.put(root, "profiles", profiles)
    return root


def _interpreted(root: Node, path: str) -> ConfigFile:
    items = plainyaml.pairs(root, path)
    if not items.keys() & {"profiles", "default_profile"}:
        return ConfigFile(path, _layer(root, path))
    for name, (key, _) in items.items():
        if name not in ("profiles", "default_profile"):
            plainyaml.fault(path, key, f"{printable(name)} stands beside profiles; move it into one of them")
    bodies = plainyaml.pairs(items["profiles"][1], path) if "profiles" in items else {}
    profiles = {name: _layer(body, path) for name, (_, body) in bodies.items()}
    return ConfigFile(path, {}, profiles, _default_profile(items, path))


def _default_profile(items: Pairs, path: str) -> Given | None:
    if "default_profile" not in items:
        return None
    key, name = items["default_profile"]
    if name.tag == plainyaml.NULL:
        return None
    if name.tag != plainyaml.TEXT:
        plainyaml.fault(path, name, "default_profile should be the name of a profile")
    return Given(name.value, f"{path}:{plainyaml.line(key)}")


def _layer(mapping: Node, path: str) -> Layer:
    return {
        name: Given(plainyaml.plain(item, path), f"{path}:{plainyaml.line(key)}")
        for name, (key, item) in plainyaml.pairs(mapping, path).items()
    }
