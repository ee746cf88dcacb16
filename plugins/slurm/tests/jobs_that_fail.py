"""Functions that the tests of failures run as jobs on a cluster: a local module, which travels."""

from __future__ import annotations

import os
import time
from typing import Any


def marks(name: str, seconds: float = 0.0) -> int:
    """Count how often it was begun."""
    with open(name, "a") as file:
        file.write("x")
    time.sleep(seconds)
    with open(name) as file:
        return len(file.read())


def variable(name: str) -> str | None:
    return os.environ.get(name)


def large(size: int) -> bytes:
    return bytes(size)


def prints(size: int) -> str:
    for _ in range(size >> 10):
        print("x" * 1023, flush=True)
    return "printed"


def unpicklable() -> Any:
    return (number for number in range(3))


def waits_for(name: str) -> str:
    """Wait for a file."""
    with open(f"{name}-begun", "w") as file:
        file.write("x")
    while not os.path.exists(name):
        time.sleep(0.05)
    return name


def adds(number: int) -> int:
    return number + 1


def raises() -> None:
    raise ValueError("on purpose")


def takes(size: int) -> int:
    """Take so many bytes of memory, and keep them for long."""
    taken = bytearray(size)
    for page in range(0, size, 4096):
        taken[page] = 1
    time.sleep(1000)
    return len(taken)
