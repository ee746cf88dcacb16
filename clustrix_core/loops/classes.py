"""Proofs for classes of the user's: what making their objects does, and what Python calls by itself."""

from __future__ import annotations

import ast
import enum
import inspect
import operator
from collections import defaultdict
from collections.abc import Iterator
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any

from clustrix_core.loops import calls
from clustrix_core.loops.expressions import class_member
from clustrix_core.loops.facts import Facts, Refused
from clustrix_core.loops.source import is_library, is_library_file
from clustrix_core.loops.values import OUTER, OWN, SHARED, Value, least

if TYPE_CHECKING:
    from clustrix_core.loops.calling import Calls
    from clustrix_core.loops.state import State

# These are called when objects and classes are made, or where a `with` stands.
_AS_MADE = frozenset({
    "__init__", "__new__", "__post_init__", "__init_subclass__", "__set_name__",
    "__enter__", "__exit__", "__aenter__", "__aexit__", "__annotate__", "__annotate_func__",
})  # fmt: skip
# These are looked at where they are called.
_AS_CALLED = _AS_MADE | {
    "__call__", "__setitem__", "__delitem__", "__aiter__",
    "__iadd__", "__isub__", "__imul__", "__imatmul__", "__itruediv__", "__ifloordiv__", "__imod__",
    "__ipow__", "__ilshift__", "__irshift__", "__iand__", "__ixor__", "__ior__",
}  # fmt: skip
_COMPARING = frozenset({"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"})
# What these give is something new.
_MAKERS = frozenset(
    f"__{side}{name}__"
    for name in ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift",
    "and",
                 "xor", "or", "divmod")
    for side in ("", "r")
) | {"__neg__", "__pos__", "__abs__", "__invert__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__",
     "__ge__", "__round__", "__trunc__", "__floor__", "__ceil__"}  # fmt: skip
_SURPRISES = (
    "__del__", "__getattr__", "__getattribute__", "__setattr__", "__delattr__", "__reduce__", "__reduce_ex__",
    "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__", "__copy__", "__deepcopy__",
)  # fmt: skip
_SURPRISES_OF_ENUMS = ("__del__", "__getattr__", "__getattribute__", "__setattr__", "__delattr__")
_WRITTEN_BY_DATACLASSES = ("__setattr__", "__delattr__", "__getstate__", "__setstate__")
_GENERATED = frozenset({
    *_WRITTEN_BY_DATACLASSES, "__init__", "__repr__", "__eq__", "__lt__", "__le__", "__gt__", "__ge__",
    "__hash__", "__replace__", "_replace",
})  # fmt: skip
_BUILT_ON = frozenset({
    "builtins", "collections", "abc", "enum", "typing", "typing_extensions", "numpy", "pandas",
    "pathlib", "datetime",
    "decimal", "fractions", "numbers", "string", "contextlib", "json", "dataclasses",
    "_collections_abc", "types",
})  # fmt: skip
_KNOWN_MEMBERS = (
    BuiltinFunctionType, ClassMethodDescriptorType, GetSetDescriptorType, MemberDescriptorType,
    MethodDescriptorType,
    WrapperDescriptorType, FunctionType, staticmethod, classmethod, property, type,
)  # fmt: skip
_DESCRIBING = frozenset({"collections", "_collections", "enum", "functools"})
_GETTERS = (operator.attrgetter, operator.itemgetter)
_NUMBERS = frozenset({"__abs__", "__round__", "__floor__", "__ceil__", "__trunc__"})
_DEFINITE = calls.IMMUTABLE | {"list", "dict", "set", "tuple", "path", "file", "random", "iterator"}
_ATOMS = (int, float, complex, str, bytes, type(None), enum.Enum)


