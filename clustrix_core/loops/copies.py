"""Copies of this process, made for one loop.

A copy has all that is here at the time when it is made: every object under the same address, modules as they
were changed, the seed of hashes, the folder, all settings. So nothing has to be sent to it, and nothing is
different there. What it does stays in it, but for its answers.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import struct
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from types import FrameType
from typing import Any

possible = hasattr(os, "fork") and sys.platform.startswith("linux")
"""Elsewhere, libraries don't survive it."""

inside = False
"""Whether this process is a copy: then nothing is split any further."""

Work = Callable[[int, int], bytes]

_NOT_COPIED = {"/libgomp": "GNU OpenMP (libgomp)", "/libcuda.so": "CUDA"}
"""Libraries whose threads or contexts are lost in a copy, which waits for them for ever."""

_SIGNALS = signal.valid_signals()
_one_at_a_time = threading.Lock()
_PR_SET_PDEATHSIG = 1  # prctl(2)
_ORDER = struct.Struct("<QQ")
_HEAD = struct.Struct("<Q")


class Copy:
    """One copy."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid, self._connection = pid, connection
        self._received = bytearray()

    def fileno(self) -> int:
        """For selectors."""
        return self._connection.fileno()

    def order(self, start: int, stop: int) -> None:
        """Have iterations done; those of an order are after those of the orders before."""
        with suppress(ConnectionError):  # if it has died, that is noticed when its answers are read
            self._connection.sendall(_ORDER.pack(start, stop))

    def answers(self) -> list[bytes]:
        """The answers that have come, in the order of the orders.

        Raises:
            EOFError: it has died.
        """
        try:
            data = self._connection.recv(1 << 20)
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError
        self._received += data
        found: list[bytes] = []
        while len(self._received) >= _HEAD.size:
            end = _HEAD.size + _HEAD.unpack_from(self._received)[0]
            if len(self._received) < end:
                break
            found.append(bytes(memoryview(self._received)[_HEAD.size : end]))
            del self._received[:end]
        return found

    def kill(self) -> bool:
        """End it, whatever it is doing; say whether it is still to be waited for."""
        self._connection.close()
        try:
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return False
        except ChildProcessError:  # somebody has waited for it, and its number may be another's by now
            return False
        os.kill(self.pid, signal.SIGKILL)
        return True


class Copies:
    """Several copies, that work on the same loop; none before `start`.

    Args:
        work: what a copy does: it gives its answer for some iterations.

    Attributes:
        all: those that live.
        reading: seconds that it has taken to read their answers.
    """

    def __init__(self, work: Work) -> None:
        self.all: list[Copy] = []
        self.reading = 0.0
        self._work = work
        self._selector = selectors.PollSelector()  # which takes no descriptor

    def start(self, count: int) -> None:
        """Make them; `end` has to follow, also where this fails.

        Raises:
            OSError: no more processes can be made.
        """
        with undisturbed():
            for _ in range(count):
                copy = self._made()
                self.all.append(copy)
                self._selector.register(copy, selectors.EVENT_READ)

    def _made(self) -> Copy:
        original, prctl = os.getpid(), _prctl()
        try:
            with _one_at_a_time:  # else copies that another thread makes would hold the other end
                mine, its = socket.socketpair()
                try:
                    pid = _fork()
                except OSError:
                    mine.close()
                    its.close()
                    raise
                if pid:
                    its.close()
                    return Copy(pid, mine)
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == original:  # else it has died before
                mine.close()
                for other in self.all:
                    other._connection.close()
                _serve(self._work, its)
        finally:
            if os.getpid() != original:  # whatever happens, a copy doesn't go on with what the original does
                os._exit(0)
        raise AssertionError  # only a copy would come here

    def wait(self, long: bool = True) -> Iterator[tuple[Copy, bytes | None]]:
        """The next answers, and whose they are; None: it has died.

        Args:
            long: wait until there is one.
        """
        for key, _ in self._selector.select(None if long else 0):
            copy = key.fileobj
            assert isinstance(copy, Copy)
            began = time.perf_counter()
            try:
                answers = copy.answers()
                self.reading += time.perf_counter() - began
                for answer in answers:
                    yield copy, answer
            except EOFError:
                self._selector.unregister(copy)
                self.all.remove(copy)
                _end([copy])
                yield copy, None

    def ask(self, copy: Copy, start: int, stop: int) -> bytes | None:
        """Have iterations done by one, and wait for its answer."""
        copy.order(start, stop)
        while True:
            for _, answer in self.wait():
                return answer

    def end(self) -> None:
        """End them."""
        self._selector.close()
        _end(self.all)


def _end(some: list[Copy]) -> None:
    with undisturbed():
        killed = [copy for copy in some if copy.kill()]
        for copy in killed:
            with suppress(ChildProcessError):
                os.waitpid(copy.pid, 0)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Handlers of signals are called after it: what they raise would come in the midst, or seem other errors.

    To block signals wouldn't do: the system gives them to other threads then, of NumPy, say, and Python calls
    their handlers all the same.
    """
    came: set[int] = set()
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler):
                    stack.callback(_heed, number, handler, came)
                    signal.signal(number, lambda number, _: came.add(number))
        yield


def _heed(number: int, handler: Callable[[int, FrameType | None], object], came: set[int]) -> None:
    signal.signal(number, handler)
    if number in came:
        handler(number, sys._getframe())


def obstacle() -> str:
    """What is loaded in this process and hangs in a copy of it; empty if nothing is."""
    with open("/proc/self/maps", errors="replace") as file:
        loaded = file.read()
    return next((name for library, name in _NOT_COPIED.items() if library in loaded), "")


def watched() -> bool:
    """Whether a debugger, say, follows what is run: it wouldn't see what copies do, or hang there."""
    monitoring: Any = getattr(sys, "monitoring", None)  # since Python 3.12
    debugged = monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None
    return sys.gettrace() is not None or debugged


def _fork() -> int:
    # Python warns where there are threads, for they aren't in the copy and may have held locks. A copy only
    # does what was proved to use none. Filters are left as they are found: changing them in the usual way
    # makes Python forget which warnings were shown.
    # Nor is garbage collected there, which is the original's.
    quiet = ("ignore", None, DeprecationWarning, None, 0)
    filters, collects = warnings.filters, gc.isenabled()
    filters.insert(0, quiet)  # type: ignore[attr-defined]
    gc.disable()
    try:
        pid = os.fork()
        if not pid:
            gc.freeze()
        return pid
    finally:
        if collects:
            gc.enable()
        filters.remove(quiet)  # type: ignore[attr-defined]


@cache
def _prctl() -> Callable[[int, int], int]:
    """By this a copy ends when the thread does that made it, however long an iteration takes."""
    import ctypes  # only where a loop is split

    found: Callable[[int, int], int] = ctypes.CDLL(None).prctl
    return found


def _serve(work: Work, connection: socket.socket) -> None:
    global inside
    inside = True
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        if callable(signal.getsignal(number)):  # what is to be done then, the original does
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    while True:
        order = connection.recv(_ORDER.size, socket.MSG_WAITALL)
        if len(order) < _ORDER.size:
            return
        answer = work(*_ORDER.unpack(order))
        connection.sendall(_HEAD.pack(len(answer)))
        connection.sendall(answer)
