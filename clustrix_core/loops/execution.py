"""Split loops at work: iterations are computed in parallel, and their effects happen one by one, in order.

A loop begins as it was written, and its iterations are timed. It goes on like that unless the rest is worth
splitting. Then copies of this process each go through what the loop goes through, and do some of the
iterations; what those would do to anything is logged, and done here. An iteration that fails in a copy is done
again here, where it fails as it would have: so exceptions, their tracebacks and what was done before them are
those of the serial loop.
"""

from __future__ import annotations

import ast
import gc
import itertools
import logging
import math
import sys
import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from types import FunctionType
from typing import Any

from clustrix_core.errors import LoopError
from clustrix_core.loops import copies, worker
from clustrix_core.loops.analysis import Loop
from clustrix_core.loops.copies import Copies, Copy
from clustrix_core.loops.facts import Unfit
from clustrix_core.loops.files import READ, WRITTEN, Staged
from clustrix_core.loops.guards import Guards
from clustrix_core.loops.reach import (
    Reach,
    TooLong,
    behind_iterators,
    behind_output,
    changeable,
    is_array,
)
from clustrix_core.loops.source import Sources, is_library, module_of
from clustrix_core.loops.worker import ABANDONED, Answer, Iterations, received
from clustrix_core.meter import Meter, bar

TASTE = 0.002  # seconds of iterations that are timed at least before a loop is split
SHORT = 2e-6  # seconds of an iteration that counting them makes slower
QUICK = 0.005  # seconds of a whole loop that isn't looked at any more for a while
CHUNK = 0.1  # seconds that the iterations of one order should take
FIRST = 0.01  # the same for the first orders, whose answers tell what more of them cost
TRIED = 0.03  # seconds that may be lost before it is seen whether splitting pays
MOST = 50_000  # iterations of one order
PIECE = 1 << 23  # bytes that an answer should have at most
HELD = 1 << 28  # bytes of answers that may wait for those before

Step = tuple[Iterable[Any], Iterable[tuple[int, Any]]]

_log = logging.getLogger("clustrix.loops")
_cost = 0.01  # seconds that splitting took the last time
_FILLED = (list, dict, set, deque, defaultdict, Counter, OrderedDict, bytearray)
_COUNTED = (int, float, complex, bool, str, bytes, tuple, type(None))
_SEQUENCES: tuple[type, ...] = (
    list, tuple, str, bytes, bytearray, range, dict, set, frozenset, deque, Counter, OrderedDict,
    type({}.keys()), type({}.values()), type({}.items()),
)  # fmt: skip


class Part:
    """A loop of a function, ready to run.

    Args:
        loop: the loop.
        iterate: what computes its iterations.
        name: how it is called in messages.
    """

    def __init__(self, loop: Loop, iterate: FunctionType, name: str) -> None:
        self.loop, self.iterate, self.name = loop, iterate, name
        self.guards = Guards(loop.facts)
        guarded = {id(names): names for names, _, _ in loop.facts.guards if isinstance(names, dict)}
        self.places = [iterate.__globals__, *guarded.values()]  # where warnings may be from
        self.approved: set[type] = set()
        self.proved: set[tuple[type, int]] = set()
        self.methods = _methods(loop)
        self.idle = 0  # how often in a row there was nothing to split
        self.looking = 0.0  # seconds that it took to look at what its iterations see
        self.least = SHORT / 2  # seconds that an iteration takes at least if it is worth splitting


def _methods(loop: Loop) -> dict[str, set[str]]:
    """The methods of accumulators that effects call."""
    found: dict[str, set[str]] = defaultdict(set)
    for effect in loop.effects.values():
        call = effect.replayed.value if isinstance(effect.replayed, ast.Expr) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            if isinstance(call.func.value, ast.Name):
                found[call.func.value.id].add(call.func.attr)
    return found


def loop_meter(name: str) -> Meter:
    """Tells how far a loop is."""

    def line(done: int, total: int | None, seconds: float) -> str:
        counted = f"{bar(done, total)} {name}" if total else f"{name}: {done:,} iterations"
        return f"{counted}, {seconds:.0f} s"

    return Meter(line, logged=True)


