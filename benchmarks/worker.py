"""Time contenders inside one interpreter, so that its start is not counted.

Usage: worker.py MODULE

MODULE has the `OPERATIONS`, and a `place_of` that makes what their contenders take. Reads lines of JSON,
`[operation, contender, place]` (two indices, and what `place_of` is given), and answers each with
`{"seconds": …, "answer": …, "peak": …}`: the answer of a list is its length and hash, the peak that of
resident memory in bytes, above what was resident before.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import sys
import time
from typing import Any

from contenders import Contender
from memory import forget_peak, peak_bytes, resident_bytes


def timed(contender: Contender, place: Any) -> dict[str, object]:
    """Run a contender once, with the garbage collector on, as users have it, and nothing left to collect."""
    gc.collect()
    gc.freeze()
    forget_peak()
    before = resident_bytes()
    start = time.perf_counter()
    answer = contender.run(place)
    seconds = time.perf_counter() - start
    peak = peak_bytes() - before
    return {"seconds": seconds, "answer": digest(contender.read(answer, place)), "peak": peak}


def digest(answer: object) -> object:
    if not isinstance(answer, list):
        return answer
    return f"{len(answer)} {hashlib.sha256(json.dumps(answer).encode()).hexdigest()}"


def main(name: str) -> None:
    module = importlib.import_module(name)
    for line in sys.stdin:
        operation, contender, place = json.loads(line)
        answer = timed(module.OPERATIONS[operation].contenders[contender], module.place_of(place))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
