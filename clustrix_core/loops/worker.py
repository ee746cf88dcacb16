"""What runs in the copies: iterations, whose effects are logged and not done."""

from __future__ import annotations

import builtins
import copy
import io
import logging
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any, NamedTuple

from clustrix_core.loops.files import Staged, Trouble
from clustrix_core.loops.reach import ATOMS, add_reached
from clustrix_core.loops.results import packed, unpacked
from clustrix_core.loops.source import is_library, module_of

OUTPUT, FLUSH, RECORD, WARNING, SIGNAL, FILTERS = -1, -2, -3, -4, -7, -8
"""The sites of what isn't done to an accumulator: output, records of logging, warnings, signals of decimal numbers,
and that warnings which were shown are forgotten."""

ABANDONED = "abandoned"
"""What the reason begins with, if the rest is better done by the original."""

Log = list[tuple[int, Any]]


class Answer(NamedTuple):
    """What came of some iterations.

    Attributes:
        log: what is to be done, in order: sites and values.
        outs: the variables that were assigned.
        found: how many items there were.
        done: how many iterations were done.
        reason: why not all, if so.
        seconds: that they took.
        before: seconds that it took to come to them, past those that others do.
    """

    log: Log
    outs: dict[str, Any]
    found: int
    done: int
    reason: str
    seconds: float
    before: float = 0.0


_FIXED = frozenset({int, float, complex, bool, str, bytes, type(None), tuple})
_VIEWS = frozenset({type({}.keys()), type({}.values()), type({}.items()), memoryview})


def kept(value: Any, at_once: bool) -> Any:
    """A value as it is now, whatever becomes of it.

    Args:
        value: the value.
        at_once: whether it is only gone through.
    """
    kind = type(value)
    if kind in _FIXED:
        return value
    if hasattr(kind, "__next__") and at_once:  # it is used up
        return list(value)
    if hasattr(kind, "__next__") or not is_library(module_of(kind)) or kind in _VIEWS:
        raise Trouble  # nobody knows how much of it counts
    return copy.copy(value)


_END = object()


class Iterations:
    """The iterations of a loop, as a copy does them.

    Args:
        iterate: goes through items, and logs what they do.
        inputs: the local variables that it reads.
        outs: the names of those that it leaves behind.
        items: what the loop goes through.
        known: what the original has too, by its addresses.
        staged: the files that they write.
        depth: of calls, where the original calls what splits the loop.
        kind: of the loop.
        made: whether what it goes through makes the items as it goes, and may hold on to them.
    """

    def __init__(
        self,
        iterate: FunctionType,
        inputs: list[Any],
        outs: list[str],
        items: Iterator[Any],
        known: dict[int, Any],
        staged: Staged,
        depth: int,
        kind: str,
        made: bool,
    ) -> None:
        self._iterate, self._inputs, self._outs, self._known = iterate, inputs, outs, known
        self._items, self._next, self._staged = items, 0, staged
        self._captured: Captured | None = None
        self._depth, self._kind = depth, kind
        self._made, self._strangers = made, dict[int, Any]()

    def __call__(self, start: int, stop: int) -> bytes:
        """Do some, and pack what came of it; `start` isn't before the last `stop`."""
        if self._captured is None:
            self._captured = Captured()
            self._staged.begin(self._captured.log, self._captured.refuse)
        began = time.perf_counter()
        try:
            next(islice(self._items, start - self._next, start - self._next), None)
        except BaseException:  # an iteration before is where it ends
            return _sent(Answer([], {}, 0, 0, "", 0.0), {})
        self._next = stop
        before = time.perf_counter() - began
        try:
            answer = self._done(self._captured, stop - start)._replace(before=before)
        except Forgotten as error:
            return _sent(Answer([], {}, 0, 0, f"{ABANDONED}: {error}", 0.0), {})
        try:
            if self._staged.left_open():
                raise OSError("a file is left open")
            return _sent(answer, self._known, self._strangers)
        except Exception as error:
            answer = answer._replace(
                log=[], outs={}, done=0, reason=f"{ABANDONED}: {type(error).__name__}: {error}"
            )
            return _sent(answer, {})

    def _done(self, captured: Captured, count: int) -> Answer:
        log = captured.begin()
        self._strangers.clear()
        mark, done, ended, reason = 0, -1, False, ""

        def feed() -> Iterator[Any]:
            nonlocal mark, done, ended
            for done in range(count):  # noqa: B007 (it is looked at afterwards)
                mark = len(log)
                item = next(self._items, _END)
                ended = item is _END
                if len(log) > mark:  # the original will go through it, too, and it is for that to show it
                    captured.refuse("going through it has an output")
                    raise Trouble
                if ended:
                    return
                if self._made:
                    add_reached(item, self._known, self._strangers)
                yield item
                if captured.trouble:
                    raise Trouble
            done = count

        def hashed(entry: tuple[int, Any]) -> None:
            hash(entry[1][0] if self._kind == "setcomp" else entry[1][0][0])  # it may fail
            log.append(entry)

        append = hashed if self._kind in ("setcomp", "dictcomp") else log.append
        outs: dict[str, Any] = {}
        signalled, filters = _signals(), _filters()
        began = time.perf_counter()
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit + depth() + 1 - self._depth)
        try:
            outs = self._iterate(feed(), append, kept, builtins.locals, *self._inputs)
        except BaseException as error:
            reason = (
                f"{ABANDONED}: {captured.trouble}" if captured.trouble else f"{type(error).__name__}: {error}"
            )
            outs = _variables(error.__traceback__, self._iterate.__code__)
            del log[mark:]
        sys.setrecursionlimit(limit)
        seconds = time.perf_counter() - began
        log += [(SIGNAL, signal) for signal in _signals() - signalled]
        if _filters() != filters:
            if any(site == WARNING for site, _ in log):
                raise Forgotten("which warnings were shown before is forgotten on the way")
            log.append((FILTERS, None))
        found = done if ended else count
        return Answer(
            log, {name: outs[name] for name in self._outs if name in outs}, found, done, reason, seconds
        )


