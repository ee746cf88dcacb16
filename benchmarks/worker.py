"""Time contenders inside one interpreter, so that its start is not counted.

Reads `[operation, contender, root]` (two indices and a path) from each line of standard input, and answers
with `{"seconds": …, "answer": …}`, the answer of a list being its length and hash.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import time

from contenders import OPERATIONS, Contender


def timed(contender: Contender, root: str) -> dict[str, object]:
    """Run a contender once, with the garbage collector on, as users have it, and nothing left to collect."""
    gc.collect()
    gc.freeze()
    start = time.perf_counter()
    answer = contender.run(root)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "answer": digest(contender.read(answer, root))}


def digest(answer: object) -> object:
    if not isinstance(answer, list):
        return answer
    return f"{len(answer)} {hashlib.sha256(json.dumps(answer).encode()).hexdigest()}"


def main() -> None:
    for line in sys.stdin:
        operation, contender, root = json.loads(line)
        print(json.dumps(timed(OPERATIONS[operation].contenders[contender], root)), flush=True)


if __name__ == "__main__":
    main()
