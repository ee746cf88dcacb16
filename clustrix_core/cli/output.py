"""Standard output: names, tables and JSON, for people and for programs."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, BinaryIO

import click

if TYPE_CHECKING:
    from clustrix_core.models import DiskUsage, FileInfo

_PLAIN = re.compile(r"[\w@%+=:,./-][\w@%+=:,./~-]*")
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}
_MARKS_OF_TYPES = (
    (stat.S_ISDIR, "directory", "34;1"),
    (stat.S_ISLNK, "symbolic link", "36;1"),
    (stat.S_ISREG, "regular file", ""),
    (stat.S_ISFIFO, "FIFO", "33"),
    (stat.S_ISSOCK, "socket", "35;1"),
    (stat.S_ISCHR, "character device", "33;1"),
    (stat.S_ISBLK, "block device", "33;1"),
)


class OutputClosedError(Exception):
    """Whoever read the output left."""


class Output:
    """Standard output of one command.

    Args:
        as_json: write JSON.
        null: end names with a NUL byte, raw.
    """

    def __init__(self, as_json: bool = False, null: bool = False) -> None:
        self.as_json = as_json
        self.null = null
        self.terminal = sys.stdout is not None and sys.stdout.isatty()
        self._colours = _wants_colours(self.terminal)

    def raw(self, data: bytes) -> None:
        """Write bytes at once.

        Raises:
            OutputClosedError: nobody reads them any more.
            OSError: they can't be written.
        """
        try:
            stream = _standard_output()
            stream.write(data)
            stream.flush()
        except OSError as error:
            drop_output()
            if error.errno == errno.EPIPE:
                raise OutputClosedError from None
            raise OSError(error.errno, error.strerror, "standard output") from None

    def text(self, text: str) -> None:
        """Write text; names in it keep their bytes."""
        self.raw(text.encode("utf-8", "surrogateescape"))

    def line(self, text: str) -> None:
        """Write a line, or what ends with a NUL byte instead."""
        self.text(text + ("\0" if self.null else "\n"))

    def name(self, name: str) -> str:
        """A name as it stands on a line: on a terminal quoted for the shell where need be, else raw."""
        return quoted(name) if self.terminal and not self.null else name

    def names(self, batches: Iterable[list[str]]) -> int:
        """Write names as they come; return how many there were."""
        if self.as_json:
            return self._array(batches)
        count = 0
        end = "\0" if self.null else "\n"
        for batch in batches:
            count += len(batch)
            self.text("".join(f"{self.name(name)}{end}" for name in batch))
        return count

    def paths(self, batches: Iterable[list[str]]) -> int:
        """Write paths as they come, so that commands take them back; return how many there were."""
        return self.names(batches if self.as_json else map(_unmistakable, batches))

    def infos(self, batches: Iterable[list[FileInfo]], label: str, human: bool) -> None:
        """Write the status of files as they come: the rows of a table, or JSON objects.

        Args:
            batches: the files.
            label: the attribute that names a file in the table, `"name"` or `"path"`.
            human: write sizes with units.
        """
        if self.as_json:
            self._array([fields_of(info) for info in batch] for batch in batches)
            return
        widths = [0] * 6
        for batch in batches:
            rows = [_row(info, human) for info in batch]
            widths = [max(map(len, column)) for column in zip(*rows, map(" ".__mul__, widths), strict=True)]
            lines = []
            for info, row in zip(batch, rows, strict=True):
                cells = [f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)]
                lines.append(f"{' '.join(cells)} {self._painted(getattr(info, label), info.mode)}\n")
            self.text("".join(lines))

    def status(self, infos: Iterable[FileInfo]) -> None:
        """Write all that is known of files: a paragraph for each, or JSON objects."""
        if self.as_json:
            self._array([[fields_of(info) for info in infos]])
            return
        self.text("\n".join(self._paragraph(info) for info in infos))

    def table(self, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
        """Write a table with a header, its columns aligned to the left."""
        lines = [header, *rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for number, line in enumerate(lines):
            cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
            text = "  ".join(cells).rstrip()
            self.line(self.paint(text, "1") if number == 0 else text)

    def document(self, value: object) -> None:
        """Write a JSON document; undecodable bytes of names are lone surrogates, `\\udc80` to `\\udcff`."""
        self.text(json.dumps(value, indent=2) + "\n")

    def _array(self, batches: Iterable[list[Any]]) -> int:
        """Write a JSON array as its items come. It is closed only when all have come."""
        count = 0
        for batch in batches:
            lines = []
            for item in batch:
                lines.append(("[\n" if count == 0 else ",\n") + json.dumps(item))
                count += 1
            if lines:
                self.text("".join(lines))
        self.text("\n]\n" if count else "[]\n")
        return count

    def _paragraph(self, info: FileInfo) -> str:
        lines = {
            "path": self._painted(info.path, info.mode),
            "type": _type_of(info.mode),
            "size": f"{info.size} bytes" + (f" ({human_size(info.size)})" if info.size >= 1024 else ""),
            "mode": f"{stat.S_IMODE(info.mode):04o} {stat.filemode(info.mode)}",
            "owner": f"{_known(info.uid)}:{_known(info.gid)}",
            "links": _known(info.nlink),
            "modified": _moment(info.mtime_ns),
        }
        return "".join(f"{label:>9}: {value}\n" for label, value in lines.items())

    def _painted(self, name: str, mode: int) -> str:
        colour = next((colour for test, _, colour in _MARKS_OF_TYPES if test(mode)), "")
        if stat.S_ISREG(mode) and mode & 0o111:
            colour = "32;1"
        return self.paint(quoted(name), colour)

    def paint(self, text: str, colour: str) -> str:
        """Text in a colour, which is the number of an escape sequence, where colours are wanted."""
        return f"\033[{colour}m{text}\033[0m" if self._colours and colour else text


def output_options(*, null: bool) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add `--json` and perhaps `--null`; the command gets them as one argument, `output`."""

    def decorator(command: Callable[..., int]) -> Callable[..., int]:
        @click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
        @functools.wraps(command)
        def wrapper(as_json: bool, **parameters: Any) -> int:
            ends = [as_json, parameters.pop("null", False), parameters.get("long", False)]
            if ends[1] and (ends[0] or ends[2]):
                raise click.UsageError("--null is for bare names: leave out --json or --long, or --null")
            return command(output=Output(ends[0], ends[1]), **parameters)

        if not null:
            return wrapper
        return click.option(
            "-0", "--null", is_flag=True, help="End each with a NUL byte instead of a newline."
        )(wrapper)

    return decorator


