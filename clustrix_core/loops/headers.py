"""What a loop goes through."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import FunctionType
from typing import TYPE_CHECKING, Any

from clustrix_core.loops import calls
from clustrix_core.loops.facts import Refused
from clustrix_core.loops.iteration import LoopWalk, unpacked
from clustrix_core.loops.places import CUT, ITEM, Place, further
from clustrix_core.loops.source import definition
from clustrix_core.loops.syntax import bound_names, is_generator, local_names, spelled
from clustrix_core.loops.values import NUMBER, OUTER, UNKNOWN, Value, element
from clustrix_core.loops.walk import Walk

if TYPE_CHECKING:
    from clustrix_core.loops.analysis import Analysis, Loop

_PASSING = frozenset({"enumerate", "zip", "reversed", "map", "filter"})
_UNWRAPPED = frozenset({"enumerate", "range", "zip", "sorted", "list", "tuple", "reversed"})
_EAGER = frozenset({"len", "list", "tuple", "sorted", "range", "set", "max", "min", "sum"})
_GROUPS = frozenset({"groupby", "walk"})  # what these give changes when the next is asked for


class HeaderWalk(Walk):
    """A walk through what a loop goes through: it is computed once, before the loop."""

    def __init__(self, walk: LoopWalk) -> None:
        super().__init__(walk.proof, walk.scope, walk.analysis.local, walk.code)
        self.env = {
            name: value._replace(node=(value.node[0], self) if value.node else None)
            for name, value in walk.analysis.known.items()
        }


class Header:
    """The expression that a loop goes through.

    Args:
        analysis: of the function.
        loop: the loop.
        walk: a walk through an iteration.
    """

    def __init__(self, analysis: Analysis, loop: Loop, walk: LoopWalk) -> None:
        assert loop.body is not None
        self.analysis, self.loop, self.walk = analysis, loop, walk
        self.node = loop.body.iter
        self._header = HeaderWalk(walk)

    def check(self) -> None:
        """Find the leaves, and refuse what looks at the loop while it runs.

        Raises:
            Refused: it does.
        """
        touched = {*self.loop.accumulators, *self.walk.assigned}
        filled = self.analysis.aliased(self.loop.accumulators) | set(self.loop.accumulators)
        for inner in self._held(self.node):
            if inner.id in filled:
                raise self._changes(inner)
        for lazy in self._lazy(self.node):
            for inner in _read_later(lazy):
                if inner.id in filled or inner.id in touched:
                    raise self._changes(inner)
            before = self.walk.facts.outputs
            self._header.expr(lazy)
            if before != self.walk.facts.outputs:
                raise Refused(
                    "lazy",
                    spelled(lazy),
                    f"{spelled(lazy)} prints between the iterations",
                    f"make a list of it before the loop: list({spelled(lazy)})",
                    lazy.lineno,
                )
        self.loop.leaves, self.loop.lengths = self._leaves(self.node)

    def _changes(self, node: ast.Name) -> Refused:
        return Refused(
            "mutates-iterable",
            node.id,
            f"{node.id} is changed while the loop goes through it",
            f"go through list({node.id})",
            node.lineno,
        )

    def item(self) -> Value:
        """What is known of what the loop goes through, one by one."""
        return self._item(self.node)

    def _item(self, node: ast.expr) -> Value:
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            kinds = {type(one.value) for one in node.elts if isinstance(one, ast.Constant)}
            return (
                NUMBER
                if all(isinstance(one, ast.Constant) for one in node.elts) and kinds <= {int, float}
                else Value()
            )
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)) or node.keywords:
            return element(Value().at(self._place(node)))
        if not self.analysis.is_builtin(node.func.id) or any(
            isinstance(one, ast.Starred) for one in node.args
        ):
            return Value()
        match node.func.id:
            case "range":
                return NUMBER
            case "enumerate" if len(node.args) == 1:
                return unpacked(NUMBER, self._item(node.args[0])._replace(node=None))
            case "zip":
                return unpacked(*(self._item(one)._replace(node=None) for one in node.args))
            case "sorted" | "list" | "tuple" | "reversed" if len(node.args) == 1:
                return self._item(node.args[0])
        return Value()

    def _place(self, node: ast.expr) -> Place:
        """Where what a part of the header finds stands before the loop, if nothing computes it."""
        if not _is_still(self.node):
            return ()
        if isinstance(node, ast.Name):
            return (node.id,) if node.id in self.analysis.local else self._header.expr(node).place
        if isinstance(node, ast.Attribute):
            return further(self._place(node.value), self.walk.scope.mangled(node.attr))
        if isinstance(node, ast.Subscript):
            step = CUT if isinstance(node.slice, ast.Slice) else ITEM
            return further(self._place(node.value), step)
        return ()

    # parts of the header

    def _held(self, node: ast.AST) -> Iterator[ast.Name]:
        """The names of a header whose values the loop goes through."""
        if isinstance(node, ast.Name):
            yield node
        elif isinstance(node, ast.GeneratorExp):
            yield from self._held(node.generators[0].iter)
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.Lambda)) or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in _EAGER
            and self.analysis.is_builtin(node.func.id)
        ):
            return
        elif not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)):
            for child in ast.iter_child_nodes(node):
                yield from self._held(child)

    def _lazy(self, node: ast.expr) -> Iterator[ast.expr]:
        """The parts of a header that are computed bit by bit, as the loop goes on."""
        if isinstance(node, ast.GeneratorExp):
            yield node
        elif isinstance(node, ast.Call):
            found, live, local = self._callee(node.func)
            if found is not None and found[1] in _GROUPS:
                raise Refused(
                    "lazy",
                    spelled(node),
                    f"what {found[1]} gives changes when the next is asked for",
                    f"make a list of it before the loop: list({spelled(node)})",
                    node.lineno,
                )
            if found is not None and _passes(found):
                if found[1] in ("map", "filter") or found[0] == "itertools":
                    yield node
                else:
                    for arg in node.args:
                        yield from self._lazy(arg)
            elif local is not None and is_generator(local):
                yield node
            elif isinstance(live, FunctionType) and found is None:
                written = definition(live, self.analysis.sources)
                if written is not None and is_generator(written):
                    yield node

    def _callee(self, node: ast.expr) -> tuple[Any, Any, Any]:
        """What is called: its entry in the table, the function, the definition of a local one."""
        header = self._header
        if not isinstance(node, ast.Name) and not (
            isinstance(node, ast.Attribute) and header.names_module(node.value)
        ):
            return None, None, None
        value = header.expr(node)
        if value.live is UNKNOWN:
            return None, None, value.node[0] if value.node else None
        return calls.known_function(value.live), value.live, None

    def _leaves(self, node: ast.expr) -> tuple[list[tuple[ast.expr, bool]], bool]:
        """The parts of a header that hold the items, and whether their lengths tell that of the loop."""
        found = self._callee(node.func)[0] if isinstance(node, ast.Call) else None
        if found is None or not _passes(found):
            return [(node, self._makes(node))], True
        assert isinstance(node, ast.Call)
        leaves: list[tuple[ast.expr, bool]] = []
        length = found[1] in ("enumerate", "zip", "reversed") and bool(node.args)
        for number, arg in enumerate(node.args):
            if isinstance(arg, ast.Starred) or (found[1] == "from_iterable" and not number):
                raise Refused(
                    "lazy",
                    spelled(arg),
                    f"nobody knows what {spelled(arg)} goes through",
                    "make a list of it first",
                    node.lineno,
                )
            if self._is_setting(found[1], number, arg):
                continue
            inner, whole = self._leaves(arg)
            leaves += inner
            length = length and whole
        return leaves, length and not node.keywords

    def _is_setting(self, name: str, number: int, node: ast.expr) -> bool:
        """Whether an argument isn't gone through: a function, a number."""
        if isinstance(node, (ast.Lambda, ast.Constant)):
            return True
        if name in ("map", "filter", "starmap", "takewhile", "dropwhile", "filterfalse"):
            return number == 0
        return number > 0 and name in (
            "enumerate",
            "islice",
            "accumulate",
            "batched",
            "combinations",
            "repeat",
        )

    def _makes(self, node: ast.expr) -> bool:
        """Whether an expression surely makes something new, that nobody else goes through."""
        if not isinstance(node, (ast.Call, ast.GeneratorExp)):
            return False
        proof = self.walk.proof
        trust, proof.trust = proof.trust, False
        stored, late, mutates = proof.facts.stored, proof.facts.late, proof.facts.mutates
        try:
            value = self._header.expr(node)
        except Refused:
            return False
        finally:
            proof.trust = trust
            proof.facts.stored, proof.facts.late, proof.facts.mutates = stored, late, mutates
        if value.own >= OUTER and value.kind not in ("instance", ""):
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            known = calls.METHODS.get(node.func.attr)
            return known is not None and (
                known.result != "part" or node.func.attr in ("items", "keys", "values")
            )
        return value.own >= OUTER and value.kind == ""


