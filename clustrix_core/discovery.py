"""Which plugins are installed, and how the chosen one is loaded.

A distribution offers plugins as entry points: group `clustrix.backends` or `clustrix.extensions`, the
entry's name being the `cluster_type` (or the extension's name) and its value a class. Listing them reads
metadata only; nothing but the plugin that a config selects is ever imported.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from clustrix_core.errors import (
    BackendIncompatibleError,
    BackendLoadError,
    BackendNotFoundError,
    ClustrixError,
    near,
    printable,
)

if TYPE_CHECKING:
    from importlib.metadata import Distribution

    from clustrix_core.validation import Backend

Kind = Literal["backend", "extension", "command"]

GROUPS: dict[Kind, str] = {
    "backend": "clustrix.backends",
    "extension": "clustrix.extensions",
    "command": "clustrix.commands",
}
"""The entry-point group of each kind of plugin."""

# Only these are named in a `pip install` line: any other name on an index may be anybody's.
OWN: dict[Kind, dict[str, str]] = {
    "backend": {"local": "clustrix-local", "ssh": "clustrix-ssh", "slurm": "clustrix-slurm"},
    "extension": dict.fromkeys(("audit", "readonly", "trace"), "clustrix-core"),
    "command": {"cluster": "clustrix-slurm", "trust": "clustrix-ssh"},
}

_UNNAMED = "(unnamed distribution)"


class Plugin(NamedTuple):
    """A plugin that is installed, as its metadata describes it.

    Attributes:
        kind: `"backend"`, `"extension"` or `"command"`.
        name: what selects it: the config's `cluster_type`, or an item of its `extensions`.
        distribution: the name of the distribution that it comes from.
        version: that distribution's version.
        value: where its class is, as `module:Class`.
    """

    kind: Kind
    name: str
    distribution: str
    version: str
    value: str

    @property
    def source(self) -> str:
        """The distribution with its version, such as `clustrix-ssh 0.2.0`."""
        return f"{self.distribution} {self.version}"


def installed(kind: Kind) -> tuple[Plugin, ...]:
    """List the plugins of one kind, sorted by name. Nothing is imported.

    Args:
        kind: `"backend"` or `"extension"`.

    Returns:
        One `Plugin` for each name and distribution; two distributions that claim one name are both there.
    """
    plugins: set[Plugin] = set()
    seen: set[str] = set()
    for distribution in _offering(GROUPS[kind]):
        name, version = _origin(distribution)
        project = re.sub(r"[-_.]+", "-", name).lower()
        if project in seen:  # say, the leftover of an upgrade: the first on the path counts
            continue
        if name != _UNNAMED:
            seen.add(project)
        entries = distribution.entry_points.select(group=GROUPS[kind])
        plugins.update(Plugin(kind, entry.name, name, version, entry.value) for entry in entries)
    return tuple(sorted(plugins))


def _offering(group: str) -> Iterator[Distribution]:
    """The distributions with entry points of a group, found without parsing what all the others have."""
    from importlib.metadata import distributions  # costs some ten milliseconds

    for distribution in distributions():
        if group in (distribution.read_text("entry_points.txt") or ""):
            yield distribution


@cache  # keeps no failures, so that a plugin can be installed or repaired while the process runs
def load_backend(name: str) -> type[Backend]:
    """Import and validate the backend that is called `name`; its class is remembered.

    Args:
        name: a config's `cluster_type`.

    Returns:
        The backend's class.

    Raises:
        BackendNotFoundError: no installed backend has this name.
        BackendLoadError: it can't be imported, isn't a class, or two distributions claim the name.
        BackendIncompatibleError: it breaks the contract; all the ways in which it does are in `findings`.
    """
    return cast("type[Backend]", _load(_select("backend", name)))


@cache
def load_extension(name: str) -> type:
    """Import and validate the extension that is called `name`; its class is remembered.

    Args:
        name: an item of a config's `extensions`.

    Returns:
        The extension's class.

    Raises:
        BackendNotFoundError, BackendLoadError, BackendIncompatibleError: as `load_backend`.
    """
    return _load(_select("extension", name))


def check(plugin: Plugin) -> str | None:
    """Find out what is wrong with an installed plugin, by importing and validating it.

    Args:
        plugin: one that `installed` returned.

    Returns:
        One line, or None if the plugin is fine. No failure of the plugin is raised, and what its import
        prints is dropped: for this long, nothing in the process can print.
    """
    try:
        with _silence():
            _refuse_rivals(_claims(plugin.kind, plugin.name))
            _load(plugin)
    except BackendIncompatibleError as error:
        return _one_line("; ".join(error.findings))
    except ClustrixError as error:
        return _one_line(str(error))
    return None


@contextmanager
def _silence() -> Iterator[None]:
    """Drop what is printed, also by libraries and child processes, which write to descriptors 1 and 2."""
    import fcntl

    _flush()
    saved: dict[int, int] = {}
    for number in (1, 2):
        with suppress(OSError):  # it is closed
            saved[number] = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in saved:
            os.dup2(null, number)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        _flush()  # what was written to `sys.__stdout__`
        for number, copy in saved.items():
            os.dup2(copy, number)
            os.close(copy)
        os.close(null)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with suppress(AttributeError, OSError, ValueError):  # it is None, broken or closed
            stream.flush()  # type: ignore[union-attr]


def _select(kind: Kind, name: str) -> Plugin:
    claims = _claims(kind, name)
    if not claims:
        raise BackendNotFoundError(_not_found(kind, name))
    _refuse_rivals(claims)
    return claims[0]


def _claims(kind: Kind, name: str) -> list[Plugin]:
    return [plugin for plugin in installed(kind) if plugin.name == name]


def _refuse_rivals(claims: Sequence[Plugin]) -> None:
    if len(claims) > 1:
        rivals = " and ".join(f"{plugin.source} ({plugin.value})" for plugin in claims)
        raise BackendLoadError(
            f"{len(claims)} distributions claim the {claims[0].kind} name {claims[0].name!r}: {rivals}; "
            "uninstall all but one of them"
        )


def _load(plugin: Plugin) -> type:
    from clustrix_core.validation import validate_backend, validate_extension  # imports pydantic and pluggy

    cls = _import(plugin)
    validate = validate_backend if plugin.kind == "backend" else validate_extension
    try:
        validate(cls, source=plugin.source)
    except BackendIncompatibleError:
        raise
    except Exception as error:  # some attribute of it defeats the validation
        raise _unloadable(plugin, f"looking at {plugin.value} failed with {_described(error)}") from error
    return cls


def _import(plugin: Plugin) -> type:
    from importlib.metadata import EntryPoint

    entry = EntryPoint(plugin.name, plugin.value, GROUPS[plugin.kind])
    if not entry.pattern.match(entry.value):
        raise _unloadable(plugin, f"its entry point {printable(plugin.value)!r} is no `module:Class`")
    try:
        found: object = entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin doesn't decide when the process ends
        raise _unloadable(plugin, f"importing {plugin.value} failed with {_described(error)}") from error
    if not isinstance(found, type):
        raise _unloadable(plugin, f"{plugin.value} is no class but a {type(found).__name__}")
    return found


def _unloadable(plugin: Plugin, reason: str) -> BackendLoadError:
    return BackendLoadError(
        f"the {plugin.kind} {plugin.name!r} of {plugin.source} can't be loaded: {reason}; "
        f"upgrade, reinstall or uninstall {plugin.distribution}"
    )


def _not_found(kind: Kind, name: str) -> str:
    names = {plugin.name for plugin in installed(kind)}
    own = OWN[kind]
    hint = ""
    if name in own:
        hint = f"Install it with `pip install {own[name]}`. "
    elif close := near(name, sorted(names | own.keys())):
        hint = f"Did you mean {' or '.join(map(repr, close))}? "
    there = ", ".join(sorted(names)) or "none"
    return f"no {kind} {name!r} is installed. {hint}Installed {kind}s: {there} (see `clustrix plugins`)"


def _origin(distribution: Distribution) -> tuple[str, str]:
    """A distribution's name and version, even where a broken install left it without them."""
    # Not `distribution.metadata`: that imports a parser of e-mails, and parses all of a README with it.
    try:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    except (OSError, UnicodeError):
        text = ""
    headers = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    values = {name: value.strip() for name, _, value in headers}
    return values.get("Name") or _UNNAMED, values.get("Version") or "(no version)"


def _described(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # its own `__str__` is broken as well
        text = ""
    return _one_line(f"{type(error).__name__}: {text}").rstrip(": ")


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
