"""Pickles that travel: functions and arguments on their way there, and configs without their secrets."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Protocol

import cloudpickle

from clustrix_core.jobs import script

STAY = frozenset({"key_file"})
"""Fields that mean nothing over there, or too much."""

_NAMED = (type, FunctionType, BuiltinFunctionType)
_SPECIAL = (*_NAMED, CodeType, ModuleType)
_THERE = {"__main__", "cloudpickle", "clustrix_core", *sys.stdlib_module_names}


_NOWHERE = "<dynamic-code>"  # the file that cloudpickle gives to all code, which tracebacks then tell


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, file: SupportsWrite) -> None:
        super().__init__(file)
        self.begin()
        self.names: set[str] = set()
        """Modules that are pickled by their names, and, as `MODULE:NAME`, classes and functions that are."""

    def begin(self) -> None:
        """What comes next has nothing to do with what came before."""
        self.clear_memo()
        self.globals_ref = script.globals_of_script()

    def reducer_override(self, obj: Any) -> Any:
        if (wrapper := script.reduced_wrapper(obj)) is not None:
            return wrapper
        if not isinstance(obj, _SPECIAL):
            if is_decorated(obj):
                self._note(obj)
            return (arrive, travelling(obj)) if is_config(obj) else NotImplemented
        if isinstance(obj, CodeType) and obj.co_filename != _NOWHERE:
            return code_of, (obj.replace(co_filename=_NOWHERE), obj.co_filename)
        found = super().reducer_override(obj)
        if found is NotImplemented and isinstance(obj, _NAMED):
            self._note(obj)
        elif isinstance(obj, ModuleType) and sys.modules.get(obj.__name__) is obj:
            self.names.add(obj.__name__)
        return script.reduced(obj, found)

    def _note(self, obj: Any) -> None:
        self.names.add(f"{getattr(obj, '__module__', None) or 'builtins'}:{obj.__name__}")


def is_config(value: object) -> bool:
    """Whether it is a config; where nobody has imported those yet, there is none."""
    module = sys.modules.get("clustrix_core.config")
    return module is not None and isinstance(value, module.ClusterConfig)


def is_decorated(value: object) -> bool:
    """Whether it is a function that `cluster` has decorated, and is pickled by its name."""
    module = sys.modules.get("clustrix_core.jobs.decorator")
    return (
        module is not None
        and isinstance(value, module.ClusterFunction)
        and isinstance(value.__reduce__(), str)
    )


class SupportsWrite(Protocol):
    """A file, as far as pickling needs one."""

    def write(self, data: Any, /) -> object:
        """Take more bytes, or whatever holds some."""


def dump(value: object, file: SupportsWrite) -> set[str]:
    """Pickle a value into a file; a config in it travels without its password and keys.

    Returns:
        What unpickling it needs, besides Python and this package: modules, and classes and functions of
        modules, as `MODULE:NAME`.
    """
    pickler = _Pickler(file)
    pickler.dump(value)
    return {name for name in pickler.names if re.split("[.:]", name)[0] not in _THERE}


def dumps(value: object) -> bytes:
    """The same, as bytes."""
    return Packer().dumps(value)


_FIXED = frozenset({int, float, complex, bool, str, type(None)})


def is_fixed(values: Iterable[object]) -> bool:
    """Whether they can't be changed, and are the same wherever they are unpickled, together or one by one."""
    return _FIXED.issuperset(map(type, values))


class Packer:
    """Pickles many values, each for itself: making a pickler takes longer than most of what it pickles."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._pickler = _Pickler(self._buffer)

    def dumps(self, value: object) -> bytes:
        """As the function of this name; nothing of the value is kept."""
        pickler, buffer = self._pickler, self._buffer
        try:
            pickler.dump(value)
            return buffer.getvalue()
        finally:
            buffer.seek(0)
            buffer.truncate()
            pickler.begin()


def code_of(code: CodeType, file: str) -> CodeType:
    """The code that travelled so: it is of this file, as far as tracebacks and loops go."""
    return code.replace(co_filename=file)


class Rebuilt:
    """Pickles an exception without its `__init__`, which often wants other arguments than `args`."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> Any:
        return rebuilt, (type(self._error), self._error.args, vars(self._error))


def rebuilt(kind: type[BaseException], args: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    """The exception that travelled so."""
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(attributes)
    return error


def travelling(config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that were given to a config, without those that stay here; and the others' values."""
    if not hasattr(config, "model_fields_set"):  # a plain one, in a job
        return vars(config), {}
    from clustrix_core.config import ClusterConfig, given, secret_fields

    model: type[ClusterConfig] = type(config)
    staying = secret_fields(model) | STAY
    unclaimed = (config.__pydantic_extra__ or {}).keys()  # nobody knows which of them is a secret
    asked = {name: _plain(value) for name, value in given(config).items() if name not in staying | unclaimed}
    defaults = {
        name: None if name in staying else _plain(getattr(config, name))
        for name in ClusterConfig.model_fields
    }
    return asked, defaults


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "keys") else value


def arrive(fields: dict[str, Any], defaults: dict[str, Any]) -> Any:
    """The config that travelled."""
    from clustrix_core.config import ClusterConfig

    if hasattr(ClusterConfig, "model_fields"):
        return ClusterConfig(**fields)
    return ClusterConfig(**{**defaults, **fields})
