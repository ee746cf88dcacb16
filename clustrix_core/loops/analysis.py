"""Which loops of a function can be split, and how."""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import FunctionType
from typing import Any

from clustrix_core.loops import calls
from clustrix_core.loops.facts import Facts, Refused
from clustrix_core.loops.headers import Header
from clustrix_core.loops.iteration import KEEP, LOG, OUT, SITE, VALUES, Effect, LoopWalk
from clustrix_core.loops.proof import Proof
from clustrix_core.loops.report import Verdict
from clustrix_core.loops.scope import Scope
from clustrix_core.loops.source import Definition, Sources, is_library
from clustrix_core.loops.syntax import (
    COMPREHENSIONS,
    FUNCTIONS,
    bound_names,
    local_names,
    names_bound_by,
    own_nodes,
    parameters,
    spelled,
)
from clustrix_core.loops.values import OUTER, OWN, SHARED, UNKNOWN, Value, live_value
from clustrix_core.loops.walk import Walk

LOOPS = (ast.For, ast.AsyncFor, ast.While, *COMPREHENSIONS)

_KINDS = {
    ast.For: "for",
    ast.AsyncFor: "for",
    ast.While: "while",
    ast.ListComp: "listcomp",
    ast.SetComp: "setcomp",
    ast.DictComp: "dictcomp",
    ast.GeneratorExp: "genexp",
}
# What goes through all of a generator at once.
_CONSUMERS = frozenset({"sum", "list", "tuple", "set", "frozenset", "sorted", "max", "min", "dict"})
# Kinds of what is made before a loop that tell something about its use in it.
_TELLING = frozenset({
    "iterator", "generator", "file", "random", "instance", "array", "path", "range", "list", "dict",
    "set", "tuple",
})  # fmt: skip
_DYNAMIC = frozenset({"eval", "exec", "locals", "vars", "globals", "dir", "compile", "__import__"})


@dataclass
class Loop:
    """A loop, and what is known of it.

    Attributes:
        node: the loop.
        verdict: what becomes of it.
        body: where it is split: a `for` that does the same.
        accumulators: the names of what it fills.
        whole: of those, the ones that are only added to; of the others, parts are changed.
        levels: how deep in what it fills nothing may stand twice.
        inputs: the local names that it reads.
        outs: the names that it assigns and others read.
        instances: the classes of local names that were proved by those.
        leaves: what it goes through: expressions, and whether each makes something new.
        lengths: whether the leaves tell how many iterations there are.
        aliases: whether what it hands over may be something that was there before.
        facts: what was met.
        effects: of its statements.
        plain: whether none of those looks for its place before the value is computed.
        outputs: how many places that print, log or warn were met before it runs.
    """

    node: Any
    verdict: Verdict
    body: ast.For | None = None
    accumulators: list[str] = field(default_factory=list)
    deep: bool = False
    levels: int = 0
    inputs: list[str] = field(default_factory=list)
    outs: list[str] = field(default_factory=list)
    instances: dict[str, type] = field(default_factory=dict)
    leaves: list[tuple[ast.expr, bool]] = field(default_factory=list)
    lengths: bool = False
    aliases: bool = False
    facts: Facts = field(default_factory=Facts)
    effects: dict[int, Effect] = field(default_factory=dict)
    plain: bool = True
    outputs: int = 0


