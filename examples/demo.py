"""All nine operations, through Python and the command line, and a function as a job, on real input.

Run it with `make demo`. The input is this checkout, and a tree of 10,000 files that it makes in a temporary
folder and removes again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from clustrix import (
    ClusterConfig,
    ClusterFilesystem,
    cluster,
    cluster_count_files,
    cluster_du,
    cluster_exists,
    cluster_find,
    cluster_glob,
    cluster_isdir,
    cluster_isfile,
    cluster_ls,
    cluster_stat,
)

CHECKOUT = Path(__file__).resolve().parent.parent


def main() -> None:
    heading(f"This checkout, by the cluster_* functions: {CHECKOUT}")
    show_functions(ClusterConfig(local_work_dir=str(CHECKOUT)))
    with ten_thousand_files() as tree:
        heading(f"10,000 generated files, by one ClusterFilesystem: {tree}")
        show_filesystem(ClusterConfig(local_work_dir=str(tree)))
        heading("A function as a job: here in processes of this machine, on a cluster by SLURM")
        show_jobs(ClusterConfig(local_work_dir=str(tree)))
        heading("The same files, by the command line")
        show_commands(tree)


def show_functions(config: ClusterConfig) -> None:
    """The nine operations as functions, with the config as their last argument."""
    show('cluster_ls(".")', lambda: cluster_ls(".", config))
    show('cluster_find("*.py", "clustrix_core")', lambda: cluster_find("*.py", "clustrix_core", config))
    show('cluster_stat("README.md")', lambda: cluster_stat("README.md", config))
    show('cluster_exists("LICENSE")', lambda: cluster_exists("LICENSE", config))
    show('cluster_isdir("clustrix_core")', lambda: cluster_isdir("clustrix_core", config))
    show('cluster_isfile("clustrix_core")', lambda: cluster_isfile("clustrix_core", config))
    show('cluster_glob("*.{md,toml}")', lambda: cluster_glob("*.{md,toml}", ".", config))
    show('cluster_du("clustrix_core")', lambda: cluster_du("clustrix_core", config))
    show('cluster_count_files(".", "*.py")', lambda: cluster_count_files(".", "*.py", config))


def show_filesystem(config: ClusterConfig) -> None:
    """The same as methods of one object."""
    with ClusterFilesystem(config) as place:
        show("ls()", place.ls)
        show('find("sample_*.csv")', lambda: place.find("sample_*.csv"))
        show(
            'stat of all that find("*.csv", "run_007") gives',
            lambda: place.stat(place.find("*.csv", "run_007")),
        )
        show('exists("run_042/notes.txt")', lambda: place.exists("run_042/notes.txt"))
        show('isdir("run_042")', lambda: place.isdir("run_042"))
        show('isfile("run_042")', lambda: place.isfile("run_042"))
        show('glob("run_00*/*.{csv,txt}")', lambda: place.glob("run_00*/*.{csv,txt}"))
        show("du()", place.du)
        show("count_files()", place.count_files)


@cluster
def rows(run: str, config: ClusterConfig) -> int:
    """Count the rows in all samples of a run, where they are."""
    total = 0
    for path in cluster_find("*.csv", run, config):
        with open(path) as file:
            total += len(file.readlines()) - 1
    return total


def show_jobs(config: ClusterConfig) -> None:
    """A call, and an array of calls."""
    runs = cluster_glob("run_*", ".", config)
    show('rows("run_042", config)', lambda: rows("run_042", config))
    show(f"rows.map({len(runs)} runs, ...)", lambda: list(rows.map(runs, [config] * len(runs))))


def show_commands(tree: Path) -> None:
    """The same as commands, in this tree, whatever the user's own configuration says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLUSTRIX_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["XDG_CONFIG_HOME"] = str(tree)
    for command in (
        "clustrix ls -l run_042 | sed -n 1,4p",
        "clustrix find 'sample_*.csv' | tail -n 2",
        "clustrix stat run_042/notes.txt",
        "clustrix exists run_042/notes.txt && echo yes",
        "clustrix isdir run_042 && echo yes",
        "clustrix isfile run_042 || echo no",
        "clustrix glob 'run_00[12]/*.txt'",
        "clustrix du run_042",
        "clustrix count-files --json",
        "clustrix cat run_042/notes.txt",
        "clustrix plugins",
    ):
        print(f"\n$ {command}", flush=True)
        subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=tree, env=environment, check=True)


def show(title: str, call: Callable[[], object]) -> None:
    started = time.perf_counter()
    result = call()
    milliseconds = (time.perf_counter() - started) * 1000
    text = repr(result)
    if isinstance(result, list) and len(result) > 3:
        text = f"{len(result):,} items, the first {result[0]!r}"
    print(f"{title:50} {milliseconds:8.2f} ms   {text}")


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


@contextmanager
def ten_thousand_files() -> Iterator[Path]:
    """100 folders of 99 samples and a note, as a simulation might leave them."""
    with tempfile.TemporaryDirectory(prefix="clustrix-demo-") as name:
        tree = Path(name)
        for run in range(100):
            folder = tree / f"run_{run:03}"
            folder.mkdir()
            (folder / "notes.txt").write_text(f"run {run}: finished\n")
            for sample in range(99):
                (folder / f"sample_{sample:02}.csv").write_text("time,value\n" + f"{run},{sample}\n" * sample)
        yield tree


if __name__ == "__main__":
    main()