def _sent(answer: Answer, known: dict[int, Any], strangers: dict[int, Any] | None = None) -> bytes:
    return packed(tuple(answer), known, strangers or {})


def received(data: bytes, known: dict[int, Any], places: list[dict[str, Any]]) -> Answer:
    """The answer that a copy has sent; to unpack it doesn't count as setting filters of warnings."""
    before = _filters()
    answer = Answer(*unpacked(data, known))
    after = _filters()
    if after != before:
        for place in (*places, *(vars(module) for module in list(sys.modules.values()))):
            registry = place.get("__warningregistry__")
            if registry and registry.get("version") == before:
                registry["version"] = after
    return answer


def _variables(traceback: TracebackType | None, code: CodeType) -> dict[str, Any]:
    """Those of the code that raised, as they were; the iteration that failed is done again and sets its own."""
    while traceback is not None:
        if traceback.tb_frame.f_code is code:
            return dict(traceback.tb_frame.f_locals)
        traceback = traceback.tb_next
    return {}


def depth() -> int:
    """How deep calls are here, as Python counts them."""
    try:
        sys.setrecursionlimit(1)
    except RecursionError as error:
        return int(re.findall(r"\d+", str(error))[-1])
    raise AssertionError


def _signals() -> set[Any]:
    """What the context of decimal numbers has noted."""
    decimal = sys.modules.get("decimal")
    return {signal for signal, noted in decimal.getcontext().flags.items() if noted} if decimal else set()


class Forgotten(Exception):  # noqa: N818 (the loop goes on elsewhere)
    """Which warnings are shown again depends on when."""


class _Asked(Warning):
    """Nobody's."""


def _filters() -> Any:
    """What tells that filters of warnings were set: from then on, what was shown is shown again."""
    registry: dict[Any, Any] = {}
    here: Any = warnings
    shown, here.showwarning = here.showwarning, lambda *_, **__: None
    try:
        warnings.warn_explicit("", _Asked, "", 0, registry=registry)
    except _Asked:
        pass
    finally:
        here.showwarning = shown
    return registry.get("version")


