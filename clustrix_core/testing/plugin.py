"""The pytest plugin: failures in the conformance suite explain themselves."""

from __future__ import annotations

from collections.abc import Generator

import pytest

pytest.register_assert_rewrite("clustrix_core.testing.suite", "clustrix_core.testing.properties")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """An error that no promise speaks of breaks the one that the test is named for."""
    try:
        return (yield)
    except (AssertionError, pytest.UsageError):
        raise
    except Exception as error:
        if not hasattr(pyfuncitem.cls, "clustrix_promises"):
            raise
        promise = pyfuncitem.originalname.removeprefix("test_").replace("_", " ")
        raise AssertionError(f"{promise}\n  expected: a result\n  but this was raised: {error!r}") from error
