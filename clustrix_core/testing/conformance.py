"""The conformance suite on a place that a profile leads to:

pytest --pyargs clustrix_core.testing.conformance --clustrix-profile NAME
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from importlib.util import find_spec

import pytest

from clustrix_core.errors import ClustrixError
from clustrix_core.profiles import load_config
from clustrix_core.testing import BackendSuite, Place
from clustrix_core.testing.live import live_place


@pytest.fixture(scope="module")
def place(pytestconfig: pytest.Config) -> Iterator[Place]:
    with ExitStack() as stack:
        try:
            made = stack.enter_context(_place(pytestconfig))
        except (ClustrixError, OSError, ValueError, RuntimeError) as error:
            pytest.exit(f"the suite can't start: {error}", returncode=pytest.ExitCode.USAGE_ERROR)
        yield made


def _place(options: pytest.Config) -> AbstractContextManager[Place]:
    config = load_config(options.getoption("--clustrix-profile"))
    missing = frozenset(options.getoption("--clustrix-missing").replace(",", " ").split())
    return live_place(config, missing=missing, command=options.getoption("--clustrix-python"))


class TestConformance(BackendSuite):
    pass


if find_spec("hypothesis"):
    from clustrix_core.testing.properties import PropertySuite

    class TestProperties(PropertySuite):
        pass
