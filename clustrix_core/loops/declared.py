"""`independent`: what users say about their functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

MARK = "__clustrix_independent__"


def independent(function: F) -> F:
    """Declare that calls of a function don't influence each other.

    A loop that calls it may be split then, without a proof for the function. It is the user's word, and what
    `explain` shows calls it an assumption: the function changes nothing that another call, or anything else
    in the loop, can see, and doesn't change its arguments.
    """
    setattr(function, MARK, True)
    return function
