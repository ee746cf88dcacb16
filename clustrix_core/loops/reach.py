"""What the iterations of a loop can see, and whether they may see it at the same time."""

from __future__ import annotations

import dis
import enum
import gc
import logging
import operator
import sys
import time
import types
import warnings
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache, partial
from typing import Any

from clustrix_core.loops import calls
from clustrix_core.loops.facts import Facts, MethodCall, Refused, Unfit
from clustrix_core.loops.places import Lost, objects_at, own_attributes
from clustrix_core.loops.proof import Proof
from clustrix_core.loops.source import Sources, is_library, module_of
from clustrix_core.loops.values import SHARED, Value, live_value
from clustrix_core.loops.walk import Walk

ATOMS = frozenset({int, float, complex, bool, str, bytes, type(None), type(...), type(NotImplemented), range})
"""What holds nothing, and never changes."""

_PLAIN = frozenset({
    list, tuple, dict, set, frozenset, deque, OrderedDict, Counter, types.MethodType, types.CellType, slice, partial,
    types.MappingProxyType, classmethod, staticmethod, property, types.SimpleNamespace,
    type({}.keys()), type({}.values()), type({}.items()),
})  # fmt: skip
_EMPTY = frozenset({
    "code", "bytearray", "method_descriptor", "wrapper_descriptor", "getset_descriptor",
    "member_descriptor", "object", "classmethod_descriptor", "method-wrapper", "super",
})  # fmt: skip
_LIBRARIES = frozenset({
    "numpy", "pandas", "scipy", "datetime", "decimal", "_decimal", "fractions", "pathlib", "collections", "re", "uuid", "enum",
    "types", "functools", "operator", "_collections", "clustrix_core", "zoneinfo", "ipaddress", "dateutil", "pytz", "pyarrow", "logging", "copyreg",
    "array", "typing", "abc", "_abc", "dataclasses", "string", "clustrix", "statistics",
})  # fmt: skip
_CHANGED_BY_USE = frozenset({"Context", "_lru_cache_wrapper"})  # a decimal context notes what has happened
_HEARING = frozenset({"logging", "_io", "io"})
_PASSING_ON = frozenset({"file", "iterator", "generator", "random", "context"})
_IMMUTABLE = frozenset({"datetime", "decimal", "_decimal", "fractions", "pathlib", "uuid", "numpy", "pandas"})
_MEMBERS = (types.FunctionType, staticmethod, classmethod, property)
_OPAQUE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


class TooLong(Exception):  # noqa: N818 (the loop stays here)
    """Looking takes longer than it is worth."""


