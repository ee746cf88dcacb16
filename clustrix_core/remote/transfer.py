"""Copies of whole files between this machine and the place: in blocks, verified, resumable.

A copy is verified by the SHA-256 of its source, which is compared with that of the copy as it is read back.
One of at least `agent.RESUMABLE` bytes that a lost connection breaks off is kept under its temporary name,
by which the next copy of the same file, unchanged, to the same target finds it and goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar

from clustrix_core.engine import Engine, File, Replacement, commit_verified, content
from clustrix_core.errors import ConnectionFailedError
from clustrix_core.hookspecs import Progress
from clustrix_core.remote import agent
from clustrix_core.remote.client import NONSENSE, Call, Client

T = TypeVar("T")
Repeated = Callable[[Callable[[Client], T]], T]


def get(repeated: Repeated[int], path: str, target: str, host: str, progress: Progress | None) -> int:
    """Copy a file of the place to this machine; returns its size in bytes.

    Args:
        repeated: calls a function with a client, once more if the connection was lost.
        path: the file in the place.
        target: the file to make here, or a folder for a file of that name.
        host: the name of the place.
        progress: called with bytes done and bytes in all.
    """
    target = Engine().inside(target, os.path.basename(path.rstrip("/")))
    return repeated(lambda client: _get_once(client, path, target, host, progress))


def _get_once(client: Client, path: str, target: str, host: str, progress: Progress | None) -> int:
    start = 0
    while True:
        call = client.call("get", path=path, start=start)
        try:
            identity, permissions = _read_facts(call)  # a file that can't be read leaves no trace here
            size = int(identity[0])
            key = _key(host, path, *identity) if size >= agent.RESUMABLE else ""
            with Engine().open(target, "wb", permissions & 0o777, key) as file:
                there = file.status().st_size if key and isinstance(file, Replacement) else 0
                if there != start:  # ask for the rest alone; or for all, as another copy took what was kept
                    start = there
                    if there and isinstance(file, Replacement):
                        file.keep()
                    continue
                return _receive(call, file, start, size, progress)
        finally:
            call.cancel()


def _receive(call: Call, file: File, start: int, size: int, progress: Progress | None) -> int:
    done = start
    if start:
        file.seek(start)
    try:
        for block in call.parts():
            file.write_all(block)
            if isinstance(file, Replacement):
                file.read_back()
            done += len(block)
            if progress is not None:
                progress(done, max(done, size))
    except ConnectionFailedError:
        if size >= agent.RESUMABLE and isinstance(file, Replacement):
            file.keep()
        raise
    digest = call.checked(str, call.result)
    commit_verified(file, digest)
    return done


def put(repeated: Repeated[int], source: str, path: str, progress: Progress | None) -> int:
    """Copy a file of this machine to the place; returns its size in bytes.

    Args:
        repeated: calls a function with a client, once more if the connection was lost.
        source: the file here.
        path: the file to make there, or a folder for a file of that name.
        progress: called with bytes done and bytes in all.
    """
    return repeated(lambda client: _put_once(client, source, path, progress))


def _put_once(client: Client, source: str, path: str, progress: Progress | None) -> int:
    with Engine().open(source, "rb") as file:
        before = file.status()
        identity = os.uname().nodename, os.path.abspath(source), before.st_size, before.st_mtime_ns
        call = client.call(
            "put",
            path=path,
            name=os.path.basename(source.rstrip("/")),
            permissions=before.st_mode & 0o777,
            key=_key(*identity) if before.st_size >= agent.RESUMABLE else "",
        )
        try:
            start = 0
            if before.st_size >= agent.RESUMABLE:
                start = call.checked(int, call.facts())
            return _send(call, file, before, start, progress)
        finally:
            call.cancel()


def _send(call: Call, file: File, before: os.stat_result, start: int, progress: Progress | None) -> int:
    sent = sha256()
    done = 0
    for block in content(file, before):
        sent.update(block)
        done += len(block)
        if done > start and not call.feed(block[max(0, start - done + len(block)) :]):
            break
        if progress is not None:
            progress(done, max(done, before.st_size))
    else:
        call.feed(b"")
        call.feed(sent.hexdigest().encode())
    call.value(type(None))
    return done


def _read_facts(call: Call) -> tuple[list[int], int]:
    facts = call.facts()
    try:
        (size, mtime_ns, inode), permissions = facts
        return [int(size), int(mtime_ns), int(inode)], int(permissions)
    except NONSENSE:
        raise call.client.nonsense() from None


def _key(*identity: object) -> str:
    """What the temporary file of a copy is called, by what is copied."""
    return sha256(repr(identity).encode("utf-8", "surrogateescape")).hexdigest()[:32]
