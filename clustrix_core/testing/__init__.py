"""The conformance suite: every promise of the semantics table, tested against a backend.

A backend's author writes one fixture and one subclass:

    import pytest
    from clustrix_core.testing import BackendSuite, Place

    @pytest.fixture(scope="module")
    def place():
        yield Place(config=..., root=..., python=..., unprivileged=...)

    class TestAcme(BackendSuite):
        pass

`pytest --pyargs clustrix_core.testing.conformance --clustrix-profile NAME` runs it on the place of a profile.
`clustrix_core.testing.properties.PropertySuite`, used in the same way, adds property-based tests; it needs
hypothesis, which `pip install "clustrix-core[testing]"` brings along with pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clustrix_core.testing.place import CAPABILITIES, Place, local_place
    from clustrix_core.testing.suite import BackendSuite

_EXPORTS = {
    "CAPABILITIES": "place",
    "BackendSuite": "suite",
    "Place": "place",
    "local_place": "place",
}

__all__ = ["CAPABILITIES", "BackendSuite", "Place", "local_place"]


def __getattr__(name: str) -> object:
    # Late, so that pytest's start-up, which imports the plugin beside this file, costs nothing.
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{module}"), name)
