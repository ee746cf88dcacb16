"""A first call in a process of its own: prints the seconds that importing takes, and the call.

Usage: cold.py clustrix | loky
"""

from __future__ import annotations

import sys
from time import perf_counter

from trivial import increment


def main(contender: str) -> None:
    began = perf_counter()
    if contender == "clustrix":
        from clustrix import cluster

        imported = perf_counter()
        answer = cluster(increment)(1)
    else:
        from loky import get_reusable_executor

        imported = perf_counter()
        answer = get_reusable_executor().submit(increment, 1).result()
    ended = perf_counter()
    assert answer == 2
    print(imported - began, ended - imported)


if __name__ == "__main__":
    main(*sys.argv[1:])
