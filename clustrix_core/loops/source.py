"""The source of functions, checked against the code that runs."""

from __future__ import annotations
import __future__

import ast
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

OWN = ("clustrix", "clustrix_core", "cloudpickle")
_METHODS = (FunctionType, staticmethod, classmethod)
_FLAGS = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


class Source(NamedTuple):
    """Where a function's text stands.

    Attributes:
        text: the lines of the function.
        line: the number of the first.
        file: of the file.
    """

    text: str
    line: int
    file: str


Key = tuple[str, str, int]
Sources = dict[Key, Source]


def key(code: CodeType) -> Key:
    """What tells a function from others, also where it was sent to."""
    return code.co_filename, code.co_name, code.co_firstlineno


def source_of(function: FunctionType, known: Sources) -> Source | None:
    """The text of a function: what was kept of it, else what the file holds."""
    code = function.__code__
    kept = known.get(key(code))
    if kept is not None:
        return kept
    try:
        lines, first = inspect.getsourcelines(code)
    except (OSError, TypeError, IndexError, SyntaxError, AttributeError):
        return None
    return Source("".join(lines), first, code.co_filename)


def parsed(source: Source) -> ast.Module | None:
    """The text as a tree, with the line numbers of the file."""
    indented = source.text[:1].isspace()
    text = f"if 1:\n{source.text}" if indented else source.text
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    return ast.increment_lineno(tree, source.line - (2 if indented else 1))


Definition = ast.FunctionDef | ast.AsyncFunctionDef


def definition(function: FunctionType, known: Sources) -> Definition | ast.Lambda | None:
    """The node of a function, if it is surely the one that the running code was made of."""
    source = source_of(function, known)
    tree = parsed(source) if source is not None else None
    if tree is None:
        return None
    code = function.__code__
    kinds = (ast.Lambda,) if code.co_name == "<lambda>" else (ast.FunctionDef, ast.AsyncFunctionDef)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, kinds) and getattr(node, "name", "<lambda>") == code.co_name:
            if any(_same(made, code) for made in _as_it_may_stand(node, function)):
                found.append(node)
    return found[0] if len(found) == 1 or (found and code.co_name != "<lambda>") else None


def _as_it_may_stand(node: Definition | ast.Lambda, function: FunctionType) -> Iterator[CodeType]:
    """Its code: Python calls methods of what a module imports in another way than those of other globals."""
    names = [name for name in sorted(_names(function.__code__)) if name in function.__globals__]
    modules = [name for name in names if isinstance(function.__globals__[name], ModuleType)]
    for imported in [], modules, names:
        made = compiled(node, function, imported=imported)
        if made is not None:
            yield made


def _names(code: CodeType) -> set[str]:
    """The names that code and the code in it mention."""
    own = {*code.co_names, *code.co_varnames, *code.co_cellvars}  # also where these hide what is imported
    return own.union(*(_names(one) for one in code.co_consts if isinstance(one, CodeType)))


