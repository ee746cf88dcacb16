"""What is sent to the workers of a loop; what is unfit for a proof isn't."""

from __future__ import annotations

import io
import pickle
import types
from typing import Any

import cloudpickle

from clustrix_core.loops.proof import Facts, Proof, Refused, Walk
from clustrix_core.loops.source import Sources, is_library


class Unfit(Exception):  # noqa: N818 (the loop stays here)
    """Something can't be sent, or who knows what would happen to it there."""


_BUILTIN = frozenset({
    "complex", "range", "slice", "code", "cell", "ellipsis", "NotImplementedType", "NoneType", "bytearray", "mappingproxy",
    "builtin_function_or_method", "method_descriptor", "wrapper_descriptor", "getset_descriptor", "member_descriptor",
    "classmethod", "staticmethod", "property", "function", "type", "method", "module", "object", "classmethod_descriptor",
    "method-wrapper", "PickleBuffer",
})  # fmt: skip
_LIBRARIES = frozenset({
    "numpy", "pandas", "scipy", "datetime", "decimal", "_decimal", "fractions", "pathlib", "collections", "re", "uuid", "enum",
    "types", "functools", "operator", "clustrix_core", "zoneinfo", "ipaddress", "dateutil", "pytz", "pyarrow", "logging", "copyreg",
    "cloudpickle", "_codecs", "array", "typing", "abc", "_abc", "dataclasses", "string", "_pickle", "clustrix", "statistics",
})  # fmt: skip
_ATOMS = frozenset({int, float, complex, bool, str, bytes, type(None)})
_HOLDING = (list, dict, set, bytearray)


def atoms(items: list[Any]) -> bool:
    """Whether these are immutable all through."""
    return _ATOMS.issuperset(map(type, items))


class Sender(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles what a loop reads, and looks at it on the way.

    Args:
        file: where to.
        sources: texts that were kept.
        facts: what the loop's proof met.
        approved: classes that were looked at before.
    """

    def __init__(self, file: io.BytesIO, sources: Sources, facts: Facts, approved: set[type]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._sources, self._facts, self._approved = sources, facts, approved
        self.constants: set[int] = set()
        self.arrays: list[Any] = []

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if isinstance(obj, type):
            if is_library(obj.__module__) or obj.__module__ == "builtins":
                return super().reducer_override(obj)
            self._approve(obj)
            return _by_value(obj)
        if kind is types.FunctionType:
            if is_library(obj.__module__ or ""):
                return super().reducer_override(obj)
            return self._dynamic_function_reduce(obj)
        if kind is types.ModuleType:
            if is_library(obj.__name__):
                return super().reducer_override(obj)
            names = sorted(self._facts.modules.get(obj.__name__, ()))
            return (
                _module,
                (obj.__name__,),
                {name: getattr(obj, name) for name in names if hasattr(obj, name)},
            )
        if kind is types.CodeType:
            self.constants.update(id(one) for one in obj.co_consts)
        self._check(obj, kind)
        return super().reducer_override(obj)

    def _check(self, obj: Any, kind: type) -> None:
        module = kind.__module__
        if module == "builtins":
            if kind.__name__ not in _BUILTIN and not isinstance(obj, BaseException):
                raise Unfit(f"{kind.__name__} objects can't be shared by iterations")
            return
        root = module.partition(".")[0]
        if kind.__name__ == "ndarray" and root == "numpy":
            self.arrays.append(obj)
            if obj.dtype.hasobject and not set(map(type, obj.ravel().tolist())) <= _ATOMS | {type(None)}:
                for one in set(map(type, obj.ravel().tolist())) - _ATOMS:
                    if one in _HOLDING or one.__module__.partition(".")[0] not in _LIBRARIES:
                        raise Unfit(f"an array holds {one.__qualname__} objects")
            return
        if module.startswith("numpy.random"):
            if kind.__name__ in ("SeedSequence",):
                return
            raise Unfit(f"a {kind.__name__} would be the same in all iterations")
        if is_library(module):
            if root not in _LIBRARIES:
                raise Unfit(f"nobody knows whether {kind.__qualname__} objects are safe to share")
            return
        self._approve(kind)

    def _approve(self, cls: type) -> None:
        if cls in self._approved:
            return
        self._approved.add(cls)
        proof = Proof(self._sources, self._facts.assumptions != [])
        proof.facts = self._facts
        scope: Any = types.SimpleNamespace()
        try:
            proof.check_class(cls, Walk(proof, scope, set()), types.SimpleNamespace())  # type: ignore[arg-type]
        except Refused as refusal:
            self._approved.discard(cls)
            raise Unfit(refusal.message) from None


def _by_value(cls: type) -> Any:
    from cloudpickle import cloudpickle as inner

    return inner._dynamic_class_reduce(cls)


def _module(name: str) -> types.ModuleType:
    """A module with nothing but what is used of it."""
    return types.ModuleType(name)


class Sent:
    """Something that was sent.

    Args:
        value: what to send.
        make: gives the pickler.
    """

    def __init__(self, value: Any, make: Any) -> None:
        buffer = io.BytesIO()
        self._sender = make(buffer)
        try:
            self._sender.dump(value)
        except Unfit:
            raise
        except Exception as error:
            raise Unfit(f"it can't be sent: {type(error).__name__}: {error}") from None
        self.data = buffer.getvalue()
        self.arrays: list[Any] = self._sender.arrays
        self.constants: set[int] = self._sender.constants
        self._places: dict[int, Any] | None = None

    def objects(self) -> list[Any]:
        """All that was sent, but numbers and the like."""
        return [value for _, value in self._sender.memo.copy().values()]

    def original(self, place: int) -> Any:
        """What was sent with this number."""
        if self._places is None:
            self._places = dict(self._sender.memo.copy().values())
        return self._places[place]

    def sets(self) -> bool:
        """Whether there may be a set in it."""
        return b"\x8f" in self.data or b"\x91" in self.data


def changeable(values: list[Any]) -> set[int]:
    """The identities of those that can change."""
    return {
        id(value)
        for value in values
        if type(value) in _HOLDING
        or (
            hasattr(value, "__dict__") and not isinstance(value, (type, types.FunctionType, types.ModuleType))
        )
    }
