"""Time submitit where SLURM is: prints the seconds from a call to its result, or from a map to all results.

Usage: submitit_jobs.py FOLDER COUNT, 0 for a single call
"""

from __future__ import annotations

import importlib
import logging
import sys
from time import perf_counter


def increment(number: int) -> int:
    return number + 1


def main(folder: str, count: str) -> None:
    submitit = importlib.import_module("submitit")
    logging.getLogger("submitit").setLevel(logging.CRITICAL)  # it warns that there is no accounting
    executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
    executor.update_parameters(timeout_min=10)
    began = perf_counter()
    if number := int(count):
        results = [job.result() for job in executor.map_array(increment, range(number))]
    else:
        results = [executor.submit(increment, 0).result()]
    seconds = perf_counter() - began
    assert results == list(range(1, (number or 1) + 1))
    print(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
