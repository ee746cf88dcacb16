"""Walking through calls of functions and classes."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Sequence
from functools import cache
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from clustrix_core.loops import calls
from clustrix_core.loops.declared import MARK
from clustrix_core.loops.expressions import Expressions, class_member
from clustrix_core.loops.opening import Files
from clustrix_core.loops.source import is_library, module_of
from clustrix_core.loops.syntax import is_generator, local_names, spelled
from clustrix_core.loops.values import (
    NONE,
    OUTER,
    OWN,
    SHARED,
    UNCLEAR,
    UNKNOWN,
    Value,
    is_logger,
    joined,
    least,
    live_value,
)

SEED_EACH = "make a generator in each iteration, with a seed that differs: default_rng(seed + i)"
_REMEDIES = {
    "random-state": SEED_EACH,
    "clock": "take the time outside the loop",
    "dynamic-code": "write it plainly",
    "identity": "compare by ==",
    "mutates-shared": "assign it plainly",
}
_AT_ONCE: tuple[Any, ...] = (sum, list, tuple, set, frozenset, sorted, max, min, dict, any, all)
"""These go through what they are given before they return."""
_COMPUTED = {
    "abs": "__abs__",
    "round": "__round__",
    "floor": "__floor__",
    "ceil": "__ceil__",
    "trunc": "__trunc__",
}
_PERHAPS_GIVEN = frozenset({
    "einsum", "bool", "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128", "intp", "longdouble",
})  # fmt: skip
"""What these of NumPy give may be an array that they are given, or a view of it."""
_FILLED = frozenset({"distances", "indices"})
"""What `scipy.ndimage` calls the arrays that it fills, besides `output`."""
LOGGING = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})


class Calls(Files, Expressions):
    """What calls give, and what they do."""

    def of_Call(self, node: ast.Call) -> Value:
        function = node.func
        if isinstance(function, ast.Attribute) and not self.names_module(function.value):
            return self.call_method(node, function)
        callee = self.expr(function)
        args, keywords = self.arguments(node, any(callee.live is one for one in _AT_ONCE))
        if callee.node is not None:
            return self.call_node(callee, args, keywords, node)
        if callee.kind == "instance":
            return self.call_instance(callee, args, keywords, node)
        if callee.live is not UNKNOWN:
            return self.call_live(callee.live, args, keywords, node)
        return self.unknown_call(node.func, node)

    def call_method(self, node: ast.Call, function: ast.Attribute) -> Value:
        raise NotImplementedError

    def names_module(self, node: ast.expr) -> bool:
        """Whether an expression stands for a module or a class, as such."""
        if isinstance(node, ast.Name):
            if node.id in self.local:
                return self.env.get(node.id, Value()).kind in ("module", "class")
            return self.name(node).kind in ("module", "class")
        if isinstance(node, ast.Attribute) and self.names_module(node.value):
            return self.expr(node).kind in ("module", "class")
        return False

    def arguments(self, node: ast.Call, at_once: bool = False) -> tuple[list[Value], dict[str, Value]]:
        before = self.proof.demotions
        args: list[Value] = []
        keywords: dict[str, Value] = {}
        for arg in node.args:
            if isinstance(arg, ast.Starred):
                keywords["*"] = self.expr(arg)
            else:
                args.append(self.at_once(arg) if at_once else self.expr(arg))
        for keyword in node.keywords:
            value = self.expr(keyword.value)
            if keyword.arg is None:
                self.facts.by_name("keys", SHARED)
                keywords["*"] = (
                    joined(value, keywords["*"]) if "*" in keywords else Value(value.own and OUTER)
                )
            else:
                keywords[keyword.arg] = value
        if before != self.proof.demotions:
            args = [value.opened() for value in args]
            keywords = {name: value.opened() for name, value in keywords.items()}
        return args, keywords

    # functions of the user's

    def call_node(
        self, callee: Value, args: list[Value], keywords: dict[str, Value], at: ast.AST, lazily: bool = False
    ) -> Value:
        """Call a function that was made here."""
        node, walk = callee.node
        code = [node.body] if isinstance(node, ast.Lambda) else node.body
        inner = walk.inside(local_names(node), code, lazily or is_generator(node))
        return self.proof.walk(inner, node, args, keywords, self, at, getattr(node, "name", "a lambda"))

    def call_instance(
        self, callee: Value, args: list[Value], keywords: dict[str, Value], at: ast.AST
    ) -> Value:
        """Call an object of a class of the user's."""
        self.proof.check_class(callee.live, self, at)
        method = class_member(callee.live, "__call__")
        if isinstance(method, FunctionType):
            return self.proof.call(method, [callee, *args], keywords, self, at)
        return self.unknown_call(ast.Name(callee.live.__qualname__), at)

    def call_live(self, live: Any, args: list[Value], keywords: dict[str, Value], at: ast.AST) -> Value:
        """Call a function or class that is known as it is."""
        live = getattr(live, "local", live) if module_of(type(live)).startswith("clustrix_core.") else live
        if getattr(live, MARK, False):
            self.facts.assume(f"{getattr(live, '__qualname__', live)} is independent (declared)")
            return Value()
        module = getattr(live, "__module__", None) or type(live).__module__
        name = getattr(live, "__qualname__", getattr(live, "__name__", type(live).__qualname__))
        if live is open or (module, name) in calls.OPENING:
            return self.open(keywords, at)
        found = calls.known_function(live)
        if found is not None:
            return self.call_known(live, *found, args, keywords, at)
        if f"{module}.{name}" in calls.WRITERS:
            return self.write_file(at, 0)
        reason = calls.in_the_way(module, name)
        if reason is None and is_ufunc(live):
            return self.call_known(live, "numpy", name, calls.Known("array"), args, keywords, at)
        if isinstance(live, MethodType):
            if isinstance(live.__func__, FunctionType) and not is_library(live.__func__.__module__ or ""):
                return self.proof.call(live.__func__, [_bound_to(live.__self__), *args], keywords, self, at)
            if is_logger(live.__self__) and name.rpartition(".")[2] in LOGGING:
                return self.output()
        if isinstance(live, FunctionType) and module == "logging" and name in LOGGING:
            return self.output()
        if module in ("_warnings", "warnings") and name == "warn":
            return self.output()
        if isinstance(live, type) and not is_library(live.__module__):
            return self.proof.instance(live, args, keywords, self, at)
        if isinstance(live, type) and issubclass(live, BaseException):
            return Value(least([*args, *keywords.values()]))
        if reason is None and isinstance(live, FunctionType) and not is_library(live.__module__ or ""):
            return self.proof.call(live, args, keywords, self, at)
        if reason is not None:
            remedy = _REMEDIES.get(reason[0], "call it outside the loop")
            return self.proof.unknown(reason[0], name, f"{name} {reason[1]}", remedy, at)
        if not isinstance(live, (FunctionType, BuiltinFunctionType, type)) and not is_library(
            module_of(type(live))
        ):
            return self.call_instance(Value(SHARED, "instance", type(live)), args, keywords, at)
        built_in = isinstance(live, BuiltinFunctionType)
        return self.unknown_call(at.func if isinstance(at, ast.Call) else ast.Name(name), at, built_in)

    def output(self) -> Value:
        """Something is printed, logged or warned of."""
        self.facts.outputs += 1
        return NONE

    # functions of the table

    def call_known(
        self,
        live: Any,
        module: str,
        name: str,
        known: calls.Known,
        args: list[Value],
        keywords: dict[str, Value],
        at: ast.AST,
    ) -> Value:
        """Call what is in the table."""
        if name in calls.SEEDED:
            self._check_seed(name, args, keywords, at)
        if name == "print" and module == "builtins":
            self._check_print(keywords, at)
            return self.output()
        if name in calls.LOOKS:
            self.facts.looks = True
        parameters = _parameters(live)
        if "*" in keywords and _stars_tell(parameters):
            return self.unknown_call(ast.Name(f"{name} with a star"), at)
        shares = self._check_keywords(module, name, args, self.by_name(keywords, at, args, parameters), at)
        if known.changes:
            self._change_first(name, args, at)
        if name in _COMPUTED and self._is_computed(_COMPUTED[name], args):
            return Value(OUTER)
        self._note_ducks(module, name)
        own = self._call_functions(name, known.calls, args, keywords, at, module == "itertools")
        if module == "builtins" and name in ("defaultdict", "type") and len(args) > 1:
            raise self.refuse("dynamic-code", name, "a class is made", "move it to the top of the file", at)
        if name == "iter" and len(args) > 1:
            raise self.refuse(
                "unknown-call",
                name,
                "iter calls a function again and again",
                "use a while loop in a function",
                at,
            )
        if name == "getattr" and not _plain_attribute(at):
            raise self.refuse(
                "dynamic-code", name, "nobody knows which attribute it gets", "write the attribute out", at
            )
        if name == "getattr" and isinstance(at, ast.Call) and calls.is_changing(_constant(at.args[1])):
            return Value()
        if name in ("isinstance", "issubclass") and len(args) == 2:
            for value in (args[1], *map(self.expr, _parts(at, 1))):
                if value.kind == "class" and not is_library(value.live.__module__):
                    self.proof.check_class(value.live, self, at)
        if name == "nullcontext" and args:
            return args[0]
        if name == "type" and module == "builtins":
            return Value()
        if known.result == "random":
            return Value(OWN if all(value.kind in calls.IMMUTABLE for value in args) else OUTER, "random")
        if module == "numpy" and known.result in ("array", "filled"):
            return self._array(name, known, args, keywords, at, shares, own)
        if name in ("Series", "DataFrame", "Index", "Categorical") and module == "pandas":
            shares = shares or self._may_share(args, keywords, at)
        result = self.result_of(known, args, keywords, own)
        shares = shares or (name == "sum" and module == "builtins" and len(args) + len(keywords) > 1)
        return Value(SHARED) if shares and least([*args, *keywords.values()]) != OWN else result

    def _is_computed(self, method: str, args: list[Value]) -> bool:
        """Whether a class of the user's computes what a function gives."""
        if any(value.kind in UNCLEAR for value in args):
            self.facts.by_name(method, OWN)
        return any(value.kind == "instance" for value in args)

    def _note_ducks(self, module: str, name: str) -> None:
        """Libraries call methods of what they are given."""
        if name == "dict" or module in ("collections", "pandas"):
            self.facts.by_name("keys", SHARED)
        if module == "numpy":
            self.facts.by_name(name, OUTER if name in calls.METHODS else SHARED)
        if name.startswith("read_") or name in ("load", "loadtxt", "genfromtxt", "reader", "DictReader"):
            self.facts.by_name("read", SHARED)

    def _check_seed(self, name: str, args: list[Value], keywords: dict[str, Value], at: ast.AST) -> None:
        given = [*args, *keywords.values()]
        if not given or any(value.kind == "none" for value in given):
            raise self.refuse(
                "random-state",
                name,
                f"{name}() draws what nobody can draw again",
                "give it a seed that differs by iteration",
                at,
            )
        if any(value.kind == "random" and value.own == SHARED for value in given):
            raise self.refuse(
                "random-state",
                name,
                f"{name} draws from a generator that all iterations share",
                _REMEDIES["random-state"],
                at,
            )

    def _array(
        self,
        name: str,
        known: calls.Known,
        args: list[Value],
        keywords: dict[str, Value],
        at: ast.AST,
        shares: bool,
        own: int,
    ) -> Value:
        """A NumPy array, which may hold objects if it isn't made of numbers."""
        everything = [*args, *keywords.values()]
        shares = shares or (name in _PERHAPS_GIVEN and any(one.kind not in calls.IMMUTABLE for one in args))
        if shares and least(everything) != OWN:
            return Value(SHARED, "array")
        dtype = _dtype(name, at, args, keywords)
        if dtype == "number":
            return Value(OWN, "array")
        whole = least(everything) if own == OWN else OUTER
        if dtype == "objects":
            return Value(whole)
        if known.result == "array" or all(value.sealed for value in everything):
            return Value(OWN, "array")
        return Value(OWN) if whole == OWN else Value(OUTER, "array")

    def _may_share(self, args: list[Value], keywords: dict[str, Value], at: ast.AST) -> bool:
        """Whether a table may be made around an array without copying it."""
        data = args[0] if args else keywords.get("data", NONE)
        copied = _constant_keyword(at, "copy") is True
        return (
            data.own != OWN
            and not copied
            and data.kind not in ("list", "dict", "generator", "iterator", "range")
        )

    def result_of(
        self, known: calls.Known, args: list[Value], keywords: dict[str, Value], own: int = OWN
    ) -> Value:
        """What the word in the table means for these arguments.

        Args:
            known: the entry of the table.
            args: the arguments.
            keywords: those by name.
            own: how much of what functions among them return is the code's own.
        """
        everything = [*args, *keywords.values()]
        whole = least(everything) if own == OWN else OUTER
        match known.result:
            case (
                "number"
                | "text"
                | "bytes"
                | "none"
                | "array"
                | "file"
                | "path"
                | "context"
                | "random"
                | "range"
            ):
                return Value(OWN, known.result)
            case "own":
                return Value(OWN, "own") if own == OWN else Value()  # perhaps what a function returned
            case "filled":
                return Value(whole) if own == OWN else Value()
            case "part":
                kinds = {value.kind for value in everything}
                kind = kinds.pop() if len(kinds) == 1 else ""
                if whole == OWN:
                    return Value(OWN, kind if kind in calls.IMMUTABLE or kind == "array" else "")
                return Value(SHARED, "array" if kind == "array" else "")
            case "new":
                return Value(whole)
        return Value(whole, known.result)

    def by_name(
        self,
        keywords: dict[str, Value],
        at: ast.AST,
        args: Sequence[Value] = (),
        parameters: Sequence[str] = (),
    ) -> list[tuple[str, Value, ast.expr]]:
        """The arguments of which the names are known, and where they stand."""
        found = [(name, value, _keyword(at, name)) for name, value in keywords.items()]
        nodes = at.args if isinstance(at, ast.Call) else ()
        return found + list(zip(parameters, args, nodes, strict=False))

    def _check_keywords(
        self,
        module: str,
        name: str,
        args: list[Value],
        given: list[tuple[str, Value, ast.expr]],
        at: ast.AST,
    ) -> bool:
        """Refuse what changes arguments; say whether the result may share memory with them."""
        shares = False
        everything = [*args, *(value for _, value, _ in given)]
        for keyword, value, node in given:
            stated = _constant(node)
            if keyword in ("out", "output") or (keyword in _FILLED and module == "scipy.ndimage"):
                if not _may_be_filled(value):
                    raise self.refuse(
                        "mutates-shared",
                        keyword,
                        f"{name} writes its result into {keyword}=",
                        "let it return a new one",
                        at,
                    )
                self.note_change(value)
            elif keyword.startswith("overwrite"):
                if stated is not False and least(everything) != OWN:
                    raise self.refuse(
                        "mutates-shared", keyword, f"{name} changes its argument", f"leave out {keyword}=", at
                    )
            elif keyword in ("copy", "deep"):
                shares = shares or stated is not True
            elif (keyword == "bins" and value.kind not in calls.IMMUTABLE) or (
                keyword == "n" and name == "diff" and (stated is UNKNOWN or not stated)
            ):
                shares = True  # the result may be, or hold, what is given
            elif keyword == "mmap_mode" and value.kind != "none":
                raise self.refuse(
                    "writes-files", keyword, "the array is the file itself", "leave out mmap_mode=", at
                )
            elif keyword in ("permutations", "method", "n_resamples", "random_state", "rng", "seed"):
                if module == "scipy.stats" and value.kind not in ("text", "none") and value.own != OWN:
                    raise self.refuse(
                        "random-state",
                        keyword,
                        f"{name} may draw from a generator that all iterations share",
                        f"leave out {keyword}=",
                        at,
                    )
                if module == "scipy.stats" and keyword in ("permutations", "n_resamples", "method"):
                    if value.kind not in ("text", "none"):
                        raise self.refuse(
                            "random-state",
                            keyword,
                            f"{name} draws from the generator that all iterations share",
                            f"leave out {keyword}=",
                            at,
                        )
            elif keyword in calls.CALLED_KEYWORDS and not self.may_call(value):
                self.unknown_call(node, at)
        return shares

    def may_call(self, value: Value) -> bool:
        """Whether it is known what calling a value does, or that it isn't called."""
        if value.kind in ("function", "instance", "class") or value.live is not UNKNOWN:
            return True
        return value.own != SHARED or value.kind != ""

    def _change_first(self, name: str, args: list[Value], at: ast.AST) -> None:
        if not args or args[0].own == SHARED:
            target = at.args[0] if isinstance(at, ast.Call) and at.args else ast.Name(name)
            assert isinstance(target, ast.expr)
            raise self.changes(target, at)
        self.note_change(args[0])
        if any(value.own != OWN for value in args[1:]):
            self.demote()

    # functions that are called by those of the table

    def _call_functions(
        self,
        name: str,
        calls_them: bool,
        args: list[Value],
        keywords: dict[str, Value],
        at: ast.AST,
        lazily: bool,
    ) -> int:
        """Functions among the arguments are called with who knows what; how much of what they give is own."""
        own = OWN
        lazily = lazily or name in ("map", "filter", "partial", "defaultdict", "vectorize", "merge")
        for value in (*args, *keywords.values()):
            if value.kind in ("function", "instance") or isinstance(value.live, (FunctionType, MethodType)):
                if value.kind == "instance" and not calls_them:
                    continue
                own = min(own, self.call_anyhow(value, at, lazily).own)
            elif calls_them and value.live is not UNKNOWN and callable(value.live):
                own = min(own, self.call_anyhow(value, at, lazily).own)
        if calls_them and isinstance(at, ast.Call):
            for value, node in calls.callables(name, list(zip(args, at.args, strict=False))):
                if not self.may_call(value):
                    self.unknown_call(node, at)
        return own

    def call_anyhow(self, value: Value, at: ast.AST, lazily: bool = False) -> Value:
        if value.node is not None:
            node = value.node[0]
            count = len(node.args.posonlyargs) + len(node.args.args)
            return self.call_node(value, [Value()] * count, {}, at, lazily)
        live = value.live
        if value.kind == "instance":
            method = class_member(live, "__call__")
            if not isinstance(method, FunctionType):
                return Value()  # it can't be called
            return self.call_instance(value, [Value()] * method.__code__.co_argcount, {}, at)
        if isinstance(live, FunctionType):
            count = live.__code__.co_argcount
            if is_library(live.__module__ or ""):
                return self.call_live(live, [Value(OUTER)] * max(count, 1), {}, at)
            return self.proof.call(live, [Value()] * count, {}, self, at)
        if isinstance(live, type) and not is_library(live.__module__):
            return self.proof.instance(live, [Value()] * 4, {}, self, at)
        found = calls.known_function(live)
        if found is None and (not isinstance(live, type) or live.__module__ != "builtins"):
            return self.call_live(live, [Value()], {}, at)
        if found is not None and (found[2].changes or found[1] in calls.SEEDED):
            raise self.refuse(
                "mutates-shared", found[1], f"{found[1]} changes its argument", "write a loop", at
            )
        if found is not None and found[1] == "print":
            return self.output()
        return self.result_of(found[2], [Value()], {}) if found is not None else Value(OUTER)

    def is_stream(self, node: ast.expr) -> bool:
        """Whether an expression is one of the process's own, of which output is taken up."""
        return (
            isinstance(node, ast.Attribute)
            and node.attr in ("stdout", "stderr")
            and self.names_module(node.value)
            and self.expr(node.value).live is sys
        )

    def _check_print(self, keywords: dict[str, Value], at: ast.AST) -> None:
        value = keywords.get("file")
        if value is None:
            return
        node = _keyword(at, "file")
        if not (value.sealed or self.is_stream(node)):
            raise self.refuse(
                "writes-files",
                spelled(node),
                "print writes to a file that iterations share",
                "collect the lines, and write them after the loop",
                at,
            )


