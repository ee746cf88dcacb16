"""A function with its loops taken apart: what computes one iteration, and what does the rest in order."""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Sequence
from types import CodeType, FunctionType
from typing import Any, TypeVar

from clustrix_core.loops.analysis import KEEP, LOG, SITE, VALUES, Analysis, Loop
from clustrix_core.loops.source import Definition, compiled
from clustrix_core.loops.syntax import COMPREHENSIONS

RUN, LOCALS, OFF, ITEMS = "_clx", "_clx_locals", "_clx_off", "_clx_items"

Node = TypeVar("Node", bound=ast.AST)


def iteration(loop: Loop, function: FunctionType) -> CodeType | None:
    """The code that goes through items, and logs what is to be done to the accumulators."""
    assert loop.body is not None
    body = [
        changed(node, {key: effect.logged for key, effect in loop.effects.items()}) for node in loop.body.body
    ]
    made = ast.FunctionDef(
        function.__code__.co_name,
        ast.arguments(
            [], [ast.arg(name) for name in (ITEMS, LOG, KEEP, LOCALS, *loop.inputs)], None, [], [], None, []
        ),
        [
            ast.For(loop.body.target, ast.Name(ITEMS, ast.Load()), _flat(body), []),
            ast.Return(ast.Call(ast.Name(LOCALS, ast.Load()), [], [])),
        ],
        [],
    )
    if sys.version_info >= (3, 12):
        made.type_params = []
    _place(made, loop.node)
    return compiled(made, function)


def rewritten(analysis: Analysis, split: Sequence[Loop]) -> CodeType | None:
    """The code of the function, in which these loops are handed over."""
    replaced: dict[int, list[ast.stmt] | ast.expr] = {}
    for number, loop in enumerate(split):
        if isinstance(loop.node, COMPREHENSIONS):
            replaced[id(loop.node)] = _comprehension(number, loop)
        else:
            replaced[id(loop.node)] = _statement(number, loop)
    node = analysis.node
    body = _flat([changed(statement, replaced) for statement in node.body])
    start = 1 if ast.get_docstring(node, clean=False) is not None else 0
    enter = ast.Assign([ast.Name(OFF, ast.Store())], _call("enter"))
    _place(enter, node.body[min(start, len(node.body) - 1)])
    body.insert(start, enter)
    fields = {name: getattr(node, name) for name in node._fields}
    made: Definition = type(node)(**{**fields, "body": body})
    ast.copy_location(made, node)
    return compiled(made, analysis.function, RUN, LOCALS)


def _statement(number: int, loop: Loop) -> list[ast.stmt]:
    """A loop that takes turns: items that are done here, and what others have logged."""
    node = loop.node
    assert isinstance(node, ast.For)
    steps, stage, logs = (f"_clx_{name}_{number}" for name in ("steps", "stage", "logs"))
    header, leaves = _header(number, loop)
    start = ast.Assign(
        [ast.Name(steps, ast.Store())],
        _call("loop", ast.Constant(number), header, leaves, _locals(), _name(OFF)),
    )
    serial = ast.For(node.target, _name(stage), node.body, [])
    cases: list[tuple[int, ast.stmt]] = [(effect.site, effect.replayed) for effect in loop.effects.values()]
    for place, out in enumerate(loop.outs):
        assign = ast.Assign(
            [ast.Name(out, ast.Store())], ast.Subscript(_name(VALUES), ast.Constant(0), ast.Load())
        )
        cases.append((len(loop.effects) + place, assign))
    chosen: list[ast.stmt] = []
    for site, statement in reversed(cases):
        test = ast.Compare(_name(SITE), [ast.Eq()], [ast.Constant(site)])
        chosen = [ast.If(test, [statement], chosen)] if chosen else [statement]
    pair = ast.Tuple([ast.Name(SITE, ast.Store()), ast.Name(VALUES, ast.Store())], ast.Store())
    replay = ast.For(pair, _name(logs), chosen or [ast.Pass()], [])
    pair = ast.Tuple([ast.Name(stage, ast.Store()), ast.Name(logs, ast.Store())], ast.Store())
    close = ast.Expr(ast.Call(ast.Attribute(_name(steps), "close", ast.Load()), [], []))
    held = [steps, stage, logs, *(part.id for part in leaves.elts if isinstance(part, ast.Name))]
    free = ast.Assign([ast.Name(name, ast.Store()) for name in held], ast.Constant(None))
    tried = ast.Try([ast.For(pair, _name(steps), [serial, replay], [])], [], [], [close, free])
    choice = ast.If(_off(number), [copied(node)], [start, tried])
    _place(choice, node)
    return [choice]


