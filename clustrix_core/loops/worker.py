"""What runs in the worker processes of split loops: iterations, whose effects are logged and not done."""

from __future__ import annotations

import builtins
import copy
import io
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import cloudpickle

inside = False
"""Whether this process is a worker: then nothing is split any further."""

OUTPUT, RECORD, WARNING = -1, -2, -3
"""The sites of what isn't done to an accumulator: output, records of logging, warnings."""

_loaded: dict[str, Work] = {}
_context = threading.local()


class Order(NamedTuple):
    """Some iterations of a loop.

    Attributes:
        key: of the loop's work.
        work: the loop's work, pickled; or the file that holds it.
        threads: how many threads libraries may use.
        items: what the iterations are for, pickled.
    """

    key: str
    work: bytes | str
    threads: int
    items: bytes


class Work:
    """What is the same for all iterations of a loop.

    Args:
        data: `(iterate, inputs, outs, aliases, state)`, pickled.
    """

    def __init__(self, data: bytes) -> None:
        loader = pickle.Unpickler(io.BytesIO(data))
        self.iterate, self.inputs, self.outs, self.aliases, self.state = loader.load()
        self.known = {id(value): ("w", place, value) for place, value in memo_of(loader).items()}


def memo_of(loader: Any) -> dict[int, Any]:
    """What an unpickler has made, by the numbers that the pickler gave."""
    found: dict[int, Any] = loader.memo.copy()
    return found


class Abandoned(Exception):  # noqa: N818 (the loop goes on elsewhere)
    """An iteration can't be done here."""


class Answer(NamedTuple):
    """What came of some iterations.

    Attributes:
        log: what is to be done, in order: sites and values.
        outs: the variables that were assigned.
        done: how many iterations that is.
        reason: why not all, if so.
        seconds: that they took.
    """

    log: list[tuple[int, Any]]
    outs: dict[str, Any]
    done: int
    reason: str
    seconds: float


def run(order: Order) -> bytes:
    """Do some iterations; the pickled `Answer`."""
    global inside
    inside = True
    try:
        work = _work(order)
        loader = pickle.Unpickler(io.BytesIO(order.items))
        items = loader.load()
    except Exception as error:
        return pickle.dumps(Answer([], {}, 0, f"abandoned: {type(error).__name__}: {error}", 0.0))
    known = dict(work.known)
    if work.aliases:
        known.update({id(value): ("c", place, value) for place, value in memo_of(loader).items()})
    began = time.perf_counter()
    with _state(work.state):
        answer = iterate(work, items)
    answer = answer._replace(seconds=time.perf_counter() - began)
    return _packed(answer, work, known)


def _packed(answer: Answer, work: Work, known: dict[int, tuple[str, int, Any]]) -> bytes:
    buffer = io.BytesIO()
    try:
        (_Aliasing if work.aliases else _Packer)(buffer, known).dump(answer)
    except Exception as error:
        return pickle.dumps(Answer([], {}, 0, f"abandoned: {type(error).__name__}: {error}", answer.seconds))
    return buffer.getvalue()


def warm(order: Order) -> float:
    """Get ready for a loop."""
    run(order)
    time.sleep(0.02)  # so that another worker takes the next of these
    return time.time()


def _work(order: Order) -> Work:
    if order.key not in _loaded:
        while len(_loaded) > 1:
            _loaded.pop(next(iter(_loaded)))
        data = order.work
        if isinstance(data, str):
            with open(data, "rb") as file:
                data = file.read()
        _loaded[order.key] = Work(data)
        _limit_threads(order.threads)
    return _loaded[order.key]


_ATOMS = frozenset({int, float, complex, bool, str, bytes, type(None), tuple})


def kept(value: Any) -> Any:
    """A value as it is now, whatever becomes of it."""
    return value if type(value) in _ATOMS else copy.copy(value)


def iterate(work: Any, items: list[Any]) -> Answer:
    """Go through items, logging what they would do."""
    log: list[tuple[int, Any]] = []
    mark, index, reason = 0, -1, ""

    def feed() -> Iterator[Any]:
        nonlocal mark, index
        for index, item in enumerate(items):  # noqa: B007 (it is looked at afterwards)
            mark = len(log)
            yield item

    outs: dict[str, Any] = {}
    with capturing(log):
        try:
            outs = work.iterate(feed(), log.append, kept, builtins.locals, *work.inputs)
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}"
    if reason:
        del log[mark:]
        if index > 0 and work.outs:
            with capturing([]):
                outs = work.iterate(iter(items[:index]), [].append, kept, builtins.locals, *work.inputs)
    else:
        index = len(items)
    return Answer(log, {name: outs[name] for name in work.outs if name in outs}, index, reason, 0.0)