def _bound_to(owner: Any) -> Value:
    known = live_value(owner, Value())
    if known.live is UNKNOWN and not is_library(module_of(type(owner))):
        return Value(SHARED, "instance", type(owner))
    return known


def _may_be_filled(value: Value) -> bool:
    """Whether results may be written into something: an array of the code's own, or what is none."""
    return (
        value.own == OWN
        or value.kind in ("none", "text", "class")
        or (value.own, value.kind) == (OUTER, "array")
    )


def is_ufunc(live: Any) -> bool:
    return type(live).__name__ == "ufunc" and module_of(type(live)).startswith("numpy")


@cache
def _parameters(live: Any) -> tuple[str, ...]:
    """The names of a library's arguments by place, as far as they tell what becomes of them."""
    if is_ufunc(live):
        return ("",) * int(live.nin) + ("out",) * int(live.nout)
    if not (getattr(live, "__module__", None) or "").startswith(("numpy", "scipy", "pandas")):
        return ()
    place = calls.OUTPUT_PLACES.get(getattr(live, "__name__", ""))
    if place is not None:
        return ("",) * place + ("out",)
    try:
        found = inspect.signature(live).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(one.name for one in found if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD))


def _stars_tell(parameters: tuple[str, ...]) -> bool:
    """Whether a function may be told by one of its arguments to change others."""
    return any(name in ("out", "output") or name.startswith("overwrite") for name in parameters)


