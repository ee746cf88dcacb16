"""A walk through one iteration of a loop, and what it does to accumulators."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clustrix_core.loops import calls
from clustrix_core.loops.facts import Refused
from clustrix_core.loops.proof import Proof
from clustrix_core.loops.syntax import names_bound_by, own_nodes, spelled
from clustrix_core.loops.values import OWN, Value
from clustrix_core.loops.walk import Walk

if TYPE_CHECKING:
    from clustrix_core.loops.analysis import Analysis, Loop

LOG, KEEP, OUT, VALUES, SITE = "_clx_log", "_clx_keep", "_clx_out", "_clx_values", "_clx_site"

# What can be done to an accumulator without looking at it.
_EFFECTS = frozenset({"append", "extend", "add", "update", "appendleft", "extendleft", "insert", "discard"})
_COPYING = frozenset({"extend", "extendleft", "update"})
# What these give has no other name: anything else may be had by another, and change later.
_NEW = (
    ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Set, ast.Dict,
    ast.ListComp, ast.SetComp, ast.DictComp,
)  # fmt: skip


@dataclass
class Effect:
    """A statement that changes an accumulator.

    Attributes:
        site: its number.
        logged: the statement that stands in its place where it is computed.
        replayed: the statement that does it, with the values that were logged.
    """

    site: int
    logged: list[ast.stmt]
    replayed: ast.stmt


class LoopWalk(Walk):
    """A walk through one iteration.

    Attributes:
        assigned: the names that the loop binds.
        counted: the names that it only adds to.
        unbound: the names that it deletes.
        inputs: the names that it reads, and doesn't bind.
        filled: the accumulators.
        reached: of accumulators, how deep in them something is changed.
        put: of accumulators, how deep in them something is put that may have another name.
    """

    def __init__(self, proof: Proof, analysis: Analysis, loop: Loop, body: ast.For) -> None:
        inner: list[ast.AST] = [body.target, *body.body]
        super().__init__(proof, analysis.scope, analysis.local | {OUT}, [*analysis.node.body, *inner])
        self.analysis, self.loop, self.body = analysis, loop, body
        self.first = analysis.first
        added = {
            id(node.target): node.target.id
            for node in own_nodes(inner)
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
        }
        self.assigned: set[str] = set()
        self.unbound: set[str] = set()
        for node in own_nodes(inner):
            if id(node) in added:
                continue
            self.assigned |= set(names_bound_by(node))
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del):
                self.unbound.add(node.id)
            if isinstance(node, ast.ExceptHandler) and node.name:
                self.unbound.add(node.name)
        self.local |= self.assigned
        self.counted = set(added.values()) - self.assigned
        self.inputs: set[str] = set()
        self.filled: set[str] = {OUT}
        self.reached: list[tuple[str, int]] = []
        self.put: list[tuple[str, int, ast.expr]] = []

    def begin(self, item: Value) -> None:
        """Walk the body once, as one iteration of any."""
        for node in own_nodes(self.body.body):
            if self._filled(node):
                targets = node.targets if isinstance(node, ast.Assign) else []
                roots = [self._root_of_effect(one) for one in targets if isinstance(one, ast.Subscript)]
                self.filled |= {name for name in (self._filled(node), *roots) if name}
        self.loop.accumulators = sorted(self.filled - {OUT})
        if isinstance(item.node, tuple) and isinstance(self.body.target, ast.Tuple):
            for target, part in zip(self.body.target.elts, item.node, strict=False):
                self.store(target, part, None)
        else:
            self.store(self.body.target, item._replace(node=None), None)
        self.block(self.body.body)
        self._check_depths()

    def _check_depths(self) -> None:
        """What is put into an accumulator isn't changed there: by another name that could be seen."""
        for name, depth, node in self.put:
            if any(name == other and depth <= reached for other, reached in self.reached):
                raise self.refuse(
                    "reads-accumulator",
                    name,
                    f"{spelled(node)} is put into {name}, and what is in {name} is changed by the loop",
                    f"put it into {name} when it is finished",
                    node,
                )
        reached = max((depth for _, depth in self.reached), default=0)
        if reached and self.put:
            self.loop.levels = max(reached, *(depth for _, depth, _ in self.put))

    # names

    def local_name(self, node: ast.Name) -> Value:
        name = node.id
        if name in self.filled:
            raise self.refuse(
                "reads-accumulator",
                name,
                f"{name} is read while the loop fills it",
                f"let iterations only add to {name}, and read it after the loop",
                node,
            )
        if name in self.assigned:
            if name not in self.definite:
                raise self.refuse(
                    "carried",
                    name,
                    f"{name} may come from an iteration before",
                    f"assign {name} in each iteration before it is read",
                    node,
                )
            return self.env.get(name, Value())
        if name in self.counted:
            raise self.refuse(
                "reads-accumulator",
                name,
                f"{name} is read while the loop adds to it",
                f"read {name} after the loop",
                node,
            )
        if name in self.analysis.aliased(self.loop.accumulators):
            filled = ", ".join(self.loop.accumulators)
            raise self.refuse(
                "reads-accumulator",
                name,
                f"{name} may be the same as {filled}, or hold it, which the loop fills",
                f"read {name} after the loop, or give the loop a list of its own to fill",
                node,
            )
        self.inputs.add(name)
        value = self.analysis.known.get(name, Value())
        if value.node is not None:
            return value._replace(node=(value.node[0], self))
        return value.at((name,))

    def differs(self, node: ast.expr) -> bool:
        return any(isinstance(inner, ast.Name) and inner.id in self.assigned for inner in ast.walk(node))

    # effects

    def _root_of_effect(self, node: ast.expr) -> str | None:
        """The accumulator that an expression of items begins with."""
        while True:
            if isinstance(node, ast.Subscript):
                node = node.value
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "setdefault"
                and len(node.args) == 2
                and not node.keywords
            ):
                node = node.func.value
            else:
                break
        if isinstance(node, ast.Name) and node.id in self.local and node.id not in self.assigned:
            return node.id
        return None

    def _filled(self, node: ast.AST) -> str | None:
        """The accumulator that a statement fills."""
        match node:
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=base, attr=method), args=args)):
                if method in _EFFECTS or (method == "setdefault" and len(args) == 2):
                    return self._root_of_effect(base)
            case ast.Assign(targets=targets):
                for target in targets:
                    if isinstance(target, ast.Subscript):
                        found = self._root_of_effect(target)
                        if found:
                            return found
            case ast.AugAssign(target=ast.Subscript() as target):
                return self._root_of_effect(target)
            case ast.AugAssign(target=ast.Name(id=name)):
                if name in self.counted and name in self.local:
                    return name
        return None

    def statement(self, node: ast.stmt) -> None:
        if self._filled(node):
            self._effect(node)
        else:
            super().statement(node)

    def _effect(self, node: ast.stmt) -> None:
        site = self.loop.effects.get(id(node))
        number = site.site if site else len(self.loop.effects)
        recorder = _Recorder(self, self._filled(node) or "")
        replayed = copy.deepcopy(node)
        safe = plain = False
        outputs = self.facts.outputs
        if isinstance(replayed, ast.Expr):
            call = replayed.value
            assert isinstance(call, ast.Call)
            assert isinstance(call.func, ast.Attribute)
            plain = isinstance(call.func.value, ast.Name)
            safe = call.func.attr == "append" and plain
            copies = call.func.attr in _COPYING
            call.func.value = recorder.place(call.func.value)
            recorder.reaches(recorder.depth)
            call.args = [recorder.value(arg, copies, call.func.attr) for arg in call.args]
            for keyword in call.keywords:
                keyword.value = recorder.value(keyword.value, copies and keyword.arg is None, "")
        elif isinstance(replayed, ast.Assign):
            cut = any(isinstance(one, ast.Subscript) and _is_cut(one.slice) for one in replayed.targets)
            recorder.into = [(self._root_of_effect(one) or "", _depth(one) - 1) for one in replayed.targets]
            replayed.value = recorder.value(replayed.value, cut, "=")
            outputs = self.facts.outputs
            for index, target in enumerate(replayed.targets):
                if not isinstance(target, ast.Subscript) or not self._root_of_effect(target):
                    raise self.refuse(
                        "several-targets",
                        spelled(target),
                        "several things are assigned at once",
                        "assign them one by one",
                        node,
                    )
                plain = isinstance(target.value, ast.Name)
                if not plain:
                    self.loop.deep = True
                replayed.targets[index] = recorder.place(target)
                recorder.reaches(recorder.depth - 1)
        else:
            assert isinstance(replayed, ast.AugAssign)
            plain = not isinstance(replayed.target, ast.Subscript)
            if isinstance(replayed.target, ast.Subscript):
                replayed.target = recorder.place(replayed.target)  # type: ignore[assignment]
            recorder.reaches(recorder.depth)
            replayed.value = recorder.value(replayed.value, True, "+=")
        self.loop.deep = self.loop.deep or not (plain or isinstance(replayed, ast.Assign))
        self.loop.plain = self.loop.plain and plain
        if not plain and outputs != self.facts.outputs:
            raise self.refuse(
                "effect-order",
                ast.unparse(node),
                "something is printed while a result is stored, which may fail before",
                "compute the value in a statement of its own first",
                node,
            )
        if "try" in self.within and not safe:
            raise self.refuse(
                "effect-in-try",
                spelled(node.value) if isinstance(node, ast.Expr) else ast.unparse(node),
                "a result is stored inside try, where that it fails would be caught",
                "store it after the try",
                node,
            )
        self.facts.stored = self.facts.stored or recorder.kept
        values = ast.Tuple([ast.Constant(number), ast.Tuple(recorder.logged, ast.Load())], ast.Load())
        log = ast.Expr(ast.Call(ast.Name(LOG, ast.Load()), [values], []))
        for made in (log, replayed):
            for inner in ast.walk(made):
                if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
                    ast.copy_location(inner, node)
            ast.copy_location(made, node)
        self.loop.effects[id(node)] = Effect(number, [log], replayed)

    # what ends or leaves an iteration

    def _leaves(self, code: str, name: str, node: ast.AST) -> Refused:
        return self.refuse(
            code,
            name,
            "whether an iteration runs depends on those before",
            "go through all, and choose afterwards",
            node,
        )

    def do_Break(self, node: ast.Break) -> None:
        if "loop" not in self.within:
            raise self._leaves("break", "break", node)
        super().do_Break(node)

    def do_Return(self, node: ast.Return) -> None:
        raise self._leaves("return", "return", node)

    def _yields(self, name: str, node: ast.AST) -> Refused:
        return self.refuse(
            "yield",
            name,
            "the caller runs between the iterations",
            "collect the results, and yield them afterwards",
            node,
        )

    def of_Yield(self, node: ast.Yield) -> Value:
        raise self._yields("yield", node)

    def of_YieldFrom(self, node: ast.YieldFrom) -> Value:
        raise self._yields("yield from", node)

    def do_AsyncFor(self, node: ast.AsyncFor) -> None:
        raise self.refuse("await", "async for", "it waits for other tasks", "use a plain loop", node)

    def do_AsyncWith(self, node: ast.AsyncWith) -> None:
        raise self.refuse("await", "async with", "it waits for other tasks", "use a plain loop", node)


