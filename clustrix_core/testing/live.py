"""A place for the suite on what a config leads to, with nothing prepared there."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from clustrix_core.config import ClusterConfig, resolve
from clustrix_core.discovery import load_backend
from clustrix_core.errors import ConfigError
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.remote import RemoteBackend, RemoteConfig, bootstrap
from clustrix_core.testing.asking import Gardener, packed, unpacked
from clustrix_core.testing.place import Place, local_place

Run = Callable[[str], bytes]
"""Runs Python source in the place, and returns what is printed there and what goes before it."""

_WRAPPED = """
import os, sys, traceback
sys.argv = ["-"] + {arguments!r}
marker = "clustrix " + {marker!r}  # in two, so that a shell's echo of this is not taken for the answer
print(marker)
try:
    exec(compile({source!r}, "<clustrix suite>", "exec"), {{"__name__": "__main__"}})
    print(marker)
except BaseException:
    traceback.print_exc()
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
"""
_SCRATCH = b"""
import json, os, sys, tempfile
os.chdir(os.path.expanduser(sys.argv[1].encode("latin-1")))
root = os.fsencode(os.path.realpath(tempfile.mkdtemp(prefix="clustrix-suite-", dir=".")))
os.chmod(root, 0o755)
os.mkdir(root + b"/first")
print(json.dumps([root.decode("latin-1"), os.geteuid()]))
"""


@contextmanager
def live_place(
    config: ClusterConfig, *, missing: frozenset[str] = frozenset(), command: str | None = None
) -> Iterator[Place]:
    """A scratch folder below the work dir of a config, removed afterwards.

    Args:
        config: leads to the place.
        missing: the capabilities that the backend lacks.
        command: starts a Python over there that runs what it reads, such as `ssh host python3 -`. None means
            the channel of a `RemoteBackend`; a backend of another kind is taken to work on this machine.

    Raises:
        ConfigError: the backend doesn't look where the folder was made.
    """
    backend = load_backend(config.cluster_type)
    config = resolve(config, backend.config_model)
    if command is not None:
        run = _by_command(shlex.split(command))
        with _elsewhere(config, run, missing) as place:
            yield place
    elif isinstance(config, RemoteConfig):
        with _channels(backend(config)) as run, _elsewhere(config, run, missing) as place:
            yield place
    else:
        folder = os.path.abspath(os.path.expanduser(config.local_work_dir or "."))
        with local_place(
            lambda root: _moved(config, "local_work_dir", root), missing=missing, folder=folder
        ) as place:
            os.mkdir(f"{place.root}/first")
            _check_root(place, "local_work_dir")
            yield replace(place, unprivileged=lambda: _nobody(place))


@contextmanager
def _elsewhere(config: ClusterConfig, run: Run, missing: frozenset[str]) -> Iterator[Place]:
    def python(source: bytes, arguments: list[str]) -> bytes:
        marker = secrets.token_hex(16)
        text = _WRAPPED.format(marker=marker, source=source.decode(), arguments=arguments)
        printed = run(text).split(f"clustrix {marker}".encode())
        if len(printed) != 3:
            raise RuntimeError(
                f"a Python script of the suite failed over there: {printed[-1].decode(errors='replace')}"
            )
        return printed[1]

    @contextmanager
    def unprivileged() -> Iterator[ClusterConfig]:
        if user == 0:
            pytest.skip("root is let into every folder: run the suite as an ordinary user, too")
        yield moved

    work_dir = config.remote_work_dir or "~"
    root, user = unpacked(json.loads(python(_SCRATCH, [packed(work_dir)])))
    moved = _moved(config, "remote_work_dir", root)
    place = Place(moved, root, python, unprivileged, missing, own_home=False)
    try:
        _check_root(place, "remote_work_dir")
        yield place
    finally:
        Gardener(place).remove("")


@contextmanager
def _nobody(place: Place) -> Iterator[ClusterConfig]:
    with place.unprivileged() as config:
        if not os.access(place.root, os.R_OK, effective_ids=True):
            pytest.skip(
                "no other user gets to the work dir: run the suite in a folder that all may enter, too"
            )
        yield config


def _moved(config: ClusterConfig, field: str, root: str) -> ClusterConfig:
    return config.model_copy(update={field: root})


def _check_root(place: Place, field: str) -> None:
    """The backend is to find what was made in the folder, before the tree is."""
    with ClusterFilesystem(place.config) as fs:
        names = fs.ls()
    if names != ["first"]:
        raise ConfigError(
            f"the backend {place.config.cluster_type!r} doesn't find what was made in {place.root!r}, which "
            f"is its {field}: write a fixture `place` for it (see Writing a backend)"
        )
    Gardener(place).remove("first")


@contextmanager
def _channels(backend: Any) -> Iterator[Run]:
    """Each script gets a Python of its own, over the backend's channel, without its agent."""
    assert isinstance(backend, RemoteBackend)

    def run(source: str) -> bytes:
        payload = zlib.compress(source.encode())
        channel = backend.open_channel(bootstrap.command(len(payload), backend.config.remote_python))
        try:
            channel.sendall(payload)
            printed = b"".join(iter(lambda: channel.recv(1 << 16), b""))
            return printed or channel.last_words().encode()
        finally:
            channel.close()

    try:
        yield run
    finally:
        backend.close()


def _by_command(command: list[str]) -> Run:
    def run(source: str) -> bytes:
        done = subprocess.run(command, input=source.encode(), capture_output=True)
        return done.stdout if done.returncode == 0 else done.stderr

    return run