class Reach:
    """All the objects that can be got at from some.

    Args:
        sources: texts that were kept.
        facts: what the loop's proof met.
        approved: classes that were looked at before.
        seconds: that it may take.

    Attributes:
        objects: by their addresses; of those that never change and hold nothing, only NaN, which isn't equal to itself.
        arrays: the NumPy arrays among them.
        filled: whether these are what a loop fills, through what they hold.
    """

    def __init__(self, sources: Sources, facts: Facts, approved: set[type], seconds: float) -> None:
        self._end = time.perf_counter() + seconds
        self._sources, self._facts, self._approved = sources, facts, approved
        self.objects: dict[int, Any] = {id(value): value for value in _not_numbers()}
        self.arrays: list[Any] = []
        self.filled = False
        self._read: dict[int, Any] = {}  # functions and classes whose code was looked through
        self._seen: dict[int, type] = {}  # classes of objects
        self._given: dict[int, Any] = {}  # those that were proved for whoever calls them
        self._named: dict[type, set[str]] = {}  # classes, and what functions they have

    def add(self, values: Iterable[Any]) -> None:
        """Go from these.

        Raises:
            Unfit: to something that iterations can't share.
            TooLong: it takes longer than it may.
        """
        level = list(values)
        while level:
            if time.perf_counter() > self._end:
                raise TooLong
            plain: list[Any] = []
            special: list[Any] = []
            for value in self._new(level):
                (plain if type(value) in _PLAIN else special).append(value)
            level = gc.get_referents(*plain)
            for value in plain:
                if type(value) is types.SimpleNamespace:
                    self._check_own(value)
            for value in special:
                level += self._behind(value)

    def prove_methods(self, names: dict[str, Any], proved: set[tuple[type, int]]) -> None:
        """Prove the methods of objects whose classes weren't known before.

        Args:
            names: the local variables.
            proved: what was proved before: classes, and the addresses of calls.

        Raises:
            Unfit: one isn't what it was taken for.
        """
        for call in self._facts.later:  # proofs may add to them
            try:
                objects = objects_at(call.place, names)
            except Lost as error:
                raise Unfit(str(error)) from None
            if time.perf_counter() > self._end:
                raise TooLong
            for cls in {cls for cls in map(type, objects) if not _is_missing(cls, call.name)}:
                if (cls, id(call)) not in proved:
                    self._prove_method(cls, call)
                    proved.add((cls, id(call)))
            for value in objects:
                if call.name in own_attributes(value):
                    raise Unfit(f"{call.name} of a {type(value).__qualname__} isn't the method of its class")

    def _prove_method(self, cls: type, call: MethodCall) -> None:
        name = f"{cls.__qualname__}.{call.name}"
        if is_library(module_of(cls)):
            raise Unfit(f"nobody knows what {name} does")
        proof = Proof(self._sources, False)
        try:
            result, facts = proof.method(cls, call)
        except Refused as refusal:
            raise Unfit(refusal.message) from None
        if not facts.does() <= call.does or not _serves(result, call.result):
            raise Unfit(f"{name} does, or gives, something else than its like")
        self._facts.merge(facts)
        self._prove(lambda walk, at: None)

    def _new(self, values: list[Any]) -> list[Any]:
        kinds = set(map(type, values))
        if kinds <= ATOMS:
            if kinds & {float, complex} and any(map(operator.ne, values, values)):
                self.objects.update({id(value): value for value in values if value != value})
            return []
        found = []
        for value in values:
            if type(value) in ATOMS:
                if value == value:
                    continue
            elif id(value) not in self.objects:
                found.append(value)
            self.objects[id(value)] = value
        return found

    def _behind(self, value: Any) -> Iterable[Any]:
        kind = type(value)
        if isinstance(value, type):
            if is_library(value.__module__) or value.__module__ == "builtins":
                return ()
            self._check_stored(value)
            self._check_given(value)
            return self._of_class(value)
        if kind is types.FunctionType:
            self._check_stored(value)
            self._check_given(value)
            return self.of_code(value)
        if kind is types.BuiltinFunctionType:
            self._check_given(value)
            return _bound_to(value)
        if kind is types.ModuleType:
            if is_library(value.__name__):
                return ()
            names = self._facts.modules.get(value.__name__, ())
            return [vars(value)[name] for name in names if name in vars(value)]
        if isinstance(value, BaseException):
            if not is_library(module_of(kind)) and kind.__module__ != "builtins":
                self._approve(kind)
            return [*value.args, *vars(value).values(), value.__cause__, value.__context__]
        if kind.__module__ == "builtins":
            if kind.__name__ not in _EMPTY:
                raise Unfit(f"{kind.__name__} objects can't be shared by iterations")
            return ()
        if kind is defaultdict:
            if self.filled:
                return gc.get_referents(value)
            raise Unfit("reading a defaultdict may add to it: make a dict of it before the loop")
        if is_library(module_of(kind)):
            return self._of_library(value, kind)
        if self.filled:
            raise Unfit(f"it fills a {kind.__qualname__}")
        self._check_own(value)
        found = [one for one in gc.get_referents(value) if one is not kind]
        if is_array(value):
            self.arrays.append(value)
            self._check_array(value)
            found.append(value.base)
            if value.dtype.hasobject:
                found += value.ravel().tolist()
        if id(kind) not in self._seen:
            self._seen[id(kind)] = kind
            if issubclass(kind, enum.Enum):
                self._check_stored(value)
            if callable(value):
                self._check_given(value)
            found += self._of_class(kind)
        return found

    def _of_class(self, cls: type) -> Iterator[Any]:
        """What the members of a class see."""
        for owner in cls.__mro__:
            if is_library(owner.__module__) or id(owner) in self._read:
                continue
            self._read[id(owner)] = owner
            self._approve(owner)
            for name, member in list(vars(owner).items()):
                functions = [
                    member,
                    *(getattr(member, one, None) for one in ("__func__", "fget", "fset", "fdel")),
                ]
                for function in functions:
                    if type(function) is types.FunctionType:
                        yield from self.of_code(function)
                if isinstance(member, type):
                    yield from self._of_class(member)
                elif type(member) in _MEMBERS or type(member).__module__ == "functools":
                    yield from _held_by(member)  # what is called was proved, or refused
                elif not (name.startswith("__") and name.endswith("__")):
                    yield member

    def of_code(self, function: types.FunctionType) -> Iterator[Any]:
        """What a function sees. Those that it names are looked through; they were proved where they are called."""
        if is_library(function.__module__ or "") or id(function) in self._read:
            return
        self._read[id(function)] = self.objects[id(function)] = function
        for value in _of_function(function):
            if type(value) is types.FunctionType:
                yield from self.of_code(value)
            elif isinstance(value, type):
                yield from self._of_class(value)
            else:
                yield value

    def _check_stored(self, value: Any) -> None:
        """Of some things, copies are the same one."""
        if self._facts.stores_by_name():
            raise Unfit(f"attributes are set, perhaps of {getattr(value, '__qualname__', value)}")

    def _check_given(self, value: Any) -> None:
        """What isn't named by code may be called by a library that it is given to."""
        if id(value) in self._given:
            return
        self._given[id(value)] = value
        module, name = getattr(value, "__module__", None) or "", getattr(value, "__name__", "")
        if type(value) is types.BuiltinFunctionType and _bound_to(value):
            method = calls.METHODS.get(name)
            if method is None or method.changes:
                raise Unfit(f"{name} of a {type(value.__self__).__qualname__} may be called")
        elif is_library(module) or type(value) is types.BuiltinFunctionType:
            reason = calls.in_the_way(module, name)
            if reason is not None and reason[0] != "clock":  # what the time is differs in any case
                raise Unfit(f"{name}, which may be called, {reason[1]}")
        else:
            known = live_value(value, Value(SHARED, "instance", type(value)))
            self._prove(lambda walk, at: walk.call_anyhow(known, at))

    def _of_library(self, value: Any, kind: type) -> Iterable[Any]:
        root = module_of(kind).partition(".")[0]
        if module_of(kind).startswith("numpy.random") and kind.__name__ != "SeedSequence":
            raise Unfit(f"a {kind.__name__} would be the same in all iterations")
        if root not in _LIBRARIES or hasattr(kind, "__next__") or kind.__qualname__ in _CHANGED_BY_USE:
            raise Unfit(f"nobody knows whether {kind.__qualname__} objects are safe to share")
        if module_of(kind).startswith("scipy.sparse.") and not _is_in_order(value):
            raise Unfit(f"SciPy may put the items of a {kind.__qualname__} in order when it uses them")
        return self._inside(value)

    def _inside(self, value: Any) -> list[Any]:
        """What a library keeps in its objects isn't looked at, but for arrays and what is the user's."""
        found, waiting, seen = [], [value], set()
        while waiting:
            value = waiting.pop()
            module = type(value).__module__
            if id(value) in seen or type(value) in ATOMS or isinstance(value, _OPAQUE):
                if type(value) is types.FunctionType and not is_library(value.__module__ or ""):
                    found.append(value)
                continue
            seen.add(id(value))
            if is_array(value):
                self.objects[id(value)] = value
                self.arrays.append(value)
                waiting.append(value.base)
                self._check_array(value)
                if value.dtype.hasobject:
                    found += value.ravel().tolist()
            elif module != "builtins" and not is_library(module):
                found.append(value)
            elif module != "logging" and type(value).__name__ not in ("weakref", "ReferenceType", "frame"):
                self.objects[id(value)] = value
                waiting += gc.get_referents(value)
        return found

    def _approve(self, cls: type) -> None:
        if cls in self._approved:
            return
        self._approved.add(cls)
        try:
            self._prove(lambda walk, at: walk.proof.check_class(cls, walk, at))
        except Unfit:
            self._approved.discard(cls)
            raise

    def _prove(self, call: Callable[[Walk, Any], object]) -> None:
        """Prove something more of what the loop meets."""
        proof = Proof(self._sources, self._facts.trusts)
        proof.facts = self._facts
        scope: Any = types.SimpleNamespace()
        at: Any = types.SimpleNamespace()
        walk = Walk(proof, scope, set())
        try:
            call(walk, at)
            proof.settle(walk, at)
        except Refused as refusal:
            raise Unfit(refusal.message) from None

    def _check_own(self, value: Any) -> None:
        """An object's own functions aren't those of its class."""
        own, of_class = own_attributes(value), self._functions(type(value))
        for name in own.keys() & (of_class | self._facts.methods.keys()):
            if name in of_class or callable(own[name]):
                raise Unfit(f"{name} of a {type(value).__qualname__} isn't the method of its class")

    def _functions(self, cls: type) -> set[str]:
        if cls not in self._named:
            owners = map(vars, cls.__mro__)
            self._named[cls] = {
                name
                for own in owners
                for name, one in own.items()
                if callable(one) or isinstance(one, classmethod)
            }
        return self._named[cls]

    def _check_array(self, value: Any) -> None:
        if not value.dtype.hasobject:
            return
        kinds = set(map(type, value.ravel().tolist()))
        for kind in kinds - ATOMS:
            if self._facts.fills or module_of(kind).partition(".")[0] not in _IMMUTABLE:
                raise Unfit(f"an array holds {kind.__qualname__} objects")


