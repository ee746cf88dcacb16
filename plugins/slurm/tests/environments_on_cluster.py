"""A function that the tests run in environments on a cluster: a local module, which travels."""

from __future__ import annotations

import os
import sys


def environment() -> tuple[str, str | None, str | None, str]:
    return sys.prefix, os.environ.get("CONDA_PREFIX"), os.environ.get("TOOL_HOME"), os.environ["PATH"]
