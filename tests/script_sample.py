"""A script whose functions run as jobs: what they find there is what they find here."""

from __future__ import annotations

import functools
import multiprocessing
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from clustrix import Job, cluster

seen: list[object] = []
note = seen.append
draw = random.Random(5).random
count = 0
scale = 1


@dataclass
class Model:
    size: int
    made: ClassVar[int] = 0

    def remembers(self, what: object) -> int:
        seen.append(what)
        return len(seen)

    def scaled(self) -> int:
        return self.size * scale

    @functools.cached_property
    def doubled(self) -> int:
        return self.size * 2


def traced(function: Callable[[int], int]) -> Callable[[int], int]:
    @functools.wraps(function)
    def wrapper(x: int) -> int:
        return function(x)

    return wrapper


@traced
def power(x: int) -> int:
    return x**2


class Labelled(functools.cached_property):  # type: ignore[type-arg]
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return "label", super().__get__(instance, owner)


class Thing:
    @Labelled
    def name(self) -> str:
        return "thing"


def static() -> int:
    static.n = getattr(static, "n", 0) + 1  # type: ignore[attr-defined]
    return int(static.n)  # type: ignore[attr-defined]


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
def counts(_number: int) -> int:
    """What it sets, no other call sees."""
    global count
    count += 1
    return count


@cluster
def collects(number: int) -> int:
    """Nor what it adds to."""
    seen.append(number)
    return len(seen)


@cluster
def notes(number: int) -> int:
    note(number)
    return len(note.__self__)


@cluster
def draws(_number: int) -> float:
    return draw()


@cluster
def remembers_by_attributes(_number: int) -> tuple[int, int]:
    Model.made += 1
    return static(), Model.made


@cluster
def reaches(_number: int) -> int:
    names = globals()
    names["reached"] = names.get("reached", 0) + 1
    return int(names["reached"])


@cluster
def has_called(function: Callable[[], int] | None) -> int:
    if function:
        function()
    return scale


def sets_scale() -> int:
    global scale
    scale = 99
    return 0


@cluster
def labels() -> tuple[str, str]:
    return Thing().name


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
    yield labels, ()


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
    for function in counts, collects, notes, draws, remembers_by_attributes, reaches:
        print(function.name, len({*function.map(range(200))}))
    print("has_called", {*has_called.map([sets_scale, *[None] * 200])} - {99})
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
