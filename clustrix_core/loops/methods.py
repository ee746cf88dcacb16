"""Walking through calls of methods."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from functools import reduce
from types import FunctionType, MethodType
from typing import Any

from clustrix_core.loops import calls
from clustrix_core.loops.calling import LOGGING, SEED_EACH, Calls
from clustrix_core.loops.expressions import class_member
from clustrix_core.loops.facts import MethodCall, Refused
from clustrix_core.loops.places import spelled_out
from clustrix_core.loops.source import classes_with, is_library
from clustrix_core.loops.syntax import root, spelled
from clustrix_core.loops.values import (
    NONE,
    NUMBER,
    OUTER,
    OWN,
    SHARED,
    UNKNOWN,
    Value,
    is_logger,
    joined,
    live_value,
)

# Of these kinds it is known that a method is the one of the table.
_CLEAR = frozenset({
    "text", "bytes", "number", "none", "list", "dict", "set", "tuple", "file", "path", "random",
    "iterator", "generator",
})  # fmt: skip
_GIVEN_FUNCTIONS = frozenset({"apply", "applymap", "agg", "aggregate", "map", "transform", "pipe"})
_TOLD = frozenset({"array", "filled", "view", "new"})  # methods that may be told to change the object


class Methods(Calls):
    """What methods give, and what they do: by their names, where nothing is known of the object."""

    def call_method(self, node: ast.Call, function: ast.Attribute) -> Value:
        name = self.scope.mangled(function.attr)
        around: Any = function.value
        if _is_super(around) and self.name(around.func).live is super:
            return self._call_super(name, node)
        before = self.proof.demotions
        base = self.expr(function.value)
        args, keywords = self.arguments(node, name == "join")
        if before != self.proof.demotions:
            base = base.opened()
        if base.kind == "instance":
            return self.call_users_method(base, name, args, keywords, node)
        if base.live is not UNKNOWN and is_logger(base.live) and name in LOGGING:
            return self.output()
        if name in ("write", "flush") and self.is_stream(function.value):
            self.output()
            return NUMBER
        if name in calls.WRITING_METHODS and args:
            return self.write_file(node, calls.WRITING_METHODS[name])
        if name in calls.WRITING_OF_PATHS:
            return self.write_path(function.value, node)
        if name == "open":
            self.facts.by_name(name, OWN)
            return self.open_path(node)
        known = calls.METHODS.get(name)
        if known is None and base.place and base.kind == "" and not self.proof.trust:
            found = self._call_later(base, name, args, keywords, node)
            if found is not None:
                return found
        if known is None:
            return self.proof.unknown(
                "unknown-method",
                name,
                f"nobody knows what {spelled(function)} does",
                'put it into a function declared with @independent, or use parallel="trust"',
                node,
            )
        self._check_name(name, base, args, keywords, node, function)
        value = self._call_known_method(name, known, base, args, keywords, node, function)
        if base.kind not in _CLEAR:
            self.facts.by_name(name, value.own)
        return value

    def _check_name(
        self,
        name: str,
        base: Value,
        args: list[Value],
        keywords: dict[str, Value],
        node: ast.Call,
        function: ast.Attribute,
    ) -> None:
        """Names that mean different things: of which object, its arguments tell."""
        if name in calls.LOOKS:
            self.facts.looks = True
        if name == "sample" and "random_state" not in keywords and base.kind != "random":
            raise self.refuse(
                "random-state",
                name,
                f"{name} draws from a generator that all share",
                "pass random_state=",
                node,
            )
        if base.kind == "random" and base.own == SHARED:
            shared = spelled(function.value)
            raise self.refuse(
                "random-state",
                shared,
                f"{shared} draws on where the iteration before has ended",
                SEED_EACH,
                node,
            )
        if name == "spawn" and base.own != OWN:
            raise self.refuse(
                "random-state",
                spelled(function.value),
                f"what {spelled(function)} gives depends on what its seed gave before",
                SEED_EACH,
                node,
            )
        if name == "partition" and base.own == SHARED and base.kind not in ("text", "bytes"):
            if not args or args[0].kind not in ("text", "bytes"):
                raise self._changes_by(function, node)
        moves = (name == "replace" and len(args) == 1 and not keywords) or (name == "rename" and args)
        if (
            moves
            and base.kind not in ("text", "bytes")
            and (base.kind == "path" or args[0].kind not in ("dict", "function"))
        ):
            raise self.refuse(
                "writes-files",
                spelled(function.value),
                f"{spelled(function)} may move a file",
                "move files before or after the loop",
                node,
            )

    def _call_known_method(
        self,
        name: str,
        known: calls.Known,
        base: Value,
        args: list[Value],
        keywords: dict[str, Value],
        node: ast.Call,
        function: ast.Attribute,
    ) -> Value:
        if "*" in keywords and base.own == SHARED and base.kind not in _CLEAR and known.result in _TOLD:
            self.unknown_call(function, node)
        shares = self._check_keywords("", name, args, self.by_name(keywords, node), node)
        self._check_inplace(function, base, node)
        place = calls.METHOD_OUTPUTS.get(name, len(args))
        if any(
            value.own == SHARED and value.kind not in ("none", "text", "number") for value in args[place:]
        ):
            raise self.changes(node.args[place], node, f"{name} writes its result into it")
        if known.changes or name in ("update", "subtract"):
            if base.own == SHARED:
                raise self._changes_by(function, node)
            self.note_change(base)
            if any(value.own != OWN for value in (*args, *keywords.values())) and not base.sealed:
                self.demote()
                base = base.opened()
            if any(value.kind == "function" for value in args) and not known.calls:
                raise self.closure(node)
        own = self._check_functions(name, known, args, keywords, node)
        if name == "shuffle" and (not args or args[0].own == SHARED):
            raise self._changes_by(function, node)
        if name in ("choice", "choices", "sample") and known.result == "own":
            return self._drawn(name, args, keywords)
        if name == "astype":
            shares = shares or len(args) > 1
            known = calls.Known("filled") if not shares else known
        if name == "copy" and any(value.kind != "text" for value in args):
            shares = True
        if shares and base.own != OWN:
            return Value(SHARED, base.kind)
        if known.result == "view":
            return Value(base.own, base.kind) if own == OWN else Value()
        if known.result == "array":
            return NUMBER if base.kind == "number" else Value(OWN, "array" if base.kind == "array" else "")
        if known.result == "filled" and base.kind == "array":
            return Value((OWN if base.own == OWN else OUTER) if own == OWN else SHARED, "array")
        if known.result == "own" and base.kind == "path" and name not in ("stat",):
            return Value(OWN, "path" if name not in ("iterdir", "glob", "rglob", "walk") else "")
        if base.kind == "set" and known.result == "new":
            return self.result_of(known, [base, *args], keywords, own)._replace(kind="set")
        return self.result_of(known, [base, *args], keywords, own)

    def _drawn(self, name: str, args: list[Value], keywords: dict[str, Value]) -> Value:
        """Some of what is given, as it is or in a new array."""
        if all(value.own == OWN for value in (*args, *keywords.values())):
            return Value(OWN)
        return Value(OUTER) if len(args) > 1 or "size" in keywords or name != "choice" else Value(SHARED)

    def _changes_by(self, function: ast.Attribute, node: ast.AST) -> Exception:
        first = root(function.value)
        shared = first.id if isinstance(first, ast.Name) else spelled(function.value)
        return self.refuse(
            "mutates-shared",
            shared,
            f"{spelled(function)} changes {shared}, and others may see that",
            f"make {shared} in the iteration, or a copy of it",
            node,
        )

    def _check_inplace(self, function: ast.Attribute, base: Value, node: ast.Call) -> None:
        for keyword in node.keywords:
            if keyword.arg == "inplace" and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            ):
                if base.own == SHARED:
                    raise self._changes_by(function, node)
                self.note_change(base)
                self.demote()

    def _check_functions(
        self, name: str, known: calls.Known, args: list[Value], keywords: dict[str, Value], node: ast.Call
    ) -> int:
        """Functions among the arguments are called; how much of what they give is the code's own."""
        own = OWN
        for value in (*args, *keywords.values()):
            if value.kind == "function" or isinstance(value.live, (FunctionType, MethodType)):
                if not known.calls:
                    raise self.closure(node)
                own = min(own, self.call_anyhow(value, node).own)
            elif known.calls and value.kind == "instance":
                own = min(own, self.call_anyhow(value, node).own)
        if not known.calls:
            return own
        if name in _GIVEN_FUNCTIONS and args:
            value = args[0]
            if not self.may_call(value):
                self.unknown_call(node.args[0], node)
            elif value.live is not UNKNOWN and not isinstance(value.live, (FunctionType, MethodType)):
                own = min(own, self.call_anyhow(value, node).own)
        for keyword in node.keywords:
            if keyword.arg in ("key", "func", "repl") and not self.may_call(keywords[keyword.arg]):
                self.unknown_call(keyword.value, node)
        return own

    # methods of the user's classes

    def call_users_method(
        self, base: Value, name: str, args: list[Value], keywords: dict[str, Value], node: ast.Call
    ) -> Value:
        """Call a method of an object whose class is known."""
        cls = base.live
        self.proof.check_class(cls, self, node)
        member = class_member(cls, name)
        for owner in cls.__mro__:
            if name in vars(owner) and not is_library(owner.__module__):
                self.facts.guards.append((vars(owner), name, vars(owner)[name]))
                break
        if isinstance(member, FunctionType) and not is_library(member.__module__ or ""):
            return self.proof.call(member, [base, *args], keywords, self, node)
        if isinstance(member, staticmethod) and isinstance(member.__func__, FunctionType):
            return self.proof.call(member.__func__, args, keywords, self, node)
        if isinstance(member, classmethod) and isinstance(member.__func__, FunctionType):
            return self.proof.call(member.__func__, [live_value(cls, Value()), *args], keywords, self, node)
        known = calls.METHODS.get(name)
        if member is not UNKNOWN and known is not None and _is_inherited(cls, name):
            assert isinstance(node.func, ast.Attribute)
            self._check_name(name, base, args, keywords, node, node.func)
            return self._call_known_method(name, known, base, args, keywords, node, node.func)
        return self.unknown_call(node.func, node)

    def _call_later(
        self, base: Value, name: str, args: list[Value], keywords: dict[str, Value], node: ast.Call
    ) -> Value | None:
        """Call a method of an object of which only the run tells the class: of one like those at hand.

        Raises:
            Refused: none of those can be proved.
        """
        if any(map(_is_function, (*args, *keywords.values()))):
            return None
        call = MethodCall(
            base.place,
            name,
            tuple(map(_told, args)),
            tuple((key, _told(value)) for key, value in keywords.items()),
            node,
            Value(),
            frozenset(),
        )
        found, refused = {}, None
        for cls in classes_with(name, self.scope.globals):
            try:
                found[cls] = self.proof.method(cls, call)
            except Refused as refusal:
                refused = refusal
        if refused is not None and not found:
            raise refused
        if not found:
            return None
        does = frozenset().union(*(facts.does() for _, facts in found.values()))
        results = [result for result, _ in found.values()]
        call = call._replace(result=reduce(joined, results), does=does)
        if call not in self.facts.later:
            self.facts.later.append(call)
        self._does(call.does)
        for _, facts in found.values():
            for assumption in facts.assumptions:
                self.facts.assume(assumption)
        self.facts.condition(f"{spelled_out(base.place)} is of class {_some(found)}")
        return call.result

    def _does(self, deeds: frozenset[str]) -> None:
        """What a method may do that isn't seen in what it gives."""
        facts = self.facts
        facts.outputs += "outputs" in deeds
        facts.writes = facts.writes or "writes" in deeds
        facts.looks = facts.looks or "looks" in deeds
        facts.fills = facts.fills or "fills" in deeds
        facts.mutates = facts.mutates or "mutates" in deeds
        facts.late = facts.late or ("mutates" in deeds and facts.stored)
        if "demotes" in deeds:
            self.demote()

    def _call_super(self, name: str, node: ast.Call) -> Value:
        """A method as the classes above define it."""
        args, keywords = self.arguments(node)
        me = self.env.get(self.first, Value()) if self.first else Value()
        cell = self.scope.cells.get("__class__")
        above = cell.cell_contents if cell is not None else None
        assert isinstance(node.func, ast.Attribute)
        if (
            me.kind == "instance"
            and isinstance(above, type)
            and above in me.live.__mro__
            and not _given(node)
        ):
            order = me.live.__mro__
            for owner in order[order.index(above) + 1 :]:
                if name not in vars(owner):
                    continue
                member = vars(owner)[name]
                if isinstance(member, FunctionType) and not is_library(owner.__module__):
                    self.facts.guards.append((vars(owner), name, member))
                    return self.proof.call(member, [me, *args], keywords, self, node)
                if name == "__init__" and (owner is object or issubclass(owner, BaseException)):
                    if any(value.own != OWN for value in (*args, *keywords.values())):
                        self.demote()
                    return NONE
                break
        return self.unknown_call(node.func, node)

    first = ""
    """The name of the first parameter."""


def _some(classes: Iterable[type]) -> str:
    names = sorted({cls.__qualname__ for cls in classes})
    return " or ".join(names if len(names) < 4 else [*names[:2], f"one of {len(names) - 2} others"])


def _is_function(value: Value) -> bool:
    return value.kind == "function" or (value.kind != "instance" and callable(value.live))


def _told(value: Value) -> Value:
    """What is assumed of an argument in the proof of a method: that others see it, if it can change."""
    if value.own == OWN and value.kind in calls.IMMUTABLE:
        return Value(OWN, value.kind)
    return Value(place=value.place)


def _is_super(node: Any) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _given(node: ast.Call) -> bool:
    """Whether `super` is given arguments."""
    assert isinstance(node.func, ast.Attribute)
    return isinstance(node.func.value, ast.Call) and bool(node.func.value.args)


def _is_inherited(cls: type, name: str) -> bool:
    """Whether a method is that of a class of a library."""
    for owner in cls.__mro__:
        if name in vars(owner):
            return is_library(owner.__module__) and not isinstance(
                inspect.getattr_static(owner, name), property
            )
    return False
