"""Proofs that code neither changes what others see nor depends on when it runs.

A walk follows code in its order and keeps, for each local name, how much of the value is the code's own:
`SHARED` may be seen by others; `OUTER` is a new object that may hold shared ones; `OWN` is new all through, or
can't change. What is shared is never changed, what is own may be. Calls are looked up in the table, or walked
in turn. What can't be told is refused.
"""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from clustrix_core.loops import calls
from clustrix_core.loops.declared import MARK
from clustrix_core.loops.source import Definition, Sources, definition, is_library

SHARED, OUTER, OWN = range(3)
UNKNOWN: Any = type("Unknown", (), {"__repr__": lambda _: "UNKNOWN"})()
DEEPEST = 40  # calls within calls

_CALLABLE = frozenset({"key", "func", "fun", "jac", "aggfunc", "repl"})
_KEEP = calls.IMMUTABLE | {"array", "file", "generator"}  # these hold nothing that others could see
_LOGGING = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})


class Value(NamedTuple):
    """What is known of a value.

    Attributes:
        own: how much of it is the code's own.
        kind: what it is, as the table has it; or `"function"`, `"instance"`, `"module"`.
        live: the object itself, or the class of an instance.
        node: the definition of a local function, and the walk that it stands in.
    """

    own: int = SHARED
    kind: str = ""
    live: Any = UNKNOWN
    node: Any = None


NONE = Value(OWN, "none")
NUMBER = Value(OWN, "number")
TEXT = Value(OWN, "text")


class Refused(Exception):  # noqa: N818 (it is a verdict)
    """Something stands in the way."""

    def __init__(self, code: str, name: str, message: str, remedy: str, line: int = 0) -> None:
        super().__init__(message)
        self.code, self.name, self.message, self.remedy, self.line = code, name, message, remedy, line


@dataclass
class Facts:
    """What was met in a proof.

    Attributes:
        guards: globals and what they were: names of dictionaries that have to be the same at run time.
        classes: the user's classes whose methods may be called by Python itself.
        methods: the names of methods that were taken for those of the table.
        modules: the attributes that are used of the user's own modules.
        assumptions: what was taken on the user's word.
        reads: names whose values are looked at other than by `in`.
        writes: whether files are written.
        looks: whether it is asked which files there are.
        prints: whether there is output.
        mutates: whether anything is changed in place.
        unordered: whether the order of a set may matter.
    """

    guards: list[tuple[dict[str, Any], str, Any]] = field(default_factory=list)
    classes: set[type] = field(default_factory=set)
    methods: set[str] = field(default_factory=set)
    modules: dict[str, set[str]] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)
    global_names: list[tuple[dict[str, Any], str, bool]] = field(default_factory=list)
    asking: bool = False
    stored: bool = False
    late: bool = False
    writes: bool = False
    looks: bool = False
    mutates: bool = False
    unordered: bool = False

    def assume(self, text: str) -> None:
        if text not in self.assumptions:
            self.assumptions.append(text)


class Proof:
    """A proof under way: of one loop, through all the functions that it calls."""

    def __init__(self, sources: Sources, trust: bool) -> None:
        self.sources, self.trust = sources, trust
        self.facts = Facts()
        self._known: dict[Any, tuple[Value, bool]] = {}
        self._depth = 0

    def unknown(self, code: str, name: str, message: str, remedy: str, node: ast.AST) -> Value:
        """Something can't be proved: trust it if the user says so."""
        if self.trust:
            self.facts.assume(f"{name} is independent (trusted)")
            return Value()
        raise Refused(code, name, message, remedy, getattr(node, "lineno", 0))

    # functions

    def call(
        self, function: FunctionType, args: list[Value], keywords: dict[str, Value], walk: Walk, at: ast.AST
    ) -> Value:
        """Walk a function of the user's for these arguments."""
        if getattr(function, MARK, False):
            self.facts.assume(f"{function.__qualname__} is independent (declared)")
            return Value()
        node = definition(function, self.sources)
        if node is None:
            return self.unknown(
                "no-source",
                function.__qualname__,
                f"the source of {function.__qualname__} isn't to be had",
                "declare it with @independent if its calls don't influence each other",
                at,
            )
        inner = Walk.of_function(self, function, node)
        return self.walk(inner, node, args, keywords, walk, at, function.__qualname__)

    def walk(
        self,
        inner: Walk,
        node: Definition | ast.Lambda,
        args: list[Value],
        keywords: dict[str, Value],
        walk: Walk,
        at: ast.AST,
        name: str,
    ) -> Value:
        bound = _bound(node.args, args, keywords)
        key = (
            id(node),
            tuple((n, v.own, v.kind, id(v.live), id(v.node and v.node[0])) for n, v in sorted(bound.items())),
        )
        if isinstance(node, ast.AsyncFunctionDef):
            raise Refused(
                "async", name, f"{name} is asynchronous", "call plain functions", getattr(at, "lineno", 0)
            )
        if key not in self._known:
            if self._depth >= DEEPEST:
                return self.unknown(
                    "too-deep", name, f"{name} is called too deep down", "declare it with @independent", at
                )
            self._known[key] = Value(), True  # while it is walked: recursion
            self._depth += 1
            try:
                inner.env.update(bound)
                inner.definite |= set(bound)
                self._known[key] = inner.run(node), inner.demotes
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
        elif self.facts.mutates and self.facts.stored:
            self.facts.late = True
        result, demotes = self._known[key]
        if demotes:
            walk.demote()
        if inner.yields:
            return Value(OUTER, "generator")
        return result

    # classes

    def instance(
        self, cls: type, args: list[Value], keywords: dict[str, Value], walk: Walk, at: ast.AST
    ) -> Value:
        """What making an object of a class of the user's does."""
        self.check_class(cls, walk, at)
        made = Value(OUTER, "instance", cls)
        everything = [*args, *keywords.values()]
        if all(value.own == OWN for value in everything):
            made = made._replace(own=OWN)
        init = inspect.getattr_static(cls, "__init__", None)
        if (
            isinstance(init, FunctionType)
            and hasattr(cls, "__dataclass_fields__")
            and definition(init, self.sources) is None
        ):
            for one in cls.__dataclass_fields__.values():
                if callable(one.default_factory):
                    walk.call_live(one.default_factory, [], {}, at)
            post = inspect.getattr_static(cls, "__post_init__", None)
            if isinstance(post, FunctionType):
                self.call(post, [made], {}, walk, at)
                return made._replace(own=OUTER)
        elif isinstance(init, FunctionType):
            self.call(init, [made, *args], keywords, walk, at)
            if any(value.own != OWN for value in everything):
                walk.demote()
            made = made._replace(own=OUTER if any(v.own != OWN for v in everything) else made.own)
            if made.own == OWN and self._reads_shared:
                made = made._replace(own=OUTER)
        return made

    _reads_shared = True

    def check_class(self, cls: type, walk: Walk, at: ast.AST) -> None:
        """Make sure that nothing surprising happens when objects of a class are used."""
        if cls in self.facts.classes:
            return
        self.facts.classes.add(cls)
        trouble = surprising(cls)
        if trouble:
            raise Refused(
                "surprising-class",
                cls.__qualname__,
                f"{cls.__qualname__} {trouble}",
                "use a plain class, or a dataclass",
                getattr(at, "lineno", 0),
            )
        me = Value(SHARED, "instance", cls)
        for owner in cls.__mro__:
            if owner is object or is_library(owner.__module__):
                continue
            for name, member in list(vars(owner).items()):
                if isinstance(member, property):
                    if isinstance(member.fget, FunctionType):
                        self.call(member.fget, [me], {}, walk, at)
                elif isinstance(member, FunctionType) and _implicit(name):
                    if definition(member, self.sources) is None and (
                        hasattr(cls, "__dataclass_fields__")
                        or member.__module__ in ("dataclasses", "functools", "enum")
                    ):
                        continue  # dataclasses wrote it
                    known = member.__code__.co_argcount - 1
                    self.call(member, [me, *[Value()] * max(known, 0)], {}, walk, at)