class Analysis:
    """The loops of one function.

    Args:
        function: the function.
        node: its definition.
        sources: texts that were kept.
        trust: take the user's word for what can't be proved.
    """

    def __init__(self, function: FunctionType, node: Definition, sources: Sources, trust: bool) -> None:
        self.function, self.node, self.sources, self.trust = function, node, sources, trust
        self.file = function.__code__.co_filename
        self.scope = Scope(function)
        self.local = local_names(node)
        self._guards: list[Any] = []
        self._aliased: dict[tuple[str, ...], frozenset[str]] = {}
        self.known = dict(self._known_names())
        positional = [*node.args.posonlyargs, *node.args.args]
        self.first = positional[0].arg if positional else ""
        self.parents = {
            id(child): parent for parent in ast.walk(node) for child in ast.iter_child_nodes(parent)
        }
        self.loops: list[Loop] = []
        everywhere = self._everywhere()
        for statement in node.body:
            self._look(statement, everywhere)
        self.loops.sort(key=lambda loop: (loop.node.lineno, loop.node.col_offset))

    # names

    def _known_names(self) -> Iterator[tuple[str, Value]]:
        """Local names that stand for one thing all the time, or for things of one kind."""
        counts = Counter(name for inner in own_nodes(self.node.body) for name in names_bound_by(inner))
        counts.update(
            name for inner in ast.walk(self.node) if isinstance(inner, ast.Nonlocal) for name in inner.names
        )
        for inner in own_nodes(self.node.body):
            for name, value in self._made_known(inner):
                if counts[name] == 1 and name not in parameters(self.node.args):
                    yield name, value

    def _made_known(self, node: ast.AST) -> Iterator[tuple[str, Value]]:
        match node:
            case ast.FunctionDef(name=name, decorator_list=[]):
                yield name, Value(SHARED, "function", UNKNOWN, (node, None))
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as function):
                yield name, Value(SHARED, "function", UNKNOWN, (function, None))
            case ast.Assign(targets=[ast.Name(id=name)], value=made):
                yield name, self._kind(made)
            case ast.Import() | ast.ImportFrom():
                yield from _imported(node)

    def _kind(self, node: ast.expr) -> Value:
        """What is known of something that is made outside of loops."""
        proof = Proof(self.sources, False)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in self.local:
            live = self.scope.look_up(proof.facts, node.func).live
            if isinstance(live, type) and not is_library(live.__module__) and type(live) is type:
                self._guards += proof.facts.guards
                return Value(SHARED, "instance", live) if "__new__" not in vars(live) else Value()
        try:
            value = Walk(proof, self.scope, self.local, self.node.body).expr(node)
        except (Refused, RecursionError):
            return Value()
        self._guards += proof.facts.guards
        if value.sealed and value.kind in calls.IMMUTABLE:
            return value
        if value.kind in _TELLING and value.own >= OUTER:
            return Value(SHARED, value.kind, value.live)
        return Value()

    def _everywhere(self) -> Refused | None:
        """What forbids to split any loop of the function."""
        for inner in ast.walk(self.node):
            line = getattr(inner, "lineno", 0)
            if isinstance(inner, ast.Name) and inner.id in _DYNAMIC and inner.id not in self.local:
                return Refused(
                    "dynamic-code",
                    inner.id,
                    f"{inner.id} can reach every variable of the function",
                    "write it plainly",
                    line,
                )
            if isinstance(inner, ast.Name) and inner.id == "id" and inner.id not in self.local:
                return Refused(
                    "identity", "id", "id tells objects apart that are equal", "compare by ==", line
                )
            if isinstance(inner, ast.Compare) and any(
                isinstance(one, (ast.Is, ast.IsNot)) for one in inner.ops
            ):
                walk = Walk(Proof(self.sources, False), self.scope, self.local, [])
                operands = [inner.left, *inner.comparators]
                for left, operator, right in zip(operands, inner.ops, operands[1:], strict=False):
                    if isinstance(operator, (ast.Is, ast.IsNot)) and not walk.tells_apart(left, right):
                        return Refused(
                            "identity",
                            spelled(inner),
                            f"{spelled(inner)} tells objects apart that are equal",
                            "use == instead",
                            line,
                        )
        return None

    # finding loops

    def _look(self, node: ast.AST, everywhere: Refused | None, around: str = "") -> None:
        """Judge the loops in a node, the outermost first."""
        if isinstance(node, LOOPS):
            loop = self._judged(node, everywhere, around)
            self.loops.append(loop)
            if loop.verdict.split:
                around = "inside-split"
            elif isinstance(node, COMPREHENSIONS) and not around:
                around = "inside-comprehension"
        elif (isinstance(node, FUNCTIONS) and not around) or (isinstance(node, ast.ClassDef) and not around):
            around = "nested-function"
        for child in ast.iter_child_nodes(node):
            self._look(child, everywhere, around)

    def _judged(self, node: Any, everywhere: Refused | None, around: str) -> Loop:
        kind = _KINDS[type(node)]
        try:
            if around:
                raise _AROUND[around]()
            if everywhere is not None:
                raise everywhere
            return self._split(node, kind)
        except Refused as refusal:
            line = refusal.line or node.lineno
            verdict = Verdict(
                self.file,
                node.lineno,
                kind,
                False,
                refusal.code,
                refusal.name,
                refusal.message,
                refusal.remedy,
                line,
            )
        except RecursionError:
            verdict = Verdict(
                self.file,
                node.lineno,
                kind,
                False,
                "too-deep",
                "",
                "it is too intricate",
                "split it up",
                node.lineno,
            )
        return Loop(node, verdict)

    def _split(self, node: Any, kind: str) -> Loop:
        loop = Loop(node, Verdict(self.file, node.lineno, kind, True))
        body = self._as_for(node)
        proof = Proof(self.sources, self.trust)
        walk = LoopWalk(proof, self, loop, body)
        loop.body = body
        header = Header(self, loop, walk)
        walk.begin(header.item())
        self._check_names(walk, loop)
        looks = proof.facts.looks
        header.check()
        proof.settle(walk, node)
        if proof.facts.writes and looks:
            raise Refused(
                "writes-files",
                "exists",
                "files are written, and it is asked which there are",
                "ask before the loop",
                node.lineno,
            )
        proof.facts.guards += self._guards
        loop.facts, loop.outputs = proof.facts, proof.facts.outputs
        loop.instances = {name: value.live for name, value in self.known.items() if value.kind == "instance"}
        loop.verdict = Verdict(
            self.file,
            node.lineno,
            kind,
            True,
            assumptions=tuple(proof.facts.assumptions),
            conditions=tuple(proof.facts.conditions),
        )
        return loop

    def _as_for(self, node: Any) -> ast.For:
        """The loop as a `for`."""
        if isinstance(node, ast.While):
            raise Refused(
                "while",
                "while",
                "nobody knows beforehand how often it runs",
                "go through a range or a list",
                node.lineno,
            )
        if isinstance(node, ast.AsyncFor):
            raise Refused(
                "async-for", "async for", "it waits for other tasks", "use a plain loop", node.lineno
            )
        if isinstance(node, ast.For):
            if node.orelse:
                raise Refused(
                    "for-else",
                    "else",
                    "it has an else, which only a break gives a meaning",
                    "write it after the loop",
                    node.orelse[0].lineno,
                )
            return node
        if isinstance(node, ast.GeneratorExp):
            self._check_consumer(node)
        for inner in ast.walk(node):
            if isinstance(inner, ast.NamedExpr):
                raise Refused(
                    "assigns-outside",
                    inner.target.id,
                    f"{inner.target.id} is assigned outside",
                    "write a for loop",
                    node.lineno,
                )
        if any(generator.is_async for generator in node.generators):
            raise Refused("await", "async for", "it waits for other tasks", "use a plain loop", node.lineno)
        value = (
            node.elt if not isinstance(node, ast.DictComp) else ast.Tuple([node.key, node.value], ast.Load())
        )
        call = ast.Call(ast.Attribute(ast.Name(OUT, ast.Load()), "append", ast.Load()), [value], [])
        body: list[ast.stmt] = [ast.Expr(call)]
        for number, generator in reversed(list(enumerate(node.generators))):
            for condition in reversed(generator.ifs):
                body = [ast.If(condition, body, [])]
            if number:
                body = [ast.For(generator.target, generator.iter, body, [])]
        made = ast.For(node.generators[0].target, node.generators[0].iter, body, [])
        for inner in ast.walk(made):
            if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
                ast.copy_location(inner, node)
        return made

    def _check_consumer(self, node: ast.GeneratorExp) -> None:
        parent = self.parents[id(node)]
        if isinstance(parent, ast.Call) and parent.args and parent.args[0] is node:
            function = parent.func
            if isinstance(function, ast.Name) and function.id in _CONSUMERS and self.is_builtin(function.id):
                more = [*parent.args[1:], *(one.value for one in parent.keywords)]
                if function.id == "sorted" or all(map(_is_plain, more)):
                    return
                raise Refused(
                    "lazy",
                    spelled(more[0]),
                    f"{spelled(more[0])} may be called between the iterations",
                    f"use {function.id}([...], ...)",
                    node.lineno,
                )
            if (
                isinstance(function, ast.Attribute)
                and function.attr == "join"
                and isinstance(function.value, ast.Constant)
            ):
                return
            if isinstance(function, ast.Name) and function.id in ("any", "all"):
                raise Refused(
                    "stops-early",
                    function.id,
                    f"{function.id} stops at the first that decides",
                    f"use {function.id}([...])",
                    node.lineno,
                )
        raise Refused(
            "lazy",
            "generator",
            "its items are made when somebody asks for them",
            "make a list: [... for ...]",
            node.lineno,
        )

    def is_builtin(self, name: str) -> bool:
        return (
            name not in self.local
            and name not in self.function.__globals__
            and name not in self.scope.cells
            and hasattr(builtins, name)
        )

    # what a loop leaves behind

    def _check_names(self, walk: LoopWalk, loop: Loop) -> None:
        node = loop.node
        comprehension = isinstance(node, COMPREHENSIONS)
        inside = {id(inner) for inner in ast.walk(node)}
        touched = walk.assigned | set(loop.accumulators)
        if comprehension:
            loop.inputs = sorted(walk.inputs)
            loop.accumulators = []
            return
        read: set[str] = set()
        for inner in ast.walk(self.node):
            if id(inner) in inside:
                continue
            if isinstance(inner, FUNCTIONS) and inner is not self.node:
                caught = {one.id for one in ast.walk(inner) if isinstance(one, ast.Name)} - local_names(inner)
                names = sorted(caught & touched)
                if names:
                    raise Refused(
                        "closure",
                        names[0],
                        f"{names[0]} is seen by a function inside",
                        "pass it as an argument",
                        inner.lineno,
                    )
            if isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Store):
                read.add(inner.id)
            if isinstance(inner, ast.AugAssign) and isinstance(inner.target, ast.Name):
                read.add(inner.target.id)
        for inner in own_nodes(self.node.body):
            if isinstance(inner, (ast.Nonlocal, ast.Global)):
                names = sorted(touched & set(inner.names))
                if names:
                    how = type(inner).__name__.lower()
                    raise Refused(
                        how,
                        names[0],
                        f"{names[0]} is declared {how}",
                        "return it instead",
                        inner.lineno,
                    )
        loop.outs = sorted(walk.assigned & read)
        for name in loop.outs:
            if name in walk.unbound:
                raise Refused(
                    "deleted",
                    name,
                    f"{name} is deleted in the loop and read after it",
                    "use another name",
                    node.lineno,
                )
            value = walk.env.get(name, Value())
            if value.kind == "function":
                raise Refused(
                    "closure",
                    name,
                    f"{name} is kept after the loop",
                    "move it to the top of the file",
                    node.lineno,
                )
            if value.own != OWN:
                loop.aliases = True
        if loop.outs and self._is_tried(node) and not all(map(_never_fails, loop.effects.values())):
            raise Refused(
                "effect-in-try",
                loop.outs[0],
                f"{loop.outs[0]} is read after the loop, also where storing a result has failed",
                "move the try into the loop, or use other names after it",
                node.lineno,
            )
        loop.inputs = sorted(walk.inputs)

    def _is_tried(self, node: ast.AST) -> bool:
        """Whether the function may go on after an exception in a loop."""
        while node is not self.node:
            node = self.parents[id(node)]
            if isinstance(node, (ast.Try, ast.With)) or type(node).__name__ == "TryStar":
                return True
        return False

    # what else accumulators are called

    def aliased(self, accumulators: Sequence[str]) -> frozenset[str]:
        """Other names that may stand for what a loop fills, or for what holds it, as assignments tell."""
        key = tuple(accumulators)
        if key not in self._aliased:
            found = set(accumulators)
            while True:
                more = {name for way in self._flows for name in _reached(way, found, key)}
                if more <= found:
                    break
                found |= more
            self._aliased[key] = frozenset(found - set(accumulators))
        return self._aliased[key]

    @cached_property
    def _flows(self) -> list[tuple[set[str], set[str], bool]]:
        """What may go from names to names; and whether it is the same thing there."""
        flows = []
        for node in own_nodes(self.node.body):
            match node:
                case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                    pairs = list(zip(targets, values, strict=False))
                case ast.Assign(targets=targets, value=value):
                    pairs = [(target, value) for target in targets]
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    pairs = [(target, value)]
                case ast.NamedExpr(target=target, value=value) | ast.For(target=target, iter=value):
                    pairs = [(target, value)]
                case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
                    pairs = [(target, value)]
                case _:
                    continue
            for target, value in pairs:
                sources = {one.id for one in ast.walk(value) if isinstance(one, ast.Name)} & self.local
                own = self._own(value) if sources else OWN
                if isinstance(node, ast.For):
                    own = SHARED if isinstance(value, (ast.Tuple, ast.List)) else OWN
                if own != OWN:
                    goals = set(bound_names([target])) & self.local
                    plain = isinstance(target, ast.Name) and own == SHARED
                    flows.append((sources, goals, plain))
        return flows

    def _own(self, node: ast.expr) -> int:
        """How much of what an expression gives is new."""
        try:
            return Walk(Proof(self.sources, True), self.scope, self.local, self.node.body).expr(node).own
        except (Refused, RecursionError):
            return SHARED


