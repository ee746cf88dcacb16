"""What comes back from a copy of this process: new objects as such, and those that are here too as what they are."""

from __future__ import annotations

import copyreg
import enum
import gc
import io
import pickle
import struct
import sys
from types import FunctionType
from typing import Any

from clustrix_core.loops.classes import is_generated
from clustrix_core.loops.reach import ATOMS, is_array
from clustrix_core.loops.source import is_library, module_of

_NUMBERS = frozenset({float, complex})
_HOLDING = frozenset({list, tuple, dict})
_PROTOCOL = 4  # arrays own their memory, which they don't in the next


class Abandoned(Exception):  # noqa: N818 (the loop goes on elsewhere)
    """Something wouldn't be there what it is here."""


def packed(value: Any, known: dict[int, Any], strangers: dict[int, Any]) -> bytes:
    """Something that is new, as bytes; what is known travels as its address.

    Args:
        value: the thing.
        known: what there is on the other side, too.
        strangers: what isn't there, and may come again.

    Raises:
        Abandoned: it wouldn't be the same.
    """
    if not strangers and _is_plain(value, known):
        return pickle.dumps(value, _PROTOCOL)
    buffer = io.BytesIO()
    _Packer(buffer, known, strangers).dump(value)
    return buffer.getvalue()


def unpacked(data: bytes, known: dict[int, Any]) -> Any:
    """What was packed in a copy."""
    return _Unpacker(data, known).load()


def _is_plain(value: Any, known: dict[int, Any]) -> bool:
    """Whether it is numbers and texts, in new lists and the like."""
    level: list[Any] = [value]
    seen: set[int] = set()
    while level:
        kinds = set(map(type, level))
        if not kinds <= ATOMS | _HOLDING:
            return False
        if kinds & _NUMBERS and any(type(one) in _NUMBERS and one != one for one in level):
            return False
        level = [one for one in level if type(one) in _HOLDING and id(one) not in seen]
        if any(id(one) in known for one in level):
            return False
        seen.update(map(id, level))
        level = gc.get_referents(*level)
    return True


class _Packer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, known: dict[int, Any], strangers: dict[int, Any]) -> None:
        super().__init__(file, _PROTOCOL)
        self._known, self._strangers = known, strangers
        self._owners: dict[int, Any] = {}  # of the memory of arrays
        self._tabled: dict[int, Any] = {}  # of that of tables
        self._indexed: dict[int, Any] = {}  # of that of their indexes
        self._parts: dict[int, Any] = {}  # of tables and indexes

    def persistent_id(self, obj: Any) -> Any:
        if id(obj) in self._known:
            return id(obj)
        self._check_stranger(obj)
        if type(obj) is float and obj != obj:  # lists find it by what it is
            return id(obj), struct.pack("<d", obj)
        if type(obj) in (set, frozenset) and list(type(obj)(list(obj))) != list(obj):
            raise Abandoned("the order of a set would be another")
        return None

    def _check_stranger(self, obj: Any) -> None:
        if id(obj) in self._strangers:
            raise Abandoned("what is gone through may hold on to a result, and give it again")

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if isinstance(obj, BaseException):
            raise Abandoned("an exception would lose its traceback")
        if hasattr(kind, "__next__"):
            raise Abandoned("an iterator would be another")
        if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
            return self._array(obj)
        if is_array(obj):
            raise Abandoned(f"a {kind.__name__} would no longer be what it is around its array")
        if kind.__module__ == "numpy" and kind.__name__ in ("void", "record") and obj.base is not None:
            raise Abandoned("a record would no longer be part of its array")
        if module_of(kind).startswith("pandas."):
            self._table(obj)
        elif (
            not isinstance(obj, (type, enum.Enum)) and not is_library(module_of(kind)) and not _is_named(obj)
        ):
            _check_reduction(obj, kind)
        return NotImplemented

    def _array(self, array: Any) -> Any:
        """An array that shares its memory with another, or lies in it in an odd order, stays like that."""
        if not array.dtype.isnative:
            raise Abandoned("the bytes of an array would be in another order")
        owner = _owner(array)
        self._check_stranger(owner)
        if id(owner) in self._tabled and id(array) not in self._tabled:
            raise Abandoned("an array would no longer share the memory of a table")
        self._owners[id(owner)] = owner
        if owner is array:
            if not array.flags.writeable:
                return _locked, (array.copy("K"),)
            if array.flags.forc:
                return NotImplemented
            order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
            return _transposed, (
                array.transpose(order).copy("C"),
                [order.index(axis) for axis in range(array.ndim)],
            )
        if type(owner) is not type(array) or (array.size and 0 in array.strides):
            raise Abandoned(
                "an array is a view of something that isn't one, or spread over too little memory"
            )
        place = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
        return _view, (owner, array.dtype, array.shape, place, array.strides, array.flags.writeable)

    def _table(self, table: Any) -> None:
        """No table shares memory with anything: pandas keeps account of that, which would be lost.

        What is in an index never changes, so that other indexes may share it.
        """
        if id(table) in self._parts:
            return
        index = hasattr(table, "get_indexer")
        arrays: dict[int, Any] = {}
        waiting = [table]
        while waiting:
            value = waiting.pop()
            if id(value) in self._parts or type(value).__name__ == "BlockPlacement":
                continue
            if hasattr(value, "get_indexer") and not index:
                continue
            if type(value).__name__ == "ndarray":
                arrays[id(value)] = value
            elif type(value) in _HOLDING or module_of(type(value)).startswith("pandas."):
                self._parts[id(value)] = value
                waiting += [one for one in gc.get_referents(value) if not isinstance(one, type)]
        owners = {id(owner): owner for owner in map(_owner, arrays.values())}
        for owner in owners.values():
            self._check_stranger(owner)
        others = [self._tabled] if index else [self._tabled, self._indexed, self._owners, self._known]
        if any(key in other for key in owners for other in others):
            raise Abandoned("a table shares memory with something else")
        if index:
            self._indexed |= owners
        else:
            self._tabled |= owners | arrays


