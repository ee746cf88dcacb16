"""Stream what `find('*')` gives, and print seconds, count, hash and this process's peak of memory as JSON.

Usage: stream.py bare           nothing but this script: the interpreter's own memory
       stream.py idle           with Clustrix imported and its session open
       stream.py time ROOT      count the paths of ROOT
       stream.py hash ROOT      hash them, one a line
"""

from __future__ import annotations

import hashlib
import json
import sys
import time

from memory import peak_bytes


def main(mode: str, root: str = "/") -> None:
    report: dict[str, object] = {}
    if mode != "bare":
        from clustrix import ClusterConfig, ClusterFilesystem

        place = ClusterFilesystem(ClusterConfig())
        place.exists(root)
    if mode == "time":
        count = 0
        start = time.perf_counter()
        for _ in place.iterfind("*", root):
            count += 1
        report = {"seconds": time.perf_counter() - start, "count": count}
    if mode == "hash":
        sha256 = hashlib.sha256()
        for path in place.iterfind("*", root):
            sha256.update(path.encode() + b"\n")
        report = {"hash": sha256.hexdigest()}
    print(json.dumps({**report, "peak": peak_bytes()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
