"""Whether what a loop calls is still what was proved."""

from __future__ import annotations

import builtins
from types import FunctionType
from typing import Any

from clustrix_core.loops.facts import Facts, shape
from clustrix_core.loops.source import is_library, module_of
from clustrix_core.loops.values import UNKNOWN

_MISSING = object()


class Guards:
    """What the proof of a loop rests on.

    Args:
        facts: what the proof met.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._builtins: dict[str, Any] = {}
        self._functions: dict[int, tuple[FunctionType, Any]] = {}
        self._members: list[tuple[type, dict[str, Any]]] = []
        self._orders: dict[type, tuple[type, ...]] = {}  # in which classes are asked for a method
        self._seen = 0, 0
        self.update()

    def update(self) -> None:
        """Keep what has been met since; classes of what a loop sees are proved when it runs."""
        guards, classes = self._facts.guards, self._facts.classes
        if self._seen == (len(guards), len(classes)):
            return
        self._seen = len(guards), len(classes)
        for _, name, live in guards:
            if live is UNKNOWN:  # then it is a builtin, or nothing
                live = self._builtins.setdefault(name, getattr(builtins, name, _MISSING))
            if isinstance(live, FunctionType):
                self._functions.setdefault(id(live), (live, shape(live)))
        done = {cls for cls, _ in self._members}
        for cls in classes:
            self._orders.setdefault(cls, cls.__mro__)
        for cls in classes - done:
            for owner in cls.__mro__:
                if owner not in done and not is_library(module_of(owner)):
                    done.add(owner)
                    self._members.append((owner, _acting(owner)))

    def changed(self) -> str:
        """What isn't what it was any more, if so."""
        self.update()
        changed = self._facts.changed()
        if changed:
            return f"{changed} has changed since the function was analysed"
        for name, live in self._builtins.items():
            if vars(builtins).get(name, UNKNOWN) is not live:
                return f"{name} has changed since the function was analysed"
        for function, then in self._functions.values():
            if any(one is not other for one, other in zip(shape(function), then, strict=True)):
                return f"{function.__qualname__} has changed since the function was analysed"
        for cls, order in self._orders.items():
            if cls.__mro__ is not order:
                return f"{cls.__qualname__} has changed since the function was analysed"
        for cls, members in self._members:
            now = _acting(cls)
            if now.keys() != members.keys() or any(now[name] is not members[name] for name in now):
                return f"{cls.__qualname__} has changed since the function was analysed"
        return ""


def _acting(cls: type) -> dict[str, Any]:
    """What a class itself has that does something."""
    return {
        name: member
        for name, member in vars(cls).items()
        if callable(member) or hasattr(type(member), "__get__")
    }
