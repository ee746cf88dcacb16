"""Trees of many small files, made quickly."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor

MILLION_PARTS = {"a/a": 250_000, "a": 500_000, ".": 1_000_000}
"""Folders of the million files, each inside the next, and how many files they hold."""


def make_hundred_thousand(root: str) -> None:
    """Make 1,000 folders, a hundred to a parent, of 100 files each: 0 to 99 bytes, every other one a .csv."""
    _make([f"{root}/g{index // 100:02}/d{index:04}" for index in range(1000)], 100, 100)


def make_million(root: str) -> None:
    """Make 100 folders of 10,000 empty files each, laid out as `MILLION_PARTS` says."""
    _make(
        [f"{root}/{'ab'[index // 50]}/{'ab'[index // 25 % 2]}/d{index:02}" for index in range(100)], 10_000, 1
    )


def make_flat(root: str) -> None:
    """Make one folder of 10,000 files: 0 to 99 bytes, every other one a .csv."""
    _fill(root, 10_000, 100)


def _make(folders: list[str], files: int, sizes: int) -> None:
    with ProcessPoolExecutor() as processes:
        list(processes.map(_fill, folders, [files] * len(folders), [sizes] * len(folders), chunksize=5))


def _fill(folder: str, files: int, sizes: int) -> None:
    os.makedirs(folder)
    for number in range(files):
        suffix = "csv" if number % 2 else "dat"
        file = os.open(f"{folder}/file_{number:05}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        if size := number % sizes:
            os.write(file, b"x" * size)
        os.close(file)
