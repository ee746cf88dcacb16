"""What importing Clustrix and starting its command cost: whole processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from time import perf_counter

from environment import say
from report import Group, Row

# As after an installation by pip, which compiles: a checkout is compiled by the first run, if it may be.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
IMPORT = ("-c", "import clustrix")
FIRST_CALL = ("-c", "from clustrix import ClusterConfig, cluster_ls; cluster_ls('.', ClusterConfig())")
BARE = ("-c", "pass")
PYDANTIC = ("-c", "import pydantic")
ONE_FIELD = (
    "-c",
    "from pydantic import BaseModel\nclass One(BaseModel): x: int = 0",
)  # `import pydantic` loads little of it

HEAVY = {"pydantic", "paramiko", "fabric", "clustrix_local", "clustrix_ssh", "clustrix_slurm"}


def measure(scratch: str, rounds: int, user: Path) -> Group:
    """Measure in the environment of a user, whose Python this is, and in that of the checkout."""
    say("start-up")
    folder = os.path.join(scratch, "start-up")
    os.mkdir(folder)
    version = (str(user.parent / "clustrix"), "--version")
    for arguments, heavy in ((IMPORT, HEAVY | {"pluggy"}), (version, HEAVY)):
        if loaded := heavy & modules(user, arguments, folder):
            raise RuntimeError(f"{' '.join(arguments)} loads {', '.join(sorted(loaded))}")
    first = "import and a first cluster_ls, over"
    crowd = f"{first} import pydantic, beside {len([*distributions()])} other distributions"
    pairs = (
        ("import clustrix, over a bare interpreter", user, IMPORT, BARE, 15.0),
        (f"{first} import pydantic", user, FIRST_CALL, PYDANTIC, 80.0),
        (f"{first} a pydantic model of one field", user, FIRST_CALL, ONE_FIELD, None),
        (crowd, Path(sys.executable), FIRST_CALL, PYDANTIC, None),
        ("clustrix --version, over a bare interpreter", user, version, BARE, None),
    )
    rows = []
    for label, python, ours, beneath, at_most in pairs:
        times = [time_pair(python, ours, beneath, folder, turn) for turn in range(rounds + 1)][1:]
        added = [one - other for one, other in times]
        rows.append(Row(label, [one for one, _ in times], added, at_most))
    return Group(
        title="Start-up",
        unit="ms",
        comparison="added",
        meaning="Whole processes in pairs, each first in every other pair, in an environment of "
        "clustrix-core and clustrix-local alone where nothing else is said: Clustrix and pydantic both "
        "look for plugins in all distributions. It is checked that `import clustrix` and "
        "`clustrix --version` load none of pydantic, paramiko, fabric and the backends, and the first no "
        "pluggy either.",
        rows=tuple(rows),
    )


def modules(python: Path, arguments: Sequence[str], folder: str) -> set[str]:
    """The top-level modules that Python imports when run with these arguments."""
    command = [python, "-X", "importtime", *arguments]
    traced = subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True).stderr
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in traced.splitlines()}


def time_pair(
    python: Path, ours: Sequence[str], beneath: Sequence[str], folder: str, turn: int
) -> tuple[float, float]:
    if turn % 2:
        first = milliseconds(python, beneath, folder)
        return milliseconds(python, ours, folder), first
    return milliseconds(python, ours, folder), milliseconds(python, beneath, folder)


def milliseconds(python: Path, arguments: Sequence[str], folder: str) -> float:
    start = perf_counter()
    command = [python, *arguments]
    subprocess.run(command, check=True, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    return 1e3 * (perf_counter() - start)
