"""What can be told from the text of code alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from clustrix_core.loops.source import Definition

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


def names_bound_by(node: ast.AST) -> Iterator[str]:
    """The names that a node binds itself, without the nodes in it."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            for alias in aliases:
                yield (alias.asname or alias.name).partition(".")[0]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)):
            yield name


def bound_names(nodes: Sequence[ast.AST]) -> set[str]:
    """The names that code binds in its own scope."""
    return {name for node in own_nodes(nodes) for name in names_bound_by(node)}


def local_names(node: Definition | ast.Lambda) -> set[str]:
    """The names that are local to a function."""
    body = [node.body] if isinstance(node, ast.Lambda) else node.body
    names = parameters(node.args) | bound_names(body)
    for inner in own_nodes(body):
        if isinstance(inner, (ast.Global, ast.Nonlocal)):
            names -= set(inner.names)
    return names


def parameters(arguments: ast.arguments) -> set[str]:
    """The names of a function's parameters."""
    plain = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    return {arg.arg for arg in (*plain, arguments.vararg, arguments.kwarg) if arg is not None}


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


def has_break(body: Sequence[ast.stmt]) -> bool:
    """Whether a loop with this body may be left."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Break):
            return True
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.For, ast.AsyncFor, ast.While)):
            waiting += ast.iter_child_nodes(node)
        elif isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            waiting += node.orelse
    return False


def is_generator(node: Definition | ast.Lambda) -> bool:
    """Whether calling a function only makes a generator."""
    body = [node.body] if isinstance(node, ast.Lambda) else node.body
    return any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in own_nodes(body, True))
