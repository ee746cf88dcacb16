"""Measure the backends against their peers in one run; write RESULTS.md and results.png.

Exit status: 0 when every requirement is met, 1 when one is missed, 2 when the run can't begin. A contender
whose answer isn't Clustrix's ends the run.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import facade
import jobs_local
import jobs_slurm
import loops
import million as million_files
import operations
import report
import ssh_operations
import startup
import trees
from environment import BUILD, HERE, facts, peers_python, say, users_python, what_is_missing

PARTS = ("local", "start-up", "ssh", "jobs", "loops")


def main(arguments: Sequence[str]) -> int:
    options = parsed(arguments)
    if missing := what_is_missing(options.parts):
        print(missing, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the trees are removed
    peers = peers_python()
    groups = []
    with tempfile.TemporaryDirectory(prefix="clustrix-benchmark-") as scratch:
        known = {**facts(scratch, peers), "Rounds": str(options.rounds)}
        for group in measurements(scratch, peers, options):
            print(report.as_text(group), flush=True)
            groups.append(group)
        say("removing the trees")
    options.output.mkdir(parents=True, exist_ok=True)
    report.write(options.output, known, groups)
    print(f"\n{report.verdict(groups)}\nwritten to {options.output}")
    return int(any(row.met is False for group in groups for row in group.rows))


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the backends against their peers.")
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="leave out the million files and the 1 GB")
    parser.add_argument("--rounds", type=int, default=9, help="7 or more (default: %(default)s)")
    parser.add_argument(
        "--output",
        type=Path,
        help="the folder to write to (default: benchmarks/; for less than all, build/benchmarks/)",
    )
    options = parser.parse_args(arguments)
    if options.rounds < 7:
        parser.error("--rounds must be 7 or more, or the medians mean little")
    if set(options.parts) - set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}")
    options.parts = options.parts or list(PARTS)
    complete = len(set(options.parts)) == len(PARTS) and not options.quick
    options.output = options.output or (HERE if complete else BUILD)
    return options


def measurements(scratch: str, peers: Path, options: argparse.Namespace) -> Iterator[report.Table]:
    quick, rounds = options.quick, options.rounds
    tree, million = os.path.join(scratch, "tree"), os.path.join(scratch, "million")
    if {"local", "ssh"} & {*options.parts}:
        make_trees(tree, million, quick)
    if "local" in options.parts:
        yield from local(scratch, tree, peers, rounds)
        if not quick:
            yield million_files.measure_times(million, rounds)
            yield million_files.measure_memory(million)
    if "start-up" in options.parts:
        yield startup.measure(scratch, 2 * rounds, users_python())
    if "ssh" in options.parts:
        yield from over_ssh(scratch, peers, rounds, quick)
    if "jobs" in options.parts:
        yield from jobs_local.measure(peers, rounds)
        yield from jobs_slurm.measure(scratch, peers, rounds)
    if "loops" in options.parts:
        yield from loops.measure(peers, rounds)


def make_trees(tree: str, million: str, quick: bool) -> None:
    say("making 100,000 files")
    trees.make_hundred_thousand(tree)
    if not quick:
        say("making 1,000,000 files")
        trees.make_million(million)


def local(scratch: str, tree: str, peers: Path, rounds: int) -> Iterator[report.Table]:
    yield from operations.measure(tree, peers, rounds)
    yield facade.measure(scratch, 5 * rounds)


def over_ssh(scratch: str, peers: Path, rounds: int, quick: bool) -> Iterator[report.Table]:
    wanted = ssh_operations.indices(quick)
    trees.make_flat(os.path.join(scratch, "flat"))
    ssh_operations.make_blobs(scratch, wanted)
    yield from ssh_operations.measure(scratch, peers, rounds, wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
