"""Loops that look independent and aren't, or aren't and are: each with what is true of it, and arguments to run it with.

A theme says why a loop can't be split; several, that any of them is a true answer. `EITHER` stands where an analysis may
know enough or not: whatever it says, the results are the serial loop's.
"""

import asyncio
import builtins
import collections
import contextlib
import contextvars
import copy
import copyreg
import csv
import datetime
import decimal
import difflib
import enum
import functools
import gc
import importlib
import inspect
import io
import itertools
import json
import logging
import math
import operator
import os
import pathlib
import queue
import random
import re
import string
import subprocess
import sys
import tempfile
import threading
import time
import types
import uuid
import warnings
import weakref
from collections import Counter, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pandas as pd
import scipy.linalg
import scipy.ndimage
import scipy.optimize
import scipy.signal
import scipy.sparse
from loops_cases import EITHER, INSIDE, SPLIT, Case, registry

CASES: dict[str, Case] = {}
nasty = registry(CASES)
log = logging.getLogger("loops_nasty")


def numbers(*values):
    return lambda here: (list(values),)


def given(make):
    """Arguments that need no folder."""
    return lambda here: make()


# --- What the loops call ----------------------------------------------------------------------------------------------

CALLS = []
MEMO = {}
COUNT = 0
SCALE = 2
MISSING = object()
SHARED = {"rows": [[1], [2], [3]], "seen": []}
REGISTRY = {}


def double(x):
    return x * 2


def double_traced(x):
    CALLS.append(x)
    return x * 2


def scaled(x):
    return x * SCALE


def counted(x):
    global COUNT
    COUNT += 1
    return x + COUNT


def noisy(x):
    print("noisy", x)
    return x + 1


def divide(x):
    return 6 // x


def remember(x, seen=[]):
    seen.append(x)
    return len(seen)


def memoised(x):
    if x not in MEMO:
        MEMO[x] = len(MEMO)
    return MEMO[x]


@functools.lru_cache(maxsize=None)
def cached(x):
    return x * x


@functools.lru_cache(maxsize=None)
def cached_noisy(x):
    print("computing", x)
    return x * x


def counting(function):
    @functools.wraps(function)
    def wrapper(*args):
        CALLS.append(function.__name__)
        return function(*args) + len(CALLS)

    return wrapper


@counting
def decorated(x):
    return x * 2


def plain_decorator(function):
    def wrapper(*args):
        return function(*args) + 1

    return wrapper


@plain_decorator
def decorated_plainly(x):
    return x * 2


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def is_even(n):
    return n == 0 or is_odd(n - 1)


def is_odd(n):
    return n != 0 and is_even(n - 1)


def same(x):
    return x


def append_to(target, x):
    target.append(x)


def first_of(rows):
    return rows[0]


def produce(xs):
    for x in xs:
        print("produce", x)
        yield x


def produce_then_fail(xs):
    yield from xs
    raise LookupError("no more")


class Stepper:
    total = 0

    def __init__(self):
        self.n = 0

    def step(self, x):
        self.n += x
        return self.n

    def look(self, x):
        return self.n + x

    @property
    def ticking(self):
        self.n += 1
        return self.n

    def __call__(self, x):
        return self.step(x)

    @classmethod
    def add(cls, x):
        cls.total += x
        return cls.total

    @staticmethod
    def plain(x):
        return x + 1


class Tattling:
    """Every use of it shows."""

    def __init__(self, value):
        self.value = value
        self.uses = 0

    def _use(self):
        self.uses += 1
        return self.uses

    def __iadd__(self, other):
        self.value += other + self._use()
        return self

    def __add__(self, other):
        return self._use() + other

    __radd__ = __add__

    def __getitem__(self, key):
        return self._use() * key

    def __len__(self):
        return self._use()

    def __bool__(self):
        return self._use() % 2 == 0

    def __contains__(self, item):
        return self._use() > 2

    def __lt__(self, other):
        return self._use() % 2 == 0

    def __format__(self, spec):
        return str(self._use())

    def __enter__(self):
        return self._use()

    def __exit__(self, *error):
        self._use()


class Trailing:
    """Keeps what is set on it, in order."""

    def __setattr__(self, name, value):
        self.__dict__.setdefault("trail", []).append((name, value))


class Magic:
    def __getattr__(self, name):
        CALLS.append(name)
        return len(CALLS)


class Unique(list):
    def append(self, x):
        if x not in self:
            super().append(x)


class Talking(list):
    def append(self, x):
        print("append", x, len(self))
        super().append(x)


class Renewing:
    """Adding in place gives another object."""

    def __init__(self, values=()):
        self.values = list(values)

    def __iadd__(self, x):
        return Renewing([*self.values, x, len(self.values)])


class OddError(Exception):
    """Can't be made again from its args."""

    def __init__(self, code, *, where):
        super().__init__(f"{code} at {where}")
        self.code = code
        self.where = where


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


Point = namedtuple("Point", "x y")


@dataclass
class Record:
    name: str
    values: list = field(default_factory=list)


# --- Accumulators that are only written -------------------------------------------------------------------------------


@nasty(SPLIT)
def append_in_branches(xs):
    results = []
    for x in xs:
        y = double(x)
        if y > 3:
            results.append(y)
        elif y == 2:
            results.append("two")
            continue
        results.append(-y)
    return results


@nasty(SPLIT, args=numbers(1e16, 1.0, -1e16, 1e-9, 0.1, 0.2, 0.3))
def float_sum(xs):
    total = 0.0
    for x in xs:
        total += x / 3
    return total


@nasty(SPLIT)
def parameter_extended(xs, acc=None):
    acc = [0]
    same_list = acc
    for x in xs:
        acc += [x, x]
    return acc, same_list


@nasty(SPLIT, args=given(lambda: ([1, 2], [5])))
def callers_list_grows(xs, acc):
    for x in xs:
        acc += [x]


@nasty(SPLIT, args=given(lambda: ([0, 1, 4, 2, 3],)))
def keys_collide(xs):
    d = {}
    for x in xs:
        d[x % 2] = x
    return d


@nasty(SPLIT)
def many_operators(xs):
    product, bits, text, pair, left = 1, 0, "", (), 100
    for x in xs:
        product *= x
        bits |= x
        text += str(x)
        pair += (x,)
        left -= x
    return product, bits, text, pair, left


@nasty(SPLIT)
def set_grows(xs):
    s = {9}
    for x in xs:
        s.add(x % 2)
    return s


@nasty(SPLIT)
def extend_with_pairs(xs):
    out = []
    for i, x in enumerate(xs, start=1):
        out.extend((i, x))
    return out


@nasty(SPLIT)
def row_mutated_after_append(xs):
    out = []
    for x in xs:
        row = []
        out.append(row)
        row.append(x)
        row.append(x + 1)
    return out


@nasty(SPLIT)
def one_row_in_two_lists(xs):
    a, b = [], []
    for x in xs:
        row = [x]
        a.append(row)
        b.append(row)
    a[0].append("seen from b")
    return a, b


@nasty(SPLIT, INSIDE)
def nested_outermost(xs):
    out = []
    for x in xs:
        for y in range(x):
            if y == 2:
                break
            out.append((x, y))
    return out


@nasty(EITHER)
def bounded_deque(xs):
    d = deque(maxlen=2)
    for x in xs:
        d.append(x)
    return d


@nasty(EITHER)
def defaultdict_append(xs):
    groups = defaultdict(list)
    for x in xs:
        groups[x % 2].append(x)
    return groups


@nasty(EITHER)
def defaultdict_read_makes_keys(xs):
    groups = defaultdict(list)
    groups["z"] = [1]
    out = []
    for x in xs:
        out.append(len(groups[x]))
    return out, groups


@nasty(EITHER)
def setdefault_append(xs):
    groups = {}
    for x in xs:
        groups.setdefault(x % 2, []).append(x)
    return groups


@nasty(EITHER)
def counter_item(xs):
    counts = Counter()
    for x in xs:
        counts[x % 2] += 1
    return counts


@nasty(EITHER)
def counter_update(xs):
    counts = Counter()
    for x in xs:
        counts.update(str(x * 37))
    return counts


@nasty(EITHER)
def dict_update(xs):
    d = {}
    for x in xs:
        d.update({x % 2: x})
    return d


@nasty("carried")
def counts_by_get(xs):
    d = {}
    for x in xs:
        d[x % 2] = d.get(x % 2, 0) + 1
    return d


@nasty("carried")
def running_total(xs):
    total, out = 0, []
    for x in xs:
        total += x
        out.append(total)
    return out


@nasty(EITHER)
def rebound_with_plus(xs):
    acc = [0]
    before = acc
    for x in xs:
        acc = acc + [x]
    return acc, before


@nasty("carried")
def reversed_plus(xs):
    acc = ""
    for x in xs:
        acc = str(x) + acc
    return acc


@nasty("carried")
def sorted_each_time(xs):
    out = []
    for x in xs:
        out.append(x)
        out.sort()
        if len(out) > 2:
            out.pop()
    return out


@nasty(EITHER)
def inserted_in_front(xs):
    out = []
    for x in xs:
        out.insert(0, x)
    return out


@nasty("carried")
def looks_at_last(xs):
    out = [1]
    for x in xs:
        out.append(out[-1] * x)
    return out


@nasty("carried", args=numbers(1, 2, 1, 3, 2))
def seen_before(xs):
    seen, out = set(), []
    for x in xs:
        if x in seen:
            continue
        seen.add(x)
        out.append(x)
    return out


@nasty("carried")
def length_as_index(xs):
    out = []
    for x in xs:
        out.append((len(out), x))
    return out


@nasty("carried")
def printed_so_far(xs):
    out = []
    for x in xs:
        out.append(x)
        print(f"so far {out}")
    return out


@nasty("carried")
def starred_accumulator(xs):
    out = [0]
    for x in xs:
        out.append(max(*out, x))
    return out


@nasty("carried shared identity")
def appended_to_itself(xs):
    out = []
    for x in xs:
        out.append(out)
    return len(out), out[0] is out


@nasty("carried shared unknown")
def passed_to_a_call(xs):
    out = []
    for x in xs:
        append_to(out, x)
    return out


@nasty("carried")
def emptied_halfway(xs):
    out = []
    for x in xs:
        if x == 1:
            out = []
        out.append(x)
    return out


@nasty("carried shared")
def lists_change_places(xs):
    a, b = [], []
    for x in xs:
        a.append(x)
        a, b = b, a
    return a, b


@nasty("carried shared")
def first_deleted(xs):
    out = [7, 8, 9]
    for x in xs:
        out.append(x)
        del out[0]
    return out


@nasty("carried shared")
def slice_assigned(xs):
    out = []
    for x in xs:
        out[len(out) :] = [x]
    return out


@nasty("carried shared identity")
def accumulator_in_accumulator(xs):
    inner, outer = [], []
    for x in xs:
        inner.append(x)
        outer.append(inner)
    return outer


@nasty("carried shared identity")
def one_row_for_all(xs):
    row, out = [], []
    for x in xs:
        row.append(x)
        out.append(row)
    return out


@nasty(EITHER)
def result_of_append(xs):
    out = []
    for x in xs:
        y = out.append(x)
    return y, out


@nasty(EITHER)
def append_in_comprehension(xs):
    out = []
    nothing = [out.append(x * 2) for x in xs]
    return nothing, out


@nasty("carried", EITHER)
def extended_by_lazy_reader(xs):
    out = [1]
    for x in xs:
        out.extend(len(out) + i for i in range(2))
    return out


@nasty(EITHER, args=given(lambda: ([3, 1, 2, 1], Unique())))
def subclass_that_looks(xs, out):
    for x in xs:
        out.append(x)


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Talking())))
def subclass_that_talks(xs, out):
    for x in xs:
        print("body", x)
        out.append(x)


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Tattling(0))))
def in_place_with_side_effects(xs, acc):
    before = acc
    for x in xs:
        acc += x
    return acc is before, acc.value, acc.uses


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Renewing())))
def in_place_gives_another(xs, acc):
    before = acc
    for x in xs:
        acc += x
    return acc.values, before.values


@nasty(EITHER, args=given(lambda: ([1, 2, 3], None)))
def append_to_none(xs, out):
    for x in xs:
        out.append(noisy(x))


@nasty(EITHER, args=given(lambda: ([1, 2, 3], (0,))))
def store_into_a_tuple(xs, out):
    for x in xs:
        out[0] = noisy(x)


@nasty(EITHER)
def unbound_accumulator(xs):
    if not xs:
        out = []
    for x in xs:
        out.append(noisy(x))
    return out


@nasty(EITHER, args=numbers(1, 2, 7, 0))
def index_error_before_division(xs):
    out = [None] * 3
    try:
        for x in xs:
            out[x] = 6 // x
    except (IndexError, ZeroDivisionError) as e:
        return out, type(e)


@nasty(SPLIT, args=given(lambda: ([3, 1, 2], np.zeros(3))))
def array_summed_in_place(xs, total):
    for x in xs:
        total += np.arange(3) * x


@nasty(EITHER, args=given(lambda: ([3, 1, 2], np.zeros(3, dtype=int))))
def in_place_cast_error(xs, total):
    for x in xs:
        print(x)
        total += x / 2


@nasty(EITHER)
def fractions_and_decimals(xs):
    a, b = Fraction(0), decimal.Decimal(0)
    for x in xs:
        a += Fraction(1, x)
        b += decimal.Decimal(1) / x
    return a, b


@nasty(EITHER)
def value_before_key(xs):
    d = {}
    for x in xs:
        d[noisy(x)] = noisy(-x)
    return d


# --- The same object by another name ----------------------------------------------------------------------------------


@nasty("carried")
def read_through_alias(xs):
    out = []
    alias = out
    for x in xs:
        out.append(x)
        if len(alias) > 1:
            out.append("more")
    return out


@nasty(EITHER)
def appended_through_both_names(xs):
    out = []
    alias = out
    for x in xs:
        out.append(x)
        alias.append(-x)
    return out


@nasty("carried shared")
def alias_made_inside(xs):
    out = []
    for x in xs:
        tmp = out
        tmp.append(x + len(tmp))
    return out


def one_list_twice():
    shared = [9]
    return [9, 3, 3], shared, shared


@nasty(EITHER, args=given(one_list_twice))
def arguments_alias(xs, out, seen):
    hits = 0
    for x in xs:
        if x in seen:
            hits += 1
        out.append(x)
    return hits


def list_to_itself():
    xs = [1, 2, 3]
    return xs, xs


@nasty(EITHER, args=given(list_to_itself))
def iterable_is_accumulator(xs, out):
    for x in xs:
        if x < 10:
            out.append(x + 5)


def list_inside():
    out = []
    return [3, 1, 2], out, {"deep": ({"seen": out},)}


@nasty(EITHER, args=given(list_inside))
def accumulator_inside_config(xs, out, config):
    for x in xs:
        out.append(x + len(config["deep"][0]["seen"]))


def list_in_elements():
    out = []
    return [(1, out), (2, out), (3, out)], out


@nasty(EITHER, args=given(list_in_elements))
def accumulator_inside_elements(pairs, out):
    for x, seen in pairs:
        out.append(x + len(seen))


@nasty(EITHER, args=given(lambda: ([3, 1, 2], SHARED["seen"])))
def accumulator_is_a_global(xs, out):
    def so_far(x):
        return x + len(SHARED["seen"])

    for x in xs:
        out.append(so_far(x))


def count_of_calls(x):
    return len(CALLS) + x


@nasty("carried shared")
def callee_reads_what_is_appended(xs):
    out = []
    for x in xs:
        CALLS.append(x)
        out.append(count_of_calls(x))
    return out


@nasty("carried")
def closure_reads_total(xs):
    total = 0
    peek = lambda: total
    out = []
    for x in xs:
        total += x
        out.append(peek())
    return out


@nasty(EITHER)
def closure_reads_temporary(xs):
    y = 0

    def show():
        return y

    out = []
    for x in xs:
        y = x * 2
        out.append(show())
    return out


@nasty(EITHER)
def closure_reads_loop_variable(xs):
    x = 0

    def show():
        return x

    out = []
    for x in xs:
        out.append(show())
    return out, show()


def overlapping_views():
    a = np.arange(6.0)
    return a[:-1], a[1:]


@nasty(EITHER, args=given(overlapping_views))
def views_overlap(a, b):
    for i in range(len(a)):
        b[i] = a[i] + 1


@nasty("carried shared")
def store_through_view(xs):
    a = np.zeros(4)
    v = a[1:]
    for i in range(3):
        a[i + 1] = v[i - 1] + 1
    return a


def two_array_objects_of_one_memory():
    a = np.arange(4.0)
    return a, a.view(), memoryview(a)


@nasty(EITHER, args=given(two_array_objects_of_one_memory))
def memory_shared_three_ways(a, b, m):
    out = []
    for i in range(4):
        a[i] = 1.0
        out.append(b[(i + 3) % 4] + m[(i + 3) % 4])
    return out


@nasty("carried shared")
def item_alias_mutated(xs):
    rows = {"a": [1]}
    for x in xs:
        row = rows["a"]
        row.append(x)
    return rows


@nasty("carried shared", args=given(lambda: ([[1], [2], [3]],)))
def element_mutated(rows):
    for row in rows:
        row.append(len(row))


def one_row_three_times():
    row = [1]
    return ([row, row, row],)


@nasty("carried shared", args=given(one_row_three_times))
def element_shared_between_iterations(rows):
    out = []
    for row in rows:
        y = row
        y += [len(y)]
        out.append(len(y))
    return out


@nasty("carried shared", args=given(lambda: ([1, 2, 3], {"n": [0]})))
def shallow_copy_mutated(xs, config):
    out = []
    for x in xs:
        mine = dict(config)
        mine["n"].append(x)
        out.append(len(mine["n"]))
    return out


@nasty(EITHER, args=given(lambda: ([1, 2, 3], {"n": [0]})))
def deep_copy_mutated(xs, config):
    out = []
    for x in xs:
        mine = copy.deepcopy(config)
        mine["n"].append(x)
        out.append(mine)
    return out


@nasty(EITHER, args=given(lambda: ([[3, 1], [2], [5, 4]],)))
def copies_sorted(rows):
    out = []
    for row in rows:
        mine = list(row)
        mine.sort()
        mine.append(0)
        out.append(mine)
    return out


@nasty("carried shared unknown", args=given(lambda: ([1, 2, 3], [0])))
def alias_through_identity(xs, shared):
    for x in xs:
        mine = same(shared)
        mine.append(x + len(mine))


@nasty("carried shared", args=given(lambda: ([1, 2, 3], [0])))
def alias_through_or(xs, shared):
    for x in xs:
        mine = shared or []
        mine.append(x + len(mine))


@nasty("carried shared", args=given(lambda: ([1, 2, 3], [0])))
def alias_through_conditional(xs, shared):
    for x in xs:
        mine = [] if x == 2 else shared
        mine.append(x + len(mine))


@nasty("carried shared", args=given(lambda: ([1, 2, 3], [0])))
def alias_through_literal(xs, shared):
    for x in xs:
        (mine,) = [shared]
        mine.append(x + len(mine))
        box = {"k": shared}
        box["k"].append(x)


@nasty("carried shared", "carried shared", args=given(lambda: ([1, 2, 3], [[0], [0, 0]])))
def alias_through_inner_loop(xs, lists):
    for x in xs:
        for mine in lists:
            mine.append(x + len(mine))


@nasty("carried shared unknown", args=given(lambda: ([1, 2, 3], [[0], [0, 0]])))
def alias_through_max(xs, lists):
    for x in xs:
        mine = max(lists, key=len)
        mine.append(x)


@nasty("carried shared unknown", args=given(lambda: ([1, 2, 3], [0])))
def alias_through_with(xs, shared):
    for x in xs:
        with contextlib.nullcontext(shared) as mine:
            mine.append(x + len(mine))


@nasty("carried shared", args=given(lambda: ([1, 2, 3], [[0], 1])))
def alias_through_match(xs, shared):
    for x in xs:
        match shared:
            case [mine, *_]:
                mine.append(x + len(mine))


@nasty("carried shared", args=given(lambda: ([1, 2, 3], [0])))
def alias_through_walrus(xs, shared):
    for x in xs:
        if mine := shared:
            mine.append(x + len(mine))


@nasty("carried shared", args=given(lambda: ([1, 2, 3], [0])))
def alias_through_default(xs, shared):
    for x in xs:

        def inner(mine=shared):
            mine.append(x + len(mine))

        inner()


@nasty("carried shared", args=given(lambda: ([1, 2, 3], [0])))
def alias_in_place(xs, shared):
    for x in xs:
        mine = shared
        mine += [x + len(mine)]


@nasty("carried shared", args=given(lambda: ([1, 2, 3], {"a": {}})))
def alias_through_get(xs, table):
    for x in xs:
        mine = table.get("a")
        mine[x] = len(mine)


@nasty("carried shared identity")
def starred_copy_shares_rows(xs):
    rows = [[0], [0], [0]]
    out = []
    for x in xs:
        mine = [*rows]
        mine[0].append(x)
        out.append(len(mine[0]))
    return out


@nasty(EITHER, args=given(lambda: ([1, 2], {"w": [1, 2]})))
def invariant_appended(xs, config):
    out = []
    for x in xs:
        out.append(config["w"])
    out[0].append("also in config")
    return out


@nasty(EITHER, args=given(lambda: ([[1], [2], [3]],)))
def elements_kept(rows):
    out = []
    for row in rows:
        if len(row) == 1:
            out.append(row)
    out[0].append("also in rows")
    return out


@nasty(EITHER, args=given(lambda: ([[1], [2], [3]],)))
def elements_kept_by_comprehension(rows):
    kept = [row for row in rows if row[0] != 2]
    kept[0].append("also in rows")
    return kept


@nasty(EITHER, args=given(lambda: ({"a": [1], "b": [2]},)))
def values_kept(table):
    out = {}
    for k, v in table.items():
        out[k.upper()] = (k, v)
    out["A"][1].append("also in table")
    return out


@nasty(EITHER, args=given(lambda: ([Record("a"), Record("b")],)))
def records_kept(records):
    by_name = {}
    for r in records:
        by_name[r.name] = r
    by_name["a"].values.append("also in records")
    return by_name


@nasty(EITHER, args=given(lambda: ([Record("a", [1]), Record("b", [2])],)))
def attribute_kept(records):
    out = []
    for r in records:
        out.append(r.values)
    out[0].append("also in records")
    return out


# --- Arrays and frames written in place -------------------------------------------------------------------------------


@nasty("carried shared", args=given(lambda: (np.arange(12.0).reshape(3, 4),)))
def rows_scaled_in_place(a):
    for row in a:
        row *= 2


@nasty("carried shared", args=given(lambda: (np.arange(12.0).reshape(3, 4),)))
def frame_minus_its_mean(stack):
    means = []
    for i in range(len(stack)):
        img = stack[i]
        img -= img.mean()
        means.append(stack.sum())
    return means


@nasty("carried shared", args=given(lambda: (np.arange(4.0),)))
def neighbour_read(a):
    for i in range(1, len(a)):
        a[i] = a[i - 1] + a[i]


@nasty(EITHER, args=given(lambda: (np.arange(4.0),)))
def own_element_read(a):
    for i in range(len(a)):
        a[i] = a[i] * 2


@nasty(EITHER, args=given(lambda: (np.zeros(4), [2, 0, 2, 1])))
def scattered_store(a, index):
    for i, k in enumerate(index):
        a[k] = i


@nasty("carried shared unknown")
def out_argument(xs):
    buffer = np.zeros(3)
    out = []
    for x in xs:
        np.add(buffer, x, out=buffer)
        out.append(buffer.sum())
    return out


@nasty("carried shared unknown")
def asarray_is_no_copy(xs):
    shared = np.zeros(3)
    out = []
    for x in xs:
        mine = np.asarray(shared)
        mine[0] += x
        out.append(mine[0])
    return out


@nasty("carried shared unknown")
def reshape_is_no_copy(xs):
    shared = np.zeros((2, 2))
    out = []
    for x in xs:
        mine = shared.reshape(-1)
        mine[0] = mine[0] + x
        out.append(float(mine[0]))
    return out