_HARMLESS = frozenset({"__init__", "__new__", "__post_init__", "__init_subclass__", "__class_getitem__", "__enter__", "__exit__",
                       "__call__", "__setitem__", "__delitem__", "__iadd__", "__isub__", "__imul__", "__ior__", "__iand__",
                       "__annotate__", "__annotate_func__"})  # fmt: skip


def _implicit(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name not in _HARMLESS


def surprising(cls: type) -> str:
    """What makes a class unfit for a proof: nothing, or words for it."""
    import enum

    if type(cls) is not type and not isinstance(cls, enum.EnumMeta):
        from abc import ABCMeta

        if type(cls) is not ABCMeta:
            return "has a metaclass"
    for owner in cls.__mro__:
        if owner is object or is_library(owner.__module__):
            continue
        for name in ("__del__", "__getattr__", "__getattribute__", "__setattr__", "__reduce__", "__reduce_ex__", "__getstate__",
                     "__setstate__", "__copy__", "__deepcopy__", "__delattr__"):  # fmt: skip
            if name in vars(owner) and not (name == "__setattr__" and hasattr(cls, "__dataclass_fields__")):
                if hasattr(cls, "__dataclass_fields__") and name in (
                    "__delattr__",
                    "__getstate__",
                    "__setstate__",
                ):
                    continue
                if isinstance(cls, enum.EnumMeta):
                    continue
                return f"defines {name}"
        if "__new__" in vars(owner) and not isinstance(cls, enum.EnumMeta) and not hasattr(cls, "_fields"):
            return "defines __new__"
    return ""


def _bound(arguments: ast.arguments, args: Sequence[Value], keywords: dict[str, Value]) -> dict[str, Value]:
    """The values of parameters."""
    names = [arg.arg for arg in (*arguments.posonlyargs, *arguments.args)]
    bound = {name: Value() for name in (*names, *(arg.arg for arg in arguments.kwonlyargs))}
    defaults = dict(zip(reversed(names), reversed(arguments.defaults), strict=False))
    defaults |= {
        arg.arg: default
        for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is not None
    }
    for name, default in defaults.items():
        if isinstance(default, ast.Constant):
            bound[name] = constant(default.value)
    if "*" not in keywords:  # else nobody knows where they go
        bound.update(zip(names, args, strict=False))
        bound.update({name: value for name, value in keywords.items() if name in bound})
    else:
        bound = {name: Value() for name in bound}
    if arguments.vararg:
        bound[arguments.vararg.arg] = Value(OUTER, "tuple")
    if arguments.kwarg:
        bound[arguments.kwarg.arg] = Value(OUTER, "dict")
    return bound


def constant(value: object) -> Value:
    if isinstance(value, str):
        return TEXT
    if isinstance(value, bytes):
        return Value(OWN, "bytes")
    if isinstance(value, (int, float, complex)):
        return NUMBER
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
    return Value(own, kind, live, one.node if one.node is other.node else None)


def bound_names(nodes: Sequence[ast.AST]) -> set[str]:
    """The names that code binds in its own scope."""
    found: set[str] = set()
    for node in own_nodes(nodes):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif (isinstance(node, ast.ExceptHandler) and node.name) or (
            isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name
        ):
            found.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            found.add(node.rest)
    return found


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def own_nodes(nodes: Sequence[ast.AST], comprehensions: bool = False) -> Iterator[ast.AST]:
    """The nodes of code, without those of functions and classes in it, nor what comprehensions bind."""
    waiting = list(reversed(nodes))
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            outside: list[ast.AST] = list(getattr(node, "decorator_list", []))
            arguments = getattr(node, "args", None)
            if isinstance(arguments, ast.arguments):
                outside += [*arguments.defaults, *(one for one in arguments.kw_defaults if one is not None)]
            waiting += reversed(outside)
            continue
        if isinstance(node, COMPREHENSIONS) and not comprehensions:
            waiting += [inner for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
            continue
        waiting += reversed(list(ast.iter_child_nodes(node)))


def root(node: ast.expr) -> ast.expr:
    """What an expression of attributes, items and calls begins with."""
    while True:
        if isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return node


def spelled(node: ast.expr) -> str:
    """An expression as it is shown to people, shortened."""
    text = ast.unparse(node)
    return text if len(text) <= 40 else f"{text[:37]}..."


class Walk:
    """A walk through the code of one function, or of one iteration.

    Args:
        proof: what it is part of.
        names: the globals and the cells of the function.
        local: the names that are local to the code.
        outer: the walk of the function around it, whose names it sees.
    """

    def __init__(self, proof: Proof, scope: Scope, local: set[str], outer: Walk | None = None) -> None:
        self.proof, self.scope, self.local, self.outer = proof, scope, local, outer
        self.env: dict[str, Value] = {}
        self.definite: set[str] = set()
        self.alive = True
        self.demotes = False
        self.yields = False
        self.result: Value | None = None
        self.traces: list[dict[str, Value]] = []  # what was bound on ways that end in the midst
        self.within: list[str] = []  # "for", "while", "try" around the statement

    @classmethod
    def of_function(cls, proof: Proof, function: FunctionType, node: Definition | ast.Lambda) -> Walk:
        return cls(proof, Scope(function), local_names(node))

    @property
    def facts(self) -> Facts:
        return self.proof.facts

    def refuse(self, code: str, name: str, message: str, remedy: str, node: ast.AST) -> Refused:
        return Refused(code, name, message, remedy, getattr(node, "lineno", 0))

    def run(self, node: Definition | ast.Lambda) -> Value:
        """Walk a whole function; what it returns."""
        if isinstance(node, ast.Lambda):
            return self.expr(node.body)
        self.block(node.body)
        if self.alive and self.result is not None:
            return joined(self.result, NONE)
        return self.result or NONE

    def demote(self) -> None:
        """Something shared was put into something own: whatever might hold it is own no more."""
        self.demotes = True
        for names in (self.env, *self.traces):
            for name, value in names.items():
                if value.own == OWN and value.kind not in _KEEP:
                    names[name] = value._replace(own=OUTER)
        if self.outer is not None:
            self.outer.demote()

    # statements

    def block(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            if not self.alive:
                return
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        method = getattr(self, f"do_{type(node).__name__}", None)
        if method is None:
            raise self.refuse(
                "unsupported",
                type(node).__name__,
                f"{type(node).__name__} can't be followed",
                "write it plainly",
                node,
            )
        method(node)

    def _state(self) -> tuple[dict[str, Value], set[str], bool]:
        return dict(self.env), set(self.definite), self.alive

    def _set(self, state: tuple[dict[str, Value], set[str], bool]) -> None:
        self.env, self.definite, self.alive = dict(state[0]), set(state[1]), state[2]

    def _join(self, *states: tuple[dict[str, Value], set[str], bool]) -> None:
        living = [state for state in states if state[2]] or [states[0]]
        alive = any(state[2] for state in states)
        names = set().union(*(state[0] for state in living))
        env = {}
        for name in names:
            values = [state[0][name] for state in living if name in state[0]]
            value = values[0]
            for other in values[1:]:
                value = joined(value, other)
            env[name] = value
        self._set((env, set.intersection(*(state[1] for state in living)), alive))

    def do_Expr(self, node: ast.Expr) -> None:
        self.expr(node.value)

    def do_Pass(self, node: ast.Pass) -> None:
        pass

    def do_Assert(self, node: ast.Assert) -> None:
        self.expr(node.test)
        if node.msg is not None:
            self.expr(node.msg)

    def do_Return(self, node: ast.Return) -> None:
        value = NONE if node.value is None else self.expr(node.value)
        self.result = value if self.result is None else joined(self.result, value)
        self.alive = False

    def do_Raise(self, node: ast.Raise) -> None:
        for part in (node.exc, node.cause):
            if part is not None:
                self.expr(part)
        self.alive = False

    def do_Break(self, node: ast.Break) -> None:
        self.alive = False

    def do_Continue(self, node: ast.Continue) -> None:
        self.alive = False

    def do_Global(self, node: ast.Global) -> None:
        raise self.refuse(
            "global",
            node.names[0],
            f"{node.names[0]} is declared global",
            "pass it as an argument and return it",
            node,
        )

    def do_Nonlocal(self, node: ast.Nonlocal) -> None:
        raise self.refuse(
            "nonlocal",
            node.names[0],
            f"{node.names[0]} is declared nonlocal",
            "pass it as an argument and return it",
            node,
        )

    def do_Import(self, node: ast.Import) -> None:
        import sys

        for alias in node.names:
            if alias.name not in sys.modules or not is_library(alias.name):
                raise self.refuse(
                    "import",
                    alias.name,
                    f"{alias.name} is imported",
                    "import it at the top of the file",
                    node,
                )
            found = sys.modules[alias.name if alias.asname else alias.name.partition(".")[0]]
            self.bind((alias.asname or alias.name).partition(".")[0], Value(SHARED, "module", found))

    def do_ImportFrom(self, node: ast.ImportFrom) -> None:
        import sys

        if node.level or node.module not in sys.modules or not is_library(node.module or ""):
            raise self.refuse(
                "import",
                node.module or ".",
                f"{node.module or '.'} is imported",
                "import it at the top of the file",
                node,
            )
        for alias in node.names:
            live = getattr(sys.modules[node.module], alias.name, UNKNOWN)
            self.bind(alias.asname or alias.name, Value(SHARED, "", live))

    def do_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.decorator_list:
            raise self.refuse(
                "closure", node.name, f"{node.name} is decorated", "move it to the top of the file", node
            )
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.expr(default)
        self.bind(node.name, Value(SHARED, "function", UNKNOWN, (node, self)))

    def do_ClassDef(self, node: ast.ClassDef) -> None:
        raise self.refuse(
            "closure", node.name, f"the class {node.name} is made", "move it to the top of the file", node
        )

    def do_Assign(self, node: ast.Assign) -> None:
        value = self.expr(node.value)
        for target in node.targets:
            self.store(target, value, node.value)

    def do_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.store(node.target, self.expr(node.value), node.value)

    def do_AugAssign(self, node: ast.AugAssign) -> None:
        target = node.target
        value = self.expr(node.value)
        if isinstance(target, ast.Name):
            old = self.name(ast.copy_location(ast.Name(target.id, ast.Load()), target))
            if old.own == SHARED:
                raise self.changes(target, node)
            self._note_change(old)
            if old.kind not in calls.IMMUTABLE and old.kind != "array" and value.own != OWN:
                self.demote()
                old = self.env.get(target.id, old)
            kind = (
                old.kind
                if old.kind == value.kind or old.kind in ("array", "list", "set", "dict", "text")
                else ""
            )
            self.bind(
                target.id,
                Value(
                    OWN if old.kind in _KEEP and value.own == OWN else min(old.own, max(value.own, OUTER)),
                    kind,
                ),
            )
        else:
            assert isinstance(target, (ast.Attribute, ast.Subscript))
            base = self.expr(target.value)
            if isinstance(target, ast.Subscript):
                self.expr(target.slice)
            if base.own == SHARED or (base.own == OUTER and base.kind != "array" and not self._counts(value)):
                raise self.changes(target, node)
            self._note_change(base)
            if value.own != OWN and base.kind != "array":
                self.demote()

    @staticmethod
    def _counts(value: Value) -> bool:
        """Whether what is added is immutable: then so is what it is added to, or it fails."""
        return value.kind in ("number", "text", "bytes")

    def do_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.name(ast.copy_location(ast.Name(target.id, ast.Load()), target))
                self.env.pop(target.id, None)
                self.definite.discard(target.id)
                continue
            assert isinstance(target, (ast.Attribute, ast.Subscript))
            if self.expr(target.value).own == SHARED:
                raise self.changes(target, node)
            if isinstance(target, ast.Subscript):
                self.expr(target.slice)

    def do_If(self, node: ast.If) -> None:
        self.expr(node.test)
        before = self._state()
        self.block(node.body)
        after = self._state()
        self._set(before)
        self.block(node.orelse)
        self._join(after, self._state())

    def do_For(self, node: ast.For) -> None:
        iterable = self.iterated(node.iter)
        self._loop(node, lambda: self.store(node.target, element(iterable), node.iter))

    def do_While(self, node: ast.While) -> None:
        self._loop(node, lambda: self.expr(node.test))
        if isinstance(node.test, ast.Constant) and node.test.value and not _has_break(node.body):
            self.alive = False

    def _loop(self, node: ast.For | ast.While, begin: Any) -> None:
        self.within.append("loop")
        self.traces.append({})
        for _ in range(6):
            before = self._state()
            begin()
            head = self._state()
            self.block(node.body)
            after = self._state()
            self._join(before, (head[0], before[1], True), (after[0], before[1], True))
            if isinstance(node, ast.While):
                self.definite |= before[1]
            self.env = _joined_env(self.env, self.traces[-1])
            if self.env == before[0]:
                break
        self.traces.pop()
        self.within.pop()
        self.alive = True
        if node.orelse:
            state = self._state()
            self.block(node.orelse)
            self._join(state, self._state())

    def do_With(self, node: ast.With) -> None:
        swallows = False
        for item in node.items:
            value = self.expr(item.context_expr)
            if value.kind == "instance":
                for name in ("__enter__", "__exit__"):
                    method = inspect.getattr_static(value.live, name, None)
                    if not isinstance(method, FunctionType):
                        raise self.refuse(
                            "unknown-call",
                            name,
                            f"{value.live.__qualname__} has no {name} to follow",
                            "use try",
                            node,
                        )
                    result = self.proof.call(
                        method, [value, *([Value()] * 3 if name == "__exit__" else [])], {}, self, node
                    )
                    if name == "__enter__":
                        entered = result
                swallows = True
                value = entered
            elif (
                value.kind != "file" and not (value.kind == "own" or value.kind == "array")
            ) or value.own == SHARED:
                self.proof.unknown(
                    "unknown-call",
                    spelled(item.context_expr),
                    f"nobody knows what entering {spelled(item.context_expr)} does",
                    "declare a function around it with @independent",
                    node,
                )
            else:
                swallows = swallows or value.kind == "own"
            if item.optional_vars is not None:
                self.store(item.optional_vars, value, item.context_expr)
        before = self._state()
        self.traces.append({})
        self.block(node.body)
        trace = self.traces.pop()
        if swallows:
            self._join(self._state(), (_joined_env(before[0], trace), before[1], True))

    def do_Try(self, node: ast.Try) -> None:
        before = self._state()
        self.within.append("try")
        self.traces.append({})
        self.block(node.body)
        self.within.pop()
        after = self._state()
        anywhere = (_joined_env(_joined_env(before[0], after[0]), self.traces[-1]), before[1], True)
        ends = []
        for handler in node.handlers:
            self._set(anywhere)
            if handler.type is not None:
                self.expr(handler.type)
            if handler.name:
                self.bind(handler.name, Value(OWN))
            self.block(handler.body)
            if handler.name:
                self.definite.discard(handler.name)
            ends.append(self._state())
        self._set(after)
        if self.alive:
            self.block(node.orelse)
        ends.append(self._state())
        self._join(*reversed(ends))
        trace = self.traces.pop()
        if node.finalbody:
            alive = self.alive
            definite = set(self.definite)
            self.env, self.alive = _joined_env(_joined_env(self.env, anywhere[0]), trace), True
            self.definite = set(before[1])
            self.block(node.finalbody)
            self.definite |= definite if alive else set()
            self.alive = alive and self.alive

    def do_TryStar(self, node: Any) -> None:
        self.do_Try(node)

    def do_Match(self, node: ast.Match) -> None:
        subject = self.expr(node.subject)
        before = self._state()
        ends = [before]
        for case in node.cases:
            self._set(before)
            for inner in ast.walk(case.pattern):
                if isinstance(inner, ast.MatchClass):
                    self.expr(inner.cls)
                elif isinstance(inner, ast.MatchValue):
                    self.expr(inner.value)
            for name in bound_names([case.pattern]):
                self.bind(name, element(subject) if subject.own != OWN else Value(OWN))
            if case.guard is not None:
                self.expr(case.guard)
            self.block(case.body)
            ends.append(self._state())
        self._join(*ends)

    # storing

    def bind(self, name: str, value: Value) -> None:
        self.env[name] = value
        self.definite.add(name)
        for trace in self.traces:
            trace[name] = joined(trace[name], value) if name in trace else value

    def store(self, target: ast.expr, value: Value, source: ast.expr | None) -> None:
        if isinstance(target, ast.Name):
            if target.id not in self.local:
                raise self.refuse(
                    "global", target.id, f"{target.id} is assigned outside", "return it instead", target
                )
            self.bind(target.id, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            values = [element(value)] * len(target.elts)
            if (
                isinstance(source, (ast.Tuple, ast.List))
                and len(source.elts) == len(target.elts)
                and value.kind == "tuple"
            ):
                values = [self.quiet(one) for one in source.elts]
            for one, part in zip(target.elts, values, strict=True):
                self.store(one, part, None)
        elif isinstance(target, ast.Starred):
            self.store(target.value, Value(max(value.own, OUTER), "list"), None)
        else:
            assert isinstance(target, (ast.Attribute, ast.Subscript))
            base = self.expr(target.value)
            if isinstance(target, ast.Subscript):
                self.expr(target.slice)
            if base.own == SHARED or (base.kind == "array" and isinstance(target, ast.Attribute)):
                raise self.changes(target, target)
            if base.kind == "instance" and isinstance(target, ast.Attribute):
                member = inspect.getattr_static(base.live, target.attr, None)
                if isinstance(member, property):
                    if not isinstance(member.fset, FunctionType):
                        return
                    self.proof.call(member.fset, [base, value], {}, self, target)
            self._note_change(base)
            if value.kind == "function":
                raise self.closure(target)
            if value.own != OWN and base.kind != "array":
                self.demote()

    def quiet(self, node: ast.expr) -> Value:
        """The value of an expression that was walked before."""
        return self.expr(node)

    def _note_change(self, base: Value) -> None:
        if base.kind not in calls.IMMUTABLE:
            self.facts.mutates = True
            self.facts.late = self.facts.late or self.facts.stored

    def closure(self, node: ast.AST) -> Refused:
        name = spelled(node) if isinstance(node, ast.expr) else ""
        return self.refuse(
            "closure", name, "a function that was made here is kept", "move it to the top of the file", node
        )

    def changes(self, target: ast.expr, node: ast.AST) -> Refused:
        name = spelled(target)
        first = root(target)
        shared = first.id if isinstance(first, ast.Name) else name
        return self.refuse(
            "mutates-shared",
            shared,
            f"{name} is changed, and others may see that",
            f"make a copy of {shared} first, or collect the results in a list or dict",
            node,
        )

    # expressions

    def expr(self, node: ast.expr) -> Value:
        method = getattr(self, f"of_{type(node).__name__}", None)
        if method is None:
            raise self.refuse(
                "unsupported",
                type(node).__name__,
                f"{type(node).__name__} can't be followed",
                "write it plainly",
                node,
            )
        value: Value = method(node)
        return value

    def of_Constant(self, node: ast.Constant) -> Value:
        return constant(node.value)

    def of_Name(self, node: ast.Name) -> Value:
        return self.name(node)

    def name(self, node: ast.Name) -> Value:
        if node.id in self.local:
            return self.local_name(node)
        if self.outer is not None:
            return self.outer.seen(node)
        return self.scope.look_up(self, node)

    def seen(self, node: ast.Name) -> Value:
        """A name, as a function inside sees it."""
        return self.name(node)

    def local_name(self, node: ast.Name) -> Value:
        return self.env.get(node.id, Value())

    def of_NamedExpr(self, node: ast.NamedExpr) -> Value:
        value = self.expr(node.value)
        self.store(node.target, value, node.value)
        return value

    def of_JoinedStr(self, node: ast.JoinedStr) -> Value:
        for part in node.values:
            self.expr(part)
        return TEXT

    def of_FormattedValue(self, node: ast.FormattedValue) -> Value:
        self._order_of(self.expr(node.value))
        if node.format_spec is not None:
            self.expr(node.format_spec)
        return TEXT

    def of_BinOp(self, node: ast.BinOp) -> Value:
        left, right = self.expr(node.left), self.expr(node.right)
        if left.kind == right.kind == "number":
            return NUMBER
        if left.kind == "text":
            self._order_of(right)
            return TEXT
        if "array" in (left.kind, right.kind):
            return Value(OWN, "array")
        kind = left.kind if left.kind in ("list", "tuple", "set", "dict") else ""
        return Value(OWN if left.own == right.own == OWN else OUTER, kind)

    def of_UnaryOp(self, node: ast.UnaryOp) -> Value:
        value = self.expr(node.operand)
        if isinstance(node.op, ast.Not):
            return NUMBER
        return value if value.own == OWN else Value(OUTER)

    def of_BoolOp(self, node: ast.BoolOp) -> Value:
        value = self.expr(node.values[0])
        for one in node.values[1:]:
            before = self._state()
            value = joined(value, self.expr(one))
            self._join(self._state(), before)
        return value

    def of_Compare(self, node: ast.Compare) -> Value:
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            if isinstance(operator, (ast.Is, ast.IsNot)) and not any(map(self._singleton, (left, right))):
                raise self.refuse(
                    "identity",
                    spelled(node),
                    f"{spelled(node)} tells objects apart that are equal",
                    "use == instead",
                    node,
                )
        for number, operand in enumerate(operands):
            asked = number and isinstance(node.ops[number - 1], (ast.In, ast.NotIn))
            if asked and isinstance(operand, (ast.Name, ast.Set)):
                self.contained(operand)
            else:
                self.expr(operand)
        return Value(OWN)

    def contained(self, node: ast.Name | ast.Set) -> None:
        """What is only asked for what it holds: the order doesn't matter."""
        self.facts.asking = True
        try:
            self.expr(node)
        finally:
            self.facts.asking = False

    def _singleton(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Constant):
            return node.value is None or isinstance(node.value, bool) or node.value is Ellipsis
        return False

    def of_IfExp(self, node: ast.IfExp) -> Value:
        self.expr(node.test)
        before = self._state()
        value = self.expr(node.body)
        after = self._state()
        self._set(before)
        value = joined(value, self.expr(node.orelse))
        self._join(after, self._state())
        return value

    def of_Tuple(self, node: ast.Tuple) -> Value:
        return self._display(node.elts, "tuple")

    def of_List(self, node: ast.List) -> Value:
        return self._display(node.elts, "list")

    def of_Set(self, node: ast.Set) -> Value:
        return self._display(node.elts, "set")

    def _display(self, parts: Sequence[ast.expr], kind: str) -> Value:
        values = []
        for part in parts:
            value = self.expr(part)
            if value.kind == "function":
                raise self.closure(part)
            values.append(value)
        return Value(OWN if all(value.own == OWN for value in values) else OUTER, kind)

    def of_Dict(self, node: ast.Dict) -> Value:
        return self._display([*(key for key in node.keys if key is not None), *node.values], "dict")

    def of_Starred(self, node: ast.Starred) -> Value:
        return element(self.iterated(node.value))

    def of_Slice(self, node: ast.Slice) -> Value:
        for part in (node.lower, node.upper, node.step):
            if part is not None:
                self.expr(part)
        return NUMBER

    def of_Subscript(self, node: ast.Subscript) -> Value:
        base = self.expr(node.value)
        self.expr(node.slice)
        if base.kind in ("text", "bytes"):
            return base
        if base.kind == "array":
            return Value(base.own, "array")
        if isinstance(node.slice, ast.Slice) and base.kind in ("list", "tuple"):
            return Value(max(base.own, OUTER), base.kind)
        return Value(OWN) if base.own == OWN else Value()

    def of_Attribute(self, node: ast.Attribute) -> Value:
        base = self.expr(node.value)
        if base.kind == "module":
            return self.scope.attribute(self, base.live, node)
        if base.kind == "class":
            return live_value(inspect.getattr_static(base.live, node.attr, UNKNOWN), Value())
        if base.kind == "instance":
            self.proof.check_class(base.live, self, node)
        if base.kind == "array":
            return Value(base.own, "array")
        return Value(OWN) if base.own == OWN else Value()

    def of_Lambda(self, node: ast.Lambda) -> Value:
        return Value(SHARED, "function", UNKNOWN, (node, self))

    def of_Yield(self, node: ast.Yield) -> Value:
        self.yields = True
        if node.value is not None:
            self.expr(node.value)
        return Value()

    def of_YieldFrom(self, node: ast.YieldFrom) -> Value:
        self.yields = True
        self.iterated(node.value)
        return Value()

    def of_Await(self, node: ast.Await) -> Value:
        raise self.refuse("await", spelled(node), "it waits for other tasks", "call a plain function", node)

    def of_ListComp(self, node: ast.ListComp) -> Value:
        return self._comprehension(node, [node.elt], "list")

    def of_SetComp(self, node: ast.SetComp) -> Value:
        return self._comprehension(node, [node.elt], "set")

    def of_GeneratorExp(self, node: ast.GeneratorExp) -> Value:
        return self._comprehension(node, [node.elt], "generator")

    def of_DictComp(self, node: ast.DictComp) -> Value:
        return self._comprehension(node, [node.key, node.value], "dict")

    def _comprehension(
        self,
        node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp,
        parts: list[ast.expr],
        kind: str,
    ) -> Value:
        first = self.iterated(node.generators[0].iter)
        names = bound_names([generator.target for generator in node.generators])
        inner = Walk(self.proof, self.scope, names, self)
        for number, generator in enumerate(node.generators):
            if generator.is_async:
                raise self.refuse("await", "async for", "it waits for other tasks", "use a plain loop", node)
            iterable = inner.iterated(generator.iter) if number else first
            inner.store(generator.target, element(iterable), None)
            for condition in generator.ifs:
                inner.expr(condition)
        values = [inner.expr(part) for part in parts]
        for value, part in zip(values, parts, strict=True):
            if value.kind == "function":
                raise self.closure(part)
        return Value(
            OWN if all(value.own == OWN for value in values) and kind != "generator" else OUTER, kind
        )

    def iterated(self, node: ast.expr) -> Value:
        """What is gone through."""
        value = self.expr(node)
        self._order_of(value)
        if value.kind == "instance":
            self.proof.check_class(value.live, self, node)
        return value

    def _order_of(self, value: Value) -> None:
        if value.kind == "set":
            self.facts.unordered = True

    # calls

    def of_Call(self, node: ast.Call) -> Value:
        function = node.func
        if isinstance(function, ast.Attribute) and not self._names_module(function.value):
            return self.call_method(node, function)
        callee = self.expr(function)
        args, keywords = self.arguments(node)
        if callee.node is not None:
            return self.call_node(callee, args, keywords, node)
        if callee.live is not UNKNOWN and callee.kind != "instance":
            return self.call_live(callee.live, args, keywords, node)
        return self.unknown_call(node.func, node)

    def unknown_call(self, function: ast.expr, node: ast.AST) -> Value:
        name = spelled(function)
        return self.proof.unknown(
            "unknown-call",
            name,
            f"nobody knows what {name} does",
            f'declare {name} with @independent if its calls don\'t influence each other, or use parallel="trust"',
            node,
        )

    def _names_module(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name) and node.id not in self.local:
            return self.name(node).kind in ("module", "class")
        if isinstance(node, ast.Attribute) and self._names_module(node.value):
            return self.expr(node).kind in ("module", "class")
        return isinstance(node, ast.Name) and self.env.get(node.id, Value()).kind == "module"

    def arguments(self, node: ast.Call) -> tuple[list[Value], dict[str, Value]]:
        args: list[Value] = []
        keywords: dict[str, Value] = {}
        for arg in node.args:
            if isinstance(arg, ast.Starred):
                keywords["*"] = self.expr(arg)
            else:
                args.append(self.expr(arg))
        for keyword in node.keywords:
            value = self.expr(keyword.value)
            if keyword.arg is None:
                keywords["*"] = joined(value, keywords["*"]) if "*" in keywords else element(value)
            else:
                keywords[keyword.arg] = value
        return args, keywords

    def call_node(self, callee: Value, args: list[Value], keywords: dict[str, Value], at: ast.AST) -> Value:
        node, walk = callee.node
        inner = Walk(self.proof, walk.scope, local_names(node), walk)
        return self.proof.walk(inner, node, args, keywords, self, at, getattr(node, "name", "a lambda"))

    def call_live(self, live: Any, args: list[Value], keywords: dict[str, Value], at: ast.AST) -> Value:
        """Call a function or class that is known as it is."""
        live = getattr(live, "local", live) if type(live).__module__.startswith("clustrix_core.") else live
        if getattr(live, MARK, False):
            self.facts.assume(f"{getattr(live, '__qualname__', live)} is independent (declared)")
            return Value()
        found = calls.known_function(live)
        if found is not None:
            return self.call_known(*found, args, keywords, at)
        module = getattr(live, "__module__", None) or type(live).__module__
        name = getattr(live, "__qualname__", getattr(live, "__name__", type(live).__qualname__))
        if (
            isinstance(live, type)
            and issubclass(live, BaseException)
            and (is_library(live.__module__) or live.__init__ is BaseException.__init__)
        ):
            return Value(self._least(args, keywords))
        reason = calls.in_the_way(module, name)
        if live is open or (module == "_io" and name == "open"):
            return self.open(args, keywords, at)
        if f"{module}.{name}" in calls.WRITERS:
            return self.write_file(at, 0)
        if reason is None and self._is_ufunc(live):
            return self.call_known("numpy", name, calls.Known("array"), args, keywords, at)
        if isinstance(live, MethodType):
            if isinstance(live.__func__, FunctionType) and not is_library(module):
                return self.proof.call(
                    live.__func__, [live_value(live.__self__, Value()), *args], keywords, self, at
                )
            if self._is_logger(live.__self__) and name.rpartition(".")[2] in _LOGGING:
                return NONE
        if isinstance(live, FunctionType) and module == "logging" and name in _LOGGING:
            return NONE
        if module in ("_warnings", "warnings") and name == "warn":
            return NONE
        if reason is None and isinstance(live, FunctionType) and not is_library(live.__module__ or ""):
            return self.proof.call(live, args, keywords, self, at)
        if reason is None and isinstance(live, type) and not is_library(live.__module__):
            return self.proof.instance(live, args, keywords, self, at)
        if reason is not None:
            return self.proof.unknown(
                reason[0],
                name,
                f"{name} {reason[1]}",
                _REMEDIES.get(reason[0], "call it outside the loop"),
                at,
            )
        if not isinstance(live, (FunctionType, BuiltinFunctionType, type)) and not is_library(
            type(live).__module__
        ):
            method = inspect.getattr_static(type(live), "__call__", None)
            if isinstance(method, FunctionType):
                return self.proof.call(
                    method, [Value(SHARED, "instance", type(live)), *args], keywords, self, at
                )
        return self.unknown_call(at.func if isinstance(at, ast.Call) else ast.Name(name), at)

    @staticmethod
    def _is_ufunc(live: Any) -> bool:
        return type(live).__name__ == "ufunc" and type(live).__module__.startswith("numpy")

    @staticmethod
    def _is_logger(live: Any) -> bool:
        import sys

        logging = sys.modules.get("logging")
        return logging is not None and type(live) in (logging.Logger, logging.RootLogger)

    @staticmethod
    def _least(args: list[Value], keywords: dict[str, Value]) -> int:
        return OWN if all(value.own == OWN for value in (*args, *keywords.values())) else OUTER

    def call_known(
        self,
        module: str,
        name: str,
        known: calls.Known,
        args: list[Value],
        keywords: dict[str, Value],
        at: ast.AST,
    ) -> Value:
        """Call what is in the table."""
        line = at
        if name in calls.SEEDED and not args and not keywords:
            raise self.refuse(
                "random-state",
                name,
                f"{name}() draws what nobody can draw again",
                "give it a seed that differs by iteration",
                line,
            )
        if name == "print" and module == "builtins":
            self._check_print(at)
        if name in calls.READS_STATUS or name in ("glob", "iglob", "listdir", "walk"):
            self.facts.looks = True
        if name in ("repr", "str", "list", "tuple", "enumerate", "zip", "map", "filter", "iter", "sum", "next", "join", "format", "reversed",
                    "array", "asarray", "print", "deque", "chain", "product", "reduce"):  # fmt: skip
            for value in args:
                self._order_of(value)
        self._check_keywords(name, keywords, at)
        if known.changes:
            self._change_first(name, args, at)
        self._check_functions(name, known.calls, args, keywords, at)
        if module == "builtins" and name in ("defaultdict", "type") and len(args) > 1:
            raise self.refuse("dynamic-code", name, "a class is made", "move it to the top of the file", at)
        if name == "iter" and len(args) > 1:
            raise self.refuse(
                "unknown-call",
                name,
                "iter calls a function again and again",
                "use a while loop in a function",
                at,
            )
        return self.result_of(known, args, keywords)

    def result_of(self, known: calls.Known, args: list[Value], keywords: dict[str, Value]) -> Value:
        least = self._least(args, keywords)
        match known.result:
            case "number" | "text" | "bytes" | "none":
                return Value(OWN, known.result)
            case "array" | "file":
                return Value(OWN, known.result)
            case "own":
                return Value(OWN, "own")
            case "part":
                everything = [*args, *keywords.values()]
                kinds = {value.kind for value in everything}
                kind = kinds.pop() if len(kinds) == 1 else ""
                return (
                    Value(OWN, kind if kind in _KEEP else "")
                    if least == OWN
                    else Value(SHARED, "array" if kind == "array" else "")
                )
            case "new":
                return Value(least)
        return Value(least, known.result)

    def _check_keywords(self, name: str, keywords: dict[str, Value], at: ast.AST) -> None:
        for keyword, value in keywords.items():
            if (
                keyword in ("out", "output")
                and value.kind != "none"
                and (value.own == SHARED or value.kind in ("", "tuple"))
            ):
                if value.kind == "" and value.own >= OUTER:
                    continue
                if value.live is not UNKNOWN and isinstance(value.live, type):
                    continue
                if keyword == "output" and value.kind == "text":
                    continue
                raise self.refuse(
                    "mutates-shared",
                    keyword,
                    f"{name} writes its result into {keyword}=",
                    "let it return a new one",
                    at,
                )

    def _change_first(self, name: str, args: list[Value], at: ast.AST) -> None:
        if not args or args[0].own == SHARED:
            target = at.args[0] if isinstance(at, ast.Call) and at.args else ast.Name(name)
            raise self.changes(target, at)
        self._note_change(args[0])
        if any(value.own != OWN for value in args[1:]):
            self.demote()

    def _check_functions(
        self, name: str, calls_them: bool, args: list[Value], keywords: dict[str, Value], at: ast.AST
    ) -> None:
        """Functions among the arguments are called with who knows what."""
        for value in (*args, *keywords.values()):
            if (
                value.kind == "function"
                or isinstance(value.live, (FunctionType, MethodType))
                or (
                    calls_them
                    and value.live is not UNKNOWN
                    and callable(value.live)
                    and value.kind != "instance"
                )
            ):
                self._call_anyhow(value, at)
        if not calls_them:
            return
        if isinstance(at, ast.Call):
            named = [(keywords[one.arg], one.value) for one in at.keywords if one.arg in _CALLABLE]
            for value, node in (*self._callables(name, list(zip(args, at.args, strict=False))), *named):
                if value.kind == "" and value.live is UNKNOWN and value.own == SHARED:
                    self.unknown_call(node, at)

    @staticmethod
    def _callables(name: str, given: list[tuple[Value, ast.expr]]) -> list[tuple[Value, ast.expr]]:
        """The positional arguments that are called, of those given."""
        if name in ("max", "min", "sorted", "sort", "nlargest", "nsmallest", "merge"):
            return []
        return given[1:2] if name in ("accumulate", "groupby") else given[:1]

    def _call_anyhow(self, value: Value, at: ast.AST) -> None:
        if value.node is not None:
            node = value.node[0]
            count = len(node.args.posonlyargs) + len(node.args.args)
            self.call_node(value, [Value()] * count, {}, at)
            return
        live = value.live
        if isinstance(live, FunctionType):
            count = live.__code__.co_argcount
            if is_library(live.__module__ or ""):
                self.call_live(live, [Value(OUTER)] * max(count, 1), {}, at)
            else:
                self.proof.call(live, [Value()] * count, {}, self, at)
        elif isinstance(live, type) and not is_library(live.__module__):
            self.proof.instance(live, [Value()] * 4, {}, self, at)
        elif calls.known_function(live) is None and not isinstance(live, type):
            self.call_live(live, [Value()], {}, at)
        else:
            found = calls.known_function(live)
            if found is not None and (found[2].changes or found[1] in calls.SEEDED):
                raise self.refuse(
                    "mutates-shared", found[1], f"{found[1]} changes its argument", "write a loop", at
                )
            if found is None and not (isinstance(live, type) and live.__module__ == "builtins"):
                self.call_live(live, [Value()], {}, at)

    def _check_print(self, at: ast.AST) -> None:
        if isinstance(at, ast.Call):
            for keyword in at.keywords:
                if keyword.arg == "file":
                    value = self.expr(keyword.value)
                    if value.own == SHARED and ast.unparse(keyword.value) not in (
                        "sys.stdout",
                        "sys.stderr",
                        "None",
                    ):
                        raise self.refuse(
                            "writes-files", spelled(keyword.value), "print writes to a file that iterations share",
                            "collect the lines, and write them after the loop", at,
                        )  # fmt: skip

    # files

    def open(self, args: list[Value], keywords: dict[str, Value], at: ast.AST) -> Value:
        mode: ast.expr | None = None
        if isinstance(at, ast.Call):
            mode = (
                at.args[1]
                if len(at.args) > 1
                else next((one.value for one in at.keywords if one.arg == "mode"), None)
            )
            starred = "*" in keywords
            if starred or not (
                mode is None or (isinstance(mode, ast.Constant) and isinstance(mode.value, str))
            ):
                self.proof.unknown(
                    "writes-files",
                    "open",
                    "nobody knows how the file is opened",
                    "write the mode as a constant",
                    at,
                )
        text = mode.value if isinstance(mode, ast.Constant) else "r"
        if isinstance(text, str) and set(text) & set("wxa+"):
            if set(text) & set("a+"):
                raise self.refuse(
                    "writes-files",
                    "open",
                    f"a file is opened with {text!r}",
                    "collect the results, and write them after the loop",
                    at,
                )
            self.write_file(at, 0)
        return Value(OWN, "file")

    def write_file(self, at: ast.AST, place: int) -> Value:
        """A file is written, whose path has to differ by iteration."""
        path = at.args[place] if isinstance(at, ast.Call) and len(at.args) > place else None
        if path is None or not self.differs(path):
            name = spelled(path) if path is not None else "a file"
            raise self.refuse(
                "writes-files",
                name,
                f"every iteration may write to {name}",
                "give each iteration a file of its own, or write after the loop",
                at,
            )
        self.facts.writes = True
        return NONE

    def differs(self, node: ast.expr) -> bool:
        """Whether an expression may give something else in each iteration; the run makes sure that it does."""
        return any(isinstance(inner, ast.Name) and inner.id in self.local for inner in ast.walk(node))

    # methods

    def call_method(self, node: ast.Call, function: ast.Attribute) -> Value:
        name = function.attr
        base = self.expr(function.value)
        args, keywords = self.arguments(node)
        if base.kind == "instance":
            return self._call_users_method(base, name, args, keywords, node)
        if base.live is not UNKNOWN and base.kind not in ("module", "class"):
            if self._is_logger(base.live) and name in _LOGGING:
                return NONE
        if isinstance(function.value, ast.Call) and ast.unparse(function.value.func) == "super":
            return self.unknown_call(function, node)
        if (
            isinstance(function.value, ast.Attribute)
            and ast.unparse(function.value) in ("sys.stdout", "sys.stderr")
            and name in ("write", "flush")
        ):
            return NUMBER
        if name in calls.WRITING_METHODS and args:
            return self.write_file(node, calls.WRITING_METHODS[name])
        if name in calls.WRITING_OF_PATHS:
            if not self.differs(function.value):
                raise self.refuse(
                    "writes-files", spelled(function.value), f"every iteration may write to {spelled(function.value)}",
                    "give each iteration a file of its own, or write after the loop", node,
                )  # fmt: skip
            self.facts.writes = True
            return NUMBER
        if name == "open":
            return self._open_path(node, keywords)
        known = calls.METHODS.get(name)
        self.facts.methods.add(name)
        if known is None:
            return self.proof.unknown(
                "unknown-method",
                name,
                f"nobody knows what {spelled(function)} does",
                'put it into a function declared with @independent, or use parallel="trust"',
                node,
            )
        if name in calls.READS_STATUS or name in ("iterdir", "glob", "rglob"):
            self.facts.looks = True
        if name == "sample" and "random_state" not in keywords:
            raise self.refuse(
                "random-state",
                name,
                f"{name} draws from a generator that all share",
                "pass random_state=",
                node,
            )
        if base.kind == "set" and name not in ("union", "intersection", "difference", "symmetric_difference", "issubset", "issuperset",
                                               "isdisjoint", "copy", "add", "discard", "remove", "update", "clear"):  # fmt: skip
            self._order_of(base)
        if name == "join":
            for value in args:
                self._order_of(value)
        self._check_keywords(name, keywords, node)
        self._check_inplace(function, base, node)
        if known.changes or name in ("add", "update", "subtract"):
            if base.own == SHARED and (
                known.changes or name == "update" or (len(node.args) == 1 and self._statement is node)
            ):
                raise self._changes_by(function, node)
            if base.own == SHARED and name == "subtract" and self._statement is node:
                raise self._changes_by(function, node)
            self._note_change(base)
            if any(value.own != OWN for value in (*args, *keywords.values())) and base.kind not in _KEEP:
                self.demote()
            if any(value.kind == "function" for value in args) and not known.calls:
                raise self.closure(node)
        self._check_method_functions(name, known, args, keywords, node)
        if name == "shuffle" and (not args or args[0].own == SHARED):
            raise self._changes_by(function, node)
        if known.result == "view":
            return Value(base.own, base.kind)
        if known.result == "array" and base.kind in ("number",):
            return NUMBER
        return self.result_of(known, [base, *args], keywords)

    _statement: ast.AST | None = None

    def _changes_by(self, function: ast.Attribute, node: ast.AST) -> Refused:
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
                self._note_change(base)

    def _check_method_functions(
        self, name: str, known: calls.Known, args: list[Value], keywords: dict[str, Value], node: ast.Call
    ) -> None:
        for value in (*args, *keywords.values()):
            if value.kind == "function" or (isinstance(value.live, (FunctionType, MethodType))):
                if not known.calls:
                    raise self.closure(node)
                self._call_anyhow(value, node)
        if name in ("apply", "applymap", "agg", "aggregate", "map", "transform", "pipe") and args:
            value = args[0]
            if (
                value.live is not UNKNOWN
                and callable(value.live)
                and not isinstance(value.live, (FunctionType, MethodType))
            ):
                self._call_anyhow(value, node)
            elif value.kind == "" and value.live is UNKNOWN and value.own == SHARED:
                self.unknown_call(node.args[0], node)

    def _call_users_method(
        self, base: Value, name: str, args: list[Value], keywords: dict[str, Value], node: ast.Call
    ) -> Value:
        self.proof.check_class(base.live, self, node)
        member = inspect.getattr_static(base.live, name, None)
        if isinstance(member, FunctionType) and not is_library(member.__module__):
            return self.proof.call(member, [base, *args], keywords, self, node)
        if isinstance(member, staticmethod) and isinstance(member.__func__, FunctionType):
            return self.proof.call(member.__func__, args, keywords, self, node)
        if isinstance(member, classmethod) and isinstance(member.__func__, FunctionType):
            return self.proof.call(
                member.__func__, [live_value(base.live, Value()), *args], keywords, self, node
            )
        known = calls.METHODS.get(name)
        if (
            member is not None
            and known is not None
            and is_library(getattr(member, "__module__", None) or "builtins")
        ):
            if known.changes and base.own == SHARED:
                raise self.changes(node.func, node)
            return self.result_of(known, [base, *args], keywords)
        return self.unknown_call(node.func, node)

    def _open_path(self, node: ast.Call, keywords: dict[str, Value]) -> Value:
        mode = (
            node.args[0]
            if node.args
            else next((one.value for one in node.keywords if one.arg == "mode"), None)
        )
        if mode is None or (
            isinstance(mode, ast.Constant)
            and isinstance(mode.value, str)
            and not set(mode.value) & set("wxa+")
        ):
            return Value(OWN, "file")
        if (
            isinstance(mode, ast.Constant)
            and mode.value in ("w", "wb", "x", "xb", "wt")
            and isinstance(node.func, ast.Attribute)
        ):
            if self.differs(node.func.value):
                self.facts.writes = True
                return Value(OWN, "file")
        raise self.refuse(
            "writes-files",
            "open",
            "every iteration may write to the file",
            "give each iteration a file of its own",
            node,
        )


def local_names(node: Definition | ast.Lambda) -> set[str]:
    """The names that are local to a function."""
    arguments = node.args
    names = {arg.arg for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    names |= {arg.arg for arg in (arguments.vararg, arguments.kwarg) if arg is not None}
    body = [node.body] if isinstance(node, ast.Lambda) else node.body
    names |= bound_names(body)
    for inner in own_nodes(body):
        if isinstance(inner, (ast.Global, ast.Nonlocal)):
            names -= set(inner.names)
    return names


def element(value: Value) -> Value:
    """What is known of an item."""
    if value.kind == "text":
        return TEXT
    if value.kind == "array":
        return Value(value.own, "array")
    return Value(OWN) if value.own == OWN else Value()


def live_value(live: Any, otherwise: Value) -> Value:
    """What is known of an object that is at hand."""
    if isinstance(live, ModuleType):
        return Value(SHARED, "module", live)
    if isinstance(live, type):
        return Value(SHARED, "class", live)
    if isinstance(live, (staticmethod, classmethod)):
        return Value(SHARED, "", live.__func__)
    if callable(live):
        return Value(SHARED, "", live)
    if Walk._is_logger(live):
        return Value(SHARED, "", live)
    return otherwise


def _joined_env(one: dict[str, Value], other: dict[str, Value]) -> dict[str, Value]:
    env = {**one, **other}
    for name in one.keys() & other.keys():
        env[name] = joined(one[name], other[name])
    return env


def _has_break(body: Sequence[ast.stmt]) -> bool:
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Break):
            return True
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.For, ast.While)):
            waiting += ast.iter_child_nodes(node)
    return False


class Scope:
    """The globals and cells of a function.

    Args:
        function: the function.
    """

    def __init__(self, function: FunctionType) -> None:
        self.globals = function.__globals__
        self.cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))

    def look_up(self, walk: Walk, node: ast.Name) -> Value:
        """What a name that isn't local stands for."""
        name = node.id
        if name in self.cells:
            try:
                live = self.cells[name].cell_contents
            except ValueError:
                return Value()
            return live_value(live, Value())
        if name in self.globals:
            live = self.globals[name]
            value = live_value(live, Value())
            if value.live is not UNKNOWN:
                walk.facts.guards.append((self.globals, name, live))
            else:
                walk.facts.global_names.append((self.globals, name, walk.facts.asking))
            return value
        if hasattr(builtins, name):
            live = getattr(builtins, name)
            if name in ("True", "False", "None"):
                return NONE
            walk.facts.guards.append((self.globals, name, UNKNOWN))
            return live_value(live, Value(OWN))
        return Value()  # a NameError, which is for the run to raise

    def attribute(self, walk: Walk, module: ModuleType, node: ast.Attribute) -> Value:
        """An attribute of a module."""
        live = getattr(module, node.attr, UNKNOWN)
        if not is_library(module.__name__):
            walk.facts.modules.setdefault(module.__name__, set()).add(node.attr)
        if live is UNKNOWN:
            return Value()
        value = live_value(live, Value())
        if value.live is not UNKNOWN:
            walk.facts.guards.append((vars(module), node.attr, live))
        elif isinstance(live, (int, float, str, bytes, complex)) and is_library(module.__name__):
            return constant(live)
        return value


_REMEDIES = {
    "random-state": "make a generator in each iteration, with a seed that differs: numpy.random.default_rng(seed + i)",
    "clock": "take the time outside the loop",
    "dynamic-code": "write it plainly",
    "identity": "compare by ==",
    "mutates-shared": "assign it plainly",
}
