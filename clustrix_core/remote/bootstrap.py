"""How the agent gets there: a command line for any login shell, and a source that follows right behind it."""

from __future__ import annotations

import ast
import secrets
import shlex
import zlib
from functools import cache
from importlib import resources

PYTHONS = ("python3", "/usr/libexec/platform-python", "python")
NO_PYTHON = "no Python 3.6 or newer found"  # said where there is none of them
TOO_OLD = 9  # the exit code of a Python that can't run the agent

_START = """
import sys, types
package = types.ModuleType("clustrix_core")
package.__path__ = []
sys.modules["clustrix_core"] = package
for name, source in {sources!r}:
    module = types.ModuleType("clustrix_core." + name)
    sys.modules[module.__name__] = module
    setattr(package, name, module)
    exec(compile(source, "<clustrix " + name + ">", "exec"), module.__dict__)
module.main({marker!r}, {work_dir!r}, {beat!r})
"""


def new_marker() -> bytes:
    """What an agent says first, by which its answers are told from the noise of a login."""
    return b"clustrix " + secrets.token_hex(16).encode() + b"\n"


def payload(marker: bytes, work_dir: str | None, beat: float) -> bytes:
    """The compressed source of an agent; `beat` is the time between its signs of life, in seconds."""
    text = _START.format(sources=_sources(), marker=marker, work_dir=work_dir, beat=beat)
    return zlib.compress(text.encode("utf-8", "surrogatepass"), 9)


def command(size: int, python: str | None = None) -> str:
    """A command line that starts a Python which reads `size` bytes of compressed source from its input.

    It is one that sh, bash, csh, fish and restricted shells take alike: single quotes, and within them no
    single quote, `!` or newline.

    Args:
        size: the length of the payload in bytes.
        python: the interpreter to use, instead of looking for one.
    """
    code = (
        f"import os,sys,zlib;sys.version_info<(3,6) and os._exit({TOO_OLD});"
        f"r=lambda b:b if len(b)=={size} else r(b+(os.read(0,{size}-len(b))or os._exit(1)));"
        "exec(zlib.decompress(r(bytes())).decode(chr(117)+chr(116)+chr(102)+chr(56)))"
    )
    if python is not None:
        at_home = python.startswith("~/")
        quoted = f'"$HOME"/{shlex.quote(python[2:])}' if at_home else shlex.quote(python)
        return f'{quoted} -I -S -c "{code}"'
    # One that is too old says so, or doesn't know the options (2), before it has read anything.
    script = (
        f'for p in {" ".join(PYTHONS)}; do command -v "$p" >/dev/null 2>&1 || continue; '
        f'"$p" -I -S -c "{code}"; s=$?; [ $s = {TOO_OLD} ] || [ $s = 2 ] || [ $s = 127 ] || exit $s; done; '
        f"echo {NO_PYTHON} >&2; exit 127"
    )
    return f"sh -c '{script}'"


@cache
def _sources() -> list[tuple[str, str]]:
    return [("engine", _small("engine.py")), ("agent", _small("remote/agent.py"))]


def _small(path: str) -> str:
    """A module's source without comments, docstrings and annotations: it is to fit into one TCP window."""
    tree = ast.parse(resources.files("clustrix_core").joinpath(path).read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in (*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs):
                argument.annotation = None
            for extra in (node.args.vararg, node.args.kwarg):
                if extra is not None:
                    extra.annotation = None
    return ast.unparse(tree)