@nasty("carried shared unknown")
def transposed_and_in_place(xs):
    shared = np.zeros((2, 3))
    out = []
    for x in xs:
        mine = shared.T
        mine += x
        out.append(float(mine.sum()))
    return out


@nasty("carried shared unknown")
def astype_without_copy(xs):
    shared = np.zeros(3)
    out = []
    for x in xs:
        mine = shared.astype(float, copy=False)
        mine[1] = mine[1] + x
        out.append(float(mine[1]))
    return out


@nasty("carried shared unknown")
def sorted_in_place(xs):
    shared = np.array([3.0, 1.0, 2.0])
    out = []
    for x in xs:
        out.append(float(shared[0]) + x)
        shared.sort()
    return out


@nasty("carried shared unknown")
def shuffled_in_place(xs):
    deck = np.arange(10)
    out = []
    for x in xs:
        np.random.default_rng(x).shuffle(deck)
        out.append(int(deck[0]))
    return out


@nasty("carried shared unknown")
def filled_in_place(xs):
    buffer = np.zeros(2)
    rows = []
    for x in xs:
        buffer.fill(x)
        rows.append(buffer)
    return rows


@nasty(EITHER)
def array_made_here(xs):
    rows = []
    for x in xs:
        buffer = np.zeros(3)
        buffer[0] = x
        buffer += 1
        rows.append(buffer)
    return rows


def small_frame():
    return (pd.DataFrame({"a": [1, 2, 3], "b": [4.0, 5.0, 6.0]}),)


@nasty("carried shared", args=given(small_frame))
def frame_column_added(df):
    for name in ["a", "b"]:
        df[name + "_sum"] = df.sum(axis=1)


@nasty("carried shared unknown", args=given(small_frame))
def frame_cell_set(df):
    for i in range(1, len(df)):
        df.loc[i, "b"] = df.loc[i - 1, "b"] * 2


@nasty("carried shared unknown", args=given(small_frame))
def frame_dropped_in_place(df):
    out = []
    for i in range(2):
        df.drop(index=df.index[0], inplace=True)
        out.append(len(df))
    return out


@nasty(EITHER, args=given(small_frame))
def row_series_set(df):
    out = []
    for _, row in df.iterrows():
        row["a"] = 0
        out.append(row["b"])
    return out


@nasty(EITHER, args=given(small_frame))
def group_frame_changed(df):
    out = []
    for name, group in df.groupby("a"):
        group["c"] = group["b"] * 2
        out.append(group)
    return pd.concat(out)


# --- What one iteration leaves for the next ---------------------------------------------------------------------------


@nasty("carried", args=numbers(3, 0, 2))
def temporary_from_before(xs):
    out = []
    y = -1
    for x in xs:
        if x:
            y = x
        out.append(y)
    return out


@nasty("carried", args=numbers(0, 3))
def temporary_not_yet_there(xs):
    out = []
    for x in xs:
        if x:
            y = x
        out.append(y)
    return out


@nasty("carried")
def previous_and_current(xs):
    prev, out = None, []
    for x in xs:
        out.append((prev, x))
        prev = x
    return out


@nasty("carried")
def maximum_so_far(xs):
    best = 0
    for x in xs:
        best = max(best, x)
    return best


@nasty("carried")
def toggled(xs):
    flag, out = False, []
    for x in xs:
        flag = not flag
        if flag:
            out.append(x)
    return out


@nasty("carried")
def first_time_only(xs):
    first, out = True, []
    for x in xs:
        if first:
            out.append("header")
            first = False
        out.append(x)
    return out


@nasty(SPLIT)
def read_after_loop(xs):
    out = []
    for x in xs:
        y = x * 10
        out.append(y)
    return x, y, out


@nasty(SPLIT, args=numbers())
def nothing_to_do(xs):
    y = "before"
    out = []
    for x in xs:
        y = x
        out.append(y)
    return y, out


@nasty(EITHER, args=numbers())
def unbound_after_nothing(xs):
    out = []
    for x in xs:
        out.append(x)
    return x


@nasty(EITHER, args=numbers(1, 3, 2, 4))
def last_that_assigned(xs):
    odd = None
    out = []
    for x in xs:
        out.append(x)
        if x % 2:
            odd = x
    return odd, out


@nasty(EITHER)
def temporary_deleted(xs):
    out = []
    for x in xs:
        y = x + 1
        out.append(y)
        del y
    try:
        return out, y
    except NameError as e:
        return out, str(e)


@nasty(EITHER)
def loop_variable_deleted(xs):
    out = []
    for x in xs:
        out.append(x)
        del x
    try:
        return out, x
    except NameError as e:
        return out, str(e)


@nasty(EITHER)
def loop_variable_rebound(xs):
    out = []
    for x in xs:
        x = x + 100
        out.append(x)
    return out, x


@nasty(EITHER)
def walrus_read_after(xs):
    out = []
    for x in xs:
        if (y := x * 2) > 2:
            out.append(y)
    return out, y


@nasty("carried")
def walrus_total(xs):
    total = 0
    return [total := total + x for x in xs], total


@nasty(EITHER)
def walrus_from_comprehension(xs):
    out = [y := x * 2 for x in xs]
    return out, y


@nasty(EITHER)
def comprehension_shadows(xs):
    x = "kept"
    out = [x for x in xs if x > 1]
    return x, out


@nasty(SPLIT)
def fors_and_conditions(xs):
    return [(x, y, double(x)) for x in xs if x > 1 for y in range(x) if y % 2 if y < 9]


@nasty("carried iterable")
def second_iterator_runs_out(xs):
    it = iter("abcdef")
    return [(x, y) for x in xs for y in it]


@nasty(EITHER)
def dict_comprehension_collides(xs):
    return {x % 2: noisy(x) for x in xs}


@nasty(EITHER)
def set_comprehension(xs):
    return {x % 2 for x in xs}


@nasty(SPLIT, args=numbers(1e16, 1.0, -1e16, 0.1))
def sum_of_generator(xs):
    return sum(x / 3 for x in xs)


@nasty(EITHER)
def sum_fails_early(xs):
    return sum(str(noisy(x)) if x == 1 else noisy(x) for x in xs)


@nasty(EITHER)
def sum_with_start(xs):
    return sum((double(x) for x in xs), start=0.5)


@nasty(EITHER)
def joined(xs):
    return "-".join(str(noisy(x)) for x in xs)


@nasty("carried dynamic unknown leaves")
def sum_is_another(xs):
    seen = []

    def sum(values):
        return next(values), seen

    return sum(seen.append(x) for x in xs)


# --- Loops that end early, or lazily ----------------------------------------------------------------------------------


@nasty("leaves")
def breaks(xs):
    out = []
    for x in xs:
        if x == 1:
            break
        out.append(x)
    return out


@nasty("leaves")
def returns(xs):
    for x in xs:
        if x == 1:
            return x
    return None


@nasty("leaves")
def yields(xs):
    for x in xs:
        yield double(x)


@nasty("leaves")
def yields_from(xs):
    for x in xs:
        yield from range(x)


@nasty("leaves")
def while_loop(xs):
    out = []
    while xs:
        out.append(xs.pop())
    return out


@nasty("leaves")
def for_else(xs):
    out = []
    for x in xs:
        out.append(x)
    else:
        out.append("else")
    return out


@nasty(SPLIT, INSIDE)
def break_in_the_inner(xs):
    out = []
    for x in xs:
        n = 0
        while True:
            n += x
            if n > 5:
                break
        out.append(n)
    return out


@nasty("leaves")
async def awaits(xs):
    out = []
    for x in xs:
        await asyncio.sleep(0)
        out.append(x)
    return out


@nasty(EITHER, "leaves")
async def async_for(xs):
    async def feed():
        for x in xs:
            yield x

    out = []
    async for x in feed():
        out.append(x)
    return out


@nasty(EITHER)
async def loop_in_a_coroutine(xs):
    out = []
    for x in xs:
        out.append(double(x))
    await asyncio.sleep(0)
    return out


@nasty("leaves")
def any_stops(xs):
    return any(noisy(x) > 3 for x in xs)


@nasty("leaves", args=numbers(1, 0, 5))
def all_stops_before_error(xs):
    return all(6 // x > 7 for x in xs)


@nasty("leaves")
def next_takes_one(xs):
    return next(noisy(x) for x in xs)


@nasty("leaves")
def lazy_and_late(xs):
    k = 1
    g = (x * k for x in xs)
    k = 10
    xs.append(7)
    return list(g)


@nasty("leaves", args=numbers(2, 1, 0))
def generator_escapes(xs):
    return (divide(x) for x in xs)


@nasty("leaves")
def zip_stops(xs):
    return list(zip((noisy(x) for x in xs), [1]))


@nasty("leaves")
def unpacked_generator(xs):
    g = (noisy(x) for x in xs)
    a = next(g)
    print("between")
    return a, list(g)


@nasty("leaves")
def membership_stops(xs):
    return 2 in (noisy(x) for x in xs)


@nasty(EITHER, args=numbers(4, 1, 0, 2))
def minimum_of_generator(xs):
    return min((noisy(x) for x in xs), key=lambda v: v % 3)


# --- Exceptions -------------------------------------------------------------------------------------------------------


@nasty(SPLIT, args=numbers(3, 1, 0, 2))
def partial_result_kept(xs):
    out = []
    try:
        for x in xs:
            out.append(6 // x)
    except ZeroDivisionError:
        out.append("stopped")
    return out


@nasty(SPLIT, args=given(lambda: ([3, 1, 0, 2], [])))
def partial_result_at_the_caller(xs, out):
    for x in xs:
        print("at", x)
        out.append(x)
        out.append(divide(x))


@nasty(EITHER, args=numbers(3, 1, 0, 2))
def variables_at_the_error(xs):
    out = []
    y = z = None
    try:
        for x in xs:
            y = x * 2
            out.append(6 // x)
            z = x
    except ZeroDivisionError:
        pass
    return x, y, z, out


@nasty(EITHER, args=given(lambda: ([3, "1", 0, None],)))
def lowest_index_wins(xs):
    out = []
    for x in xs:
        out.append(6 // x)
    return out


@nasty(EITHER, args=numbers(3, 1, 0, 2))
def try_inside(xs):
    out = []
    for x in xs:
        try:
            out.append(6 // x)
        except ZeroDivisionError as e:
            out.append(repr(e))
        finally:
            out.append("finally")
    return out


@nasty(EITHER, args=numbers(3, 0, 2))
def finally_before_error_leaves(xs):
    out = []
    try:
        for x in xs:
            try:
                out.append(6 // x)
            finally:
                print("finally", x)
                out.append(x)
    except ZeroDivisionError:
        pass
    return out


@nasty("leaves", args=numbers(3, 0, 2))
def finally_swallows_by_continue(xs):
    out = []
    for x in xs:
        try:
            out.append(6 // x)
        finally:
            if x == 0:
                break
    return out


@nasty(EITHER, args=numbers(3, 0, 2))
def suppressed(xs):
    out = []
    for x in xs:
        with contextlib.suppress(ZeroDivisionError):
            out.append(6 // x)
    return out


@nasty(EITHER)
def raised_with_a_cause(xs):
    out = []
    for x in xs:
        try:
            out.append({3: 1}[x])
        except KeyError as e:
            raise ValueError("no", x, {"out": x}) from e


@nasty(EITHER)
def raised_with_odd_arguments(xs):
    for x in xs:
        if x == 1:
            raise OddError(x, where="there")


@nasty(EITHER)
def raised_with_attributes(xs):
    for x in xs:
        if x == 1:
            e = ValueError("x")
            e.detail = [x]
            raise e


@nasty(EITHER)
def raised_what_cannot_travel(xs):
    for x in xs:
        if x == 1:
            raise ValueError("lock", threading.Lock().locked, lambda: x)


@nasty(EITHER, EITHER, EITHER)
def result_that_cannot_travel(xs):
    out = []
    for x in xs:
        out.append((i for i in range(x)))
    return [list(g) for g in out]


ONE_ERROR = ValueError("always the same")


@nasty(EITHER)
def one_instance_raised(xs):
    try:
        for x in xs:
            if x == 1:
                raise ONE_ERROR
    except ValueError as e:
        return e is ONE_ERROR


@nasty(EITHER)
def local_exception_class(xs):
    class Stop(Exception):
        pass

    out = []
    try:
        for x in xs:
            out.append(x)
            if x == 1:
                raise Stop(x)
    except Stop as e:
        return out, e.args


@nasty(EITHER)
def stop_iteration_raised(xs):
    out = []
    for x in xs:
        out.append(x)
        if x == 1:
            raise StopIteration(x)
    return out


@nasty(EITHER)
def stop_iteration_in_comprehension(xs):
    it = iter([5])
    try:
        return [x + next(it) for x in xs]
    except StopIteration:
        return "stopped"


@nasty(EITHER, args=given(lambda: ([1, 2, 3], [])))
def keyboard_interrupt(xs, out):
    for x in xs:
        if x == 2:
            raise KeyboardInterrupt
        out.append(x)


@nasty("unknown leaves world", args=given(lambda: ([1, 2, 3], [])))
def system_exit(xs, out):
    for x in xs:
        out.append(x)
        if x == 2:
            sys.exit(f"leaving at {x}")


@nasty(EITHER)
def assertion_fails(xs):
    out = []
    for x in xs:
        assert x != 1, f"x is {x}"
        out.append(x)
    return out


@nasty(EITHER, args=numbers(10, 10**6, 5))
def recursion_too_deep(xs):
    out = []
    try:
        for x in xs:
            out.append(is_even(x))
    except RecursionError:
        out.append("too deep")
    return out


@nasty(EITHER, args=given(lambda: ([3, 1, 2],)))
def iterable_fails(xs):
    out = []
    try:
        for x in produce_then_fail(xs):
            out.append(double(x))
    except LookupError as e:
        return out, x, e.args


@nasty(EITHER, args=given(lambda: (iter([3, 1, 0, 5, 7]),)))
def rest_of_iterator_after_error(it):
    out = []
    try:
        for x in it:
            out.append(6 // x)
    except ZeroDivisionError:
        pass
    return out, list(it)


@nasty(EITHER)
def unpacking_fails_later(xs):
    out = []
    try:
        for a, b in [(1, 2), (3, 4), (5,), (6, 7)]:
            out.append(a + b)
    except ValueError as e:
        return out, a, b, str(e)


@nasty(EITHER, args=lambda here: ([3, 1, 0, 2],))
def no_file_after_the_error(xs):
    for x in xs:
        y = 6 // x
        with open(f"out_{x}.txt", "w") as f:
            f.write(str(y))


@nasty("carried unknown leaves")
def handler_reads_partial(xs):
    out = []
    for x in xs:
        try:
            out.append(6 // (x - 1))
        except ZeroDivisionError:
            out.append(len(out))
    return out


@nasty(EITHER)
def error_state_is_seen(xs):
    out = []
    try:
        raise KeyError("outer")
    except KeyError:
        for x in xs:
            out.append(str(sys.exc_info()[1]))
    return out


@nasty(EITHER)
def bare_raise(xs):
    try:
        raise KeyError("outer")
    except KeyError:
        for x in xs:
            if x == 1:
                raise


# --- Names of other scopes, and calls that do more than they say ------------------------------------------------------


@nasty("scope shared carried")
def global_counter(xs):
    global COUNT
    for x in xs:
        COUNT += x


@nasty("scope shared carried")
def nonlocal_counter(xs):
    n = 0

    def run():
        nonlocal n
        for x in xs:
            n += x

    run()
    return n


@nasty("scope target")
def global_target(xs):
    global COUNT
    out = []
    for COUNT in xs:
        out.append(counted(0))
    return out


@nasty("scope shared carried unknown")
def callee_counts(xs):
    return [counted(x) for x in xs]


@nasty("scope shared carried unknown")
def callee_appends_to_global(xs):
    out = []
    for x in xs:
        out.append(double_traced(x))
    return out


@nasty("carried shared unknown")
def callee_mutable_default(xs):
    return [remember(x) for x in xs]


@nasty("carried shared unknown")
def callee_memo(xs):
    return [memoised(x) for x in xs]


@nasty(EITHER)
def callee_lru_cache(xs):
    return [cached(x) for x in [*xs, *xs]], cached.cache_info()


@nasty("unknown shared carried world", args=numbers(3, 1, 3))
def callee_lru_cache_noisy(xs):
    return [cached_noisy(x) for x in xs]


@nasty("unknown shared carried")
def callee_decorated(xs):
    return [decorated(x) for x in xs]


@nasty(EITHER)
def callee_decorated_plainly(xs):
    return [decorated_plainly(x) for x in xs]


@nasty(SPLIT, args=numbers(8, 3, 5))
def callee_recurses(xs):
    return [fib(x) for x in xs]


@nasty(EITHER, args=numbers(8, 3, 5))
def callees_recurse_together(xs):
    return [is_even(x) for x in xs]


@nasty(EITHER)
def callee_raises_in_order(xs):
    return [divide(x - 1) for x in xs]


@nasty("unknown shared carried")
def callee_in_a_variable(xs):
    f = double if len(xs) > 5 else counted
    return [f(x) for x in xs]


@nasty("unknown shared carried")
def callee_in_a_dict(xs):
    ops = {"pure": double, "count": counted}
    return [ops["count"](x) for x in xs]


@nasty("unknown", args=given(lambda: ([3, 1, 2], counted)))
def callee_is_an_argument(xs, f):
    return [f(x) for x in xs]


@nasty("unknown shared carried")
def callee_partial(xs):
    f = functools.partial(remember, seen=[])
    return [f(x) for x in xs]


@nasty("unknown shared carried")
def callee_mapped(xs):
    return [list(map(counted, [x, x])) for x in xs]


@nasty("unknown shared carried")
def callee_as_key(xs):
    return [sorted([x, 5, 1], key=remember) for x in xs]


@nasty("unknown shared carried", args=given(lambda: ([3, 1, 2], Stepper())))
def bound_method(xs, stepper):
    return [stepper.step(x) for x in xs]


@nasty("unknown shared carried", args=given(lambda: ([3, 1, 2], Stepper().step)))
def bound_method_in_a_variable(xs, step):
    return [step(x) for x in xs]


@nasty("unknown shared carried", args=given(lambda: ([3, 1, 2], Stepper())))
def callable_object(xs, stepper):
    return [stepper(x) for x in xs]


@nasty("unknown shared carried")
def class_attribute_counts(xs):
    return [Stepper.add(x) for x in xs]


@nasty("unknown shared carried")
def class_attribute_stored(xs):
    for x in xs:
        Stepper.total += x
    return Stepper.total


@nasty(EITHER)
def static_method(xs):
    return [Stepper.plain(x) for x in xs]


@nasty(EITHER)
def object_made_here(xs):
    out = []
    for x in xs:
        s = Stepper()
        s.step(x)
        out.append(s.step(1))
    return out


@nasty(EITHER)
def object_kept(xs):
    out = []
    for x in xs:
        s = Stepper()
        s.step(x)
        out.append(s)
    return out


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Stepper())))
def property_counts(xs, stepper):
    return [stepper.ticking + x for x in xs]


@nasty("shared carried unknown")
def attribute_made_on_demand(xs):
    m = Magic()
    return [m.anything + x for x in xs]


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Tattling(0))))
def getitem_counts(xs, t):
    return [t[x] for x in xs]


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Tattling(0))))
def addition_counts(xs, t):
    return [t + x for x in xs]


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Tattling(0))))
def addition_from_the_right_counts(xs, t):
    total = 0
    for x in xs:
        total += x + t
    return total


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Tattling(0))))
def truth_counts(xs, t):
    out = []
    for x in xs:
        if t:
            out.append(x)
    return out


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Tattling(0))))
def containment_counts(xs, t):
    return [x in t for x in xs]


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Tattling(0))))
def length_counts(xs, t):
    return [len(t) for x in xs]


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Tattling(0))))
def format_counts(xs, t):
    return [f"{t}-{x}" for x in xs]


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Tattling(0))))
def comparison_counts(xs, t):
    return [sorted([t, t]) is None or t < x for x in xs]


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], Tattling(0))))
def context_manager_counts(xs, t):
    out = []
    for x in xs:
        with t as n:
            out.append(n)
    return out


@nasty("shared target", args=given(lambda: ([3, 1, 2], Trailing())))
def setattr_leaves_a_trail(xs, o):
    for x in xs:
        o.value = x


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Record("r"))))
def attribute_list_appended(xs, record):
    for x in xs:
        record.values.append(x)


@nasty("shared carried unknown")
def function_attribute(xs):
    double.calls = 0
    for x in xs:
        double.calls += x
    calls = double.calls
    del double.calls
    return calls


def pure_square(x):
    return x * x


def impure_square(x):
    CALLS.append(x)
    return len(CALLS)


@nasty(EITHER)
def code_exchanged(xs):
    code = pure_square.__code__
    pure_square.__code__ = impure_square.__code__
    try:
        return [pure_square(x) for x in xs]
    finally:
        pure_square.__code__ = code


@nasty(EITHER, EITHER)
def defaults_exchanged(xs):
    def f(x, k=1):
        return x * k

    out = [f(x) for x in xs]
    f.__defaults__ = (5,)
    return out + [f(x) for x in xs]


@nasty(EITHER)
def builtin_patched(xs):
    original = builtins.abs
    builtins.abs = counted
    try:
        return [abs(x) for x in xs]
    finally:
        builtins.abs = original


@nasty(EITHER)
def module_function_patched(xs):
    original = math.sqrt
    math.sqrt = counted
    try:
        return [math.sqrt(x) for x in xs]
    finally:
        math.sqrt = original


@nasty(EITHER)
def method_patched(xs):
    original = Stepper.plain
    Stepper.plain = staticmethod(counted)
    try:
        return [Stepper.plain(x) for x in xs]
    finally:
        Stepper.plain = staticmethod(original)


@nasty(EITHER)
def global_function_patched(xs):
    globals()["double"] = counted
    return [double(x) for x in xs]


@nasty(EITHER)
def builtin_shadowed(xs):
    len = remember
    return [len(x) for x in xs]


@nasty(EITHER, EITHER)
def global_constant_changed(xs):
    global SCALE
    SCALE = 50
    out = [scaled(x) for x in xs]
    SCALE = 7
    return out, [scaled(x) for x in xs]


@nasty(EITHER, EITHER)
def global_table_changed_between(xs):
    SHARED["rows"] = [[5]]
    first = [len(SHARED["rows"]) * x for x in xs]
    SHARED["rows"].append([6])
    return first, [len(SHARED["rows"]) * x for x in xs]


@nasty(EITHER)
def module_attribute_changed(xs):
    json.SCALE = 3
    try:
        return [x * json.SCALE for x in xs]
    finally:
        del json.SCALE


@nasty(EITHER)
def class_constant_changed(xs):
    Stepper.total = 40
    return [Stepper.total + x for x in xs]


@nasty(EITHER)
def function_redefined_inside(xs):
    out = []
    for x in xs:

        def f(y):
            return y * x

        out.append(f(2))
    return out


@nasty("unknown shared scope carried dynamic")
def global_redefined_inside(xs):
    out = []
    for x in xs:
        globals()["SCALE"] = x
        out.append(scaled(1))
    return out


@nasty("unknown shared scope carried")
def module_patched_inside(xs):
    out = []
    for x in xs:
        json.SCALE = x
        out.append(getattr(json, "SCALE"))
    del json.SCALE
    return out


@nasty(EITHER)
def finaliser_prints(xs):
    class Dying:
        def __init__(self, x):
            self.x = x

        def __del__(self):
            print("died", self.x)

    out = []
    for x in xs:
        d = Dying(x)
        print("made", d.x)
        out.append(x)
    return out


@nasty("carried shared", args=numbers(3, 1, 2))
def registered_elsewhere(xs):
    for x in xs:
        REGISTRY.setdefault(x, []).append(len(REGISTRY))
    return REGISTRY


@nasty("unknown shared carried")
def iterator_consumed_inside(xs):
    it = itertools.count(10)
    return [(x, next(it)) for x in xs]