class Runtime:
    """What the rewritten function calls.

    Args:
        parts: its loops.
        sources: texts that were kept.
        workers: how many iterations are computed at the same time.
        mode: that of `split`.
        always: split whatever can be, worth it or not.
        progress: show how far a loop is that is split.
    """

    def __init__(
        self,
        parts: list[Part],
        sources: Sources,
        workers: int,
        mode: Any,
        always: bool,
        progress: bool = False,
    ) -> None:
        self.progress = progress
        self.parts, self.sources, self.workers = parts, sources, max(workers, 1)
        self.mode, self.always = mode, always
        self._never = workers < 2 and not always and mode not in ("check", "require")
        self._off = [self._never] * len(parts)
        self._calls = 0

    def enter(self) -> list[bool]:
        """A call begins: which loops are done as they were written."""
        if copies.inside:
            return [True] * len(self.parts)
        self._calls += 1
        if not self._calls & 63 and not self._never:  # they may have got longer
            self._off = [False] * len(self.parts)
        return self._off

    def loop(
        self, number: int, header: Any, leaves: tuple[Any, ...], names: dict[str, Any], off: list[bool]
    ) -> Iterator[Step]:
        """The steps of a loop: items that are done as it was written, and effects that are to happen."""
        part = self.parts[number]
        depth = worker.depth() - 1
        roots = [call.place[0] for call in part.loop.facts.later]
        wanted = {*part.loop.inputs, *part.loop.accumulators, *part.loop.instances, *roots}
        kept = {name: names[name] for name in wanted if name in names}
        names.clear()  # before Python 3.13, the function keeps what locals() gave, and all that is in it
        return Run(self, part, header, leaves, kept, depth).steps(off, number)

    def listcomp(
        self, number: int, header: Any, leaves: Any, names: Any, off: Any, serial: Callable[[Any], list[Any]]
    ) -> list[Any]:
        """A list comprehension."""
        found: list[Any] = []
        for stage, logs in self.loop(number, header, leaves, names, off):
            made = serial(stage)
            if len(made) > len(found):  # most are done in one go where nothing is split
                made[:0] = found
                found = made
            else:
                found += made
            found += [values[0] for _, values in logs]
        return found

    def setcomp(
        self, number: int, header: Any, leaves: Any, names: Any, off: Any, serial: Callable[[Any, Any], Any]
    ) -> set[Any]:
        """A set comprehension."""
        found: set[Any] = set()
        for stage, logs in self.loop(number, header, leaves, names, off):
            serial(stage, found.add)
            for _, values in logs:
                found.add(values[0])
        return found

    def dictcomp(
        self, number: int, header: Any, leaves: Any, names: Any, off: Any, serial: Callable[[Any], Any]
    ) -> dict[Any, Any]:
        """A dict comprehension."""
        found: dict[Any, Any] = {}
        for stage, logs in self.loop(number, header, leaves, names, off):
            found.update(serial(stage))
            for _, values in logs:
                key, value = values[0]
                found[key] = value
        return found

    def genexp(
        self, number: int, header: Any, leaves: Any, names: Any, off: Any, serial: Callable[[Any], Any]
    ) -> Iterator[Any]:
        """A generator expression."""
        steps = self.loop(number, header, leaves, names, off)
        return itertools.chain.from_iterable(_parts(steps, serial))


def _parts(steps: Iterator[Step], serial: Callable[[Any], Any]) -> Iterator[Iterable[Any]]:
    for stage, logs in steps:
        yield serial(stage)
        yield (values[0] for _, values in logs)


class Order:
    """Some iterations, and what came of them.

    Attributes:
        start: the first.
        count: how many.
        data: the answer, when it has come.
        lost: whether none will come.
    """

    def __init__(self, start: int, count: int) -> None:
        self.start, self.count = start, count
        self.data, self.lost = b"", False


