"""Functions that the tests run as jobs: a local module, which travels."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from typing import Any

from clustrix import ClusterConfig, cluster, cluster_find, cluster_open

FACTOR = 2


class ProblemError(Exception):
    """An exception that only this module has."""


class PairError(Exception):
    """One whose `__init__` takes something else than it hands on."""

    def __init__(self, code: int, *, more: str) -> None:
        super().__init__(f"{code}: {more}")
        self.code = code


class CodeError(Exception):
    """One whose `__init__` makes a text of what it is given."""

    def __init__(self, code: object) -> None:
        super().__init__(f"code {code}")
        self.code = code


@cluster
def raises_code(code: int) -> None:
    raise CodeError(code)


@cluster
def raises_pair(code: int) -> None:
    raise PairError(code, more="more")


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
def prints_and_ends(text: str) -> None:
    print(text)
    os.system(f"echo after {text}")
    os._exit(1)


@cluster
def ends_processes_that_begin(count: int) -> int:
    fork = multiprocessing.get_context("fork")
    for _ in range(count):
        process = fork.Process(target=time.sleep, args=(1000,))
        process.start()
        process.terminate()
        process.join()
    return count


@cluster
def leaves_processes_at_work() -> int:
    """As a pool does that isn't waited for: at the end of the block, and of this process, they are ended."""
    fork = multiprocessing.get_context("fork")
    fork.Process(target=time.sleep, args=(1000,), daemon=True).start()
    with fork.Pool(2) as processes:
        processes.map_async(time.sleep, [1000] * 4)
        time.sleep(0.2)
    return os.getpid()


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
            self.lock = threading.Lock()

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


def overlaps(folder: str) -> int:
    """How many are doing this at once, at most."""
    mark = os.path.join(folder, str(os.getpid()))
    with open(mark, "w"):
        pass
    most = 0
    for _ in range(10):
        most = max(most, len(os.listdir(folder)))
        time.sleep(0.01)
    os.unlink(mark)
    return most


def is_stubborn(folder: str) -> None:
    stubborn.local(folder)


def raises_it() -> None:
    raises_unpicklable.local()


def leaves_a_mark_and_dies(file: str) -> None:
    import signal

    with open(file, "a") as marks:
        marks.write("x")
    os.kill(os.getpid(), signal.SIGKILL)


def leaves_a_child(file: str) -> None:
    """Ends without a word, and leaves a process that was forked."""
    child = os.fork()
    if not child:
        time.sleep(30)
        os._exit(0)
    with open(file, "w") as pid:
        pid.write(str(child))
    os._exit(3)


@cluster
def forks() -> str:
    """Its child comes back as well, and first."""
    if child := os.fork():
        os.waitpid(child, 0)
    return "parent" if child else "child"


@cluster
def forks_and_notes(file: str) -> int:
    """How its child ended; whoever calls it leaves a mark."""
    with open(file, "a") as marks:
        marks.write("x")
    child = os.fork()
    return os.waitpid(child, 0)[1] if child else sys.exit(3)


class SillyError(Exception):
    """It can't say what it is."""

    def __str__(self) -> str:
        raise ValueError("no text")


@cluster
def raises_silly() -> None:
    raise SillyError


REMEMBERED: list[int] = []


@cluster
def remembers(number: int) -> list[int]:
    REMEMBERED.append(number)
    return REMEMBERED


@cluster
def takes(given: list[int]) -> int:
    given.append(1)
    return len(given)


class OnlyThere:
    """What can't be read where it wasn't made."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    def __setstate__(self, state: dict[str, Any]) -> None:
        if os.getpid() != state["pid"]:
            raise ProblemError("only there")


@cluster
def only_there_at(number: int, bad: int) -> Any:
    return OnlyThere() if number == bad else number


@cluster
def asks_inside(config: ClusterConfig, items: list[int]) -> Any:
    array = double.map(items)
    job = raises.submit("inside")
    return list(array), array.results(), repr(job.exception()), [job.id[-2:] for job in array.jobs]


@cluster
def dies_or_naps(seconds: float) -> None:
    if not seconds:
        os._exit(7)
    time.sleep(seconds)


class Thing:
    """One whose method runs as a job."""

    def __init__(self, number: int) -> None:
        self.number = number

    @cluster
    def times(self, factor: int) -> int:
        return self.number * factor