@nasty(EITHER, "unknown shared carried")
def send_to_generator(xs):
    def averager():
        total = 0
        while True:
            total += yield total

    g = averager()
    next(g)
    return [g.send(x) for x in xs]


@nasty("unknown shared carried")
def queue_between(xs):
    q = queue.Queue()
    out = []
    for x in xs:
        q.put(x)
        out.append(q.qsize())
    return out


@nasty("unknown shared carried")
def thread_started(xs):
    out = []
    for x in xs:
        t = threading.Thread(target=out.append, args=(x,))
        t.start()
        t.join()
    return out


@nasty("unknown shared carried")
def lock_held(xs):
    lock = threading.Lock()
    out = []
    for x in xs:
        with lock:
            out.append((x, lock.locked()))
    return out


VAR = contextvars.ContextVar("VAR", default=0)
LOCAL = threading.local()
LOCAL.n = 0


@nasty("unknown shared carried")
def context_variable_set(xs):
    out = []
    for x in xs:
        out.append(VAR.get() + x)
        VAR.set(x)
    VAR.set(0)
    return out


@nasty(EITHER)
def context_variable_read(xs):
    token = VAR.set(100)
    try:
        return [VAR.get() + x for x in xs]
    finally:
        VAR.reset(token)


@nasty("unknown shared carried")
def thread_local_counts(xs):
    LOCAL.n = 0
    out = []
    for x in xs:
        LOCAL.n += x
        out.append(LOCAL.n)
    return out


@nasty(EITHER)
def thread_local_read(xs):
    LOCAL.n = 8
    return [LOCAL.n + x for x in xs]


# --- Code that sees or makes code -------------------------------------------------------------------------------------


@nasty("dynamic unknown")
def execs(xs):
    out = []
    for x in xs:
        exec("out.append(x + len(out))")
    return out


@nasty("dynamic unknown")
def evals(xs):
    total = 0
    out = []
    for x in xs:
        total += x
        out.append(eval("total * 2"))
    return out


@nasty("dynamic unknown")
def eval_aliased(xs):
    e = eval
    out = []
    for x in xs:
        out.append(e("x + len(out)", {}, {"x": x, "out": out}))
    return out


@nasty("dynamic unknown")
def reads_locals(xs):
    out = []
    for x in xs:
        out.append(len(locals()["out"]))
    return out


@nasty("dynamic unknown")
def reads_vars(xs):
    out = []
    for x in xs:
        out.append(sorted(vars()))
    return out


@nasty("dynamic unknown shared")
def writes_globals(xs):
    for x in xs:
        globals()["COUNT"] = x


@nasty("dynamic unknown world")
def reads_frame(xs):
    out = []
    for x in xs:
        out.append(len(sys._getframe().f_locals["out"]))
    return out


def caller_has(name):
    return len(inspect.currentframe().f_back.f_locals[name])


@nasty("dynamic unknown")
def callee_reads_frame(xs):
    out = []
    for x in xs:
        out.append(caller_has("out"))
    return out


@nasty("dynamic unknown")
def append_by_getattr(xs):
    out = []
    for x in xs:
        getattr(out, "append")(len(out))
    return out


@nasty("dynamic unknown shared", args=given(lambda: ([3, 1, 2], Record("r"))))
def set_by_setattr(xs, record):
    for x in xs:
        setattr(record, "name", record.name + str(x))


@nasty("dynamic unknown")
def by_operator(xs):
    out = [0, 0]
    for x in xs:
        operator.setitem(out, 0, out[0] + x)
        operator.iadd(out, [x])
    return out


@nasty("dynamic unknown")
def imports_inside(xs):
    out = []
    for x in xs:
        module = importlib.import_module("loops_nasty")
        module.CALLS.append(x)
        out.append(len(module.CALLS))
    return out


@nasty(EITHER)
def import_statement_inside(xs):
    out = []
    for x in xs:
        import colorsys

        out.append(colorsys.rgb_to_hsv(x, 1, 1))
    return out


@nasty("dynamic unknown identity", EITHER)
def by_gc(xs):
    marker = ["marker"]
    out = []
    for x in xs:
        for o in gc.get_referrers(marker):
            if isinstance(o, dict):
                o["hacked"] = x
        out.append(x)
    return out


@nasty("dynamic unknown")
def stack_depth(xs):
    return [len(inspect.stack()) * 0 + x for x in xs]


@nasty(EITHER)
def from_a_string(xs):
    namespace = {"CALLS": CALLS}
    exec("def f(x):\n    CALLS.append(x)\n    return len(CALLS)", namespace)
    f = namespace["f"]
    return [f(x) for x in xs]


@nasty("dynamic unknown")
def super_and_class_cell(xs):
    class A:
        n = 0

        def bump(self, x):
            __class__.n += x
            return __class__.n

    a = A()
    return [a.bump(x) for x in xs]


# --- Identity and hash order ------------------------------------------------------------------------------------------


@nasty("identity unknown", "identity unknown")
def reads_id(xs):
    a = [0]
    return [id(a) == id(a) and x for x in xs], len({id(a) for x in xs})


@nasty(EITHER, args=given(lambda: ([MISSING, 1, MISSING],)))
def sentinel(xs):
    out = []
    for x in xs:
        out.append("missing" if x is MISSING else x)
    return out


def lists_and_one_of_them():
    rows = [[1], [1], [1]]
    return rows, rows[1]


@nasty(EITHER, args=given(lists_and_one_of_them))
def is_the_same_object(rows, mine):
    out = []
    for row in rows:
        out.append(row is mine)
    return out


@nasty(EITHER, args=given(lambda: ([Colour.RED, Colour.BLUE, None],)))
def enum_and_none(xs):
    out = []
    for x in xs:
        if x is None:
            continue
        out.append(x is Colour.RED)
    return out


def nan_and_known():
    nan = float("nan")
    return [nan, 1.0, 2.0], [nan, 1.0], {nan: "found"}


@nasty(EITHER, args=given(nan_and_known))
def nan_is_found_by_identity(xs, known, table):
    return [(x in known, known.count(x), table.get(x)) for x in xs]


class Plain:
    pass


def plain_objects():
    a, b = Plain(), Plain()
    return [a, b], {a: "a", b: "b"}


@nasty(EITHER, args=given(plain_objects))
def found_by_default_hash(objects, table):
    return [table.get(o) for o in objects]


@nasty(EITHER, args=given(plain_objects))
def found_by_default_equality(objects, table):
    return [o == p for o in objects for p in table]


@nasty(EITHER, args=given(lambda: (["a", "b", "c"],)))
def hash_of_strings(xs):
    return [hash(x) for x in xs]


WORDS = [f"word{i}" for i in range(20)]


@nasty(EITHER, args=given(lambda: ([1, 2, 3],)))
def order_of_a_set(xs):
    return [list(set(WORDS)) for x in xs]


@nasty(EITHER, EITHER, args=given(lambda: ([1, 2, 3],)))
def order_of_a_set_in_text(xs):
    out = []
    for x in xs:
        out.append(str({w for w in WORDS}))
    return out


@nasty(EITHER, args=given(lambda: ([1, 2, 3],)))
def pop_from_a_set(xs):
    out = []
    for x in xs:
        s = set(WORDS)
        out.append(s.pop())
    return out


@nasty(EITHER, args=given(lambda: ([1, 2, 3],)))
def longest_in_a_set(xs):
    return [max(set(WORDS), key=len) for x in xs]


@nasty(EITHER, EITHER, args=given(lambda: ([1, 2, 3], set(WORDS))))
def inner_loop_over_a_set(xs, words):
    out = []
    for x in xs:
        text = ""
        for w in words:
            text += w
        out.append(text)
    return out


@nasty(EITHER, args=given(lambda: ([1, 2, 3], set(WORDS))))
def unpacked_set(xs, words):
    return [(x, *words) for x in xs]


@nasty(EITHER, args=given(lambda: (set(WORDS),)))
def loop_over_a_set(words):
    out = []
    for w in words:
        out.append(w)
    return out


@nasty(EITHER, args=given(lambda: ([1, 2, 3],)))
def sorted_set(xs):
    return [sorted(set(WORDS)) for x in xs]


@nasty(EITHER, args=given(lambda: ([1, 2, 3],)))
def address_in_text(xs):
    shared = Plain()
    text = repr(shared)
    return [repr(shared) == text for x in xs]


@nasty("identity unknown world", args=given(lambda: ([1, 2, 3],)))
def reference_count(xs):
    shared = [1]
    return [sys.getrefcount(shared) > 0 for x in xs]


@nasty("identity unknown shared carried", args=given(lambda: ([1, 2, 3],)))
def weak_reference(xs):
    p = Plain()
    seen = weakref.WeakSet()
    out = []
    for x in xs:
        seen.add(p)
        out.append(len(seen))
    return out


@nasty(EITHER, EITHER)
def classes_made_inside(xs):
    out = []
    for x in xs:

        class Made:
            value = x

        out.append(Made)
    return [c.value for c in out], len(set(out))


@nasty(EITHER)
def strings_interned(xs):
    key = "a" * 30
    out = []
    for x in xs:
        out.append(key)
    return out[0] is out[1]


# --- The process and the world ----------------------------------------------------------------------------------------


@nasty("world unknown carried", args=numbers(3, 1, 2))
def random_without_seed(xs):
    random.seed(1)
    return [random.random() + x for x in xs]


@nasty("world unknown carried shared", args=numbers(3, 1, 2))
def one_random_object(xs):
    r = random.Random(4)
    return [r.randint(0, x) for x in xs]


@nasty(EITHER, args=numbers(3, 1, 2))
def random_of_its_own(xs):
    return [random.Random(x).randint(0, 100) for x in xs]


@nasty("world unknown carried")
def numpy_random_global(xs):
    np.random.seed(3)
    out = []
    for x in xs:
        out.append(np.random.normal())
    return out


@nasty("world unknown carried")
def numpy_random_seeded_inside(xs):
    out = []
    for x in xs:
        np.random.seed(x)
        out.append(np.random.normal())
    return out, np.random.normal()


@nasty("world unknown")
def clock(xs):
    return [time.time() > x for x in xs]


@nasty("world unknown")
def elapsed(xs):
    start = time.perf_counter()
    return [x for x in xs if time.perf_counter() - start < 1000]


@nasty("world unknown")
def process_id(xs):
    return [os.getpid() + x for x in xs]


@nasty("world unknown")
def thread_id(xs):
    return [threading.get_ident() + x for x in xs]


@nasty("world unknown")
def unique_name(xs):
    return len({uuid.uuid4() for x in xs})


@nasty(EITHER)
def environment_read(xs):
    os.environ["LOOPS_SCALE"] = "30"
    try:
        return [x * int(os.environ["LOOPS_SCALE"]) for x in xs]
    finally:
        del os.environ["LOOPS_SCALE"]


@nasty("world unknown shared carried")
def environment_written(xs):
    out = []
    for x in xs:
        os.environ["LOOPS_LAST"] = str(x)
        out.append(os.environ.get("LOOPS_LAST"))
    del os.environ["LOOPS_LAST"]
    return out


@nasty("world unknown")
def folder_changed(xs):
    home = os.getcwd()
    out = []
    for x in xs:
        os.makedirs("deeper")
        os.chdir("deeper")
        out.append(os.path.relpath(os.getcwd(), home))
    os.chdir(home)
    return out


@nasty(EITHER)
def read_relative_after_chdir(xs):
    home = os.getcwd()
    os.mkdir("below")
    os.chdir("below")
    with open("data.txt", "w") as f:
        f.write("7")
    try:
        out = []
        for x in xs:
            with open("data.txt") as f:
                out.append(x * int(f.read()))
        return out
    finally:
        os.chdir(home)


@nasty(EITHER)
def current_folder(xs):
    return [os.path.join(os.getcwd(), str(x)) for x in xs]


@nasty(EITHER)
def errstate_outside(xs):
    out = []
    with np.errstate(all="raise"):
        for x in xs:
            out.append(np.log(np.float64(x - 1)))
    return out


@nasty(EITHER)
def decimal_context_outside(xs):
    with decimal.localcontext() as c:
        c.prec = 3
        return [decimal.Decimal(1) / decimal.Decimal(x) for x in xs]


@nasty(EITHER)
def print_options_outside(xs):
    with np.printoptions(precision=2):
        return [str(np.array([1 / x])) for x in xs]


@nasty(EITHER)
def pandas_option_outside(xs):
    with pd.option_context("display.precision", 1):
        return [str(pd.Series([1 / x])) for x in xs]


@nasty(EITHER)
def recursion_limit_outside(xs):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(150)
    try:
        return [is_even(x * 100) for x in xs]
    except RecursionError:
        return "too deep"
    finally:
        sys.setrecursionlimit(limit)


@nasty("world unknown carried shared")
def same_file_written(xs):
    for x in xs:
        with open("last.txt", "w") as f:
            f.write(str(x))


@nasty("world unknown carried shared")
def same_file_appended(xs):
    for x in xs:
        with open("all.txt", "a") as f:
            f.write(f"{x}\n")


@nasty(SPLIT)
def file_for_each(xs):
    for i, x in enumerate(xs):
        with open(f"out_{i}.txt", "w") as f:
            f.write(str(x))


@nasty(EITHER, args=numbers(3, 1, 2, 4))
def files_collide(xs):
    for x in xs:
        with open(f"out_{x % 2}.txt", "w") as f:
            f.write(str(x))


@nasty(EITHER)
def file_was_there(xs):
    with open("out_1.txt", "w") as f:
        f.write("before")
    for x in xs:
        with open(f"out_{x}.txt", "w") as f:
            f.write(str(x))


@nasty(EITHER, args=numbers(1, 2, 3))
def file_read_by_the_next(xs):
    with open("f0.txt", "w") as f:
        f.write("5")
    out = []
    for x in xs:
        with open(f"f{x - 1}.txt") as f:
            before = int(f.read())
        with open(f"f{x}.txt", "w") as f:
            f.write(str(before * 2))
        out.append(before)
    return out


@nasty("world unknown carried", args=numbers(1, 2, 3))
def folder_listed_while_written(xs):
    out = []
    for x in xs:
        with open(f"n{x}.txt", "w") as f:
            f.write("x")
        out.append(len(os.listdir(".")))
    return out


@nasty("world unknown carried", EITHER, args=numbers(1, 2, 3))
def numbered_from_what_is_there(xs):
    for x in xs:
        n = len([name for name in os.listdir(".") if name.startswith("n")])
        with open(f"n{n}.txt", "w") as f:
            f.write(str(x))


@nasty(EITHER, "world unknown", args=numbers(1, 2))
def removed(xs):
    for x in (0, *xs):
        open(f"r{x}", "w").close()
    out = []
    for x in xs:
        out.append(os.path.exists(f"r{x - 1}"))
        os.remove(f"r{x}")
    return out


@nasty("world unknown")
def folder_made(xs):
    for x in xs:
        os.makedirs("same", exist_ok=x != 2)


@nasty("world unknown shared")
def subprocess_started(xs):
    return [subprocess.run(["sh", "-c", f"echo {x} >> sub.txt"]).returncode for x in xs]


@nasty("world unknown shared")
def system_called(xs):
    return [os.system(f"echo {x} >> sys.txt") for x in xs]


@nasty("world unknown shared carried")
def shared_handle_written(xs):
    with open("all.txt", "w") as f:
        for x in xs:
            f.write(f"{x} at {f.tell()}\n")


@nasty(EITHER)
def shared_handle_only_written(xs):
    with open("all.txt", "w") as f:
        for x in xs:
            f.write(f"{x}\n")


@nasty(EITHER)
def rows_to_csv(xs):
    with open("rows.csv", "w", newline="") as f:
        writer = csv.writer(f)
        for x in xs:
            writer.writerow([x, double(x)])


@nasty("world unknown shared carried")
def shared_handle_read(xs):
    f = io.StringIO("1\n2\n3\n4\n")
    return [int(f.readline()) * x for x in xs]


@nasty(EITHER)
def lines_and_position(xs):
    f = io.StringIO("1\n2\n3\n4\n")
    out = []
    for line in f:
        out.append(line.strip())
    return out, f.tell()


@nasty("iterable carried unknown shared")
def line_skipped_inside(xs):
    f = io.StringIO("1\n2\n3\n4\n")
    out = []
    for line in f:
        out.append(line.strip() + next(f).strip())
    return out


@nasty("world unknown")
def temporary_file_name(xs):
    return [os.path.basename(tempfile.mkdtemp(prefix=f"t{x}", dir="."))[:2] for x in xs]


@nasty(SPLIT)
def prints_in_order(xs):
    for x in xs:
        print("x is", x, sep=" = ", end=";\n", flush=True)
        if x == 1:
            print("one", file=sys.stderr)


@nasty(EITHER)
def prints_from_callee(xs):
    print("start")
    out = []
    for x in xs:
        out.append(noisy(x))
        print("after", x)
    return out


@nasty(EITHER)
def prints_between_appends_of_talking(xs):
    out = Talking()
    for x in xs:
        print("a")
        out.append(x)
        print("b")
    return out


@nasty(EITHER)
def writes_to_stdout(xs):
    for x in xs:
        sys.stdout.write(f"{x}\n")


@nasty("world unknown carried shared")
def reads_what_was_printed(xs):
    buffer = io.StringIO()
    out = []
    with contextlib.redirect_stdout(buffer):
        for x in xs:
            print(x)
            out.append(len(buffer.getvalue()))
    return out


@nasty(EITHER)
def stdout_replaced_outside(xs):
    buffer = io.StringIO()
    with contextlib.redirect_stdout(buffer):
        for x in xs:
            print(x)
    return buffer.getvalue()


@nasty("world unknown shared carried")
def stdout_replaced_inside(xs):
    out = []
    for x in xs:
        buffer = io.StringIO()
        sys.stdout, before = buffer, sys.stdout
        print(x)
        sys.stdout = before
        out.append(buffer.getvalue())
    return out


@nasty(EITHER)
def print_replaced(xs):
    lines = []

    def print(*args):
        lines.append((len(lines), *args))

    for x in xs:
        print("x", x)
    return lines


@nasty(EITHER)
def prints_to_a_list(xs):
    class Lines(list):
        def write(self, text):
            self.append((len(self), text))

    lines = Lines()
    for x in xs:
        print(x, file=lines)
    return lines


@nasty("carried")
def prints_an_accumulator_alias(xs):
    out = []
    seen = {"out": out}
    for x in xs:
        out.append(x)
        print(seen)
    return out


@nasty(EITHER)
def prints_what_changes_later(xs):
    for x in xs:
        row = [x]
        print(row)
        row.append("later")


@nasty(EITHER)
def logs(xs):
    for x in xs:
        log.warning("at %s", x)


@nasty(EITHER)
def logs_lazily(xs):
    row = []
    for x in xs:
        row = [x]
        log.info("row %s", row)
        row.append("later")


@nasty(EITHER)
def warns_once(xs):
    for x in xs:
        warnings.warn("once for this line", stacklevel=1)
    warnings.warn("and here", stacklevel=1)


@nasty(EITHER)
def warns_by_callee(xs):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        return [float(np.mean(np.zeros(0))) if x == 1 else x for x in xs]


@nasty(EITHER)
def warnings_are_errors(xs):
    out = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            for x in xs:
                out.append(x)
                if x == 1:
                    warnings.warn("now an error", stacklevel=1)
        except UserWarning as e:
            out.append(str(e))
    return out


@nasty("world unknown shared")
def warnings_caught_inside(xs):
    out = []
    for x in xs:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("caught", stacklevel=1)
            out.append(len(caught))
    return out


# --- What the loop iterates over --------------------------------------------------------------------------------------


@nasty(EITHER)
def generator_interleaved(xs):
    out = []
    for x in produce(xs):
        print("consume", x)
        out.append(x)
    return out


@nasty(EITHER, EITHER)
def generator_reads_accumulator(xs):
    out = []

    def feed():
        while len(out) < 4:
            yield len(out)

    for x in feed():
        out.append(x * 10)
    return out


@nasty(EITHER, EITHER)
def generator_expression_reads_accumulator(xs):
    out = [1]
    for n in (len(out) + x for x in xs):
        out.append(n)
    return out


@nasty(EITHER)
def mapped_iterable_reads_accumulator(xs):
    out = []
    for n in map(lambda x: x + len(out), xs):
        out.append(n)
    return out


@nasty(EITHER, EITHER, EITHER)
def generator_twice(xs):
    g = (x * 2 for x in xs)
    first = [x for x in g]
    second = [x for x in g]
    return first, second


@nasty(EITHER, args=given(lambda: (iter([1, 2, 3, 4, 5]),)))
def zipped_with_itself(it):
    out = []
    for a, b in zip(it, it):
        out.append(a * 10 + b)
    return out, list(it)


@nasty("iterable carried unknown shared", args=given(lambda: (iter([1, 2, 3, 4, 5, 6]),)))
def skips_ahead(it):
    out = []
    for x in it:
        out.append(x)
        if x % 2:
            next(it)
    return out


@nasty("iterable carried shared", args=numbers(1, 2, 3))
def appends_to_iterable(xs):
    for x in xs:
        if x < 5:
            xs.append(x + 4)


@nasty("iterable carried shared", args=numbers(1, 2, 3, 4))
def removes_from_iterable(xs):
    for x in xs:
        xs.remove(x)


@nasty("iterable carried shared", args=numbers(1, 2, 0))
def writes_ahead(xs):
    out = []
    for x in xs:
        xs[x] = 2
        out.append(x)
    return out


@nasty("iterable carried shared", args=given(lambda: ({"a": 1, "b": 2},)))
def dictionary_grows(d):
    for k in d:
        d[k + "!"] = 1


@nasty(EITHER, args=given(lambda: ({"a": 1, "b": 2},)))
def dictionary_values_replaced(d):
    for k, v in d.items():
        d[k] = v * 2


@nasty("iterable carried shared", args=given(lambda: ({"a": 1, "b": 2},)))
def dictionary_shrinks(d):
    out = []
    for k in list(d):
        out.append((k, len(d)))
        del d[k]
    return out


@nasty("iterable carried shared")
def enumerated_alias_grows(xs):
    out = xs
    for i, x in enumerate(xs):
        if i < 3:
            out.append(x)
    return out


@nasty(EITHER)
def iterable_renamed_by_target(xs):
    out = []
    for xs in xs:
        out.append(xs)
    return out, xs


@nasty(EITHER)
def iterable_rebound_inside(xs):
    out = []
    for x in xs:
        xs = [100]
        out.append(x)
    return out, xs


