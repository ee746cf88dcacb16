"""Proofs that code neither changes what others see nor depends on when it runs.

A walk follows code in its order and keeps, for each local name, how much of the value is the code's own. What
is shared is never changed, what is own may be. Calls are looked up in the table, or walked in turn. What
can't be told is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence, Set
from types import FunctionType, SimpleNamespace
from typing import Any

from clustrix_core.loops.classes import Classes
from clustrix_core.loops.declared import MARK
from clustrix_core.loops.facts import Facts, MethodCall, Refused
from clustrix_core.loops.source import Definition, Sources, definition
from clustrix_core.loops.state import State
from clustrix_core.loops.syntax import is_generator
from clustrix_core.loops.values import OUTER, SHARED, UNKNOWN, Value, constant
from clustrix_core.loops.walk import Walk

DEEPEST = 40  # calls within calls


class Proof(Classes):
    """A proof under way: of one loop, through all the functions that it calls.

    Args:
        sources: texts that were kept.
        trust: take the user's word for what can't be proved.
        methods: those that are under proof around it.

    Attributes:
        facts: what was met.
        demotions: how often something shared was put into something own.
    """

    def __init__(self, sources: Sources, trust: bool, methods: Set[tuple[type, str]] = frozenset()) -> None:
        self.sources, self.trust, self._methods = sources, trust, methods
        self.facts = Facts()
        self.demotions = 0
        self._nodes: dict[int, tuple[FunctionType, Definition | ast.Lambda | None]] = {}
        self._known: dict[Any, tuple[Value, bool, int]] = {}
        self._kept: list[Any] = []  # what the keys know by its address
        self._depth = 0

    def unknown(self, code: str, name: str, message: str, remedy: str, node: ast.AST) -> Value:
        """Something can't be proved: trust it if the user says so."""
        if self.trust:
            self.facts.assume(f"{name} is independent (trusted)")
            self.facts.trusts = True
            return Value()
        raise Refused(code, name, message, remedy, getattr(node, "lineno", 0))

    def call(
        self, function: FunctionType, args: list[Value], keywords: dict[str, Value], walk: State, at: ast.AST
    ) -> Value:
        """Walk a function of the user's for these arguments."""
        if getattr(function, MARK, False):
            self.facts.assume(f"{function.__qualname__} is independent (declared)")
            return Value()
        node = self._definition(function)
        if node is None:
            return self.unknown(
                "no-source",
                function.__qualname__,
                f"the source of {function.__qualname__} isn't to be had",
                "declare it with @independent if its calls don't influence each other",
                at,
            )
        self.facts.walked(function)
        inner = Walk.of_function(self, function, node, is_generator(node))
        inner.env.update(_defaults(function))
        return self.walk(inner, node, args, keywords, walk, at, function.__qualname__)

    def method(self, cls: type, call: MethodCall) -> tuple[Value, Facts]:
        """What a method of an object of this class gives and does, in a proof of its own.

        Raises:
            Refused: it can't be proved.
        """
        if (cls, call.name) in self._methods:
            what = f"{cls.__qualname__}.{call.name} leads to itself"
            raise Refused("too-deep", call.name, what, "declare it with @independent", call.node.lineno)
        proof = Proof(self.sources, self.trust, {*self._methods, (cls, call.name)})
        scope: Any = SimpleNamespace(cells={}, globals={})
        walk = Walk(proof, scope, set())
        me = Value(SHARED, "instance", cls, place=call.place)
        result = walk.call_users_method(me, call.name, list(call.args), dict(call.keywords), call.node)
        if result.kind == "function":
            raise walk.closure(call.node)
        proof.settle(walk, call.node)
        proof.facts.demotes = walk.demotes
        return _outside(result), proof.facts

    def _definition(self, function: FunctionType) -> Definition | ast.Lambda | None:
        if id(function) not in self._nodes:
            self._nodes[id(function)] = function, definition(function, self.sources)
        return self._nodes[id(function)][1]

    def settle(self, walk: State, at: ast.AST) -> None:
        """Hold the classes that were met against all methods that were taken for what their names say.

        Raises:
            Refused: one is something else.
        """
        known = -1
        while known != len(self.facts.methods) + len(self.facts.classes):
            known = len(self.facts.methods) + len(self.facts.classes)
            for cls in list(self.facts.classes):
                self.check_methods(cls, walk, at)

    def walk(
        self,
        inner: Walk,
        node: Definition | ast.Lambda,
        args: list[Value],
        keywords: dict[str, Value],
        walk: Any,
        at: ast.AST,
        name: str,
    ) -> Value:
        """Walk a function's code with these arguments; what it returns."""
        if isinstance(node, ast.AsyncFunctionDef):
            raise Refused(
                "async", name, f"{name} is asynchronous", "call plain functions", getattr(at, "lineno", 0)
            )
        defaults = inner.env if inner.outer is None else _written_defaults(node.args)
        bound = _bound(node.args, args, keywords, defaults)
        if inner.lazily:
            bound = {parameter: value.opened() for parameter, value in bound.items()}
        key = id(node), _fingerprint(bound), _around(inner.outer)
        if key not in self._known:
            self._kept.append((node, bound, inner.outer, inner.outer and dict(inner.outer.env)))
            self._walk(inner, node, bound, key, at, name)
        else:
            self.facts.late = self.facts.late or (self.facts.mutates and self.facts.stored)
            self.facts.outputs += self._known[key][2]
        result, demotes, _ = self._known[key]
        if demotes:
            walk.demote()
        return Value(OUTER, "generator") if is_generator(node) else result

    def _walk(
        self,
        inner: Walk,
        node: Definition | ast.Lambda,
        bound: dict[str, Value],
        key: Any,
        at: ast.AST,
        name: str,
    ) -> None:
        if self._depth >= DEEPEST:
            self._known[key] = (
                self.unknown(
                    "too-deep", name, f"{name} is called too deep down", "declare it with @independent", at
                ),
                True,
                0,
            )
            return
        outputs = self.facts.outputs
        self._known[key] = Value(), True, 0  # while it is walked: recursion
        self._depth += 1
        try:
            inner.env.update(bound)
            inner.definite |= set(bound)
            self._known[key] = inner.run(node), inner.demotes, self.facts.outputs - outputs
        except Refused as refusal:
            del self._known[key]
            if "in " + name not in refusal.message:
                refusal.message += f", in {name}"
            raise
        except RecursionError:
            raise Refused(
                "too-deep", name, f"{name} is too intricate", "declare it with @independent"
            ) from None
        finally:
            self._depth -= 1


