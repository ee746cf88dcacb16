"""A million files, streamed: the time for each, and the memory."""

from __future__ import annotations

import json
import os
import sys
from statistics import median
from typing import Any

from environment import HERE, output, say
from operations import ratios, rotated
from report import Group, Row
from trees import MILLION_PARTS

LINEAR_AT_MOST = 1.2  # the time for each file, by that in a quarter of the tree
MEMORY_AT_MOST = 100  # MB


def measure_times(root: str, rounds: int) -> Group:
    say(f"a million files: {rounds} rounds")
    parts = list(MILLION_PARTS.items())
    each: list[list[float]] = [[] for _ in parts]
    for turn in range(rounds + 1):
        for position in rotated(len(parts), turn):
            folder, files = parts[position]
            timed = stream("time", os.path.join(root, folder))
            if timed["count"] != files:
                raise RuntimeError(f"iterfind gave {timed['count']} files of {files}")
            if turn > 0:
                each[position].append(1e6 * timed["seconds"] / files)
    smallest = each[0]
    rows = [Row(f"{parts[0][1]:,} files", smallest)]
    for (_, files), samples in zip(parts[1:], each[1:], strict=True):
        rows.append(Row(f"{files:,} files", samples, ratios(samples, smallest), LINEAR_AT_MOST))
    return Group(
        title="iterfind('*') on a million files: time for each file",
        unit="µs",
        comparison="by the smallest's",
        meaning="Folders of 10,000 files. Each run has a process of its own, whose start isn't counted. "
        f"The million takes {median(each[-1]):.2f} s.",
        rows=tuple(rows),
    )


def measure_memory(root: str) -> Group:
    say("a million files: memory")
    gnu = 'find "$1" -type f | LC_ALL=C sort | sha256sum'
    expected = output(["/bin/sh", "-c", gnu, "sh", root]).split()[0]
    streamed = [stream("hash", root) for _ in range(3)]
    if any(one["hash"] != expected for one in streamed):
        raise RuntimeError("iterfind does not give what `find | LC_ALL=C sort` gives")
    peaks = [megabytes(one) for one in streamed]
    rows = [Row("clustrix iterfind", peaks)]
    for label, mode, at_most in (
        ("bare interpreter", "bare", MEMORY_AT_MOST),
        ("clustrix idle", "idle", None),
    ):
        own = [megabytes(stream(mode)) for _ in peaks]
        rows.append(Row(label, own, [one - other for one, other in zip(peaks, own, strict=True)], at_most))
    return Group(
        title="iterfind('*') on a million files: peak memory",
        unit="MB",
        comparison="Clustrix above this",
        meaning="Resident memory of a process that hashes the paths as they come; it is checked that the "
        "hash is that of `find | LC_ALL=C sort`. Idle: Clustrix is imported and its session open.",
        rows=tuple(rows),
    )


def stream(*arguments: str) -> dict[str, Any]:
    """Run stream.py."""
    return json.loads(output([sys.executable, HERE / "stream.py", *arguments]))  # type: ignore[no-any-return]


def megabytes(report: dict[str, Any]) -> float:
    return float(report["peak"]) / 1e6
