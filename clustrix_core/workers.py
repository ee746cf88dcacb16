"""Worker processes that are kept for what comes next, and end with this process."""

from __future__ import annotations

import atexit
import functools
import math
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from clustrix_core import forks
from clustrix_core.jobs.here import CORES

IDLE = 300.0  # seconds that an idle worker is kept
MOMENT = 2.0  # seconds that a worker has to end by itself

_START = """
import sys
sys.path[:] = [path for path in sys.path if path]
import pickle, socket
line = socket.socket(fileno=int(sys.argv[1]))
given = line.makefile("rb")
sys.path[:], sys.argv[:] = pickle.load(given)
from clustrix_core.serving import serve
serve(line, given)
"""


def cores() -> int:
    """Those that this process may use, also where a job, a container or a scheduler has a say."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    told = int(os.environ.get(CORES, allowed))
    return max(1, min(told, allowed, math.ceil(_quota() or allowed)))


@functools.cache
def _quota() -> float | None:
    """The cores whose time a container has; None where there is no limit."""
    for names in ("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"):
        with suppress(OSError, ValueError):  # there is no such file, or no number in it
            time, period = map(
                int, " ".join(Path("/sys/fs/cgroup", name).read_text() for name in names).split()
            )
            if time > 0:
                return time / period
    return None


class WorkerDiedError(Exception):
    """A worker process ended in the midst of its work."""


class _NotBegunError(WorkerDiedError):
    """It ended before that: what it was to do can't have been begun."""