class _Recorder:
    """Takes the parts of an effect that are computed, in the order in which Python computes them."""

    def __init__(self, walk: LoopWalk, name: str) -> None:
        self.walk, self.name = walk, name
        self.depth = 0  # how deep in the accumulator the place is
        self.into: list[tuple[str, int]] = []  # several such
        self.logged: list[ast.expr] = []
        self.kept = False  # something that may have a name, and change later

    def value(self, node: ast.expr, copies: bool, how: str) -> ast.expr:
        if isinstance(node, ast.Starred):
            raise self.walk.refuse(
                "starred", spelled(node), f"{spelled(node)} is taken apart", "write the arguments out", node
            )
        at_once = how in ("extend", "extendleft", "update")
        value = self.walk.at_once(node) if at_once else self.walk.expr(node)
        if value.kind == "function":
            raise self.walk.closure(node)
        if how in ("extend", "extendleft") or (at_once and isinstance(node, ast.GeneratorExp)):
            node = ast.List([ast.Starred(node, ast.Load())], ast.Load())
        if value.own != OWN:
            self.walk.loop.aliases = True
        if how != "key":
            self._puts(node, value, copies)
        if isinstance(node, ast.Constant) and how != "append":
            return node
        changeable = not isinstance(node, _NEW) and value.kind not in calls.IMMUTABLE
        self.kept = self.kept or changeable
        if copies and changeable:
            node = ast.Call(ast.Name(KEEP, ast.Load()), [node, ast.Constant(at_once)], [])
        self.logged.append(node)
        return self._taken()

    def reaches(self, depth: int) -> None:
        """Something is changed, so deep in the accumulator."""
        self.walk.reached.append((self.name, depth))

    def _puts(self, node: ast.expr, value: Value, copies: bool) -> None:
        """A value, or what it holds, gets into the accumulator."""
        if value.kind in calls.IMMUTABLE or _holds_constants(node):
            return
        new = isinstance(node, _NEW) and not copies
        for name, depth in self.into or [(self.name, self.depth)]:
            self.walk.put.append((name, depth + 1 + new, node))

    def place(self, node: ast.expr) -> ast.expr:
        """An accumulator, or an item of one."""
        if isinstance(node, ast.Name):
            self.name, self.depth = node.id, 0
            return node
        if isinstance(node, ast.Subscript):
            node.value = self.place(node.value)
            node.slice = self._key(node.slice)
            self.depth += 1
            return node
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Attribute)
        node.func.value = self.place(node.func.value)
        self.walk.loop.deep = True
        self.reaches(self.depth)
        key, default = node.args
        node.args = [self.value(key, False, "key"), self.value(default, False, "setdefault")]
        self.depth += 1
        return node

    def _key(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Slice):
            for name in ("lower", "upper", "step"):
                part = getattr(node, name)
                if part is not None:
                    setattr(node, name, self.value(part, False, "key"))
            return node
        if isinstance(node, ast.Tuple):
            node.elts = [self._key(one) for one in node.elts]
            return node
        return self.value(node, False, "key")

    def _taken(self) -> ast.expr:
        return ast.Subscript(ast.Name(VALUES, ast.Load()), ast.Constant(len(self.logged) - 1), ast.Load())


def _depth(target: ast.expr) -> int:
    """How many times an item is taken of an item."""
    depth = 0
    while isinstance(target, (ast.Subscript, ast.Call)):
        depth += 1
        target = target.value if isinstance(target, ast.Subscript) else target.func.value  # type: ignore[attr-defined]
    return depth


def _holds_constants(node: ast.expr) -> bool:
    """Whether a display holds nothing that can change."""
    parts = [*node.keys, *node.values] if isinstance(node, ast.Dict) else getattr(node, "elts", None)
    return parts is not None and all(isinstance(part, ast.Constant) for part in parts)


def _is_cut(node: ast.expr) -> bool:
    """Whether an index may stand for several items."""
    return isinstance(node, ast.Slice) or (isinstance(node, ast.Tuple) and any(map(_is_cut, node.elts)))


def unpacked(*parts: Value) -> Value:
    """An item of which the parts are known."""
    return Value(kind="tuple", node=parts)
