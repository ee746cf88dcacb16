"""Functions with loops, as hypothesis writes them: most of them could be split, and many have something that forbids it."""

from __future__ import annotations

import copy
import linecache
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

HELPERS = """\
import numpy as np

G = []
K = 3
TABLE = [4, 0, -2, 7]

class Box:
    def __init__(self, v):
        self.v = v
    def add(self, n):
        self.v += n
        return self.v
    def peek(self, n):
        return self.v + n
    def __repr__(self):
        return f"Box({self.v})"

SHARED = Box(0)

def pure(n):
    return n * 3 % 7 - 2

def branching(n, m=2):
    if n > m:
        return n - m
    t = 0
    for j in range(3):
        if j == n:
            break
        t += j * m
    return t

def scaled(n):
    return n * K

def failing(n):
    if n % 5 == 4:
        raise ValueError("failing", n)
    return n + 1

def noisy(n):
    print("noisy", n)
    return n - 1

def recursive(n):
    return 1 if n < 1 else recursive(n // 2 - 1) + 1

def fresh_list(n):
    made = [n]
    made.append(n + 1)
    return made

def own_box(n):
    b = Box(n)
    return b.add(1) + b.v

def logging_global(n):
    G.append(n)
    return n

def reading_global(n):
    return n + len(G)

def remembering(n, seen=[]):
    seen.append(n)
    return len(seen)

def asked(model, n):
    return model.m1(n)

def growing(target, n):
    target.append(n)
    return len(target)

def same(thing):
    return thing

def feed(values):
    for v in values:
        yield v + 1

def noisy_feed(values):
    for v in values:
        print("feed", v)
        yield v

def limited(values):
    for n, v in enumerate(values):
        if n == 9:
            return
        yield v

def failing_feed(values):
    yield from values
    raise LookupError("feed")
"""

PURE = ("pure", "branching", "scaled", "recursive", "own_box", "failing", "abs", "noisy")
IMPURE = ("logging_global", "reading_global", "remembering", "SHARED.add", "SHARED.peek")
ACCUMULATORS = ("out", "other", "d", "s", "total", "text", "arr", "acc")
TEMPORARIES = ("a", "b", "c")


@dataclass(frozen=True)
class Program:
    function: str
    args: tuple[Any, ...]

    @property
    def source(self) -> str:
        return f"{HELPERS}\n{self.function}"

    def fresh_args(self) -> tuple[Any, ...]:
        xs, ys, acc, cfg = copy.deepcopy(self.args)
        if any(isinstance(view, np.ndarray) for view in cfg["list"]):
            cfg["list"] = [xs[:1], xs[-1:]]
        return xs, ys, acc, cfg

    @contextmanager
    def module(self) -> Iterator[types.ModuleType]:
        """The source as a module of its own, whose lines can be looked up as those of a file can."""
        filename = f"<generated {id(self)}>"
        module = types.ModuleType("generated")
        source = self.source
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        try:
            exec(compile(source, filename, "exec", dont_inherit=True), vars(module))
            yield module
        finally:
            linecache.cache.pop(filename, None)


