"""Functions that the tests run as jobs: a local module, which travels."""

from __future__ import annotations

import os
import resource
import time

from clustrix import ClusterConfig


def values_of(config: ClusterConfig, *names: str) -> list[str | None]:
    return [os.environ.get(name) for name in names]


def core_limit(config: ClusterConfig) -> int:
    return resource.getrlimit(resource.RLIMIT_CORE)[0]


def sleeps(config: ClusterConfig, seconds: float) -> None:
    time.sleep(seconds)