class Classes:
    """What a proof knows of classes."""

    facts: Facts

    def call(
        self, function: FunctionType, args: list[Value], keywords: dict[str, Value], walk: Any, at: ast.AST
    ) -> Value:
        raise NotImplementedError

    def instance(
        self, cls: type, args: list[Value], keywords: dict[str, Value], walk: Calls, at: ast.AST
    ) -> Value:
        """What making an object of a class does."""
        self.check_class(cls, walk, at)
        if isinstance(cls, enum.EnumMeta):
            return Value(SHARED, "instance", cls)
        everything = [*args, *keywords.values()]
        made = Value(least(everything), "instance", cls)
        init = inspect.getattr_static(cls, "__init__", None)
        if isinstance(init, FunctionType):
            if is_generated(cls, init):
                return self._dataclass(cls, made, walk, at)
            before, walk.demotes = walk.demotes, False
            self.call(init, [made._replace(own=OWN), *args], keywords, walk, at)
            made = made._replace(own=OUTER if walk.demotes else OWN)
            walk.demotes = walk.demotes or before
        return made

    def _dataclass(self, cls: type, made: Value, walk: Calls, at: ast.AST) -> Value:
        """What the `__init__` does that `dataclass` has written."""
        own = made.own
        for one in vars(cls).get("__dataclass_fields__", {}).values():
            if callable(one.default_factory):
                own = min(own, walk.call_live(one.default_factory, [], {}, at).own)
            elif not isinstance(one.default, _ATOMS) and type(one.default).__module__ != "dataclasses":
                own = OUTER
        made = made._replace(own=OWN if own == OWN else OUTER)
        post = inspect.getattr_static(cls, "__post_init__", None)
        if isinstance(post, FunctionType):
            self.call(post, [made, *[Value()] * (post.__code__.co_argcount - 1)], {}, walk, at)
            made = made._replace(own=OUTER)
        return made

    def check_class(self, cls: type, walk: State, at: ast.AST) -> None:
        """Make sure that nothing surprising happens when objects of a class are used.

        Raises:
            Refused: something does.
        """
        if cls in self.facts.classes:
            return
        self.facts.classes.add(cls)
        try:
            self._check_class(cls, walk, at)
            self.check_methods(cls, walk, at)
        except Refused:
            self.facts.classes.discard(cls)
            raise

    def _check_class(self, cls: type, walk: State, at: ast.AST) -> None:
        trouble = surprising(cls)
        if trouble:
            raise _unfit(cls, trouble, at)
        me = Value(SHARED, "instance", cls)
        for owner, name, member in _members(cls):
            if isinstance(member, property):
                self.facts.guards.append((vars(owner), name, member))
                if isinstance(member.fget, FunctionType):
                    self.call(member.fget, [me], {}, walk, at)
                elif member.fget is not None and not isinstance(member.fget, _GETTERS):
                    raise _unfit(cls, f"has a property {name} that can't be followed", at)
            elif implicit(cls, name) and isinstance(member, (FunctionType, classmethod, staticmethod)):
                self.facts.guards.append((vars(owner), name, member))
                outputs = self.facts.outputs
                for function in self._written(cls, getattr(member, "__func__", member)):
                    result = self._anyhow(function, me, walk, at)
                    if name in ("__hash__", "__eq__") and outputs != self.facts.outputs:
                        raise _unfit(cls, f"prints, logs or warns from {name}, whenever that is called", at)
                    if result.own < (OWN if name in _COMPARING else OUTER if name in _MAKERS else SHARED):
                        raise _unfit(cls, f"may return what is there already from {name}", at)
            elif implicit(cls, name) and callable(member) and not isinstance(member, _KNOWN_MEMBERS):
                raise _unfit(cls, f"has a {name} that can't be followed", at)

    def _anyhow(self, function: FunctionType, me: Value, walk: State, at: ast.AST) -> Value:
        known = function.__code__.co_argcount - 1
        return self.call(function, [me, *[Value()] * max(known, 0)][: known + 1], {}, walk, at)

    def _written(self, cls: type, function: Any) -> Iterator[FunctionType]:
        """The functions that somebody has written, in one that a library has made of them perhaps."""
        if not isinstance(function, FunctionType):
            return
        if not is_library_file(function.__code__.co_filename) and not is_generated(cls, function):
            yield function
            return
        for cell in function.__closure__ or ():
            inner = cell.cell_contents
            if isinstance(inner, FunctionType) and inner is not function:
                yield from self._written(cls, inner)

    def check_methods(self, cls: type, walk: State, at: ast.AST) -> None:
        """Make sure that the methods of a class that were taken for what their names say are like that.

        Raises:
            Refused: one isn't.
        """
        for name, own in list(self.facts.methods.items()):
            self._check_method(cls, name, own, walk, at)

    def _check_method(self, cls: type, name: str, own: int, walk: State, at: ast.AST) -> None:
        bare = name.strip(".=") if name[0] == "." or name[-1] == "=" else name
        member = class_member(cls, bare)
        owner = next((one for one in cls.__mro__ if bare in vars(one)), None)
        if name[0] == "." and own == OUTER and _mentions(cls, bare):
            raise _unfit(cls, f"has a {bare} of its own", at)
        if owner is None or is_library(owner.__module__):
            return
        self.facts.guards.append((vars(owner), bare, vars(owner)[bare]))
        me = Value(SHARED, "instance", cls)
        if name[-1] == "=":
            if isinstance(member, property) and (member.fset or member.fdel) is not None:
                raise _unfit(cls, f"computes what becomes of its {bare}", at)
            return
        if name[0] == ".":
            if own == OWN and not isinstance(member, (MemberDescriptorType, *_ATOMS)):
                raise _unfit(cls, f"has a {bare} that all its objects share", at)
            return
        function = getattr(member, "__func__", member)
        if not isinstance(function, FunctionType):
            raise _unfit(cls, f"has a {bare} that can't be followed", at)
        if bare == "open":
            raise _unfit(cls, "opens something of its own", at)
        for one in self._written(cls, function):
            result = self._anyhow(one, me, walk, at)
            if result.own < own:
                raise _unfit(cls, f"may return something shared from {bare}", at)
            if result.kind not in (_taken_for(bare), *calls.IMMUTABLE) and _taken_for(bare) in _DEFINITE:
                raise _unfit(cls, f"may return anything from {bare}", at)


