"""What a function needs where it runs: local modules, installed distributions, and what can't be found.

The search goes from the function outward. Of live objects it looks at globals, closures, defaults,
decorators and the bases of classes; of source code at every import, in functions too. Local modules travel as
source, with the packages that they are in; functions of `__main__` and of notebooks travel by value, so what
they name is followed as well.

What only a function of a local module imports is needed if that may be called: if code that is run names it.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import inspect
import os
import pkgutil
import sys
import sysconfig
import textwrap
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec
from itertools import chain, islice
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from clustrix_core.jobs.script import is_by_value, names_in

MANY = 10_000
"""Items of a collection that are looked at: those of larger ones are data, and alike."""

_ATOMS = (str, bytes, int, float, complex, type(None))

OWN = frozenset({"clustrix", "clustrix_core"})
"""They travel with every job."""


@dataclass
class Dependencies:
    """What a function needs.

    Attributes:
        sources: the source files that travel, by their paths below a folder of modules.
        pins: the distributions that have to be installed there, with their versions here.
        modules: of each of these a module that is imported.
        optional: those of them that are only imported where the code says what to do without, or in functions
            that nothing names.
        missing: modules that are imported and can't be found here, and where.
        warnings: what can't be known, or may be forgotten.
        reasons: why each module is needed: the first place that was met.
    """

    sources: dict[str, bytes] = field(default_factory=dict)
    pins: dict[str, str] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    optional: set[str] = field(default_factory=set)
    missing: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    def report(self) -> str:
        """The same for people: a line for each thing."""
        lines = [f"travels: {name} ({self.reason(name)})" for name in sorted(self.sources)]
        for name, version in self.pins.items():
            how = "may be used there" if name in self.optional else "is needed there"
            lines.append(f"{how}: {name}=={version} ({self.reason(name)})")
        lines += [f"is not found here: {name} ({where})" for name, where in self.missing.items()]
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])

    def elsewhere(self) -> dict[str, str]:
        """The packages of which nothing is here, which the place may have; and where they are imported."""
        tops = {name.partition(".")[0]: where for name, where in self.missing.items()}
        return {top: where for top, where in tops.items() if _spec(top) is None}

    def reason(self, name: str) -> str:
        """Why something is needed."""
        return self.reasons.get(name, "a package that it is in")


def analyse(function: Any, names: Iterable[str] = (), files: Iterable[str] = ()) -> Dependencies:
    """Find out what a function needs. Nothing of it is run, and nothing that it names is imported.

    Args:
        function: the function.
        names: what is needed besides to unpickle it and what it is called with: modules, or `MODULE:NAME`.
        files: the local files that travel with it.
    """
    search = _Search(files)
    search.look_at(function, "the function itself")
    for name in sorted(names):
        module, _, inside = name.partition(":")
        search.need(module, "what is pickled")
        search.named.add(inside)
    search.look_at_what_is_named()
    return search.found


class _Search:
    def __init__(self, files: Iterable[str]) -> None:
        self.found = Dependencies()
        self._files = {os.path.normpath(file) for file in files}
        self._waiting: deque[tuple[Any, str]] = deque()
        self._objects: dict[int, object] = {}  # seen, and kept alive so that the numbers stay theirs
        self._modules: dict[str, bool] = {}  # by their names, whether the code can do without
        self.named: set[str] = set()  # the last parts of all names in code that is run
        self._unnamed: dict[str, list[_Code]] = {}  # functions of local modules that may never be called

    # live objects

    def look_at(self, value: Any, why: str) -> None:
        self._waiting.append((value, why))
        if len(self._waiting) == 1:  # else this is a part of something that is being looked at
            while self._waiting:
                self._look_at_one(*self._waiting[0])
                self._waiting.popleft()

    def _look_at_one(self, value: Any, why: str) -> None:
        if isinstance(value, _ATOMS) or id(value) in self._objects:
            return
        self._objects[id(value)] = value
        if isinstance(value, ModuleType):
            self.need(value.__name__, why)
        elif isinstance(value, MethodType):
            self.look_at(value.__func__, why)
            self.look_at(value.__self__, why)
        elif isinstance(value, FunctionType):
            self._look_at_function(value, why)
        elif isinstance(value, type):
            self._look_at_class(value, why)
        elif isinstance(value, (list, tuple, set, frozenset)):
            for item in islice(value, MANY):
                self.look_at(item, why)
        elif isinstance(value, dict):
            for item in islice(chain.from_iterable(value.items()), MANY):
                self.look_at(item, why)
        else:
            wrapped = getattr(value, "__wrapped__", None)
            if wrapped is not None:
                self.look_at(wrapped, why)
            if type(value).__module__.partition(".")[0] not in OWN:
                self.look_at(type(value), why)

    def _look_at_function(self, function: FunctionType, why: str) -> None:
        self.named.add(function.__name__)
        if not is_by_value(function):
            self.need(function.__module__, why)
            if "<locals>" not in function.__qualname__:
                return
        name = function.__qualname__
        for cell in function.__closure__ or ():
            with suppress(ValueError):  # it is empty
                self.look_at(cell.cell_contents, f"the closure of {name}")
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.look_at(default, f"a default of {name}")
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            self.look_at(wrapped, f"what {name} wraps")
        for used in names_in(function.__code__):
            self.named.add(used)
            if used in function.__globals__:
                self.look_at(function.__globals__[used], f"{used} in {name}")
        with suppress(OSError, TypeError, SyntaxError):
            lines, start = inspect.getsourcelines(function)
            tree = ast.parse(textwrap.dedent("".join(lines)))
            package = function.__globals__.get("__package__") or ""
            file = f"{inspect.getsourcefile(function)}"
            self._look_at_code(_Code(tree, package, file, start - 1, {*_optional(tree)}))

    def _look_at_class(self, cls: type, why: str) -> None:
        if not is_by_value(cls):
            self.need(cls.__module__, why)
            return
        for base in cls.__bases__:
            self.look_at(base, f"a base of {cls.__qualname__}")
        for value in vars(cls).values():
            inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
            if isinstance(inner, FunctionType):
                self.look_at(inner, f"{cls.__qualname__}.{inner.__name__}")

    # modules

    def need(self, name: str, why: str, optional: bool = False) -> None:
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in OWN or name == "__main__":
            return
        if name in self._modules and (optional or not self._modules[name]):
            return
        self._modules[name] = optional
        distribution = _distribution(top)
        if distribution is not None:
            self._need_distribution(*distribution, top, why, optional)
            return
        spec = _spec(name)
        if spec is None:
            if not optional:
                self.found.missing.setdefault(name, why)
        elif spec.origin is None or not spec.has_location:
            if spec.submodule_search_locations is None:
                self.found.missing.setdefault(name, f"{why}; it has no file")
        elif not spec.origin.endswith(".py"):
            self.found.missing.setdefault(name, f"{why}; {spec.origin} is compiled, so it can't travel")
        else:
            self._take(name, Path(spec.origin), why, optional)

    def _need_distribution(self, name: str, version: str, module: str, why: str, optional: bool) -> None:
        if not optional:
            self.found.optional.discard(name)
        elif name not in self.found.pins:
            self.found.optional.add(name)
        self.found.pins.setdefault(name, version)
        self.found.modules.setdefault(name, module)
        self.found.reasons.setdefault(name, why)

    def _take(self, name: str, file: Path, why: str, optional: bool) -> None:
        parent, _, _last = name.rpartition(".")
        is_package = file.name == "__init__.py"
        inside = name.replace(".", "/") + ("/__init__.py" if is_package else ".py")
        source = file.read_bytes()
        self.found.sources[inside] = source
        self.found.reasons.setdefault(inside, why)
        if parent:
            self.need(parent, f"the package of {name}", optional)
        try:
            tree = ast.parse(source)
        except SyntaxError as error:
            self._warn(f"{file}: {error}")
            return
        package = name if is_package else parent
        functions: list[_Function] = []
        code = _Code(tree, package, str(file), 0, {*_optional(tree)}, optional)
        self._look_at_code(code, _run_by_import(tree, functions))
        for function in functions:
            self._unnamed.setdefault(function.name, []).append(code._replace(tree=function))

    # source code

    def look_at_what_is_named(self) -> None:
        """Functions of local modules that may be called need what they import; others can do without."""
        while self._unnamed:
            names = self.named & self._unnamed.keys()
            for code in [code for name in names or [*self._unnamed] for code in self._unnamed.pop(name)]:
                self._look_at_code(code if names else code._replace(whole=True))

    def _look_at_code(self, code: _Code, nodes: Iterable[ast.AST] = ()) -> None:
        tree, package, file, offset, optional, whole = code
        for node in nodes or ast.walk(tree):
            if isinstance(node, ast.Name):
                self.named.add(node.id)
                continue
            where = f"{file}:{getattr(node, 'lineno', 0) + offset}"
            can_do_without = whole or node in optional
            if isinstance(node, ast.Attribute):
                self.named.add(node.attr)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.need(alias.name, f"import at {where}", can_do_without)
            elif isinstance(node, ast.ImportFrom):
                self.named.update(alias.name for alias in node.names)
                self._look_at_from(node, package, where, can_do_without)
            elif isinstance(node, ast.Call):
                self._look_at_call(node, where, can_do_without)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self._look_at_text(node.value, Path(file).parent, where)

    def _look_at_from(self, node: ast.ImportFrom, package: str, where: str, optional: bool) -> None:
        name = node.module or ""
        if node.level:
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1]
            name = ".".join([*base, *([name] if name else [])])
        if name:
            self.need(name, f"import at {where}", optional)
        for alias in node.names:
            inner = f"{name}.{alias.name}"
            if _is_local(name) and _spec(inner) is not None:
                self.need(inner, f"import at {where}", optional)

    def _look_at_call(self, node: ast.Call, where: str, optional: bool) -> None:
        last = getattr(node.func, "attr", getattr(node.func, "id", ""))  # to unparse all calls takes long
        if last not in ("__import__", "import_module") or not node.args:
            return
        if ast.unparse(node.func) not in ("__import__", "importlib.import_module", "import_module"):
            return
        named = node.args[0]
        if isinstance(named, ast.Constant) and isinstance(named.value, str):
            self.need(named.value, f"import at {where}", optional)
        else:
            self._warn(
                f"{where} imports what is only known when it runs; import it by name, too, so that it travels"
            )

    def _look_at_text(self, text: str, folder: Path, where: str) -> None:
        if not 3 <= len(text) <= 200 or "\n" in text or "." not in text:
            return
        if os.path.normpath(text) in self._files:
            return
        with suppress(OSError, ValueError):
            is_here = (Path.cwd() / text).is_file()
            if is_here or (folder / text).is_file():
                taken = f"files=[{text!r}] takes it along" + ("" if is_here else f", started in {folder}")
                self._warn(f"{where} names the local file {text!r}, which doesn't travel: {taken}")

    def _warn(self, warning: str) -> None:
        if warning not in self.found.warnings:
            self.found.warnings.append(warning)


_Function = ast.FunctionDef | ast.AsyncFunctionDef


class _Code(NamedTuple):
    """A piece of source code.

    Attributes:
        tree: its syntax.
        package: what its relative imports start from.
        file, offset: where it is.
        optional: the imports that it can do without.
        whole: whether it can do without all of them.
    """

    tree: ast.AST
    package: str
    file: str
    offset: int
    optional: set[ast.AST]
    whole: bool = False


def _run_by_import(tree: ast.AST, functions: list[_Function]) -> Iterator[ast.AST]:
    """What of a module is run when it is imported; its functions, but those that Python calls, are listed."""
    waiting = deque([tree])
    while waiting:
        node = waiting.popleft()
        yield node
        if isinstance(node, _Function) and not node.name.startswith("__"):
            functions.append(node)
            waiting += [*node.decorator_list, node.args]
        else:
            waiting.extend(ast.iter_child_nodes(node))


def _optional(tree: ast.AST) -> Iterator[ast.AST]:
    """What is imported in a `try` that catches its failing, or for type checkers only."""
    for node in ast.walk(tree):
        if (isinstance(node, ast.Try) and any(map(_catches_imports, node.handlers))) or (
            isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        ):
            for statement in node.body:
                imports = (ast.Import, ast.ImportFrom, ast.Call)
                yield from (inner for inner in ast.walk(statement) if isinstance(inner, imports))


def _catches_imports(handler: ast.ExceptHandler) -> bool:
    caught = "" if handler.type is None else ast.unparse(handler.type)
    named = ("ImportError", "ModuleNotFoundError", "Exception")
    return not caught or any(name in caught for name in named)


@cache
def _installed() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@cache
def _site_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    return tuple({Path(paths[name]).resolve() for name in ("purelib", "platlib")})


@cache
def _distribution(top: str) -> tuple[str, str] | None:
    """The distribution, and its version, that a module is installed from; none where its source is local."""
    names = _installed().get(top)
    if not names:
        return None
    with suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(top)
        place = spec and (spec.origin or next(iter(spec.submodule_search_locations or []), None))
        if place and not any(folder in Path(place).resolve().parents for folder in _site_folders()):
            return None
    return names[0], importlib.metadata.version(names[0])


def _is_local(name: str) -> bool:
    top = name.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in OWN and _distribution(top) is None


def _spec(name: str) -> ModuleSpec | None:
    """Where a module is. Unlike `find_spec` of importlib this imports no package to look into it."""
    with suppress(ImportError, ValueError, AttributeError):
        parent = name.rpartition(".")[0]
        if not parent or name in sys.modules:
            return importlib.util.find_spec(name)
        package = sys.modules.get(parent) or _spec(parent)
        path = getattr(package, "__path__", None) or getattr(package, "submodule_search_locations", None)
        finders = filter(None, map(pkgutil.get_importer, path or ()))
        return next(filter(None, (finder.find_spec(name) for finder in finders)), None)
    return None
