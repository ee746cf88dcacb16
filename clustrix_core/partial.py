"""What a recursion does about places that it can't read."""

from __future__ import annotations

import warnings

from clustrix_core.errors import PartialResultWarning, users_stacklevel


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
            warnings.warn(PartialResultWarning(self._met), stacklevel=users_stacklevel())
