"""The local backend keeps every promise of the semantics table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clustrix_core.testing import BackendSuite, Place, local_place
from clustrix_core.testing.properties import PropertySuite


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with local_place() as made:
        yield made


class TestLocal(BackendSuite):
    pass


class TestLocalProperties(PropertySuite):
    pass
