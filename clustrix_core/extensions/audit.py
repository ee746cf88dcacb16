"""`Audit`: a line of JSON for every operation, in a file that only grows."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from clustrix_core.config import ClusterConfig
from clustrix_core.errors import ClustrixError, ConfigError, printable
from clustrix_core.extensions.observer import Ending, Observer
from clustrix_core.state import state_folder


class Audit(Observer):
    """Writes who did what, where, when, how long it took and how it ended, at the end of each operation.

    The file is the config's `audit_file`, else `$XDG_STATE_HOME/clustrix/audit.jsonl`, where `XDG_STATE_HOME`
    is `~/.local/state` unless it is set. Each line is an object with

    - `time` (when the operation began: ISO 8601, UTC), `user`, `machine` and `pid` of whoever asked;
    - `backend`, `host` and `as` (the user name there, null if the config names none);
    - `operation`, and those of `path`, `paths`, `pattern`, `mode`, `source` and `target` that it has;
    - `seconds`, `outcome` (`"ok"`, or the name of the exception's class), `error` (what it says, or null) and
      `count` (the items of a stream, else null).

    A stream's line is written when the stream ends. Contents of files and secrets are never written. A line
    is appended in one write, so that many processes can share a file on a local disk.

    Args:
        config: the session's config.

    Raises:
        ConfigError: the file can't be opened for writing; then no operation begins.
    """

    def __init__(self, config: ClusterConfig) -> None:
        super().__init__(config)
        self._as = config.username
        given = config.audit_file
        self._file = Path(given).expanduser().absolute() if given else state_folder() / "audit.jsonl"
        self._write("")  # now, rather than after the first operation, it shows whether this works

    def begin(self, operation: str, facts: dict[str, Any]) -> Callable[[Ending], object]:
        """Write a line once it has ended."""
        began = datetime.now(timezone.utc)

        def write(ending: Ending) -> None:
            line = {
                "time": began.isoformat(timespec="milliseconds"),
                "user": _user(),
                "machine": socket.gethostname(),
                "pid": os.getpid(),
                "backend": self.backend,
                "host": self.host,
                "as": self._as,
                "operation": operation,
                **facts,
                "seconds": round(ending.seconds, 6),
                "outcome": ending.outcome,
                "error": None if ending.error is None else str(ending.error),
                "count": ending.count,
            }
            self._write(json.dumps(line) + "\n")

        return write

    def _write(self, line: str) -> None:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _append(descriptor, line.encode("ascii"))
            finally:
                os.close(descriptor)
        except OSError as error:
            what = "the audit file can't be written" if line else "the audit file can't be opened"
            kind = ClustrixError if line else ConfigError
            raise kind(f"{what}: {printable(self._file)}: {error.strerror}; see audit_file") from error


def _append(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data) if data else 0
    if written < len(data):
        raise OSError(0, f"only {written} of {len(data)} bytes of a line were written")


def _user() -> str:
    """Who runs this, by the account's number: the environment could claim anything."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
