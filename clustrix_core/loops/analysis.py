"""Which loops of a function can be split, and how."""

from __future__ import annotations

import ast
import builtins
import copy
import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from clustrix_core.loops import calls
from clustrix_core.loops.proof import (
    COMPREHENSIONS,
    FUNCTIONS,
    OUTER,
    OWN,
    UNKNOWN,
    Facts,
    Proof,
    Refused,
    Scope,
    Value,
    Walk,
    bound_names,
    constant,
    local_names,
    own_nodes,
    spelled,
)
from clustrix_core.loops.report import Verdict
from clustrix_core.loops.source import Definition, Sources, is_library

LOOPS = (ast.For, ast.AsyncFor, ast.While, *COMPREHENSIONS)
LOG, KEEP, OUT, VALUES, SITE = "_clx_log", "_clx_keep", "_clx_out", "_clx_values", "_clx_site"

_KINDS = {
    ast.For: "for",
    ast.AsyncFor: "for",
    ast.While: "while",
    ast.ListComp: "listcomp",
    ast.SetComp: "setcomp",
    ast.DictComp: "dictcomp",
    ast.GeneratorExp: "genexp",
}
# What can be done to an accumulator without looking at it.
_EFFECTS = frozenset({"append", "extend", "add", "update", "appendleft", "extendleft", "insert", "discard"})
_COPYING = frozenset({"extend", "extendleft", "update"})
# What goes through all of a generator at once.
_CONSUMERS = frozenset({"sum", "list", "tuple", "set", "frozenset", "sorted", "max", "min", "dict"})
_LAZY = frozenset({"enumerate", "zip", "reversed", "map", "filter"})
_EAGER = frozenset({"len", "list", "tuple", "sorted", "range", "set", "max", "min", "sum"})
_DYNAMIC = frozenset({"eval", "exec", "locals", "vars", "globals", "dir", "compile", "__import__"})


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


