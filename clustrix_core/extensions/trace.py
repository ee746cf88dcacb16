"""`Trace`: a log record for every operation.

Choose it with `extensions=("trace",)` in the config, and let the logger `clustrix.trace` speak:

    logging.basicConfig()
    logging.getLogger("clustrix.trace").setLevel(logging.INFO)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from clustrix_core.errors import printable
from clustrix_core.extensions.observer import Ending, Observer

_logger = logging.getLogger("clustrix.trace")
_logger.addHandler(logging.NullHandler())


class Trace(Observer):
    """Logs each operation at level INFO to `clustrix.trace`: what, where, how long and how it ended.

    A record never holds contents of files or secrets, and control characters in names are escaped. Its
    message is for people; the same facts are attributes of the record: `operation`, `backend`, `host` (None
    without one), `way` (how the place is reached, as the backend describes it), `path` (None where there are
    several), `paths` (how many), `pattern` (None without one), `milliseconds`, `outcome` (`"ok"`, or the
    name of the exception's class), `count` (the items of a stream, else None) and `jobs` (the names of those
    that it is about, else None). A stream's record is
    written when the stream ends.

    Args:
        config: the session's config.
    """

    def begin(self, operation: str, facts: dict[str, Any]) -> Callable[[Ending], object] | None:
        """Log how it ended, if anybody listens."""
        if not _logger.isEnabledFor(logging.INFO):
            return None
        paths, pattern = facts.get("paths", [facts.get("path")]), facts.get("pattern")
        jobs = facts.get("jobs", [facts["job"]] if "job" in facts else None)

        def log(ending: Ending) -> None:
            told: dict[str, Any] = {
                "operation": operation,
                "backend": self.backend,
                "host": self.host,
                "way": printable(self.way()),
                "path": printable(paths[0]) if len(paths) == 1 else None,
                "paths": len(paths),
                "pattern": None if pattern is None else printable(pattern),
                "milliseconds": ending.seconds * 1000,
                "outcome": ending.outcome,
                "count": ending.count,
                "jobs": jobs,
            }
            _logger.info(_message(**told), extra=told)

        return log


def _message(
    *,
    operation: str,
    backend: str,
    host: str | None,
    way: str,
    path: str | None,
    paths: int,
    pattern: str | None,
    milliseconds: float,
    outcome: str,
    count: int | None,
    jobs: list[str] | None,
) -> str:
    place = backend if host is None else f"{backend} {host}"
    place += f" ({way})" if way else ""
    subject = f"{paths} paths" if path is None else path
    if jobs is not None:
        subject = printable(jobs[0]) if len(jobs) == 1 else f"{len(jobs)} jobs"
    selection = "" if pattern is None else f"{pattern} in "
    items = "" if count is None else f", count {count}"
    return f"{place}: {operation} {selection}{subject}: {outcome}{items}, {milliseconds:.1f} ms"