def _unmistakable(paths: list[str]) -> list[str]:
    """Paths of which none can be taken for a profile and a path: `./a:b` rather than `a:b`."""
    return [f"./{path}" if ":" in path.partition("/")[0] else path for path in paths]


def quoted(name: str) -> str:
    """A name as a shell takes it, without control characters or undecodable bytes, which become `$'…'`."""
    if _PLAIN.fullmatch(name):
        return name
    if name.isprintable():
        return "'" + name.replace("'", "'\\''") + "'"
    return "$'" + "".join(map(_escaped, name)) + "'"


def human_size(size: int) -> str:
    """A number of bytes with a unit, a power of 1024: `0`, `1.5K`, `12M`."""
    if size < 1024:
        return str(size)
    number = float(size)
    for unit in "KMGTPE":
        number /= 1024
        if number < 9.95:
            return f"{number:.1f}{unit}"
        if number < 1023.5:
            break
    return f"{number:.0f}{unit}"


def fields_of(info: FileInfo | DiskUsage) -> dict[str, object]:
    """The attributes of what an operation returned, for JSON."""
    return {name: getattr(info, name) for name in info.__slots__}


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))


def _row(info: FileInfo, human: bool) -> tuple[str, ...]:
    size = human_size(info.size) if human else str(info.size)
    owners = _known(info.uid), _known(info.gid)
    return stat.filemode(info.mode), _known(info.nlink), *owners, size, _moment(info.mtime_ns)[:16]


def _known(number: int | None) -> str:
    return "?" if number is None else str(number)


def _moment(nanoseconds: int) -> str:
    """A time of this machine's zone; one beyond the calendar as seconds since the epoch."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    try:
        moment = time.localtime(seconds)
    except (OverflowError, OSError, ValueError):
        return f"@{seconds}"
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', moment)}.{fraction:09d} {time.strftime('%z', moment)}"


def _type_of(mode: int) -> str:
    return next((name for test, name, _ in _MARKS_OF_TYPES if test(mode)), "unknown")


def _wants_colours(terminal: bool) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return terminal and os.environ.get("TERM") != "dumb"


def _standard_output() -> BinaryIO:
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return sys.stdout.buffer


def drop_output() -> None:
    """Let the interpreter's last flush go nowhere: what it holds can't be written."""
    if sys.stdout is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
