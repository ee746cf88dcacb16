"""How the corpora of loops are written down: functions, what is true of their loops, and arguments to run them with."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

SPLIT = "split"
INSIDE = "inside-split"
# Independent in truth, but only those who know more than the source says can tell.
EITHER = "either"

Function = Callable[..., Any]
Arguments = Callable[[Path], tuple[Any, ...]]


@dataclass(frozen=True)
class Case:
    """A function with loops, in source order: `SPLIT`, `INSIDE`, `EITHER`, or why not, as `THEMES` names it."""

    function: Function
    loops: tuple[str, ...]
    args: Arguments

    @property
    def name(self) -> str:
        return self.function.__name__


def three_numbers(here: Path) -> tuple[list[int]]:
    return ([3, 1, 2],)


def registry(cases: dict[str, Case]) -> Callable[..., Callable[[Function], Function]]:
    """A decorator that writes a function into `cases`, and leaves it as it is."""

    def case(*loops: str, args: Arguments = three_numbers) -> Callable[[Function], Function]:
        def register(function: Function) -> Function:
            assert function.__name__ not in cases, function.__name__
            cases[function.__name__] = Case(function, loops, args)
            return function

        return register

    return case


@functools.cache
def _compiled(path: Path) -> CodeType:
    return compile(path.read_text(), str(path), "exec", dont_inherit=True)


def fresh(name: str) -> ModuleType:
    """The module as if imported for the first time: whatever earlier runs did to its globals is gone."""
    path = Path(__file__).with_name(f"{name}.py")
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(_compiled(path), vars(module))
    return module