@dataclass
class Loop:
    """A loop, and what is known of it.

    Attributes:
        node: the loop.
        verdict: what becomes of it.
        body: where it is split: a `for` that does the same.
        accumulators: the names of what it fills.
        whole: of those, the ones that are only added to; of the others, parts are changed.
        inputs: the local names that it reads.
        asked: of those, the ones that are only asked for what they hold.
        outs: the names that it assigns and others read.
        leaves: what it goes through: expressions, and whether each makes something new.
        lengths: whether the leaves tell how many iterations there are.
        aliases: whether what it hands over may be something that was there before.
        facts: what was met.
        effects: of its statements.
    """

    node: Any
    verdict: Verdict
    body: ast.For | None = None
    accumulators: list[str] = field(default_factory=list)
    deep: bool = False
    inputs: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    outs: list[str] = field(default_factory=list)
    leaves: list[tuple[ast.expr, bool]] = field(default_factory=list)
    lengths: bool = False
    aliases: bool = False
    facts: Facts = field(default_factory=Facts)
    effects: dict[int, Effect] = field(default_factory=dict)


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
        self.known = dict(self._known_names())
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
        """Local names that stand for one function or module all the time."""
        counts: dict[str, int] = {}
        for inner in own_nodes(self.node.body):
            for name in (
                bound_names([inner])
                if not list(ast.iter_child_nodes(inner))
                or isinstance(inner, (ast.FunctionDef, ast.Import, ast.ImportFrom, ast.Name))
                else ()
            ):
                counts[name] = counts.get(name, 0) + 1
        arguments = self.node.args
        parameters = {arg.arg for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
        for inner in own_nodes(self.node.body):
            if isinstance(inner, ast.FunctionDef) and not inner.decorator_list:
                found = {inner.name: Value(0, "function", UNKNOWN, (inner, None))}
            elif (
                isinstance(inner, ast.Assign)
                and isinstance(inner.value, ast.Lambda)
                and isinstance(inner.targets[0], ast.Name)
            ):
                found = {inner.targets[0].id: Value(0, "function", UNKNOWN, (inner.value, None))}
            elif isinstance(inner, (ast.Import, ast.ImportFrom)):
                found = dict(_imported(inner))
            else:
                continue
            for name, value in found.items():
                if counts.get(name) == 1 and name not in parameters:
                    yield name, value

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
                walk = Walk(Proof(self.sources, False), self.scope, self.local)
                operands = [inner.left, *inner.comparators]
                for left, operator, right in zip(operands, inner.ops, operands[1:], strict=False):
                    if isinstance(operator, (ast.Is, ast.IsNot)) and not any(
                        map(walk._singleton, (left, right))
                    ):
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
        walk.begin()
        loop.body = body
        self._check_names(walk, loop)
        looks = proof.facts.looks
        self._check_header(walk, loop)
        if proof.facts.unordered:
            raise Refused(
                "unordered",
                "set",
                "the order of a set may be another in another process",
                "go through sorted(...) instead",
                node.lineno,
            )
        if proof.facts.writes and looks:
            raise Refused(
                "writes-files",
                "exists",
                "files are written, and it is asked which there are",
                "ask before the loop",
                node.lineno,
            )
        loop.facts = proof.facts
        loop.verdict = Verdict(self.file, node.lineno, kind, True, assumptions=tuple(proof.facts.assumptions))
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
            if isinstance(function, ast.Name) and function.id in _CONSUMERS and self._is_builtin(function.id):
                return
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

    def _is_builtin(self, name: str) -> bool:
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
            loop.asked = walk.asked - walk.looked
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
            if isinstance(inner, ast.Nonlocal):
                names = sorted(touched & set(inner.names))
                if names:
                    raise Refused(
                        "nonlocal",
                        names[0],
                        f"{names[0]} is declared nonlocal",
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
        loop.asked = walk.asked - walk.looked

    def _is_tried(self, node: ast.AST) -> bool:
        """Whether the function may go on after an exception in a loop."""
        while node is not self.node:
            node = self.parents[id(node)]
            if isinstance(node, (ast.Try, ast.With)) or type(node).__name__ == "TryStar":
                return True
        return False

    # what a loop goes through

    def _check_header(self, walk: LoopWalk, loop: Loop) -> None:
        assert loop.body is not None
        header = loop.body.iter
        for inner in self._mentions(header):
            if inner.id in loop.accumulators:
                raise Refused(
                    "mutates-iterable",
                    inner.id,
                    f"{inner.id} is changed while the loop goes through it",
                    f"go through list({inner.id})",
                    inner.lineno,
                )
        loop.leaves, loop.lengths = self._leaves(header, walk)

    def _mentions(self, node: ast.AST) -> Iterator[ast.Name]:
        """The names of a header whose values the loop goes through."""
        if isinstance(node, ast.Name):
            yield node
            return
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in _EAGER
            and self._is_builtin(node.func.id)
        ):
            return
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            return
        for child in ast.iter_child_nodes(node):
            yield from self._mentions(child)

    def _leaves(self, node: ast.expr, walk: LoopWalk) -> tuple[list[tuple[ast.expr, bool]], bool]:
        """The parts of a header that hold the items, and whether their lengths tell that of the loop."""
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            header = walk.header()
            callee = header.silently(node.func) if header._plain(node.func) else None
            found = (
                calls.known_function(callee.live)
                if callee is not None and callee.live is not UNKNOWN
                else None
            )
            if found is not None and (
                found[0] == "itertools" or (found[0] == "builtins" and found[1] in _LAZY)
            ):
                header.proved(node)
                leaves: list[tuple[ast.expr, bool]] = []
                length = found[1] in ("enumerate", "zip", "reversed")
                for number, arg in enumerate(node.args):
                    if isinstance(arg, ast.Starred):
                        raise Refused(
                            "lazy",
                            spelled(arg),
                            f"nobody knows what {spelled(arg)} goes through",
                            "make a list of it first",
                            node.lineno,
                        )
                    if (
                        isinstance(arg, ast.Lambda)
                        or (number and found[1] == "enumerate")
                        or isinstance(arg, ast.Constant)
                    ):
                        continue
                    inner, whole = self._leaves(arg, walk)
                    leaves += inner
                    length = length and whole
                return leaves, length
        return [(node, walk.header().makes(node))], True


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
            yield (alias.asname or module).partition(".")[0], Value(0, "module", whole)
        else:
            live = getattr(sys.modules[module], alias.name, UNKNOWN)
            kind = "module" if type(live) is type(sys) else "class" if isinstance(live, type) else ""
            if callable(live) or kind:
                yield alias.asname or alias.name, Value(0, kind, live)


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


class LoopWalk(Walk):
    """A walk through one iteration."""

    def __init__(self, proof: Proof, analysis: Analysis, loop: Loop, body: ast.For) -> None:
        super().__init__(proof, analysis.scope, analysis.local | {OUT})
        self.analysis, self.loop, self.body = analysis, loop, body
        inner: list[ast.AST] = [body.target, *body.body]
        counted = {
            id(node.target)
            for node in own_nodes(inner)
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
        }
        plainly: set[str] = set()
        self.unbound: set[str] = set()
        for node in own_nodes(inner):
            if id(node) not in counted and not isinstance(node, ast.Name):
                plainly |= (
                    bound_names([node])
                    if not list(ast.iter_child_nodes(node))
                    or isinstance(
                        node,
                        (
                            ast.FunctionDef,
                            ast.ClassDef,
                            ast.ExceptHandler,
                            ast.Import,
                            ast.ImportFrom,
                            ast.MatchAs,
                            ast.MatchMapping,
                        ),
                    )
                    else set()
                )
            elif (
                isinstance(node, ast.Name) and id(node) not in counted and not isinstance(node.ctx, ast.Load)
            ):
                plainly.add(node.id)
                if isinstance(node.ctx, ast.Del):
                    self.unbound.add(node.id)
            if isinstance(node, ast.ExceptHandler) and node.name:
                plainly.add(node.name)
                self.unbound.add(node.name)
        self.assigned = plainly
        self.local |= plainly
        self.counted = {
            node.target.id
            for node in own_nodes(inner)
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
        } - plainly
        self.inputs: set[str] = set()
        self.asked: set[str] = set()
        self.looked: set[str] = set()
        self.filled: set[str] = {OUT}
        self._asking = False

    def begin(self) -> None:
        """Walk the body once, as one iteration of any."""
        self.filled |= {name for name in map(self._filled, own_nodes(self.body.body)) if name}
        self.loop.accumulators = sorted(self.filled - {OUT})
        self.store(self.body.target, Value(), None)
        self.block(self.body.body)

    def header(self) -> HeaderWalk:
        """A walk through the expression that the loop goes through."""
        return HeaderWalk(self)

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
        self.inputs.add(name)
        (self.asked if self._asking else self.looked).add(name)
        value = self.analysis.known.get(name, Value())
        if value.node is not None:
            return value._replace(node=(value.node[0], self))
        return value

    def differs(self, node: ast.expr) -> bool:
        return any(isinstance(inner, ast.Name) and inner.id in self.assigned for inner in ast.walk(node))

    def contained(self, node: ast.Name | ast.Set) -> None:
        self._asking = True
        try:
            super().contained(node)
        finally:
            self._asking = False

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
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
        ):
            if node.value.func.attr in _EFFECTS:
                return self._root_of_effect(node.value.func.value)
            if node.value.func.attr == "setdefault" and len(node.value.args) == 2:
                return self._root_of_effect(node.value.func.value)
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript):
                    found = self._root_of_effect(target)
                    if found:
                        return found
        if isinstance(node, ast.AugAssign):
            if isinstance(node.target, ast.Subscript):
                return self._root_of_effect(node.target)
            if (
                isinstance(node.target, ast.Name)
                and node.target.id in self.counted
                and node.target.id in self.local
            ):
                return node.target.id
        return None

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Expr):
            self._statement = node.value
        if self._filled(node):
            self._effect(node)
        else:
            super().statement(node)

    def _effect(self, node: ast.stmt) -> None:
        site = self.loop.effects.get(id(node))
        number = site.site if site else len(self.loop.effects)
        recorder = _Recorder(self)
        before: list[ast.stmt] = []
        after: list[ast.stmt] = []
        replayed = copy.deepcopy(node)
        safe = False
        if isinstance(replayed, ast.Expr):
            call = replayed.value
            assert isinstance(call, ast.Call)
            assert isinstance(call.func, ast.Attribute)
            safe = call.func.attr == "append" and isinstance(call.func.value, ast.Name)
            copies = call.func.attr in _COPYING
            if not isinstance(call.func.value, ast.Name):
                self.loop.deep = True
            call.func.value = recorder.place(call.func.value)
            call.args = [recorder.value(arg, copies, call.func.attr) for arg in call.args]
            for keyword in call.keywords:
                keyword.value = recorder.value(keyword.value, copies, "")
        elif isinstance(replayed, ast.Assign):
            replayed.value = recorder.value(replayed.value, False, "=")
            for index, target in enumerate(replayed.targets):
                if not isinstance(target, ast.Subscript) or not self._root_of_effect(target):
                    raise self.refuse(
                        "several-targets",
                        spelled(target),
                        "several things are assigned at once",
                        "assign them one by one",
                        node,
                    )
                if not isinstance(target.value, ast.Name):
                    self.loop.deep = True
                replayed.targets[index] = recorder.place(target)
        else:
            assert isinstance(replayed, ast.AugAssign)
            if isinstance(replayed.target, ast.Subscript):
                self.loop.deep = True
                replayed.target = recorder.place(replayed.target)  # type: ignore[assignment]
            replayed.value = recorder.value(replayed.value, True, "+=")
        if "try" in self.within and not safe:
            raise self.refuse(
                "effect-in-try", spelled(node.value) if isinstance(node, ast.Expr) else ast.unparse(node),
                "a result is stored inside try, where that it fails would be caught", "store it after the try", node,
            )  # fmt: skip
        self.facts.stored = self.facts.stored or recorder.kept
        values = ast.Tuple([ast.Constant(number), ast.Tuple(recorder.logged, ast.Load())], ast.Load())
        log = ast.Expr(ast.Call(ast.Name(LOG, ast.Load()), [values], []))
        for made in (log, replayed):
            for inner in ast.walk(made):
                if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
                    ast.copy_location(inner, node)
            ast.copy_location(made, node)
        self.loop.effects[id(node)] = Effect(number, [*before, log, *after], replayed)

    # what ends or leaves an iteration

    def do_Break(self, node: ast.Break) -> None:
        if "loop" not in self.within:
            raise self.refuse(
                "break",
                "break",
                "whether an iteration runs depends on those before",
                "go through all, and choose afterwards",
                node,
            )
        super().do_Break(node)

    def do_Return(self, node: ast.Return) -> None:
        raise self.refuse(
            "return",
            "return",
            "whether an iteration runs depends on those before",
            "go through all, and choose afterwards",
            node,
        )

    def of_Yield(self, node: ast.Yield) -> Value:
        raise self.refuse(
            "yield",
            "yield",
            "the caller runs between the iterations",
            "collect the results, and yield them afterwards",
            node,
        )

    def of_YieldFrom(self, node: ast.YieldFrom) -> Value:
        raise self.refuse(
            "yield",
            "yield from",
            "the caller runs between the iterations",
            "collect the results, and yield them afterwards",
            node,
        )

    def do_AsyncFor(self, node: ast.AsyncFor) -> None:
        raise self.refuse("await", "async for", "it waits for other tasks", "use a plain loop", node)

    def do_AsyncWith(self, node: ast.AsyncWith) -> None:
        raise self.refuse("await", "async with", "it waits for other tasks", "use a plain loop", node)

    def do_With(self, node: ast.With) -> None:
        swallows = not all(
            isinstance(item.context_expr, ast.Call)
            and spelled(item.context_expr.func).rpartition(".")[2] == "open"
            for item in node.items
        )
        if swallows:
            self.within.append("try")
        super().do_With(node)
        if swallows:
            self.within.pop()


