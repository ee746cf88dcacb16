"""All that can be seen of a call, in a form that two calls can be compared by."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import itertools
import logging
import os
import random
import re
import struct
import sys
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")

Seen = dict[str, Any]

_NAMED = (
    type,
    types.ModuleType,
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    np.ufunc,
    functools._lru_cache_wrapper,
)


class _Describer:
    """Turns objects into tuples of plain values, and says which of them are the same object."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._memory: dict[int, int] = {}
        self._kept: list[object] = []

    def describe(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int, str, bytes):
            return (kind.__name__, value)
        if kind is float:
            return ("float", struct.pack("<d", value))
        if kind is complex:
            return ("complex", struct.pack("<dd", value.real, value.imag))
        if isinstance(value, np.generic) and value.dtype != object:
            return ("numpy", str(value.dtype), value.tobytes())
        if isinstance(value, _NAMED):
            return (
                "named",
                getattr(value, "__module__", None),
                getattr(value, "__qualname__", None) or repr(value),
            )
        if kind in (tuple, frozenset):
            items = [self.describe(item) for item in value]
            return (kind.__name__, *(sorted(items, key=repr) if kind is frozenset else items))
        if id(value) in self._numbers:
            return ("again", self._numbers[id(value)])
        self._numbers[id(value)] = len(self._numbers)
        self._kept.append(value)
        return (kind.__module__, kind.__qualname__, *self._contents(value))

    def _contents(self, value: Any) -> Iterator[Any]:
        describe = self.describe
        if isinstance(value, (list, tuple, deque)):
            yield [describe(item) for item in value]
        elif isinstance(value, dict):
            yield [(describe(k), describe(v)) for k, v in value.items()]
            yield describe(getattr(value, "default_factory", None))
        elif isinstance(value, (set, frozenset)):
            items = [describe(item) for item in value]
            yield items if all(type(item) in (int, str) for item in value) else sorted(items, key=repr)
        elif isinstance(value, np.ndarray):
            yield from self._array(value)
        elif isinstance(value, (pd.DataFrame, pd.Series)):
            yield describe(value.index)
            columns = value.items() if isinstance(value, pd.DataFrame) else [(value.name, value)]
            yield [(describe(name), str(c.dtype), self._column(c)) for name, c in columns]
            yield describe(value.attrs)
        elif isinstance(value, pd.Index):
            yield (describe(value.name), str(value.dtype), self._column(value))
        elif isinstance(value, BaseException):
            yield from self._exception(value)
        elif isinstance(value, types.FunctionType):
            yield (
                value.__module__,
                value.__qualname__,
                describe(value.__defaults__),
                describe(value.__kwdefaults__),
            )
            yield [self._cell(cell) for cell in value.__closure__ or ()]
        elif isinstance(value, types.MethodType):
            yield (describe(value.__self__), value.__func__.__qualname__)
        elif isinstance(value, io.StringIO):
            yield (value.getvalue(), value.tell())
        elif isinstance(value, io.IOBase):
            yield (value.closed, None if value.closed else value.tell())
        elif isinstance(value, (Iterator, types.GeneratorType)):
            yield self._rest(value)
        elif "__reduce__" in dir(type(value)) and type(value).__module__ in (
            "random",
            "datetime",
            "decimal",
            "fractions",
        ):
            yield describe(value.__reduce__()[1:])
        elif hasattr(value, "__dict__"):
            yield describe(dict(vars(value)))
        else:
            yield _ADDRESS.sub("", repr(value))

    def _array(self, value: np.ndarray[Any, Any]) -> Iterator[Any]:
        base: Any = value
        while isinstance(base, np.ndarray) and base.base is not None:
            base = base.base
        yield (str(value.dtype), value.shape, value.strides, str(value.flags))
        yield ("memory", self._memory.setdefault(id(base), len(self._numbers)))
        self._kept.append(base)
        yield [self.describe(item) for item in value.ravel()] if value.dtype == object else value.tobytes()

    def _column(self, values: Any) -> Any:
        return [self.describe(item) for item in values]

    def _cell(self, cell: types.CellType) -> Any:
        try:
            return self.describe(cell.cell_contents)
        except ValueError:
            return "empty"

    def _exception(self, error: BaseException) -> Iterator[Any]:
        yield self.describe(error.args)
        yield self.describe(dict(vars(error)))
        yield (_ADDRESS.sub("", str(error)), error.__suppress_context__)
        yield tuple(None if e is None else type(e).__qualname__ for e in (error.__context__, error.__cause__))

    def _rest(self, values: Any) -> Any:
        rest: list[Any] = []
        try:
            for value in itertools.islice(values, 50):
                rest.append(self.describe(value))
        except Exception as error:
            rest.append(self.describe(error))
        return rest


class _Output(io.TextIOBase):
    """What is written to stdout and stderr, in one order."""

    def __init__(self, name: str, into: list[tuple[str, str]]) -> None:
        self._name, self._into = name, into

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._into and self._into[-1][0] == self._name:
            self._into[-1] = (self._name, self._into[-1][1] + text)
        else:
            self._into.append((self._name, text))
        return len(text)


class _Records(logging.Handler):
    def __init__(self, into: list[tuple[str, str]]) -> None:
        super().__init__()
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        self._into.append(("log", f"{record.levelname} {record.getMessage()} {record.lineno}"))


def observe(
    function: Callable[..., Any], args: tuple[Any, ...], state: Callable[[], Any] = lambda: None
) -> Seen:
    """Calls it; tells its result or exception, what became of its arguments, its output, and of the process."""
    output: list[tuple[str, str]] = []
    records = _Records(output)
    logger = logging.getLogger()
    logger.addHandler(records)
    outcome: tuple[str, Any]
    out, err = _Output("stdout", output), _Output("stderr", output)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.resetwarnings()
            warnings.simplefilter("ignore", ResourceWarning)  # it comes whenever something is collected
            warnings.showwarning = functools.partial(_show, output)
            outcome = _call(function, args)
            process = _process(out, err)
            described = _Describer().describe((outcome, args, state()))
    finally:
        logger.removeHandler(records)
    return {"outcome": described[1], "args": described[2], "state": described[3], "output": output, **process}


def _call(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        result = function(*args)
        if isinstance(result, types.CoroutineType):
            result = asyncio.run(result)
    except BaseException as error:
        return ("raised", error)
    return ("returned", result)


def _process(out: object, err: object) -> Seen:
    return {
        "streams": (sys.stdout is out, sys.stderr is err),
        "folder": os.getcwd(),
        "files": {str(p): p.read_text() if p.is_file() else None for p in sorted(Path().rglob("*.txt"))},
        "environment": dict(os.environ),
        "random": (hash(random.getstate()), np.random.get_state()[1].tobytes(), np.random.get_state()[2]),
        "numpy": np.geterr(),
    }


def _show(
    output: list[tuple[str, str]], message: Any, category: type, filename: str, lineno: int, *_: Any
) -> None:
    output.append(("warning", f"{category.__name__} {_ADDRESS.sub('', str(message))} {lineno}"))


def differences(serial: Seen, split: Seen) -> list[str]:
    return [f"{key}: {serial[key]!r} != {split[key]!r}" for key in serial if serial[key] != split[key]]
