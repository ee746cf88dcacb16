"""The files that `open` returns: the standard library's, which publish only what is whole."""

from __future__ import annotations

import io
import warnings
from contextlib import suppress
from types import TracebackType
from typing import IO, Any


class _Committing:
    """Closing commits. Leaving `with` by an exception, or forgetting to close, does not."""

    raw_file: io.RawIOBase
    mode = ""
    owner: object

    def close(self) -> None:
        commit = getattr(self.raw_file, "commit", None)
        if commit is not None and not self.closed:  # type: ignore[attr-defined]
            try:
                self.flush()
                commit()
            except BaseException:
                self._drop()
                raise
        super().close()  # type: ignore[misc]

    def flush(self) -> None:
        super().flush()  # type: ignore[misc]
        self.raw_file.flush()  # one that is elsewhere may still be sending

    def _drop(self, by: str = "discard") -> None:
        discard = getattr(self.raw_file, by, None) or getattr(self.raw_file, "discard", None)
        if discard is None:
            self.close()
            return
        discard()
        with suppress(OSError):  # of a flush that nobody needs
            super().close()  # type: ignore[misc]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or not hasattr(self.raw_file, "commit"):
            self.close()
        else:
            self._drop()

    def __del__(self) -> None:
        try:
            forgotten = not self.closed  # type: ignore[attr-defined]
        except ValueError:  # it was detached, or never made
            return
        if forgotten:
            warnings.warn(f"unclosed file {self!r}", ResourceWarning, source=self, stacklevel=2)
            self._drop("forget")  # where it can't be waited for


class _BinaryReader(_Committing, io.BufferedReader):
    pass


class _BinaryWriter(_Committing, io.BufferedWriter):
    pass


class _BinaryUpdater(_Committing, io.BufferedRandom):
    pass


class _Text(_Committing, io.TextIOWrapper):
    pass


def open_binary(raw: io.RawIOBase, mode: str, owner: object) -> IO[bytes]:
    """A buffered file over a backend's raw one; `owner` lives as long as it does."""
    kind = _kind(raw, _BinaryReader, _BinaryWriter, _BinaryUpdater)
    file: IO[bytes] = _owned(kind(raw, _size(raw)), raw, mode, owner)
    return file


def open_text(
    raw: io.RawIOBase, mode: str, encoding: str, errors: str | None, newline: str | None, owner: object
) -> IO[str]:
    """A text file over a backend's raw one."""
    buffer = _kind(raw, io.BufferedReader, io.BufferedWriter, io.BufferedRandom)(raw, _size(raw))
    try:
        text = _Text(buffer, encoding=encoding, errors=errors, newline=newline)
    except BaseException:  # an encoding that nobody knows, say
        buffer.close()
        raise
    file: IO[str] = _owned(text, raw, mode, owner)
    return file


def _size(raw: io.RawIOBase) -> int:
    """Of the buffer, in bytes."""
    return int(getattr(raw, "block_size", io.DEFAULT_BUFFER_SIZE))


def _kind(raw: io.RawIOBase, reader: Any, writer: Any, updater: Any) -> Any:
    if not raw.writable():
        return reader
    return updater if raw.readable() else writer


def _owned(file: Any, raw: io.RawIOBase, mode: str, owner: object) -> Any:
    file.raw_file, file.mode, file.owner = raw, mode, owner
    return file
