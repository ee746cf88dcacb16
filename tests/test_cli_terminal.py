"""What `clustrix` does on a terminal: quoting, colours and progress."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runner import on_terminal, plain, spawn

from clustrix_core.cli.output import human_size, quoted
from clustrix_core.cli.progress import entries, transfer
from clustrix_core.meter import Meter
from fakedist import FakeSite

SLOW = """
import time
from clustrix_core import DiskUsage, Stream, hookimpl
from clustrix_local.backend import LocalBackend

class Slow(LocalBackend):
    @hookimpl
    def clustrix_du(self, path, on_error, progress):
        time.sleep(0.6)
        if progress:
            progress(12345, None)
        return DiskUsage(1, 2)

    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        def batches():
            time.sleep(0.6)
            if progress:
                progress(12345, None)
            yield ["found"]
        return Stream(batches())

    @hookimpl
    def clustrix_get(self, path, target, progress):
        time.sleep(0.6)
        if progress:
            progress(2**20, 2**21)
        return 2**21
"""
CLEAR = b"\r\x1b[K"


@pytest.fixture(autouse=True)
def _no_outer_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CLUSTRIX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in ("NO_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    for name in (b"plain.txt", b"new\nline", b"raw\xff", b"esc\x1b[2J", b"it's me"):
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(b"")
    (folder / "run").touch(mode=0o755)
    (folder / "link").symlink_to("sub")
    return folder


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with FakeSite(tmp_path / "site") as site:
        site.add("clustrix-slow", "1", backends={"slow": "slowtest:Slow"}, modules={"slowtest": SLOW})
        monkeypatch.setenv("PYTHONPATH", str(site.path))
        yield


def test_names_are_quoted_for_the_shell(folder: Path) -> None:
    result = on_terminal("ls", str(folder))
    assert result.code == 0
    assert result.out.splitlines() == [
        rb"$'esc\033[2J'",
        rb"'it'\''s me'",
        b"link",
        rb"$'new\nline'",
        b"plain.txt",
        rb"$'raw\377'",
        b"run",
        b"sub",
    ]


def test_null_keeps_names_raw_on_a_terminal(folder: Path) -> None:
    assert b"raw\xff\0" in on_terminal("ls", "-0", str(folder)).out


def test_colours_on_a_terminal_alone(folder: Path) -> None:
    coloured = on_terminal("ls", "-l", str(folder)).out
    for shown in (
        b"\x1b[34;1msub\x1b[0m",
        b"\x1b[36;1mlink\x1b[0m",
        b"\x1b[32;1mrun\x1b[0m",
        b" plain.txt\n",
    ):
        assert shown in coloured
    piped = spawn("ls", "-l", str(folder)).out
    assert b"\x1b" not in piped
    assert plain(coloured) == piped
    assert on_terminal("ls", "-l", str(folder), env={"NO_COLOR": "1"}).out == piped
    assert on_terminal("ls", "-l", str(folder), env={"TERM": "dumb"}).out == piped
    assert spawn("ls", "-l", str(folder), env={"CLICOLOR_FORCE": "1"}).out == coloured


def test_progress_is_shown_and_cleared(slow: None, tmp_path: Path) -> None:
    line = b"12,345 entries seen"
    assert on_terminal("du", "--type", "slow").out == CLEAR + line + CLEAR + b"1\t2\t.\n"
    assert on_terminal("find", "*", "--type", "slow").out == CLEAR + line + CLEAR + b"found\n"
    copied = on_terminal("cp", "--type", "slow", ":data/big.h5", "x", cwd=tmp_path).out
    assert copied.startswith(CLEAR + b"[##########          ]  50% 1.0MB, ")
    assert copied.endswith(b"B/s big.h5" + CLEAR)


def test_no_progress_where_standard_error_is_no_terminal(slow: None) -> None:
    result = spawn("du", "--type", "slow")
    assert (result.out, result.err) == (b"1\t2\t.\n", "")


def test_an_error_on_a_terminal_is_escaped(folder: Path) -> None:
    result = on_terminal("ls", b"bad\xff\x1b[2J")
    assert (result.code, result.out) == (
        1,
        rb"clustrix: bad\udcff\x1b[2J: No such file or directory" + b"\n",
    )


def test_a_wrong_command_line_is_shown_escaped(folder: Path) -> None:
    for args in (
        ["ls", "a", b"b\x1b]0;EVIL\x07"],
        ["b\x1b]0;EVIL\x07"],
        ["find", "*", "--filetype", "\x1b[2J"],
    ):
        result = on_terminal(*args)
        assert result.code == 2
        assert b"\x1b" not in result.out
        assert b"\x07" not in result.out
        assert b"x1b" in result.out


@pytest.mark.parametrize(
    "name",
    [
        *("plain", "a b", "it's", "'", "\\", "\\n'\n", "new\nline", "tab\t", "\x1b[2J", "\x7f1", "\x011"),
        *(
            "~",
            "~/x",
            "-n",
            "$HOME",
            "a*?[b]",
            "{a,b}",
            "a;b|c&d",
            "!",
            "#x",
            "",
            "é",
            "\u202e",
            "\U0001f600",
        ),
        *("raw\udcff", "\udce9t\udce9 \u00e9"),
    ],
)
def test_a_shell_reads_a_quoted_name_back(name: str) -> None:
    word = quoted(name)
    assert word.isprintable()
    shell = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert shell.stdout == name.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (1023, "1023"),
        (1024, "1.0K"),
        (1536, "1.5K"),
        (10188, "9.9K"),
        (10189, "10K"),
        (1023 * 1024, "1023K"),
        (1024 * 1024 - 1, "1.0M"),
        (5 * 1024**3, "5.0G"),
        (2**63, "8.0E"),
        (2**70, "1024E"),
    ],
)
def test_human_sizes(size: int, text: str) -> None:
    assert human_size(size) == text


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal:
    """A standard error that says it is a terminal, and keeps what is written."""

    def __init__(self) -> None:
        self.written = ""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError

    def write(self, text: str) -> None:
        self.written += text

    def flush(self) -> None:
        pass


def test_progress_waits_and_is_drawn_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), Clock()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Meter(entries, clock) as meter:
        assert meter.progress
        for now, done in ((0.1, 1), (0.6, 2), (0.65, 3), (0.8, 4)):
            clock.now = now
            meter.progress(done, None)
    assert terminal.written.split("\r\x1b[K") == ["", "2 entries seen", "4 entries seen", ""]


def test_quick_work_shows_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, clock = Terminal(), Clock()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Meter(transfer("x"), clock) as meter:
        assert meter.progress
        meter.progress(1, 2)
    assert terminal.written == ""


@pytest.mark.parametrize(("total", "told"), [(100, [2, 20, 30, 80, 100]), (None, [2, 20, 30, 80])])
def test_lines_that_stay_are_few(
    total: int | None, told: list[int], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, collected = Clock(), io.StringIO()
    monkeypatch.setattr("sys.stderr", collected)  # the user's code does, to keep what it writes
    with Meter(entries, clock, logged=True) as meter:
        assert meter.progress
        for now, done in ((1, 1), (4, 2), (9, 20), (11, 30), (12, 30), (13, 30), (15, 80), (16, 100)):
            clock.now = now
            meter.progress(done, total)
    assert collected.getvalue() == ""
    assert capfd.readouterr().err == "".join(f"{done} entries seen\n" for done in told)


def test_the_line_of_a_copy() -> None:
    line = transfer("x.h5")
    assert line(1024, 4096, 0.5) == "[#####               ]  25% 1.0KB, 2.0KB/s x.h5"
    assert line(4096, 4096, 2.0).startswith("[####################] 100% 4.0KB, ")
    assert line(10, None, 1.0) == "10B, 10B/s x.h5"
    assert line(9000, 4096, 0.0).startswith("[####################] 100% ")
