"""What importing Clustrix and starting its command cost: whole processes."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from time import perf_counter

from environment import say
from report import Group, Row

# As after an installation by pip, which compiles: a checkout is compiled by the first run, if it may be.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
COMMAND = os.path.join(sysconfig.get_path("scripts"), "clustrix")
IMPORT = ["-c", "import clustrix"]
VERSION = [COMMAND, "--version"]
FIRST_CALL = ["-c", "from clustrix import ClusterConfig, cluster_ls; cluster_ls('.', ClusterConfig())"]
BARE = ["-c", "pass"]
PYDANTIC = ["-c", "import pydantic"]
BASE_MODEL = ["-c", "from pydantic import BaseModel"]  # `import pydantic` alone loads little of it
PAIRS: tuple[tuple[str, list[str], list[str], float | None], ...] = (
    ("import clustrix, over a bare interpreter", IMPORT, BARE, 15),
    ("import and a first cluster_ls, over import pydantic", FIRST_CALL, PYDANTIC, 80),
    ("the same, over from pydantic import BaseModel", FIRST_CALL, BASE_MODEL, None),
    ("clustrix --version, over a bare interpreter", VERSION, BARE, None),
)

HEAVY = {"pydantic", "paramiko", "fabric", "clustrix_local", "clustrix_ssh", "clustrix_slurm"}
NOT_LOADED = ((IMPORT, HEAVY | {"pluggy"}), (VERSION, HEAVY))


def measure(scratch: str, rounds: int) -> Group:
    say("start-up")
    folder = os.path.join(scratch, "start-up")
    os.mkdir(folder)
    for arguments, heavy in NOT_LOADED:
        if loaded := heavy & modules(arguments, folder):
            raise RuntimeError(f"{' '.join(arguments)} loads {', '.join(sorted(loaded))}")
    rows = []
    for label, ours, beneath, at_most in PAIRS:
        pairs = [time_pair(ours, beneath, folder, turn) for turn in range(rounds + 1)][1:]
        added = [one - other for one, other in pairs]
        rows.append(Row(label, [one for one, _ in pairs], added, at_most))
    return Group(
        title="Start-up",
        unit="ms",
        comparison="added",
        meaning="Whole processes in pairs, each first in every other pair. It is checked that "
        "`import clustrix` and `clustrix --version` load none of pydantic, paramiko, fabric and the "
        "backends, and the first no pluggy either.",
        rows=tuple(rows),
    )


def modules(arguments: Sequence[str], folder: str) -> set[str]:
    """The top-level modules that Python imports when run with these arguments."""
    command = [sys.executable, "-X", "importtime", *arguments]
    traced = subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True).stderr
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in traced.splitlines()}


def time_pair(ours: Sequence[str], beneath: Sequence[str], folder: str, turn: int) -> tuple[float, float]:
    if turn % 2:
        first = milliseconds(beneath, folder)
        return milliseconds(ours, folder), first
    return milliseconds(ours, folder), milliseconds(beneath, folder)


def milliseconds(arguments: Sequence[str], folder: str) -> float:
    start = perf_counter()
    command = [sys.executable, *arguments]
    subprocess.run(command, check=True, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    return 1e3 * (perf_counter() - start)
