"""Functions that the tests of failures run as jobs on a cluster: a local module, which travels."""

from __future__ import annotations

import time
from typing import Any


def marks(name: str, seconds: float = 0.0) -> int:
    """Count how often it was begun."""
    with open(name, "a") as file:
        file.write("x")
    time.sleep(seconds)
    with open(name) as file:
        return len(file.read())


def large(size: int) -> bytes:
    return bytes(size)


def prints(size: int) -> str:
    for _ in range(size >> 10):
        print("x" * 1023, flush=True)
    return "printed"


def unpicklable() -> Any:
    return (number for number in range(3))


def imports() -> str:
    import paramiko

    return str(paramiko.__version__)