def _outside(result: Value) -> Value:
    """What a method gave, for those who don't see its code."""
    if result.live is not UNKNOWN and result.kind != "instance":
        return Value()
    return result._replace(node=None, place=())


def _fingerprint(env: dict[str, Value]) -> tuple[Any, ...]:
    return tuple(
        (name, value.own, value.kind, id(value.live), id(value.node[0]) if value.node else 0, value.place)
        for name, value in sorted(env.items())
    )


def _around(walk: State | None) -> tuple[Any, ...]:
    """What a function that was made here sees around it."""
    if walk is None:
        return ()
    return (_fingerprint(walk.env), frozenset(walk.definite), *_around(walk.outer))


def _defaults(function: FunctionType) -> dict[str, Value]:
    """What parameters are that aren't given."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    given = dict(zip(reversed(names), reversed(function.__defaults__ or ()), strict=False))
    given |= function.__kwdefaults__ or {}
    return {name: constant(value) if isinstance(value, _ATOMS) else Value() for name, value in given.items()}


def _written_defaults(arguments: ast.arguments) -> dict[str, Value]:
    """The same for a function that is only known by its definition."""
    names = [arg.arg for arg in (*arguments.posonlyargs, *arguments.args)]
    given: dict[str, ast.expr | None] = dict(zip(reversed(names), reversed(arguments.defaults), strict=False))
    given |= {
        arg.arg: default for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    }
    return {
        name: constant(default.value) for name, default in given.items() if isinstance(default, ast.Constant)
    }


_ATOMS = (int, float, complex, str, bytes, type(None))


def _bound(
    arguments: ast.arguments, args: Sequence[Value], keywords: dict[str, Value], defaults: dict[str, Value]
) -> dict[str, Value]:
    """The values of parameters."""
    names = [arg.arg for arg in (*arguments.posonlyargs, *arguments.args)]
    named = {arg.arg for arg in (*arguments.args, *arguments.kwonlyargs)}
    bound = {name: Value() for name in (*names, *(arg.arg for arg in arguments.kwonlyargs))} | defaults
    lost = arguments.kwarg is None and not keywords.keys() <= named  # a private name, by its other one
    if "*" in keywords or lost:  # nobody knows where they go
        bound = {name: Value() for name in bound}
    else:
        bound.update(zip(names, args, strict=False))
        bound.update({name: value for name, value in keywords.items() if name in named})
    if arguments.vararg:
        bound[arguments.vararg.arg] = Value(OUTER, "tuple")
    if arguments.kwarg:
        bound[arguments.kwarg.arg] = Value(OUTER, "dict")
    return bound
