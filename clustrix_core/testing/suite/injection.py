"""Names, paths and patterns are data: nothing in them is run or taken for an option."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.testing.asking import Gardener, Truth
from clustrix_core.testing.suite.base import SuiteBase, expect

COMMANDS = [
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "| touch pwned",
    "&& touch pwned",
    "> pwned",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "\ntouch pwned\n",
    "x\n; touch pwned #",
    "{x,$(touch pwned)}",
    "[$(touch pwned)]*",
    "*$(touch pwned)",
    "\x1b]0;pwned\x07",
    "__import__('os').system('touch pwned')",
    "%(touch pwned)s",
]
OPTIONS = ["--help", "-rf", "-exec", "-", "--", "-L", "-maxdepth", "-delete"]


class InjectionTests(SuiteBase):
    def test_commands_in_paths_and_patterns_are_not_run(
        self, fs: ClusterFilesystem, truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        before = len(truth("find", pattern="*"))
        for text in COMMANDS:
            for operation in operations_on_text(fs):
                call(operation, text)
        places = ["pwned", "~/pwned", "/pwned", "/tmp/pwned"]
        made = truth.all([{"ask": "exists", "path": path} for path in places])
        promise = "a name, path or pattern is never run as a command"
        expect([path.name for path in tmp_path.iterdir()], [], f"{promise} on this machine")
        expect(made, [False] * len(places), f"{promise} in the place")
        expect(len(truth("find", pattern="*")), before, "reading makes nothing")

    def test_a_leading_dash_is_part_of_a_name(
        self, fs: ClusterFilesystem, gardener: Gardener, scratch: str
    ) -> None:
        gardener.plant(scratch, [("file", f"{name}/{name}", name) for name in OPTIONS])
        for name in OPTIONS:
            path = f"{scratch}/{name}"
            told = [f"{path}/{name}"]
            expect(fs.ls(path), [name], f"ls takes {name!r} for a name")
            expect(fs.find(name, scratch), told, f"find takes the pattern {name!r} for a name")
            expect(fs.find("*", path), told, f"find takes the path {path!r} for a name")
            expect(fs.glob(name, path), told, f"glob takes the pattern {name!r} for a name")
            expect(fs.count_files(path, name), 1, f"count_files takes {name!r} for a name")
            expect(fs.stat(told[0]).size, len(name), f"stat takes {name!r} for a name")

    def test_a_leading_dash_at_the_work_dir_is_a_name(self, fs: ClusterFilesystem) -> None:
        expect(fs.stat("-top").size, len("dash"), "stat('-top') is about that file")
        expect(fs.find("*", "-top"), ["-top"], "find('*', '-top') is about that file")
        expect(fs.exists("--help"), False, "'--help' is a name like any other")


def operations_on_text(fs: ClusterFilesystem) -> list[Callable[[str], object]]:
    return [
        fs.ls,
        fs.stat,
        fs.exists,
        fs.isdir,
        fs.isfile,
        fs.du,
        fs.count_files,
        lambda text: fs.find("*", text),
        lambda text: fs.find(text, "odd"),
        lambda text: fs.find(f"**/{text}", "odd", type="d"),
        lambda text: fs.glob(text, "odd/files"),
        lambda text: fs.glob("*", text),
        lambda text: fs.count_files("odd", text),
    ]


def call(operation: Callable[[str], object], text: str) -> None:
    with suppress(OSError):  # Most of these name no file, which is as it should be.
        operation(text)
