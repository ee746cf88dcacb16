"""The pytest plugin: the options of the conformance suite, and failures that explain themselves."""

from __future__ import annotations

from collections.abc import Generator

import pytest

pytest.register_assert_rewrite("clustrix_core.testing.suite", "clustrix_core.testing.properties")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("clustrix", "Clustrix: pytest --pyargs clustrix_core.testing.conformance")
    group.addoption(
        "--clustrix-profile",
        metavar="NAME",
        help="the profile that leads to the place; without it the active config does",
    )
    group.addoption(
        "--clustrix-missing",
        metavar="NAMES",
        default="",
        help="the capabilities that the backend lacks, with commas between them",
    )
    group.addoption(
        "--clustrix-python",
        metavar="COMMAND",
        help="a command that starts a Python in the place, which runs what it reads: ssh host python3 -",
    )


def pytest_report_header(config: pytest.Config) -> str | None:
    if not any(argument.startswith("clustrix_core.testing.conformance") for argument in config.args):
        return None
    from clustrix_core import API_VERSION, __version__

    return f"clustrix: the conformance suite of API version {API_VERSION}, clustrix-core {__version__}"


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
        said = f"{promise}\n  expected: a result\n  but got:  {type(error).__name__}: {error}"
        if type(error).__name__ == "UnsupportedOperationError":
            said += "\n  what a backend lacks is declared: Place(missing=...), or --clustrix-missing"
        raise AssertionError(said) from error