@nasty(EITHER)
def endless_until_error(xs):
    out = []
    try:
        for i in itertools.count():
            out.append(6 // (3 - i))
    except ZeroDivisionError:
        return out


@nasty(EITHER)
def huge_until_error(xs):
    out = []
    try:
        for i in range(10**15):
            out.append(6 // (3 - i))
    except ZeroDivisionError:
        return out, i


@nasty(EITHER, args=given(lambda: (5,)))
def not_iterable(n):
    for x in n:
        print(x)


@nasty(EITHER)
def zip_strict_fails(xs):
    out = []
    try:
        for a, b in zip(xs, [1, 2], strict=True):
            out.append(a + b)
    except ValueError:
        return out, a, b


@nasty(EITHER)
def until_sentinel(xs):
    f = io.StringIO("a\nb\n\nc\n")
    return [line.strip() for line in iter(f.readline, "\n")], f.read()


@nasty(EITHER, EITHER)
def reversed_and_sliced(xs):
    out = []
    for x in reversed(xs):
        for y in itertools.islice(itertools.cycle(xs), 4):
            out.append((x, y))
    return out


class Countdown:
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return self

    def __next__(self):
        if self.n == 0:
            raise StopIteration
        self.n -= 1
        return self.n


@nasty(EITHER, args=given(lambda: (Countdown(5),)))
def own_iterator(c):
    out = []
    for n in c:
        out.append(n)
    return out


@nasty("iterable carried shared unknown", args=given(lambda: (Countdown(10),)))
def own_iterator_pushed(c):
    out = []
    for n in c:
        c.n -= 1
        out.append(n)
    return out


@nasty(EITHER, args=given(lambda: (Countdown(6),)))
def own_iterator_watched(c):
    out = []
    for n in c:
        out.append((n, c.n))
    return out


@nasty(EITHER)
def generator_closed(xs):
    def feed():
        try:
            yield from xs
        finally:
            print("closed")

    out = []
    try:
        for x in feed():
            out.append(6 // (x - 1))
    except ZeroDivisionError:
        print("failed")
    return out


@nasty(EITHER, args=given(lambda: (np.arange(6).reshape(3, 2),)))
def rows_are_views(a):
    out = []
    for row in a:
        out.append(row)
    a[0, 0] = 99
    return out


# --- Targets ----------------------------------------------------------------------------------------------------------


@nasty("target shared", args=given(lambda: ([3, 1, 2], Record("r"))))
def attribute_target(xs, record):
    out = []
    for record.name in xs:
        out.append(record.name)
    return out


@nasty("target shared", args=given(lambda: ([3, 1, 2], [0, 0])))
def item_target(xs, cell):
    out = []
    for cell[0] in xs:
        out.append(sum(cell))
    return out


@nasty("target shared", args=given(lambda: ([3, 1, 2], {})))
def key_target(xs, d):
    for i, d[i] in enumerate(xs):
        pass


@nasty(SPLIT, args=given(lambda: ([(1, 2, 3), (4,), (5, 6)],)))
def starred_target(rows):
    out = []
    for first, *rest in rows:
        out.append((first, rest))
    return out, first, rest


@nasty(EITHER)
def nested_target(xs):
    out = []
    for i, (a, (b, *c)) in enumerate([(1, (2, 3)), (4, (5,))]):
        out.append((i, a, b, c))
    return out, a, b, c


@nasty(EITHER)
def one_name_twice(xs):
    out = []
    for i, i in enumerate(xs):
        out.append(i)
    return out


@nasty("target carried shared", args=given(lambda: ([[1], [2]],)))
def target_is_accumulator(lists):
    out = []
    for out in lists:
        out.append(9)
    return out


@nasty(SPLIT, SPLIT)
def target_of_an_earlier_loop(xs):
    out = []
    for x in xs:
        out.append(x)
    for y in xs:
        out.append(x + y)
    return out


# --- Functions and classes made inside --------------------------------------------------------------------------------


@nasty("closure", EITHER)
def closures_escape(xs):
    fs = []
    for x in xs:
        fs.append(lambda: x)
    return [f() for f in fs]


@nasty(EITHER, EITHER)
def closures_with_defaults(xs):
    fs = []
    for x in xs:
        fs.append(lambda x=x: x)
    return [f() for f in fs]


@nasty(EITHER, EITHER)
def closures_from_comprehension(xs):
    return [f() for f in [lambda: x for x in xs]]


@nasty("closure shared carried")
def closure_changes_accumulator(xs):
    out = []

    def add(x):
        out.append(x + len(out))

    for x in xs:
        add(x)
    return out


@nasty("closure shared carried scope")
def closure_counts(xs):
    n = 0

    def bump():
        nonlocal n
        n += 1
        return n

    return [x * bump() for x in xs]


@nasty("closure shared carried scope")
def closure_assigns_temporary(xs):
    y = 0

    def put(x):
        nonlocal y
        y = x

    out = []
    for x in xs:
        put(x)
        out.append(y)
    return out, y


@nasty(SPLIT, args=given(lambda: ([[3, 1], [2]],)))
def lambda_used_up(rows):
    out = []
    for row in rows:
        out.append(sorted(row, key=lambda v: -v))
    return out


@nasty(EITHER, EITHER)
def function_returns_inside(xs):
    out = []
    for x in xs:

        def f():
            for i in range(5):
                if i == x:
                    return i
            return None

        out.append(f())
    return out


@nasty(EITHER)
def loop_in_a_class_body(xs):
    class Body:
        values = []
        for x in xs:
            values.append(x)

    return Body.values, Body.x


@nasty("scope shared carried closure unknown")
def local_class_counts(xs):
    class Ticket:
        n = 0

        def __init__(self):
            Ticket.n += 1
            self.number = Ticket.n

    return [Ticket().number + x for x in xs]


@nasty(EITHER, EITHER)
def local_class_used(xs):
    class Box:
        def __init__(self, v):
            self.v = v

    out = []
    for x in xs:
        out.append(Box(x))
    return [type(b) is Box for b in out]


@nasty(EITHER)
def named_tuples(xs):
    out = []
    for x in xs:
        out.append(Point(x, y=double(x)))
    return out


@nasty(EITHER)
def pattern_matching(xs):
    out = []
    for x in [*xs, (1, 2), {"k": 5}]:
        match x:
            case int() if x > 1:
                out.append("big")
            case (a, b):
                out.append(a + b)
            case {"k": v}:
                out.append(v)
            case _:
                out.append(None)
    return out


@nasty(EITHER)
def conditional_import_of_name(xs):
    out = []
    for x in xs:
        from math import sqrt

        out.append(sqrt(x))
    return out


@nasty(SPLIT)
def annotated_temporary(xs):
    out: list[int] = []
    for x in xs:
        y: int = x + 1
        out.append(y)
    return out


@nasty("shared carried scope")
def augmented_global_list(xs):
    CALLS.clear()
    out = []
    for x in xs:
        CALLS.extend([x])
        out.append(CALLS[-1])
    return out


@nasty(EITHER, args=given(lambda: ([3, 1, 2], types.SimpleNamespace(scale=2))))
def attribute_read_only(xs, settings):
    out = []
    for x in xs:
        out.append(x * settings.scale)
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], types.SimpleNamespace(scale=2))))
def attribute_read_and_stored(xs, settings):
    out = []
    for x in xs:
        settings.scale += 1
        out.append(x * settings.scale)
    return out


@nasty(EITHER, args=given(lambda: ("pattern", ["a1", "b2", "c"])))
def regular_expressions(name, lines):
    pattern = re.compile(r"([a-z])(\d)")
    out = []
    for line in lines:
        m = pattern.match(line)
        if not m:
            continue
        out.append(m.groups())
    return out


@nasty(EITHER, EITHER, args=given(lambda: ("pattern", ["a1", "b2", "c"])))
def match_objects_kept(name, lines):
    return [m.group(1) for m in [re.match(r"([a-z])(\d)", line) for line in lines] if m]


@nasty(EITHER)
def chained_comparison_and_tuple(xs):
    out = []
    for x in xs:
        lo, hi = x, x + 1
        lo, hi = hi, lo
        if 0 < lo < 10:
            out.append((lo, hi))
    return out


@nasty("shared carried", args=given(lambda: ([{"id": 1}, {"id": 2}],)))
def elements_annotated(records):
    for r in records:
        r["double"] = r["id"] * 2
    return records


@nasty(EITHER, args=given(lambda: ([3, 1, 2], collections.ChainMap({}, {"k": 1}))))
def chain_map(xs, m):
    for x in xs:
        m[x] = m["k"] + x
    return dict(m)


# --- Library calls that are less innocent than they look --------------------------------------------------------------


@nasty("carried shared unknown")
def rot90_is_a_view(xs):
    shared = np.zeros((2, 2))
    out = []
    for x in xs:
        mine = np.rot90(shared)
        mine[0, 0] += x
        out.append(float(mine[0, 0]))
    return out


@nasty("carried shared unknown")
def trim_zeros_is_a_view(xs):
    shared = np.array([0.0, 1.0, 2.0, 0.0])
    out = []
    for x in xs:
        mine = np.trim_zeros(shared)
        mine[0] += x
        out.append(float(mine[0]))
    return out


@nasty("carried shared unknown")
def first_power_is_the_same(xs):
    shared = np.eye(2)
    out = []
    for x in xs:
        mine = np.linalg.matrix_power(shared, 1)
        mine[0, 0] += x
        out.append(float(mine[0, 0]))
    return out


@nasty("carried shared unknown")
def matrix_transpose_is_a_view(xs):
    shared = np.eye(2)
    out = []
    for x in xs:
        mine = np.linalg.matrix_transpose(shared)
        mine += x
        out.append(float(mine[0, 1]))
    return out


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [[0], None])))
def array_of_objects(xs, shared):
    out = []
    for x in xs:
        mine = np.array(shared, dtype=object)
        mine[0].append(x)
        out.append(len(mine[0]))
    return out


@nasty("carried shared unknown")
def overwriting_keyword(xs):
    shared = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    out = []
    for x in xs:
        out.append(float(np.median(shared, overwrite_input=True)) + float(shared[0]))
    return out


@nasty("carried shared unknown")
def nan_to_num_in_place(xs):
    shared = np.array([np.nan, 1.0])
    out = []
    for x in xs:
        out.append(float(shared[1]) + x)
        np.nan_to_num(shared, copy=False, nan=float(x))
    return out


@nasty("world unknown carried shared", args=numbers(3, 1, 2))
def default_rng_of_a_generator(xs):
    rng = np.random.default_rng(1)
    out = []
    for x in xs:
        mine = np.random.default_rng(rng)
        out.append(mine.normal())
    return out


@nasty("world unknown carried shared", args=numbers(3, 1, 2))
def generators_on_one_source(xs):
    source = np.random.PCG64(5)
    out = []
    for x in xs:
        out.append(np.random.Generator(source).normal())
    return out


@nasty("world unknown carried shared", args=numbers(3, 1, 2))
def spawns_from_one_sequence(xs):
    sequence = np.random.SeedSequence(5)
    out = []
    for x in xs:
        out.append(np.random.default_rng(sequence.spawn(1)[0]).normal())
    return out


class Sensor:
    """Its methods have names that everybody knows."""

    def __init__(self):
        self.n = 0

    def mean(self):
        self.n += 1
        return self.n

    get = fit = sum = copy = count = keys = lambda self, *args: self.mean()


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Sensor())))
def method_called_mean(xs, sensor):
    return [sensor.mean() + x for x in xs]


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Sensor())))
def method_called_get(xs, sensor):
    out = []
    for x in xs:
        out.append((sensor.get(x), sensor.count(x)))
    return out


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Sensor())))
def method_called_fit(xs, model):
    scores = []
    for x in xs:
        model.fit(x)
        scores.append(model.n)
    return scores


@nasty(EITHER, args=given(lambda: ([Sensor(), Sensor()],)))
def elements_with_methods(sensors):
    out = []
    for sensor in sensors:
        out.append(sensor.sum())
    return out


@nasty(EITHER, args=given(lambda: ([3, 1, 2], defaultdict(int, {1: 5}))))
def reading_a_defaultdict_adds_keys(xs, table):
    out = []
    for x in xs:
        out.append(table[x])
    return out


class Recording(dict):
    def __missing__(self, key):
        CALLS.append(key)
        return len(CALLS)


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Recording())))
def reading_a_missing_key(xs, table):
    return [table[x] for x in xs]


class Odd(list):
    def __iter__(self):
        CALLS.append("iter")
        return super().__iter__()

    def __len__(self):
        CALLS.append("len")
        return super().__len__()


@nasty(EITHER, args=given(lambda: (Odd([3, 1, 2]),)))
def iterable_that_notices(xs):
    out = []
    for x in xs:
        out.append(x)
    return out


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Odd([1, 2]))))
def inner_iterable_that_notices(xs, ys):
    out = []
    for x in xs:
        out.append(sum(ys) + len(CALLS))
    return out


class Shifty:
    """Another one when it comes back."""

    def __init__(self, value):
        self.value = value

    def __getstate__(self):
        return {"value": self.value + 100}

    def __reduce__(self):
        return Shifty, (self.value + 1000,)


@nasty(EITHER, args=given(lambda: ([Shifty(1), Shifty(2)],)))
def elements_that_change_on_the_way(xs):
    out = []
    for x in xs:
        out.append(x.value)
    return out


@nasty(EITHER, args=given(lambda: ([threading.Lock(), print, (i for i in range(3)), 1],)))
def elements_that_cannot_travel(xs):
    out = []
    for x in xs:
        out.append(x == 1)
    return out


@nasty(EITHER, args=numbers(1, 1, 2, 2, 2, 3))
def groups_of_an_iterator(xs):
    out = []
    for key, group in itertools.groupby(xs):
        out.append((key, list(group)))
    return out


@nasty(EITHER, "iterable carried shared unknown world", EITHER)
def walk_pruned(xs):
    for path in ("a/keep", "a/skip/deep", "b"):
        os.makedirs(path)
    out = []
    for root, folders, files in os.walk("."):
        folders[:] = sorted(f for f in folders if f != "skip")
        out.append((root, list(folders)))
    return out


def dictionary_to_itself():
    d = {"a": 1, "b": 2}
    return d, d


@nasty(EITHER, args=given(dictionary_to_itself))
def dictionary_is_accumulator(d, out):
    for k in d:
        out[k + "!"] = 1


@nasty(EITHER, args=given(dictionary_to_itself))
def items_are_accumulator(d, out):
    for k, v in d.items():
        out[k] = v + len(d)


@nasty(EITHER, args=numbers(100, 100, 3))
def small_integers_overflow(xs):
    total = np.int8(0)
    for x in xs:
        print("adding", x)
        total += np.int8(x)
    return total


@nasty(EITHER, args=numbers(0, 0, 1))
def numpy_warns(xs):
    out = []
    for x in xs:
        print("at", x)
        out.append(np.float64(1) / np.float64(x))
    return out


@nasty(EITHER, args=numbers(0, 0, 1))
def numpy_warns_in_callee(xs):
    def inverse(v):
        return np.float64(1) / np.float64(v)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        return [inverse(x) for x in xs]


@nasty("leaves carried", EITHER)
def inner_loop_of_a_serial_one(xs):
    theta, steps = 1, []
    while theta < 500:
        steps.append([x * theta for x in xs])
        theta += sum(steps[-1])
    return theta, steps


@nasty(EITHER, EITHER)
def table_changed_in_place_between(xs):
    table, arr, out = [1, 2, 3, 4], np.zeros(4), []
    for _ in range(3):
        out.append([table[x] + arr[x] for x in xs])
        table.reverse()
        arr += 1
    return out


@nasty(EITHER, EITHER)
def function_changed_between(xs):
    global double
    first = [double(x) for x in xs]
    before, double = double, lambda x: x * 5
    second = [double(x) for x in xs]
    double = before
    return first, second


@nasty(EITHER)
def global_list_appended(xs):
    for x in xs:
        CALLS.append(x)
    return list(CALLS)


@nasty(EITHER, EITHER)
def two_on_one_line(xs):
    a, b = [x for x in xs], [x * 2 for x in xs]
    return a, b


@nasty(EITHER)
def lines_of_a_file(xs):
    with open("lines.txt", "w") as f:
        f.write("1\n0\n3\n")
    out = []
    with open("lines.txt") as f:
        try:
            for line in f:
                out.append(6 // int(line))
        except ZeroDivisionError:
            out.append(f.readline())
    return out


@nasty(EITHER)
def rows_of_a_csv(xs):
    f = io.StringIO("a,b\n1,2\n3,4\n")
    out = []
    for row in csv.DictReader(f):
        out.append(int(row["a"]) + int(row["b"]))
    return out


@nasty(EITHER, args=given(small_frame))
def values_of_a_frame_written(df):
    out = []
    for i in range(2):
        values = df.to_numpy(copy=False)
        try:
            values[i, 0] = 100
        except ValueError as e:
            out.append(str(e))
        out.append(float(df["b"].sum()) + float(df.iloc[i, 0]))
    return out


@nasty(EITHER)
def array_wrapped_in_a_series(xs):
    shared = np.zeros(3)
    out = []
    for x in xs:
        s = pd.Series(shared, copy=False)
        s.iloc[0] = x
        out.append(float(shared[0]))
    return out


@nasty("carried shared", args=given(lambda: ([3, 1, 2], bytearray(b"abcd"))))
def bytes_written_and_read(xs, buffer):
    out = []
    for x in xs:
        buffer[x] = 65 + x
        out.append(bytes(buffer))
    return out


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], bytearray(b"abcd"))))
def memory_view_of_shared(xs, buffer):
    out = []
    for x in xs:
        mine = memoryview(buffer)
        mine[0] = 65 + x
        out.append(mine[1] + mine[0])
        mine[1] = x
    return out


@nasty("carried shared unknown", EITHER, args=given(lambda: ([3, 1, 2], {"k": []})))
def zipped_alias(xs, table):
    out = []
    for x in xs:
        for k, mine in table.items():
            mine.append(x)
            out.append(len(mine))
    return out


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [[0]])))
def alias_through_map(xs, lists):
    out = []
    for x in xs:
        mine = list(map(lambda v: v, lists))
        mine[0].append(x)
        out.append(len(mine[0]))
    return out


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], Record("r"))))
def alias_through_namespace(xs, record):
    out = []
    for x in xs:
        mine = types.SimpleNamespace(r=record)
        mine.r.values.append(x)
        out.append(len(record.values))
    return out


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [0])))
def alias_through_own_object(xs, shared):
    out = []
    for x in xs:
        r = Record("mine", shared)
        r.values.append(x)
        out.append(len(r.values))
    return out


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [0])))
def alias_through_own_list(xs, shared):
    out = []
    for x in xs:
        mine = []
        mine.append(shared)
        mine[0].append(x)
        out.append(len(mine[0]))
    return out


def fill(target, value):
    target["v"] = value


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [0])))
def alias_through_callee_argument(xs, shared):
    out = []
    for x in xs:
        mine = {}
        fill(mine, shared)
        mine["v"].append(x)
        out.append(len(shared))
    return out


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [0])))
def alias_through_closure_cell(xs, shared):
    out = []
    for x in xs:
        box = None

        def put():
            nonlocal box
            box = shared

        put()
        box.append(x)
        out.append(len(box))
    return out


@nasty("carried shared unknown")
def alias_through_global_default(xs):
    def latest(rows=SHARED["rows"]):
        return rows[0]

    out = []
    for x in xs:
        mine = latest()
        mine.append(x)
        out.append(len(mine))
    return out


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [0])))
def alias_through_exception(xs, shared):
    out = []
    for x in xs:
        try:
            raise KeyError(shared)
        except KeyError as e:
            e.args[0].append(x)
            out.append(len(shared))
    return out


@nasty("carried shared unknown", EITHER, args=given(lambda: ([3, 1, 2], [0])))
def alias_through_generator(xs, shared):
    def give():
        yield shared

    out = []
    for x in xs:
        for mine in give():
            mine.append(x)
            out.append(len(mine))
    return out


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [[0]])))
def alias_through_sum(xs, lists):
    out = []
    for x in xs:
        mine = sum([lists], [])
        mine[0].append(x)
        out.append(len(lists[0]))
    return out


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [0])))
def alias_through_ternary_call(xs, shared):
    out = []
    for x in xs:
        mine = copy.copy({"deep": shared})["deep"]
        mine.append(x)
        out.append(len(mine))
    return out


# --- Ways through the code by which something shared arrives ----------------------------------------------------------


@nasty("carried shared unknown", EITHER, args=given(lambda: ([3, 1, 2], [0])))
def shared_by_continue(xs, shared):
    out = []
    for x in xs:
        mine = []
        for y in range(3):
            mine.append(x)
            out.append(len(mine))
            if y == 1:
                mine = shared
                continue
            mine = []
    return out


@nasty("carried shared unknown", EITHER, args=given(lambda: ([3, 1, 2], [0])))
def shared_by_break(xs, shared):
    out = []
    for x in xs:
        mine = []
        for y in range(3):
            if y == x:
                mine = shared
                break
        mine.append(x)
        out.append(len(mine))
    return out


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [0])))
def shared_by_raise(xs, shared):
    out = []
    for x in xs:
        mine = []
        try:
            if x != 1:
                mine = shared
                raise ValueError
            mine = [x]
        except ValueError:
            mine.append(x)
        out.append(len(mine))
    return out


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [0])))
def shared_in_the_midst_of_try(xs, shared):
    out = []
    for x in xs:
        mine = []
        try:
            mine = shared
            y = 6 // (x - 1)
            mine = [y]
        except ZeroDivisionError:
            pass
        mine.append(x)
        out.append(len(mine))
    return out, shared


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [0])))
def shared_in_the_midst_of_with(xs, shared):
    out = []
    for x in xs:
        mine = []
        with contextlib.suppress(ZeroDivisionError):
            mine = shared
            y = 6 // (x - 1)
            mine = [y]
        mine.append(x)
        out.append(len(mine))
    return out, shared


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [0])))
def shared_in_finally(xs, shared):
    out = []
    for x in xs:
        mine = []
        try:
            mine = shared
            y = 6 // (x - 1)
            mine = [y]
        except ZeroDivisionError:
            y = 0
        finally:
            mine.append(x)
        out.append(len(mine))
    return out, shared


@nasty("carried shared unknown", EITHER, args=given(lambda: ([3, 1, 2], [0])))
def shared_after_many_rounds(xs, shared):
    out = []
    for x in xs:
        a, b, c, d, e, f, g, h = [], [], [], [], [], [], [], []
        for _ in range(9):
            a.append(x)
            out.append(len(a))
            a = b
            b = c
            c = d
            d = e
            e = f
            f = g
            g = h
            h = shared
    return out


@nasty("carried shared unknown", EITHER, EITHER, args=given(lambda: ([3, 1, 2], [0])))
def shared_by_second_generator(xs, shared):
    def give():
        yield shared

    out = []
    for x in xs:
        for mine in give():
            out.append(mine[0])
        for mine in give():
            mine.append(x)
            out.append(len(mine))
    return out


def last_of(rows):
    found = None
    for row in rows:
        if row:
            found = row
            break
    return found


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [[], [0]])))
def shared_by_callee_with_break(xs, lists):
    out = []
    for x in xs:
        mine = last_of(lists)
        mine.append(x)
        out.append(len(mine))
    return out


def either_of(rows, x):
    try:
        found = rows[0]
        6 // (x - 1)
        found = []
    except ZeroDivisionError:
        pass
    return found


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [[0]])))
def shared_by_callee_with_try(xs, lists):
    out = []
    for x in xs:
        mine = either_of(lists, x)
        mine.append(x)
        out.append(len(mine))
    return out, lists


@nasty("carried shared unknown", EITHER, args=given(lambda: ([3, 1, 2], [0])))
def shared_by_while(xs, shared):
    out = []
    for x in xs:
        mine, n = [], 0
        while n < 2:
            mine.append(x)
            out.append(len(mine))
            n += 1
            if n == 1:
                mine = shared
                continue
            mine = []
    return out


@nasty("carried shared unknown")
def partitioned_in_place(xs):
    shared = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    out = []
    for x in xs:
        out.append(float(shared[0]) + x)
        shared.partition(2)
    return out


def use_up(counter, x):
    counter.subtract([x])
    return counter[x]


@nasty("carried shared unknown")
def counter_subtracted(xs):
    counter = Counter([1, 1, 2, 3])
    return [use_up(counter, x) for x in [*xs, *xs]], counter


@nasty("world unknown shared carried", args=numbers(1, 2, 3))
def path_renamed(xs):
    path = pathlib.Path("r0.txt")
    path.write_text("travels")
    out = []
    for x in xs:
        path.rename(f"r{x}.txt") if path.exists() else None
        out.append(path.exists())
    return out


@nasty("world unknown shared carried", args=numbers(1, 2, 3))
def path_replaced(xs):
    pathlib.Path("r0.txt").write_text("travels")
    out = []
    for x in xs:
        pathlib.Path(f"r{x - 1}.txt").replace(f"r{x}.txt")
        out.append(x)
    return out


@nasty("carried", args=numbers(2, 0, 3))
def carried_by_continue(xs):
    out = []
    y = 0
    for x in xs:
        if x:
            y = x
            continue
        out.append(y)
    return out


@nasty("carried", args=numbers(2, 0, 3))
def carried_by_try(xs):
    out = []
    y = -1
    for x in xs:
        try:
            y = 6 // x
        except ZeroDivisionError:
            pass
        out.append(y)
    return out


@nasty("carried", EITHER, args=numbers(2, 0, 3))
def carried_by_an_empty_inner_loop(xs):
    out = []
    y = -1
    for x in xs:
        for y in range(x):
            pass
        out.append(y)
    return out


