"""Fixtures for the tests of core."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from clustrix_core import profiles
from clustrix_core.session import pool
from fakedist import FakeSite

# The same examples in every run, so that a change fails for what it changed; `make soak` and `make soundness`
# look for new ones.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("soak", max_examples=3000)
settings.register_profile("soundness", max_examples=2100)
settings.load_profile("repeatable")

# What a shell starts in the background ignores Ctrl-C, and so would the commands that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

COUNTED = '''
"""The local backend, holding something that must be closed; it keeps count."""
import threading, time
from pydantic import ConfigDict
from clustrix_local.backend import LocalBackend
from clustrix_core import ClusterConfig, hookimpl

opened, closed, abandoned = [], [], []

class CountedConfig(ClusterConfig):
    model_config = ConfigDict(extra="forbid")
    slow: float = 0.0

class Counted(LocalBackend):
    config_model = CountedConfig

    def __init__(self, config):
        super().__init__(config)
        time.sleep(config.slow)
        opened.append(self)

    def close(self):
        closed.append(self)

    def abandon(self):
        abandoned.append(self)

class Forgetful(LocalBackend):
    @hookimpl
    def clustrix_ls(self, path, detail):
        return None

    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        return []

class Bare:
    """Only what is required."""
    api_version = 1
    config_model = ClusterConfig
    def __init__(self, config):
        pass

for name in ("ls", "find", "stat", "exists", "isdir", "isfile", "glob", "du", "count_files"):
    setattr(Bare, "clustrix_" + name, getattr(LocalBackend, "clustrix_" + name))
'''


@pytest.fixture(autouse=True)
def _no_active_config() -> Iterator[None]:
    """That of an earlier test is none of this one's. Not by monkeypatch, whose end would then come last."""
    profiles._active.clear()
    yield
    profiles._active.clear()


@pytest.fixture
def backends(tmp_path: Path) -> Iterator[FakeSite]:
    """Three more backends: `counted`, `forgetful` and `bare`."""
    with FakeSite(tmp_path / "site") as site:
        names = {"counted": "counted:Counted", "forgetful": "counted:Forgetful", "bare": "counted:Bare"}
        site.add("clustrix-counted", "1.0", backends=names, modules={"counted": COUNTED})
        yield site
        pool.close()
