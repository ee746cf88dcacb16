"""What runs in a job: it calls the function, and writes down how that ended.

It is run from an archive, as `job.pyz run FOLDER TASK`, by the Python version that the archive was made for.
The outcome of a task is a file in the folder `done` of the job's folder, named by the task's number, which
appears at once and whole: a line of JSON, and the pickled result or exception behind it, or, where that is
large, in the folder `results`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import math
import os
import pickle
import reprlib
import signal
import socket
import sys
import threading
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import IO, Any

INLINE = 1 << 16  # bytes of a result that travel with the outcome
TEXT = 1 << 15  # characters of a message that do

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def run(archive: str, folder: str, task: int, umask: int) -> bool:
    """Call the function for one task. What it raises is its outcome; whether it succeeded is returned."""
    began = time.time()
    with contextlib.suppress(FileNotFoundError):  # it was begun before, and is begun again
        os.unlink(os.path.join(folder, "done", str(task)))
    with Payload(folder, task) as payload:
        outcome = _outcome(archive, folder, task, payload, umask)
        outcome["seconds"] = round(time.time() - began, 3)
        outcome["machine"] = socket.gethostname()
        try:
            outcome.update(payload.placed())
        except OSError as error:  # the last of it didn't fit on the disk
            payload.clear()
            outcome.update(failure(error, payload), **payload.placed())
        content = json.dumps(outcome).encode("ascii") + b"\n" + payload.inline()
        place(os.path.join(folder, "done"), str(task), content)
    return bool(outcome["outcome"] == "completed")


def _outcome(archive: str, folder: str, task: int, payload: Payload, umask: int) -> dict[str, Any]:
    try:
        function, args, kwargs = load(archive, folder, task)
        process = os.getpid()
        signal.signal(signal.SIGTERM, terminated)
        let_children_end()
        try:
            with umask_of(umask):
                result = function(*args, **kwargs)
        finally:
            end_if_child(process)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # there is time left to say what came of it
        send(result, payload)
        return {"outcome": "completed"}
    except BaseException as error:  # a function may also call `sys.exit`
        payload.clear()
        return failure(error, payload)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()


def end_if_child(process: int) -> None:
    """End a child that the function has forked and that comes back, as Python does: the job is its parent.

    Args:
        process: that of the job.
    """
    if os.getpid() == process:
        return
    error = sys.exc_info()[1]
    if error is not None and not isinstance(error, SystemExit):
        traceback.print_exception(type(error), error, error.__traceback__)
    status: Any = error.code if isinstance(error, SystemExit) else int(error is not None)
    if status is not None and not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit((status or 0) & 0xFF)


@contextlib.contextmanager
def umask_of(mask: int) -> Iterator[None]:
    """The function's own files get the rights that others of the account get."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def load(archive: str, folder: str, task: int) -> Call:
    from clustrix_core.jobs import here, parallel, script

    if importlib.util.find_spec("pydantic") is None:
        from clustrix_core.jobs import plain

        sys.modules["clustrix_core.config"] = plain
    script.begin()
    with script.arriving():
        with zipfile.ZipFile(archive) as files, files.open("function.pkl") as file:
            function, here.pickled, offsets, cores, loops = pickle.load(file)
        os.environ.setdefault(here.CORES, str(cores))  # whoever started it may know better
        with open(os.path.join(folder, "arguments"), "rb") as file:
            file.seek(offsets[task])
            args, kwargs = pickle.load(file)
    return parallel.split(getattr(function, "local", function), loops), args, kwargs


class ResultError(Exception):
    """A result can't be sent back."""


def send(result: object, file: Payload) -> None:
    """Pickle a result.

    Raises:
        ResultError: it can't be pickled.
    """
    from clustrix_core.jobs.travel import dump

    try:
        dump(result, file)
    except OSError:  # a full disk, say
        raise
    except Exception as error:
        raise unsendable(result, error) from None


def unsendable(result: object, error: Exception) -> ResultError:
    """Why a result can't be pickled, and what it is."""
    shown = as_text(_repr.repr, result)
    return ResultError(
        f"the result can't be pickled ({type(error).__name__}: {as_text(str, error)}): {shown}"
    )


def pickled_error(error: Exception) -> bytes:
    """Pickle an exception so that it can be unpickled, and says the same then."""
    from clustrix_core.jobs.travel import Rebuilt, dumps

    with contextlib.suppress(Exception):  # its `__init__` may want other arguments than `args`
        pickled = dumps(error)
        if _is_as_it_was(pickle.loads(pickled), error):
            return pickled
    pickled = dumps(Rebuilt(error))
    pickle.loads(pickled)
    return pickled


def _is_as_it_was(again: BaseException, error: BaseException) -> bool:
    """An `__init__` that makes a text of what it is given would make another one of that text."""
    made_anew = type(error).__reduce__ is BaseException.__reduce__
    return not made_anew or as_text(str, again) == as_text(str, error)


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 200


