"""Functions whose loops are split however short they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clustrix_core.loops import split


def always_split(function: Callable[..., Any]) -> Callable[..., Any]:
    return split(function, workers=2, mode=True, always=True)
