"""Where it is what can't be pickled: pickle itself tells only of what kind it is."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import FunctionType
from typing import Any

from clustrix_core.jobs import script, travel
from clustrix_core.jobs.models import Call

_OF_TEXT = (TypeError, AttributeError, ValueError, pickle.PicklingError)


def in_function(error: Exception, function: Any) -> None:
    """Have the error name the variable or default that keeps a function from being pickled."""
    _name(error, [("the function", function)])


def in_call(error: Exception, call: Call) -> None:
    """Have the error name the argument that keeps a call from being pickled."""
    args, kwargs = call
    _name(error, [(f"argument {name}", value) for name, value in [*enumerate(args, 1), *kwargs.items()]])


def _name(error: Exception, parts: list[tuple[str, Any]]) -> None:
    where = ""
    with suppress(Exception):  # of what is looked at
        where = _first(parts, set())
    if where and type(error) in _OF_TEXT:  # others are not of what is pickled: a full disk, say
        error.args = (f"{error} ({where})",)


def _inside(value: Any, seen: set[int]) -> str:
    """What a function or class holds or names that can't be pickled."""
    seen.add(id(value))
    if not isinstance(value, (FunctionType, type)):
        value = getattr(value, "__func__", getattr(value, "__wrapped__", value))
    if isinstance(value, (FunctionType, type)) and script.is_by_value(value):
        return _first(_parts(value), seen)
    return ""


def _parts(value: FunctionType | type) -> Iterator[tuple[str, Any]]:
    name = value.__qualname__
    if isinstance(value, type):
        yield from ((f"{attribute} of {name}", part) for attribute, part in vars(value).items())
        return
    named = (used for used in script.names_in(value.__code__) if used in value.__globals__)
    yield from ((f"{used} in {name}", value.__globals__[used]) for used in named)
    for used, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        with suppress(ValueError):  # it is empty
            yield f"{used} in {name}", cell.cell_contents
    yield from ((f"a default of {name}", part) for part in value.__defaults__ or ())
    yield from ((f"a default of {name}", part) for part in (value.__kwdefaults__ or {}).values())


def _first(parts: Iterable[tuple[str, Any]], seen: set[int]) -> str:
    for where, part in parts:
        if id(part) not in seen and not _travels(part):
            return _inside(part, seen) or where
    return ""


def _travels(value: Any) -> bool:
    try:
        travel.dump(value, _Nowhere())
    except Exception:
        return False
    return True


class _Nowhere:
    """A file that keeps nothing: what is pickled may be large."""

    def write(self, data: Any) -> None:
        pass