def as_text(make: Callable[[Any], str], value: object) -> str:
    """What `str` or `repr` make of a value, if they can, and the beginning of it, where that is long."""
    try:
        text = make(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose text can't be told: {type(error).__name__}>"
    return text if len(text) <= TEXT else text[:TEXT] + "..."


def failure(error: BaseException, file: Payload) -> dict[str, Any]:
    """An exception as an outcome: its text always, itself if it is an `Exception` that can be pickled."""
    text = "".join(traceback.format_exception(type(error), error, own_frames_off(error)))
    if isinstance(error, Exception):
        try:
            file.write(pickled_error(error))
        except Exception:
            file.clear()
    return {
        "outcome": "failed",
        "end": "terminated" if isinstance(error, Terminated) else "raised",
        "type": type(error).__name__,
        "message": as_text(str, error),
        "traceback": text[-TEXT:],
    }


def own_frames_off(error: BaseException) -> TracebackType | None:
    """The traceback from the user's function on."""
    frames, own = error.__traceback__, os.path.dirname(run.__code__.co_filename)
    while frames is not None and os.path.dirname(frames.tb_frame.f_code.co_filename) == own:
        frames = frames.tb_next
    return frames or error.__traceback__


class Payload:
    """A pickle on its way out: what is small stays in memory, the rest goes to the disk as it comes.

    Without a folder, all stays in memory.
    """

    def __init__(self, folder: str = "", task: int = 0) -> None:
        self._room = INLINE if folder else math.inf
        self._folder, self._name = os.path.join(folder, "results"), str(task)
        self._temporary = os.path.join(self._folder, f".{task}.{os.getpid()}")
        self._file: IO[bytes] | None = None
        self.clear()

    def clear(self) -> None:
        self.close()
        self._pieces: list[bytes] = []
        self._sum, self._size = hashlib.sha256(), 0

    def __enter__(self) -> Payload:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave no half of a file."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # it is written to the end first
                self._file.close()
            self._file = None
            with contextlib.suppress(OSError):
                os.unlink(self._temporary)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._sum.update(view)
        self._size += len(view)
        if self._file is None and self._size <= self._room:
            self._pieces.append(bytes(view))
            return len(view)
        if self._file is None:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            self._file = open(self._temporary, "wb")  # noqa: SIM115 (`close` does)
            self._file.writelines(self._pieces)
        self._file.write(view)
        return len(view)

    def inline(self) -> bytes:
        return b"" if self._size > self._room else b"".join(self._pieces)

    def placed(self) -> dict[str, Any]:
        """Put a large one in its place, whole and on the disk; what the outcome says of it."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.rename(self._temporary, os.path.join(self._folder, self._name))
            self._file = None
        return {"size": self._size, "sha256": self._sum.hexdigest(), "inline": self._size <= self._room}


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
    """The job is ended from outside (SIGTERM); whoever does that knows why."""


def terminated(_number: int, _frame: object) -> None:
    raise Terminated("the job was terminated (SIGTERM)")


def let_children_end() -> None:
    """Have forked children end by SIGTERM, as `multiprocessing` has its own do: they have nothing to tell.

    It is blocked meanwhile: a child forgets what comes before Python has made it one.
    """
    mask = threading.local()

    def again() -> None:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()

    def before() -> None:
        try:
            mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        except Terminated:  # here it would be ignored
            mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]) - {signal.SIGTERM}
            again()

    def in_child() -> None:
        if signal.getsignal(signal.SIGTERM) is terminated:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask.before)

    def in_parent() -> None:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask.before)
        except Terminated:  # here as well
            again()

    os.register_at_fork(before=before, after_in_child=in_child, after_in_parent=in_parent)


def activate() -> None:
    """Set the variables that activating this Python's environment would have set."""
    folder = os.path.join(sys.prefix, "conda-meta")
    conda = os.path.isdir(folder)
    if not conda and sys.prefix == sys.base_prefix:
        return
    os.environ["CONDA_PREFIX" if conda else "VIRTUAL_ENV"] = sys.prefix
    os.environ["PATH"] = os.path.join(sys.prefix, "bin") + os.pathsep + os.environ.get("PATH", os.defpath)
    if conda:
        os.environ["CONDA_DEFAULT_ENV"] = os.path.basename(sys.prefix)
        state = os.path.join(folder, "state")  # what `conda env config vars` sets
        with contextlib.suppress(OSError, ValueError, AttributeError), open(state, encoding="utf-8") as file:
            os.environ.update(json.load(file).get("env_vars", {}))


def main(arguments: list[str]) -> None:
    """Run a task. The exit status tells the scheduler whether it succeeded, as others may come after it."""
    archive, _run, folder, task = arguments
    umask = os.umask(0o077)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the log tells it as it comes
    activate()
    sys.exit(not run(archive, folder, int(task), umask))
