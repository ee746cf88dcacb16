"""What forked children do first.

In a module of its own: the interpreter keeps such a function until the very end, with all that it refers to,
and whatever is still there by then is slow to go.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable

_methods: list[weakref.WeakMethod[Callable[[], object]]] = []


def after_in_child(method: Callable[[], object]) -> None:
    """Call this method in every forked child, as long as its object is there."""
    _methods.append(weakref.WeakMethod(method))


def _run() -> None:
    for reference in _methods:
        method = reference()
        if method is not None:
            method()


os.register_at_fork(after_in_child=_run)
