"""Ways to run the command line: in this process, in another, and on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from clustrix_core.cli import main

COMMAND = [sys.executable, "-m", "clustrix"]


@dataclass(frozen=True)
class Result:
    """What one command did."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode("utf-8", "surrogateescape").splitlines()


class Here:
    """Runs command lines in this process."""

    def __init__(self, capture: pytest.CaptureFixture[bytes]) -> None:
        self._capture = capture

    def __call__(self, *args: str) -> Result:
        self._capture.readouterr()
        code = main(args)
        out, err = self._capture.readouterr()
        return Result(code, out, err.decode())


def spawn(*args: str | bytes, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Result:
    """Run a command line in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *args], capture_output=True, env={**os.environ, **(env or {})}, cwd=cwd, timeout=60
    )
    return Result(done.returncode, done.stdout, done.stderr.decode())


def on_terminal(*args: str | bytes, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Result:
    """Run a command line on a terminal of its own, which takes both outputs."""
    master, slave = pty.openpty()
    variables = {"TERM": "xterm", **{name: os.environ[name] for name in os.environ if name != "NO_COLOR"}}
    process = subprocess.Popen(
        [*COMMAND, *args], stdin=slave, stdout=slave, stderr=slave, env={**variables, **(env or {})}, cwd=cwd
    )
    os.close(slave)
    shown = bytearray()
    while select.select([master], [], [], 60)[0]:
        try:
            block = os.read(master, 65536)
        except OSError:  # Linux's way of saying that the other side is closed
            break
        if not block:
            break
        shown += block
    os.close(master)
    return Result(process.wait(60), bytes(shown).replace(b"\r\n", b"\n"), "")


def plain(shown: bytes) -> bytes:
    """What a terminal was sent, without colours."""
    return re.sub(rb"\033\[[0-9;]*m", b"", shown)
