"""Where this machine keeps what Clustrix writes down by itself."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def state_folder() -> Path:
    """`$XDG_STATE_HOME/clustrix`, by default `~/.local/state/clustrix`; it need not be there yet."""
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return base / "clustrix"


def check_owner(folder: Path) -> None:
    """Refuse a folder in which others can put what is believed or run.

    Raises:
        PermissionError: it is one.
        FileNotFoundError: it isn't there.
    """
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "it must be yours, and nobody else may write there", str(folder))
