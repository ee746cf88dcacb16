"""What runs in a job: it calls the function, and writes down how that ended.

It is run from an archive, as `job.pyz run FOLDER TASK`, by the Python version that the archive was made for.
The outcome of a task is a file in the folder `done` of the job's folder, named by the task's number, which
appears at once and whole: a line of JSON, and the pickled result or exception behind it, or, where that is
large, in the folder `results`.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import pickle
import signal
import socket
import sys
import time
import traceback
import zipfile

INLINE = 1 << 16  # bytes of a result that travel with the outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(archive: str, folder: str, task: int) -> None:
    """Call the function for one task. What it raises is its outcome."""
    began = time.time()
    try:
        function, args, kwargs = load(archive, task)
        signal.signal(signal.SIGTERM, terminated)
        result = function(*args, **kwargs)
        outcome, payload = {"outcome": "completed"}, pickled(result)  # type: dict[str, Any], bytes
    except BaseException as error:  # a function may also call `sys.exit`
        outcome, payload = failure(error)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
    outcome["seconds"] = round(time.time() - began, 3)
    outcome["machine"] = socket.gethostname()
    write(folder, task, outcome, payload)


def load(archive: str, task: int) -> "tuple[Any, tuple[Any, ...], dict[str, Any]]":
    from clustrix_core.jobs import here

    if importlib.util.find_spec("pydantic") is None:
        from clustrix_core.jobs import plain

        sys.modules["clustrix_core.config"] = plain
    with zipfile.ZipFile(archive) as files:
        function, here.active = pickle.loads(files.read("function.pkl"))
        args, kwargs = pickle.loads(files.read(f"tasks/{task}.pkl"))
    return getattr(function, "local", function), args, kwargs


class ResultError(Exception):
    """A result can't be sent back."""


def pickled(result: object) -> bytes:
    from clustrix_core.jobs.travel import dumps

    try:
        return dumps(result)
    except Exception as error:
        shown = repr(result)
        shown = shown if len(shown) < 500 else shown[:500] + "..."
        raise ResultError(f"the result can't be pickled ({type(error).__name__}: {error}): {shown}") from None


def failure(error: BaseException) -> "tuple[dict[str, Any], bytes]":
    """An exception as an outcome: its text always, itself if it can be pickled."""
    from clustrix_core.jobs.travel import dumps

    text = "".join(traceback.format_exception(type(error), error, own_frames_off(error)))
    outcome = {
        "outcome": "failed",
        "type": type(error).__name__,
        "message": str(error),
        "traceback": text[-(1 << 15) :],
    }
    try:
        payload = dumps(error)
        pickle.loads(payload)
    except Exception:
        payload = b""
    return outcome, payload


def own_frames_off(error: BaseException) -> "Any":
    """The traceback from the user's function on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return frames or error.__traceback__


def write(folder: str, task: int, outcome: "dict[str, Any]", payload: bytes) -> None:
    outcome["size"], outcome["sha256"] = len(payload), hashlib.sha256(payload).hexdigest()
    outcome["inline"] = len(payload) <= INLINE
    if not outcome["inline"]:
        place(os.path.join(folder, "results"), str(task), payload)
    head = json.dumps(outcome).encode("ascii") + b"\n"
    place(os.path.join(folder, "done"), str(task), head + (payload if outcome["inline"] else b""))


def place(folder: str, name: str, data: bytes) -> None:
    """Write a file that appears at once and whole, and is on the disk then."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, os.path.join(folder, name))


class Terminated(BaseException):
    """The scheduler ends the job (SIGTERM); it knows why."""


def terminated(_number: int, _frame: object) -> None:
    raise Terminated("the job was terminated (SIGTERM)")


# --- where there is no scheduler: a supervisor, in a session of its own, holds a lock as long as it is there


def start(archive: str, folder: str, tasks: int, workers: int) -> None:
    """Run the tasks in processes that nobody waits for; print what `cancel` takes."""
    ready, begun = os.pipe()
    if os.fork():
        os.close(begun)
        os.wait()
        os.read(ready, 1)  # until the lock is held
        print("clustrix-" + os.path.basename(folder))  # the job's name
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    place(folder, "tasks", b"%d" % tasks)
    with open(os.path.join(folder, "lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place(folder, "group", b"%d" % os.getpgrp())
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.close(begun)
        supervise(archive, folder, tasks, workers)
        os._exit(0)


def supervise(archive: str, folder: str, tasks: int, workers: int) -> None:
    waiting = list(range(tasks))
    running = {}  # type: dict[int, int]
    while waiting or running:
        while waiting and len(running) < workers:
            task = waiting.pop(0)
            running[spawn(archive, folder, task)] = task
        process, status = os.wait()
        task = running.pop(process)
        if not os.path.exists(os.path.join(folder, "done", str(task))):
            text = f"the process of the task ended without a word (status {status})"
            outcome = {"outcome": "failed", "type": "Died", "message": text, "traceback": text}
            write(folder, task, {**outcome, "seconds": 0.0, "machine": socket.gethostname()}, b"")


def spawn(archive: str, folder: str, task: int) -> int:
    process = os.fork()
    if process:
        return process
    log = os.open(os.path.join(folder, f"log-{task}"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.execv(sys.executable, [sys.executable, archive, "run", folder, str(task)])


def states(folders: "list[str]") -> None:
    """Print how many tasks each supervisor, that is still there, has."""
    print(json.dumps([is_supervised(folder) for folder in folders]))


def is_supervised(folder: str) -> int:
    try:
        with open(os.path.join(folder, "lock"), "rb") as lock, open(os.path.join(folder, "tasks")) as tasks:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(tasks.read())
    except FileNotFoundError:
        pass
    return 0


def cancel(folders: "list[str]") -> None:
    """End supervisors with all that they started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for folder in filter(is_supervised, folders):
            with open(os.path.join(folder, "group")) as file, contextlib.suppress(ProcessLookupError):
                os.killpg(int(file.read()), number)
        deadline = time.monotonic() + 2
        while any(map(is_supervised, folders)) and time.monotonic() < deadline:
            time.sleep(0.05)


def main(arguments: "list[str]") -> None:
    """Run a task, or see to those of jobs without a scheduler."""
    archive, command, *rest = arguments
    os.umask(0o077)
    if command == "run":
        run(archive, rest[0], int(rest[1]))
    elif command == "start":
        start(archive, rest[0], int(rest[1]), int(rest[2]))
    elif command == "states":
        states(rest)
    elif command == "cancel":
        cancel(rest)
