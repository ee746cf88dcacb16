"""A mount namespace: what is mounted and started in it is seen there alone, and ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

# Holds the namespace as long as its standard input is open; whatever else runs in it ends with it.
HOLDER = """
set -e
{setup}
echo ready
cat >/dev/null
own=$(readlink /proc/self/ns/mnt)
for process in /proc/[0-9]*; do
    if [ "$(readlink $process/ns/mnt)" = "$own" ] && [ $process != /proc/$$ ]; then
        kill -9 ${{process#/proc/}} 2>/dev/null || true
    fi
done
"""


class Namespace:
    """A mount namespace, until it is closed.

    Args:
        setup: shell commands that mount things in it.
        base: the folder in which they run.

    Raises:
        RuntimeError: one of them failed.
    """

    def __init__(self, setup: str, base: Path) -> None:
        pipe = subprocess.PIPE
        command = ["unshare", "--mount", "sh", "-c", HOLDER.format(setup=setup)]
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._holder = subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True, cwd=base)
        if self._holder.stdout.readline() != b"ready\n":  # type: ignore[union-attr]
            self.close()
            raise RuntimeError("the namespace of the test servers could not be made; see its messages above")

    def close(self) -> None:
        """Kill all that runs in it; its mounts go with the last process."""
        self._holder.communicate()
        for daemon in self._daemons:
            daemon.wait()

    def enter(self) -> list[str]:
        """The beginning of a command line that runs the rest of it in there."""
        return ["nsenter", "--mount", f"--target={self._holder.pid}"]

    def run(self, command: Sequence[str], text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command in there to its end, as root; `text` is its standard input."""
        return subprocess.run([*self.enter(), *command], input=text, capture_output=True)

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a daemon in there, which stays in the foreground and writes to a log."""
        with open(log, "ab") as file:
            daemon = subprocess.Popen(
                [*self.enter(), *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._daemons.append(daemon)
        return daemon

    def kill(self) -> None:
        """Kill all that runs in it; the namespace itself stays."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for daemon in self._daemons:
            daemon.wait()
        self._daemons.clear()

    def processes(self) -> list[int]:
        """The ids of all processes in there, but for the one that holds it."""
        own = os.readlink(f"/proc/{self._holder.pid}/ns/mnt")
        found = []
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/mnt") == own:
                    parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
                    if self._holder.pid not in (int(entry), parent):
                        found.append(int(entry))
            except OSError:  # it ended meanwhile
                continue
        return found
