"""The script or notebook whose functions run as jobs: in a job, it is `__main__`, as far as it has travelled.

Functions and classes of a script travel by value. In the job they are put where they have been here, into
`__main__`, with the variables that they name. So what they share here they share there, and pickles by name,
such as those of `multiprocessing`, find them.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache, singledispatch
from importlib.machinery import ModuleSpec
from threading import RLock
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakSet

from cloudpickle import cloudpickle

_MEMOIZED = type(lru_cache(repr))
_DISPATCHER = singledispatch(repr).__code__  # type: ignore[attr-defined]

_arriving = False
_known: WeakSet[type] = WeakSet()
"""Classes of scripts that are in this process whole: what comes back has nothing to add to them."""


class Globals(dict[str, Any]):
    """Those of a script, on their way: what functions name is added when these arrive."""

    def __reduce__(self) -> Any:
        return variables, (dict(self),)


def globals_of_script() -> dict[int, Globals]:
    """What cloudpickle finds for functions of `__main__`, by the identity of their globals."""
    own = vars(sys.modules["__main__"])
    names = ("__name__", "__package__", "__path__", "__file__")
    return {id(own): Globals({name: own[name] for name in names if name in own})}


def variables(given: dict[str, Any]) -> dict[str, Any]:
    """The globals of functions that have arrived; a result that has functions leaves those here alone."""
    if not _arriving:
        return given
    script = vars(sys.modules["__main__"])
    script.update(given)
    # Processes that are spawned find no script to import; relative imports look at the name.
    package = given.get("__package__")
    script["__spec__"] = ModuleSpec(f"{package}.__main__" if package else "__main__", None)
    return script


def begin() -> None:
    """In a job: from now on, `__main__` is another script, and none of its classes has been here before."""
    sys.modules["__main__"] = ModuleType("__main__")
    cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.clear()
    cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS.clear()


@contextmanager
def arriving() -> Iterator[None]:
    """In a job: what is unpickled meanwhile belongs to `__main__`."""
    global _arriving
    _arriving = True
    try:
        yield
    finally:
        _arriving = False


def is_by_value(value: Any) -> bool:
    """Whether a function or class travels by value: no module has it under its name."""
    module = sys.modules.get(value.__module__)
    if module is None or value.__module__ == "__main__":
        return True
    found: Any = module
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is not value and getattr(found, "local", None) is not value  # what `cluster` decorates


def names_in(code: CodeType) -> Iterator[str]:
    """The globals and attributes that code, and the code in it, mentions."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def may_keep(function: Any) -> bool:
    """Whether a call of a function that has arrived may leave something behind for the next one.

    That of a module may, too, but there it is the module's own, which is imported once.
    """
    if not isinstance(function, FunctionType):
        return not (isinstance(function, BuiltinFunctionType) and _is_constant(function))
    if not is_by_value(function):
        return False
    named = [value for name, value in function.__globals__.items() if not name.startswith("__")]
    functions = [function, *(value for value in named if isinstance(value, FunctionType))]
    return any(map(_holds_something, functions)) or not all(map(_is_constant, named))


def _holds_something(function: FunctionType) -> bool:
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    kept = function.__closure__ or vars(function) or _sets_something(function.__code__)
    return bool(kept) or not all(map(_is_constant, defaults))


_SETTING = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_ATTR", "DELETE_ATTR"})
_REACHING = frozenset({"globals", "vars", "setattr", "delattr", "exec", "eval"})


def _sets_something(code: CodeType) -> bool:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    here = (instruction.opname in _SETTING for instruction in dis.get_instructions(code))
    return not _REACHING.isdisjoint(code.co_names) or any(here) or any(map(_sets_something, inner))


def _is_constant(value: Any) -> bool:
    if isinstance(value, BuiltinFunctionType):  # `from random import random` brings its generator along
        return isinstance(value.__self__, (ModuleType, type(None)))
    if isinstance(value, type):
        return not is_by_value(value)
    atoms = (bool, int, float, complex, str, bytes, type(None), ModuleType, FunctionType)
    return isinstance(value, atoms)


def reduced(value: Any, found: Any) -> Any:
    """How a function or class travels, given how cloudpickle has it travel."""
    if not isinstance(found, tuple) or len(found) < 6:  # by name
        return found
    if isinstance(value, FunctionType):
        return (*found[:5], function_has_arrived)
    _known.add(value)
    return class_named, (value.__module__, value.__qualname__, *found[:2]), *found[2:5], class_has_arrived


def reduced_wrapper(wrapper: Any) -> Any:
    """How what `functools` makes of functions travels, where it can't by itself; else None."""
    if isinstance(wrapper, cached_property):  # before Python 3.12 it has a lock
        return cached, (type(wrapper), {name: part for name, part in vars(wrapper).items() if name != "lock"})
    if isinstance(wrapper, _MEMOIZED) and is_by_value(wrapper):
        asked = wrapper.cache_parameters()
        return memoized, (wrapper.__wrapped__, asked["maxsize"], asked["typed"])
    if isinstance(wrapper, FunctionType) and wrapper.__code__ is _DISPATCHER and is_by_value(wrapper):
        return dispatcher, (dict(wrapper.registry),)  # type: ignore[attr-defined]
    return None


def cached(cls: type[cached_property[Any]], parts: dict[str, Any]) -> cached_property[Any]:
    """The cached property that travelled."""
    made = cls.__new__(cls)
    vars(made).update(parts, lock=RLock())
    return made


def memoized(function: Any, maxsize: int | None, typed: bool) -> Any:
    """The function with an `lru_cache` that travelled: with an empty one."""
    return lru_cache(maxsize, typed)(function)


def dispatcher(registry: dict[type, Callable[..., Any]]) -> Any:
    """The single-dispatch function that travelled."""
    made = singledispatch(registry[object])
    for kind, function in registry.items():
        made.register(kind, function)
    return made


def function_has_arrived(function: FunctionType, state: Any) -> None:
    """Give a function its variables."""
    cloudpickle._function_setstate(function, state)
    _take(function)


def class_named(module: str, name: str, make: Callable[..., type], given: tuple[Any, ...]) -> type:
    """The class that travelled. One that this process has never seen may be the script's own all the same.

    So it is where a script that was ended is run again, and asks for the result of a job from then.
    """
    own = vars(sys.modules["__main__"]).get(name) if module == "__main__" and not _arriving else None
    *_, identity, _ = given
    if not isinstance(own, type) or identity in cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID:
        return make(*given)
    _known.add(own)
    return own


def class_has_arrived(cls: type, state: Any) -> None:
    """Give a class its attributes, but leave one alone that comes back: it has been here all the time."""
    if _arriving or cls not in _known:
        cloudpickle._class_setstate(cls, state)
        _known.add(cls)
        _take(cls)


def _take(value: Any) -> None:
    if _arriving and value.__module__ == "__main__" and value.__qualname__.isidentifier():
        names, name = vars(sys.modules["__main__"]), value.__qualname__
        if name not in names or names[name] is getattr(value, "__wrapped__", None):
            names[name] = value  # what a decorator has made of a function arrives after it
