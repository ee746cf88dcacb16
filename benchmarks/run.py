"""Measure the local backend against its peers in one run; write RESULTS.md and results.png.

Exit status: 0 when every requirement is met, 1 when one is missed. Any contender whose answer differs from
Clustrix's ends the run with an error. Needs Linux with GNU findutils and coreutils.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import report
import trees
from contenders import OPERATIONS, UNSEEN
from report import Group, Row

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "benchmarks"
METHOD = """\
Everything runs on one machine in one run, on trees made for it. Contenders take turns, in an order that rotates from
round to round; what is compared is computed within each round, and medians over the rounds are shown. Before the
first round each contender runs once untimed, so that the kernel's caches are warm and what is imported late is there.
Every round checks that all contenders give the same answer. Python contenders run in processes that are already up, with the
same version of Python; fsspec's has an environment of its own. GNU commands run through `/bin/sh` and their start,
a few milliseconds, is counted; what they write is read through a pipe unless `/dev/null` is shown. The garbage
collector is on, with nothing left to collect.
"""


def main() -> int:
    options = parsed(sys.argv[1:])
    missing = preparation_missing()
    if missing:
        print(missing, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.output.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    peers = peers_python()
    groups: list[Group] = []
    with tempfile.TemporaryDirectory(prefix="clustrix-benchmark-") as scratch:
        facts = machine(scratch, peers, options.rounds, load)
        for measured in sections(scratch, peers, options):
            groups.append(measured)
            print(report.as_text(measured), flush=True)
        say("removing the trees")
    report.write(options.output, facts, METHOD, groups)
    print(f"\n{report.verdict(groups)}\nwritten: {options.output / 'RESULTS.md'}")
    return int(any(row.met is False for group in groups for row in group.rows))


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the local backend against its peers.")
    parser.add_argument("--quick", action="store_true", help="leave out the million files, write to build/")
    parser.add_argument("--rounds", type=int, default=9, help="7 or more (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="the folder to write to (default: benchmarks/)")
    options = parser.parse_args(arguments)
    if options.rounds < 7:
        parser.error("--rounds must be 7 or more, for medians that mean something")
    options.output = options.output or (BUILD if options.quick else HERE)
    return options


def preparation_missing() -> str:
    """What has to be installed first, or nothing."""
    if not sys.platform.startswith("linux"):
        return "the benchmarks compare with GNU find and read /proc: run them on Linux"
    commands = [command for command in ("find", "sort", "du", "wc", "sha256sum") if not shutil.which(command)]
    if commands:
        return f"not on the PATH: {', '.join(commands)}; install GNU findutils and coreutils"
    if not importlib.util.find_spec("matplotlib"):
        return "matplotlib is missing: run `make bench`, which installs it"
    return ""


def say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


def peers_python() -> Path:
    """The interpreter of the peers' environment: the same Python as this one."""
    say("preparing the peers' environment")
    folder = BUILD / f"peers-{platform.python_version()}"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    requirements = HERE / "requirements-peers.txt"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", requirements], check=True)
    return python


def machine(scratch: str, peers: Path, rounds: int, load: float) -> dict[str, str]:
    cpu = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").open()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    fsspec = output([str(peers), "-c", "import fsspec; print(fsspec.__version__)"])
    return {
        "Date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "Machine": f"{os.cpu_count()} × {cpu[0] if cpu else platform.machine()}, {memory:.0f} GiB",
        "System": f"{platform.system()} {platform.release()}; the trees on "
        + output(["stat", "--file-system", "--format=%T", scratch]),
        "Load when it began": f"{load:.2f}",
        "Versions": f"clustrix-core {importlib.metadata.version('clustrix-core')}, "
        f"clustrix-local {importlib.metadata.version('clustrix-local')}, Python {platform.python_version()}, "
        f"pydantic {importlib.metadata.version('pydantic')}, fsspec {fsspec}, "
        f"{first_line('find')}, {first_line('du')}",
        "Rounds": str(rounds),
    }


def output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def first_line(command: str) -> str:
    return output([command, "--version"]).splitlines()[0]


def sections(scratch: str, peers: Path, options: argparse.Namespace) -> Iterator[Group]:
    yield facade(scratch, options.rounds)
    yield from start_up(scratch, max(options.rounds, 15))
    tree = os.path.join(scratch, "tree")
    say("making 100,000 files")
    trees.make_hundred_thousand(tree)
    yield from operations(tree, peers, options.rounds)
    if not options.quick:
        yield from million(os.path.join(scratch, "million"), options.rounds)


