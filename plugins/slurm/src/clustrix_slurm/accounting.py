"""What `sacct` knows of jobs that the controller has forgotten, on clusters that keep accounts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from clustrix_slurm.backend import SlurmBackend


_SACCT = ("sh", "-c", 'SLURM_BITSTR_LEN=0 exec sacct --user="$(id -u)" "$@"', "sacct")


class Row(NamedTuple):
    """Some tasks of a job: `3`, `4-9` or empty, if it is no array."""

    name: str
    number: str
    tasks: str
    state: str


def rows(backend: SlurmBackend, jobs: Iterable[str]) -> list[Row]:
    """The accounts of jobs of these names; nothing where none are kept."""
    names = list(jobs)
    if not names:
        return []
    wanted = f"--starttime={_since(names)}", f"--name={','.join(names)}", "--format=JobName,JobID,State"
    ran = backend.run([*_SACCT, "-X", "-n", "-P", *wanted])
    if ran.status:
        return []
    found = list(parsed(ran.output.decode("utf-8", "replace")))
    # Accounts don't tell which is which of the arrays that a very large one was split into.
    split = {
        row.name for row in found for other in found if row.name == other.name and row.number != other.number
    }
    return [row for row in found if row.name not in split]


def parsed(text: str) -> Iterator[Row]:
    """Lines such as `clustrix-1|12_[4-9%2]|PENDING` and `clustrix-1|12_3|CANCELLED by 1000`."""
    for line in text.splitlines():
        name, number, state = line.split("|", 2)
        number, _, tasks = number.partition("_")
        yield Row(name, number, tasks.strip("[]"), state)


def _since(names: Iterable[str]) -> str:
    """The day before the first was submitted, which names tell; by default `sacct` looks at today alone."""
    days = [found[1] for name in names if (found := re.match(r"clustrix-(\d{6})-", name))]
    if not days:
        return "1970-01-01"
    return f"{datetime.strptime(min(days), '%y%m%d') - timedelta(days=1):%Y-%m-%d}"