@nasty("carried", EITHER, args=numbers(2, 0, 3))
def carried_by_while_else(xs):
    out = []
    y = -1
    for x in xs:
        while x > 0:
            y = x
            x -= 1
        out.append(y)
    return out


@nasty("carried", args=numbers(2, 0, 3))
def carried_by_match(xs):
    out = []
    y = -1
    for x in xs:
        match x:
            case 2 | 3 as y:
                pass
        out.append(y)
    return out


@nasty("carried", args=numbers(2, 0, 3))
def carried_by_and(xs):
    out = []
    y = -1
    for x in xs:
        x and (y := x)
        out.append(y)
    return out


@nasty("carried", args=numbers(2, 0, 3))
def carried_by_conditional(xs):
    out = []
    y = -1
    for x in xs:
        z = (y := x) if x else 0
        out.append(y + z)
    return out


@nasty("carried", args=numbers(2, 0, 3))
def carried_by_suppress(xs):
    out = []
    y = -1
    for x in xs:
        with contextlib.suppress(ZeroDivisionError):
            y = 6 // x
        out.append(y)
    return out


@nasty("carried", args=numbers(2, 0, 3))
def carried_into_closure(xs):
    y = -1
    out = []
    for x in xs:
        get = lambda: y
        if x:
            y = x
        out.append(get())
    return out


@nasty("carried", args=numbers(2, 0, 3))
def carried_by_chained_comparison(xs):
    out = []
    y = -1
    for x in xs:
        z = 1 < x < (y := x + 5)
        out.append((y, z))
    return out


# --- What is the iteration's own, and what only looks so ---------------------------------------------------------------


class Ident:
    def __init__(self, items):
        self.items = items

    def __add__(self, other):
        return self

    def __getitem__(self, key):
        return self.items

    def __iter__(self):
        return iter([self.items])

    def __neg__(self):
        return self


@nasty(EITHER, args=given(lambda: ([1, 2, 3], Ident([0]))))
def operator_returns_itself(xs, ident):
    out = []
    for x in xs:
        mine = ident + x
        mine.items.append(x)
        out.append(len(mine.items))
    return out


@nasty(EITHER, args=given(lambda: ([1, 2, 3], Ident([0]))))
def negation_returns_itself(xs, ident):
    out = []
    for x in xs:
        mine = -ident
        mine.items = mine.items + [x]
        out.append(len(mine.items))
    return out


@nasty("shared carried unknown", args=given(lambda: ([1, 2, 3], [0])))
def own_object_gives_shared(xs, shared):
    out = []
    for x in xs:
        box = Ident(shared)
        box[0].append(x)
        out.append(len(shared))
    return out


class Holder:
    registry = []
    limit = 3

    def __init__(self):
        self.mine = []

    def add(self, x):
        self.registry.append(x)
        return len(self.registry)

    def put(self, x):
        self.mine.append(x)
        return len(self.mine)


@nasty("shared carried unknown")
def class_attribute_through_object(xs):
    return [Holder().add(x) for x in xs]


@nasty("shared carried unknown")
def class_attribute_of_own(xs):
    out = []
    for x in xs:
        h = Holder()
        h.registry.append(x)
        out.append(len(h.registry))
    return out


@nasty(EITHER)
def attribute_of_own(xs):
    out = []
    for x in xs:
        h = Holder()
        h.put(x)
        h.put(h.limit)
        h.mine.append(2)
        out.append(h.mine)
    return out


class Counting:
    count = 0

    def __call__(self, x):
        self.count += 1
        return x + self.count


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], Counting())))
def sorted_by_object(xs, counting):
    out = []
    for x in xs:
        out.append(sorted([x, 1, 2], key=counting))
    return out


COUNTING = Counting()


@nasty("shared carried unknown")
def sorted_by_global_object(xs):
    return [sorted([x, 1, 2], key=COUNTING) for x in xs]


@nasty(EITHER)
def sorted_by_own_object(xs):
    out = []
    for x in xs:
        out.append(sorted([x, 1, 2], key=Counting()))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def late_binding_lambda(xs, shared):
    out = []
    for x in xs:
        mine = []
        add = lambda v: mine.append(v)
        add(x)
        mine = shared
        add(x)
        out.append(len(mine))
    return out


@nasty("shared carried unknown", EITHER, args=given(lambda: ([3, 1, 2], [0])))
def late_binding_generator(xs, shared):
    out = []
    for x in xs:
        mine = []
        lazy = (mine.append(v) for v in [x, x])
        mine = shared
        list(lazy)
        out.append(len(mine))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def late_binding_map(xs, shared):
    out = []
    for x in xs:
        mine = []
        lazy = map(lambda v: mine.append(v), [x])
        mine = shared
        list(lazy)
        out.append(len(mine))
    return out


def filling(lists):
    yield 1
    lists[0].append(5)


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def generator_runs_later(xs, shared):
    out = []
    for x in xs:
        mine = [[1]]
        lazy = filling(mine)
        mine[0] = shared
        list(lazy)
        out.append(len(shared))
    return out


@nasty("shared carried unknown", EITHER, args=given(lambda: ([3, 1, 2], [0])))
def shared_by_second_round_of_comprehension(xs, shared):
    out = []
    for x in xs:
        mine = [[1], [2]]
        [(mine[0].append(x), mine.insert(0, shared)) for _ in range(2)]
        out.append(len(shared))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def shared_while_display_is_made(xs, shared):
    out = []
    for x in xs:
        mine = [[1]]
        both = [mine, mine.append(shared)]
        both[0][1].append(x)
        out.append(len(shared))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def shared_before_a_failing_call(xs, shared):
    out = []
    for x in xs:
        mine = [[1]]
        try:
            mine.append(shared)
            mine = [6 // (x - 1)]
        except ZeroDivisionError:
            mine[1].append(x)
        out.append(len(shared))
    return out


def tail(lists, n):
    if n == 0:
        return 0
    lists[0].append(n)
    lists[0] = SHARED["seen"]
    return tail(lists, n - 1)


@nasty("shared carried unknown")
def recursion_puts_shared(xs):
    out = []
    for x in xs:
        tail([[1]], 2)
        out.append(len(SHARED["seen"]))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def local_recursion_puts_shared(xs, shared):
    out = []
    for x in xs:
        mine = [[1]]

        def again(n):
            mine[0].append(n)
            mine[0] = shared
            if n:
                again(n - 1)

        again(2)
        out.append(len(shared))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], np.zeros(3))))
def ufunc_with_positional_out(xs, a):
    out = []
    for x in xs:
        np.add(a, x, a)
        out.append(float(a[0]))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], np.zeros(3))))
def clip_with_positional_out(xs, a):
    out = []
    for x in xs:
        np.clip([x, x, x], 0, 2, a)
        out.append(float(a[0]))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], np.zeros(3))))
def method_with_positional_out(xs, a):
    out = []
    for x in xs:
        np.ones((2, 3)).sum(0, None, a)
        out.append(float(a[0]) + x)
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], np.zeros(3))))
def ufunc_at(xs, a):
    out = []
    for x in xs:
        np.add.at(a, [0, 0], x)
        out.append(float(a[0]))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], pd.Series([1.0, 2.0]))))
def to_numpy_is_a_view(xs, s):
    out = []
    for x in xs:
        a = s.to_numpy()
        a += x
        out.append(float(s.sum()))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], np.array([1.0, 2.0]))))
def series_around_array(xs, a):
    out = []
    for x in xs:
        s = pd.Series(a, copy=False)
        s[0] = x
        out.append(float(a[0]))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], bytearray(b"abc"))))
def array_around_buffer(xs, buffer):
    out = []
    for x in xs:
        a = np.frombuffer(buffer, dtype=np.uint8)
        a[0] += x
        out.append(buffer[0])
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [{"n": 0}])))
def array_of_dicts(xs, rows):
    out = []
    for x in xs:
        a = np.array(rows)
        a[0]["n"] += x
        out.append(rows[0]["n"])
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [[0], [1]])))
def choice_of_lists(xs, lists):
    out = []
    for x in xs:
        one = random.Random(x).choice(lists)
        one.append(x)
        out.append(len(lists[0]) + len(lists[1]))
    return out


class Prop:
    def __init__(self):
        self._v = 0

    @property
    def v(self):
        return CALLS

    @v.setter
    def v(self, value):
        CALLS.append(value)


@nasty("shared carried unknown")
def property_gives_shared(xs):
    out = []
    for x in xs:
        p = Prop()
        p.v.append(x)
        out.append(len(CALLS))
    return out


@nasty("shared carried unknown")
def setter_records(xs):
    out = []
    for x in xs:
        p = Prop()
        p.v = x
        out.append(len(CALLS))
    return out


class Descriptor:
    def __get__(self, instance, owner):
        CALLS.append(1)
        return len(CALLS)


class Described:
    seen = Descriptor()


@nasty("shared carried unknown")
def descriptor_records(xs):
    return [Described().seen + x for x in xs]


@nasty(EITHER, args=given(lambda: ([3, 1, 2], Described())))
def descriptor_of_argument(xs, d):
    return [d.seen + x for x in xs]


class SetItem:
    def __init__(self):
        self.d = {}

    def __setitem__(self, key, value):
        CALLS.append(key)
        self.d[key] = value

    def __delitem__(self, key):
        CALLS.append(key)


@nasty("shared carried unknown")
def setitem_records(xs):
    out = []
    for x in xs:
        s = SetItem()
        s[x] = 1
        out.append(len(CALLS))
    return out


@nasty("shared carried unknown")
def delitem_records(xs):
    out = []
    for x in xs:
        s = SetItem()
        del s[x]
        out.append(len(CALLS))
    return out


class IAdd:
    def __iadd__(self, other):
        CALLS.append(other)
        return self


@nasty("shared carried unknown")
def iadd_records(xs):
    out = []
    for x in xs:
        a = IAdd()
        a += x
        out.append(len(CALLS))
    return out


@nasty("shared carried unknown dynamic")
def class_exchanged(xs):
    out = []
    for x in xs:
        h = Holder()
        h.__class__ = SetItem
        h.d = {}
        h[x] = 1
        out.append(len(CALLS))
    return out


@nasty("shared carried unknown dynamic closure")
def method_exchanged(xs):
    out = []
    for x in xs:
        h = Holder()
        h.put = double_traced
        out.append(h.put(x))
    return out


@nasty(EITHER, args=given(lambda: ([3, 1, 2], types.SimpleNamespace(mean=double_traced))))
def function_in_a_namespace(xs, ns):
    return [ns.mean(x) for x in xs]


@nasty(EITHER, args=given(lambda: ([3, 1, 2], types.SimpleNamespace(get=double_traced))))
def function_in_a_namespace_by_known_name(xs, ns):
    return [ns.get(x) for x in xs]


@nasty("shared carried unknown")
def matched_parts(xs):
    out = []
    for x in xs:
        match SHARED:
            case {"rows": [first, *_]}:
                first.append(x)
                out.append(len(first))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def matched_in_own(xs, shared):
    out = []
    for x in xs:
        mine = [1, [shared]]
        match mine:
            case [_, [inner]]:
                inner.append(x)
        out.append(len(shared))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def guard_binds_before_the_next_case(xs, shared):
    out = []
    for x in xs:
        mine = []
        match x:
            case 1 if (mine := shared) and x > 5:
                pass
            case _:
                mine.append(x)
        out.append(len(shared))
    return out


@nasty("carried")
def bound_in_an_assert(xs):
    last = 0
    out = []
    for x in xs:
        if x > 1:
            last = x
        out.append(last)
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def star_args_hold_shared(xs, shared):
    def fill(*lists, n):
        lists[0].append(n)

    out = []
    for x in xs:
        fill(shared, n=x)
        out.append(len(shared))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], {"target": [0]})))
def double_star_holds_shared(xs, options):
    def fill(target, n=1):
        target.append(n)

    out = []
    for x in xs:
        fill(**options)
        out.append(len(options["target"]) + x)
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [[0]])))
def starred_in_display(xs, lists):
    out = []
    for x in xs:
        mine = [*lists]
        mine[0].append(x)
        out.append(len(lists[0]))
    return out


@nasty("shared carried unknown")
def default_of_a_local_function(xs):
    def remembering(n, seen=[]):
        seen.append(n)
        return len(seen)

    return [remembering(x) for x in xs]


@nasty("shared carried unknown scope")
def nonlocal_in_a_local_function(xs):
    count = 0

    def bump(n):
        nonlocal count
        count += n
        return count

    return [bump(x) for x in xs]


class Meta(type):
    def __call__(cls, *args):
        CALLS.append(args)
        return super().__call__(*args)


class Made(metaclass=Meta):
    def __init__(self, x):
        self.x = x


@nasty("shared carried unknown")
def metaclass_records(xs):
    return [Made(x).x for x in xs]


class Pickled:
    def __init__(self, x):
        self.x = x

    def __reduce__(self):
        CALLS.append("reduced")
        return Pickled, (self.x,)


@nasty(EITHER)
def pickling_is_seen(xs):
    return [Pickled(x) for x in xs]


@nasty(EITHER, args=given(lambda: ([3, 1, 2], [Pickled(1)])))
def pickling_of_input_is_seen(xs, ps):
    out = []
    for x in xs:
        out.append(ps[0].x + x)
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], {"a": [0]})))
def shared_from_get(xs, cfg):
    out = []
    for x in xs:
        mine = cfg.get("a", [])
        mine.append(x)
        out.append(len(mine))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], {"a": [0]})))
def shared_from_setdefault(xs, cfg):
    out = []
    for x in xs:
        mine = {}
        mine.update(cfg)
        mine["a"].append(x)
        out.append(len(cfg["a"]))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def shared_from_reduce(xs, shared):
    out = []
    for x in xs:
        mine = functools.reduce(lambda a, b: shared, [1, 2])
        mine.append(x)
        out.append(len(shared))
    return out


@nasty("shared carried unknown", EITHER)
def shared_from_map(xs):
    out = []
    for x in xs:
        for mine in map(lambda v: CALLS, [1]):
            mine.append(x)
        out.append(len(CALLS))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def shared_from_sum(xs, shared):
    out = []
    for x in xs:
        mine = sum([], shared)
        mine.append(x)
        out.append(len(shared))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def shared_from_next(xs, shared):
    out = []
    for x in xs:
        mine = next(iter([shared]))
        mine.append(x)
        out.append(len(shared))
    return out


@nasty("shared carried unknown", EITHER, args=given(lambda: ([3, 1, 2], [0])))
def shared_from_zip(xs, shared):
    out = []
    for x in xs:
        for mine, _ in zip([shared], [1]):
            mine.append(x)
        out.append(len(shared))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def shared_from_itemgetter(xs, shared):
    out = []
    for x in xs:
        mine = max([[shared, 1]], key=operator.itemgetter(1))[0]
        mine.append(x)
        out.append(len(shared))
    return out


@nasty("world unknown shared carried")
def gzip_is_written(xs):
    import gzip

    for x in xs:
        with gzip.open("all.txt.gz", "wt") as f:
            f.write(str(x))


@nasty("unknown world shared carried", args=given(lambda: ([3, 1, 2], {"a": double_traced})))
def functions_in_a_dictionary(xs, functions):
    return [pd.Series([x]).agg(functions).sum() for x in xs]


@nasty("unknown world shared carried")
def functions_in_a_display(xs):
    return [pd.DataFrame({"a": [x]}).agg({"a": double_traced}).shape[0] for x in xs]


@nasty("carried")
def output_before_a_failing_store(xs):
    d = {}
    for x in xs:
        d[x] += noisy(x)
    return d


@nasty(EITHER, args=given(lambda: ([3, 1, 2], {3: None})))
def output_before_a_failing_append(xs, d):
    for x in xs:
        d[x].append(noisy(x))
    return d


class Base:
    def __init__(self, items):
        self.items = items


class Derived(Base):
    def __init__(self, items):
        super().__init__(items)
        self.n = 0

    def grow(self, x):
        self.items.append(x)
        self.n += 1
        return self.n


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def super_keeps_shared(xs, shared):
    out = []
    for x in xs:
        out.append(Derived(shared).grow(x))
    return out


@nasty(EITHER)
def super_keeps_own(xs):
    out = []
    for x in xs:
        out.append(Derived([x]).grow(x))
    return out


class Managed:
    def __init__(self, thing):
        self.thing = thing

    def __enter__(self):
        return self.thing

    def __exit__(self, *args):
        return True


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def entered_is_shared(xs, shared):
    out = []
    for x in xs:
        with Managed(shared) as mine:
            mine.append(x)
        out.append(len(shared))
    return out


@nasty("carried shared unknown", args=given(lambda: ([3, 1, 2], [0])))
def swallowed_in_the_midst(xs, shared):
    out = []
    for x in xs:
        mine = []
        with Managed(1):
            mine = shared
            6 // (x - 1)
            mine = []
        mine.append(x)
        out.append(len(shared))
    return out


@nasty("carried")
def second_manager_fails(xs):
    out = []
    for x in xs:
        with Managed(1), Managed(y := 6 // (x - 1)):
            pass
        out.append(y)
    return out


@nasty("iterable carried shared", EITHER)
def lazy_header_reads_temporary(xs):
    a = 0
    out = []
    for v in (x + a for x in xs):
        a = v
        out.append(v)
    return out


@nasty("iterable carried shared")
def lambda_in_header_reads_accumulator(xs):
    out = []
    for v in map(lambda x: x + len(out), xs):
        out.append(v)
    return out


@nasty("iterable")
def grouped(xs):
    out = []
    for key, group in itertools.groupby([1, 1, 2], key=lambda v: v % 2):
        out.append((key, sum(group)))
    return out


@nasty("iterable leaves", EITHER)
def header_prints(xs):
    out = []
    for v in (noisy(x) for x in xs):
        print("body", v)
        out.append(v)
    return out


@nasty(EITHER, args=given(lambda: ([3, 1, 2], contextvars.ContextVar("v", default=1))))
def context_variable_read_2(xs, var):
    return [var.get() + x for x in xs]


@nasty("dynamic", args=given(lambda: ([3, 1, 2], "append")))
def attribute_by_name(xs, name):
    out = []
    mine = [0]
    for x in xs:
        out.append(getattr(mine, name)(x))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [[3, 1], [2]])))
def sorts_by_shared_method(xs, lists):
    out = []
    for x in xs:
        mine = [1, 2]
        mine.sort(key=lists[0].append)
        out.append(len(lists[0]))
    return out


@nasty(SPLIT)
def deletes_several(xs):
    out = []
    for x in xs:
        a, b = x, x + 1
        c = a * b
        del a, b
        out.append(c)
    return out


class Private:
    __shared = []

    def __init__(self):
        self.__own = []

    def add(self, x):
        self.__shared.append(x)
        return len(self.__shared)

    def keep(self, x):
        self.__own.append(x)
        return len(self.__own)


@nasty("shared carried unknown")
def private_class_attribute(xs):
    return [Private().add(x) for x in xs]


@nasty(SPLIT)
def private_attribute(xs):
    return [Private().keep(x) for x in xs]


class Factory:
    made = []

    @classmethod
    def make(cls, lists):
        cls.made.append(lists)
        return len(cls.made)

    @staticmethod
    def double(x):
        return 2 * x


@nasty("shared carried unknown")
def classmethod_records(xs):
    out = []
    for x in xs:
        mine = [x]
        out.append(Factory.make(mine))
    return out


@nasty(SPLIT)
def staticmethod_is_plain(xs):
    return [Factory.double(x) for x in xs]


class Color(enum.Enum):
    RED = [1]


@nasty("shared carried unknown")
def value_of_a_member(xs):
    out = []
    for x in xs:
        Color.RED.value.append(x)
        out.append(len(Color.RED.value))
    return out


@nasty("shared carried unknown")
def member_called(xs):
    out = []
    for x in xs:
        Color(Color.RED).value.append(x)
        out.append(len(Color.RED.value))
    return out


class MyError(Exception):
    def __init__(self, thing):
        super().__init__("mine")
        CALLS.append(thing)
        self.thing = thing


@nasty("shared carried unknown")
def error_records(xs):
    out = []
    for x in xs:
        try:
            raise MyError(x)
        except MyError:
            out.append(len(CALLS))
    return out


@dataclass
class WithDefault:
    name: str
    other: Ident = Ident([])


@nasty("shared carried unknown")
def default_of_a_dataclass(xs):
    out = []
    for x in xs:
        w = WithDefault("a")
        w.other.items.append(x)
        out.append(len(w.other.items))
    return out


@nasty(EITHER)
def plain_dataclass(xs):
    out = []
    for x in xs:
        r = Record("mine", [x])
        r.values.append(2)
        out.append(r)
    return out


@nasty("shared carried unknown", EITHER, args=given(lambda: ([3, 1, 2], [0])))
def default_of_a_lambda_changes(xs, shared):
    out = []
    for x in xs:
        f = lambda v=[shared.append(w) for w in (1,)]: len(v)
        out.append(f() + len(shared) + x)
    return out


@nasty("shared carried unknown dynamic", args=given(lambda: ([3, 1, 2], [0])))
def annotation_changes(xs, shared):
    out = []
    for x in xs:

        def f(v: shared.append(x)):
            return v

        out.append(f(len(shared)))
    return out


class Indexed:
    def __class_getitem__(cls, item):
        CALLS.append(item)
        return len(CALLS)


@nasty("shared carried unknown")
def class_is_indexed(xs):
    return [Indexed[x] for x in xs]


class Asked(type):
    def __instancecheck__(cls, thing):
        CALLS.append(thing)
        return len(CALLS) > 2


class AskedFor(metaclass=Asked):
    pass


@nasty("shared carried unknown")
def isinstance_records(xs):
    return [isinstance(x, AskedFor) for x in xs]


@nasty("shared carried unknown")
def isinstance_of_several_records(xs):
    return [isinstance(x, (str, AskedFor)) for x in xs]


@nasty("shared carried unknown", EITHER, args=given(lambda: ([3, 1, 2], [0])))
def shared_through_while(xs, shared):
    out = []
    for x in xs:
        a = b = c = [1]
        n = 0
        while n < 4:
            a.append(x)
            a, b, c = b, c, shared
            n += 1
        out.append(len(shared))
    return out


@nasty("shared carried unknown", EITHER, args=given(lambda: ([3, 1, 2], [0])))
def shared_by_loop_else(xs, shared):
    out = []
    for x in xs:
        mine = []
        for y in range(x):
            if y == 5:
                break
        else:
            mine = shared
        mine.append(x)
        out.append(len(shared))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def shared_by_finally_of_callee(xs, shared):
    def pick(n):
        mine = []
        try:
            if n > 1:
                return mine
        finally:
            if n > 2:
                return shared
        return mine

    out = []
    for x in xs:
        pick(x).append(x)
        out.append(len(shared))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [0])))
def shared_by_ternary_in_argument(xs, shared):
    def fill(target, n):
        target.append(n)
        return len(target)

    return [fill(shared if x > 1 else [], x) for x in xs]


@nasty("shared carried unknown", EITHER, args=given(lambda: ([3, 1, 2], [[0], [1]])))
def in_place_on_a_row(xs, rows):
    out = []
    for x in xs:
        for row in rows:
            row += [x]
        out.append(len(rows[0]))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], [[0], [1]])))
def in_place_on_a_parameter(xs, rows):
    def grown(row, n):
        row += [n]
        return len(row)

    return [grown(rows[0], x) for x in xs]


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], np.arange(6.0).reshape(2, 3))))
def row_of_a_transposed(xs, a):
    out = []
    for x in xs:
        column = a.T[0]
        column[0] = x
        out.append(float(a[0, 0]))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], pd.DataFrame({"a": [1.0, 2.0]}))))
def located_in_a_shared_table(xs, df):
    out = []
    for x in xs:
        df.loc[0, "a"] = x
        out.append(float(df["a"].sum()))
    return out


@nasty(EITHER, args=given(lambda: ([3, 1, 2], pd.DataFrame({"a": [1.0, 2.0]}))))
def located_in_a_copy(xs, df):
    out = []
    for x in xs:
        mine = df.copy()
        mine.loc[0, "a"] = x
        out.append(float(mine["a"].sum()))
    return out


