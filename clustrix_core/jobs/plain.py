"""`ClusterConfig` for jobs whose environment has no pydantic.

It holds the fields of a config that was checked before it left. `runner` puts this module
in the place of `clustrix_core.config` there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ClusterConfig:
    """A config: its fields are attributes."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    @property
    def wants_environment(self) -> bool:
        """Whether anything has to be set up where programs are started."""
        names = ("module_loads", "environment_variables", "pre_execution_commands", "login_shell")
        return any(map(self.__dict__.get, names))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a config can't be changed: use model_copy(update={...})")

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> ClusterConfig:
        """The same config with some fields changed."""
        return type(self)(**{**self.__dict__, **(update or {})})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClusterConfig) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(frozenset((name, repr(value)) for name, value in self.__dict__.items()))

    def __repr__(self) -> str:
        shown = {name: value for name, value in self.__dict__.items() if value not in (None, (), {})}
        return f"ClusterConfig({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def resolve(config: ClusterConfig, _model: object) -> ClusterConfig:
    """It was checked before it left."""
    return config


def given(config: ClusterConfig) -> dict[str, Any]:
    """All its fields."""
    return dict(vars(config))


def secret_fields(_model: object) -> frozenset[str]:
    """None has travelled."""
    return frozenset()