class capturing:  # noqa: N801 (used as a function)
    """Output, records and warnings go to the log."""

    def __init__(self, log: list[tuple[int, Any]]) -> None:
        self._log = log

    def __enter__(self) -> None:
        import warnings

        self._streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = _Stream(self._log, "stdout"), _Stream(self._log, "stderr")
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        log = self._log

        def show(
            message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
        ) -> None:
            log.append((WARNING, (message, category, filename, lineno)))

        warnings.showwarning = show
        logging = sys.modules.get("logging")
        self._handler = None
        if logging is not None:
            self._handler = _handler(logging, log)
            self._level = logging.root.level
            logging.root.addHandler(self._handler)
            logging.root.setLevel(1)

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self._streams
        self._warnings.__exit__(None, None, None)
        if self._handler is not None:
            logging = sys.modules["logging"]
            logging.root.removeHandler(self._handler)
            logging.root.setLevel(self._level)


def _handler(logging: Any, log: list[tuple[int, Any]]) -> Any:
    class Handler(logging.Handler):  # type: ignore[misc]
        def emit(self, record: Any) -> None:
            record.msg, record.args = record.getMessage(), None
            if record.exc_info:
                record.exc_text = logging.Formatter().formatException(record.exc_info)
                record.exc_info = None
            log.append((RECORD, record))

    return Handler()


class _Stream(io.TextIOBase):
    def __init__(self, log: list[tuple[int, Any]], name: str) -> None:
        self._log, self._name = log, name

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._log.append((OUTPUT, (self._name, text)))
        return len(text)

    def writable(self) -> bool:
        return True


_limits: list[Any] = []  # they are lifted when they are forgotten


def _limit_threads(count: int) -> None:
    """Let libraries that have threads of their own use no more than these."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return
    _limits[:] = [threadpool_limits(count)]


def state_here() -> dict[str, Any]:
    """What this process has set, and iterations may depend on."""
    import warnings

    kept = ("error",)
    filters = [(one[0] if one[0] in kept else "always", *one[1:]) for one in warnings.filters]
    state: dict[str, Any] = {"folder": os.getcwd(), "filters": filters}
    if "decimal" in sys.modules:
        state["decimal"] = sys.modules["decimal"].getcontext().copy()
    if "numpy" in sys.modules:
        numpy = sys.modules["numpy"]
        state["errors"], state["printed"] = numpy.geterr(), numpy.get_printoptions()
    return state


@contextmanager
def _state(state: dict[str, Any]) -> Iterator[None]:
    """As in the process that the loop is from."""
    import warnings

    if os.getcwd() != state["folder"]:
        os.chdir(state["folder"])
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.resetwarnings()
        for one in reversed(state["filters"]):
            warnings.filters.insert(0, one)  # type: ignore[attr-defined]
        warnings.simplefilter("always", append=True)
        if "decimal" in state:
            import decimal

            stack.enter_context(decimal.localcontext(state["decimal"]))
        if "errors" in state:
            import numpy

            stack.enter_context(numpy.errstate(**state["errors"]))
            stack.enter_context(numpy.printoptions(**state["printed"]))
        yield


class _Packer(cloudpickle.Pickler):  # type: ignore[misc]
    """Answers travel back as references to what came from there, as far as they are that."""

    def __init__(self, file: io.BytesIO, known: dict[int, tuple[str, int, Any]]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._known = known

    def reducer_override(self, obj: Any) -> Any:
        found = self._known.get(id(obj))
        if found is not None:
            return original, found[:2]
        if type(obj).__name__ == "ndarray":
            base = obj.base
            while base is not None:
                if id(base) in self._known:
                    raise Abandoned("the result is a view of what was there before")
                base = getattr(base, "base", None)
        return super().reducer_override(obj)


class _Aliasing(_Packer):
    def __init__(self, file: io.BytesIO, known: dict[int, tuple[str, int, Any]]) -> None:
        super().__init__(file, known)
        kinds = (list, dict, set, frozenset, tuple, bytearray)
        places = {
            key: found[:2] for key, found in known.items() if type(found[2]) in kinds and found[2] != ()
        }
        self._places = places

    def persistent_id(self, obj: Any) -> Any:
        return self._places.get(id(obj))


def original(where: str, place: int) -> Any:
    """Where an answer arrives: what was sent with this number."""
    look_up: Callable[[str, int], Any] = _context.look_up
    return look_up(where, place)


class Reader(pickle.Unpickler):
    """Reads an answer.

    Args:
        data: the answer.
        look_up: gives what was sent, by where it was and its number.
    """

    def __init__(self, data: bytes, look_up: Callable[[str, int], Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._look_up = look_up

    def persistent_load(self, pid: Any) -> Any:
        return self._look_up(*pid)

    def read(self) -> Answer:
        _context.look_up = self._look_up
        answer: Answer = self.load()
        return answer
