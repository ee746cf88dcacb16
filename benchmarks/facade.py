"""What a call of the façade adds to the `os` call beneath it."""

from __future__ import annotations

import os
import timeit

from environment import say
from report import Group, Row

from clustrix import ClusterConfig, ClusterFilesystem, cluster_exists, cluster_ls, cluster_stat

CALLS = 1000
AT_MOST = 10  # µs
PAIRS = (
    ("fs.exists(path)", "os.stat(path)"),
    ("fs.stat(path)", "os.stat(path)"),
    ("fs.ls(folder)", "os.listdir(folder)"),
    ("cluster_exists(path, config)", "os.stat(path)"),
    ("cluster_stat(path, config)", "os.stat(path)"),
    ("cluster_ls(folder, config)", "os.listdir(folder)"),
)


def measure(scratch: str, rounds: int) -> Group:
    say("the façade")
    folder = os.path.join(scratch, "facade")
    path = os.path.join(folder, "file")
    os.mkdir(folder)
    with open(path, "w"):
        pass
    config = ClusterConfig()
    names = {
        "os": os,
        "path": path,
        "folder": folder,
        "config": config,
        "fs": ClusterFilesystem(config),
        "cluster_exists": cluster_exists,
        "cluster_stat": cluster_stat,
        "cluster_ls": cluster_ls,
    }
    timers = [[timeit.Timer(call, globals=names) for call in pair] for pair in PAIRS]
    samples = [[[microseconds(timer) for timer in pair] for pair in timers] for _ in range(rounds + 1)][1:]
    rows = []
    for index, (ours, beneath) in enumerate(PAIRS):
        pairs = [sample[index] for sample in samples]
        added = [one - other for one, other in pairs]
        rows.append(Row(f"{ours} over {beneath}", [one for one, _ in pairs], added, AT_MOST))
    return Group(
        title="A call of the façade",
        unit="µs",
        comparison="added",
        meaning="The same config object; a folder of one file. A sample is the mean of 1,000 calls (timeit).",
        rows=tuple(rows),
    )


def microseconds(timer: timeit.Timer) -> float:
    return 1e6 * timer.timeit(CALLS) / CALLS
