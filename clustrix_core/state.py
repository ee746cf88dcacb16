"""Where this machine keeps what Clustrix writes down by itself."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def state_folder() -> Path:
    """`$XDG_STATE_HOME/clustrix`, by default `~/.local/state/clustrix`; it need not be there yet.

    Raises:
        FileNotFoundError: this user has no home folder.
    """
    return _base("XDG_STATE_HOME", ".local/state") / "clustrix"


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/clustrix`, by default `~/.cache/clustrix`; it need not be there yet.

    Raises:
        FileNotFoundError: this user has no home folder.
    """
    return _base("XDG_CACHE_HOME", ".cache") / "clustrix"


def _base(variable: str, default: str) -> Path:
    given = os.environ.get(variable, "")
    if os.path.isabs(given):
        return Path(given)
    home = os.path.expanduser("~")
    if not os.path.isabs(home):  # no HOME, and in a container a number without a name
        raise FileNotFoundError(errno.ENOENT, f"there is no home folder; set HOME or {variable}", home)
    return Path(home, default)


def check_owner(folder: Path) -> None:
    """Refuse a folder in which others can put what is believed or run.

    Raises:
        PermissionError: it is one.
        FileNotFoundError: it isn't there.
    """
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "it must be yours, and nobody else may write there", str(folder))
