"""Walking through what opens and writes files."""

from __future__ import annotations

import ast

from clustrix_core.loops.state import State
from clustrix_core.loops.syntax import spelled
from clustrix_core.loops.values import NONE, OWN, Value


class Files(State):
    """Files may be read by all iterations; what writes them has to differ by iteration."""

    def open(self, keywords: dict[str, Value], at: ast.AST) -> Value:
        """Open a file, whose path comes first and the mode next."""
        if isinstance(at, ast.Call) and ("*" in keywords or "opener" in keywords):
            return self.proof.unknown(
                "writes-files",
                "open",
                "nobody knows how the file is opened",
                "write out path and mode, and nothing else",
                at,
            )
        mode = _mode(at, 1)
        if mode is None:
            return self.proof.unknown(
                "writes-files",
                "open",
                "nobody knows how the file is opened",
                "write the mode as a constant",
                at,
            )
        if set(mode) & set("a+"):
            raise self.refuse(
                "writes-files",
                "open",
                f"a file is opened with {mode!r}",
                "collect the results, and write them after the loop",
                at,
            )
        if set(mode) & set("wx"):
            self.write_file(at, 0)
        return Value(OWN, "file")

    def open_path(self, node: ast.Call) -> Value:
        """`open` as the method of a path."""
        mode = _mode(node, 0)
        if mode is not None and not set(mode) & set("a+") and set(mode) & set("wx"):
            assert isinstance(node.func, ast.Attribute)
            self.write_path(node.func.value, node)
        elif mode is None or set(mode) & set("a+"):
            raise self.refuse(
                "writes-files",
                "open",
                "every iteration may write to the file",
                "give each iteration a file of its own",
                node,
            )
        return Value(OWN, "file")

    def write_file(self, at: ast.AST, place: int) -> Value:
        """A file is written, whose path has to differ by iteration."""
        path = at.args[place] if isinstance(at, ast.Call) and len(at.args) > place else None
        return self.write_path(path, at)

    def write_path(self, path: ast.expr | None, at: ast.AST) -> Value:
        if path is None or not self.differs(path):
            name = spelled(path) if path is not None else "a file"
            raise self.refuse(
                "writes-files",
                name,
                f"every iteration may write to {name}",
                "give each iteration a file of its own, or write after the loop",
                at,
            )
        self.facts.writes = True
        return NONE

    def differs(self, node: ast.expr) -> bool:
        """Whether an expression may give something else in each iteration; the run makes sure that it does."""
        return any(isinstance(inner, ast.Name) and inner.id in self.local for inner in ast.walk(node))


def _mode(at: ast.AST, place: int) -> str | None:
    """The mode that a file is opened with, if it is written out."""
    if not isinstance(at, ast.Call):
        return "r"
    mode = (
        at.args[place]
        if len(at.args) > place
        else next((one.value for one in at.keywords if one.arg == "mode"), None)
    )
    if mode is None:
        return "r"
    return mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else None
