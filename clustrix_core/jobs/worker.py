"""What runs in the worker processes of `attended`."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

from clustrix_core.jobs import here, parallel, runner, script, travel
from clustrix_core.jobs.parallel import Loops


class Task(NamedTuple):
    """Some calls of one function.

    Attributes:
        function: the function, pickled.
        config: the config of the place, pickled.
        marker: that of the place.
        work_dir: where the calls start.
        calls: their arguments, pickled each for itself: none sees what another does to its own. Those that
            can't be changed are a tuple instead, and none of them has a name.
        cores: how many each has.
        loops: what splitting its loops takes.
    """

    function: bytes
    config: bytes
    marker: str
    work_dir: str
    calls: list[bytes | tuple[Any, ...]]
    cores: int
    loops: Loops | None


class Failed(NamedTuple):
    """A call that raised something.

    Attributes:
        outcome: what is told of it, see `runner.failure`.
        error: the exception, pickled; empty if it can't be.
    """

    outcome: dict[str, Any]
    error: bytes


def run(task: Task) -> list[Any]:
    """Call the function for each; what came of each: pickled, or itself, if it can't be changed."""
    os.environ[here.VARIABLE], here.pickled = task.marker, task.config  # as in any job, the place is here
    os.environ[here.CORES] = str(task.cores)
    try:
        os.chdir(task.work_dir)
        function = _loaded(task)
        anew = _brings_code(task) or script.may_keep(function)
        function = parallel.split(function, task.loops)
    except BaseException as error:
        return [travel.dumps(_failed(error))] * len(task.calls)
    packer = travel.Packer()
    return [
        _outcome(task, call, None if anew and number else function, packer)
        for number, call in enumerate(task.calls)
    ]


def _brings_code(task: Task) -> bool:
    """Whether functions or classes of a script may be among the arguments."""
    return any(isinstance(call, bytes) and b"_has_arrived" in call for call in task.calls)


def _loaded(task: Task) -> Callable[..., Any]:
    script.begin()
    with script.arriving():
        function = pickle.loads(task.function)
    found: Callable[..., Any] = getattr(function, "local", function)
    return found


def _outcome(
    task: Task,
    call: bytes | tuple[Any, ...],
    function: Callable[..., Any] | None,
    packer: travel.Packer,
) -> Any:
    """What came of a call. A function that may keep something comes anew for each, so that none sees it."""
    process = os.getpid()
    try:
        os.chdir(task.work_dir)
        if function is None:
            function = parallel.split(_loaded(task), task.loops)
        args, kwargs = _arguments(call) if isinstance(call, bytes) else (call, {})
        try:
            result = function(*args, **kwargs)
        finally:
            runner.end_if_child(process)
    except BaseException as error:  # a function may also call `sys.exit`
        return travel.dumps(_failed(error))
    try:
        return result if travel.is_fixed((result,)) else packer.dumps(result)
    except Exception as error:
        return travel.dumps(_failed(runner.unsendable(result, error)))


def _arguments(call: bytes) -> Any:
    with script.arriving():
        return pickle.loads(call)


def _failed(error: BaseException) -> Failed:
    payload = runner.Payload()
    return Failed(runner.failure(error, payload), payload.inline())
