"""Verdicts on loops, for programs and for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """What becomes of one loop.

    Attributes:
        file: the file of the function.
        line: where the loop begins in it.
        kind: `"for"`, `"while"`, `"listcomp"`, `"setcomp"`, `"dictcomp"` or `"genexp"`.
        split: whether its iterations run in parallel.
        code: why not, as a short word for programs; empty if it is split.
        name: what stands in the way.
        message: why not.
        remedy: what to change.
        at: the line of what stands in the way.
        assumptions: what was taken on the user's word.
        conditions: what has to hold when it runs.
    """

    file: str
    line: int
    kind: str
    split: bool
    code: str = ""
    name: str = ""
    message: str = ""
    remedy: str = ""
    at: int = 0
    assumptions: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()

    @property
    def inside(self) -> bool:
        """Whether it is part of a loop that is split."""
        return self.code == "inside-split"

    @property
    def text(self) -> str:
        """The verdict in a sentence or two."""
        if self.split:
            split = f"split, if {' and '.join(self.conditions)}" if self.conditions else "split"
            return "; ".join([split, *(f"assumed: {assumption}" for assumption in self.assumptions)])
        if self.inside:
            return "part of a loop that is split"
        where = f" (line {self.at})" if self.at not in (0, self.line) else ""
        remedy = f": {self.remedy}" if self.remedy else ""
        return f"not split [{self.code}]: {self.message}{where}{remedy}"


def plain(text: str, _colour: str) -> str:
    """Text without colours."""
    return text


@dataclass(frozen=True, repr=False)
class Explanation:
    """The loops of a function, each with its verdict; shown as its source with the verdicts in it.

    Attributes:
        name: the function's.
        file: where it stands.
        source: its lines, by their numbers in the file.
        loops: the verdicts, in the order of the source.
        reason: why nothing could be said about any loop, if so.
    """

    name: str
    file: str
    source: dict[int, str]
    loops: tuple[Verdict, ...]
    reason: str = ""

    @property
    def refused(self) -> tuple[Verdict, ...]:
        """The loops that stand in the way of `parallel="require"`."""
        return tuple(loop for loop in self.loops if not (loop.split or loop.inside))

    def as_dict(self) -> dict[str, Any]:
        """The same for programs."""
        loops = [asdict(loop) for loop in self.loops]
        return {"name": self.name, "file": self.file, "reason": self.reason, "loops": loops}

    def __repr__(self) -> str:
        return self.shown(plain)

    def shown(self, paint: Callable[[str, str], str]) -> str:
        """The source with the verdicts under the lines of their loops.

        Args:
            paint: gives a text the colour of this number.
        """
        lines = [f"{self.name} ({self.file})"]
        if self.reason:
            lines.append(paint(f"no loop is split: {self.reason}", "33"))
        width = len(str(max(self.source, default=0)))
        for number, text in self.source.items():
            lines.append(f"{number:>{width}}  {text}".rstrip())
            indent = " " * (width + 2 + len(text) - len(text.lstrip()))
            lines += [
                paint(f"{indent}^ {loop.text}", "32" if loop.split or loop.inside else "33")
                for loop in self.loops
                if loop.line == number
            ]
        return "\n".join(lines)