def _is_missing(cls: type, name: str) -> bool:
    """Whether something simple hasn't a method, which is an error for the run to raise."""
    return cls in ATOMS and not hasattr(cls, name)


def _serves(result: Value, wanted: Value) -> bool:
    """Whether what a method gives is as good as what it was taken to give."""
    same = result.kind == wanted.kind and (result.live is wanted.live)
    return result.own >= wanted.own and (same or (wanted.kind == "" and result.kind not in _PASSING_ON))


def _not_numbers() -> Iterator[Any]:
    """Those of libraries: whoever takes one takes the same."""
    for module, name in (
        ("math", "nan"),
        ("cmath", "nan"),
        ("cmath", "nanj"),
        ("numpy", "nan"),
        ("json.decoder", "NaN"),
    ):
        if module in sys.modules:
            yield getattr(sys.modules[module], name)


@cache
def _rebinds(code: types.CodeType) -> bool:
    """Whether a code assigns variables that aren't its own."""
    return any(
        instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL")
        or (instruction.opname == "STORE_DEREF" and instruction.argval in code.co_freevars)
        for instruction in dis.get_instructions(code)
    )


def _held_by(member: Any) -> Iterator[Any]:
    """What can be read of what isn't a plain function in a class."""
    if type(member) is partial:
        yield member
        return
    inner = [getattr(member, name, None) for name in ("__func__", "fget", "fset", "fdel")]
    for value in (*inner, *getattr(member, "__dict__", {}).values()):
        if type(value) is not types.FunctionType:
            yield value


