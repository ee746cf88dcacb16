"""A function that does next to nothing, in a module that brings nothing else along."""

from __future__ import annotations


def increment(number: int) -> int:
    return number + 1
