"""The exceptions and warnings that are Clustrix's own.

Failures of the filesystem stay what Python raises for them (`FileNotFoundError`, `PermissionError`, …,
with errno and filename), from every backend. What stands here is all the rest.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence


class ClustrixError(Exception):
    """The base of every exception that Clustrix defines."""


class ConfigError(ClustrixError, ValueError):
    """A configuration value, file or variable is wrong. The message says which, where and what is right."""


class BackendNotFoundError(ClustrixError, LookupError):
    """No installed backend (or extension) has the name that the config asks for."""


class BackendLoadError(ClustrixError):
    """The backend (or extension) is installed but its import fails, or two distributions claim its name.

    Or an extension's constructor raised what is no `ClustrixError`.
    """


class BackendIncompatibleError(ClustrixError):
    """The backend (or extension) breaks the plugin contract.

    Attributes:
        findings: every violation that was found, one sentence each.
    """

    def __init__(self, message: str, findings: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class UnsupportedOperationError(ClustrixError, NotImplementedError):
    """The backend does not implement this optional operation, or this argument of it."""


class ConnectionFailedError(ClustrixError, ConnectionError):
    """The host can't be reached, or the connection was lost.

    Attributes:
        may_have_run: whether a program may have run, or may be running, that was to be run there.
    """

    may_have_run = False


class AuthenticationFailedError(ConnectionFailedError):
    """The host refused every way of logging in that was tried."""


class HostKeyError(ConnectionFailedError):
    """The host's key is unknown, or isn't the one that known_hosts holds."""


class JobError(ClustrixError):
    """A job can't be submitted or asked about, or did not end as it should. The message says why."""


class LoopError(ClustrixError):
    """A loop can't be split that has to be, or its split run differs from the serial one."""


class OperationTimeoutError(ClustrixError, TimeoutError):
    """An operation took longer than `op_timeout`."""


class ConfigWarning(UserWarning):
    """A file or variable was passed over, or something was not saved. The message says what to do."""


class DependencyWarning(UserWarning):
    """A function may need something that doesn't travel with it. The message says what to do."""


class PluginDeprecationWarning(UserWarning):
    """An installed plugin uses what the next major version will not have; it names the distribution."""


class PartialResultWarning(UserWarning):
    """Something below the given path could not be read; the result holds all the rest.

    Attributes:
        failures: the `OSError` of each place that was left out, in the order in which they were met.
    """

    def __init__(self, failures: Sequence[OSError]) -> None:
        self.failures = tuple(failures)
        shown = [f"{printable(failure.filename)}: {failure.strerror}" for failure in self.failures[:5]]
        if len(self.failures) > len(shown):
            shown.append(f"and {len(self.failures) - len(shown)} more")
        places = "1 place" if len(self.failures) == 1 else f"{len(self.failures)} places"
        super().__init__(
            f"the result is partial: {places} could not be read ({'; '.join(shown)}); "
            'pass on_error="raise" to make this an error'
        )

    def __reduce__(self) -> tuple[type[PartialResultWarning], tuple[tuple[OSError, ...]]]:
        return type(self), (self.failures,)


def near(name: str, known: Iterable[str], *, at_most: int = 3, cutoff: float = 0.6) -> list[str]:
    """The known names that `name` may be a misspelling of, the closest first."""
    from difflib import get_close_matches  # costs more than most processes that never need it can spare

    return get_close_matches(name, list(known), at_most, cutoff)


def printable(name: object) -> str:
    """A name as it may be shown in a message: control characters and undecodable bytes are escaped."""
    text = str(name)
    return text if text.isprintable() else repr(text)[1:-1]


def described(error: BaseException) -> str | None:
    """What an error says to people; None of one that was never meant for them."""
    if isinstance(error, OSError) and not isinstance(error, ClustrixError) and error.strerror:
        if error.filename is None:
            return error.strerror
        names = [error.filename] if error.filename2 is None else [error.filename, error.filename2]
        return f"{' -> '.join(printable(os.fsdecode(name)) for name in names)}: {error.strerror}"
    return str(error) if isinstance(error, (ClustrixError, OSError, ValueError)) else None


def users_stacklevel() -> int:
    """The `stacklevel` by which `warnings.warn`, called by the caller, points at the user's own line."""
    level = 1
    frame = sys._getframe(1)
    below_the_face = True
    while frame.f_back:
        if frame.f_globals.get("__name__") in _FACE:
            below_the_face = False
        elif not below_the_face:
            break
        frame = frame.f_back
        level += 1
    return level


# What users call; between it and a warning may stand anybody's backend.
_FACE = {f"clustrix_core.{name}" for name in ("filesystem", "functions", "profiles", "stream")}
