"""What is met in a proof: reasons to refuse, and what has to stay as it was."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from types import CellType, FunctionType
from typing import Any, NamedTuple

from clustrix_core.loops.places import Place
from clustrix_core.loops.values import UNKNOWN, Value


class Refused(Exception):  # noqa: N818 (it is a verdict)
    """Something stands in the way."""

    def __init__(self, code: str, name: str, message: str, remedy: str, line: int = 0) -> None:
        super().__init__(message)
        self.code, self.name, self.message, self.remedy, self.line = code, name, message, remedy, line


class Unfit(Exception):  # noqa: N818 (the loop stays here)
    """Something is seen that iterations can't share, as far as anybody knows."""


class MethodCall(NamedTuple):
    """A call of a method whose object's class only the run tells.

    Attributes:
        place: of the object.
        name: the method's.
        args: what is known of the arguments.
        keywords: the same of those by name.
        node: the call.
        result: what it was taken to give.
        does: what it was taken to do, at most.
    """

    place: Place
    name: str
    args: tuple[Value, ...]
    keywords: tuple[tuple[str, Value], ...]
    node: ast.Call
    result: Value
    does: frozenset[str]


@dataclass
class Facts:
    """What was met in a proof.

    Attributes:
        guards: names of namespaces that have to be the same at run time, and what they were.
        cells: variables of functions around, and what they were.
        codes: functions that were walked, and the code and the defaults that they had.
        classes: the user's classes whose methods may be called by Python itself.
        methods: what was taken as known by its name only, for want of knowing the object: whatever has a
            method of this name has to give as much of its own as this.
        modules: the attributes that are used of the user's own modules.
        later: the methods that are called of what only the run tells.
        conditions: what was taken for granted of those.
        assumptions: what was taken on the user's word.
        trusts: whether some of that wasn't declared.
        stored: whether something that has a name was given to an accumulator.
        late: whether something was changed after that.
        writes: whether files are written.
        looks: whether it is asked which files there are.
        mutates: whether anything is changed in place.
        fills: whether something that may hold others is put into an array: none may be of objects then.
        outputs: how many places there are that print, log or warn.
        demotes: of a method by itself, whether it puts something shared into something own.
    """

    guards: list[tuple[Any, str, Any]] = field(default_factory=list)
    cells: list[tuple[CellType, str, Any]] = field(default_factory=list)
    codes: dict[int, tuple[FunctionType, Any]] = field(default_factory=dict)
    classes: set[type] = field(default_factory=set)
    methods: dict[str, int] = field(default_factory=dict)
    modules: dict[str, set[str]] = field(default_factory=dict)
    later: list[MethodCall] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    trusts: bool = False
    stored: bool = False
    late: bool = False
    writes: bool = False
    looks: bool = False
    mutates: bool = False
    fills: bool = False
    outputs: int = 0
    demotes: bool = False

    def condition(self, text: str) -> None:
        if text not in self.conditions:
            self.conditions.append(text)

    def assume(self, text: str) -> None:
        if text not in self.assumptions:
            self.assumptions.append(text)

    def by_name(self, name: str, own: int) -> None:
        """A method is taken for what its name says, and to give something that is so much the code's own."""
        self.methods[name] = max(own, self.methods.get(name, own))

    def does(self) -> frozenset[str]:
        """What the code does that isn't seen in what it gives."""
        return frozenset(name for name in _DEEDS if getattr(self, name))

    def merge(self, other: Facts) -> None:
        """Add what was met in a proof of its own; not what the code does."""
        self.guards += other.guards
        self.cells += other.cells
        self.codes.update(other.codes)
        self.classes |= other.classes
        for name, own in other.methods.items():
            self.by_name(name, own)
        for module, names in other.modules.items():
            self.modules.setdefault(module, set()).update(names)
        self.later += [call for call in other.later if call not in self.later]
        for assumption in other.assumptions:
            self.assume(assumption)

    def stores_by_name(self) -> bool:
        """Whether attributes are set of objects of which it is only known that they are the code's own."""
        return any(name[-1] == "=" for name in self.methods)

    def walked(self, function: FunctionType) -> None:
        self.codes[id(function)] = function, shape(function)

    def changed(self) -> str:
        """What isn't any more as it was in the proof: a name, or nothing."""
        for names, name, live in self.guards:
            if names.get(name, UNKNOWN) is not live:
                return name
        for cell, name, live in self.cells:
            if _content(cell) is not live:
                return name
        for function, known in self.codes.values():
            if any(now is not then for now, then in zip(shape(function), known, strict=True)):
                return function.__qualname__
        return ""


_DEEDS = ("writes", "looks", "mutates", "fills", "outputs", "demotes")


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return UNKNOWN


def shape(function: FunctionType) -> tuple[Any, ...]:
    """What a function does, and with which defaults."""
    return function.__code__, function.__defaults__, function.__kwdefaults__