class _Recorder:
    """Takes the parts of an effect that are computed, in the order in which Python computes them."""

    def __init__(self, walk: LoopWalk) -> None:
        self.walk = walk
        self.logged: list[ast.expr] = []
        self.kept = False  # something that has a name, and may change later

    def value(self, node: ast.expr, copies: bool, how: str) -> ast.expr:
        if isinstance(node, ast.Starred):
            raise self.walk.refuse(
                "starred", spelled(node), f"{spelled(node)} is taken apart", "write the arguments out", node
            )
        value = self.walk.expr(node)
        if value.kind == "function":
            raise self.walk.closure(node)
        if how == "extend" or (how in ("extendleft", "update") and isinstance(node, ast.GeneratorExp)):
            self.walk._order_of(value)
            node = ast.List([ast.Starred(node, ast.Load())], ast.Load())
        if value.own != OWN:
            self.walk.loop.aliases = True
        if isinstance(node, ast.Constant) and how != "append":
            return node
        self.kept = self.kept or (
            isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and value.kind not in calls.IMMUTABLE
        )
        if (
            copies
            and isinstance(node, (ast.Name, ast.Attribute, ast.Subscript))
            and value.kind not in calls.IMMUTABLE
        ):
            node = ast.Call(ast.Name(KEEP, ast.Load()), [node], [])
        self.logged.append(node)
        return self._taken()

    def place(self, node: ast.expr) -> ast.expr:
        """An accumulator, or an item of one."""
        if isinstance(node, ast.Name):
            return node
        if isinstance(node, ast.Subscript):
            node.value = self.place(node.value)
            node.slice = self._key(node.slice)
            return node
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Attribute)
        node.func.value = self.place(node.func.value)
        self.walk.loop.deep = True
        node.args = [self.value(arg, False, "setdefault") for arg in node.args]
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


