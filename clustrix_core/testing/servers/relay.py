"""A line of one's own: a TCP relay with a delay, which counts, and can be cut or stalled."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

RELAY = Path(__file__).with_name("_relay.py")


class Relay:
    """Passes TCP connections on to a port of this machine, in a process of its own; a context manager.

    Args:
        target: the port on 127.0.0.1 that connections are passed on to.
        rtt: the time, in seconds, that it adds to each round trip; half of it in each direction. The
            bandwidth stays.

    Attributes:
        port: where it listens, on 127.0.0.1.
    """

    def __init__(self, target: int, rtt: float = 0.0) -> None:
        self._target, self._rtt = target, rtt
        self._asking = threading.Lock()

    def __enter__(self) -> Relay:
        command = [sys.executable, "-I", "-S", str(RELAY), str(self._target), str(self._rtt)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._answer())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def round_trips(self) -> int:
        """How often the client sent something after it had been sent something, its first time included.

        Requests that go out together, or before the answer to the last one has arrived, are one. The
        connecting itself is not counted.
        """
        return self._ask("count")["round_trips"]

    @property
    def connections(self) -> int:
        """How many connections were made."""
        return self._ask("count")["connections"]

    @property
    def sent(self) -> int:
        """Bytes from the clients to the server."""
        return self._ask("count")["sent"]

    @property
    def received(self) -> int:
        """Bytes from the server to the clients."""
        return self._ask("count")["received"]

    def reset(self) -> None:
        """Count from nought."""
        self._ask("reset")

    def cut(self) -> None:
        """Break all connections; new ones are taken."""
        self._ask("cut")

    def stall(self) -> None:
        """Keep all connections, and take new ones, but pass nothing on."""
        self._ask("stall")

    def resume(self) -> None:
        """End a stall: what was held up is passed on."""
        self._ask("resume")

    def _ask(self, command: str) -> dict[str, int]:
        with self._asking:
            self._process.stdin.write(command + "\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
            counts: dict[str, int] = self._answer()
        return counts

    def _answer(self) -> Any:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError("the relay ended by itself")
        return json.loads(line)
