"""Time calls of the façade and the `os` calls beneath them; print `[[label, beneath, seconds per call, …], …]`.

Usage: facade.py FILE ROUNDS, where FILE is alone in its folder.
"""

from __future__ import annotations

import json
import os
import sys
import timeit

from clustrix import ClusterConfig, ClusterFilesystem, cluster_exists, cluster_ls, cluster_stat

CALLS = 1000
PAIRS = (
    ("fs.exists(path)", "os.stat(path)"),
    ("fs.stat(path)", "os.stat(path)"),
    ("fs.ls(folder)", "os.listdir(folder)"),
    ("cluster_exists(path, config)", "os.stat(path)"),
    ("cluster_stat(path, config)", "os.stat(path)"),
    ("cluster_ls(folder, config)", "os.listdir(folder)"),
)


def main(path: str, rounds: int) -> None:
    config = ClusterConfig()
    names = {
        "os": os,
        "path": path,
        "folder": os.path.dirname(path),
        "config": config,
        "fs": ClusterFilesystem(config),
        "cluster_exists": cluster_exists,
        "cluster_stat": cluster_stat,
        "cluster_ls": cluster_ls,
    }
    timers = [[timeit.Timer(call, globals=names) for call in pair] for pair in PAIRS]
    samples = [[[timer.timeit(CALLS) / CALLS for timer in pair] for pair in timers] for _ in range(rounds)]
    print(json.dumps({"labels": PAIRS, "rounds": samples}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