def _keyword(at: ast.AST, name: str) -> ast.expr:
    if isinstance(at, ast.Call):
        for keyword in at.keywords:
            if keyword.arg == name:
                return keyword.value
    return ast.Name(name)


def _argument(at: ast.AST, place: int) -> ast.expr:
    if isinstance(at, ast.Call) and len(at.args) > place:
        return at.args[place]
    return ast.Name("out")


def _parts(at: ast.AST, place: int) -> list[ast.expr]:
    """What a tuple among the arguments is made of."""
    node = _argument(at, place)
    return node.elts if isinstance(node, ast.Tuple) else []


def _constant_keyword(at: ast.AST, name: str) -> Any:
    return _constant(_keyword(at, name))


def _constant(node: ast.expr) -> Any:
    return node.value if isinstance(node, ast.Constant) else UNKNOWN


def _plain_attribute(at: ast.AST) -> bool:
    """Whether `getattr` gets an attribute that is written out, and isn't Python's own."""
    if not isinstance(at, ast.Call) or len(at.args) < 2:
        return False
    name = at.args[1]
    return isinstance(name, ast.Constant) and isinstance(name.value, str) and not name.value.startswith("__")


_NUMERIC = (
    "float",
    "int",
    "uint",
    "complex",
    "bool",
    "datetime64",
    "timedelta64",
    "intp",
    "longdouble",
    "float_",
)


def _dtype(name: str, at: ast.AST, args: list[Value], keywords: dict[str, Value]) -> str:
    """What an array is said to hold: "number", "objects" perhaps; or nothing is said."""
    if any(value.live is object for value in args):
        return "objects"
    if "dtype" not in keywords and "astype" not in keywords:
        places = at.args[1:] if isinstance(at, ast.Call) else []
        texts = [one.value for one in places if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        place = {"zeros": 1, "ones": 1, "empty": 1, "array": 1, "full": 2}.get(name, len(args))
        unclear = len(args) > place and args[place].kind == "" and args[place].live is UNKNOWN
        return "objects" if unclear or any(text in ("O", "object") for text in texts) else ""
    value = keywords.get("dtype", NONE)
    kind = getattr(value.live, "__name__", "")
    stated = _constant_keyword(at, "dtype")
    if isinstance(stated, str):
        return "number" if stated.lstrip("<>=|")[:1] in tuple("fiubcmMSU") else "objects"
    return "number" if kind.startswith(_NUMERIC) else "objects"
