"""What a proof knows of a value."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any, NamedTuple

from clustrix_core.loops import calls
from clustrix_core.loops.places import EACH, Place, further

SHARED, OUTER, OWN = range(3)
"""How much of a value is the code's own: `SHARED` may be seen by others; `OUTER` is a new object that may
hold shared ones; `OWN` is new all through, or can't change."""

UNKNOWN: Any = type("Unknown", (), {"__repr__": lambda _: "UNKNOWN"})()

SEALED = calls.IMMUTABLE | {"array", "file", "range"}
"""Kinds of what holds nothing that others could see, if it is the code's own."""


UNCLEAR = frozenset({"", "own"})
"""Kinds of what may be an object of any class."""

_PLACED = frozenset({"", "instance", "list", "tuple", "dict"})


class Value(NamedTuple):
    """What is known of a value.

    Attributes:
        own: how much of it is the code's own.
        kind: what it is, as the table has it; or `"function"`, `"instance"`, `"module"`, `"class"`.
        live: the object itself, or the class of an instance.
        node: the definition of a local function, and the walk that it stands in.
        place: where it stands before the loop, if that is known.
    """

    own: int = SHARED
    kind: str = ""
    live: Any = UNKNOWN
    node: Any = None
    place: Place = ()

    @property
    def sealed(self) -> bool:
        """Whether it is the code's own and stays so, whatever becomes of other things."""
        return self.own == OWN and self.kind in SEALED

    def opened(self) -> Value:
        """The same, after something shared may have been put into it."""
        return self._replace(own=OUTER) if self.own == OWN and not self.sealed else self

    def at(self, place: Place) -> Value:
        """The same, which stands there before the loop."""
        return self._replace(place=place) if self.own == SHARED and self.kind in _PLACED else self

    def part(self, step: str) -> Value:
        """What stands a step from here, of which nothing else is known."""
        return Value().at(further(self.place, step))


NONE = Value(OWN, "none")
NUMBER = Value(OWN, "number")
TEXT = Value(OWN, "text")


def constant(value: object) -> Value:
    if isinstance(value, str):
        return TEXT
    if isinstance(value, bytes):
        return Value(OWN, "bytes")
    if isinstance(value, (int, float, complex)):
        return NUMBER
    if isinstance(value, (tuple, frozenset)):
        return Value(OWN, type(value).__name__)
    return NONE


def joined(one: Value, other: Value) -> Value:
    """What is known of a value that is either of two."""
    if one == other:
        return one
    if one.kind == "none":  # nothing is done with None
        return other
    if other.kind == "none":
        return one
    own = min(one.own, other.own)
    if one.kind != other.kind:
        return Value(own)
    live = one.live if one.live is other.live else UNKNOWN
    kind = one.kind if one.kind != "instance" or live is not UNKNOWN else ""
    return Value(own, kind, live, one.node if one.node == other.node else None)


def least(values: Iterable[Value]) -> int:
    """How much is the code's own of something new that is made of these."""
    return OWN if all(value.own == OWN for value in values) else OUTER


def element(value: Value) -> Value:
    """What is known of an item."""
    match value.kind:
        case "text":
            return TEXT
        case "bytes" | "range":
            return NUMBER
        case "array":
            return Value(OWN if value.own == OWN else SHARED, "array")
    return Value(OWN) if value.own == OWN else value.part(EACH)


def live_value(live: Any, otherwise: Value) -> Value:
    """What is known of an object that is at hand."""
    if isinstance(live, ModuleType):
        return Value(SHARED, "module", live)
    if isinstance(live, type):
        return Value(SHARED, "class", live)
    if isinstance(live, staticmethod):
        return Value(SHARED, "", live.__func__)
    if callable(live) or is_logger(live):
        return Value(SHARED, "", live)
    return otherwise


def is_logger(live: Any) -> bool:
    import sys

    logging = sys.modules.get("logging")
    return logging is not None and type(live) in (logging.Logger, logging.RootLogger)
