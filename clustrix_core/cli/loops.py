"""The command for loops: `explain`."""

from __future__ import annotations

import ast
import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from clustrix_core.cli.failures import NO, OK
from clustrix_core.cli.output import Output, output_options
from clustrix_core.errors import ClustrixError, near, printable

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

MARK = "::"


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    file, mark, begun = _parts(incomplete)
    with suppress(Exception):  # nobody can be told
        if mark:
            source = file if mark == MARK else _source(file)
            return [f"{file}{mark}{name}" for name in _functions_of(source) if name.startswith(begun)]
        if "." in file and "/" not in file and (modules := _modules(file)):
            return modules
        folder, _, name = file.rpartition("/")
        entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
        prefix = file.removesuffix(name)
        return [
            f"{prefix}{entry.name}{'/' if entry.is_dir() else MARK}"
            for entry in entries
            if entry.name.startswith(name or tuple("abcdefghijklmnopqrstuvwxyz_ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
            and (entry.is_dir() or entry.name.endswith(".py"))
        ]
    return []


@click.command()
@click.argument("target", metavar=f"FILE{MARK}FUNCTION|MODULE:FUNCTION", shell_complete=_complete)
@click.option("--trust", is_flag=True, help='Take what can\'t be proved for granted, as parallel="trust".')
@output_options(null=False)
def explain(target: str, trust: bool, output: Output) -> int:
    """Show which loops of a function can run in parallel, and why the others can't.

    FILE is imported, so what stands outside of its functions is run; so is MODULE, such as package.module,
    which is looked for in the current folder first, as by python -m. A method is CLASS.METHOD.

    The exit code is 1 if there is a loop that can't, which is what parallel="require" refuses.
    """
    from clustrix_core import loops

    path, mark, name = _parts(target)
    by_name = mark == ":"
    if not by_name and not os.path.exists(path):
        _refuse_no_file(path, mark)
    known = _functions_of(_source(path) if by_name else path)
    if not name:
        _refuse_no_function(path, mark or MARK, known)
    module = _imported_module(path, name) if by_name else imported(Path(path))
    function = _found(module, path, mark, name, known)
    own = getattr(getattr(function, "options", None), "parallel", None) == "trust"
    explanation = loops.explain(function, trust=trust or own)
    if output.as_json:
        output.document(explanation.as_dict())
    else:
        output.line(explanation.shown(output.paint))
    return NO if explanation.reason or explanation.refused else OK


def imported(file: Path) -> ModuleType:
    """Import a file by the name that it has in the packages that it is in. What it prints goes to stderr.

    Raises:
        ClustrixError: it can't be imported.
    """
    from importlib import import_module
    from importlib.machinery import SourceFileLoader
    from importlib.util import module_from_spec, spec_from_loader

    file = file.absolute()
    package, folder = "", file.parent
    while (folder / "__init__.py").is_file():
        package, folder = f"{folder.name}.{package}", folder.parent
    name = package + file.stem
    if not package and (name in sys.modules or name in sys.stdlib_module_names):
        name = f"{name}_of_{file.parent.name}"
    sys.path.insert(0, str(folder))
    loader = SourceFileLoader(name, str(file))
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    with _importing(file):
        if package:
            import_module(package.rstrip("."))
        sys.modules[name] = module
        loader.exec_module(module)
    return module


def _imported_module(name: str, function: str) -> ModuleType:
    """Import a module by its name, from the current folder if it is there.

    Raises:
        ClickException: there is none.
        ClustrixError: it can't be imported.
    """
    from importlib import import_module

    if os.path.isfile(name) or not all(part.isidentifier() for part in name.split(".")):
        _refuse_no_module(name, function)
    _refuse_namesake(name, function)
    sys.path.insert(0, os.getcwd())
    with _importing(name):
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name and f"{name}.".startswith(f"{error.name}."):
                _refuse_no_module(name, function)
            raise


@contextmanager
def _importing(what: object) -> Iterator[None]:
    """What is printed goes to stderr."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except click.ClickException:
        raise
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        raise ClustrixError(
            f"{printable(what)} can't be imported: {printable(said)}; "
            "`clustrix --debug explain ...` shows where"
        ) from error


def _source(name: str) -> Path | None:
    """The file of a module. Nothing is imported for that."""
    spec = _spec(name)
    return Path(spec.origin) if spec and spec.origin else None


def _spec(name: str) -> ModuleSpec | None:
    from importlib.machinery import PathFinder

    folders, spec = [os.getcwd(), *sys.path], None
    parts = name.split(".")
    for number in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: number + 1]), folders)
        if spec is None:
            return None
        folders = list(spec.submodule_search_locations or ())
    return spec


def _modules(begun: str) -> list[str]:
    """The modules of a package that begin so."""
    from pkgutil import iter_modules

    package, _, name = begun.rpartition(".")
    spec = _spec(package)
    found = []
    for module in iter_modules(spec.submodule_search_locations or [] if spec else []):
        if module.name.startswith(name):
            found += [f"{package}.{module.name}{end}" for end in (":", *(["."] if module.ispkg else []))]
    return found


def _found(module: Any, path: str, mark: str, name: str, known: list[str]) -> Any:
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            close = " or ".join(near(name, known)) or ", ".join(known)
            meant = f"; did you mean {close}?" if close else ""
            raise click.ClickException(f"{printable(path)} has no function {printable(name)}{meant}")
    if isinstance(found, type):
        method = next((one for one in known if one.startswith(f"{name}.")), f"{name}.METHOD")
        raise click.UsageError(
            f"{name} is a class; name a method of it, as in {printable(path)}{mark}{method}"
        )
    return found


def _refuse_no_function(path: str, mark: str, known: list[str]) -> NoReturn:
    what = "module" if mark == ":" else "file"
    example = f"{printable(path)}{mark}{known[0] if known else 'FUNCTION'}"
    raise click.UsageError(f"name a function of the {what}, as in {example}")


def _refuse_no_file(path: str, mark: str) -> NoReturn:
    if not mark and _source(path):
        _refuse_no_function(path, ":", _functions_of(_source(path)))
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _refuse_no_module(name: str, function: str) -> NoReturn:
    if os.path.isfile(name):
        example = f"{printable(name)}{MARK}{printable(function or 'FUNCTION')}"
        raise click.UsageError(f"a function of a file is named with two colons, as in {example}")
    raise click.ClickException(
        f"there is no module {printable(name)} in the current folder or where else Python looks; "
        f"go to the folder that it is in, or name its file, as in FILE{MARK}{printable(function)}"
    )


def _refuse_namesake(name: str, function: str) -> None:
    """What this program has imported itself stays what it is."""
    loaded, source = sys.modules.get(name), _source(name)
    if loaded is not None and source is not None and getattr(loaded, "__file__", None) != str(source):
        raise click.ClickException(
            f"{printable(source)} has the name of a module that this command uses; "
            f"name the file, as in {printable(os.path.relpath(source))}{MARK}{printable(function)}"
        )


def _parts(target: str) -> tuple[str, str, str]:
    """A file or a module, the colons behind it, and a function."""
    if MARK in target:
        return target.partition(MARK)
    return (target, "", "") if os.path.exists(target) else target.partition(":")


def _functions_of(file: str | Path | None) -> list[str]:
    """The functions of a file; none where it can't be read, which whoever imports it is told."""
    with suppress(OSError, SyntaxError, ValueError):
        return [*functions(ast.parse(Path(file or "").read_bytes()))]
    return []


def functions(tree: ast.Module) -> Iterator[str]:
    """The functions and methods of a file, by the names that they are found by."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for name in functions(ast.Module(node.body, [])):
                yield f"{node.name}.{name}"
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name


COMMANDS: Iterable[click.Command] = (explain,)
