"""A function that the tests run in environments: a local module, which travels."""

from __future__ import annotations

import os
import sys
import time


def versions() -> tuple[str, str, str, str | None, str]:
    import tinybase  # type: ignore[import-not-found]
    import tinytool  # type: ignore[import-not-found]

    return tinytool.version, tinybase.version, sys.prefix, os.environ.get("VIRTUAL_ENV"), os.environ["PATH"]


def waits_for(path: str) -> str:
    while not os.path.exists(path):
        time.sleep(0.05)
    return sys.prefix