@nasty("shared carried unknown", args=given(lambda: ([3, 1, 2], pd.DataFrame({"a": [1.0, 2.0]}))))
def located_in_a_shallow_copy(xs, df):
    out = []
    for x in xs:
        mine = df.copy(deep=False)
        mine.loc[0, "a"] = x
        out.append(float(df["a"].sum()))
    return out


@nasty("carried", args=given(lambda: ([3, 1, 2], [0])))
def del_then_read(xs, shared):
    last = 1
    out = []
    for x in xs:
        out.append(last)
        del last
        last = x
    return out


@nasty("shared carried unknown", EITHER, args=given(lambda: ([3, 1, 2], [[0]])))
def unpacked_in_for_of_dict(xs, rows):
    out = []
    table = {"a": rows[0]}
    for x in xs:
        for key, row in table.items():
            row.append(x)
        out.append(len(rows[0]))
    return out


# --- What calls of libraries, classes and settings do out of sight ---------------------------------------------------


XS = [3, 1, 2, 4, 5, 6, 7]


class TypeCounts:
    n = 0
    items = []

    def __init__(self, x):
        self.x = x

    def count(self):
        type(self).n += 1
        return self.x


@nasty("shared", args=given(lambda: (XS,)))
def counts_in_its_type(xs):
    out = []
    for x in xs:
        out.append(TypeCounts(x).count())
    return out, TypeCounts.n


@nasty("shared", args=given(lambda: (XS,)))
def counts_in_the_type_of_its_own(xs):
    out = []
    for x in xs:
        mine = TypeCounts(x)
        type(mine).n += 1
        out.append(x)
    return out, TypeCounts.n


@nasty("shared", args=given(lambda: (XS, TypeCounts(1))))
def class_of_a_deep_copy(xs, one):
    out = []
    for x in xs:
        mine = copy.deepcopy(one)
        mine.__class__.n += x
        out.append(x)
    return out, type(one).n


@nasty(EITHER, args=given(lambda: (XS, TypeCounts)))
def deep_copy_of_a_class(xs, cls):
    out = []
    for x in xs:
        mine = copy.deepcopy(cls)
        mine.n += x
        out.append(x)
    return out, cls.n


class MethodWithList:
    def method(self):
        return 1


MethodWithList.method.calls = []


@nasty(EITHER, args=given(lambda: (XS, MethodWithList())))
def attribute_of_a_method(xs, one):
    out = []
    for x in xs:
        mine = copy.deepcopy(one)
        mine.method.calls.append(x)
        out.append(x)
    return out, list(MethodWithList.method.calls)


class GivesItsItems:
    def __init__(self):
        self.items = [1]

    def __radd__(self, other):
        return [self.items]

    def __eq__(self, other):
        return [self.items]

    def __abs__(self):
        return [self.items]

    __hash__ = None


@nasty(EITHER, args=given(lambda: (XS, GivesItsItems())))
def added_to_text_from_the_right(xs, one):
    out = []
    for x in xs:
        found = "a" + one
        found[0].append(x)
        out.append(len(one.items))
    return out


@nasty(EITHER, args=given(lambda: (XS, GivesItsItems())))
def comparison_gives_shared(xs, one):
    out = []
    for x in xs:
        found = one == x
        found[0].append(x)
        out.append(len(one.items))
    return out


@nasty(EITHER, args=given(lambda: (XS, GivesItsItems())))
def absolute_value_gives_shared(xs, one):
    out = []
    for x in xs:
        found = abs(one)
        found[0].append(x)
        out.append(len(one.items))
    return out


class GivesTheTable:
    def __add__(self, other):
        return [SHARED["rows"]]

    def __neg__(self):
        return [SHARED["rows"]]


@nasty("shared", args=given(lambda: (XS,)))
def sum_of_own_gives_shared(xs):
    out = []
    for x in xs:
        found = GivesTheTable() + GivesTheTable()
        found[0].append(x)
        out.append(x)
    return out


@nasty("shared", args=given(lambda: (XS,)))
def negative_of_own_gives_shared(xs):
    out = []
    for x in xs:
        found = -GivesTheTable()
        found[0].append(x)
        out.append(x)
    return out


def recorded_text(value):
    CALLS.append(str(value))
    return str(value)


@nasty(EITHER, args=given(lambda: (XS, recorded_text)))
def json_calls_an_argument(xs, function):
    out = []
    for x in xs:
        out.append(json.dumps({"a": decimal.Decimal(x)}, default=function))
    return out


@nasty(EITHER, args=given(lambda: (XS, [].append)))
def json_calls_a_bound_method(xs, function):
    out = []
    for x in xs:
        out.append(json.dumps({"a": decimal.Decimal(x)}, default=function))
    return out, function.__self__


class RecordingEncoder(json.JSONEncoder):
    def default(self, value):
        return recorded_text(value)


@nasty("shared", args=given(lambda: (XS,)))
def json_encoder_records(xs):
    out = []
    for x in xs:
        out.append(json.dumps({"a": decimal.Decimal(x)}, cls=RecordingEncoder))
    return out


class RecordingFormatter(string.Formatter):
    def get_value(self, key, args, kwargs):
        CALLS.append(key)
        return super().get_value(key, args, kwargs)


@nasty(EITHER, args=given(lambda: (XS, RecordingFormatter())))
def inherited_method_calls_a_redefined_one(xs, formatter):
    out = []
    for x in xs:
        out.append(formatter.format("{0}", x))
    return out


class RecordingZone(datetime.tzinfo):
    def utcoffset(self, when):
        CALLS.append("utcoffset")
        return datetime.timedelta(0)

    def dst(self, when):
        return datetime.timedelta(0)


@nasty(EITHER, args=given(lambda: (XS, RecordingZone())))
def library_calls_a_redefined_method(xs, zone):
    out = []
    for x in xs:
        out.append(datetime.datetime(2020, 1, x, tzinfo=zone).isoformat())
    return out


class RecordingDict(collections.UserDict):
    def __setitem__(self, key, value):
        CALLS.append(key)
        self.data[key] = value


@nasty("shared unknown", args=given(lambda: (XS,)))
def updates_a_redefined_dict(xs):
    out = []
    for x in xs:
        mine = RecordingDict()
        mine.update({"a": x})
        out.append(mine["a"])
    return out


class Fallback(enum.Enum):
    ONE = 1

    @classmethod
    def _missing_(cls, value):
        CALLS.append(value)
        return cls.ONE


@nasty("shared", args=given(lambda: (XS,)))
def missing_member_records(xs):
    out = []
    for x in xs:
        out.append(Fallback(x).name)
    return out


class RecordingProperty(property):
    def __get__(self, one, kind=None):
        CALLS.append("get")
        return 5


class WithProperties:
    own = RecordingProperty(lambda self: 1)

    @types.DynamicClassAttribute
    def dynamic(self):
        CALLS.append("dynamic")
        return 5


@nasty(EITHER, args=given(lambda: (XS, WithProperties())))
def properties_of_another_kind(xs, one):
    out = []
    for x in xs:
        out.append(one.own + one.dynamic + x)
    return out


@nasty(EITHER, args=given(lambda: (XS, np.arange(12.0))))
def flat_iterator_goes_on(xs, array):
    rest = array.flat
    out = []
    for x in xs:
        out.append((x, list(itertools.islice(rest, 1))))
    return out


@nasty(EITHER, args=given(lambda: (XS,)))
def decimal_signals_are_noted(xs):
    context = decimal.getcontext()
    context.clear_flags()
    out = []
    for x in xs:
        out.append(decimal.Decimal(x) / decimal.Decimal(3))
    return out, context.flags[decimal.Inexact], context.flags[decimal.Overflow]


@nasty(EITHER, args=given(lambda: (XS, decimal.Context(prec=2))))
def decimal_context_is_given(xs, context):
    out = []
    for x in xs:
        out.append(context.divide(decimal.Decimal(x), decimal.Decimal(3)))
    return out, context.flags[decimal.Inexact]


@nasty(SPLIT, EITHER, args=given(lambda: (XS,)))
def nan_of_libraries(xs):
    out = []
    for x in xs:
        out.append(math.nan if x > 2 else np.nan)
    return out.count(math.nan), out.count(np.nan), out == [math.nan if x > 2 else np.nan for x in xs]


@nasty(SPLIT, EITHER, args=given(lambda: (XS,)))
def new_nan_in_two_lists(xs):
    out, other = [], []
    for x in xs:
        value = float("nan") * x
        out.append(value)
        other.append(value)
    return out == other, [value in other for value in out]


@nasty(SPLIT, EITHER, args=given(lambda: ([complex(math.nan, 1), 2j, 3j],)))
def complex_nan_is_found_by_identity(xs):
    out = []
    for x in xs:
        out.append(x)
    return [x in out for x in xs], xs == out


@nasty(EITHER, args=given(lambda: (XS,)))
def text_that_stdout_cannot_encode(xs):
    raw = io.BytesIO()
    before, sys.stdout = sys.stdout, io.TextIOWrapper(raw, "ascii", write_through=True)
    out = []
    try:
        for x in xs:
            try:
                print("a", "é" * (x - 2))
            except UnicodeEncodeError:
                out.append(x)
    finally:
        here, sys.stdout = sys.stdout, before
    return out, here.detach().getvalue()


@nasty(EITHER, args=given(lambda: (XS,)))
def warns_of_its_caller(xs):
    for x in xs:
        warnings.warn(f"value {x}", stacklevel=2)


class RecordsOf(logging.Handler):
    def __init__(self, into):
        super().__init__()
        self.into = into

    def emit(self, record):
        self.into.append((record.msg, record.args, record.funcName, record.lineno))


@nasty(EITHER, args=given(lambda: (XS,)))
def records_as_they_are(xs):
    seen = []
    handler = RecordsOf(seen)
    log.addHandler(handler)
    try:
        for x in xs:
            log.warning("value %d", x)
    finally:
        log.removeHandler(handler)
    return seen


@nasty(EITHER, EITHER, args=given(lambda: (XS,)))
def records_of_its_caller(xs):
    seen = []
    handler = RecordsOf(seen)
    log.addHandler(handler)
    try:
        for x in xs:
            log.warning("value %d", x, stacklevel=2)
    finally:
        log.removeHandler(handler)
    return [(text, args) for text, args, _, _ in seen]


class EverySecond(logging.Filter):
    def __init__(self):
        super().__init__()
        self.count = 0

    def filter(self, record):
        self.count += 1
        return self.count % 2


@nasty(EITHER, args=given(lambda: (XS,)))
def records_are_filtered(xs):
    every_second = EverySecond()
    log.addFilter(every_second)
    try:
        for x in xs:
            log.warning("value %d", x)
    finally:
        log.removeFilter(every_second)
    return every_second.count


@nasty(EITHER, args=given(lambda: (XS,)))
def records_are_made_otherwise(xs):
    made, before = [], logging.getLogRecordFactory()

    def factory(*args, **options):
        made.append(args[0])
        return before(*args, **options)

    logging.setLogRecordFactory(factory)
    try:
        for x in xs:
            log.warning("value %d", x)
    finally:
        logging.setLogRecordFactory(before)
    return made


def depth_left(n):
    try:
        return depth_left(n + 1)
    except RecursionError:
        return n


@nasty(EITHER, args=given(lambda: (XS,)))
def recursion_until_it_fails(xs):
    out = []
    for x in xs:
        out.append((x, depth_left(0)))
    return out


@nasty("scope", args=given(lambda: (XS,)))
def global_bound_by_except(xs):
    global SCALE
    out = []
    for x in xs:
        try:
            1 // (x - 3)
        except ZeroDivisionError as SCALE:
            out.append(x)
    return out


@nasty("scope", args=given(lambda: (XS,)))
def global_bound_by_match(xs):
    global SCALE
    out = []
    for x in xs:
        match x:
            case SCALE:
                out.append(x)
    return out


def closing(x, into):
    try:
        yield x
        yield x
    finally:
        into.append("closed")


@nasty("iterable", EITHER, args=given(lambda: (XS,)))
def generator_given_up(xs):
    out = []
    for x in xs:
        mine = []
        rest = closing(x, mine)
        next(rest)
        out.append(mine)
    return [len(one) for one in out]


@nasty(EITHER, args=given(lambda: (XS, (r := np.rec.array(np.zeros(8, [("a", float)]))), r["a"])))
def record_views(xs, records, view):
    for x in xs:
        records[x] = (view[x - 1] + x,)
    return view


@nasty(EITHER, args=given(lambda: (XS, (d := np.zeros(9)), np.ma.array(d, copy=False))))
def masked_views(xs, data, masked):
    for x in xs:
        masked[x] = data[x - 1] + x
    return data


class FromAFile:
    def __init__(self, x):
        self.x = x

    def mean(self):
        CALLS.append(self.x)
        return self.x


def pickled_file(here):
    pd.to_pickle(FromAFile(3), here / "one.pkl")
    return XS, here / "one.pkl"


@nasty(EITHER, args=pickled_file)
def object_from_a_file(xs, path):
    out = []
    for x in xs:
        out.append((x, pd.read_pickle(path).mean()))
    return out


@nasty("shared", args=given(lambda: (XS, np.asfortranarray(np.eye(3) * 2))))
def overwrites_by_place(xs, matrix):
    out = []
    for x in xs:
        out.append(float(scipy.linalg.inv(matrix, True)[0, 0]) * x)
    return out


@nasty("shared", args=given(lambda: (XS, np.arange(4.0))))
def astype_without_copy_by_place(xs, array):
    out = []
    for x in xs:
        mine = array.astype(float, "K", "unsafe", True, False)
        mine[0] = mine[0] + x
        out.append(float(mine[0]))
    return out


@nasty("shared", args=given(lambda: (XS, pd.DataFrame({"a": [1.0, 2.0]}))))
def shallow_copy_by_place(xs, df):
    out = []
    for x in xs:
        mine = df.copy(False)
        mine.loc[0, "a"] = x
        out.append(float(df["a"].sum()))
    return out


@nasty("shared", args=given(lambda: (XS, np.arange(4) * 1j)))
def conjugate_into_another(xs, array):
    into = np.zeros(4, complex)
    out = []
    for x in xs:
        array.conjugate(into)
        out.append(x)
    return out, into


@nasty("shared unknown", args=given(lambda: (XS, (np.ones(2), np.ones(2), np.zeros(2)))))
def output_among_starred(xs, arrays):
    out = []
    for x in xs:
        out.append(float(np.add(*arrays)[0]) + x)
    return out


@nasty("shared unknown", args=given(lambda: (XS, pd.DataFrame({"a": [1.0, None]}), {"inplace": True})))
def inplace_among_starred(xs, df, options):
    out = []
    for x in xs:
        df.dropna(**options)
        out.append((x, len(df)))
    return out


class Registered:
    def __init__(self, x):
        self.x = x


def rebuilt(x):
    CALLS.append(x)
    return Registered(x)


copyreg.pickle(Registered, lambda one: (rebuilt, (one.x,)))


@nasty(EITHER, EITHER, args=given(lambda: (XS,)))
def pickling_is_registered(xs):
    out = []
    for x in xs:
        out.append(Registered(x))
    return [one.x for one in out]


@nasty(EITHER, args=given(lambda: (XS,)))
def numpy_calls_for_errors(xs):
    seen = []
    before = np.seterrcall(lambda *args: seen.append(args[0]))
    out = []
    try:
        for x in xs:
            with np.errstate(divide="call"):
                out.append(float((np.array([1.0]) * x / 0)[0]))
    finally:
        np.seterrcall(before)
    return out, seen


@nasty(EITHER, args=given(lambda: (XS,)))
def numpy_calls_for_text(xs):
    seen, out = [], []
    with np.printoptions(formatter={"float": lambda value: f"<{seen.append(value)}>"}):
        for x in xs:
            out.append(str(np.array([1.5 * x])))
    return out, len(seen)


@nasty(EITHER, args=given(lambda: (XS,)))
def slice_of_what_changes_later(xs):
    out = []
    for x in xs:
        mine = [x, x + 1]
        out[0:0] = mine
        mine.clear()
    return out


class AddsItsLength:
    def __init__(self):
        self.items = []

    def __radd__(self, other):
        return other + len(self.items)


@nasty(EITHER, args=given(lambda: (XS,)))
def added_before_it_changes(xs):
    total = 0
    for x in xs:
        mine = AddsItsLength()
        mine.items.append(x)
        total += mine
        mine.items.append(x)
    return total


@nasty(EITHER, args=given(lambda: (XS,)))
def locked_array(xs):
    out = []
    for x in xs:
        mine = np.full((2, 3), x)
        mine.setflags(write=False)
        out.append(mine)
        out.append(mine[0])
    return out


@nasty(EITHER, EITHER, args=given(lambda: (XS, np.zeros(8, dtype=[("a", float)]))))
def records_of_an_array(xs, array):
    out = []
    for x in xs:
        out.append(array[x])
    array["a"] = 5
    return [float(one["a"]) for one in out]


class RecordingStream:
    def write(self, text):
        CALLS.append(text)
        return len(text)


class CalledSys:
    stdout = RecordingStream()


@nasty("shared unknown", args=given(lambda: (XS, CalledSys)))
def stdout_of_something_else(xs, sys):
    out = []
    for x in xs:
        sys.stdout.write("a")
        out.append(x)
    return out


@nasty("shared unknown world", args=given(lambda: (XS,)))
def prints_to_its_own_stream(xs):
    for x in xs:
        stream = RecordingStream()
        print(x, file=stream)


class SwallowsAll:
    def __enter__(self):
        CALLS.append("enter")
        return self

    def __exit__(self, *error):
        return True


class Opens:
    def open(self):
        return SwallowsAll()