def _reached(way: tuple[set[str], set[str], bool], found: set[str], filled: Sequence[str]) -> set[str]:
    sources, goals, same = way
    reached = goals if sources & found else set()
    return reached | (sources if same and goals & set(filled) else set())


def _is_plain(node: ast.expr) -> bool:
    """Whether this is a number or the like, or what holds such."""
    return all(
        isinstance(inner, (ast.Constant, ast.List, ast.Tuple, ast.UnaryOp, ast.unaryop, ast.Load))
        for inner in ast.walk(node)
    )


def _never_fails(effect: Effect) -> bool:
    """Whether an effect is to append to a list, which the run makes sure of."""
    call = effect.replayed.value if isinstance(effect.replayed, ast.Expr) else None
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "append"
        and isinstance(call.func.value, ast.Name)
    )


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Value]]:
    for alias in node.names:
        module = alias.name if isinstance(node, ast.Import) else node.module or ""
        if getattr(node, "level", 0) or not module:
            continue
        if module not in sys.modules:
            if module.partition(".")[0] not in sys.stdlib_module_names and module.partition(".")[0] not in (
                "numpy",
                "scipy",
                "pandas",
            ):
                continue
            try:
                importlib.import_module(module)
            except Exception:  # noqa: S112 (the function itself will say so)
                continue
        if isinstance(node, ast.Import):
            whole = sys.modules[module if alias.asname else module.partition(".")[0]]
            yield (alias.asname or module).partition(".")[0], Value(SHARED, "module", whole)
        else:
            live = getattr(sys.modules[module], alias.name, UNKNOWN)
            yield alias.asname or alias.name, live_value(live, Value())


_AROUND = {
    "inside-split": lambda: Refused("inside-split", "", "it is part of a loop that is split", ""),
    "inside-comprehension": lambda: Refused(
        "inside-comprehension",
        "",
        "it is part of a comprehension that isn't split",
        "write the outer one as a for loop",
    ),
    "nested-function": lambda: Refused(
        "nested-function",
        "",
        "it is in a function inside this one",
        "move that function to the top of the file",
    ),
}


__all__ = ["KEEP", "LOG", "OUT", "SITE", "VALUES", "Analysis", "Effect", "Loop"]