# The tree of 100,000 files


class Worker:
    """An interpreter that times contenders."""

    def __init__(self, python: str | Path) -> None:
        self._process = subprocess.Popen(
            [python, HERE / "worker.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def time(self, operation: int, contender: int, root: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([operation, contender, root]) + "\n")
        self._process.stdin.flush()
        reply = self._process.stdout.readline()
        if not reply:
            raise RuntimeError("a contender failed: its traceback stands above")
        return json.loads(reply)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._process.communicate()


@contextmanager
def workers(peers: Path) -> Iterator[dict[bool, Worker]]:
    ours, theirs = Worker(sys.executable), Worker(peers)
    try:
        yield {False: ours, True: theirs}
    finally:
        ours.close()
        theirs.close()


def operations(root: str, peers: Path, rounds: int) -> Iterator[Group]:
    with workers(peers) as workers_by_peer:
        for index, operation in enumerate(OPERATIONS):
            say(f"{operation.title}: {rounds} rounds")
            seconds = time_operation(index, root, workers_by_peer, rounds)
            ours = seconds[0]
            yield Group(
                title=f"{operation.title} on 100,000 files in 1,000 folders",
                unit="ms",
                comparison="Clustrix / this",
                meaning="Below 1 Clustrix is the faster one; 0.2 is five times faster.",
                rows=tuple(
                    Row(
                        contender.label,
                        [1e3 * one for one in theirs],
                        ratios(ours, theirs) if theirs is not ours else (),
                        contender.at_most,
                    )
                    for contender, theirs in zip(operation.contenders, seconds, strict=True)
                ),
                plotted=True,
            )


def time_operation(index: int, root: str, workers: dict[bool, Worker], rounds: int) -> list[list[float]]:
    """The seconds of each contender in each round, after one untimed round."""
    contenders = OPERATIONS[index].contenders
    seconds: list[list[float]] = [[] for _ in contenders]
    expected = workers[False].time(index, 0, root)["answer"]
    for turn in range(rounds + 1):
        for position in rotated(len(contenders), turn):
            contender = contenders[position]
            timed = workers[contender.peer].time(index, position, root)
            if timed["answer"] not in (expected, UNSEEN):
                raise RuntimeError(
                    f"{OPERATIONS[index].title}: {contender.label} answers {timed['answer']}, clustrix {expected}"
                )
            if turn > 0:
                seconds[position].append(timed["seconds"])
    return seconds


def rotated(count: int, turn: int) -> list[int]:
    return [(turn + position) % count for position in range(count)]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ours, theirs, strict=True)]


# The façade


def facade(scratch: str, rounds: int) -> Group:
    say("the façade")
    folder = os.path.join(scratch, "facade")
    os.mkdir(folder)
    path = os.path.join(folder, "file")
    open(path, "w").close()
    measured = script("facade.py", path, str(rounds * 5))
    rows = []
    for index, (label, beneath) in enumerate(measured["labels"]):
        pairs = [samples[index] for samples in measured["rounds"]]
        added = [1e6 * (ours - theirs) for ours, theirs in pairs]
        rows.append(Row(f"{label} over {beneath}", [1e6 * ours for ours, _ in pairs], added, 10))
    return Group(
        title="What the façade adds to the call beneath",
        unit="µs",
        comparison="added µs",
        meaning="A call with the same config object; the folder holds one file. A sample is the mean of 1,000 calls.",
        rows=tuple(rows),
    )


def script(name: str, *arguments: str) -> dict[str, Any]:
    return json.loads(output([sys.executable, str(HERE / name), *arguments]))  # type: ignore[no-any-return]


# Start-up

CLUSTRIX = os.path.join(sysconfig.get_path("scripts"), "clustrix")
FIRST_CALL = "from clustrix import ClusterConfig, cluster_ls; cluster_ls('.', ClusterConfig())"
START_UPS = (
    ("import clustrix", ["-c", "import clustrix"], "a bare interpreter", ["-c", "pass"], 15),
    (
        "import, config, first cluster_ls",
        ["-c", FIRST_CALL],
        "import pydantic",
        ["-c", "import pydantic"],
        80,
    ),
    ("clustrix --version", [CLUSTRIX, "--version"], "a bare interpreter", ["-c", "pass"], None),
)
HEAVY = {"pydantic", "paramiko", "fabric", "clustrix_local", "clustrix_ssh", "clustrix_slurm"}
UNLOADED = ((["-c", "import clustrix"], HEAVY | {"pluggy"}), ([CLUSTRIX, "--version"], HEAVY))