class Captured:
    """Output, records and warnings of this process: they go to a log from now on.

    Attributes:
        trouble: what an iteration did that can't be logged.
    """

    def __init__(self) -> None:
        self._log: Log = []
        self.trouble = ""
        out, err = sys.stdout, sys.stderr
        sys.stdout = out and _Stream(self, "stdout", out)
        sys.stderr = sys.stdout if err is out else err and _Stream(self, "stderr", err)
        # Whether a warning is shown is for the original to say; whether it is an error is known here.
        here: Any = warnings
        here.filters[:] = [(one[0] if one[0] == "error" else "always", *one[1:]) for one in here.filters]
        here.simplefilter("always", append=True)
        here.showwarning = self._warning
        loggers: Any = logging.Logger
        loggers.handle = lambda logger, record: self._record(logger, record)

    def begin(self) -> Log:
        """A new log."""
        self._log, self.trouble = [], ""
        return self._log

    def log(self, site: int, value: Any) -> None:
        """Something is to be done by the original."""
        self._log.append((site, value))

    def refuse(self, trouble: str) -> None:
        """Something isn't done."""
        self.trouble = trouble

    def _warning(self, message: Any, category: Any, filename: str, line: int, *_: Any, **__: Any) -> None:
        frame = self._frame(sys._getframe(1), filename, line)
        if type(message) is category and [*map(type, message.args)] == [str]:
            message = message.args[0]  # it is made again
        self._log.append((WARNING, (message, category, filename, line, id(frame.f_globals))))

    def _frame(self, frame: FrameType, filename: str, line: int) -> FrameType:
        """Where something is said to come from; the original knows where that is which has called the function."""
        while frame.f_globals is not globals() and (frame.f_code.co_filename, frame.f_lineno) != (
            filename,
            line,
        ):
            assert frame.f_back is not None  # one of this module is below
            frame = frame.f_back
        if frame.f_globals is globals():
            self.refuse("it tells of what calls the function")
        return frame

    def _record(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        self._frame(sys._getframe(2), record.pathname, record.lineno)
        given = {**vars(record), "msg": None, "args": None}
        if (
            record.stack_info
            or not _never_change(given.values())
            or logging.getLogger(logger.name) is not logger
        ):
            self.refuse("its record can't be sent")
        if type(record.msg) is not str or type(record.args) is not tuple or not _never_change(record.args):
            record.msg, record.args = record.getMessage(), None
        self._log.append((RECORD, record))


def _never_change(values: Iterable[Any]) -> bool:
    return ATOMS.issuperset(map(type, values))


class _Stream(io.TextIOBase):
    def __init__(self, captured: Captured, name: str, original: Any) -> None:
        self._captured, self._name, self._original = captured, name, original

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if getattr(self._original, "closed", False):
            raise ValueError("I/O operation on closed file.")
        if self.encoding and not text.isascii():
            text.encode(
                self.encoding, self.errors or "strict"
            )  # what the original can't write, it can't either
        self._captured.log(OUTPUT, (self._name, text))
        return len(text)

    def flush(self) -> None:
        self._captured.log(FLUSH, self._name)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return bool(self._original.isatty())

    @property
    def encoding(self) -> Any:  # type: ignore[override]
        return getattr(self._original, "encoding", None)

    @property
    def errors(self) -> Any:  # type: ignore[override]
        return getattr(self._original, "errors", None)


def happen(site: int, value: Any, known: list[dict[str, Any]]) -> None:
    """Have output, a record or a warning of a log come out here.

    Args:
        site: what it is.
        value: as it was logged.
        known: the globals of whatever may have warned.
    """
    if site == OUTPUT:
        getattr(sys, value[0]).write(value[1])
    elif site == FLUSH:
        getattr(sys, value).flush()
    elif site == FILTERS:
        with warnings.catch_warnings():
            pass
    elif site == SIGNAL:
        sys.modules["decimal"].getcontext().flags[value] = True
    elif site == RECORD:
        value.process, value.thread = os.getpid(), threading.get_ident()
        logging.getLogger(value.name).handle(value)
    else:
        message, category, filename, line, address = value
        places = (*known, *(vars(module) for module in list(sys.modules.values())))
        place = next((one for one in places if id(one) == address), {})
        registry = place.setdefault("__warningregistry__", {})
        warnings.warn_explicit(message, category, filename, line, place.get("__name__"), registry)
