"""Loops that run in parallel by themselves, where that is safe.

`explain` tells which loops of a function can be split, and why the others can't; `split` makes a function that
splits them; `independent` declares what can't be proved. Each name is imported when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # see clustrix_core
if TYPE_CHECKING:
    from clustrix_core.errors import LoopError
    from clustrix_core.loops.declared import independent
    from clustrix_core.loops.report import Explanation, Verdict
    from clustrix_core.loops.splitting import Mode, Plan, explain, plan, split

_EXPORTS = {
    "Explanation": "loops.report",
    "LoopError": "errors",
    "Mode": "loops.splitting",
    "Plan": "loops.splitting",
    "Verdict": "loops.report",
    "explain": "loops.splitting",
    "independent": "loops.declared",
    "plan": "loops.splitting",
    "split": "loops.splitting",
}

__all__ = ["Explanation", "LoopError", "Mode", "Plan", "Verdict", "explain", "independent", "plan", "split"]


def __getattr__(name: str) -> object:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"clustrix_core.{module}"), name)
    globals()[name] = value
    return value
