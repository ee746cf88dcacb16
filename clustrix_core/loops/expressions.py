"""Walking through expressions."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from types import FunctionType, MemberDescriptorType
from typing import Any

from clustrix_core.loops import calls
from clustrix_core.loops.places import CUT, ITEM
from clustrix_core.loops.source import is_library
from clustrix_core.loops.state import State
from clustrix_core.loops.syntax import bound_names, spelled
from clustrix_core.loops.values import (
    NUMBER,
    OUTER,
    OWN,
    SHARED,
    TEXT,
    UNCLEAR,
    UNKNOWN,
    Value,
    constant,
    element,
    joined,
    least,
)

OPERATORS = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.MatMult: "matmul", ast.Div: "truediv",
    ast.Mod: "mod",
    ast.Pow: "pow", ast.LShift: "lshift", ast.RShift: "rshift", ast.BitOr: "or", ast.BitXor: "xor",
    ast.BitAnd: "and", ast.FloorDiv: "floordiv",
}  # fmt: skip

_SIGNS = {ast.USub: "__neg__", ast.UAdd: "__pos__", ast.Invert: "__invert__"}
_COMPUTING = frozenset(
    {"text", "array", "path"}
)  # what these and something else give is one of them, as a rule
_WINDOWS = frozenset({"loc", "iloc", "at", "iat"})  # parts of a table are changed through these
_PLAIN_DUNDERS = frozenset({"__name__", "__qualname__", "__module__", "__doc__", "__class__", "__len__"})
_ATOMS = (int, float, complex, str, bytes, type(None))


class Expressions(State):
    """What expressions give, and what they do."""

    def of_Constant(self, node: ast.Constant) -> Value:
        return constant(node.value)

    def of_Name(self, node: ast.Name) -> Value:
        return self.name(node)

    def of_NamedExpr(self, node: ast.NamedExpr) -> Value:
        value = self.expr(node.value)
        self.store(node.target, value, node.value)
        return value

    def store(self, target: ast.expr, value: Value, source: ast.expr | None) -> None:
        raise NotImplementedError

    def of_JoinedStr(self, node: ast.JoinedStr) -> Value:
        for part in node.values:
            self.expr(part)
        return TEXT

    def of_FormattedValue(self, node: ast.FormattedValue) -> Value:
        self.expr(node.value)
        if node.format_spec is not None:
            self.expr(node.format_spec)
        return TEXT

    # operators

    def of_BinOp(self, node: ast.BinOp) -> Value:
        left, right = self.expr(node.left), self.expr(node.right)
        own = self.computed(left, right, node.op)
        if left.kind == right.kind == "number":
            return NUMBER
        if "instance" in (left.kind, right.kind):
            return Value(OUTER)
        if left.kind == "text":
            return TEXT
        if "array" in (left.kind, right.kind):
            return Value(OWN, "array")
        if left.kind == "path":
            return Value(OWN, "path")
        return Value(own, left.kind if left.kind in ("list", "tuple", "set", "dict") else "")

    def computed(self, left: Value, right: Value, operator: ast.operator) -> int:
        """How much is the code's own of what an operator gives: it is new, whoever computes it."""
        name = OPERATORS[type(operator)]
        if "instance" in (left.kind, right.kind):
            return OUTER
        if not (left.kind == "text" and isinstance(operator, ast.Mod)):
            for value, other, method in ((left, right, f"__{name}__"), (right, left, f"__r{name}__")):
                if value.kind in UNCLEAR and (value.own == other.own == OWN or other.kind in _COMPUTING):
                    self.facts.by_name(method, OWN)
        return least((left, right))

    def of_UnaryOp(self, node: ast.UnaryOp) -> Value:
        value = self.expr(node.operand)
        if isinstance(node.op, ast.Not):
            return NUMBER
        if value.kind in ("number", "array"):
            return Value(OWN, value.kind)
        if value.own == OWN and value.kind in UNCLEAR:
            self.facts.by_name(_SIGNS[type(node.op)], OWN)
        return Value(OWN if value.own == OWN and value.kind != "instance" else OUTER)

    def of_BoolOp(self, node: ast.BoolOp) -> Value:
        value = self.expr(node.values[0])
        for one in node.values[1:]:
            before = self.place()
            value = joined(value, self.expr(one))
            self.join(self.place(), before)
        return value

    def of_Compare(self, node: ast.Compare) -> Value:
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            if isinstance(operator, (ast.Is, ast.IsNot)) and not self.tells_apart(left, right):
                raise self.refuse(
                    "identity",
                    spelled(node),
                    f"{spelled(node)} tells objects apart that are equal",
                    "use == instead",
                    node,
                )
        values = [self.expr(operands[0]), self.expr(operands[1])]
        for operand in operands[2:]:  # only if those before are true
            before = self.place()
            values.append(self.expr(operand))
            self.join(self.place(), before)
        return Value(OWN)

    def tells_apart(self, left: ast.expr, right: ast.expr) -> bool:
        """Whether `is` asks for one of the objects of which there is one in every process."""
        for node in (left, right):
            if isinstance(node, ast.Constant):
                if node.value is None or isinstance(node.value, bool) or node.value is Ellipsis:
                    return True
            elif isinstance(node, ast.Name) and node.id not in self.local:
                live = self.name(node).live
                if isinstance(live, type) and is_library(live.__module__):
                    return True
        return False

    def of_IfExp(self, node: ast.IfExp) -> Value:
        self.expr(node.test)
        before = self.place()
        value = self.expr(node.body)
        after = self.place()
        self.go_to(before)
        value = joined(value, self.expr(node.orelse))
        self.join(after, self.place())
        return value

    # displays and comprehensions

    def of_Tuple(self, node: ast.Tuple) -> Value:
        return self._display(node.elts, "tuple")

    def of_List(self, node: ast.List) -> Value:
        return self._display(node.elts, "list")

    def of_Set(self, node: ast.Set) -> Value:
        return self._display(node.elts, "set")

    def of_Dict(self, node: ast.Dict) -> Value:
        if None in node.keys:
            self.facts.by_name("keys", SHARED)
        return self._display([*(key for key in node.keys if key is not None), *node.values], "dict")

    def _display(self, parts: Sequence[ast.expr], kind: str) -> Value:
        values = []
        for part in parts:
            value = self.expr(part)
            if value.kind == "function":
                raise self.closure(part)
            if isinstance(value.live, FunctionType):  # whoever gets it may call it
                self.call_anyhow(value, part)
            values.append(value)
        return Value(least(values), kind)

    def call_anyhow(self, value: Value, at: ast.AST, lazily: bool = False) -> Value:
        raise NotImplementedError

    def of_Starred(self, node: ast.Starred) -> Value:
        return element(self.iterated(node.value))

    def of_ListComp(self, node: ast.ListComp) -> Value:
        return self._comprehension(node, [node.elt], "list")

    def of_SetComp(self, node: ast.SetComp) -> Value:
        return self._comprehension(node, [node.elt], "set")

    def of_GeneratorExp(self, node: ast.GeneratorExp) -> Value:
        return self._comprehension(node, [node.elt], "generator", lazily=True)

    def of_DictComp(self, node: ast.DictComp) -> Value:
        return self._comprehension(node, [node.key, node.value], "dict")

    def at_once(self, node: ast.expr) -> Value:
        """An argument that is gone through before the call is over."""
        if isinstance(node, ast.GeneratorExp):
            return self._comprehension(node, [node.elt], "generator")
        return self.expr(node)

    def _comprehension(self, node: Any, parts: list[ast.expr], kind: str, lazily: bool = False) -> Value:
        first = self.iterated(node.generators[0].iter)
        if lazily:
            first = first.opened()
        for _ in range(2):  # what a round puts somewhere, the next may take out
            before = self.proof.demotions
            own = self._round(node, parts, first, lazily)
            if before == self.proof.demotions:
                break
            first = first.opened()
        return Value(own if kind != "generator" else OUTER, kind)

    def _round(self, node: Any, parts: list[ast.expr], first: Value, lazily: bool) -> int:
        inner = self.inside(bound_names([one.target for one in node.generators]), (), lazily)
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
        return least(values)

    def inside(self, local: set[str], code: Sequence[ast.AST], lazily: bool) -> Expressions:
        """A walk through code inside, which sees the names of this one."""
        raise NotImplementedError

    def iterated(self, node: ast.expr) -> Value:
        """What is gone through."""
        value = self.expr(node)
        if value.kind == "instance":
            self.proof.check_class(value.live, self, node)
        elif value.kind in ("iterator", "generator", "file") and value.own == SHARED:
            raise self.refuse(
                "carried",
                spelled(node),
                f"{spelled(node)} is used up by the iterations before",
                f"make a list of {spelled(node)} before the loop",
                node,
            )
        elif value.kind == "" and value.own == OWN:
            self.facts.by_name("__iter__", OWN)
        return value

    # parts

    def of_Slice(self, node: ast.Slice) -> Value:
        for part in (node.lower, node.upper, node.step):
            if part is not None:
                self.expr(part)
        return NUMBER

    def of_Subscript(self, node: ast.Subscript) -> Value:
        base = self.expr(node.value)
        self.expr(node.slice)
        match base.kind:
            case "text" | "bytes":
                return base
            case "array":
                if _is_cut(node.slice) or base.own == OWN:
                    return base
                return Value(SHARED, "array")
            case "list" | "tuple" if isinstance(node.slice, ast.Slice):
                return Value(max(base.own, OUTER), base.kind)
            case "instance":
                member = inspect.getattr_static(base.live, "__getitem__", None)
                if isinstance(member, FunctionType):
                    return self.proof.call(member, [base, Value()], {}, self, node)
                return Value()
            case "class" if not is_library(base.live.__module__):
                self.unknown_call(node.value, node)
            case "":
                if base.own == OWN:
                    self.facts.by_name("__getitem__", OWN)
        return (
            Value(OWN) if base.own == OWN else base.part(CUT if isinstance(node.slice, ast.Slice) else ITEM)
        )

    def of_Attribute(self, node: ast.Attribute) -> Value:
        base, name = self.expr(node.value), self.scope.mangled(node.attr)
        if name.startswith("__") and name.endswith("__") and name not in _PLAIN_DUNDERS:
            raise self.refuse(
                "dynamic-code", name, f"{name} is what Python keeps for itself", "do without it", node
            )
        if name == "__class__" or (calls.is_changing(name) and base.kind not in ("module", "class")):
            return Value()
        match base.kind:
            case "module":
                return self.scope.of_module(self.facts, base.live, name)
            case "class":
                if not is_library(base.live.__module__):
                    self.proof.check_class(base.live, self, node)
                return (
                    TEXT
                    if name in ("__name__", "__qualname__")
                    else self.scope.of_class(self.facts, base.live, name)
                )
            case "instance":
                return self._of_instance(base, name, node)
            case "array":
                return base._replace(live=UNKNOWN)
            case "number" | "text" | "bytes":
                return Value(OWN)
        if name in _WINDOWS:
            self.facts.by_name(f".{name}", OUTER)
            return Value(base.own, base.kind)
        if base.own == OWN:
            self.facts.by_name(f".{name}", OWN)
            return Value(OWN)
        return base.part(name)

    def _of_instance(self, base: Value, name: str, node: ast.AST) -> Value:
        cls = base.live
        self.proof.check_class(cls, self, node)
        member = class_member(cls, name)
        own = Value(OWN) if base.own == OWN else base.part(name)
        if isinstance(member, property):
            if not isinstance(member.fget, FunctionType):
                return self.unknown_call(ast.Name(name), node)
            return self.proof.call(member.fget, [base], {}, self, node)
        if member is UNKNOWN or isinstance(member, (MemberDescriptorType, *_ATOMS)):
            return own
        return Value()

    # functions and generators

    def of_Lambda(self, node: ast.Lambda) -> Value:
        self.defaults_of(node.args)
        return Value(SHARED, "function", UNKNOWN, (node, self))

    def defaults_of(self, arguments: ast.arguments) -> None:
        """What is computed when a function is made."""
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.expr(default)
        named = (
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            arguments.vararg,
            arguments.kwarg,
        )
        for one in named:
            if one is not None and one.annotation is not None:
                self.annotation(one.annotation)

    def annotation(self, node: ast.expr) -> None:
        """Python computes annotations, unless it is told not to."""
        if any(isinstance(inner, (ast.Call, ast.NamedExpr)) for inner in ast.walk(node)):
            raise self.refuse(
                "dynamic-code", spelled(node), "an annotation calls something", "leave it out", node
            )

    def of_Yield(self, node: ast.Yield) -> Value:
        if node.value is not None:
            self.expr(node.value)
        return Value()

    def of_YieldFrom(self, node: ast.YieldFrom) -> Value:
        self.iterated(node.value)
        return Value()

    def of_Await(self, node: ast.Await) -> Value:
        raise self.refuse("await", spelled(node), "it waits for other tasks", "call a plain function", node)


def class_member(cls: type, name: str) -> Any:
    """What a class has by a name, as it stands there."""
    return inspect.getattr_static(cls, name, UNKNOWN)


def _is_cut(node: ast.expr) -> bool:
    """Whether an index surely gives a part of an array that is one itself."""
    if isinstance(node, ast.Tuple):
        return any(isinstance(part, ast.Slice) for part in node.elts)
    return isinstance(node, ast.Slice) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
