"""Loops that run in parallel by themselves, where that is safe.

`explain` tells which loops of a function can be split, and why the others can't; `split` makes a function
that splits them; `independent` declares what can't be proved.
"""

from __future__ import annotations

from clustrix_core.errors import LoopError
from clustrix_core.loops.declared import independent
from clustrix_core.loops.report import Explanation, Verdict
from clustrix_core.loops.splitting import Plan, explain, plan, split

__all__ = ["Explanation", "LoopError", "Plan", "Verdict", "explain", "independent", "plan", "split"]
