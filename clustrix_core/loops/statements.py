"""Walking through statements."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Sequence
from types import FunctionType

from clustrix_core.loops import calls
from clustrix_core.loops.expressions import OPERATORS, class_member
from clustrix_core.loops.methods import Methods
from clustrix_core.loops.source import is_library
from clustrix_core.loops.state import joined_env
from clustrix_core.loops.syntax import bound_names, has_break, own_nodes, spelled
from clustrix_core.loops.values import (
    NONE,
    OUTER,
    OWN,
    SEALED,
    SHARED,
    UNCLEAR,
    UNKNOWN,
    Value,
    element,
    joined,
    live_value,
)

_ROUNDS = 500  # of a loop, in which what is known of names settles


class Statements(Methods):
    """What statements do."""

    def do_Expr(self, node: ast.Expr) -> None:
        self.expr(node.value)

    def do_Pass(self, node: ast.Pass) -> None:
        pass

    def do_Assert(self, node: ast.Assert) -> None:
        before = self.place()  # Python may leave it out
        self.expr(node.test)
        if node.msg is not None:
            self.expr(node.msg)
        self.join(before, self.place())

    # leaving

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

    # names from elsewhere

    def do_Global(self, node: ast.Global) -> None:
        name = node.names[0]
        raise self.refuse(
            "global", name, f"{name} is declared global", "pass it as an argument and return it", node
        )

    def do_Nonlocal(self, node: ast.Nonlocal) -> None:
        name = node.names[0]
        raise self.refuse(
            "nonlocal", name, f"{name} is declared nonlocal", "pass it as an argument and return it", node
        )

    def do_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._check_import(alias.name, node)
            found = sys.modules[alias.name if alias.asname else alias.name.partition(".")[0]]
            self.bind((alias.asname or alias.name).partition(".")[0], Value(SHARED, "module", found))

    def do_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or "."
        self._check_import("." if node.level else module, node)
        for alias in node.names:
            live = getattr(sys.modules[module], alias.name, UNKNOWN)
            self.bind(alias.asname or alias.name, live_value(live, Value()))

    def _check_import(self, name: str, node: ast.AST) -> None:
        if name not in sys.modules or not is_library(name):
            raise self.refuse("import", name, f"{name} is imported", "import it at the top of the file", node)

    def do_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.decorator_list:
            raise self.refuse(
                "closure", node.name, f"{node.name} is decorated", "move it to the top of the file", node
            )
        self.defaults_of(node.args)
        if node.returns is not None:
            self.annotation(node.returns)
        self.bind(node.name, Value(SHARED, "function", UNKNOWN, (node, self)))

    def do_ClassDef(self, node: ast.ClassDef) -> None:
        raise self.refuse(
            "closure", node.name, f"the class {node.name} is made", "move it to the top of the file", node
        )

    # assigning

    def do_Assign(self, node: ast.Assign) -> None:
        value = self.expr(node.value)
        for target in node.targets:
            self.store(target, value, node.value)

    def do_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.store(node.target, self.expr(node.value), node.value)
        if not isinstance(node.target, ast.Name):
            self.annotation(node.annotation)

    def do_AugAssign(self, node: ast.AugAssign) -> None:
        target = node.target
        value = self.expr(node.value)
        if isinstance(target, ast.Name):
            old = self.name(ast.copy_location(ast.Name(target.id, ast.Load()), target))
            self.bind(target.id, self._added(old, value, node))
            return
        assert isinstance(target, (ast.Attribute, ast.Subscript))
        old = self.expr(_loaded(target))
        base = self.expr(target.value)
        if isinstance(target, ast.Subscript):
            self.expr(target.slice)
        if base.own == SHARED:
            raise self.changes(target, node)
        if old.own == SHARED and base.kind != "array" and not self._counts(value):
            raise self.changes(target, node)
        if old.own == SHARED and base.kind == "array" and value.kind not in ("number", "array"):
            raise self.changes(target, node)
        if old.own == SHARED:
            self.facts.by_name(f"__i{OPERATORS[type(node.op)]}__", SHARED)
        if old.kind == "instance":
            value = self._added(old, value, node)
        self._store_in(target, base, value)

    def _added(self, old: Value, value: Value, node: ast.AugAssign) -> Value:
        """What a name stands for after something was added to it, in place perhaps."""
        target = node.target
        if old.own == SHARED:
            if isinstance(target, ast.Name):
                name, sign = target.id, spelled_operator(node.op)
                raise self.refuse(
                    "mutates-shared",
                    name,
                    f"{name} {sign}= may change what {name} was made of, and others may see that",
                    f"write {name} = {name} {sign} ..., which makes a new one",
                    node,
                )
            raise self.changes(target, node)
        if old.kind == "instance":
            for name in (f"__i{OPERATORS[type(node.op)]}__", f"__{OPERATORS[type(node.op)]}__"):
                method = class_member(old.live, name)
                if isinstance(method, FunctionType):
                    return self.proof.call(method, [old, value], {}, self, node)
            return self.unknown_call(target, node)
        if old.kind in UNCLEAR:
            self.facts.by_name(f"__i{OPERATORS[type(node.op)]}__", OUTER)
        if self.computed(old, value, node.op) != OWN and value.kind == "instance":
            return Value(min(old.own, OUTER))
        self.note_change(old)
        if not old.sealed and value.own != OWN:
            self.demote()
            old = old.opened()
        kind = (
            old.kind if old.kind == value.kind or old.kind in ("array", "list", "set", "dict", "text") else ""
        )
        if old.sealed and (value.own == OWN or old.kind in ("array", "text")):
            return Value(OWN, kind)
        return Value(min(old.own, max(value.own, OUTER)), kind)

    @staticmethod
    def _counts(value: Value) -> bool:
        """Whether what is added is immutable: then so is what it is added to, or it fails."""
        return value.kind in ("number", "text", "bytes")

    def do_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._delete(target)

    def _delete(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.name(ast.copy_location(ast.Name(target.id, ast.Load()), target))
            self.env.pop(target.id, None)
            self.definite.discard(target.id)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for one in target.elts:
                self._delete(one)
        else:
            assert isinstance(target, (ast.Attribute, ast.Subscript))
            base = self.expr(target.value)
            if base.own == SHARED:
                raise self.changes(target, target)
            if isinstance(target, ast.Subscript):
                self.expr(target.slice)
                self._special(base, "__delitem__", [], target)
            elif base.kind == "instance" and isinstance(
                class_member(base.live, self.scope.mangled(target.attr)), property
            ):
                self.unknown_call(target, target)
            else:
                self.facts.by_name(f"{self.scope.mangled(target.attr)}=", SHARED)
            self.note_change(base)

    def store(self, target: ast.expr, value: Value, source: ast.expr | None) -> None:
        """Assign a value."""
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
                and not any(isinstance(one, ast.Starred) for one in (*source.elts, *target.elts))
            ):
                values = [self.expr(one) for one in source.elts]
            if value.kind == "" and value.own == OWN:
                self.facts.by_name("__iter__", OWN)
            for one, part in zip(target.elts, values, strict=True):
                self.store(one, part, None)
        elif isinstance(target, ast.Starred):
            self.store(target.value, Value(max(value.own, OUTER), "list"), None)
        else:
            assert isinstance(target, (ast.Attribute, ast.Subscript))
            before = self.proof.demotions
            base = self.expr(target.value)
            if isinstance(target, ast.Subscript):
                self.expr(target.slice)
            if before != self.proof.demotions:
                base, value = base.opened(), value.opened()
            self._store_in(target, base, value)

    def _store_in(self, target: ast.Attribute | ast.Subscript, base: Value, value: Value) -> None:
        """Put a value into something."""
        if base.own == SHARED or (base.kind == "array" and isinstance(target, ast.Attribute)):
            raise self.changes(target, target)
        if value.kind == "function":
            raise self.closure(target)
        if isinstance(value.live, FunctionType):  # whoever gets it may call it
            if isinstance(target, ast.Attribute) and target.attr in calls.METHODS:
                raise self.closure(target)
            self.call_anyhow(value, target)
        if isinstance(target, ast.Subscript):
            self._special(base, "__setitem__", [Value(), value], target)
        else:
            self._set_attribute(base, target, value)
        self.note_change(base)
        if base.kind == "array":
            self.facts.fills = self.facts.fills or not (value.own == OWN and value.kind in SEALED)
        elif value.own != OWN:
            self.demote()

    def _special(self, base: Value, name: str, args: list[Value], at: ast.AST) -> None:
        """What Python calls for a statement."""
        if base.kind == "instance":
            method = class_member(base.live, name)
            if isinstance(method, FunctionType):
                self.proof.call(method, [base, *args], {}, self, at)
        elif base.kind in UNCLEAR:
            self.facts.by_name(name, SHARED)

    def _set_attribute(self, base: Value, target: ast.Attribute, value: Value) -> None:
        name = self.scope.mangled(target.attr)
        if name.startswith("__") and name.endswith("__"):
            raise self.refuse(
                "dynamic-code", name, f"{name} is what Python keeps for itself", "do without it", target
            )
        if base.kind == "instance":
            member = class_member(base.live, name)
            if isinstance(member, property):
                if not isinstance(member.fset, FunctionType):
                    self.unknown_call(target, target)
                else:
                    self.proof.call(member.fset, [base, value], {}, self, target)
            elif isinstance(member, (FunctionType, classmethod, staticmethod)):
                raise self.refuse(
                    "dynamic-code", name, f"the method {name} is replaced", "call it by another name", target
                )
        elif base.kind in UNCLEAR:
            self.facts.by_name(f"{name}=", SHARED)

    # branches and loops

    def do_If(self, node: ast.If) -> None:
        self.expr(node.test)
        before = self.place()
        self.block(node.body)
        after = self.place()
        self.go_to(before)
        self.block(node.orelse)
        self.join(after, self.place())

    def do_For(self, node: ast.For) -> None:
        iterable = self.iterated(node.iter)
        before = self.proof.demotions

        def begin() -> None:
            same = before == self.proof.demotions
            self.store(node.target, element(iterable if same else iterable.opened()), None)

        self._loop(node, begin)

    def do_While(self, node: ast.While) -> None:
        self._loop(node, lambda: self.expr(node.test))
        if isinstance(node.test, ast.Constant) and node.test.value and not has_break(node.body):
            self.alive = False

    def _loop(self, node: ast.For | ast.While, begin: Callable[[], object]) -> None:
        """Go round until nothing new is learned. What names are bound to on any way counts at the head."""
        self.within.append("loop")
        before = self.place()
        self.traces.append(dict(self.env))
        for number in range(_ROUNDS):
            head, demotions = dict(self.env), self.proof.demotions
            begin()
            self.block(node.body)
            self.env = joined_env(head, self.traces[-1])
            self.definite, self.alive = set(before[1]), True
            if self.env == head and (number or demotions == self.proof.demotions):
                break
        else:
            raise self.refuse(
                "too-deep", "loop", "what is known of its names doesn't settle", "use fewer names", node
            )
        if isinstance(node, ast.While):
            self.expr(node.test)
        self.traces.pop()
        self.within.pop()
        if node.orelse:
            place = self.place()
            self.block(node.orelse)
            self.join(place, self.place())

    # what may fail in the midst

    def do_With(self, node: ast.With) -> None:
        before = self.place()
        self.traces.append(dict(self.env))
        swallows = False
        for item in node.items:
            value, catches = self._entered(item.context_expr, node)
            swallows = swallows or catches
            if item.optional_vars is not None:
                self.store(item.optional_vars, value, item.context_expr)
            if value.kind != "file":
                self._check_given_up(node, node.body)
        self.within += ["try"] * swallows
        self.block(node.body)
        del self.within[len(self.within) - swallows :]
        trace = self.traces.pop()
        if swallows:
            self.join(self.place(), (trace, before[1], True))

    def _entered(self, manager: ast.expr, node: ast.With) -> tuple[Value, bool]:
        """What `as` gets, and whether exceptions may end there."""
        value = self.expr(manager)
        if isinstance(manager, ast.Call) and self._is_nullcontext(manager):
            return value, False
        if value.kind == "instance":
            results = {}
            for name in ("__enter__", "__exit__"):
                method = inspect.getattr_static(value.live, name, None)
                if not isinstance(method, FunctionType):
                    what = f"{value.live.__qualname__} has no {name} to follow"
                    raise self.refuse("unknown-call", name, what, "use try", node)
                given = [value, *([Value()] * 3 if name == "__exit__" else [])]
                results[name] = self.proof.call(method, given, {}, self, node)
            return results["__enter__"], True
        if value.kind in ("file", "array") and value.own == OWN:
            return value, False
        if value.kind == "context":
            return NONE, True
        self.proof.unknown(
            "unknown-call",
            spelled(manager),
            f"nobody knows what entering {spelled(manager)} does",
            "declare a function around it with @independent",
            node,
        )
        return Value(), True

    def _is_nullcontext(self, manager: ast.Call) -> bool:
        if isinstance(manager.func, ast.Attribute) and not self.names_module(manager.func.value):
            return False
        found = calls.known_function(self.expr(manager.func).live)
        return found is not None and found[1] == "nullcontext"

    def _check_given_up(self, node: ast.AST, body: Sequence[ast.AST]) -> None:
        """A generator that is given up in the midst goes on when Python gets to it: nobody knows when."""
        if any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in own_nodes(body, True)):
            raise self.refuse(
                "lazy",
                "yield",
                "nobody knows when what comes after the yield is done, if the generator is given up there",
                "yield after it, or return a list",
                node,
            )

    def do_Try(self, node: ast.Try) -> None:
        if node.finalbody or any(map(_catches_all, node.handlers)):
            self._check_given_up(node, [*node.body, *node.handlers, *node.orelse])
        before = self.place()
        self.within.append("try")
        self.traces.append(dict(self.env))
        self.block(node.body)
        self.within.pop()
        after = self.place()
        ends = []
        for handler in node.handlers:
            self.go_to((dict(self.traces[-1]), before[1], True))
            if handler.type is not None:
                self.expr(handler.type)
            if handler.name:  # what was raised may hold anything
                self.bind(handler.name, Value())
            self.block(handler.body)
            if handler.name:
                self.definite.discard(handler.name)
            ends.append(self.place())
        self.go_to(after)
        if self.alive:
            self.block(node.orelse)
        ends.append(self.place())
        self.join(*reversed(ends))
        trace = self.traces.pop()
        if node.finalbody:
            alive, definite = self.alive, set(self.definite)
            self.go_to((joined_env(self.env, trace), set(before[1]), True))
            self.block(node.finalbody)
            self.definite |= definite if alive else set()
            self.alive = alive and self.alive

    def do_TryStar(self, node: ast.Try) -> None:
        self.do_Try(node)

    def do_Match(self, node: ast.Match) -> None:
        subject = self.expr(node.subject)
        missed = self.place()
        ends = []
        for case in node.cases:
            self.go_to(missed)
            self._match(case.pattern)
            whole = case.pattern.name if isinstance(case.pattern, ast.MatchAs) else None
            part = Value() if subject.kind in ("", "instance") else element(subject)._replace(place=())
            for name in bound_names([case.pattern]):
                self.bind(name, subject if name == whole else part)
            tried = self.place()
            if case.guard is not None:
                self.expr(case.guard)
                tried = self.place()
            self.block(case.body)
            ends.append(self.place())
            self.go_to(missed)
            self.join((self.env, self.definite, True), (tried[0], self.definite, True))
            missed = self.place()
        self.join(*ends, missed)

    def _match(self, pattern: ast.pattern) -> None:
        for inner in ast.walk(pattern):
            if isinstance(inner, ast.MatchClass):
                cls = self.expr(inner.cls)
                if isinstance(cls.live, type) and not is_library(cls.live.__module__):
                    self.proof.check_class(cls.live, self, inner)
                elif not isinstance(cls.live, type):
                    self.unknown_call(inner.cls, inner)
            elif isinstance(inner, ast.MatchValue):
                self.expr(inner.value)
            elif isinstance(inner, ast.MatchMapping):
                self.facts.by_name("get", SHARED)
                self.facts.by_name("keys", SHARED)


def _catches_all(handler: ast.ExceptHandler) -> bool:
    """Whether a handler may catch what ends a generator."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return not all(isinstance(kind, ast.Name) and kind.id.endswith(("Error", "Exception")) for kind in kinds)


def _loaded(target: ast.Attribute | ast.Subscript) -> ast.expr:
    """A target as something that is read."""
    copied: ast.expr
    if isinstance(target, ast.Attribute):
        copied = ast.Attribute(target.value, target.attr, ast.Load())
    else:
        copied = ast.Subscript(target.value, target.slice, ast.Load())
    return ast.copy_location(copied, target)


def spelled_operator(operator: ast.operator) -> str:
    return ast.unparse(ast.BinOp(ast.Name("a"), operator, ast.Name("b")))[2:-2]
