"""The loops of a function that runs as a job: planned where it is submitted, split where it runs."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from clustrix_core.workers import cores

if TYPE_CHECKING:
    from clustrix_core.config import ClusterConfig
    from clustrix_core.jobs.decorator import ClusterFunction
    from clustrix_core.loops import Mode


class Loops(NamedTuple):
    """What splitting a function's loops takes.

    Attributes:
        mode: that of `split`.
        sources: the texts of the function and of those that it calls, pickled.
        progress: whether they tell how far they are.
    """

    mode: Mode
    sources: bytes
    progress: bool


def cores_of(function: ClusterFunction[Any, Any], config: ClusterConfig) -> int:
    """How many cores a job of the function asks for."""
    return function.options.resources.cores or config.default_cores or 1


def planned(function: ClusterFunction[Any, Any], config: ClusterConfig) -> Loops | None:
    """What has to travel so that the function's loops can be split; None if none will be.

    Raises:
        LoopError: one can't be, and `parallel="require"` asks for it.
    """
    mode = function.options.parallel
    if mode is False or (mode not in ("require", "check") and cores_of(function, config) == 1):
        return None
    from clustrix_core import loops

    if mode == "require":
        loops.split(function.local, workers=2, mode=mode)
    try:
        if mode != "require" and not any(loop.split for loop in function.explain().loops):
            return None
        sources = pickle.dumps(loops.plan(function.local).sources)
        return Loops(mode, sources, function.options.progress)
    except Exception as error:
        _left_alone(function.name, mode, error)
        return None


def split(function: Callable[..., Any], loops: Loops | None) -> Callable[..., Any]:
    """In the job: the function with loops that use all its cores. With one core it runs as it is written."""
    if loops is None or (cores() < 2 and loops.mode != "check"):
        return function
    from clustrix_core.loops import Plan
    from clustrix_core.loops import split as split_loops

    plan = Plan(function, pickle.loads(loops.sources))
    try:
        return split_loops(plan, workers=cores(), mode=loops.mode, progress=loops.progress)
    except Exception as error:
        _left_alone(getattr(function, "__qualname__", repr(function)), loops.mode, error)
        return function


def _left_alone(name: str, mode: Mode, error: Exception) -> None:
    """Looking at loops fails, which mustn't keep a function from running as it is written.

    Raises:
        Exception: what it fails with, where the caller counts on the loops.
    """
    if mode is not True:
        raise error
    logging.getLogger("clustrix.loops").warning("the loops of %s stay serial: %r", name, error)
