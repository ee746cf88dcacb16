"""Reading folders over SFTP: one as fast as it goes, and many ahead of the walk that will want them.

A folder costs two round trips at least (open it, read it; nobody waits for the closing), so a walk that
reads one after the other stands still for most of its time.
"""

from __future__ import annotations

import heapq
import stat
import threading
import time
from collections.abc import Callable, Iterable

from clustrix_ssh import sftp_client as sftp
from clustrix_ssh.sftp_client import Attributes, SftpClient, SftpStatusError

FOLDERS = 64  # read at the same time for one walk: each is a descriptor of the server's
FOLDERS_IN_ALL = 128  # of which servers have 256 at least
ENTRIES_AHEAD = 100_000  # that may wait for the walk, beside the folders that are being read
LONGEST_FOLDER = 1 << 24  # entries
VOLLEYS = (4, 16, 64)  # requests for entries, sent at once: OpenSSH gives a hundred names in each


class Reading:
    """One folder that is being read, moved on by the answers as they arrive.

    Args:
        then: called in the reader's thread when all is there, before anyone who waits is told.

    Attributes:
        entries: the names, and what the server tells of each (links are not followed).
        error: why the folder can't be read.
    """

    def __init__(self, client: SftpClient, path: bytes, then: Callable[[], object] | None = None) -> None:
        self.client, self.path, self._then = client, path, then
        self.entries: dict[bytes, Attributes] = {}
        self.error: OSError | None = None
        self._handle: bytes | None = None
        self._done = threading.Event()
        self._waiting = self._volley = self._received = 0
        self._ended = self._lost = False
        client.count_folder(1)
        client.call(sftp.OPENDIR, sftp.string(path), self._opened)

    def wait(self) -> dict[bytes, Attributes]:
        """The entries, without `.` and `..`.

        Raises:
            OSError: the folder can't be read.
            SftpLostError: the connection is lost.
        """
        self.client.wait_for(self._done, time.monotonic())
        if self._lost or not self._done.is_set():
            raise self.client.failure()
        if self.error is not None:
            raise self.error
        return self.entries

    def _opened(self, kind: int, body: bytes) -> None:
        if kind == sftp.HANDLE:
            self._handle = body
            self._ask()
        else:
            self._fail(kind, body, sftp.HANDLE)
            self._finish()

    def _ask(self) -> None:
        count = VOLLEYS[min(self._volley, len(VOLLEYS) - 1)]
        self._volley += 1
        self._waiting = count
        for _ in range(count):
            self.client.call(sftp.READDIR, self._handle or b"", self._read)

    def _read(self, kind: int, body: bytes) -> None:
        self._waiting -= 1
        if kind == sftp.NAME:
            self._add(sftp.read_names(body))
        else:
            self._fail(kind, body, sftp.NAME)
        if self._waiting:
            return
        if not self._ended:
            self._ask()
        elif b"." in self.entries or self.error is not None or self._lost:
            self._finish()
        else:
            # OpenSSH leaves out what it can't look at: all, where a folder may be listed but not entered.
            self.client.call(sftp.STAT, sftp.string(self.path + b"/."), self._looked)

    def _looked(self, kind: int, body: bytes) -> None:
        if kind != sftp.ATTRS:
            self._fail(kind, body, sftp.ATTRS)
        self._finish()

    def _fail(self, kind: int, body: bytes, expected: int) -> None:
        """Take an answer that is not what was asked for."""
        self._ended = True
        if kind == sftp.LOST:
            self._lost = True
            return
        try:
            sftp.checked(self.client, kind, body, expected)
        except SftpStatusError as status:
            if status.code != sftp.EOF:
                self.error = sftp.os_error(status, self.path)

    def _add(self, names: sftp.Names) -> None:
        """Names that can't be, or without end, are not for use."""
        self._received += len(names)
        self.entries.update(names)
        if any(not name or b"/" in name or b"\0" in name for name, _ in names):
            self._refuse("a name that no file can have")
        elif self._received > 2 * len(self.entries) + 1000 or self._received > LONGEST_FOLDER:
            self._refuse("names without end")
        self._ended = self._ended or not names

    def _refuse(self, what: str) -> None:
        self.error = sftp.os_error(SftpStatusError(sftp.FAILURE, what), self.path)
        self._ended = True

    def _finish(self) -> None:
        self.client.count_folder(-1)
        if self._handle is not None:
            self.client.tell(sftp.CLOSE, self._handle)
        self.entries.pop(b".", None)
        self.entries.pop(b"..", None)
        if self.error is None and any(not one.flags & sftp.HAS_PERMISSIONS for one in self.entries.values()):
            self._complete()
        else:
            self._tell()

    def _complete(self) -> None:
        """Ask for each entry whose type the server left out."""
        bare = [name for name, one in self.entries.items() if not one.flags & sftp.HAS_PERMISSIONS]
        self._waiting = len(bare)
        for name in bare:

            def take(kind: int, body: bytes, name: bytes = name) -> None:
                self._waiting -= 1
                self._lost = self._lost or kind == sftp.LOST
                if kind == sftp.ATTRS:
                    self.entries[name] = sftp.read_attributes(body)[0]
                if not self._waiting:
                    self._tell()

            self.client.call(sftp.LSTAT, sftp.string(self.path + b"/" + name), take)

    def _tell(self) -> None:
        if self._then is not None:
            self._then()
        self._done.set()