class Order(Future[Any]):
    """Something that a worker is to do: a function that it finds by its name, and what it is called with.

    Args:
        count: how many workers may be busy when this is begun, itself included.
        run: the function.
        arguments: what it is called with; any process can unpickle them, as it can what comes of them.
    """

    def __init__(self, count: int, run: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self.count = count
        self.work: tuple[Callable[..., Any], tuple[Any, ...]] | None = (run, arguments)
        self._lock = threading.Lock()
        self._ended = False
        self._worker: _Worker | None = None

    def end(self) -> None:
        """Cancel it; if it has begun, the worker that does it is ended, and only that."""
        if self.cancel():
            return
        with self._lock:
            self._ended = True
            if self._worker is not None:
                self._worker.kill()

    def done_by(self, worker: _Worker) -> Any:
        """Have it done.

        Raises:
            CancelledError: it was ended.
            _NotBegunError: the worker died before it began.
            WorkerDiedError: the worker died in the midst of it.
        """
        with self._lock:
            if self._ended:
                raise CancelledError
            self._worker = worker
        try:
            return worker.do(self.work)
        except WorkerDiedError:
            if self._ended:
                raise CancelledError from None
            raise
        finally:
            with self._lock:  # from now on the worker is another's
                self._worker = None


class Workers:
    """Processes that do what is asked for; each is started when it is needed, and each has a thread here."""

    def __init__(self) -> None:
        self._alive: set[_Worker] = set()
        self._reset()
        forks.after_in_child(self._reset)  # the workers are the parent's
        atexit.register(self._end_for_good)

    def _reset(self) -> None:
        for worker in self._alive:
            worker.abandon()
        self._alive = set()
        self._changed = threading.Condition()
        self._orders: deque[Order] = deque()
        self._threads = self._busy = self._away = 0
        self._over = False

    def running(self, count: int) -> bool:
        """Whether there are so many workers already."""
        return len(self._alive) >= count

    def submit(self, count: int, run: Callable[..., Any], *arguments: object) -> Order:
        """Have something done as soon as fewer than `count` workers are busy."""
        order = Order(count, run, arguments)
        with self._changed:
            if self._over:
                raise RuntimeError("the process that this was for is ending")
            at_hand = self._threads - self._away
            if at_hand - self._busy <= len(self._orders) and at_hand < count:
                self._threads += self._has_begun_thread()
            if not self._threads:
                raise RuntimeError("no thread can be started")
            self._orders.append(order)
            self._changed.notify()
        return order

    def _has_begun_thread(self) -> bool:
        try:
            threading.Thread(target=self._serve, name="clustrix-worker", daemon=True).start()
        except RuntimeError:  # there are too many
            return False
        return True

    def end(self) -> None:
        """End them, whatever they are doing; what comes next has new ones."""
        with self._changed:
            waiting = list(self._orders)
            self._orders.clear()
            for worker in self._alive:
                worker.kill()
        for order in waiting:
            order.cancel()
            order.set_running_or_notify_cancel()

    def _end_for_good(self) -> None:
        self._over = True
        self.end()

    def _serve(self) -> None:
        """What the thread of a worker does."""
        worker: _Worker | None = None
        while (order := self._next()) is not None:
            settle: Callable[[], object] = order.cancelled  # nothing is left to do
            if order.set_running_or_notify_cancel():
                settle, worker = self._done(order, worker)
            with self._changed:
                self._busy -= 1
                self._away += 1  # whoever waits for it may ask for more in this very thread
                self._changed.notify()
            settle()
            del order, settle
            with self._changed:
                self._away -= 1
        self._without(worker)

    def _next(self) -> Order | None:
        """The next thing to do; none if nothing has come for long."""
        with self._changed:
            if not self._changed.wait_for(self._may_begin, IDLE):
                self._threads -= 1
                return None
            self._busy += 1
            order = self._orders.popleft()
            if self._orders:
                self._changed.notify()
            return order

    def _may_begin(self) -> bool:
        return bool(self._orders) and self._busy < self._orders[0].count

    def _done(self, order: Order, worker: _Worker | None) -> tuple[Callable[[], object], _Worker | None]:
        """Have something done; how to tell what came of it, and the worker, if it is there still."""
        try:
            if worker is not None and not worker.is_up_to_date():
                worker = self._without(worker)
            if worker is not None:
                try:
                    return partial(order.set_result, order.done_by(worker)), worker
                except _NotBegunError:  # it has been killed since it did something, say
                    self._without(worker)
            worker = self._started()
            return partial(order.set_result, order.done_by(worker)), worker
        except _RaisedError as error:
            return partial(order.set_exception, error.args[0]), worker
        except BaseException as error:
            return partial(order.set_exception, error), self._without(worker)
        finally:
            order.work = None

    def _started(self) -> _Worker:
        worker = _Worker()
        with self._changed:
            self._alive.add(worker)
            if self._over:
                worker.kill()
        return worker

    def _without(self, worker: _Worker | None) -> _Worker | None:
        if worker is not None:
            with self._changed:
                self._alive.discard(worker)
            worker.close()
        return None


class _RaisedError(Exception):
    """What was done raised something, which is the argument."""


class _Worker:
    """A worker process. One thread uses it; any may end it."""

    def __init__(self) -> None:
        self._path, self._loaded = _module_path(), _own_modules.specs()
        self._line, end = socket.socketpair()
        with end:
            flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
            self._process = subprocess.Popen(  # noqa: S603 (this Python)
                [sys.executable, *flags, "-c", _START, str(end.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[end.fileno()],
                start_new_session=True,  # Ctrl-C is left to this process, and all that it starts ends with it
            )
        self._answers = self._line.makefile("rb")
        with suppress(OSError):  # it has ended, which shows when it is to do something
            self._send((self._path, sys.argv))

    def is_up_to_date(self) -> bool:
        """Whether it looks for modules where this process does, which has loaded none of them anew since."""
        before, now = self._loaded, _own_modules.specs()
        self._loaded = {**before, **now}
        same = all(before.get(name, spec) is spec for name, spec in now.items())
        return same and self._path == _module_path()

    def do(self, work: object) -> Any:
        """Have something done; see `Order.done_by`."""
        begun = b""
        try:
            self._send(work)
            begun = self._answers.read(1)
            worked, value = pickle.load(self._answers)
        except (OSError, EOFError, pickle.UnpicklingError):
            died = WorkerDiedError if begun else _NotBegunError
            raise died(self._how_it_ended()) from None
        if not worked:
            raise _RaisedError(value)
        return value

    def _send(self, what: object) -> None:
        pickle.dump(what, _Writer(self._line), pickle.HIGHEST_PROTOCOL)

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(MOMENT)
        self.kill()
        status = self._process.wait()
        return f"signal {-status}" if status < 0 else f"exit code {status}"

    def kill(self) -> None:
        """End it, with all that it has started."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Have it end by itself, which it doesn't do if something of it goes on."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(MOMENT)
        self.kill()
        self._process.wait()
        self._answers.close()
        self._line.close()

    def abandon(self) -> None:
        """In a forked child: it is the parent's."""
        descriptor = self._line.detach()
        if descriptor >= 0:
            os.close(descriptor)
        self._process.returncode = 0  # nobody waits for it here


class _OwnModules:
    """The modules of this process that aren't installed, and so may be changed and loaded anew."""

    def __init__(self) -> None:
        self._looked_at: set[str] = set()
        self._names: set[str] = set()

    def specs(self) -> dict[str, object]:
        """Their specs: a module that is loaded anew has another."""
        if len(sys.modules) != len(self._looked_at):
            modules = dict(sys.modules)
            self._names.update(name for name in modules.keys() - self._looked_at if _is_own(modules[name]))
            self._looked_at = set(modules)
        return {name: getattr(sys.modules.get(name), "__spec__", None) for name in list(self._names)}


_own_modules = _OwnModules()


def _is_own(module: object) -> bool:
    spec = module.__spec__ if type(module) is ModuleType else None  # others do something when they are asked
    if not isinstance(spec, ModuleSpec) or spec.origin is None:
        return False
    in_site = "-packages" + os.sep in spec.origin  # of a site or a distribution
    return not in_site and spec.name.partition(".")[0] not in sys.stdlib_module_names


class _Writer:
    """A socket as a file that pickles go to."""

    def __init__(self, line: socket.socket) -> None:
        self.write = line.sendall


def _module_path() -> list[str]:
    """Where this process looks for modules: what is relative is so to its folder, which workers leave."""
    found = []
    for path in sys.path:
        with suppress(OSError, TypeError):  # the folder was removed
            found.append(os.path.abspath(path))
    return found
