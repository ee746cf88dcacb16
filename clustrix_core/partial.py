"""What a recursion does about places that it can't read."""

from __future__ import annotations

import sys
import warnings

from clustrix_core.errors import PartialResultWarning


class Failures:
    """Collects failures, or raises the first; give it to the engine as `fail`.

    Args:
        on_error: `"warn"` collects them for `warn`; `"raise"` raises each at once.
    """

    def __init__(self, on_error: str) -> None:
        self._raise = on_error == "raise"
        self._met: list[OSError] = []

    def __call__(self, error: OSError) -> None:
        if self._raise:
            raise error
        self._met.append(error)

    def warn(self) -> None:
        """Issue one `PartialResultWarning` for all that was met, at the line of the user's call."""
        if self._met:
            warnings.warn(PartialResultWarning(self._met), stacklevel=_users_level())


def _users_level() -> int:
    """The `stacklevel` of the first caller outside of Clustrix and pluggy, as `warn` counts it."""
    level = 1
    frame = sys._getframe(2)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0].startswith(
        ("clustrix", "pluggy")
    ):
        frame = frame.f_back
        level += 1
    return level + 1
