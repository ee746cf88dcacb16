"""The Python of a job, before it is submitted: is it there, of the right version, with what is needed?

What was found is remembered for a while, for a config and what is needed, so that the next jobs ask nothing.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from clustrix_core.config import ClusterConfig
from clustrix_core.errors import DependencyWarning, JobError, UnsupportedOperationError, printable
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.jobs.models import EnvironmentSpec, PreparedEnvironment

if TYPE_CHECKING:
    from clustrix_core.jobs.dependencies import Dependencies

AUTO = "auto"
REMEMBERED = 12 * 3600.0  # seconds; much less than what is swept is unused for

_known: dict[tuple[ClusterConfig, EnvironmentSpec], tuple[float, PreparedEnvironment]] = {}


def prepared(config: ClusterConfig, needed: Dependencies, environment: str | None) -> PreparedEnvironment:
    """The Python that a job runs with. Round trips: one, and none when it is remembered.

    Args:
        config: the job's place.
        needed: what its function needs.
        environment: `"auto"` to have what is needed installed; None to check that it is there.

    Raises:
        JobError: there is no such Python, it has another version, distributions are missing, or the
            environment can't be built.
    """
    wanted = _spec(config, needed, build=environment == AUTO)
    if is_own_python(config) and not wanted.build:
        return PreparedEnvironment(sys.executable, sys.version_info[:3], dict(needed.pins))
    began, found = _known.get((config, wanted), (0.0, None))
    if found is None or time.monotonic() - began > REMEMBERED:
        found = _asked(config, wanted)
        _check(config, wanted, found, needed)
        _known[config, wanted] = time.monotonic(), found
    return found


def is_own_python(config: ClusterConfig) -> bool:
    """Whether jobs run with the Python that this process has."""
    own = not (config.conda_env_name or config.python_executable)
    return config.cluster_type == "local" and (own or config.python_executable == sys.executable)


def forget(config: ClusterConfig) -> None:
    """Look again before the next job in this place."""
    for key in [key for key in list(_known) if key[0] == config]:
        _known.pop(key, None)


def _spec(config: ClusterConfig, needed: Dependencies, *, build: bool) -> EnvironmentSpec:
    python, elsewhere = config.python_executable, needed.elsewhere()
    if python is None and not config.conda_env_name and config.cluster_type == "local":
        python = sys.executable
    return EnvironmentSpec(
        python=python,
        conda=None if python else config.conda_env_name,
        version=sys.version_info[:2],
        pins=tuple(sorted({**dict.fromkeys(elsewhere, ""), **needed.pins}.items())),
        modules=tuple(sorted({**{name: name for name in elsewhere}, **needed.modules}.items())),
        build=build,
        constraints=tuple(sorted(_versions_besides(needed.pins))) if build else (),
        setup=tuple(config.module_loads),
    )


def _versions_besides(pins: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What the distributions need in their turn, in the versions here: results are unpickled here."""
    waiting, seen = list(pins), {_normal(name) for name in pins}
    while waiting:
        with suppress(importlib.metadata.PackageNotFoundError):
            for text in importlib.metadata.requires(waiting.pop()) or ():
                name = re.split(r"[^\w.-]", text, maxsplit=1)[0]
                if "extra ==" not in text and _normal(name) not in seen:
                    seen.add(_normal(name))
                    with suppress(importlib.metadata.PackageNotFoundError):
                        yield name, importlib.metadata.version(name)
                        waiting.append(name)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _asked(config: ClusterConfig, wanted: EnvironmentSpec) -> PreparedEnvironment:
    where = _name(config)
    with ClusterFilesystem(config) as place, _told(f"{where}: building the environment") as progress:
        try:
            found = place._call("clustrix_prepare", environment=wanted, progress=progress)
        except UnsupportedOperationError:
            if wanted.build or wanted.conda:
                raise
            return PreparedEnvironment(wanted.python or "python3", wanted.version, dict(wanted.pins))
        except JobError as error:
            raise JobError(f"{where}: {error}") from None
    assert isinstance(found, PreparedEnvironment)
    return found


def _check(
    config: ClusterConfig, wanted: EnvironmentSpec, found: PreparedEnvironment, needed: Dependencies
) -> None:
    where = f"{_name(config)}: {printable(found.python)}"
    if found.version[:2] != wanted.version:
        version, here = ".".join(map(str, found.version)), ".".join(map(str, wanted.version))
        raise JobError(
            f"{where} is Python {version}, and functions from Python {here} need {here} there: name one by "
            "python_executable or conda_env_name, or load its module by module_loads"
        )
    missing = [name for name in needed.pins if name not in found.installed and name not in needed.optional]
    nowhere = {name: why for name, why in needed.elsewhere().items() if name not in found.installed}
    if missing or nowhere:
        listed = ", ".join(
            [
                *(f"{name}=={needed.pins[name]} ({needed.reason(name)})" for name in missing),
                *(f"{name}, which isn't here either ({why})" for name, why in nowhere.items()),
            ]
        )
        way_out = "" if wanted.build or nowhere else 'environment="auto" installs them; or '
        raise JobError(
            f"{where} lacks what the function needs: {listed}; {way_out}name a Python that has them by "
            "python_executable or conda_env_name, or load their modules by module_loads"
        )
    other = [
        f"{name} {found.installed[name]} (here {version})"
        for name, version in wanted.pins
        if version and found.installed.get(name, version) not in ("", version)
    ]
    if other:
        warnings.warn(
            f"{where} has other versions than here, so results may differ or not be readable: "
            f'{printable(", ".join(other))}; environment="auto" installs those from here',
            DependencyWarning,
            stacklevel=7,
        )


def _name(config: ClusterConfig) -> str:
    return printable(config.cluster_host or config.cluster_type)


@contextmanager
def _told(what: str) -> Iterator[Callable[[str], object] | None]:
    """Tell on a terminal how a build comes along; the line goes at the end."""
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    began, shown = time.monotonic(), False

    def tell(said: str) -> None:
        nonlocal shown
        shown = True
        _write(f"{what}, {time.monotonic() - began:.0f} s: {said}"[: _columns() - 1])

    try:
        yield tell
    finally:
        if shown:
            _write("")


def _write(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"\r\033[K{line}")
        sys.stderr.flush()


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
