"""Functions whose loops are split however short they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clustrix_core.loops import execution, split


def always_split(function: Callable[..., Any]) -> Callable[..., Any]:
    return split(function, workers=2, mode=True, always=True)


def split_late(function: Callable[..., Any]) -> Callable[..., Any]:
    """The first two iterations are done as they are written, as those that are timed."""

    def run(*args: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(execution, "TASTE", 0.0)
            patch.setattr(execution, "SHORT", 0.0)
            patch.setattr(execution.Run, "_worth", lambda _, done, *__: done > 1)
            return made(*args)

    made = split(function, workers=2, mode=True)
    return run