@nasty(EITHER, args=given(lambda: (XS, Opens())))
def opens_what_swallows(xs, store):
    out = []
    for x in xs:
        with store.open():
            out.append(1 // (x - 3))
    return out


class SwallowsQuietly:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return True


class OpensQuietly:
    def open(self):
        return SwallowsQuietly()


@nasty(EITHER, args=given(lambda: (XS,)))
def opens_its_own_that_swallows(xs):
    out = [0] * 5
    for x in xs:
        store = OpensQuietly()
        with store.open():
            out[x] = x
    return out


class AddsInPlace:
    def __iadd__(self, other):
        CALLS.append(other)
        return self


class Strips:
    def strip(self):
        return AddsInPlace()


@nasty(EITHER, args=given(lambda: (XS, Strips())))
def method_gives_another_kind(xs, text):
    out = []
    for x in xs:
        mine = text.strip()
        mine += "a"
        out.append(x)
    return out


class RoundsToTheTable:
    def __abs__(self):
        return [SHARED["rows"]]

    def __floor__(self):
        return [SHARED["rows"]]


@nasty(EITHER, args=given(lambda: (XS, RoundsToTheTable())))
def absolute_value_is_no_number(xs, one):
    out = []
    for x in xs:
        found = abs(one)
        found[0].append(x)
        out.append(x)
    return out


@nasty(EITHER, args=given(lambda: (XS, RoundsToTheTable())))
def floor_is_no_number(xs, one):
    out = []
    for x in xs:
        found = math.floor(one)
        found[0].append(x)
        out.append(x)
    return out


class Deletes:
    @property
    def value(self):
        return 1

    @value.deleter
    def value(self):
        CALLS.append("deleted")


@nasty("shared unknown", args=given(lambda: (XS,)))
def deleter_records(xs):
    for x in xs:
        mine = Deletes()
        del mine.value


@nasty(EITHER, args=given(lambda: (XS, Deletes())))
def deleter_of_a_copy_records(xs, one):
    out = []
    for x in xs:
        mine = copy.copy(one)
        del mine.value
        out.append(x)
    return out


class HasKeys:
    def keys(self):
        CALLS.append("keys")
        return ["a"]

    def __getitem__(self, key):
        return 1


@nasty(EITHER, args=given(lambda: (XS, HasKeys())))
def dict_of_what_has_keys(xs, table):
    out = []
    for x in xs:
        out.append((x, dict(table)))
    return out


@nasty(EITHER, args=given(lambda: (XS, HasKeys())))
def starred_in_a_dict_display(xs, table):
    out = []
    for x in xs:
        out.append({**table, "x": x})
    return out


class HasMean:
    def mean(self, axis=None, dtype=None, out=None):
        CALLS.append("mean")
        return 1.0

    def sqrt(self):
        CALLS.append("sqrt")
        return 2.0


@nasty(EITHER, args=given(lambda: (XS, HasMean())))
def numpy_calls_a_method(xs, one):
    out = []
    for x in xs:
        out.append((x, float(np.mean(one))))
    return out


@nasty(EITHER, args=given(lambda: (XS, HasMean())))
def numpy_calls_a_method_of_elements(xs, one):
    out = []
    for x in xs:
        out.append((x, float(np.sqrt(one))))
    return out


def keeps_rows(table):
    CALLS.append("rows")
    return table["a"] > 0


@nasty(EITHER, args=given(lambda: (XS, pd.DataFrame({"a": [1.0, 2.0]}), keeps_rows)))
def pandas_calls_an_index(xs, df, rows):
    out = []
    for x in xs:
        out.append((x, len(df.loc[rows]), len(df[rows]), df.where(rows).shape))
    return out


class FeedsAList(logging.Handler):
    def __init__(self, into):
        super().__init__()
        self.into = into

    def emit(self, record):
        self.into.append(record.getMessage())


@nasty(EITHER, args=given(lambda: (XS,)))
def reads_what_was_logged(xs):
    seen, out = [], []
    handler = FeedsAList(seen)
    log.addHandler(handler)
    try:
        for x in xs:
            log.warning("value %d", x)
            out.append(len(seen))
    finally:
        log.removeHandler(handler)
    return out


class FeedsATable:
    def __init__(self, into):
        self.into = into

    def write(self, text):
        self.into.append(text)
        return len(text)

    def flush(self):
        pass


@nasty(EITHER, args=given(lambda: (XS,)))
def reads_what_its_own_stdout_got(xs):
    seen, out = [], []
    before, sys.stdout = sys.stdout, FeedsATable(seen)
    try:
        for x in xs:
            print("value", x)
            out.append(len(seen))
    finally:
        sys.stdout = before
    return out


@nasty(EITHER, args=lambda here: (XS, str(here / "run.log")))
def reads_the_file_of_its_log(xs, path):
    handler = logging.FileHandler(path)
    log.addHandler(handler)
    out = []
    try:
        for x in xs:
            log.warning("value %d", x)
            with open(path) as file:
                out.append(len(file.read()))
    finally:
        log.removeHandler(handler)
        handler.close()
    return out


class NamesItself:
    def __init__(self, x):
        self.x = x

    def __add__(self, other):
        return NamesItself(self.x + other.x)


@nasty(SPLIT, EITHER, args=given(lambda: (XS,)))
def class_that_names_itself(xs):
    out = []
    for x in xs:
        out.append(NamesItself(x) + NamesItself(1))
    return [one.x for one in out]


class TwoWays:
    @classmethod
    def plainly(cls, x):
        return x

    @classmethod
    def recording(cls, x):
        CALLS.append(x)
        return x


def applied(function, x):
    return function(x)


@nasty("shared", args=given(lambda: (XS,)))
def bound_methods_at_one_address(xs):
    out = []
    for x in xs:
        out.append(applied(TwoWays.plainly, x) + applied(TwoWays.recording, x))
    return out


@nasty(EITHER, args=given(lambda: (XS,)))
def unhashable_key_before_output(xs):
    return {(x, [] if x == 2 else 1): noisy(x) for x in xs}


@nasty(EITHER, args=given(lambda: (XS,)))
def unhashable_item_before_output(xs):
    return {(noisy(x), [] if x == 2 else 1) for x in xs}


@nasty(EITHER, args=lambda here: (XS,))
def file_in_no_folder(xs):
    out = []
    for x in xs:
        try:
            with open(f"missing/{x}.txt", "w") as file:
                file.write("text")
        except OSError as error:
            out.append((x, str(error), error.filename))
    return out


@nasty(EITHER, args=lambda here: (XS,))
def file_written_and_read_again(xs):
    out = []
    for x in xs:
        with open(f"{x}.txt", "w") as file:
            file.write("text")
        try:
            with open(f"{x}.txt") as file:
                out.append((x, file.read()))
        except OSError:
            out.append(None)
    return out


@nasty("shared unknown", args=given(lambda: (XS, [[1], [2]])))
def bound_method_of_its_own_mapped(xs, rows):
    out = []
    for x in xs:
        mine = []
        list(map(mine.append, rows))
        mine[0].append(x)
        out.append(x)
    return out


@nasty("shared unknown", args=given(lambda: (XS, [[1], [2]])))
def bound_method_by_getattr_mapped(xs, rows):
    out = []
    for x in xs:
        mine = []
        list(map(getattr(mine, "append"), rows))  # noqa: B009
        mine[0].append(x)
        out.append(x)
    return out


@nasty("unknown", args=given(lambda: (XS, recorded_text)))
def partial_of_an_argument(xs, function):
    out = []
    for x in xs:
        out.append(sorted([x, 1], key=functools.partial(function)))
    return out


@nasty("shared", args=given(lambda: (XS, {"a": 1})))
def chained_map_of_shared(xs, settings):
    out = []
    for x in xs:
        mine = collections.ChainMap(settings)
        mine["k"] = x
        out.append(x)
    return out


@nasty("shared", args=given(lambda: (XS, np.array([1.0, 2.0]))))
def polynomial_around_an_array(xs, array):
    for x in xs:
        mine = np.poly1d(array)
        mine[0] = x
    return array


@nasty("shared", args=given(lambda: (XS, np.array([1.0, 2.0]))))
def sparse_matrix_around_an_array(xs, array):
    for x in xs:
        mine = scipy.sparse.csr_matrix((array, np.array([0, 1]), np.array([0, 1, 2])))
        mine[0, 0] = x
    return array


@nasty("shared", args=given(lambda: (XS, np.array([1.0, 2.0]))))
def no_difference_is_the_same(xs, array):
    for x in xs:
        mine = np.diff(array, 0)
        mine[0] += x
    return array


@nasty("shared", args=given(lambda: (XS, np.eye(3))))
def einsum_is_a_view(xs, array):
    for x in xs:
        mine = np.einsum("ij->ji", array)
        mine[0] += x
    return array


@nasty("shared", args=given(lambda: (XS, np.array([1.0, 2.0]))))
def number_type_of_an_array(xs, array):
    for x in xs:
        mine = np.float64(array)
        mine[0] += x
    return array


@nasty("shared", args=given(lambda: (XS, np.array([1.0, 2.0, 3.0]))))
def edges_of_a_histogram(xs, edges):
    for x in xs:
        _, mine = np.histogram([1.0, x], bins=edges)
        mine[0] += 0.01 * x
    return edges


@nasty("shared", args=given(lambda: (XS, np.array([1.0, 2.0]))))
def conjugate_is_the_same(xs, array):
    for x in xs:
        mine = array.conjugate()
        mine += x
    return array


@nasty("shared", args=given(lambda: (XS, np.array([1.0, 2.0]))))
def remainder_is_the_same(xs, array):
    for x in xs:
        _, mine = scipy.signal.deconvolve(array, [1.0, 2.0, 3.0])
        mine[0] += x
    return array


class CountsGlobally(logging.Handler):
    def emit(self, record):
        global COUNT
        COUNT += 1


@nasty(EITHER, args=given(lambda: (XS,)))
def reads_what_a_handler_counts(xs):
    handler = CountsGlobally()
    log.addHandler(handler)
    out = []
    try:
        for x in xs:
            log.warning("value %d", x)
            out.append((x, COUNT))
    finally:
        log.removeHandler(handler)
    return out


class DoublesPlainly:
    def double(self, x):
        return x * 2


class DoublesAndRecords:
    def double(self, x):
        CALLS.append(x)
        return x * 2


@nasty(EITHER, args=given(lambda: (XS,)))
def object_exchanged_by_nonlocal(xs):
    one = DoublesPlainly()

    def exchange():
        nonlocal one
        one = DoublesAndRecords()

    exchange()
    out = []
    for x in xs:
        out.append(one.double(x))
    return out


@nasty("shared", args=given(lambda: (XS, [1])))
def number_exchanged_by_nonlocal(xs, shared):
    one = 1

    def exchange():
        nonlocal one
        one = shared

    exchange()
    for x in xs:
        mine = one
        mine += [x]
    return shared


def make_recording(one):
    one.__class__ = DoublesAndRecords


@nasty(EITHER, args=given(lambda: (XS,)))
def class_exchanged_before(xs):
    one = DoublesPlainly()
    make_recording(one)
    out = []
    for x in xs:
        out.append(one.double(x))
    return out


class ComputingModule(types.ModuleType):
    @property
    def value(self):
        CALLS.append("value")
        return 1


computing = ComputingModule("computing_module_of_nasty_loops")
sys.modules[computing.__name__] = computing


@nasty("dynamic", args=given(lambda: (XS,)))
def module_that_computes(xs):
    out = []
    for x in xs:
        out.append(computing.value + x)
    return out


class IndexedByItself:
    def __class_getitem__(cls, key):
        CALLS.append(key)
        return key


@nasty(EITHER, args=given(lambda: (XS, IndexedByItself)))
def class_given_and_indexed(xs, cls):
    out = []
    for x in xs:
        out.append((x, cls[x]))
    return out


# --- What is changed after it was stored, or after its hash was asked for ---------------------------------------------


class Keyed:
    def __init__(self, v):
        self.v = v

    def __eq__(self, other):
        return self.v == other.v

    def __hash__(self):
        return hash(self.v)


class KeyedAloud(Keyed):
    def __hash__(self):
        print("hash of", self.v)
        return hash(self.v)


@dataclass(frozen=True)
class FrozenKey:
    v: int


def the_same(value):
    return value


@nasty(EITHER)
def key_changed_in_a_set(xs):
    found = set()
    for x in xs:
        key = Keyed(x)
        found.add(key)
        key.v += 10
    return [Keyed(13) in found, Keyed(3) in found, len(found)]


@nasty(EITHER)
def key_changed_in_a_dict(xs):
    found = {}
    for x in xs:
        key = Keyed(x % 2)
        found[key] = x
        key.v += 10
    return len(found)


@nasty(EITHER)
def key_changed_in_a_set_of_its_own(xs):
    out = []
    for x in xs:
        key = Keyed(x)
        own = {key}
        key.v += 10
        out.append(own)
    return Keyed(13) in out[0]


@nasty(EITHER)
def keys_that_became_equal(xs):
    out = []
    for x in xs:
        key = Keyed(x)
        own = {key: 1, Keyed(x + 10): 2}
        key.v += 10
        out.append(own)
    return list(map(len, out))


@nasty(EITHER)
def counted_keys_that_became_equal(xs):
    out = []
    for x in xs:
        key = Keyed(x)
        own = Counter([key, Keyed(x + 10)])
        key.v += 10
        out.append(own)
    return list(map(len, out))


@nasty(SPLIT)
def frozen_keys(xs):
    out = {}
    for x in xs:
        out[FrozenKey(x % 2)] = {FrozenKey(x)}
    return out


@nasty("unknown")
def hash_that_prints_in_a_set(xs):
    out = []
    for x in xs:
        out.append({KeyedAloud(x)})
    return out


@nasty("unknown")
def hash_that_prints_in_a_comprehension(xs):
    return {KeyedAloud(x): x for x in xs}


@nasty(SPLIT)
def added_by_another_name_and_changed(xs):
    out = []
    for x in xs:
        own = [x]
        out += the_same(own)
        own.append(9)
    return out


@nasty(SPLIT)
def added_by_choice_and_changed(xs):
    out, other = [], []
    for x in xs:
        own = [x]
        out += own if x > 1 else own
        other += own or [1]
        own.append(9)
    return out, other


@nasty(SPLIT)
def added_by_walrus_and_changed(xs):
    out = []
    for x in xs:
        out += (own := [x])
        own.append(9)
    return out


@nasty(SPLIT)
def updated_by_another_name_and_changed(xs):
    table, found = {}, set()
    for x in xs:
        own, mine = {x: x}, {x}
        table.update(the_same(own))
        found.update(the_same(mine))
        found |= the_same(mine)
        own[9] = mine.add(9)
    return table, found


@nasty(SPLIT)
def put_in_front_and_changed(xs):
    out, queue = [], deque()
    for x in xs:
        own = [x]
        out[0:0] = the_same(own)
        queue.extendleft(the_same(own))
        own.append(9)
    return out, queue


@nasty(SPLIT)
def added_to_an_item_and_changed(xs):
    table = {"a": []}
    for x in xs:
        own = [x]
        table["a"] += the_same(own)
        own.append(9)
    return table


@nasty(SPLIT)
def added_lazily_and_changed(xs):
    out = []
    for x in xs:
        own = [x]
        out += map(abs, own)
        own.append(9)
    return out


@nasty(SPLIT)
def iterator_used_up_by_adding(xs):
    out, rest = [], []
    for x in xs:
        it = iter([1, 2, x])
        out += it
        rest.append(next(it, 7))
    return out, rest


@nasty(SPLIT)
def iterator_used_up_by_a_function(xs):
    out, rest = [], []
    for x in xs:
        it = iter([1, 2, x])
        out += the_same(it)
        rest.append(next(it, 7))
    return out, rest


@nasty(SPLIT)
def iterator_used_up_by_update(xs):
    found, table, counts, rest = set(), {}, Counter(), []
    for x in xs:
        it, pairs, again = iter([1, x]), iter([(1, x)]), iter([1, x])
        found.update(it)
        table.update(pairs)
        counts.update(again)
        rest.append([next(it, 7), next(pairs, 7), next(again, 7)])
    return found, table, counts, rest


@nasty(SPLIT)
def iterator_used_up_by_a_cut(xs):
    out, rest = [], []
    for x in xs:
        it = iter([1, 2, x])
        out[0:0] = it
        rest.append(next(it, 7))
    return out, rest


@nasty(SPLIT)
def views_added(xs):
    out, found = [], set()
    for x in xs:
        own = {x: 1}
        out += own.keys()
        found |= own.keys()
        found.update(own.values())
        own[9] = 1
    return out, found


@nasty(SPLIT)
def iterator_of_a_dict_that_grows(xs):
    out = []
    for x in xs:
        own = {x: 1}
        out.append(iter(own))
        out.append(own)
    out[1][99] = 1
    try:
        return list(out[0])
    except RuntimeError as error:
        return str(error)


@nasty(SPLIT, EITHER)
def iterators_at_their_end(xs):
    out = []
    for x in xs:
        it = reversed([x])
        list(it)
        out.append(it)
    return [type(it).__name__ for it in out]


@nasty("carried", args=given(lambda: ([7, 1, 0], {1: []})))
def printed_before_the_item_is_missing(xs, table):
    for x in xs:
        y = noisy(x)
        table[y - 1].append(noisy(x))


# --- What is put into an accumulator, and changed there by its other name ---------------------------------------------


@nasty("carried")
def item_put_and_changed(xs):
    table, lengths = {}, []
    for x in xs:
        own = []
        table[x] = own
        table[x].append(1)
        lengths.append(len(own))
    return table, lengths


@nasty("carried")
def last_item_put_and_changed(xs):
    out, lengths = [], []
    for x in xs:
        own = []
        out.append(own)
        out[-1].append(1)
        lengths.append(len(own))
    return out, lengths


@nasty("carried", args=given(lambda: (XS, [])))
def shared_item_put_and_changed(xs, shared):
    table, lengths = {}, []
    for x in xs:
        table[0] = shared
        table[0].append(x)
        lengths.append(len(shared))
    return table, lengths


@nasty("carried")
def item_put_and_added_to(xs):
    table, last = {0: []}, []
    for x in xs:
        own, mine = [x], {1}
        table[0] = own
        table[0] += [5]
        table[1] = mine
        table[1] |= {5}
        last.append((own[-1], 5 in mine))
    return table, last


@nasty("carried")
def default_put_and_changed(xs):
    table, lengths = {}, []
    for x in xs:
        own = []
        table.setdefault(x % 2, own).append(x)
        own.append(0)
        lengths.append(len(own))
    return table, lengths


@nasty("carried", args=given(lambda: (XS, [])))
def shared_default_put_and_changed(xs, shared):
    table, lengths = {}, []
    for x in xs:
        table.setdefault(x % 2, shared).append(x)
        lengths.append(len(shared))
    return table, lengths


@nasty("carried")
def parts_put_and_changed(xs):
    cut, more, table, lengths = [0], [], {}, []
    for x in xs:
        one, two, three = [x], [x], [x]
        cut[0:1] = [one]
        cut[0].append(1)
        more.extend([two])
        more[-1].append(1)
        table.update({0: three})
        table[0].append(1)
        lengths.append((len(one), len(two), len(three)))
    return lengths


@nasty("carried")
def put_in_a_display_and_changed(xs):
    table, lengths = {}, []
    for x in xs:
        own = []
        table[x] = [own]
        table[x][0].append(1)
        lengths.append(len(own))
    return table, lengths


@nasty(SPLIT)
def put_deeper_than_changed(xs):
    groups, counts = {}, {}
    for x in xs:
        own = [x]
        groups.setdefault(x % 2, []).append(own)
        counts[x] = [0, 0]
        counts[x][1] += x
        own.append(9)
    return groups, counts


class TellsItsIndex:
    def __init__(self, v):
        self.v = v

    def __index__(self):
        return self.v


@nasty(EITHER)
def index_changed_after_it_was_used(xs):
    out, front, small = [0] * 30, [], bytearray()
    for x in xs:
        place, start = TellsItsIndex(x), TellsItsIndex(0)
        out[place] = x
        front.insert(start, x)
        small.append(place)
        place.v += 10
        start.v += 10
    return out, front, small


class AskedAloud:
    def __init__(self, v):
        self.v = v

    def __eq__(self, other):
        CALLS.append(self.v)
        return False

    def __hash__(self):
        return hash(self.v)

    def __add__(self, other):
        CALLS.append(self.v)
        return self


@nasty(
    EITHER, args=given(lambda: (XS, {AskedAloud(1): 0, AskedAloud(2): 0}, {AskedAloud(1), (AskedAloud(2),)}))
)
def keys_that_tell_when_they_are_asked(xs, table, found):
    counts = []
    for x in xs:
        table[x] = 0
        found.discard((x,))
        counts.append(len(CALLS))
    return counts


def key_traced(x):
    CALLS.append(x)
    return x


@nasty("leaves")
def best_by_a_key_that_is_traced(xs):
    return max((len(CALLS) for x in xs), key=key_traced)


@nasty("leaves")
def sum_from_a_start_that_is_traced(xs):
    return sum((len(CALLS) for x in xs), AskedAloud(0)).v


@nasty(SPLIT, SPLIT)
def sums_from_plain_starts(xs):
    return sum(([x] for x in xs), []), max((x for x in xs if x > 9), default=-1)


def within():
    inner = []
    return XS, inner, [inner]


@nasty(EITHER, args=given(within))
def filled_within_another(xs, inner, outer):
    lengths = []
    for x in xs:
        own = [x]
        inner.append(own)
        outer[0][-1].append(9)
        lengths.append(len(own))
    return lengths


def held_twice():
    inner = [0]
    return XS, [inner], inner


@nasty(EITHER, args=given(held_twice))
def item_of_another_is_filled(xs, outer, inner):
    lengths = []
    for x in xs:
        own = [x]
        outer[0][0] = own
        inner[0].append(9)
        lengths.append(len(own))
    return lengths


def given_twice():
    inner = []
    return XS, inner, inner


@nasty(EITHER, args=given(given_twice))
def filled_by_two_names(xs, one, other):
    lengths = []
    for x in xs:
        own = [x]
        one.append(own)
        other[-1].append(9)
        lengths.append(len(own))
    return lengths


def at_two_depths():
    inner = []
    return XS, [[inner], inner]


@nasty(EITHER, args=given(at_two_depths))
def filled_at_two_depths(xs, outer):
    lengths = []
    for x in xs:
        own = [x]
        outer[0][0].append(own)
        outer[1][-1].append(9)
        lengths.append(len(own))
    return lengths


# --- What is taken out of what was made of it -------------------------------------------------------------------------


@nasty("shared", args=given(lambda: (XS, [1])))
def bound_of_a_slice(xs, shared):
    for x in xs:
        mine = slice(shared).stop
        mine.append(x)
    return shared


# --- Libraries and files, as researchers use them ---------------------------------------------------------------------


@nasty("shared", args=given(lambda: (XS, np.zeros(2), np.zeros(2))))
def results_into_a_tuple(xs, one, two):
    for x in xs:
        np.modf(np.array([x + 0.5, 1.25]), out=(one, two))
    return one, two


@nasty("shared", args=given(lambda: (XS, np.zeros(2))))
def results_into_a_named_tuple(xs, array):
    out = []
    for x in xs:
        where = (array,)
        np.add(np.ones(2), x, out=where)
        out.append(x)
    return out


@nasty("shared", args=given(lambda: (XS, np.array([3.0, 1.0, 2.0, 0.0]))))
def overwrites_what_is_given_by_name(xs, array):
    out = []
    for x in xs:
        out.append(np.median(a=array, overwrite_input=True) * x)
    return out


@nasty("shared", args=given(lambda: (XS, np.array([[3.0, 1.0, 2.0], [9.0, 8.0, 7.0]]))))
def detrends_what_is_given_by_name(xs, array):
    return [scipy.signal.detrend(data=array, overwrite_data=True) * x for x in xs]


@nasty("shared", args=given(lambda: (XS, np.array([3.0, 1.0, 2.0]))))
def series_around_an_array_by_name(xs, array):
    out = []
    for x in xs:
        mine = pd.Series(data=array, copy=False)
        mine.iloc[0] = x
        out.append(mine.sum())
    return out


@nasty("shared", args=given(lambda: (XS, [1])))
def sum_of_nothing_from_a_list_by_name(xs, shared):
    for x in xs:
        mine = sum([], start=shared)
        mine.append(x)
    return shared


@nasty("shared", args=given(lambda: (XS, [1])))
def text_of_a_template(xs, shared):
    for x in xs:
        mine = string.Template(shared).template
        mine.append(x)
    return shared


@nasty("shared", args=given(lambda: (XS, [1])))
def sequence_of_a_matcher(xs, shared):
    for x in xs:
        mine = difflib.SequenceMatcher(None, shared, [2]).a
        mine.append(x)
    return shared


@nasty("shared", args=given(lambda: (XS, [1])))
def hook_of_json_gives_what_is_shared(xs, shared):
    for x in xs:
        mine = json.loads('{"a": 1}', object_hook=lambda found: shared)
        mine.append(x)
    return shared


@nasty("shared", args=given(lambda: (XS, pd.Series([1, 2]), [1])))
def aggregate_gives_what_is_shared(xs, series, shared):
    for x in xs:
        mine = series.agg(lambda all_of_it: shared)
        mine.append(x)
    return shared


@nasty("shared unknown", args=given(lambda: (XS, pd.Series([1, 2]))))
def pipe_gives_what_is_shared(xs, series):
    for x in xs:
        mine = pd.Series([x]).pipe(lambda own: series)
        mine[0] = x
    return series


@nasty("carried")
def put_into_two_and_changed_in_one(xs):
    table, row, lengths = {}, [0] * 9, []
    for x in xs:
        own = [x]
        table[x] = row[x] = own
        row[x] += [3]
        lengths.append(len(own))
    return lengths


@nasty("carried")
def second_of_two_is_read(xs):
    table, other, lengths = {}, {}, []
    for x in xs:
        table[x] = other[x] = x
        lengths.append(len(other))
    return lengths


@nasty(SPLIT)
def updated_by_a_keyword_and_changed(xs):
    table, other = {}, {}
    for x in xs:
        own, mine = [x], {"b": x}
        table.update(a=own)
        other.update(**mine)
        own.append(1)
        mine["b"] = 9
    return table, other


@nasty("shared", args=given(lambda: (XS, np.arange(6.0).reshape(2, 3), np.zeros((2, 3)))))
def distances_into_an_array(xs, array, distances):
    for x in xs:
        scipy.ndimage.distance_transform_edt(array > x, distances=distances)
    return distances


@nasty(EITHER, args=given(lambda: (XS, np.array([1.0, 2.0]))))
def fixed_point_is_the_same(xs, array):
    for x in xs:
        mine = scipy.optimize.fixed_point(lambda v: v, array, method="iteration")
        mine += x
    return array


@nasty(EITHER, args=given(lambda: (XS,)))
def gradient_along_a_random_line(xs):
    np.random.seed(1)
    out = []
    for x in xs:
        start = np.array([1.0, 2.0])
        out.append(
            scipy.optimize.check_grad(lambda v: (v**3).sum(), lambda v: 3.1 * v**2, start, direction="random")
            * x
        )
    return out


@nasty(EITHER, EITHER, args=given(lambda: (np.random.SeedSequence(5).spawn(3),)))
def seeds_spawn_through_generators(seeds):
    out = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        (child,) = rng.spawn(1)
        out.append(child.random())
    return out, [seed.n_children_spawned for seed in seeds]


@nasty(EITHER, args=given(lambda: ([np.random.SeedSequence(5)] * 3,)))
def one_seed_spawns_through_generators(seeds):
    return [np.random.default_rng(seed).spawn(1)[0].random() for seed in seeds]


@nasty(EITHER, args=given(lambda: (XS, np.ma.array([1.0, 2.0, 3.0]))))
def masked_arrays_kept(xs, array):
    out = []
    for x in xs:
        out.append(array * x)
    return out


@nasty(EITHER, EITHER, args=given(lambda: (XS, np.eye(2).view(np.matrix))))
def columns_of_a_matrix_kept(xs, matrix):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = []
        for _ in xs:
            out.append(matrix[:, 1])
        matrix[0, 1] = 77
    return [np.array(one) for one in out]


@nasty(EITHER, args=given(lambda: (XS, np.rec.array([(1, 2.0), (3, 4.0)], dtype=[("a", int), ("b", float)]))))
def fields_of_records_kept(xs, records):
    out = []
    for _ in xs:
        out.append(records.b)
    records.b[0] = 77
    return out


@nasty(EITHER, args=given(lambda: (XS,)))
def matrix_around_an_array_kept(xs):
    out = []
    for x in xs:
        array = np.arange(4.0) + x
        out.append((array, array.view(np.matrix)))
    out[-1][0][0] = 77
    return out


@nasty(EITHER, args=given(lambda: (XS,)))
def windows_kept(xs):
    out = []
    for x in xs:
        out.append(np.lib.stride_tricks.sliding_window_view(np.arange(6.0) * x, 3, writeable=True))
    out[-1][0, 1] = 77
    return out


@nasty(EITHER, EITHER, args=given(lambda: (XS,)))
def bytes_and_their_array_kept(xs):
    out = []
    for x in xs:
        data = bytearray([x, 2, 3])
        out.append((data, np.frombuffer(data, "u1")))
    out[-1][1][0] = 77
    return [(bytes(data), array) for data, array in out]


@nasty(SPLIT, args=given(lambda: (XS,)))
def bytes_in_another_order(xs):
    out = []
    for x in xs:
        out.append(np.arange(x).astype(">i4"))
    return out


def unordered_matrix():
    items = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([2, 0, 1, 1, 0]), np.array([0, 2, 4, 5])
    return scipy.sparse.csr_matrix(items, shape=(3, 3))


@nasty(EITHER, args=given(lambda: (XS, unordered_matrix())))
def sparse_matrix_is_put_in_order(xs, matrix):
    out = []
    for x in xs:
        out.append(matrix.max() * x)
    return out


@nasty("world", args=given(lambda: (XS,)))
def asks_how_large_a_file_is(xs):
    out = []
    for x in xs:
        try:
            size = os.path.getsize("f3.txt")
        except OSError:
            size = -1
        with open(f"f{x}.txt", "w") as file:
            file.write("x" * x)
        out.append(size)
    return out


@nasty(SPLIT, args=given(lambda: (XS,)))
def file_in_no_encoding(xs):
    out = []
    for x in xs:
        try:
            with open(f"f{x}.txt", "w", encoding="no such encoding") as file:
                file.write("x")
        except LookupError:
            out.append(x)
    return out


@nasty(SPLIT, args=given(lambda: (XS,)))
def file_by_the_name_of_a_folder(xs):
    out = []
    for x in xs:
        try:
            with open(f"f{x}.txt/", "w") as file:
                file.write("x")
        except OSError as error:
            out.append(type(error).__name__)
    return out


@nasty(SPLIT, args=given(lambda: (XS,)))
def file_through_a_missing_folder(xs):
    out = []
    for x in xs:
        try:
            with open(f"missing/../f{x}.txt", "w") as file:
                file.write("x")
        except OSError as error:
            out.append(type(error).__name__)
    return out


def folder_behind_a_link(here):
    pathlib.Path("a/b").mkdir(parents=True)
    pathlib.Path("link").symlink_to("a/b")
    return (XS,)


@nasty(SPLIT, args=folder_behind_a_link)
def file_above_a_linked_folder(xs):
    for x in xs:
        with open(f"link/../f{x}.txt", "w") as file:
            file.write("x")


def opened_by_number(here):
    pathlib.Path("lines.txt").write_text("one\ntwo\nsix\n")
    number = os.open("lines.txt", os.O_RDONLY)
    os.dup2(number, 250)
    os.close(number)
    return ([250, 250, 250],)


@nasty(SPLIT, args=opened_by_number)
def file_by_its_number(numbers):
    out = []
    for number in numbers:
        file = open(number, "rb", buffering=0, closefd=False)
        out.append(file.read(4))
    return out


def one_growing_list():
    row = []
    for number in range(4):
        row.append(number)
        yield row


@nasty(EITHER, args=given(lambda: (XS,)))
def keeps_what_a_generator_holds_on_to(xs):
    out = []
    for row in one_growing_list():
        out.append(row)
    return out


def views_of_one_array():
    array = np.zeros(4)
    for number in range(4):
        array[number] = number
        yield array[number:]


@nasty(EITHER, args=given(lambda: (XS,)))
def keeps_views_of_what_a_generator_changes(xs):
    out = []
    for row in views_of_one_array():
        out.append(row[:2])
    return out


def few_lists():
    rows = [[0], [1]]
    for number in range(4):
        yield rows[number % 2]


@nasty(EITHER, args=given(lambda: (XS,)))
def keeps_what_a_generator_gives_twice(xs):
    out = []
    for row in few_lists():
        out.append({"row": row})
    out[0]["row"].append(77)
    return out


@nasty(EITHER, args=given(lambda: (pd.DataFrame({"g": ["a", "b", "a"], "x": [1.0, 2.0, 3.0]}),)))
def rows_of_one_array(frame):
    out = []
    for _, row in frame[["x"]].iterrows():
        out.append(row)
    return out


@nasty(EITHER, args=given(lambda: (XS, pd.DataFrame({"g": ["a", "b"]}))))
def results_that_forget_warnings(xs, frame):
    out = []
    for _ in xs:
        mine = frame.copy()
        mine.newer = [1]
        out.append(mine)
    return out


@nasty(EITHER, args=given(lambda: (XS,)))
def library_that_forgets_warnings(xs):
    out = []
    for x in xs:
        if x % 2:
            out.append(np.array([1.0, x]) / 0)
        out.append(np.nanstd(np.array([np.nan, x])))
        out.append(scipy.linalg.inv(np.eye(2) * x))
    return out


@nasty(EITHER, args=given(lambda: (XS, np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 5.0]]))))
def logarithms_draw_at_random(xs, matrix):
    np.random.seed(1)
    out = []
    for x in xs:
        out.append(scipy.linalg.logm(matrix * x))
    return out


