"""Where what an expression finds stands before a loop begins: so the run can look at what is there."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from types import CellType, MemberDescriptorType, SimpleNamespace
from typing import Any

from clustrix_core.loops.source import is_library, module_of

EACH, ITEM, CUT = "[each]", "[item]", "[cut]"
"""The steps to what is gone through, to what an index gets, and to a slice; others are attributes."""

LONGEST = 6  # steps

_INSIDE = frozenset({EACH, ITEM, CUT})
_SEQUENCES = (list, tuple, deque)
_GONE_THROUGH = (*_SEQUENCES, dict, set, frozenset)

_LOOKING = vars(object)["__getattribute__"]

Place = tuple[Any, ...]
"""A local name or a `Variable`, and the steps from there."""


class Lost(Exception):  # noqa: N818 (the loop stays as it is written)
    """What an expression finds isn't known without computing it."""


class Variable:
    """A global, or one of a function around.

    Args:
        holder: the namespace, or the cell.
        name: of the variable.
    """

    def __init__(self, holder: dict[str, Any] | CellType, name: str) -> None:
        self._holder, self.name = holder, name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Variable) and self._holder is other._holder and self.name == other.name

    def __hash__(self) -> int:
        return hash((id(self._holder), self.name))

    @property
    def content(self) -> Any:
        try:
            return self._holder[self.name] if isinstance(self._holder, dict) else self._holder.cell_contents
        except (KeyError, ValueError):
            raise Lost(f"{self.name} isn't set") from None


def further(place: Place, step: str) -> Place:
    """A step from a place: nowhere, if that can't be followed."""
    return (*place, step) if place and len(place) <= LONGEST else ()


def spelled_out(place: Place) -> str:
    root = place[0]
    steps = ("[...]" if step in _INSIDE else f".{step}" for step in place[1:] if step != CUT)
    return (root if isinstance(root, str) else root.name) + "".join(steps)


def objects_at(place: Place, names: Mapping[str, Any]) -> list[Any]:
    """What stands at a place.

    Args:
        place: the place.
        names: the local variables.

    Raises:
        Lost: it can't be told.
    """
    root = place[0]
    if isinstance(root, str) and root not in names:
        raise Lost(f"{root} isn't set")
    found = [names[root] if isinstance(root, str) else root.content]
    for step in place[1:]:
        found = list({id(part): part for one in found for part in _step(one, step)}.values())
    return found


def _step(value: Any, step: str) -> Iterable[Any]:
    if step == EACH and type(value) in _GONE_THROUGH:
        return list(value)
    if step == ITEM and type(value) in _SEQUENCES:
        return list(value)
    if step == ITEM and type(value) is dict:
        return list(value.values())
    if step == CUT and type(value) in _SEQUENCES:
        return [value]  # what holds its items
    if step in _INSIDE:
        raise Lost(f"nobody knows what the items of a {type(value).__qualname__} are")
    return _attribute(value, step)


def own_attributes(value: Any) -> dict[str, Any]:
    """Those that an object has itself, without asking its class."""
    try:
        found: dict[str, Any] = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if isinstance(found, dict) else {}


def _attribute(value: Any, name: str) -> Iterator[Any]:
    """An attribute that nothing computes; none if it isn't set, which is an error for the run to raise."""
    cls = type(value)
    if is_library(module_of(cls)) and cls is not SimpleNamespace:
        raise Lost(f"nobody knows what the {name} of a {cls.__qualname__} is")
    if hasattr(cls, "__getattr__") or inspect.getattr_static(cls, "__getattribute__") is not _LOOKING:
        raise Lost(f"{cls.__qualname__} computes its attributes")
    own = own_attributes(value)
    member = inspect.getattr_static(cls, name, None)
    if isinstance(member, MemberDescriptorType):  # one of __slots__
        with suppress(AttributeError):
            yield member.__get__(value, cls)
    elif hasattr(type(member), "__get__") and (name not in own or hasattr(type(member), "__set__")):
        raise Lost(f"{cls.__qualname__} computes its {name}")
    elif name in own:
        yield own[name]
    elif member is not None:
        yield member
