"""Many threads at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.testing.place import Place
from clustrix_core.testing.suite.base import SuiteBase, expect, in_time

THREADS = 16
ROUNDS = 4


class ConcurrencyTests(SuiteBase):
    def test_sixteen_threads_get_right_answers(self, fs: ClusterFilesystem, place: Place) -> None:
        operations = operations_of(fs)
        told = {name: operation() for name, operation in operations.items()}

        def work(number: int) -> None:
            names = list(operations)
            for turn in range(ROUNDS * len(names)):
                name = names[(number + turn) % len(names)]
                expect(operations[name](), told[name], f"{name} gives the same in thread {number} as alone")

        in_time("sixteen threads all get answers", *[partial(work, number) for number in range(THREADS)])

    def test_threads_that_open_the_place_at_once_share_it(self, fs: ClusterFilesystem, place: Place) -> None:
        told, promise = fs.ls("order"), "filesystems that are opened at once all work"

        def visit() -> None:
            for _ in range(2):
                with ClusterFilesystem(place.config) as own:
                    expect(own.ls("order"), told, promise)

        in_time(promise, *[visit] * THREADS)


def operations_of(fs: ClusterFilesystem) -> dict[str, Callable[[], object]]:
    operations: dict[str, Callable[[], object]] = {
        "ls": lambda: fs.ls("flat"),
        "find": lambda: fs.find("*.csv", "odd"),
        "find in detail": lambda: fs.find("*", "order", detail=True),
        "stat": lambda: fs.stat(["project", "sizes/sparse"]),
        "exists": lambda: (fs.exists("project"), fs.exists("missing"), fs.isdir("flat"), fs.isfile("-top")),
        "glob": lambda: fs.glob("**/*.{csv,h5}", "project"),
        "count_files": lambda: fs.count_files("project"),
        "a failure": lambda: [type(one) for one in fs.stat(["missing"], on_error="return")],
    }
    return operations
