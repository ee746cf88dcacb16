"""The names that users import; all of them are `clustrix_core`'s."""

from __future__ import annotations

import clustrix_core
from clustrix_core import __all__
from clustrix_core import __version__ as __version__

TYPE_CHECKING = False  # see clustrix_core
if TYPE_CHECKING:
    from clustrix_core import *  # noqa: F403


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(clustrix_core, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
