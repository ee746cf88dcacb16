"""Where two values differ."""

from __future__ import annotations

from typing import Any


def difference(one: Any, other: Any, where: str) -> str:
    """The place where two values differ, and how; nothing if they don't."""
    if type(one) is not type(other):
        return f"{where}: {type(one).__name__} here, {type(other).__name__} there"
    if isinstance(one, dict):
        if list(one) != list(other):
            return f"{where}: the keys {list(one)!r} here, {list(other)!r} there"
        return next(filter(None, (difference(one[key], other[key], f"{where}[{key!r}]") for key in one)), "")
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return f"{where}: {len(one)} items here, {len(other)} there"
        pairs = enumerate(zip(one, other, strict=True))
        return next(filter(None, (difference(mine, its, f"{where}[{n}]") for n, (mine, its) in pairs)), "")
    if _is_array(one) and one.dtype.hasobject and one.shape == other.shape:
        return difference(one.tolist(), other.tolist(), where)
    if _same(one, other):
        return ""
    return f"{where}: {one!r} here, {other!r} there"


def _same(one: Any, other: Any) -> bool:
    if _is_array(one):
        return bool(
            one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
        )
    if isinstance(one, float):  # by their bits: zeros have signs
        return one.hex() == float(other).hex()
    try:
        if bool(one == other):
            return True
    except Exception:  # noqa: S110 (whatever its own comparison does)
        pass
    import cloudpickle

    try:
        return bool(cloudpickle.dumps(one) == cloudpickle.dumps(other) or repr(one) == repr(other))
    except Exception:
        return False


def _is_array(value: Any) -> bool:
    return hasattr(value, "tobytes") and hasattr(value, "dtype")
