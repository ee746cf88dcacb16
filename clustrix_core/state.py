"""Where this machine keeps what Clustrix writes down by itself."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """`$XDG_STATE_HOME/clustrix`, by default `~/.local/state/clustrix`; it need not be there yet."""
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return base / "clustrix"
