"""Split loops at work: iterations are computed in parallel, and their effects happen one by one, in order.

A loop begins as it was written, and its iterations are timed. It goes on like that unless the rest is worth
handing over. An iteration that fails elsewhere is done again here, where it fails as it would have: so
exceptions, their tracebacks and what was done before them are those of the serial loop.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
import tempfile
import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from types import FunctionType
from typing import Any

from clustrix_core.errors import LoopError
from clustrix_core.loops import pool, sending, worker
from clustrix_core.loops.analysis import Loop
from clustrix_core.loops.proof import UNKNOWN
from clustrix_core.loops.sending import Sender, Sent, Unfit
from clustrix_core.loops.source import Sources, is_library
from clustrix_core.workers import cores

TASTE = 0.002  # seconds of iterations that are timed at least before a loop is handed over
WORTH = 0.02  # seconds of iterations below which nothing is handed over
START = 0.4  # seconds that it takes until workers have started
QUICK = 0.0002  # seconds of a whole loop that isn't looked at any more in this call
CHUNK = 0.1  # seconds that a chunk should take
MOST = 50_000  # iterations in a chunk
INLINE = 1 << 16  # bytes of a loop's work that travel with each chunk

Step = tuple[Iterable[Any], Iterable[tuple[int, Any]]]

_log = logging.getLogger("clustrix.loops")
_MISSING = object()
_FILLED = (list, dict, set, deque, defaultdict, Counter, OrderedDict, bytearray)
_COUNTED = (int, float, complex, bool, str, bytes, tuple, type(None))
_SEQUENCES: tuple[type, ...] = (
    list, tuple, str, bytes, bytearray, range, dict, set, frozenset, deque, defaultdict, Counter, OrderedDict,
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
        self.quick = 0
        self.approved: set[type] = set()


class Runtime:
    """What the rewritten function calls.

    Args:
        parts: its loops.
        sources: texts that were kept.
        workers: how many work at the same time.
        mode: that of `split`.
        always: hand over whatever can be, worth it or not.
    """

    def __init__(self, parts: list[Part], sources: Sources, workers: int, mode: Any, always: bool) -> None:
        self._parts, self._sources, self._workers = parts, sources, workers
        self._mode, self._always = mode, always

    def enter(self) -> list[bool]:
        """A call begins: which loops are done as they were written."""
        off = worker.inside or (self._workers < 2 and not self._always and self._mode != "check")
        return [off] * len(self._parts)

    def loop(
        self, number: int, header: Any, leaves: tuple[Any, ...], names: dict[str, Any], off: list[bool]
    ) -> Iterator[Step]:
        """The steps of a loop: items that are done as it was written, and effects that are to happen."""
        part = self._parts[number]
        wanted = {*part.loop.inputs, *part.loop.accumulators}
        kept = {name: names[name] for name in wanted if name in names}
        run = Run(self, part, header, leaves, kept)
        return run.steps(off, number)

    def listcomp(
        self, number: int, header: Any, leaves: Any, names: Any, off: Any, serial: Callable[[Any], list[Any]]
    ) -> list[Any]:
        """A list comprehension."""
        found: list[Any] = []
        for stage, logs in self.loop(number, header, leaves, names, off):
            found += serial(stage)
            found += [values[0] for _, values in logs]
        return found

    def setcomp(
        self, number: int, header: Any, leaves: Any, names: Any, off: Any, serial: Callable[[Any], set[Any]]
    ) -> set[Any]:
        """A set comprehension."""
        found: set[Any] = set()
        for stage, logs in self.loop(number, header, leaves, names, off):
            found |= serial(stage)
            found.update([values[0] for _, values in logs])
        return found

    def dictcomp(
        self, number: int, header: Any, leaves: Any, names: Any, off: Any, serial: Callable[[Any], Any]
    ) -> dict[Any, Any]:
        """A dict comprehension."""
        found: dict[Any, Any] = {}
        for stage, logs in self.loop(number, header, leaves, names, off):
            found.update(serial(stage))
            found.update([values[0] for _, values in logs])
        return found

    def genexp(
        self, number: int, header: Any, leaves: Any, names: Any, off: Any, serial: Callable[[Any], Any]
    ) -> Iterator[Any]:
        """A generator expression."""
        steps = self.loop(number, header, leaves, names, off)
        return itertools.chain.from_iterable(
            itertools.chain(serial(stage), (values[0] for _, values in logs)) for stage, logs in steps
        )


class Chunk:
    """Items that were handed over."""

    def __init__(self, items: list[Any], sent: Sent | None, future: Future[bytes] | None) -> None:
        self.items, self.sent, self.future = items, sent, future


class Run:
    """One run of one loop."""

    def __init__(
        self, runtime: Runtime, part: Part, header: Any, leaves: tuple[Any, ...], names: dict[str, Any]
    ) -> None:
        self._runtime, self._part, self._loop = runtime, part, part.loop
        self._leaves, self._names = leaves, names
        self._header = header
        self._always, self._workers, self._mode = runtime._always, max(runtime._workers, 1), runtime._mode
        self._error: BaseException | None = None  # what the iterable raised
        self._work: Sent | None = None
        self._file = ""
        self._rate = 0.0  # seconds of an iteration
        self._left: int | None = None

    def steps(self, off: list[bool], number: int) -> Iterator[Step]:
        """See `Runtime.loop`."""
        it = iter(self._header)
        self._left = self._length()
        reason = self._unfit()
        if reason:
            yield from self._serial(it, reason)
            return
        if self._mode == "check":
            yield from self._both(it)
            return
        if not self._always:
            worth = yield from self._begin(it, off, number)
            if not worth:
                yield it, ()
                return
        try:
            self._prepare()
        except Unfit as error:
            yield from self._serial(it, str(error))
            return
        try:
            if not self._always:
                yield from self._meanwhile(it)
            yield from self._parallel(it)
        finally:
            if self._file:
                os.unlink(self._file)

    def _serial(self, it: Iterator[Any], reason: str) -> Iterator[Step]:
        """It stays as it was written."""
        _log.info("%s stays serial: %s", self._part.name, reason)
        if self._mode == "require":
            raise LoopError(f"{self._part.name} can't be split in this call: {reason}")
        yield it, ()

    # whether it may be handed over

    def _length(self) -> int | None:
        if not self._loop.lengths:
            return None
        try:
            return min(len(leaf) for leaf in self._leaves)
        except TypeError:
            return None

    def _unfit(self) -> str:
        """Why the loop can't be split in this call, if so."""
        for names, name, live in self._loop.facts.guards:
            if names.get(name, UNKNOWN) is not live:
                return f"{name} has changed since the function was analysed"
        for leaf, (_, new) in zip(self._leaves, self._loop.leaves, strict=True):
            if not new and type(leaf) not in _SEQUENCES and not isinstance(leaf, _COUNTED):
                if not is_library(type(leaf).__module__):
                    return f"nobody knows what going through a {type(leaf).__qualname__} does"
                if iter(leaf) is leaf:
                    return f"others may go through the same {type(leaf).__qualname__}"
        for name in self._loop.inputs:
            if name not in self._names:
                return f"{name} isn't set"
        for name in self._loop.accumulators:
            if name not in self._names:
                return f"{name} isn't set"
            value = self._names[name]
            kind = type(value)
            if (
                kind not in _FILLED
                and kind not in _COUNTED
                and kind.__module__ not in ("numpy", "decimal", "fractions", "pandas")
                and not kind.__module__.startswith("pandas.")
            ):
                return f"{name} is a {kind.__qualname__}"
            if (
                kind is defaultdict
                and value.default_factory is not None
                and value.default_factory.__module__ != "builtins"
            ):
                return f"{name} makes its values by a function"
            if kind.__name__ == "ndarray" and (value.dtype.hasobject or self._loop.facts.late):
                return f"{name} is an array, and what is stored in it may change afterwards"
            if any(value is leaf for leaf in self._leaves):
                return f"{name} is what the loop goes through"
        return ""

    # the beginning

    def _begin(self, it: Iterator[Any], off: list[bool], number: int) -> Generator[Step, None, bool]:
        """Do some iterations, and say whether the rest is worth handing over."""
        done, size, began = 0, 1, time.perf_counter()
        while True:
            if self._left is None:
                items = self._take(it, size)
                count = len(items)
                yield items, ()
                if self._error is not None:
                    raise self._error
                if count < size:
                    self._note(time.perf_counter() - began, off, number)
                    return False
            else:
                count = min(size, self._left - done)
                yield itertools.islice(it, size), ()
            took = time.perf_counter() - began
            done += count
            if self._left is not None and done >= self._left:
                self._note(took, off, number)
                return False
            self._rate = took / done
            if took >= TASTE or (self._left is not None and (self._left - done) * self._rate < WORTH):
                worth = self._worth(self._left - done if self._left is not None else None, took)
                if worth is not None:
                    if not worth:
                        self._note(took, off, number)
                    elif self._left is not None:
                        self._left -= done
                    return worth
            size = min(2 * size, max(1, int(0.05 / max(self._rate, 1e-9))))

    def _note(self, took: float, off: list[bool], number: int) -> None:
        """A loop that is soon over isn't looked at any more."""
        part = self._part
        part.quick = part.quick + 1 if took < QUICK else 0
        if part.quick >= 8:
            off[number] = True

    def _worth(self, left: int | None, took: float) -> bool | None:
        """Whether the rest is worth handing over; None: go on, and ask again."""
        cost = WORTH if pool.running(self._workers) else 2 * START
        if left is None:
            return True if took > cost else None
        rest = left * self._rate
        if rest > 2 * cost:
            return True
        return False if rest < WORTH or took > TASTE else None

    def _take(self, it: Iterator[Any], size: int) -> list[Any]:
        """The next items; what the iterable raises is kept until those have been done."""
        items: list[Any] = []
        try:
            for item in itertools.islice(it, size):
                items.append(item)
        except BaseException as error:
            self._error = error
        return items

    # handing over

    def _prepare(self) -> None:
        """Pickle what all iterations need.

        Raises:
            Unfit: it can't be sent, or it isn't sure that it may.
        """
        loop = self._loop
        inputs = [self._names[name] for name in loop.inputs]
        content = self._part.iterate, inputs, loop.outs, loop.aliases, worker.state_here()
        make = partial(Sender, sources=self._runtime._sources, facts=loop.facts, approved=self._part.approved)
        self._work = Sent(content, make)
        self._check(self._work, {id(self._names[name]) for name in loop.asked} | self._asked_globals())
        self._key = f"{os.getpid()}-{id(self)}-{time.time_ns()}"
        self._threads = max(1, cores() // self._workers)
        if len(self._work.data) > INLINE:
            folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
            handle, self._file = tempfile.mkstemp(prefix="clustrix-loop-", dir=folder)
            with open(handle, "wb") as file:
                file.write(self._work.data)

    def _asked_globals(self) -> set[int]:
        """Global sets that are only asked for what they hold."""
        looked = {(id(names), name) for names, name, asked in self._loop.facts.global_names if not asked}
        return {
            id(names.get(name))
            for names, name, asked in self._loop.facts.global_names
            if asked and (id(names), name) not in looked
        }

    def _check(self, sent: Sent, asked: set[int]) -> None:
        """Nothing that is read is changed, and the order of no set matters."""
        filled = [self._names[name] for name in self._loop.accumulators]
        filled = [value for value in filled if type(value) not in _COUNTED]
        sets = sent.sets()
        if not filled and not sets:
            return
        objects = sent.objects()
        if sets:
            for value in objects:
                if (
                    type(value) in (set, frozenset)
                    and id(value) not in asked
                    and id(value) not in sent.constants
                ):
                    raise Unfit(
                        "there is a set among what it reads, and its order may be another there: sort it"
                    )
        if not filled:
            return
        touched = {id(value) for value in filled}
        if touched & set(map(id, objects)):
            raise Unfit("what the loop fills is among what it reads")
        arrays = [value for value in filled if type(value).__name__ == "ndarray"]
        tables = [value for value in filled if type(value).__module__.startswith("pandas")]
        if self._loop.deep or tables:
            reached = Sent(filled, lambda file: Sender(file, {}, self._loop.facts, self._part.approved))
            if sending.changeable(reached.objects()) & sending.changeable(objects):
                raise Unfit("what the loop fills holds something that it reads")
            arrays = reached.arrays
        if arrays and sent.arrays:
            import numpy

            if any(numpy.may_share_memory(one, other) for one in arrays for other in sent.arrays):
                raise Unfit("what the loop fills shares memory with what it reads")

    def _order(self, items: bytes) -> worker.Order:
        assert self._work is not None
        return worker.Order(self._key, self._file or self._work.data, self._threads, items)

    def _meanwhile(self, it: Iterator[Any]) -> Iterator[Step]:
        """Go on here while the workers get ready."""
        empty = Sent([], partial(Sender, sources={}, facts=self._loop.facts, approved=set())).data
        ready = pool.get_ready(self._workers, self._order(empty))
        while not all(one.done() for one in ready):
            size = max(1, min(MOST, int(0.01 / max(self._rate, 1e-9))))
            if self._left is not None and self._left <= size:
                return
            items = self._take(it, size)
            yield items, ()
            if self._left is not None:
                self._left -= len(items)
            if self._error is not None:
                raise self._error
            if len(items) < size:
                self._left = 0
                return

    def _parallel(self, it: Iterator[Any]) -> Iterator[Step]:
        waiting: deque[Chunk] = deque()
        ended = self._left == 0
        try:
            while True:
                while not ended and len(waiting) < 3 * self._workers:
                    items = self._take(it, self._size())
                    if self._left is not None:
                        self._left = max(0, self._left - len(items))
                    if items:
                        waiting.append(self._hand_over(items))
                    ended = self._error is not None or len(items) < self._asked
                    if waiting and waiting[-1].future is None:
                        ended = True
                if not waiting:
                    break
                chunk = waiting.popleft()
                lost = yield from self._take_over(chunk)
                if lost:
                    _log.info("%s goes on serially: %s", self._part.name, lost)
                    for other in waiting:
                        if other.future is not None:
                            other.future.cancel()
                        yield other.items, ()
                    waiting.clear()
                    break
        finally:
            for other in waiting:
                if other.future is not None:
                    other.future.cancel()
        if self._error is not None:
            raise self._error
        yield it, ()

    def _size(self) -> int:
        """How many iterations the next chunk should have."""
        size = int(CHUNK / self._rate) if self._rate else 1
        if self._left is not None:
            size = min(size, self._left // (2 * self._workers))
        self._asked = max(1, min(size, MOST))
        return self._asked

    def _hand_over(self, items: list[Any]) -> Chunk:
        try:
            sent = Sent(
                items,
                partial(
                    Sender,
                    sources=self._runtime._sources,
                    facts=self._loop.facts,
                    approved=self._part.approved,
                ),
            )
            if not sending.atoms(items):
                self._check(sent, set())
            return Chunk(items, sent, pool.submit(self._workers, self._order(sent.data)))
        except (Unfit, RuntimeError) as error:
            _log.info("%s: %s", self._part.name, error)
            return Chunk(items, None, None)

    def _take_over(self, chunk: Chunk) -> Generator[Step, None, str]:
        """Have what a chunk logged happen; say why the rest is to be done here, if so."""
        if chunk.future is None:
            yield chunk.items, ()
            return "it can't be sent"
        try:
            data = chunk.future.result()
        except KeyboardInterrupt:
            pool.end()
            raise
        except Exception as error:  # a worker has died
            yield chunk.items, ()
            return f"{type(error).__name__}: {error}"
        work, sent = self._work, chunk.sent
        assert work is not None
        assert sent is not None
        try:
            answer = worker.Reader(
                data, lambda where, place: (work if where == "w" else sent).original(place)
            ).read()
        except Exception as error:
            yield chunk.items, ()
            return f"{type(error).__name__}: {error}"
        if answer.done:
            rate = answer.seconds / answer.done
            self._rate = rate if not self._rate else 0.5 * (self._rate + rate)
        outs = [
            (len(self._loop.effects) + place, (answer.outs[name],))
            for place, name in enumerate(self._loop.outs)
            if name in answer.outs
        ]
        yield (), replayed(answer.log + outs, self._part.iterate.__globals__)
        if answer.done < len(chunk.items):
            yield chunk.items[answer.done :], ()
            if answer.reason.startswith("abandoned"):
                return answer.reason
        return ""

    # both ways

    def _both(self, it: Iterator[Any]) -> Iterator[Step]:
        """Have iterations computed there and here, and compare."""
        try:
            self._prepare()
        except Unfit as error:
            yield from self._serial(it, str(error))
            return
        first = 0
        here = _Here(self._part.iterate, [self._names[name] for name in self._loop.inputs], self._loop.outs)
        while True:
            items = self._take(it, 16)
            chunk = self._hand_over(items) if items else None
            if chunk is None:
                break
            if chunk.future is None or chunk.sent is None:
                yield items, ()
                continue
            work, sent = self._work, chunk.sent
            assert work is not None
            look_up = _look_up(work, sent)
            there = worker.Reader(chunk.future.result(), look_up).read()
            if there.reason.startswith("abandoned"):
                yield items, ()
                continue
            mine = worker.iterate(here, items)
            self._compare(first, mine, there)
            outs = [
                (len(self._loop.effects) + n, (mine.outs[name],))
                for n, name in enumerate(self._loop.outs)
                if name in mine.outs
            ]
            yield (), replayed(mine.log + outs, self._part.iterate.__globals__)
            if mine.done < len(items):
                yield items[mine.done :], ()
            first += len(items)
            if self._error is not None or len(items) < 16:
                break
        if self._error is not None:
            raise self._error

    def _compare(self, first: int, mine: worker.Answer, there: worker.Answer) -> None:
        from clustrix_core.loops.comparing import difference

        if mine.done != there.done or mine.reason != there.reason:
            raise LoopError(
                f"{self._part.name}: iteration {first + min(mine.done, there.done)} ends with "
                f"{mine.reason or 'nothing'} here, and with {there.reason or 'nothing'} in another process"
            )
        found = difference(mine.log, there.log, "what it logs") or difference(
            mine.outs, there.outs, "its variables"
        )
        if found:
            raise LoopError(
                f"{self._part.name}: between iterations {first} and {first + mine.done - 1} the runs differ in {found}"
            )


class _Here:
    """Work that is done in this process."""

    def __init__(self, iterate: FunctionType, inputs: list[Any], outs: list[str]) -> None:
        self.iterate, self.inputs, self.outs = iterate, inputs, outs


def _look_up(work: Sent, sent: Sent) -> Callable[[str, int], Any]:
    return lambda where, place: (work if where == "w" else sent).original(place)


def replayed(log: list[tuple[int, Any]], names: dict[str, Any]) -> Iterable[tuple[int, Any]]:
    """What is to be done to accumulators; output happens on the way."""
    if any(site < 0 for site, _ in log):
        return _with_output(log, names)
    return log


def _with_output(log: list[tuple[int, Any]], names: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    for site, values in log:
        if site >= 0:
            yield site, values
        elif site == worker.OUTPUT:
            stream = getattr(sys, values[0])
            if stream is not None:
                stream.write(values[1])
        elif site == worker.RECORD:
            values.process = os.getpid()
            logger = logging.getLogger(values.name)
            if logger.isEnabledFor(values.levelno):
                logger.handle(values)
        else:
            _warn(names, *values)


def _warn(names: dict[str, Any], message: Any, category: Any, filename: str, line: int) -> None:
    import warnings

    place = names if names.get("__file__") == filename else {}
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == filename:
            place = vars(module)
    registry = place.setdefault("__warningregistry__", {})
    warnings.warn_explicit(message, category, filename, line, place.get("__name__"), registry)
