"""Pickles that travel: functions and arguments on their way there, and configs without their secrets."""

from __future__ import annotations

import io
import sys
from typing import Any, Protocol

import cloudpickle

STAY = frozenset({"key_file"})
"""Fields that mean nothing over there, or too much."""


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, obj: Any) -> Any:
        if is_config(obj):
            return arrive, travelling(obj)
        return super().reducer_override(obj)


def is_config(value: object) -> bool:
    """Whether it is a config; where nobody has imported those yet, there is none."""
    module = sys.modules.get("clustrix_core.config")
    return module is not None and isinstance(value, module.ClusterConfig)


class SupportsWrite(Protocol):
    """A file, as far as pickling needs one."""

    def write(self, data: Any, /) -> object:
        """Take more bytes, or whatever holds some."""


def dump(value: object, file: SupportsWrite) -> None:
    """Pickle a value into a file; a config in it travels without its password and keys."""
    _Pickler(file).dump(value)


def dumps(value: object) -> bytes:
    """The same, as bytes."""
    buffer = io.BytesIO()
    dump(value, buffer)
    return buffer.getvalue()


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
