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
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache

possible = hasattr(os, "fork") and sys.platform.startswith("linux")
"""Elsewhere, libraries don't survive it."""

inside = False
"""Whether this process is a copy: then nothing is split any further."""

Work = Callable[[int, int], bytes]

_NOT_COPIED = {"/libgomp": "GNU OpenMP (libgomp)", "/libcuda.so": "CUDA"}
"""Libraries whose threads or contexts are lost in a copy, which waits for them for ever."""

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
        with suppress(OSError):  # if it has died, that is noticed when its answers are read
            self._connection.sendall(_ORDER.pack(start, stop))

    def answers(self) -> Iterator[bytes]:
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
        while len(self._received) >= _HEAD.size:
            end = _HEAD.size + _HEAD.unpack_from(self._received)[0]
            if len(self._received) < end:
                return
            answer = bytes(memoryview(self._received)[_HEAD.size : end])
            del self._received[:end]
            yield answer

    def end(self) -> None:
        """End it, whatever it is doing."""
        self._connection.close()
        with suppress(
            ChildProcessError
        ):  # somebody has waited for it, and its number may be another's by now
            if os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)


class Copies:
    """Several copies, that work on the same loop.

    Args:
        count: how many.
        work: what a copy does: it gives its answer for some iterations.
    """

    def __init__(self, count: int, work: Work) -> None:
        self.all: list[Copy] = []
        self._selector = selectors.DefaultSelector()
        try:
            for _ in range(count):
                copy = self._made(work)
                self.all.append(copy)
                self._selector.register(copy, selectors.EVENT_READ)
        except BaseException:
            self.end()
            raise

    def _made(self, work: Work) -> Copy:
        with _one_at_a_time:  # else copies that another thread makes would hold the other end
            original, prctl = os.getpid(), _prctl()
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
        try:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != original:  # it has died before
                return os._exit(0)
            mine.close()
            for other in self.all:
                other._connection.close()
            _serve(work, its)
        finally:
            os._exit(0)

    def wait(self, long: bool = True) -> Iterator[tuple[Copy, bytes | None]]:
        """The next answers, and whose they are; None: it has died.

        Args:
            long: wait until there is one.
        """
        for key, _ in self._selector.select(None if long else 0):
            copy = key.fileobj
            assert isinstance(copy, Copy)
            try:
                for answer in copy.answers():
                    yield copy, answer
            except EOFError:
                self._selector.unregister(copy)
                self.all.remove(copy)
                copy.end()
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
        for copy in self.all:
            copy.end()


def obstacle() -> str:
    """What is loaded in this process and hangs in a copy of it; empty if nothing is."""
    with open("/proc/self/maps", errors="replace") as file:
        loaded = file.read()
    return next((name for library, name in _NOT_COPIED.items() if library in loaded), "")


def _fork() -> int:
    # Python warns where there are threads, for they aren't in the copy and may have held locks. A copy only
    # does what was proved to use none. Filters are left as they are found: changing them in the usual way
    # makes Python forget which warnings were shown.
    quiet = ("ignore", None, DeprecationWarning, None, 0)
    warnings.filters.insert(0, quiet)  # type: ignore[attr-defined]
    try:
        return os.fork()
    finally:
        warnings.filters.remove(quiet)  # type: ignore[attr-defined]


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
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):  # what is to be done then, the original does
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    gc.freeze()  # what was garbage before is the original's
    while True:
        order = connection.recv(_ORDER.size, socket.MSG_WAITALL)
        if len(order) < _ORDER.size:
            return
        answer = work(*_ORDER.unpack(order))
        connection.sendall(_HEAD.pack(len(answer)))
        connection.sendall(answer)
