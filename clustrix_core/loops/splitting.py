"""`explain`, `plan` and `split`."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CellType, FunctionType, MethodType
from typing import Any, Literal, cast

from clustrix_core.errors import LoopError
from clustrix_core.loops.analysis import Analysis
from clustrix_core.loops.calls import METHODS
from clustrix_core.loops.report import Explanation, Verdict
from clustrix_core.loops.source import (
    Sources,
    definition,
    globals_named,
    key,
    reachable,
    rebuilt,
    source_of,
    users_classes,
)

Mode = bool | Literal["require", "trust", "check"]


@dataclass(frozen=True)
class Plan:
    """A function, and the texts by which its loops can be split where those aren't at hand.

    Attributes:
        function: the function.
        sources: the texts of it and of the functions that it may call.
    """

    function: Any
    sources: Sources


def plan(function: Any) -> Plan:
    """Keep what splitting needs; it can be pickled, and given to `split` in another process."""
    sources: Sources = {}
    for one in (*reachable(plain(function)), *_methods(plain(function))):
        found = source_of(one, {})
        if found is not None:
            sources[key(one.__code__)] = found
    return Plan(function, sources)


def _methods(function: Any) -> Iterator[FunctionType]:
    """Methods that it may call of objects that it is given, of classes that have no file to be read from."""
    names = {name for one in reachable(function) for name in globals_named(one.__code__)} - METHODS.keys()
    for cls in users_classes():
        if cls.__module__ == "__main__" and not vars(cls).keys().isdisjoint(names):
            yield from reachable(cls)


def plain(function: Any) -> Any:
    """The function itself, of one that runs as a job."""
    return getattr(function, "local", function)


def explain(function: Any, *, trust: bool = False) -> Explanation:
    """Tell which loops of a function are split, and why the others aren't.

    Args:
        function: the function, or a `Plan`.
        trust: take it for granted that what can't be proved is independent.
    """
    given = function if isinstance(function, Plan) else Plan(function, {})
    target = plain(given.function)
    name = getattr(target, "__qualname__", repr(target))
    reason = unanalysable(target, given.sources)
    if reason:
        code = getattr(target, "__code__", None)
        return Explanation(name, code.co_filename if code else "", {}, (), reason)
    target = cast("FunctionType", target.__func__ if isinstance(target, MethodType) else target)
    node: Any = definition(target, given.sources)
    source = source_of(target, given.sources)
    assert source is not None
    lines = {source.line + number: line for number, line in enumerate(source.text.splitlines())}
    analysis = Analysis(target, node, given.sources, trust)
    return Explanation(name, source.file, lines, tuple(loop.verdict for loop in analysis.loops))


def unanalysable(function: Any, sources: Sources) -> str:
    """Why nothing can be said about the loops of a function, if so."""
    function = function.__func__ if isinstance(function, MethodType) else function
    if not isinstance(function, FunctionType):
        return f"{type(function).__name__} isn't a function written in Python"
    if source_of(function, sources) is None:
        return "its source isn't to be had: write it in a file or a notebook"
    node = definition(function, sources)
    if node is None:
        return "the source isn't what is running: the file has changed, or the code was made in another way"
    if not hasattr(node, "decorator_list"):
        return "it is a lambda: write it with def"
    return ""


def split(
    function: Any, *, workers: int, mode: Mode = True, always: bool = False, progress: bool = False
) -> Callable[..., Any]:
    """Make a function whose independent loops run in parallel, with the results of the serial ones.

    Args:
        function: the function, or a `Plan`.
        workers: how many processes work on a loop.
        mode: True; False, to leave it alone; `"require"`, for an error if a loop can't be split; `"trust"`,
            to take it for granted that what can't be proved is independent; `"check"`, to compute each
            iteration in both ways, for an error where those differ.
        always: split whatever can be, worth it or not.
        progress: show how far a loop is that is split: a line that changes at a terminal, or in a notebook,
            and a line now and then elsewhere, on standard error.

    Raises:
        LoopError: a loop can't be split, and it is required.
    """
    given = function if isinstance(function, Plan) else Plan(function, {})
    target = plain(given.function)
    if mode not in (True, False, "require", "trust", "check"):
        raise ValueError(f'mode is True, False, "require", "trust" or "check", not {mode!r}')
    if mode is False:
        return target  # type: ignore[no-any-return]
    if isinstance(target, MethodType):
        inner = split(
            Plan(target.__func__, given.sources), workers=workers, mode=mode, always=always, progress=progress
        )
        return MethodType(inner, target.__self__)
    reason = unanalysable(target, given.sources)
    if reason:
        if mode == "require":
            raise LoopError(f"{getattr(target, '__qualname__', target)} can't be split: {reason}")
        return target  # type: ignore[no-any-return]
    node: Any = definition(target, given.sources)
    analysis = Analysis(target, node, given.sources, mode == "trust")
    if mode == "require":
        _require(target, [loop.verdict for loop in analysis.loops])
    made: Callable[..., Any] = _made(analysis, given.sources, workers, mode, always, progress)
    return made


def _require(function: FunctionType, verdicts: list[Verdict]) -> None:
    refused = [one for one in verdicts if not one.split and one.code != "inside-split"]
    if refused:
        lines = "\n".join(f"  {one.file}:{one.line}: {one.text}" for one in refused)
        raise LoopError(f"{function.__qualname__} has loops that can't be split:\n{lines}")


def _made(
    analysis: Analysis, sources: Sources, workers: int, mode: Mode, always: bool, progress: bool
) -> Any:
    from clustrix_core.loops import rewrite
    from clustrix_core.loops.execution import Part, Runtime

    function = analysis.function
    parts, loops = [], []
    for loop in analysis.loops:
        code = rewrite.iteration(loop, function) if loop.verdict.split else None
        if code is not None:
            name = f"the loop in {function.__qualname__} ({loop.verdict.file}:{loop.verdict.line})"
            parts.append(Part(loop, _iterating(function, code), name))
            loops.append(loop)
    whole = rewrite.rewritten(analysis, loops) if loops else None
    if whole is None:
        return function
    cells = {
        rewrite.RUN: CellType(Runtime(parts, sources, workers, mode, always, progress)),
        rewrite.LOCALS: CellType(builtins.locals),
    }
    return rebuilt(function, whole, cells)


def _iterating(function: FunctionType, code: Any) -> FunctionType:
    own = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    made = FunctionType(
        code, function.__globals__, function.__name__, None, tuple(own[name] for name in code.co_freevars)
    )
    made.__module__, made.__qualname__ = function.__module__, function.__qualname__
    return made


__all__ = ["Plan", "explain", "plan", "split"]
