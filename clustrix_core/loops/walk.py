"""A walk through the code of one function, or of one iteration."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from types import FunctionType
from typing import TYPE_CHECKING

from clustrix_core.loops.scope import Scope
from clustrix_core.loops.source import Definition
from clustrix_core.loops.statements import Statements
from clustrix_core.loops.syntax import local_names
from clustrix_core.loops.values import NONE, Value, joined

if TYPE_CHECKING:
    from clustrix_core.loops.proof import Proof


class Walk(Statements):
    """A walk follows code in its order, and refuses what can't be told to be harmless."""

    @classmethod
    def of_function(
        cls, proof: Proof, function: FunctionType, node: Definition | ast.Lambda, lazily: bool
    ) -> Walk:
        code = [node.body] if isinstance(node, ast.Lambda) else node.body
        return cls(proof, Scope(function), local_names(node), code, None, lazily)

    def inside(self, local: set[str], code: Sequence[ast.AST], lazily: bool) -> Walk:
        return Walk(self.proof, self.scope, local, code, self, lazily)

    def run(self, node: Definition | ast.Lambda) -> Value:
        """Walk a whole function; what it returns."""
        positional = [*node.args.posonlyargs, *node.args.args]
        self.first = positional[0].arg if positional else ""
        if isinstance(node, ast.Lambda):
            return self.expr(node.body)
        self.block(node.body)
        if self.alive and self.result is not None:
            return joined(self.result, NONE)
        return self.result or NONE