def _bound_to(function: Any) -> list[Any]:
    """What a builtin method is one of."""
    owner = function.__self__
    return [] if owner is None or isinstance(owner, (type, types.ModuleType)) else [owner]


def _is_in_order(matrix: Any) -> bool:
    """Whether it is known of a sparse matrix already; to ask it would change it."""
    known = getattr(matrix, "__dict__", {})
    return known.get("_has_canonical_format") is True or known.get("has_canonical_format") is True


def is_array(value: Any) -> bool:
    return any(cls.__name__ == "ndarray" and cls.__module__ == "numpy" for cls in type(value).__mro__)


def _of_function(function: types.FunctionType) -> Iterator[Any]:
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # it is empty
            yield cell.cell_contents
    yield from vars(function).values()
    for name in _globals_of(function.__code__):
        if name in function.__globals__:
            yield function.__globals__[name]


@cache
def _globals_of(code: types.CodeType) -> frozenset[str]:
    """The globals that a code and those in it look up."""
    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    return frozenset(
        names.union(*(_globals_of(one) for one in code.co_consts if type(one) is types.CodeType))
    )


def add_reached(item: Any, known: dict[int, Any], found: dict[int, Any]) -> None:
    """Find what can change of an item, and isn't known."""
    waiting = [item]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if kind in ATOMS or isinstance(value, _OPAQUE) or id(value) in known or id(value) in found:
            continue
        if module_of(kind).partition(".")[0] in _IMMUTABLE - {"numpy", "pandas"}:
            continue
        if kind is not tuple:
            found[id(value)] = value
        elif not value:
            continue
        waiting += gc.get_referents(value)
        if is_array(value):
            waiting.append(value.base)