def _passes(found: tuple[str, str, Any]) -> bool:
    """Whether a function hands on what it is given, bit by bit."""
    return found[0] == "itertools" or (found[0] == "builtins" and found[1] in _PASSING)


def _is_still(header: ast.expr) -> bool:
    """Whether nothing is computed in a header that may exchange what it goes through."""
    leaves, waiting = [], [header]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            if node.func.id in _UNWRAPPED:
                waiting += node.args
                continue
        leaves.append(node)
    if len(leaves) > 1:
        return all(isinstance(leaf, (ast.Name, ast.Constant)) for leaf in leaves) and not _copies(header)
    return all(map(_is_looked_up, leaves))


def _is_looked_up(node: ast.expr) -> bool:
    """Whether it is a name, or a part of something that is looked up."""
    if isinstance(node, ast.Subscript):
        parts = ast.walk(node.slice)
        plain = (ast.Name, ast.Constant, ast.Slice, ast.UnaryOp, ast.USub, ast.expr_context)
        return all(isinstance(part, plain) for part in parts) and _is_looked_up(node.value)
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _is_looked_up(node.value))


def _copies(header: ast.expr) -> bool:
    """Whether something is gone through at once, which may do something to what else is looked up."""
    return any(
        isinstance(one, ast.Name) and one.id in ("list", "tuple", "sorted") for one in ast.walk(header)
    )


def _read_later(node: ast.expr) -> Iterator[ast.Name]:
    """The names that are looked up while a loop goes on."""
    own: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            own |= bound_names([one.target for one in inner.generators])
        elif isinstance(inner, ast.Lambda):
            own |= local_names(inner)
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and inner.id not in own:
            yield inner
