"""Runs the scripts that make trees and tell the truth about them, in the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clustrix_core.testing import oracle, tree
from clustrix_core.testing.place import Place

Entry = tuple[str, str, str]


class Truth:
    """What the oracle says about a place: `truth("find", pattern="*")` asks its function `find`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._source = _source(oracle)

    def __call__(self, ask: str, **arguments: object) -> Any:
        """Ask one question.

        Raises:
            OSError: with the errno that the oracle met.
        """
        answer = self.all([{"ask": ask, **arguments}])[0]
        if isinstance(answer, OSError):
            raise answer
        return answer

    def all(self, questions: list[dict[str, object]]) -> list[Any]:
        """Ask many questions in one trip. Failures come back in their place."""
        text = json.dumps(packed(questions))
        answers = json.loads(self._place.python(self._source, [packed(self._place.root), text]))
        return [unpacked(answer) for answer in answers]


class Gardener:
    """Makes and removes trees in a place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._source = _source(tree)

    def make(self, part: str) -> dict[str, str]:
        """Make a part of the adversarial tree below the root, and return what the script tells of it."""
        facts: dict[str, str] = json.loads(self._run("make", self._place.root, part))
        return facts

    def plant(self, folder: str, entries: list[Entry]) -> None:
        """Make small things in `folder`, which is relative to the root: (kind, name, value)."""
        self._run("plant", self._path(folder), json.dumps(packed(entries)))

    def replant(self, folder: str, entries: list[Entry]) -> None:
        """The same, in a new folder in place of what was there."""
        self._run("replant", self._path(folder), json.dumps(packed(entries)))

    def remove(self, path: str) -> None:
        """Remove all that is at `path`, relative to the root."""
        self._run("remove", self._path(path))

    def clear(self) -> None:
        """Remove all that is below the root."""
        self._run("clear", self._path(""))

    def _path(self, path: str) -> str:
        return f"{self._place.root}/{path}"

    def _run(self, action: str, path: str, *arguments: str) -> bytes:
        return self._place.python(self._source, [action, packed(path), *arguments])


def packed(value: Any) -> Any:
    """Names as the scripts take them: each byte one character of Latin-1."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("latin-1")
    if isinstance(value, dict):
        return {key: packed(item) for key, item in value.items()}
    return [packed(item) for item in value] if isinstance(value, (list, tuple)) else value


def unpacked(value: Any) -> Any:
    """Names as the backends give them; `{"errno": N}` as the error that it stands for."""
    if isinstance(value, str):
        return value.encode("latin-1").decode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        if value.keys() == {"errno"}:
            return OSError(value["errno"], "as the oracle met it")
        return {key: unpacked(item) for key, item in value.items()}
    return [unpacked(item) for item in value] if isinstance(value, list) else value


def _source(script: Any) -> bytes:
    return Path(script.__file__).read_bytes()
