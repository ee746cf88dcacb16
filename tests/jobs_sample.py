"""Functions that the tests run as jobs: a local module, which travels."""

from __future__ import annotations

import os
import sys
from typing import Any

from clustrix import ClusterConfig, cluster, cluster_find, cluster_open

FACTOR = 2


class ProblemError(Exception):
    """An exception that only this module has."""


@cluster
def double(x: Any) -> Any:
    print("doubling", x)
    return x * FACTOR


@cluster
def raises(text: str) -> None:
    raise ProblemError(text)


@cluster
def ends(status: int) -> None:
    os._exit(status)


@cluster
def exits(message: str) -> None:
    sys.exit(message)


@cluster
def unpicklable() -> Any:
    return (number for number in range(3))


@cluster
def raises_unpicklable() -> Any:
    class LocalError(Exception):
        def __init__(self) -> None:
            super().__init__("here")
            self.lock = sys.stdout

    raise LocalError


@cluster
def looks(config: ClusterConfig) -> dict[str, Any]:
    """What a function in a job sees of the place."""
    with cluster_open("seen", "w", config=config) as file:
        file.write("by the job")
    return {
        "found": cluster_find("*.csv", ".", config),
        "active": cluster_find("*.csv"),
        "folder": os.getcwd(),
        "inner": double(4),
        "password": config.password,
        "key_file": config.key_file,
        "parent": os.environ["CLUSTRIX_HERE"],
        "tool": os.environ.get("TOOL_HOME"),
    }


@cluster
def sleeps(seconds: float) -> str:
    import time

    print("began", flush=True)
    time.sleep(seconds)
    return "slept"


@cluster
def big(size: int) -> bytes:
    return bytes(size)


class Bomb:
    """What ends the process that unpickles it."""

    def __reduce__(self) -> Any:
        return sys.exit, ("boom",)


@cluster
def bomb() -> Bomb:
    return Bomb()


@cluster
def stubborn(folder: str) -> None:
    """Ignores SIGTERM, and so does what it starts."""
    import signal
    import subprocess
    import time

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "1000"])
    with open(os.path.join(folder, "pids"), "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    time.sleep(1000)


@cluster
def counts(file: str) -> int:
    """Leaves a mark each time that it runs."""
    with open(file, "a") as marks:
        marks.write("x")
    return os.path.getsize(file)


@cluster
def naps(seconds: float) -> float:
    import time

    time.sleep(seconds)
    return seconds


@cluster
def folder(number: int) -> tuple[str, int, bool]:
    return os.getcwd(), os.getpid(), bool(os.environ.get("CLUSTRIX_HERE"))


@cluster
def fails_at(number: int, bad: int) -> int:
    if number == bad:
        raise ProblemError(str(number))
    return number


@cluster
def unpicklable_at(number: int, bad: int) -> Any:
    return (x for x in range(3)) if number == bad else number


@cluster
def ends_at(bad: int) -> int:
    if bad:
        os._exit(7)
    return bad


@cluster
def reads(path: str) -> str:
    with open(path) as file:
        return file.read()


@cluster
def gives(value: Any) -> Any:
    return value


@cluster
def raises_called(name: str) -> None:
    raise type(name, (Exception,), {})("as it likes")