def _owner(array: Any) -> Any:
    """Whose memory an array uses."""
    while type(array).__name__ == "ndarray" and array.base is not None:
        array = array.base
    return array


def _locked(array: Any) -> Any:
    array.flags.writeable = False
    return array


def _transposed(array: Any, axes: list[int]) -> Any:
    return array.transpose(axes)


def _view(owner: Any, dtype: Any, shape: Any, place: int, strides: Any, writeable: bool) -> Any:
    import numpy

    order = sorted(range(owner.ndim), key=lambda axis: -owner.strides[axis])
    view = numpy.ndarray(shape, dtype, owner.transpose(order), place, strides)
    view.flags.writeable = writeable
    return view


def _is_named(obj: Any) -> bool:
    """Whether it is found by its name, as functions of extensions are."""
    module = sys.modules.get(getattr(obj, "__module__", None) or "")
    return module is not None and getattr(module, getattr(obj, "__name__", ""), None) is obj


def _check_reduction(obj: Any, kind: type) -> None:
    """Objects of the user's classes travel as what they hold; what they do themselves to travel isn't done.

    Those that tell their hash or number may have changed since they were put into a set or a dict, where they
    are then found no more, or have told a place: a copy would tell another.
    """
    if _tells_hash(kind):
        raise Abandoned(f"{kind.__qualname__} computes its hash, which may have been another")
    if isinstance(getattr(kind, "__index__", None), FunctionType):
        raise Abandoned(f"{kind.__qualname__} computes its number, which may have been another")
    if isinstance(obj, (list, dict, set, frozenset)):
        raise Abandoned(f"{kind.__qualname__} may do something of its own when it is filled")
    names = "__reduce_ex__", "__reduce__", "__getstate__"
    own = [name for name in names if getattr(kind, name, None) is not getattr(object, name, None)]
    own += [name for name in ("__setstate__", "__getnewargs_ex__") if hasattr(kind, name)]
    if (
        own
        or kind in copyreg.dispatch_table
        or (hasattr(kind, "__getnewargs__") and not hasattr(kind, "_fields"))
    ):
        raise Abandoned(f"{kind.__qualname__} travels in a way of its own")


def _tells_hash(kind: type) -> bool:
    """Whether a class computes the hash of its objects, and they may change."""
    function = kind.__hash__
    if not isinstance(function, FunctionType):
        return False
    parameters = getattr(kind, "__dataclass_params__", None)
    return not (parameters is not None and parameters.frozen and is_generated(kind, function))


class _Unpacker(pickle.Unpickler):
    def __init__(self, data: bytes, known: dict[int, Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._known = known
        self._not_numbers: dict[int, float] = {}

    def persistent_load(self, pid: Any) -> Any:
        if isinstance(pid, tuple):
            return self._not_numbers.setdefault(pid[0], struct.unpack("<d", pid[1])[0])
        return self._known[pid]