@nasty("unknown shared", args=given(lambda: ([2, 1, 3], np.array([[4.0, 1.0], [1.0, 3.0]]))))
def first_fractional_power_is_the_same(xs, matrix):
    for x in xs:
        mine = scipy.linalg.fractional_matrix_power(matrix, x)
        mine += 1
    return matrix


@nasty("shared", args=given(lambda: (XS, np.array([1.0, 2.0]))))
def transform_of_no_axes_is_the_same(xs, array):
    array = array + 0j
    for x in xs:
        mine = np.fft.fftn(array, axes=())
        mine += x
    return array


@nasty("shared", args=given(lambda: (XS, pd.Series([1.0, 2.0]))))
def clipped_at_nothing_is_the_same(xs, series):
    for x in xs:
        mine = series.clip()
        mine.iloc[0] = x
    return series


# --- Methods of objects that are there before -------------------------------------------------------------------------


class Scale:
    known = [1]

    def __init__(self, factor=2, inner=None):
        self.factor, self.inner = factor, inner
        self.rows, self.made, self.numbers = [[1], [2]], 0, np.arange(4.0)

    def scaled_by(self, x):
        return x * self.factor

    def scaled_inside(self, x):
        return self.inner.scaled_by(x)

    def scaled_twice(self, x):
        return self.scaled_by(self.scaled_by(x))

    def rows_seen(self, x):
        return x + len(self.rows)

    def known_seen(self, x):
        return x + len(self.known)

    def sum_seen(self, x):
        return float(self.numbers.sum()) + x

    def window_of(self, x):
        return self.numbers[1:]

    def pair_with(self, x):
        return [x, self.factor]

    def row_for(self, x):
        return self.rows[x % 2]

    def held_by(self, mine):
        return [mine]

    def counted_up(self, x):
        self.made += 1
        return self.made + x

    def put_in(self, mine):
        mine.append(self.rows)

    def scaled_aloud(self, x):
        print("scaling", x)
        return x * self.factor

    def counted_for_all(self, x):
        type(self).known = [*self.known, x]
        return len(self.known)

    def __offset(self, x):
        self.made += 1
        return x

    def offset_by(self, x):
        return self.__offset(x)


class ScaleThatCounts(Scale):
    def scaled_by(self, x):
        self.made += 1
        return self.made


class ScaleThatShares(Scale):
    def pair_with(self, x):
        return self.rows


class ScaleAbove(Scale):
    def scaled_by(self, x):
        return super().scaled_by(x) + 1


class ScaleWithIts(Scale):
    def __offset(self, x):
        return 0


class ScaleOnce:
    def __init__(self):
        self.factor = 2

    @functools.cached_property
    def total_once(self):
        return self.factor

    def once_by(self, x):
        return self.total_once * x


class PlainScale:
    def __init__(self, factor=2, inner=None):
        self.factor, self.inner, self.rows = factor, inner, [[1], [2]]

    def times(self, x):
        return x * self.factor

    def times_inside(self, x):
        return self.inner.times(x)

    def rows_counted(self, x):
        return x + len(self.rows)

    def __times(self, x):
        return x + 1

    def times_of_its_own(self, x):
        return self.__times(x)


class TimesAbove(PlainScale):
    def times(self, x):
        return super().times(x) + 1


class TimesThatCounts(PlainScale):
    def times(self, x):
        self.factor += 1
        return self.factor


class TimesOfAll(PlainScale):
    def __times(self, x):
        CALLS.append(x)
        return len(CALLS)


class HoldsScales:
    def __init__(self, scale):
        self._scale, self.plain = scale, scale

    @property
    def computed(self):
        return self._scale


def patched_scale():
    scale = PlainScale()
    scale.times = lambda x: CALLS.append(x) or len(CALLS)
    return scale


@nasty(SPLIT, args=given(lambda: (PlainScale(3), XS)))
def method_of_an_argument(scale, xs):
    out = []
    for x in xs:
        y = scale.times(x)
        y += 1
        out.append(y)
    return out


@nasty(SPLIT, args=given(lambda: (TimesAbove(3), XS)))
def method_as_the_class_has_it(scale, xs):
    return [scale.times(x) for x in xs]


@nasty(SPLIT, args=given(lambda: (TimesThatCounts(3), XS)))
def method_that_only_this_class_changes(scale, xs):
    return [scale.times(x) for x in xs], scale


@nasty(SPLIT, args=given(lambda: (PlainScale(1, TimesThatCounts(3)), XS)))
def method_of_what_it_holds(scale, xs):
    return [scale.times_inside(x) for x in xs], scale


@nasty(SPLIT, args=given(lambda: ([PlainScale(1), PlainScale(2), TimesThatCounts(3), PlainScale(4)],)))
def one_of_many_counts(scales):
    out = []
    for scale in scales:
        out.append(scale.times(2))
    return out, scales


@nasty(SPLIT, args=given(lambda: ([PlainScale(1), patched_scale(), PlainScale(3)],)))
def one_of_many_is_patched(scales):
    out = []
    for scale in scales:
        out.append(scale.times(2))
    return out


@nasty(SPLIT, args=given(lambda: ([(PlainScale(1), 2), (TimesThatCounts(2), 3), (PlainScale(3), 4)],)))
def one_of_pairs_counts(pairs):
    out = []
    for scale, x in pairs:
        out.append(scale.times(x))
    return out, pairs


@nasty(SPLIT, INSIDE, args=given(lambda: ({TimesThatCounts(1): PlainScale(2)}, range(5))))
def keys_that_count(table, numbers):
    out = []
    for number in numbers:
        for key in table:
            out.append(key.times(number))
            out.append(table[key].times(number))
    return out, list(table)


@nasty(
    SPLIT, args=given(lambda: ([[TimesThatCounts(1), PlainScale(2)], [PlainScale(3)]], slice(0, 1), range(5)))
)
def part_of_a_part_counts(scales, part, numbers):
    out = []
    for number in numbers:
        out.append(scales[part][0][0].times(number))
    return out, scales


@nasty(SPLIT, args=given(lambda: (lambda scale: (scale, scale.rows, XS))(PlainScale())))
def method_reads_what_is_filled(scale, rows, xs):
    for x in xs:
        rows.append(scale.rows_counted(x))
    return rows


@nasty(EITHER, args=given(lambda: (Scale(), Scale.known, XS)))
def method_reads_what_all_share(scale, known, xs):
    for x in xs:
        known.append(scale.known_seen(x))
    return known


@nasty(EITHER, args=given(lambda: (lambda scale: (scale, scale.numbers[1:], [0, 1, 2]))(Scale())))
def method_reads_memory_that_is_filled(scale, numbers, xs):
    for x in xs:
        numbers[x] = scale.sum_seen(x)
    return numbers


@nasty("shared", args=given(lambda: (Scale(), XS)))
def method_counts(scale, xs):
    return [scale.counted_up(x) for x in xs], scale


@nasty("shared", args=given(lambda: (Scale(), XS, [])))
def method_fills_an_argument(scale, xs, table):
    for _ in xs:
        scale.put_in(table)
    return table


@nasty("shared", args=given(lambda: (Scale(), XS)))
def method_sets_the_class(scale, xs):
    return [scale.counted_for_all(x) for x in xs], Scale.known


@nasty("shared", args=given(lambda: (Scale(), XS)))
def what_a_method_gives_is_its_own(scale, xs):
    out = []
    for x in xs:
        row = scale.row_for(x)
        row.append(x)
        out.append(row)
    return out, scale


@nasty("shared unknown", args=given(lambda: (ScaleThatShares(), XS)))
def what_this_class_gives_is_its_own(scale, xs):
    out = []
    for x in xs:
        pair = scale.pair_with(x)
        pair.append(x)
        out.append(pair)
    return out, scale


@nasty("shared unknown", args=given(lambda: (Scale(), XS)))
def what_a_method_gives_is_its_memory(scale, xs):
    out = []
    for x in xs:
        window = scale.window_of(x)
        window += 1
        out.append(window)
    return out, scale


@nasty("shared unknown", args=given(lambda: (Scale(), XS)))
def what_a_method_holds_is_given(scale, xs):
    out = []
    for x in xs:
        mine = [x]
        held = scale.held_by(mine)
        held[0].append(1)
        out.append(mine)
    return out


@nasty("unknown shared", args=given(lambda: (ScaleWithIts(), XS)))
def private_method_of_the_class_above(scale, xs):
    return [scale.offset_by(x) for x in xs], scale.made


@nasty(EITHER, args=given(lambda: (TimesOfAll(), XS)))
def private_method_of_the_class_below(scale, xs):
    return [scale.times_of_its_own(x) for x in xs], CALLS


@nasty(SPLIT, args=given(lambda: (HoldsScales(TimesThatCounts()), XS)))
def method_of_what_is_computed(holder, xs):
    return [holder.computed.times(x) for x in xs], holder


@nasty(SPLIT, args=given(lambda: (HoldsScales(PlainScale()), XS)))
def method_of_what_is_held(holder, xs):
    return [holder.plain.times(x) for x in xs], holder


@nasty(EITHER, EITHER, EITHER, EITHER, args=given(lambda: (PlainScale(), TimesThatCounts(), XS)))
def other_object_by_one_name(scale, other, xs):
    out = [scale.times(x) for x in xs]
    scale = other
    out += [scale.times(x) for x in xs]
    for x in xs:
        one, two = scale, other
        for _ in range(2):
            out.append(one.times(x))
            one, two = two, one
    return out, other


@nasty("carried unknown", args=given(lambda: (PlainScale(), TimesThatCounts(), XS)))
def other_object_after_the_first(scale, other, xs):
    out = []
    for x in xs:
        out.append(scale.times(x))
        scale = other
    return out, other


@nasty("unknown", args=given(lambda: (PlainScale(), TimesThatCounts(), XS)))
def one_object_or_another(scale, other, xs):
    out = []
    for x in xs:
        one = scale if x % 2 else other
        out.append(one.times(x))
    return out, other


class PatchedLater(PlainScale):
    pass


@nasty(EITHER, EITHER, args=given(lambda: (PatchedLater(), XS)))
def class_that_gets_a_method_later(scale, xs):
    out = []
    for _ in range(2):
        for x in xs:
            out.append(scale.times(x))
        PatchedLater.times = TimesThatCounts.times
    del PatchedLater.times
    return out, scale


@nasty(EITHER, EITHER, args=given(lambda: (PatchedLater(), XS)))
def object_of_another_class_later(scale, xs):
    out = []
    for _ in range(2):
        for x in xs:
            out.append(scale.times(x))
        scale.__class__ = TimesThatCounts
    return out, scale


@nasty(EITHER, args=given(lambda: ({1: [], 2: [], 3: []}, Scale(), XS)))
def method_prints_before_its_place_is_missing(table, scale, xs):
    for x in xs:
        table[x].append(scale.scaled_aloud(x))


class GetsAloud:
    def get(self, x):
        print("getting", x)
        return x


@nasty(EITHER, args=given(lambda: ({3: [], 1: []}, GetsAloud(), [3, 1, 2, 3])))
def known_name_prints_before_its_place_is_missing(table, source, xs):
    for x in xs:
        table[x].append(source.get(x))


@nasty(EITHER, args=given(lambda: ([None, 1, PlainScale()],)))
def nothing_has_no_method(scales):
    out = []
    for scale in scales:
        out.append(scale.times(1))
    return out


@nasty("unknown", args=given(lambda: (ScaleOnce(), XS)))
def property_that_is_cached(scale, xs):
    return [scale.once_by(x) for x in xs], scale


SCALE_OF_ALL = PlainScale(3)


def exchanged_scale():
    globals()["SCALE_OF_ALL"] = TimesThatCounts(3)


def by_the_scale_of_all(x):
    return SCALE_OF_ALL.times(x)


@nasty(SPLIT, args=given(lambda: (XS,)))
def global_object_is_exchanged(xs):
    exchanged_scale()
    return [by_the_scale_of_all(x) for x in xs], SCALE_OF_ALL


# --- What only looks like a plain object ------------------------------------------------------------------------------


COUNTS_TIMES = TimesThatCounts()
HELD = [1]


class KindThatMakesUp(enum.Enum):
    ONE = 1

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return COUNTS_TIMES


class KindThatFindsOthers(enum.Enum):
    ONE = 1

    def found_by(self, x):
        return x

    def __getattribute__(self, name):
        return COUNTS_TIMES.times if name == "found_by" else object.__getattribute__(self, name)


def counted_as_property(self):
    CALLS.append(1)
    return len(CALLS)


class PropertyOfPartial:
    level = property(functools.partial(counted_as_property))


class PropertyOfCached:
    level = property(functools.lru_cache(None)(counted_as_property))


class TimesPlainly:
    def timed(self, x):
        return x


class TimesAndRemembers:
    def timed(self, x):
        CALLS.append(x)
        return len(CALLS)


class TimesAsTheBaseHasIt(TimesPlainly):
    pass


class TimesAsTheOtherBaseHasIt(TimesPlainly):
    pass


def __private(x):
    return x


def _CallsPrivate__private(x):
    CALLS.append(x)
    return len(CALLS)


class CallsPrivate:
    def private_of(self, x):
        return __private(x)


class HoldsPartial:
    held = functools.partial(print, HELD)
    held_plainly = staticmethod(functools.partial(print, HELD))

    def held_counted(self, x):
        return x + len(self.held.args[0])

    def held_plainly_counted(self, x):
        return x + len(self.held_plainly.args[0])

    def held_given(self, x):
        return self.held.args[0]


class CallableThatHolds:
    def __init__(self):
        self.rows = HELD

    def __call__(self, x):
        return x


class HoldsCallable:
    held_callable = staticmethod(CallableThatHolds())

    def held_callable_counted(self, x):
        return x + len(self.held_callable.rows)


class FieldOfNumbers(np.ndarray):
    def total_with(self, x):
        return float(self.sum()) + x


def field_of_numbers():
    numbers = np.arange(5.0)
    return numbers.view(FieldOfNumbers), numbers, [0, 1, 2, 3]


class TableOfNumbers(pd.DataFrame):
    pass


def table_of_objects():
    column = pd.Series([TimesThatCounts(), 1], index=["inner", "other"], dtype=object)
    return TableOfNumbers({"scale": column}), XS


def appends_to_the_first(a, /, **others):
    a.append(1)
    return len(a)


class AppendsToTheFirst:
    def __init__(self, a, /, **others):
        a.append(1)


class TakesPrivate:
    def take_private(self, __table=None):
        __table.append(1)
        return len(__table)


@nasty(EITHER, args=given(lambda: (KindThatMakesUp.ONE, XS)))
def member_of_an_enum_that_makes_up_attributes(kind, xs):
    return [kind.scale.times(x) for x in xs], COUNTS_TIMES


@nasty(EITHER, args=given(lambda: (KindThatFindsOthers.ONE, XS)))
def member_of_an_enum_that_finds_other_methods(kind, xs):
    return [kind.found_by(x) for x in xs], COUNTS_TIMES


@nasty(EITHER, args=given(lambda: (PropertyOfPartial(), XS)))
def property_of_a_partial(holder, xs):
    return [holder.level for x in xs]


@nasty(EITHER, args=given(lambda: (PropertyOfCached(), XS)))
def property_of_a_cached_function(holder, xs):
    return [holder.level for x in xs]


@nasty(EITHER, EITHER, args=given(lambda: (TimesAsTheBaseHasIt(), XS)))
def class_that_gets_another_base(scale, xs):
    out = []
    for _ in range(2):
        for x in xs:
            out.append(scale.timed(x))
        TimesAsTheBaseHasIt.__bases__ = (TimesAndRemembers,)
    return out


@nasty(EITHER, EITHER)
def known_class_that_gets_another_base(xs):
    out = []
    for _ in range(2):
        for x in xs:
            scale = TimesAsTheOtherBaseHasIt()
            out.append(scale.timed(x))
        TimesAsTheOtherBaseHasIt.__bases__ = (TimesAndRemembers,)
    return out


@nasty(EITHER, args=given(lambda: (CallsPrivate(), XS)))
def global_with_a_private_name(holder, xs):
    return [holder.private_of(x) for x in xs]


@nasty(EITHER, args=given(lambda: (HoldsPartial(), HELD, XS)))
def partial_of_a_class_is_read(holder, rows, xs):
    for x in xs:
        rows.append(holder.held_counted(x))


@nasty(EITHER, args=given(lambda: (HoldsPartial(), HELD, XS)))
def static_partial_of_a_class_is_read(holder, rows, xs):
    for x in xs:
        rows.append(holder.held_plainly_counted(x))


@nasty(EITHER, args=given(lambda: (HoldsPartial(), XS)))
def what_a_partial_of_a_class_holds_is_given(holder, xs):
    return [holder.held_given(x) for x in xs]


@nasty(EITHER, args=given(lambda: (HoldsPartial(), HELD, XS)))
def partial_of_a_class_is_read_in_the_loop(holder, rows, xs):
    for x in xs:
        rows.append(len(holder.held.args[0]) + x)


@nasty(EITHER, args=given(lambda: (HoldsCallable(), HELD, XS)))
def static_callable_of_a_class_is_read(holder, rows, xs):
    for x in xs:
        rows.append(holder.held_callable_counted(x))


@nasty(EITHER, args=given(field_of_numbers))
def array_of_a_class_shares_memory(field, numbers, xs):
    for x in xs:
        numbers[x] = field.total_with(x)


@nasty(EITHER, args=given(field_of_numbers))
def array_of_a_class_shares_memory_in_the_loop(field, numbers, xs):
    for x in xs:
        numbers[x] = float(np.sum(field))


@nasty(EITHER, args=given(table_of_objects))
def table_of_a_class_makes_up_attributes(table, xs):
    return [table.scale.inner.times(x) for x in xs]


@nasty("shared", args=given(lambda: ([], XS)))
def keyword_of_the_name_of_a_positional(table, xs):
    return [appends_to_the_first(table, a=[x]) for x in xs]


@nasty("shared", args=given(lambda: ([], XS)))
def keyword_of_the_name_of_a_positional_of_a_class(table, xs):
    for x in xs:
        AppendsToTheFirst(table, a=[x])


@nasty(EITHER, args=given(lambda: (TakesPrivate(), [], XS)))
def keyword_by_its_private_name(holder, table, xs):
    return [holder.take_private(_TakesPrivate__table=table) for x in xs]


# --- Headers that do something to what they go through ----------------------------------------------------------------


class ExchangesScales:
    def __init__(self):
        self.scales = [TimesThatCounts(), TimesThatCounts()]

    def exchange(self):
        self.scales = [PlainScale(), PlainScale()]
        return [1, 2]


def counting_and_plain():
    return [TimesThatCounts() for _ in range(3)], [PlainScale() for _ in range(3)]


@nasty("unknown", args=given(counting_and_plain))
def header_assigns_its_variable(scales, plain):
    out = []
    for scale, _ in zip(scales, (scales := plain)):
        out.append(scale.times(1))
    return out


@nasty("unknown", args=given(counting_and_plain))
def header_assigns_by_a_function(scales, plain):
    before = scales

    def exchange():
        nonlocal scales
        scales = plain
        return plain

    return [scale.times(1) for scale, _ in zip(scales, exchange())], before


@nasty("unknown", args=given(counting_and_plain))
def header_fills_what_it_copied(scales, plain):
    before = list(scales)
    return [
        scale.times(1) for scale, *_ in zip(list(scales), [scales.clear(), scales.extend(plain), 1])
    ], before


@nasty("unknown", args=given(lambda: (ExchangesScales(),)))
def header_sets_an_attribute(holder):
    before = holder.scales
    return [scale.times(1) for scale, _ in zip(holder.scales, holder.exchange())], before


# --- What is called super, and isn't ----------------------------------------------------------------------------------


class TimedAndRemembered:
    def timed_above(self, x):
        CALLS.append(x)
        return len(CALLS)


class TimedAbove:
    def timed_above(self, x):
        return x


class TimedByALocalName(TimedAbove):
    def timed_above(self, x):
        super = TimedAndRemembered
        return super().timed_above(x)


class TimedByAParameter(TimedAbove):
    def timed_above(self, x, super=TimedAndRemembered):
        return super().timed_above(x)


@nasty(EITHER, args=given(lambda: (TimedByALocalName(), XS)))
def local_name_of_super(scale, xs):
    return [scale.timed_above(x) for x in xs]


@nasty(EITHER, args=given(lambda: (TimedByAParameter(), XS)))
def parameter_of_the_name_of_super(scale, xs):
    return [scale.timed_above(x) for x in xs]