def _comprehension(number: int, loop: Loop) -> ast.expr:
    """The same for a comprehension: what is done here is a comprehension in a lambda."""
    node: Any = loop.node
    stage = f"_clx_stage_{number}"
    header, leaves = _header(number, loop)
    first, *others = node.generators
    first = ast.comprehension(first.target, _name(stage), first.ifs, first.is_async)
    given, generators = [ast.arg(stage)], [first, *others]
    if isinstance(node, ast.SetComp):  # whose order is that in which it is filled
        add = f"_clx_add_{number}"
        given.append(ast.arg(add))
        inner: ast.expr = ast.ListComp(ast.Call(_name(add), [node.elt], []), generators)
    else:
        inner = type(node)(
            **{**{name: getattr(node, name) for name in node._fields}, "generators": generators}
        )
    serial = ast.Lambda(ast.arguments([], given, None, [], [], None, []), inner)
    how = {
        ast.ListComp: "listcomp",
        ast.SetComp: "setcomp",
        ast.DictComp: "dictcomp",
        ast.GeneratorExp: "genexp",
    }
    call = _call(how[type(node)], ast.Constant(number), header, leaves, _locals(), _name(OFF), serial)
    choice = ast.IfExp(_off(number), copied(node), call)
    _place(choice, node)
    return choice


def _header(number: int, loop: Loop) -> tuple[ast.expr, ast.Tuple]:
    """What the loop goes through, and the parts of it."""
    assert loop.body is not None
    names: dict[int, list[ast.stmt] | ast.expr] = {}
    parts: list[ast.expr] = []
    for place, (leaf, _) in enumerate(loop.leaves):
        name = f"_clx_leaf_{number}_{place}"
        names[id(leaf)] = ast.NamedExpr(ast.Name(name, ast.Store()), copied(leaf))
        parts.append(_name(name))
    header = changed(loop.body.iter, names)
    return header, ast.Tuple(parts, ast.Load())


def _call(method: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(_name(RUN), method, ast.Load()), list(args), [])


def _off(number: int) -> ast.expr:
    return ast.Subscript(_name(OFF), ast.Constant(number), ast.Load())


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _locals() -> ast.Call:
    return ast.Call(_name(LOCALS), [], [])


def copied(node: Node) -> Node:
    """A tree of its own."""
    return copy.deepcopy(node)


def changed(node: Any, replaced: Any) -> Any:
    """A copy of a tree in which some nodes, known by their identity, are others."""
    if id(node) in replaced:
        return replaced[id(node)]
    if isinstance(node, list):
        return _flat([changed(item, replaced) for item in node])
    if isinstance(node, ast.AST):
        made = type(node)(
            **{name: changed(getattr(node, name), replaced) for name in node._fields if hasattr(node, name)}
        )
        return ast.copy_location(made, node) if "lineno" in node._attributes else made
    return node


def _flat(nodes: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for node in nodes:
        found += node if isinstance(node, list) else [node]
    return found


def _place(node: ast.AST, where: Any) -> None:
    """Nodes that stand nowhere yet stand there."""
    for inner in ast.walk(node):
        if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
            ast.copy_location(inner, where)
