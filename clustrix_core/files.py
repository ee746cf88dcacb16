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
    owner: object

    def close(self) -> None:
        commit = getattr(self.raw_file, "commit", None)
        try:
            if commit is not None and not self.closed:  # type: ignore[attr-defined]
                self.flush()  # type: ignore[attr-defined]
                commit()
        finally:
            super().close()  # type: ignore[misc]

    def _drop(self) -> None:
        if hasattr(self.raw_file, "commit"):
            self.raw_file.discard()  # type: ignore[attr-defined]
            with suppress(OSError):  # of a flush that nobody needs
                super().close()  # type: ignore[misc]
        else:
            self.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._drop()

    def __del__(self) -> None:
        try:
            forgotten = not self.closed  # type: ignore[attr-defined]
        except ValueError:  # it was detached, or never made
            return
        if forgotten:
            warnings.warn(f"unclosed file {self.raw_file!r}", ResourceWarning, source=self, stacklevel=2)
            self._drop()


class _BinaryReader(_Committing, io.BufferedReader):
    pass


class _BinaryWriter(_Committing, io.BufferedWriter):
    pass


class _BinaryUpdater(_Committing, io.BufferedRandom):
    pass


class _Text(_Committing, io.TextIOWrapper):
    pass


def open_binary(raw: io.RawIOBase, owner: object) -> IO[bytes]:
    """A buffered file over a backend's raw one; `owner` lives as long as it does."""
    file: IO[bytes] = _owned(_kind(raw, _BinaryReader, _BinaryWriter, _BinaryUpdater)(raw), raw, owner)
    return file


def open_text(
    raw: io.RawIOBase, encoding: str, errors: str | None, newline: str | None, owner: object
) -> IO[str]:
    """A text file over a backend's raw one."""
    buffer = _kind(raw, io.BufferedReader, io.BufferedWriter, io.BufferedRandom)(raw)
    try:
        text = _Text(buffer, encoding=encoding, errors=errors, newline=newline)
    except BaseException:  # an encoding that nobody knows, say
        buffer.close()
        raise
    file: IO[str] = _owned(text, raw, owner)
    return file


def _kind(raw: io.RawIOBase, reader: Any, writer: Any, updater: Any) -> Any:
    if not raw.writable():
        return reader
    return updater if raw.readable() else writer


def _owned(file: Any, raw: io.RawIOBase, owner: object) -> Any:
    file.raw_file, file.owner = raw, owner
    return file