class Plan:
    """A folder that will be wanted."""

    def __init__(self, place: tuple[int, bytes], path: bytes, depth: float, hidden: bool) -> None:
        self.place, self.path, self.depth, self.hidden = place, path, depth, hidden
        self.reading: Reading | None = None
        self.size = 0  # entries, once it is read

    def __lt__(self, other: Plan) -> bool:
        return self.place < other.place

    def below(self) -> list[Plan]:
        """The folders in it that will be wanted as well."""
        if self.depth <= 1 or self.reading is None:
            return []
        order, path = self.place
        return [
            Plan((order, path + name + b"/"), self.path + b"/" + name, self.depth - 1, self.hidden)
            for name, told in self.reading.entries.items()
            if stat.S_ISDIR(told.st_mode) and (self.hidden or not name.startswith(b"."))
        ]


class ReadAhead:
    """Reads folders before they are asked for, in the order in which they will be.

    What waits to be taken is bounded by `ENTRIES_AHEAD` and the `FOLDERS` under way; a folder that is asked
    for is read at once, whatever else is.
    """

    def __init__(self, client: SftpClient) -> None:
        self.client = client
        self.depth: float = 1  # from the folder that was last taken
        self._changing = threading.RLock()
        self._plans: dict[bytes, Plan] = {}
        self._queue: list[Plan] = []
        self._under_way = self._ready = self._expected = 0
        self._stopped = False

    def expect(self, folders: Iterable[bytes], depth: float = 1, hidden: bool = True) -> None:
        """These folders will be wanted in this order, each with all that is below it down to `depth`."""
        with self._changing:
            for folder in folders:
                self._expected += 1
                path = plain(folder)
                self._add(Plan((self._expected, path.rstrip(b"/") + b"/"), path, depth, hidden))
            self._start()

    def take(self, folder: bytes) -> dict[bytes, Attributes]:
        """The entries of a folder. Raises as `Reading.wait` does."""
        key = plain(folder)
        with self._changing:
            plan = self._plans.get(key)
            if plan is None:
                plan = self._plans[key] = Plan((0, b""), key, 1, True)
            if plan.reading is None:
                self._read(plan)
            self.depth = plan.depth
            reading = plan.reading
        assert reading is not None
        try:
            return reading.wait()
        finally:
            with self._changing:
                self._plans.pop(key, None)
                self._ready -= plan.size
                self._start()

    def stop(self) -> None:
        """Read no more; what is under way comes to its end by itself."""
        with self._changing:
            self._stopped = True
            self._plans.clear()
            self._queue.clear()

    def _add(self, plan: Plan) -> None:
        if plan.path not in self._plans:
            self._plans[plan.path] = plan
            heapq.heappush(self._queue, plan)

    def _start(self) -> None:
        while self._queue and not self._stopped and self._has_room():
            plan = heapq.heappop(self._queue)
            if plan.reading is None and self._plans.get(plan.path) is plan:
                self._read(plan)

    def _has_room(self) -> bool:
        mine = self._under_way < FOLDERS and self._ready < ENTRIES_AHEAD
        return mine and self.client.folders < FOLDERS_IN_ALL

    def _read(self, plan: Plan) -> None:
        self._under_way += 1
        plan.reading = Reading(self.client, plan.path, lambda: self._finished(plan))

    def _finished(self, plan: Plan) -> None:
        with self._changing:
            self._under_way -= 1
            if self._stopped or plan.reading is None:
                return
            plan.size = len(plan.reading.entries)
            self._ready += plan.size
            for below in plan.below():
                self._add(below)
            self._start()


def plain(folder: bytes) -> bytes:
    """The same path without the `./` that keeps a name from being taken for the home folder."""
    return folder.replace(b"/./~", b"/~")
