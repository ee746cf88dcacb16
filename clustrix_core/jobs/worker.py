"""What runs in the worker processes of `attended`."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from clustrix_core.jobs import here, parallel, runner, travel
from clustrix_core.jobs.models import Call
from clustrix_core.jobs.parallel import Loops


class Task(NamedTuple):
    """Some calls of one function.

    Attributes:
        function: the function, pickled.
        config: the config of the place, pickled.
        marker: that of the place.
        work_dir: where the calls start.
        calls: their arguments, pickled.
        cores: how many each has.
        loops: what splitting its loops takes.
    """

    function: bytes
    config: bytes
    marker: str
    work_dir: str
    calls: bytes
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


def run(task: Task) -> bytes:
    """Call the function for each; the pickled list of what came of that."""
    with _place(task):
        function = pickle.loads(task.function)
        function = parallel.split(getattr(function, "local", function), task.loops)
        outcomes = [_outcome(function, call) for call in pickle.loads(task.calls)]
        try:
            return travel.dumps(outcomes)
        except Exception:  # find out which
            return travel.dumps([_sendable(outcome) for outcome in outcomes])


def _outcome(function: Any, call: Call) -> Any:
    try:
        return function(*call[0], **call[1])
    except BaseException as error:  # a function may also call `sys.exit`
        return _failed(error)


def _failed(error: BaseException) -> Failed:
    payload = runner.Payload()
    return Failed(runner.failure(error, payload), payload.inline())


def _sendable(outcome: Any) -> Any:
    try:
        runner.send(outcome, runner.Payload())
    except Exception as error:
        return _failed(error)
    return outcome


@contextmanager
def _place(task: Task) -> Iterator[None]:
    """As in any job, the place is here."""
    variables = {here.VARIABLE: task.marker, here.CORES: str(task.cores)}
    before = {name: os.environ.get(name) for name in variables}
    folder, config = os.getcwd(), here.pickled
    os.environ.update(variables)
    here.pickled = task.config
    os.chdir(task.work_dir)
    try:
        yield
    finally:
        here.pickled = config
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        os.chdir(folder)
