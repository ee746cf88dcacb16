"""A function that the tests run in environments: a local module, which travels."""

from __future__ import annotations

import os
import sys


def versions() -> tuple[str, str, str, str | None, str]:
    import tinybase  # type: ignore[import-not-found]
    import tinytool  # type: ignore[import-not-found]

    return tinytool.version, tinybase.version, sys.prefix, os.environ.get("VIRTUAL_ENV"), os.environ["PATH"]
