"""A script whose functions run as jobs: what they find there is what they find here."""

from __future__ import annotations

import functools
import multiprocessing
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from clustrix import Job, cluster

seen: list[object] = []
scale = 1


@dataclass
class Model:
    size: int

    def remembers(self, what: object) -> int:
        seen.append(what)
        return len(seen)

    def scaled(self) -> int:
        return self.size * scale

    @functools.cached_property
    def doubled(self) -> int:
        return self.size * 2


def power(x: int) -> int:
    return x**2


@functools.lru_cache(maxsize=50)
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@cluster
def shares(model: Any) -> int:
    """The function, and a method of what it is called with, mean the same list."""
    seen.append("from the function")
    return int(model.remembers("from the method"))


@cluster
def by_name(model: object, function: Callable[[int], int]) -> tuple[bool, list[int]]:
    """What pickles by name finds the classes and functions of the script."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pickle.loads(pickle.dumps(model)) == model, pool.map(function, range(4))


@cluster
def spawns() -> list[int]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(abs, [-1])


@cluster
def memoizes(n: int) -> tuple[int, int | None]:
    return fibonacci(n), fibonacci.cache_info().maxsize


@functools.singledispatch
def depth(value: object) -> int:
    return 0


@depth.register
def _(value: list) -> int:  # type: ignore[type-arg]
    return 1 + max(map(depth, value), default=0)


@cluster
def dispatches(value: object) -> int:
    return depth(value)


@cluster
def keeps(model: Model) -> tuple[int, bool]:
    return model.doubled, "doubled" in vars(model)


@cluster
def makes(size: int) -> Model:
    return Model(size)


def asked() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    yield shares, (Model(1),)
    yield by_name, (Model(2), power)
    yield spawns, ()
    yield memoizes, (30,)
    yield dispatches, ([[], [[]]],)
    yield keeps, (Model(4),)


class ModelError(Exception):
    pass


@cluster
def fails(size: int) -> None:
    error = ModelError(size)
    error.model = Model(size)  # type: ignore[attr-defined]
    raise error


def attach(id: str) -> None:
    try:
        Job.attach(id).result(90)
    except ModelError as error:
        print("again", type(error.model) is Model, error.model.scaled())  # type: ignore[attr-defined]


def main(way: str) -> None:
    global scale
    for function, arguments in asked():
        there = function.submit(*arguments).result(90) if way == "submit" else function(*arguments)
        print(function.name, there == function.local(*arguments))
    seen.clear()
    made = makes.submit(3).result(90) if way == "submit" else makes(3)
    scale = 5  # what came back leaves the class as it is: it means the variables of this script
    print("makes", type(made) is Model, made.scaled(), made.remembers("here"), len(seen))


if __name__ == "__main__":
    if sys.argv[1] == "end":
        print(fails.submit(1).id)
    elif sys.argv[1] == "attach":
        scale = 7
        attach(sys.argv[2])
    else:
        main(sys.argv[1])