def behind_iterators(header: Any) -> list[Any]:
    """What a loop goes through, behind whatever goes through it.

    Raises:
        Unfit: its copies would disturb each other.
    """
    found: list[Any] = []
    waiting, seen = [header], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, types.FrameType):  # of a generator, before Python 3.11
            rest = [value.f_globals, value.f_builtins, value.f_locals]
            waiting += [one for one in gc.get_referents(value) if not any(one is other for other in rest)]
        elif isinstance(value, types.GeneratorType):
            waiting += gc.get_referents(value)
        elif _is_iterator(type(value)):
            for one in gc.get_referents(value):  # zip and its like have theirs in a tuple
                waiting += one if type(one) is tuple else [one]
        elif not (value is None or isinstance(value, type) or _is_librarys(value)):
            found.append(value)
    return found


def _is_librarys(value: Any) -> bool:
    return type(value) is types.FunctionType and is_library(value.__module__ or "")


def behind_output() -> dict[int, Any]:
    """What may change when something is printed, logged or warned of.

    Raises:
        Unfit: variables do.
    """
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    waiting: list[Any] = [sys.stdout, sys.stderr, warnings.showwarning]
    for logger in loggers:
        waiting += [*getattr(logger, "handlers", ()), *getattr(logger, "filters", ())]
    found: dict[int, Any] = {}
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if id(value) in found or kind in ATOMS:
            continue
        found[id(value)] = value
        if isinstance(value, type):
            waiting += [] if is_library(value.__module__) else [*value.__mro__, *vars(value).values()]
        elif kind is types.FunctionType:
            if not is_library(value.__module__ or ""):
                if _rebinds(value.__code__):
                    raise Unfit(
                        f"its output goes through {value.__qualname__}, which assigns variables outside"
                    )
                waiting += _of_function(value)
        elif (
            kind in _PLAIN or module_of(kind).partition(".")[0] in _HEARING or not is_library(module_of(kind))
        ):
            waiting += gc.get_referents(value)
    return found


def _is_iterator(kind: type) -> bool:
    if kind.__module__ == "itertools" or kind in (enumerate, zip, map, filter, reversed, types.GeneratorType):
        return True
    return (
        kind.__module__ == "builtins"
        and kind.__name__.endswith("iterator")
        and kind.__name__ != "callable_iterator"
    )


def changeable(objects: dict[int, Any]) -> set[int]:
    """The addresses of those that can change."""
    fixed: Any = (*ATOMS, tuple, frozenset, *_OPAQUE)
    return {key for key, value in objects.items() if not isinstance(value, fixed)}