def _taken_for(name: str) -> str:
    """The kind that a method is taken to give for its name."""
    return "number" if name in _NUMBERS else calls.METHODS[name].result if name in calls.METHODS else ""


def is_generated(cls: type, function: FunctionType) -> bool:
    """Whether `dataclass` has written a function."""
    code = function.__code__
    return (
        hasattr(cls, "__dataclass_fields__") and code.co_filename == "<string>" and code.co_name in _GENERATED
    )


def _unfit(cls: type, trouble: str, at: ast.AST) -> Refused:
    return Refused(
        "surprising-class",
        cls.__qualname__,
        f"{cls.__qualname__} {trouble}",
        "use a plain class, or a dataclass",
        getattr(at, "lineno", 0),
    )


def _members(cls: type) -> Iterator[tuple[type, str, Any]]:
    """What the user's own classes among those of an object define."""
    for owner in cls.__mro__:
        if owner is not object and not is_library(owner.__module__):
            for name, member in list(vars(owner).items()):
                yield owner, name, member


def _mentions(cls: type, name: str) -> bool:
    """Whether a class has an attribute of this name in its objects, as far as its methods tell."""
    if name in getattr(cls, "__annotations__", {}) or name in getattr(cls, "__slots__", ()):
        return True
    functions = (getattr(member, "__func__", member) for _, _, member in _members(cls))
    return any(isinstance(one, FunctionType) and name in one.__code__.co_names for one in functions)


def implicit(cls: type, name: str) -> bool:
    """Whether Python calls a method by itself; or a library does, of which the class has redefined it."""
    if name.startswith("__") and name.endswith("__") and name not in _AS_CALLED:
        return True
    return name not in _AS_MADE and any(
        name in vars(owner) for owner in cls.__mro__ if owner is not object and is_library(owner.__module__)
    )


def surprising(cls: type) -> str:
    """What makes a class unfit for a proof: nothing, or words for it."""
    if type(cls).__module__ not in ("builtins", "abc", "enum", "typing"):
        return "has a metaclass"
    dataclass = hasattr(cls, "__dataclass_fields__")
    for owner in cls.__mro__:
        if owner is object:
            continue
        if is_library(owner.__module__):
            exception = issubclass(owner, BaseException)
            if (
                owner.__module__.partition(".")[0] not in _BUILT_ON and not exception
            ) or owner is defaultdict:
                return f"is a {owner.__qualname__}"
            continue
        for name, member in vars(owner).items():
            if name in (_SURPRISES_OF_ENUMS if isinstance(cls, enum.EnumMeta) else _SURPRISES):
                if not (dataclass and name in _WRITTEN_BY_DATACLASSES and is_generated(cls, member)):
                    if not (hasattr(cls, "_fields") and name == "__getnewargs__"):
                        return f"defines {name}"
            if name == "__new__" and not isinstance(cls, enum.EnumMeta) and not _is_namedtuple(cls, member):
                return "defines __new__"
            if hasattr(type(member), "__get__") and type(member) not in _KNOWN_MEMBERS:
                if type(member).__module__ not in _DESCRIBING or type(member).__name__ == "cached_property":
                    return f"has a {name} that Python computes"
    return ""


def _is_namedtuple(cls: type, member: Any) -> bool:
    function = getattr(member, "__func__", member)
    return (
        hasattr(cls, "_fields")
        and getattr(function, "__code__", None) is not None
        and (function.__code__.co_filename == "<string>" or is_library_file(function.__code__.co_filename))
    )
