"""The conformance suite on a throwaway SSH server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from clustrix_core.config import ClusterConfig
from clustrix_core.testing.place import Place
from clustrix_core.testing.servers.ssh import Account, SshServer


@contextmanager
def ssh_place(
    server: SshServer,
    config: Callable[[Account], ClusterConfig],
    *,
    missing: frozenset[str] = frozenset(),
) -> Iterator[Place]:
    """A place for `BackendSuite` on a running server.

    Args:
        server: its account `root` is the user of the suite, `key` the unprivileged one.
        config: makes the config by which the backend logs in to an account; its work dir is the server's
            `root`.
        missing: the capabilities that the backend lacks.
    """
    root, key = server.accounts["root"], server.accounts["key"]
    before = os.environ.get("HOME")
    os.environ["HOME"] = root.home  # to which the suite compares what `~` stands for

    def unprivileged() -> nullcontext[ClusterConfig]:
        return nullcontext(config(key))

    def python(source: bytes, arguments: list[str]) -> bytes:
        return server.python(source, arguments)

    try:
        yield Place(config(root), server.root, python, unprivileged, missing)
    finally:
        if before is None:
            del os.environ["HOME"]
        else:
            os.environ["HOME"] = before
