"""What names stand for that aren't local."""

from __future__ import annotations

import ast
import builtins
import inspect
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

from clustrix_core.loops.facts import Refused
from clustrix_core.loops.places import Variable
from clustrix_core.loops.source import is_library
from clustrix_core.loops.values import NONE, OWN, UNKNOWN, Value, constant, live_value

if TYPE_CHECKING:
    from clustrix_core.loops.facts import Facts


class Scope:
    """The globals and cells of a function.

    Args:
        function: the function.
    """

    def __init__(self, function: FunctionType) -> None:
        self.globals = function.__globals__
        self.cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))

        self._class = _class_around(function)

    def mangled(self, name: str) -> str:
        """What an attribute is called: two underscores before it stand for the class around, too."""
        private = self._class and name.startswith("__") and not name.endswith("__")
        return f"_{self._class}{name}" if private else name

    def look_up(self, facts: Facts, node: ast.Name) -> Value:
        """What a name that isn't local stands for."""
        name = self.mangled(node.id)
        if name in self.cells:
            try:
                live = self.cells[name].cell_contents
            except ValueError:
                return Value()
            value = live_value(live, Value()).at((Variable(self.cells[name], name),))
            if value.live is not UNKNOWN:
                facts.cells.append((self.cells[name], name, live))
            return value
        if name in self.globals:
            live = self.globals[name]
            value = live_value(live, Value()).at((Variable(self.globals, name),))
            if value.live is not UNKNOWN:
                facts.guards.append((self.globals, name, live))
            return value
        if hasattr(builtins, name):
            if name in ("True", "False", "None"):
                return NONE
            live = getattr(builtins, name)
            facts.guards.append((self.globals, name, UNKNOWN))
            facts.guards.append((vars(builtins), name, live))
            return live_value(live, Value(OWN))
        return Value()  # a NameError, which is for the run to raise

    def of_module(self, facts: Facts, module: ModuleType, name: str) -> Value:
        """An attribute of a module."""
        live = (
            getattr(module, name, UNKNOWN) if is_library(module.__name__) else vars(module).get(name, UNKNOWN)
        )
        if not is_library(module.__name__):
            if live is UNKNOWN:
                what = f"{module.__name__} computes its {name}, or has none"
                raise Refused("dynamic-code", name, what, "call a function for it before the loop")
            facts.modules.setdefault(module.__name__, set()).add(name)
        if live is UNKNOWN:
            return Value()
        value = live_value(live, Value())
        if name in vars(module):
            value = value.at((Variable(vars(module), name),))
        if value.live is not UNKNOWN:
            if name in vars(module):
                facts.guards.append((vars(module), name, live))
        elif isinstance(live, (int, float, str, bytes, complex)) and is_library(module.__name__):
            return constant(live)
        return value

    def of_class(self, facts: Facts, cls: type, name: str) -> Value:
        """An attribute of a class."""
        found = inspect.getattr_static(cls, name, UNKNOWN)
        for owner in cls.__mro__:
            if name in vars(owner) and not is_library(owner.__module__):
                facts.guards.append((vars(owner), name, vars(owner)[name]))
                break
        if isinstance(found, classmethod) or (found is not UNKNOWN and type(found).__module__ == "builtins"):
            found = getattr(cls, name, UNKNOWN)
        return live_value(found, Value())


def _class_around(function: FunctionType) -> str:
    """The name of the class that a function's code stands in, as its private names have it."""
    owners = str(getattr(function.__code__, "co_qualname", function.__qualname__)).split(".")[:-1]
    while owners[-1:] == ["<locals>"]:
        owners = owners[:-2]
    return owners[-1].lstrip("_") if owners else ""
