"""The command for loops: `explain`."""

from __future__ import annotations

import ast
import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from clustrix_core.cli.failures import NO, OK
from clustrix_core.cli.output import Output, output_options
from clustrix_core.errors import ClustrixError, near, printable

MARK = "::"


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    file, mark, begun = incomplete.partition(MARK)
    with suppress(Exception):  # nobody can be told
        if mark:
            found = functions(ast.parse(Path(file).read_bytes()))
            return [f"{file}{MARK}{name}" for name in found if name.startswith(begun)]
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
@click.argument("target", metavar=f"FILE{MARK}FUNCTION", shell_complete=_complete)
@click.option("--trust", is_flag=True, help='Take what can\'t be proved for granted, as parallel="trust".')
@output_options(null=False)
def explain(target: str, trust: bool, output: Output) -> int:
    """Show which loops of a function can run in parallel, and why the others can't.

    FILE is imported, so what stands outside of its functions is run. A method is CLASS.METHOD.

    The exit code is 1 if there is a loop that can't, which is what parallel="require" refuses.
    """
    from clustrix_core import loops

    path, _, name = target.partition(MARK)
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if not name:
        _refuse_no_function(path)
    function = _found(imported(Path(path)), path, name)
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
    try:
        with redirect_stdout(sys.stderr):
            if package:
                import_module(package.rstrip("."))
            sys.modules[name] = module
            loader.exec_module(module)
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        raise ClustrixError(
            f"{printable(file)} can't be imported: {printable(said)}; "
            "`clustrix --debug explain ...` shows where"
        ) from error
    return module


def _found(module: ModuleType, path: str, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            known = [*functions(ast.parse(Path(path).read_bytes()))]
            close = " or ".join(near(name, known)) or ", ".join(known)
            meant = f"; did you mean {close}?" if close else ""
            raise click.ClickException(f"{printable(path)} has no function {printable(name)}{meant}")
    return found


def _refuse_no_function(path: str) -> None:
    known = [*functions(ast.parse(Path(path).read_bytes()))]
    example = f"{printable(path)}{MARK}{known[0] if known else 'FUNCTION'}"
    raise click.UsageError(f"name a function of the file, as in {example}")


def functions(tree: ast.Module) -> Iterator[str]:
    """The functions and methods of a file, by the names that they are found by."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for name in functions(ast.Module(node.body, [])):
                yield f"{node.name}.{name}"
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name


COMMANDS: Iterable[click.Command] = (explain,)
