"""The state of a walk: what is known of the local names at a place in the code, and on the ways there."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from clustrix_core.loops.facts import Facts, Refused
from clustrix_core.loops.scope import Scope
from clustrix_core.loops.syntax import names_bound_by, own_nodes, root, spelled
from clustrix_core.loops.values import SHARED, Value, joined

if TYPE_CHECKING:
    from clustrix_core.loops.proof import Proof

Env = dict[str, Value]
Place = tuple[Env, set[str], bool]


class State:
    """What all parts of a walk work on.

    Args:
        proof: what it is part of.
        scope: the globals and the cells of the function.
        local: the names that are local to the code.
        code: the nodes in which those are bound.
        outer: the walk of the function around it, whose names it sees.
        lazily: whether the code runs later than where it stands, when those names may be others.

    Attributes:
        env: what is known of local names.
        definite: the local names that are surely bound.
        alive: whether the place can be reached.
        demotes: whether something shared was put into something own.
        result: what is returned.
        traces: for each `try`, `with` and loop around, what names were bound to anywhere in it.
        within: `"loop"` and `"try"` around the statement.
    """

    def __init__(
        self,
        proof: Proof,
        scope: Scope,
        local: set[str],
        code: Sequence[ast.AST] = (),
        outer: State | None = None,
        lazily: bool = False,
    ) -> None:
        self.proof, self.scope, self.local, self.code, self.outer = proof, scope, local, code, outer
        self.lazily = lazily
        self.env: Env = {}
        self.definite: set[str] = set()
        self.alive = True
        self.demotes = False
        self.result: Value | None = None
        self.traces: list[Env] = []
        self.within: list[str] = []

    @property
    def facts(self) -> Facts:
        return self.proof.facts

    # following nodes

    def follow(self, verb: str, node: ast.AST) -> Any:
        """Call the method for a kind of node."""
        kind = type(node).__name__
        method = getattr(self, f"{verb}_{kind}", None)
        if method is None:
            raise self.refuse("unsupported", kind, f"{kind} can't be followed", "write it plainly", node)
        return method(node)

    def statement(self, node: ast.stmt) -> None:
        self.follow("do", node)

    def block(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            if not self.alive:
                return
            self.statement(statement)

    def expr(self, node: ast.expr) -> Value:
        before = self.proof.demotions
        value: Value = self.follow("of", node)
        return value if before == self.proof.demotions else value.opened()

    # what names stand for

    def name(self, node: ast.Name) -> Value:
        if node.id in self.local:
            return self.local_name(node)
        if self.outer is not None:
            value = self.outer.name(node)
            return self.outer.later(node.id, value) if self.lazily else value
        return self.scope.look_up(self.facts, node)

    def local_name(self, node: ast.Name) -> Value:
        return self.env.get(node.id, Value())

    def later(self, name: str, value: Value) -> Value:
        """What is known of a name when code runs later, and it may be bound to something else."""
        if not self._binds(name):
            return value
        if self._times_bound.get(name, 0) > 1:
            return Value()
        return value if value.kind in ("module", "class", "function") else value.opened()

    def _binds(self, name: str) -> bool:
        return name in self.local or (self.outer is not None and self.outer._binds(name))

    @cached_property
    def _times_bound(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for node in own_nodes(self.code):
            for name in names_bound_by(node):
                counts[name] = counts.get(name, 0) + 1
        return counts

    def bind(self, name: str, value: Value) -> None:
        self.env[name] = value
        self.definite.add(name)
        for trace in self.traces:
            trace[name] = joined(trace[name], value) if name in trace else value

    def demote(self) -> None:
        """Something shared was put into something own: whatever might hold it is own no more."""
        self.proof.demotions += 1
        self.demotes = True
        for names in (self.env, *self.traces):
            for name, value in names.items():
                names[name] = value.opened()
        if self.outer is not None:
            self.outer.demote()

    # ways through the code

    def place(self) -> Place:
        return dict(self.env), set(self.definite), self.alive

    def go_to(self, place: Place) -> None:
        self.env, self.definite, self.alive = dict(place[0]), set(place[1]), place[2]

    def join(self, *places: Place) -> None:
        """Go where these ways meet."""
        living = [place for place in places if place[2]] or [places[0]]
        env: Env = {}
        for way in living:
            env = joined_env(env, way[0])
        definite = set.intersection(*(place[1] for place in living))
        self.go_to((env, definite, any(place[2] for place in places)))

    # refusing

    def refuse(self, code: str, name: str, message: str, remedy: str, node: ast.AST) -> Refused:
        return Refused(code, name, message, remedy, getattr(node, "lineno", 0))

    def closure(self, node: ast.AST) -> Refused:
        name = spelled(node) if isinstance(node, ast.expr) else ""
        return self.refuse(
            "closure", name, "a function that was made here is kept", "move it to the top of the file", node
        )

    def changes(self, target: ast.expr, node: ast.AST, how: str = "") -> Refused:
        """Something shared is changed."""
        name = spelled(target)
        first = root(target)
        shared = first.id if isinstance(first, ast.Name) else name
        return self.refuse(
            "mutates-shared",
            shared,
            f"{how or name + ' is changed'}, and others may see that",
            f"make a copy of {shared} first, or collect the results in a list or dict",
            node,
        )

    def unknown_call(self, function: ast.expr, node: ast.AST, built_in: bool = False) -> Value:
        name = spelled(function)
        declared = f"a function of your own that calls {name}" if built_in else name
        return self.proof.unknown(
            "unknown-call",
            name,
            f"nobody knows what {name} does",
            f"declare {declared} with @independent if its calls don't influence each other, "
            'or use parallel="trust"',
            node,
        )

    def note_change(self, base: Value) -> None:
        """Something of its own is changed."""
        if base.own == SHARED or base.kind in ("number", "text", "bytes", "none"):
            return
        self.facts.mutates = True
        self.facts.late = self.facts.late or self.facts.stored


def joined_env(one: Env, other: Env) -> Env:
    env = {**one, **other}
    for name in one.keys() & other.keys():
        env[name] = joined(one[name], other[name])
    return env
