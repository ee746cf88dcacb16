"""The files that `open` returns: the standard library's, that keep their session and can be discarded."""

from __future__ import annotations

import io
import warnings
from types import TracebackType
from typing import IO, Any


class _Discarding:
    """Leaving `with` by an exception, and forgetting to close, drop what was written."""

    raw_file: io.RawIOBase
    owner: object

    def _discard(self) -> None:
        discard = getattr(self.raw_file, "discard", None)
        if discard is not None:
            discard()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
        self.close()  # type: ignore[attr-defined]

    def __del__(self) -> None:
        if not self.closed:  # type: ignore[attr-defined]
            warnings.warn(f"unclosed file {self.raw_file!r}", ResourceWarning, source=self, stacklevel=2)
            self._discard()
            self.close()  # type: ignore[attr-defined]


class _BinaryReader(_Discarding, io.BufferedReader):
    pass


class _BinaryWriter(_Discarding, io.BufferedWriter):
    pass


class _BinaryUpdater(_Discarding, io.BufferedRandom):
    pass


class _Text(_Discarding, io.TextIOWrapper):
    pass


def open_binary(raw: io.RawIOBase, owner: object) -> IO[bytes]:
    """A buffered file over a backend's raw one; `owner` lives as long as it does."""
    file: Any
    if raw.readable() and raw.writable():
        file = _BinaryUpdater(raw)
    elif raw.writable():
        file = _BinaryWriter(raw)
    else:
        file = _BinaryReader(raw)
    file.raw_file, file.owner = raw, owner
    return file  # type: ignore[no-any-return]


def open_text(
    raw: io.RawIOBase, encoding: str, errors: str | None, newline: str | None, owner: object
) -> IO[str]:
    """A text file over a backend's raw one."""
    if raw.readable() and raw.writable():
        buffer: Any = io.BufferedRandom(raw)
    elif raw.writable():
        buffer = io.BufferedWriter(raw)
    else:
        buffer = io.BufferedReader(raw)
    file = _Text(buffer, encoding=encoding, errors=errors, newline=newline)
    file.raw_file, file.owner = raw, owner
    return file
