"""Every promise of Clustrix, over a stand-in for `kubectl`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from clustrix_core import ClusterConfig
from clustrix_core.testing import BackendSuite, Place
from clustrix_core.testing.servers import Namespace


@pytest.fixture(scope="module")
def place(config: ClusterConfig, pod: Namespace) -> Iterator[Place]:
    def python(source: bytes, arguments: list[str]) -> bytes:
        done = pod.run([sys.executable, "-I", "-S", "-", *arguments], source)
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace"))
        return done.stdout

    worker = config.model_copy(update={"container": "worker"})
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HOME", "/mnt/home")  # to which the suite compares what `~` stands for
        yield Place(config, "/mnt/data", python, lambda: nullcontext(worker))


class TestKubernetes(BackendSuite):
    pass
