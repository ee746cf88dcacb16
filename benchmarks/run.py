"""Measure the local backend against its peers in one run; write RESULTS.md and results.png.

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
import million
import operations
import report
import startup
import trees
from environment import BUILD, HERE, facts, peers_python, say, what_is_missing


def main(arguments: Sequence[str]) -> int:
    options = parsed(arguments)
    if missing := what_is_missing():
        print(missing, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the trees are removed
    peers = peers_python()
    groups = []
    with tempfile.TemporaryDirectory(prefix="clustrix-benchmark-") as scratch:
        known = {**facts(scratch, peers), "Rounds": str(options.rounds)}
        for group in measurements(scratch, peers, options.rounds, options.quick):
            print(report.as_text(group), flush=True)
            groups.append(group)
        say("removing the trees")
    options.output.mkdir(parents=True, exist_ok=True)
    report.write(options.output, known, groups)
    print(f"\n{report.verdict(groups)}\nwritten to {options.output}")
    return int(any(row.met is False for group in groups for row in group.rows))


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the local backend against its peers.")
    parser.add_argument("--quick", action="store_true", help="leave out the million files")
    parser.add_argument("--rounds", type=int, default=9, help="7 or more (default: %(default)s)")
    parser.add_argument(
        "--output",
        type=Path,
        help="the folder to write to (default: benchmarks/; with --quick, build/benchmarks/)",
    )
    options = parser.parse_args(arguments)
    if options.rounds < 7:
        parser.error("--rounds must be 7 or more, or the medians mean little")
    options.output = options.output or (BUILD if options.quick else HERE)
    return options


def measurements(scratch: str, peers: Path, rounds: int, quick: bool) -> Iterator[report.Group]:
    tree = os.path.join(scratch, "tree")
    say("making 100,000 files")
    trees.make_hundred_thousand(tree)
    yield from operations.measure(tree, peers, rounds)
    yield facade.measure(scratch, 5 * rounds)
    yield startup.measure(scratch, 2 * rounds)
    if not quick:
        tree = os.path.join(scratch, "million")
        say("making 1,000,000 files")
        trees.make_million(tree)
        yield million.measure_times(tree, rounds)
        yield million.measure_memory(tree)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