def start_up(scratch: str, rounds: int) -> Iterator[Group]:
    say("start-up")
    folder = os.path.join(scratch, "start-up")
    os.mkdir(folder)
    for arguments, unwanted in UNLOADED:
        loaded = unwanted & modules(arguments, folder)
        if loaded:
            raise RuntimeError(f"{' '.join(arguments)} loads {', '.join(sorted(loaded))}")
    rows = []
    for label, arguments, beneath, beneath_arguments, at_most in START_UPS:
        pairs = [start_pair(arguments, beneath_arguments, folder, turn) for turn in range(rounds)]
        added = [1e3 * (ours - theirs) for ours, theirs in pairs]
        rows.append(Row(f"{label} over {beneath}", [1e3 * ours for ours, _ in pairs], added, at_most))
    yield Group(
        title="Start-up",
        unit="ms",
        comparison="added ms",
        meaning="Whole processes, in pairs, each first in every other pair. That `import clustrix` and "
        "`clustrix --version` load none of pydantic, paramiko, fabric and the backends (nor, the first, pluggy) is checked.",
        rows=tuple(rows),
    )


def modules(arguments: Sequence[str], folder: str) -> set[str]:
    """The top-level modules that a run of Python imports."""
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ).stderr  # fmt: skip
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in traced.splitlines()}


def start_pair(ours: Sequence[str], theirs: Sequence[str], folder: str, turn: int) -> tuple[float, float]:
    if turn % 2:
        second = seconds_of(theirs, folder)
        return seconds_of(ours, folder), second
    return seconds_of(ours, folder), seconds_of(theirs, folder)


def seconds_of(arguments: Sequence[str], folder: str) -> float:
    start = perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return perf_counter() - start


# A million files


def million(root: str, rounds: int) -> Iterator[Group]:
    say("making 1,000,000 files")
    trees.make_million(root)
    yield million_times(root, rounds)
    yield million_memory(root)


def million_times(root: str, rounds: int) -> Group:
    parts = list(trees.MILLION_PARTS.items())
    seconds: list[list[float]] = [[] for _ in parts]
    say(f"a million files: {rounds} rounds")
    for turn in range(rounds + 1):
        for position in rotated(len(parts), turn):
            part, files = parts[position]
            timed = script("stream.py", "time", os.path.join(root, part))
            if timed["count"] != files:
                raise RuntimeError(f"{timed['count']} files were streamed, not {files}")
            if turn > 0:
                seconds[position].append(timed["seconds"])
    each = [[1e6 * one / files for one in taken] for taken, (_, files) in zip(seconds, parts, strict=True)]
    return Group(
        title="iterfind('*') on up to a million files: time for each",
        unit="µs",
        comparison="of the smallest's",
        meaning="Folders of 10,000 files; each run in a process of its own, its start and the imports not counted. "
        f"The million takes {median(seconds[-1]):.2f} s. Linear means that the time for each file stays the same.",
        rows=tuple(
            Row(f"{files:,} files", taken, ratios(taken, each[0]) if taken is not each[0] else (), limit)
            for (_, files), taken, limit in zip(parts, each, (None, 1.2, 1.2), strict=True)
        ),
    )


def million_memory(root: str) -> Group:
    say("a million files: memory")
    listing = ["sh", "-c", 'find "$1" -type f | LC_ALL=C sort | sha256sum', "sh", root]
    expected = output(listing).split()[0]
    streamed = [script("stream.py", "hash", root) for _ in range(3)]
    if any(one["hash"] != expected for one in streamed):
        raise RuntimeError("iterfind does not give what `find | LC_ALL=C sort` gives")
    peaks = [one["peak"] / 1e6 for one in streamed]
    rows = [Row("iterfind over a million files", peaks)]
    for mode, label, at_most in (
        ("bare", "a bare interpreter", 100),
        ("idle", "Clustrix imported, idle", None),
    ):
        own = [script("stream.py", mode)["peak"] / 1e6 for _ in peaks]
        rows.append(Row(label, own, [one - other for one, other in zip(peaks, own, strict=True)], at_most))
    return Group(
        title="iterfind('*') on a million files: memory",
        unit="MB",
        comparison="above this",
        meaning="Peak resident memory of a process that hashes the paths as they come; the hash is that of "
        "`find | LC_ALL=C sort`.",
        rows=tuple(rows),
    )


if __name__ == "__main__":
    sys.exit(main())
