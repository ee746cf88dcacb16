"""`independent`: what users say about their functions."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

MARK = "__clustrix_independent__"


def independent(function: F) -> F:
    """Declare that calls of a function don't influence each other.

    A loop that calls it may be split then, without a proof for the function. It is the user's word, and what
    `explain` shows calls it an assumption: the function changes nothing that another call, or anything else
    in the loop, can see, and doesn't change its arguments.

    Raises:
        TypeError: it can't be marked: it is built in, or written in C, say.
    """
    try:
        setattr(_marked(function), MARK, True)
    except (AttributeError, TypeError):
        raise TypeError(_refused(function)) from None
    return function


def _marked(function: Any) -> Any:
    """What is called in the end, which is what the proof finds."""
    if isinstance(function, (staticmethod, classmethod)):
        return _marked(function.__func__)
    return function.local if str(type(function).__module__).startswith("clustrix_core.") else function


def _refused(function: Any) -> str:
    if not callable(function):
        return f"independent() is for functions, and this is of type {type(function).__name__}"
    name = getattr(function, "__qualname__", None) or f"an object of type {type(function).__qualname__}"
    if isinstance(function, MethodType):
        return f"{name} is bound to an object: put @independent before its def, in the class"
    return (
        f"{name} can't be marked as independent, as it takes no attributes: call it in a function of "
        'your own, and put @independent before that, or use parallel="trust"'
    )