class HeaderWalk(Walk):
    """A walk through what a loop goes through: it is computed once, before the loop."""

    def __init__(self, walk: LoopWalk) -> None:
        super().__init__(walk.proof, walk.scope, walk.analysis.local)
        self.loop_walk = walk
        self.env = {
            name: value._replace(node=(value.node[0], self) if value.node else None)
            for name, value in walk.analysis.known.items()
        }

    def _plain(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and self._plain(node.value))

    def silently(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Attribute) and not self._names_module(node.value):
            return Value()
        return self.expr(node)

    def proved(self, node: ast.expr) -> None:
        """Make sure that what is computed bit by bit, as the loop goes on, minds nothing else.

        Raises:
            Refused: it isn't sure.
        """
        self.expr(node)

    def makes(self, node: ast.expr) -> bool:
        """Whether an expression surely makes something new, that nobody else goes through."""
        if not isinstance(node, (ast.Call, ast.GeneratorExp)):
            return False
        trust, self.proof.trust = self.proof.trust, False
        facts = copy.copy(self.proof.facts)
        try:
            value = self.expr(node)
        except Refused:
            self.proof.facts = facts
            return False
        finally:
            self.proof.trust = trust
        if value.own >= OUTER:
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            known = calls.METHODS.get(node.func.attr)
            return known is not None and (
                known.result != "part" or node.func.attr in ("items", "keys", "values")
            )
        return False


def _never_fails(effect: Effect) -> bool:
    """Whether an effect is to append to a list, which the run makes sure of."""
    call = effect.replayed.value if isinstance(effect.replayed, ast.Expr) else None
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "append"
        and isinstance(call.func.value, ast.Name)
    )


def constant_value(node: ast.expr) -> Value | None:
    """What is known of a constant."""
    return constant(node.value) if isinstance(node, ast.Constant) else None


def all_refused(nodes: Sequence[Loop]) -> bool:
    """Whether no loop is split."""
    return not any(loop.verdict.split for loop in nodes)


__all__ = ["Analysis", "Effect", "Loop", "is_library"]
