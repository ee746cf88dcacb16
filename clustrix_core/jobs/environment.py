"""The Python of jobs in a place: `environment_there` is run in it, which finds it or builds an environment.

It is what backends share. They say how a place runs a Python, in the environment that their config sets up.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clustrix_core.errors import ConnectionFailedError, JobError, printable
from clustrix_core.jobs import environment_there
from clustrix_core.jobs.handover import Place, answer_of
from clustrix_core.jobs.models import EnvironmentSpec, PreparedEnvironment

MOMENT = 1.0  # seconds between two looks at a build
TRIES = 3  # times that a build is begun, or a lost answer asked for


def prepare(
    place: Place, environment: EnvironmentSpec, progress: Callable[[str], object] | None
) -> PreparedEnvironment:
    """`clustrix_prepare`: one round trip; one more for each second that a build takes."""
    asked = {
        "python": environment.python,
        "conda": environment.conda,
        "version": list(environment.version),
        "pins": dict(environment.pins),
        "modules": dict(environment.modules),
        "build": environment.build,
        "constraints": dict(environment.constraints),
        "setup": list(environment.setup),
        "seconds": MOMENT,
        "waiting": False,
    }
    begun = 0
    while "building" in (answer := _asked_again(place, asked)):
        begun += bool(answer["started"])
        if begun > TRIES:
            raise JobError("the process that builds the environment ends each time before it is done")
        asked["waiting"] = True
        if progress is not None:
            progress(printable(str(answer["building"])))
    return PreparedEnvironment(
        python=str(answer["python"]),
        version=tuple(map(int, answer["version"])),
        installed={str(name): str(version) for name, version in answer["installed"].items()},
        folder=str(answer.get("folder", "")),
    )


def remove(place: Place, keep: Sequence[str], unused_for: float) -> list[str]:
    """`clustrix_environment_remove`: one round trip."""
    answer = _ask(place, "sweep", {"keep": list(keep), "seconds": unused_for})
    return [str(path) for path in answer["removed"]]


def _asked_again(place: Place, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A build goes on where the connection is lost."""
    for _ in range(TRIES - 1):
        try:
            return _ask(place, "prepare", asked)
        except ConnectionFailedError as error:
            if not error.may_have_run:
                raise
    return _ask(place, "prepare", asked)


def _ask(place: Place, command: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    answer = answer_of(place, _source(), command, asked)
    if "refused" in answer:
        first, *said = str(answer["refused"]).splitlines()
        raise JobError("\n".join(map(printable, [first, *said])))
    return answer


@functools.cache
def _source() -> str:
    return inspect.getsource(environment_there)