class Run:
    """One run of one loop."""

    def __init__(
        self,
        runtime: Runtime,
        part: Part,
        header: Any,
        leaves: tuple[Any, ...],
        names: dict[str, Any],
        depth: int,
    ) -> None:
        self._runtime, self._part, self._loop = runtime, part, part.loop
        self._header, self._leaves, self._names, self._depth = header, leaves, names, depth
        self._rate = 0.0  # seconds of an iteration
        self._bytes = 0.0  # those that come back of an iteration, once some have
        self._held = 0  # bytes of answers that wait for those before
        self._there = 0.0  # seconds of all iterations that copies have done
        self._before = 0.0  # seconds that it took them to come to these
        self._here = 0.0  # seconds that it took to do here what they do
        self._gain = math.inf  # seconds that splitting may save
        self._left: int | None = None  # iterations that are still to be ordered
        self._next = 0  # the iteration that is ordered next
        self._behind = 0  # items that were gone through in copies, and not here
        self._ended = False  # whether no more is ordered
        self._exhausted = False  # whether all was gone through
        self._known: dict[int, Any] = {}
        self._staged = Staged(False)

    def steps(self, off: list[bool], number: int) -> Iterator[Step]:
        """See `Runtime.loop`."""
        it = iter(self._header)
        self._left = self._length()
        mode = self._runtime.mode
        if mode == "require":
            reason = self._unfit(it)
            if reason:
                raise LoopError(f"{self._part.name} can't be split in this call: {reason}")
        if not self._runtime.always and mode != "check":
            worth = yield from self._begin(it, off, number)
            if not worth:
                return
        reason = self._unfit(it) or self._unprepared()
        self._note(bool(reason) and not self._runtime.always, off, number)
        if reason:
            _log.info("%s stays serial: %s", self._part.name, reason)
        else:
            try:
                yield from self._both(it) if mode == "check" else self._parallel(it)
            finally:
                with copies.undisturbed():
                    self._staged.end()
        if not self._exhausted or any(hasattr(leaf, "__next__") for leaf in self._leaves):
            self._catch_up(it)
            yield it, ()

    # whether it may be split

    def _length(self) -> int | None:
        if self._loop.lengths and all(type(leaf) in _SEQUENCES or _is_array(leaf) for leaf in self._leaves):
            return min(len(leaf) for leaf in self._leaves)
        return None

    def _unfit(self, it: Iterator[Any]) -> str:
        """Why the loop can't be split in this call, if so."""
        if not copies.possible:
            return "that is done on Linux only"
        try:
            return self._unfit_names() or self._unfit_objects(it)
        except Unfit as error:
            return str(error)
        except TooLong:
            self._part.looking = self._gain
            return "to look at all that its iterations see takes longer than splitting saves"

    def _unprepared(self) -> str:
        """Why files of the loop can't be written beside their places, if so."""
        with copies.undisturbed():
            try:
                self._staged = Staged(self._loop.facts.writes)
            except OSError as error:  # no place for temporary files, say
                return str(error)
        return ""

    def _unfit_names(self) -> str:
        with copies.undisturbed():
            try:
                loaded = copies.obstacle()
            except OSError as error:  # no more files can be opened, say
                return str(error)
        if loaded:
            return f"a library in this process uses {loaded}, which doesn't work in copies of it"
        if copies.watched() and not self._runtime.always:
            return "its lines are being traced"
        numpy: Any = sys.modules.get("numpy")
        if numpy is not None and (numpy.geterrcall() is not None or numpy.get_printoptions()["formatter"]):
            return "NumPy calls a function for errors, or for text"
        if logging.getLogRecordFactory() is not logging.LogRecord:
            return "records of logging are made in a way of their own"
        if self._loop.facts.writes and any(hasattr(leaf, "__next__") for leaf in self._leaves):
            return "what it goes through may see the files that it writes"
        for leaf, (_, new) in zip(self._leaves, self._loop.leaves, strict=True):
            if not new and type(leaf) not in _SEQUENCES and not isinstance(leaf, _COUNTED):
                if not is_library(module_of(type(leaf))):
                    return f"nobody knows what going through a {type(leaf).__qualname__} does"
                if not callable(leaf) and hasattr(leaf, "__next__"):
                    return f"others may go through the same {type(leaf).__qualname__}"
        for name in (*self._loop.inputs, *self._loop.accumulators):
            if name not in self._names:
                return f"{name} isn't set"
        for name, cls in self._loop.instances.items():
            if name in self._names and type(self._names[name]) is not cls:
                return f"{name} is no {cls.__qualname__} any more"
        return self._part.guards.changed() or next(
            filter(None, (self._unfit_to_fill(name, self._names[name]) for name in self._loop.accumulators)),
            "",
        )

    def _unfit_to_fill(self, name: str, value: Any) -> str:
        kind = type(value)
        root = module_of(kind).partition(".")[0]
        if (
            kind not in _FILLED
            and kind not in _COUNTED
            and root not in ("numpy", "decimal", "fractions", "pandas")
        ):
            return f"{name} is a {kind.__qualname__}"
        if kind is defaultdict and value.default_factory not in (
            None,
            int,
            float,
            list,
            dict,
            set,
            str,
            tuple,
        ):
            return f"{name} makes its values by a function"
        if is_array(value) and value.dtype.hasobject:
            return f"{name} is an array of objects"
        if (is_array(value) or root == "pandas") and self._loop.facts.late:
            return f"{name} is an array, and what is stored in it may change afterwards"
        for method in self._part.methods.get(name, ()):
            if not hasattr(kind, method):
                return f"{name} has no {method}"
        return ""

    def _unfit_objects(self, it: Iterator[Any]) -> str:
        """Look at all that iterations can see."""
        runtime, loop = self._runtime, self._loop
        began = time.perf_counter()
        seen = Reach(runtime.sources, loop.facts, self._part.approved, self._gain / 10)
        inputs = [self._names[name] for name in loop.inputs]
        seen.prove_methods(self._names, self._part.proved)
        seen.add([*seen.of_code(self._part.iterate), *inputs, *behind_iterators(it), *self._leaves_seen()])
        if loop.facts.outputs and changeable(behind_output()) & changeable(seen.objects):
            return "what it prints, logs or warns of may change what it reads"
        if loop.facts.outputs > loop.outputs and not loop.plain:
            return "something may be printed while a result is stored, which may fail before"
        filled = [self._names[name] for name in loop.accumulators]
        filled = [value for value in filled if type(value) not in _COUNTED]
        keys = Reach(runtime.sources, loop.facts, self._part.approved, self._gain / 10)
        for value in filled:  # keys are asked whether they are equal when results are stored
            if isinstance(value, (dict, set)):
                keys.add(value)
        if any(id(value) in seen.objects for value in filled):
            return "what the loop fills is among what it reads"
        if _stands_twice(filled, loop.levels):
            return "what the loop fills holds something twice"
        arrays = [value for value in filled if is_array(value)]
        if loop.deep or any(module_of(type(value)).startswith("pandas") for value in filled):
            inner = Reach(runtime.sources, loop.facts, self._part.approved, self._gain / 10)
            inner.filled = True
            inner.add(filled)
            if changeable(inner.objects) & changeable(seen.objects):
                return "what the loop fills holds something that it reads"
            arrays = inner.arrays
        if arrays and seen.arrays:
            import numpy

            if any(numpy.may_share_memory(one, other) for one in arrays for other in seen.arrays):
                return "what the loop fills shares memory with what it reads"
        self._part.guards.update()
        self._known = seen.objects
        self._part.looking = time.perf_counter() - began
        return ""

    def _leaves_seen(self) -> list[Any]:
        return [leaf for leaf in self._leaves if not hasattr(leaf, "__next__")]

    # the beginning

    def _begin(self, it: Iterator[Any], off: list[bool], number: int) -> Generator[Step, None, bool]:
        """Do iterations until the rest is worth splitting; say whether there is such a rest."""
        done, size, peeked = 0, 1, list[Any]()
        began, cpu = time.perf_counter(), time.process_time()
        while True:
            before = time.perf_counter()
            if peeked:
                yield peeked, ()
            yield itertools.islice(it, size - len(peeked)), ()
            done += size
            if self._left is None:
                peeked = list(itertools.islice(it, 1))
            now = time.perf_counter()
            if done >= self._left if self._left is not None else not peeked:
                self._note(now - began < QUICK, off, number)
                return False
            self._rate = (now - before) / size
            took = now - began
            if took >= TASTE:
                if self._worth(done, took, time.process_time() - cpu):
                    yield peeked, ()
                    if self._left is not None:
                        self._left -= done
                    return True
                if self._rate < SHORT:
                    yield peeked, ()
                    yield it, ()
                    return False
            size = max(1, min(done, int(0.05 / max(self._rate, 1e-9))))

    def _note(self, idle: bool, off: list[bool], number: int) -> None:
        """A loop that is never split isn't looked at any more for a while."""
        self._part.idle = self._part.idle + 1 if idle else 0
        off[number] = self._part.idle > 7

    def _worth(self, done: int, took: float, cpu: float) -> bool:
        """Whether the rest is worth splitting."""
        if took > 0.05 and cpu > 1.3 * took:  # iterations use several cores as they are
            return False
        rest = took if self._left is None else (self._left - done) * self._rate
        self._gain = rest * (1 - 1 / self._runtime.workers)
        return self._gain > 2 * (_cost + self._part.looking) and self._rate > self._part.least

    # in parallel

    def _parallel(self, it: Iterator[Any]) -> Iterator[Step]:
        """Have iterations done by copies, and have what they log happen."""
        global _cost
        began = time.perf_counter()
        waiting: deque[Order] = deque()
        meter = loop_meter(self._part.name) if self._runtime.progress else None
        done, total = 0, self._left
        made = self._copies(it)
        try:
            with copies.undisturbed():
                try:
                    made.start(self._runtime.workers)
                except OSError as error:  # no more processes, or no memory for them
                    _log.warning("%s goes on serially: %s", self._part.name, error)
                    return
            _cost = 0.5 * (_cost + 2 * (time.perf_counter() - began))  # they have to be ended, too
            given: dict[Copy, deque[Order]] = {copy: deque() for copy in made.all}
            while True:
                self._give(made, given, waiting)
                if not waiting:
                    self._exhausted = self._left == 0
                    if meter is not None and meter.progress is not None:
                        meter.progress(done, total)
                    break
                first = waiting[0]
                for copy, data in made.wait(not (first.data or first.lost)):
                    if data is not None:
                        order = given[copy].popleft()
                        order.data = data
                        self._held += len(data)
                        self._bytes = _average(self._bytes, len(data) / order.count)
                        continue
                    _log.warning("%s: a process has died; what it was doing is done again", self._part.name)
                    self._ended = True
                    for order in given.pop(copy):
                        order.lost = True
                if meter is not None and meter.progress is not None:
                    meter.progress(done, total)
                if first.data or first.lost:
                    if meter is not None:
                        meter.clear()  # its output comes now
                    done += first.count
                    self._held -= len(first.data)
                    go_on = yield from self._take_over(it, waiting.popleft(), made.reading)
                    if not go_on:
                        break
        finally:
            made.end()
            if meter is not None:
                meter.clear()

    def _copies(self, it: Iterator[Any]) -> Copies:
        inputs = [self._names[name] for name in self._loop.inputs]
        work = Iterations(
            self._part.iterate,
            inputs,
            self._loop.outs,
            it,
            self._known,
            self._staged,
            self._depth,
            self._loop.verdict.kind,
            any(type(leaf) not in _SEQUENCES and not _is_array(leaf) for leaf in self._leaves),
        )
        return Copies(work)

    def _give(self, made: Copies, given: dict[Copy, deque[Order]], waiting: deque[Order]) -> None:
        """See to it that every copy has two orders, so that none has to wait for the next; one at first."""
        for rank in range(2 if self._bytes else 1):
            for copy in made.all:
                if len(given[copy]) > rank or self._left == 0 or self._ended or self._held > HELD:
                    continue
                order = Order(self._next, self._size())
                self._next += order.count
                if self._left is not None:
                    self._left -= order.count
                copy.order(order.start, order.start + order.count)
                given[copy].append(order)
                waiting.append(order)

    def _size(self) -> int:
        """How many iterations the next order should have."""
        size = int((CHUNK if self._bytes else FIRST) / self._rate) if self._rate else 1
        if self._bytes:
            size = min(size, int(PIECE / self._bytes))
        if self._left is not None:
            size = min(size, self._left // (2 * self._runtime.workers))
        return max(1, min(size, MOST))

    def _take_over(self, it: Iterator[Any], order: Order, reading: float) -> Generator[Step, None, bool]:
        """Have what was logged happen; say whether the copies are to go on."""
        if order.lost:  # its iterations have done nothing that can be seen
            self._catch_up(it)
            yield itertools.islice(it, order.count), ()
            return True
        began = time.perf_counter()
        with copies.undisturbed():
            try:
                answer = received(order.data, self._known, self._part.places)
            except Exception as error:
                reason = f"{ABANDONED}: {type(error).__name__}: {error}"
                answer = Answer([], {}, order.count, 0, reason, 0.0)
        go_on = yield from self._happens(it, answer, order.count)
        self._here += time.perf_counter() - began
        if answer.done:
            self._rate = _average(self._rate, answer.seconds / answer.done)
        return go_on and self._saves(answer, self._here + reading)

    def _saves(self, answer: Answer, here: float) -> bool:
        """Whether having iterations done elsewhere saves more than it takes to do here what they do."""
        self._there += answer.seconds
        self._before += answer.before
        workers = self._runtime.workers
        if here > max(TRIED, self._there * (1 - 1 / workers)):
            reason = "its iterations are over sooner than their results are here"
        elif self._before > max(TRIED, self._there * (0.8 * workers - 1)):
            reason = "to come to its iterations takes as long as to do them"
        else:
            return True
        if self._runtime.always or not answer.done:
            return True
        _log.info("%s goes on serially: %s", self._part.name, reason)
        self._part.least = 2 * answer.seconds / answer.done
        return False

    def _happens(self, it: Iterator[Any], answer: Answer, count: int) -> Generator[Step, None, bool]:
        if self._staged.collide(answer.log):
            answer = Answer([], {}, count, 0, f"{ABANDONED}: several iterations use the same file", 0.0)
        yield (), self._replayed(answer)
        self._behind += answer.done
        if answer.reason.startswith(ABANDONED):
            _log.info("%s goes on serially: %s", self._part.name, answer.reason)
            return False
        if answer.done < answer.found:
            self._catch_up(it)
            yield itertools.islice(it, count - answer.done), ()
        self._exhausted = answer.found < count
        return not self._exhausted

    def _catch_up(self, it: Iterator[Any]) -> None:
        """Go through what the copies have gone through, and haven't shown to do anything."""
        next(itertools.islice(it, self._behind, self._behind), None)
        self._behind = 0

    def _replayed(self, answer: Answer) -> Iterable[tuple[int, Any]]:
        """What is to be done to accumulators; output happens on the way."""
        first = len(self._loop.effects)
        outs = [
            (first + place, (answer.outs[name],))
            for place, name in enumerate(self._loop.outs)
            if name in answer.outs
        ]
        if any(site < 0 for site, _ in answer.log):
            return self._with_output(answer.log + outs)
        return answer.log + outs

    def _with_output(self, log: list[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        for site, values in log:
            if site >= 0:
                yield site, values
            elif site == WRITTEN:
                self._staged.publish(*values)
            elif site != READ:
                worker.happen(site, values, self._part.places)

    # both ways

    def _both(self, it: Iterator[Any]) -> Iterator[Step]:
        """Have iterations done by one copy that does all and by several in turn, and compare."""
        serial, several = self._copies(it), self._copies(it)
        try:
            serial.start(1)
            several.start(max(2, self._runtime.workers))
            for start in itertools.count(step=16):
                turn = start // 16 % len(several.all)
                one = self._answer(serial, 0, start, start + 16)
                self._compare(start, one, self._answer(several, turn, start, start + 16))
                go_on = yield from self._happens(it, one, 16)
                if not go_on:
                    return
        finally:
            serial.end()
            several.end()

    def _answer(self, made: Copies, which: int, start: int, stop: int) -> Answer:
        data = made.ask(made.all[which], start, stop)
        if data is None:
            raise LoopError(f"{self._part.name}: a process that worked on it has died")
        return received(data, self._known, self._part.places)

    def _compare(self, first: int, one: Answer, other: Answer) -> None:
        from clustrix_core.loops.comparing import difference

        if (one.found, one.done, one.reason) != (other.found, other.done, other.reason):
            raise LoopError(
                f"{self._part.name}: iteration {first + min(one.done, other.done)} ends with "
                f"{one.reason or 'nothing'} in series, and with {other.reason or 'nothing'} in parallel"
            )
        mine, its = (
            [(site, _content(value) if site == WRITTEN else value) for site, value in answer.log]
            for answer in (one, other)
        )
        found = difference(mine, its, "what it does") or difference(one.outs, other.outs, "its variables")
        if found:
            raise LoopError(
                f"{self._part.name}: between iterations {first} and {first + one.done - 1} the runs differ in {found}"
            )


def _average(before: float, now: float) -> float:
    """Of what it was, if it was anything, and what it is."""
    return 0.5 * (before + now) if before else now


def _is_array(value: Any) -> bool:
    return type(value).__name__ == "ndarray" and type(value).__module__ == "numpy" and value.ndim > 0


def _stands_twice(values: list[Any], levels: int) -> bool:
    """Whether what can be filled is found in two places, so deep: what is put into one would be in the other."""
    seen: set[int] = set()
    for _ in range(levels):
        found = [value for value in values if type(value) in _FILLED or type(value) in (tuple, frozenset)]
        fillable = [id(value) for value in found if type(value) in _FILLED]
        if len(set(fillable)) < len(fillable) or not seen.isdisjoint(fillable):
            return True
        seen.update(fillable)
        values = gc.get_referents(*found)
    return False


def _content(written: tuple[str, str]) -> tuple[str, bytes]:
    """The path of a file that was written, and what is in it."""
    path, beside = written
    with open(beside, "rb") as file:
        return path, file.read()