def compiled(
    node: Definition | ast.Lambda, function: FunctionType, *more: str, imported: Sequence[str] = ()
) -> CodeType | None:
    """The code of a function, as it would be where the original stands.

    Args:
        node: the function, changed perhaps.
        function: the original.
        more: free variables that the original hasn't.
        imported: globals that the module imports.
    """
    free = [*function.__code__.co_freevars, *more]
    inner: ast.stmt
    if isinstance(node, ast.Lambda):
        inner = ast.Expr(node)
    else:
        inner = type(node)(
            **{
                name: getattr(node, name)
                for name in node._fields
                if name not in ("decorator_list", "returns")
            },
            decorator_list=[ast.copy_location(ast.Constant(None), one) for one in node.decorator_list[:1]],
            returns=None,
        )
    ast.copy_location(inner, node)
    owner = function.__qualname__.rpartition(".")[0].rpartition(".")[2]
    if owner.isidentifier():  # names with two underscores are the class's own
        inner = ast.ClassDef(owner, [], [], [inner], [])
        if sys.version_info >= (3, 12):
            inner.type_params = []
    arguments = ast.arguments([], [ast.arg(name) for name in free], None, [], [], None, [])
    body: list[ast.stmt] = [inner]
    if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and inner.name not in free:
        body.insert(0, ast.Global([inner.name]))  # it may call itself
    factory = ast.FunctionDef("factory", arguments, body, [])
    if sys.version_info >= (3, 12):
        factory.type_params = []
    module = ast.fix_missing_locations(
        ast.Module([*(ast.Import([ast.alias(name)]) for name in imported), factory], [])
    )
    flags = function.__code__.co_flags & _FLAGS
    try:
        code = compile(module, function.__code__.co_filename, "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return _inner_code(code, function.__code__.co_name)


def _inner_code(code: CodeType, name: str) -> CodeType | None:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_name == name and code.co_name != "<module>":
                return constant
            found = _inner_code(constant, name)
            if found is not None:
                return found
    return None


def _same(one: CodeType, other: CodeType) -> bool:
    """Whether two codes do the same; where they stand doesn't matter."""
    facts = ("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount")
    if any(getattr(one, fact) != getattr(other, fact) for fact in facts):
        return False
    if len(one.co_consts) != len(other.co_consts):
        return False
    for mine, its in zip(_constants(one), _constants(other), strict=True):
        if isinstance(mine, CodeType) and isinstance(its, CodeType):
            if not _same(mine, its):
                return False
        elif repr(mine) != repr(its) and mine != its:
            return False
    return True


def _constants(code: CodeType) -> list[Any]:
    """Its constants. Before Python 3.11, full names of inner functions are among them."""
    inner = tuple(f".<locals>.{one.co_name}" for one in code.co_consts if isinstance(one, CodeType))
    return [
        constant.rpartition(".")[2] if isinstance(constant, str) and constant.endswith(inner) else constant
        for constant in code.co_consts
    ]


def rebuilt(function: FunctionType, code: CodeType, cells: dict[str, Any]) -> FunctionType:
    """A function like another, with other code."""
    own = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    closure = tuple(cells[name] if name in cells else own[name] for name in code.co_freevars)
    if sys.version_info >= (3, 11):
        code = code.replace(co_qualname=function.__code__.co_qualname)
    made = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__annotations__ = function.__annotations__
    made.__qualname__, made.__module__, made.__doc__ = (
        function.__qualname__,
        function.__module__,
        function.__doc__,
    )
    if sys.version_info >= (3, 12):
        made.__type_params__ = function.__type_params__
    made.__dict__.update(function.__dict__)
    return made


@cache
def _library_folders() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    paths = {sysconfig.get_path(name) for name in names}
    paths |= {path for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
    return tuple(path.rstrip("/") + "/" for path in paths)


def module_of(kind: type) -> str:
    """The name of a class's module, also for the functions of older Cythons, whose type has none."""
    found: object = kind.__module__
    return found if isinstance(found, str) else "_cython"


@cache
def is_library(module: str) -> bool:
    """Whether a module is not the user's own: Python's, an installed one, or Clustrix's."""
    root = module.partition(".")[0]
    if root in OWN or root in sys.stdlib_module_names:
        return root != "__main__"
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None)
    if root == "__main__" or found is None or file is None:
        return False
    return str(file).startswith(_library_folders())


def classes_with(name: str, names: Mapping[str, Any]) -> list[type]:
    """Classes of the user's that have a method of this name: those of a namespace, or else all."""
    at_hand = [one for one in list(names.values()) if issubclass(type(one), type) and _is_users(one)]
    found = [cls for cls in at_hand if isinstance(inspect.getattr_static(cls, name, None), _METHODS)]
    if found:
        return list(dict.fromkeys(found))
    return [cls for cls in users_classes() if isinstance(vars(cls).get(name), _METHODS)]


def users_classes() -> Iterator[type]:
    """All classes that are the user's own."""
    seen: set[type] = set()
    waiting: list[type] = [object]
    while waiting:
        cls = waiting.pop()
        if cls not in seen:
            seen.add(cls)
            waiting += type.__subclasses__(cls)
            if _is_users(cls):
                yield cls


def _is_users(cls: type) -> bool:
    return isinstance(cls.__module__, str) and not is_library(cls.__module__)


def is_library_file(file: str) -> bool:
    """Whether code in a file is Python's, or that of an installed package."""
    return file.startswith((*_library_folders(), "<frozen "))


def globals_named(code: CodeType) -> Iterator[str]:
    """The global names that a code and those in it mention; attributes are among them."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from globals_named(constant)


def reachable(function: Callable[..., Any]) -> Iterator[FunctionType]:
    """A function, and the user's own functions that it may call."""
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, FunctionType):
            if is_library(value.__module__ or ""):
                continue
            yield value
            names = list(globals_named(value.__code__))
            waiting += [value.__globals__[name] for name in names if name in value.__globals__]
            for module in list(waiting):
                if isinstance(module, ModuleType) and not is_library(module.__name__):
                    waiting += [vars(module)[name] for name in names if name in vars(module)]
            for cell in value.__closure__ or ():
                try:
                    waiting.append(cell.cell_contents)
                except ValueError:  # it is empty
                    continue
            waiting += [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
            waiting.append(getattr(value, "__wrapped__", None))
        elif isinstance(value, type) and not is_library(value.__module__):
            waiting += [*value.__mro__, *vars(value).values()]
        elif isinstance(value, (staticmethod, classmethod)):
            waiting.append(value.__func__)
        elif isinstance(value, property):
            waiting += [value.fget, value.fset]
        elif hasattr(value, "local") and module_of(type(value)).startswith("clustrix_core."):
            waiting.append(value.local)