class _Writer:
    def __init__(self, draw: st.DrawFn, style: str) -> None:
        self.draw = draw
        self.style = style
        self.lines: list[str] = []
        self.indent = 1
        # Ints that are there on every path; what a hazard may use without that is in TEMPORARIES.
        self.ints: set[str] = set()
        self.wild = 0
        self.aliased = False
        self.lists = False
        self.objects = style == "objects"
        # The elements are lists or rows of an array.
        self.rows = style in ("lists", "arrays")
        self.loops = 0
        self.functions = 0

    # --- Choices

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def chance(self, percent: int) -> bool:
        return bool(self.draw(st.integers(0, 99)) >= 100 - percent)

    def hazard(self) -> bool:
        return bool(self.wild) and self.chance(self.wild)

    def write(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.write(head)
        self.indent += 1
        before = set(self.ints)
        start = len(self.lines)
        yield
        if len(self.lines) == start:
            self.write("pass")
        self.indent -= 1
        self.after = self.ints
        self.ints = before

    # --- Expressions

    def number(self, depth: int = 2) -> str:
        if depth == 0 or self.chance(35):
            return self.atom()
        kind = self.draw(st.integers(0, 11))
        one = self.number(depth - 1)
        if self.objects and self.chance(40):
            return self.method(one)
        if kind <= 2:
            return f"({one} {self.pick('+', '-', '* 2 -', '* K +')} {self.number(depth - 1)})"
        if kind == 3:
            return f"({one} {self.pick('%', '//')} {self.pick('3', '4', self.atom())})"
        if kind <= 6:
            return f"{self.pick(*PURE)}({one})"
        if kind == 7:
            return f"({one} if {self.condition()} else {self.atom()})"
        if kind == 8:
            return f"{self.pick('max', 'min')}({one}, {self.atom()})"
        if kind == 9:
            return self.pick(f"TABLE[{one}]", f"TABLE[{one} % 4]", f"cfg['k'] + {one}", f"len(str({one}))")
        if kind == 10:
            return self.pick(
                f"sum([v + {one} for v in range(3)])",
                f"sum(v * {one} for v in TABLE)",
                f"len({{v % 2 for v in ys if v != {one}}})",
                f"(lambda v: v + {one})({self.atom()})",
            )
        return f"({one} * {self.pick('0.1', '1e16', '0.3')})" if self.style != "integers" else f"-{one}"

    def method(self, n: str) -> str:
        """A call of a method of an object that was there before."""
        owner = self.pick("model", "model", "models[0]", f"models[{self.atom()} % 2]", "m", "MODEL")
        if owner == "m" and "m.v" not in self.ints:
            owner = "model.other"
        name = f"m{self.draw(st.integers(0, 2))}"
        return self.pick(f"{owner}.{name}({n})", f"{owner}.{name}({n})", f"asked({owner}, {n})")

    def atom(self) -> str:
        if self.hazard():
            return self.hazardous_number()
        there = sorted(self.ints)
        return self.pick(*there, *there, "0", "1", "2", "5", "k", "K")

    def hazardous_number(self) -> str:
        return self.pick(
            "len(out)",
            "total",
            "len(alias)",
            "len(acc)",
            "len(G)",
            "out[-1]",
            "d.get(1, 0)",
            "len(cfg['list'])",
            "len(d)",
            "cfg['n']",
            "peek()",
            "next(it)",
            "id(out) % 2 * 0",
            "growing(out, 1)",
            "growing(cfg['list'], 1)",
            "arr[0]",
            "SHARED.v",
            *(f"{name}(1)" for name in IMPURE),
            *TEMPORARIES,
        )

    def condition(self) -> str:
        kind = self.draw(st.integers(0, 4))
        if kind == 0:
            return f"{self.atom()} > {self.atom()}"
        if kind == 1:
            return f"{self.atom()} % 2 == 0"
        if kind == 2:
            return f"{self.number(1)} < {self.atom()}"
        if kind == 3:
            return f"{self.atom()} in TABLE and not {self.atom()} == 1"
        if self.hazard():
            return self.pick(
                f"{self.atom()} in out", "alias", f"{self.atom()} in s", "out is alias", "x in d"
            )
        return f"{self.atom()} != {self.atom()} or {self.atom()} == 2"

    def value(self) -> str:
        """What may be kept: a number, or something that holds numbers."""
        n = self.number()
        kind = self.draw(st.integers(0, 9))
        if kind < 5:
            return n
        if self.objects and self.chance(50):
            return f"{self.pick('model', 'models[1]', 'MODEL')}.kept({n})"
        options = [
            f"({n}, {self.atom()})",
            f"[{n}]",
            f"str({n})",
            f"fresh_list({n})",
            f"[{n} for _ in range(2)]",
        ]
        if self.hazard():
            options = [
                "cfg['list']",
                "alias",
                "ys",
                "x",
                "SHARED",
                "Box(x)",
                "(x, cfg['list'])",
                "same(ys)",
            ]
        return self.pick(*options)

    # --- Statements of a loop's body

    def body(self, depth: int, inner: bool = False) -> None:
        for _ in range(self.draw(st.integers(1, 4 if depth > 1 else 2))):
            self.statement(depth, inner)

    def statement(self, depth: int, inner: bool) -> None:
        if self.hazard():
            self.hazardous_statement(inner)
            return
        if self.lists and self.chance(20):
            self.list_of_its_own()
            return
        kind = self.draw(st.integers(0, 15))
        if kind <= 3:
            self.effect()
        elif kind <= 6 or depth == 0:
            self.assign()
        elif kind <= 9:
            self.branch(depth, inner)
        elif kind == 10:
            self.inner_loop(depth)
        elif kind == 11:
            self.guarded(depth, inner)
        elif kind == 12:
            self.write(f"print({self.number()}{self.pick('', ', ' + self.value())})")
        elif kind == 13:
            self.private_list()
        elif kind == 14:
            self.local_function()
        else:
            with self.block(f"if {self.condition()}:"):
                self.leave(inner)

    def list_of_its_own(self) -> None:
        """Something is done to `mine`, which is the iteration's own list, unless a hazard made it another."""
        n = self.atom()
        if self.objects and self.chance(30):
            self.write(f"mine = {self.pick('model', 'models[0]', 'same(model)')}.kept({n})")
        elif self.wild and self.chance(20):
            other = self.pick("ys", "cfg['list']", "alias", "out", "same(ys)", "x")
            self.write(f"mine = {other}")
        else:
            self.write(
                self.pick(
                    f"mine.append({n})",
                    f"mine.append({n})",
                    f"mine += [{n}]",
                    "out.append(len(mine))",
                    "out.append(len(mine))",
                    f"mine = [{n}]",
                    "mine = list(ys)",
                    "out.append(mine)",
                    "mine = mine[:2]",
                )
            )

    def leave(self, inner: bool) -> None:
        options = [
            "continue",
            "continue",
            f"raise ValueError({self.atom()}, 'raised')",
            f"raise KeyError({self.atom()})",
        ]
        if inner:
            options += ["break", "break"]
        self.write(self.pick(*options))

    def assign(self) -> None:
        name = self.pick(*TEMPORARIES)
        if name in self.ints and self.chance(30):
            self.write(f"{name} {self.pick('+=', '-=', '*= K -')} {self.number(1)}")
        elif self.chance(10):
            self.write(f"if ({name} := {self.number(1)}) > 1: {self.one_effect()}")
        elif self.chance(10):
            other = self.pick(*TEMPORARIES)
            self.write(f"{name}, {other} = {self.number(1)}, {self.number(1)}")
            self.ints.add(other)
        else:
            self.write(f"{name} = {self.number()}")
        self.ints.add(name)

    def effect(self) -> None:
        self.write(self.one_effect())

    def one_effect(self) -> str:
        n = self.number(1)
        if "int(x[0])" in self.ints and self.chance(35):
            return self.element_kept(n)
        return self.pick(
            f"out.append({self.value()})",
            f"out.append({n})",
            f"total {self.pick('+=', '-=')} {n}",
            "total *= K",
            f"d[{n} % 4] = {self.value()}",
            f"other.extend([{n}, {self.atom()}])",
            f"other += [{n}]",
            f"s.add({n})",
            f"text += str({n})",
            f"acc.append({n})",
            f"arr[{self.pick('i % 4' if 'i' in self.ints else '1', f'int({n}) % 4')}] = {n}",
            f"d[{n}] = {n}",
            f"arr += {n}",
        )

    def element_kept(self, n: str) -> str:
        """The element itself, or something new made of it."""
        return self.pick(
            "out.append(x)",
            "out.append(list(x))",
            "out.append(x.copy())",
            "other.append(len(x))",
            "total += sum(x)",
            f"d[{n}] = x",
            "d[1] = sorted(x)",
            "out.append((x[0], x[-1]))",
            "out.append(x[:1])",
            "out.append([x, x])",
            "out.append(x * 2)",
            f"out.append(np.asarray(x) + {n})",
            "out.append(min(x) if len(x) else None)",
        )

    def branch(self, depth: int, inner: bool) -> None:
        with self.block(f"if {self.condition()}:"):
            self.body(depth - 1, inner)
        first = self.after
        if self.chance(25):
            with self.block(f"elif {self.condition()}:"):
                self.body(depth - 1, inner)
            first = first & self.after
        if self.chance(50):
            with self.block("else:"):
                self.body(depth - 1, inner)
            self.ints = first & self.after

    def inner_loop(self, depth: int) -> None:
        kind = self.draw(st.integers(0, 3))
        if kind == 0:
            self.loops += 1
            name = f"w{self.loops}"
            self.write(f"{name} = {self.pick('0', '1', f'{self.atom()} % 3')}")
            with self.block(f"while {name} < 3:"):
                self.write(f"{name} += 1")
                self.ints.add(name)
                self.body(depth - 1, True)
            return
        head = self.pick("range(3)", f"range({self.atom()} % 4)", "ys", "enumerate(ys)")
        if self.wild:
            head = head.replace("ys", "ys[:4]")
        target = "p, q" if head.startswith("enum") else "q"
        with self.block(f"for {target} in {head}:"):
            self.ints |= set(target.split(", "))
            self.body(depth - 1, True)
        if self.chance(15):
            with self.block("else:"):
                self.body(0, False)

    def guarded(self, depth: int, inner: bool) -> None:
        with self.block("try:"):
            self.body(depth - 1, inner)
        error = self.pick("ZeroDivisionError", "(ValueError, IndexError)", "Exception")
        with self.block(f"except {error} as e:"):
            self.write(
                self.pick(
                    "pass",
                    "print(repr(e))",
                    "out.append(type(e).__name__)",
                    "raise",
                    "raise KeyError(1) from e",
                )
            )
        if self.chance(25):
            with self.block("finally:"):
                self.body(0, False)

    def private_list(self) -> None:
        kept = ["model.kept(1)", "MODEL.kept(k)"] * self.objects
        self.write(
            f"row = {self.pick(*kept, '[]', f'[{self.atom()}]', f'list(ys)', f'fresh_list({self.atom()})', '[[1], 2]')}"
        )
        for _ in range(self.draw(st.integers(0, 2))):
            self.write(
                self.pick(
                    f"row.append({self.number(1)})",
                    f"row += [{self.atom()}]",
                    "row.sort(key=str)",
                    "row[0] = 1",
                )
            )
        self.write(
            self.pick(
                "out.append(row)",
                "d[1] = row",
                f"{self.pick(*TEMPORARIES[:1])} = len(row)",
                "other.extend(row)",
            )
        )
        if self.lines[-1].strip().startswith("a ="):
            self.ints.add("a")
        if self.chance(20):
            self.write("row.append('later')")

    def local_function(self) -> None:
        self.functions += 1
        name = f"g{self.functions}"
        if self.chance(50):
            self.write(f"{name} = lambda v: v + {self.number(1)}")
        else:
            self.write(f"def {name}(v, w={self.atom()}):")
            self.write(f"    return v * w - {self.number(1)}")
        temporary = self.pick(*TEMPORARIES)
        self.write(f"{temporary} = {name}({self.atom()})")
        self.ints.add(temporary)

    def hazard_to_element(self, n: str) -> str:
        """An element changed, by whatever name."""
        return self.pick(
            "x += [1]" if self.style == "lists" else "x += 1",
            f"x[0] = {n}",
            f"mine = x; mine[0] = {n}",
            f"xs[0][0] = {n}",
            f"mine = xs[0]; mine[-1] = {n}",
            f"mine = list(x); mine.append({n}); out.append(mine)",
            f"mine = x.copy(); mine[0] = {n}; out.append(mine)",
            f"mine = x[:]; mine[0] = {n}; out.append(mine)",
            f"mine = np.asarray(x); mine[0] = {n}; out.append(mine)",
            f"mine = [*xs]; mine[0][0] = {n}",
            "x.sort()",
            "out.append(x); x[0] = 9",
            "out.append(xs[0])",
            "out.append(x is xs[0])",
            f"mine = x if {n} else [1]; mine[0] = 3",
            "mine = max(xs, key=lambda v: v[0]); mine[0] = 0",
            "for mine in xs: mine[0] += 1",
            f"growing(x, {n})",
            f"mine = same(x); mine[0] = {n}",
            f"(lambda v: v.__setitem__(0, {n}))(x)",
        )

    def hazardous_statement(self, inner: bool) -> None:
        n = self.atom()
        if "int(x[0])" in self.ints and self.chance(60):
            self.write(self.hazard_to_element(n))
            return
        self.write(
            self.pick(
                f"if {self.condition()}: break",
                f"if {self.condition()}: return out, total",
                f"alias.append({n})",
                "alias = other",
                "out = []",
                "out, other = other, out",
                f"cfg['n'] = {n}",
                f"cfg['list'].append({n})",
                f"xs.append({n}) if len(xs) < 12 else None",
                f"ys.append({n}) if len(ys) < 12 else None",
                "xs[0] = 1",
                "del out[:1]",
                "out.sort(key=str)",
                f"bump({n})",
                f"SHARED.v = {n}",
                f"K2 = {n}",
                "out.append(out[:1])",
                f"total = total + {n}",
                f"total = max(total, {n})",
                f"d[1] = d.get(1, 0) + {n}",
                f"d.setdefault({n}, []).append({n})",
                "view[0] = 5",
                "arr[1] = arr[0] + 1",
                f"arr[:2] += {n}",
                "mine = cfg; mine['n'] = cfg['n'] + 1",
                f"mine = cfg['list']; mine.append({n})",
                f"mine = same(out); mine.append({n})",
                f"mine = out or [1]; mine.append({n})",
                f"mine = dict(cfg); mine['list'].append({n})",
                f"for mine in (out, other): mine.append({n})",
                f"x = {n}",
                "x.append(1) if isinstance(x, list) else None",
                f"if {self.condition()}: {self.pick(*TEMPORARIES)} = {n}",
                f"{self.pick(*TEMPORARIES)} += {n}",
                f"del {self.pick(*TEMPORARIES)}",
                "exec('out.append(1)')",
                "text = text + 'x' if len(text) < 50 else text",
                f"acc.insert(0, {n})",
                f"G.append({n})",
                "yield_ = [w for w in out]",
                "fs.append(lambda: x)",
                f"np.add(arr, {n}, out=arr)",
                "arr.fill(2)",
                "arr.sort()",
                "total += len(list(out))",
                "print(out)",
                "print(alias, file=None)",
                f"out.append(acc.append({n}))",
            )
        )

    # --- Loops

    def iterable(self) -> tuple[str, str]:
        if self.aliased and self.chance(80):
            # It may be what the loop appends to, and must end nevertheless.
            if self.style == "pairs":
                return "limited(xs)", "x, y"
            return self.pick(
                ("zip(xs, range(9))", "x, y"),
                ("enumerate(limited(xs))", "i, x"),
                ("limited(xs)", "x"),
                ("limited(ys)", "x"),
                ("limited(it)", "x"),
                ("(v for v in limited(xs))", "x"),
                ("range(len(xs))", "x"),
            )
        if self.rows:
            return self.pick(
                ("xs", "x"),
                ("xs", "x"),
                ("enumerate(xs)", "i, x"),
                ("zip(xs, ys[:])", "x, y"),
                ("xs[:4]", "x"),
                ("reversed(xs)", "x"),
                ("limited(xs)", "x"),
            )
        if self.style == "pairs":
            return self.pick("xs", "xs", "xs[:]", "zip(TABLE, ys)"), self.pick(
                "x, y", "x, y", "x, *rest", "y, x"
            )
        if self.objects and self.chance(25):
            return self.pick(
                ("models", "m"),
                ("models[:1]", "m"),
                ("enumerate(models)", "i, m"),
                ("zip(models, ys[:])", "m, y"),
                ("model.table[:3]", "x"),
            )
        base = self.pick("xs[:]", "list(xs)") if self.aliased else self.pick("xs", "xs", "xs[:4]", "list(xs)")
        kind = self.draw(st.integers(0, 9))
        if kind <= 3:
            return base, "x"
        if kind == 4:
            return f"enumerate({base})", "i, x"
        if kind == 5:
            return f"zip({base}, ys[:])", "x, y"
        if kind == 6:
            return self.pick(
                "range(6)", f"range({self.atom()} % 7)", "range(len(xs))", "reversed(xs)", "sorted(ys)"
            ), "x"
        if kind == 7:
            return self.pick(
                f"feed({base})",
                f"noisy_feed({base})",
                f"failing_feed({base})",
                f"(v + 1 for v in {base})",
                f"map(pure, {base})",
            ), "x"
        if kind == 8 and self.wild:
            return self.pick(
                "limited(it)",
                "limited(zip(it, it))",
                "limited(cfg['list'])",
                "limited(acc)",
                "limited(out)",
                "cfg['list'][:]",
                "{3: 1, 4: 2, 0: 5}",
                "dict(enumerate(ys))",
            ), "x"
        return self.pick("TABLE", "[4, 1, 0, 2]", "(1, 2, 3)"), "x"

    def bind(self, target: str, iterable: str) -> None:
        if "zip(it, it)" not in iterable:
            self.ints |= {name for name in target.split(", ") if name[0] not in "*m"}
        if "m" in target.split(", "):
            self.ints.add("m.v")
        if self.rows and "xs" in iterable:
            self.ints.discard("x")
            self.ints.add("int(x[0])")

    def loop(self) -> None:
        iterable, target = self.iterable()
        with self.block(f"for {target} in {iterable}:"):
            self.bind(target, iterable)
            self.lists = self.chance(40)
            if self.lists:
                self.write("mine = []")
            self.body(2)
            self.lists = False
        if self.wild and self.chance(5):
            with self.block("else:"):
                self.effect()

    def comprehension(self) -> None:
        iterable, target = self.iterable()
        before = set(self.ints)
        self.bind(target, iterable)
        clause = f"for {target} in {iterable}"
        if self.chance(30):
            clause += f" if {self.condition()}"
        if self.chance(20):
            clause += " for q in range(3)"
            self.ints.add("q")
        if self.chance(15):
            clause += f" if {self.condition()}"
        kind = self.draw(st.integers(0, 6))
        element = self.number()
        if self.hazard():
            element = self.pick(
                f"(a := {element})", f"out.append({element})", "[x, alias]", f"(total := total + {element})"
            )
        code = {
            0: f"[{element} {clause}]",
            1: f"[{self.value()} {clause}]",
            2: f"{{{self.number(1)}: {self.value()} {clause}}}",
            3: f"{{{element} {clause}}}",
            4: f"sum({element} {clause})",
            5: f"sum([{element} {clause}])",
            6: self.pick(
                f"any({element} {clause})",
                f"list({element} {clause})",
                f"max(({element} {clause}), default=0)",
            ),
        }[kind]
        self.ints = before
        self.write(f"z = {code}")
        self.write("other.append(z)")

    def write_function(self) -> None:
        self.wild = self.pick(0, 0, 0, 0, 3, 5, 12)
        self.aliased = bool(self.wild) and self.chance(30)
        self.ints = set()
        self.write(f"k = {self.pick('1', '2', 'K')}")
        self.write("out, other, d, s, text, fs = [], [], {}, set(), '', []")
        self.write(f"total = {self.pick('0', '0.0', '1', '0.1')}")
        self.write("arr = np.zeros(4)")
        self.write(f"z = {self.pick('None', '0')}")
        initial = self.chance(60)
        if initial:
            self.write("a = b = c = x = y = i = 0")
        if self.wild:
            self.write(f"alias = {self.pick('out', 'other', 'acc', 'd', 'cfg')}")
            self.write("view = arr[1:]")
            self.write("it = iter(xs)")
            self.write("peek = lambda: len(out)")
            self.write("def bump(n):")
            self.write("    nonlocal total")
            self.write("    total += n")
        if self.chance(10):
            self.write(f"K2 = {self.number(1)}")
        self.ints = set()
        for _ in range(self.pick(1, 1, 2)):
            if self.chance(30):
                self.guarded_loop()
            elif self.chance(30):
                self.comprehension()
            else:
                self.loop()
        named = ["out", "other", "d", "s", "total", "text", "arr", "z"]
        if initial or self.chance(15):
            named += [*TEMPORARIES, "x", "y"]
        if self.wild and self.chance(50):
            named += ["alias", "[f() for f in fs]"]
        self.write(f"return {', '.join(named)}")

    def guarded_loop(self) -> None:
        with self.block("try:"):
            self.loop() if self.chance(70) else self.comprehension()
        with self.block(
            f"except {self.pick('Exception', 'ZeroDivisionError', '(ValueError, LookupError)')} as e:"
        ):
            self.write(
                self.pick(
                    "other.append(repr(e))", "print('caught', repr(e))", "other.append((x, str(e)))", "raise"
                )
            )
        if self.chance(20):
            with self.block("finally:"):
                self.write("print(len(out), total)")

    # --- Classes

    def write_classes(self) -> None:
        """Two classes, of which one is derived from the other, and objects of theirs."""
        hazards = self.pick(0, 0, 0, 10, 30)
        self.indent = 0
        for name, base in (("Model", ""), ("Derived", "(Model)")):
            with self.block(f"class {name}{base}:"):
                if not base:
                    self.write("all = []")
                    with self.block("def __init__(self, v, table, other):"):
                        self.write("self.v, self.table, self.other, self.n = v, table, other, 0")
                for number in range(3):
                    if not base or self.chance(40):
                        self.write_method(f"m{number}", number, bool(base), hazards)
                if not base or self.chance(30):
                    self.write_method("kept", 3, bool(base), hazards)
        self.write(f"MODEL = {self.pick('Model', 'Model', 'Derived')}(1, TABLE, None)")
        with self.block("def objects(xs, ys, acc, cfg):"):
            for name in ("model", "one", "two"):
                table = self.pick(
                    "[1, 2]", "[0]", "TABLE", *(("acc", "ys", "xs", "G", "Model.all") * self.aliased)
                )
                other = self.pick("None", "MODEL", "Model(2, [3], None)", "Derived(1, TABLE, MODEL)")
                self.write(
                    f"{name} = {self.pick('Model', 'Model', 'Derived')}({self.pick(*'0123')}, {table}, {other})"
                )
            if self.chance(10):
                self.write(f"{self.pick('one', 'model')}.m1 = lambda n: acc.append(n) or len(acc)")
            if self.aliased and self.chance(30):
                self.write("model.other = model")
            self.write("return model, [one, two]")
        self.indent = 1

    def write_method(self, name: str, number: int, derived: bool, hazards: int) -> None:
        with self.block(f"def {name}(self, n):"):
            for _ in range(self.draw(st.integers(0, 2))):
                self.write(
                    self.pick(
                        "n = n * self.v - 1",
                        "if n > self.v: return n - len(self.table)",
                        "if n == 4: raise ValueError('method', n)",
                        "for w in self.table: n += w",
                        "made = [n]; made.append(self.v); n = sum(made)",
                        "n = sum([w * n for w in self.table])",
                        "n = n if self.other is None else n + self.other.v",
                        "print(self.v, n)",
                        "n += self.n",
                        f"n = self.m{number - 1}(n)" if number else "n = pure(n)",
                        f"n = self.other.m{number - 1}(n)" if number else "n = scaled(n)",
                        f"n = super().{name}(n)" if derived and name != "kept" else "n = branching(n)",
                    )
                )
            if self.chance(hazards):
                self.write(
                    self.pick(
                        "self.n += 1",
                        "self.v = n",
                        "self.table.append(n) if len(self.table) < 20 else None",
                        "table = self.table; table[0] = n",
                        "self.other = self",
                        "self.all.append(n); n = len(self.all)",
                        "type(self).all = [n]",
                        "G.append(n)",
                        "n = len(G)",
                        "setattr(self, 'n', n)",
                        "self.other.n += 1",
                        "for one in [self, self.other]: one.n = n",
                        "n = logging_global(n)",
                        "n = remembering(n)",
                        "growing(self.table, n) if len(self.table) < 20 else None",
                        "n = len(Model.all)",
                        "self.__dict__['n'] = n",
                    )
                )
            if name == "kept":
                self.write(
                    self.pick(
                        "return [n, self.v]",
                        "return [n, self.v]",
                        "return (n, self.v)",
                        "return self.table",
                        "return [n, self.table]",
                        "return fresh_list(n)",
                        "return Model(n, [n], None).m0(n)",
                        "return self.table[:2]",
                        "return {'n': n}",
                        "return str(n)",
                    )
                )
            else:
                self.write(
                    self.pick("return n", "return n * self.v", "return n + len(self.table)", "return n % 5")
                )


STYLES = ("integers", "floats", "pairs", "lists", "arrays", "objects")


@st.composite
def programs(draw: st.DrawFn, style: str) -> Program:
    writer = _Writer(draw, style)
    writer.write_function()
    code = [f"def f(xs, ys, acc, cfg{', model, models' * writer.objects}):", *writer.lines, ""]
    if writer.objects:
        writer.lines = []
        writer.write_classes()
        code = [*writer.lines, *code]
    return Program("\n".join(code), draw(arguments(style, writer.aliased)))


@st.composite
def arguments(draw: st.DrawFn, style: str, aliased: bool) -> tuple[Any, ...]:
    few = st.integers(-1, 6)
    length = draw(st.sampled_from([3, 4, 5, 6, 7, 2, 1, 0]))
    size = {"min_size": length, "max_size": length}
    ys = draw(st.lists(few, min_size=1, max_size=4))
    if style == "pairs":
        xs: Any = draw(st.lists(st.tuples(few, few), **size))
    elif style == "floats":
        xs = draw(st.lists(few | st.sampled_from([0.1, 1e16, -1e16, 0.3]), **size))
    elif style == "lists":
        xs = draw(st.lists(st.lists(few, min_size=1, max_size=3), **size))
        if length > 1 and draw(st.booleans()):
            xs[-1] = xs[0]
    elif style == "arrays":
        xs = np.arange(2.0 * length).reshape(length, 2)
    else:
        xs = draw(st.lists(few, **size))
    acc: list[Any] = []
    cfg: dict[str, Any] = {"k": draw(few), "n": 1, "list": [1, 2]}
    if aliased:
        alias = draw(st.integers(1, 5))
        if style == "arrays":
            cfg["list"] = [xs[:1], xs[-1:]]
        elif alias == 1:
            acc = xs
        elif alias == 2:
            cfg["list"] = acc
        elif alias == 3:
            ys = acc
        elif alias == 4:
            cfg["list"] = xs
        elif alias == 5 and style == "integers":
            xs = [*xs, acc]
    return xs, ys, acc, cfg
