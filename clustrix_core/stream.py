"""`Stream`: a long result as it arrives."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a stream ended.

    Attributes:
        count: the number of items that were handed out.
        seconds: the time from the stream's start to its end.
        error: what ended it, or None when it was exhausted or closed.
    """

    count: int
    seconds: float
    error: BaseException | None


class Stream(Generic[T]):
    """An iterator over items that are made in batches.

    A backend returns one from its hook; `close` stops the work behind it. A wrapper that wants to
    see the end as well as the start of an operation registers a callback with `on_end`.

    Args:
        batches: an iterable of lists of items. If it has a `close` method, as generators have,
            the stream's `close` calls it.
    """

    def __init__(self, batches: Iterable[list[T]]) -> None:
        self._source = batches
        self._callbacks: list[Callable[[StreamEnd], object]] = []
        self._count = 0
        self._started = time.perf_counter()
        self._ended = False
        self._batches = self._watch()
        self._items: Iterator[T] = chain.from_iterable(self._batches)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return next(self._items)

    def batches(self) -> Iterator[list[T]]:
        """The items in the lists in which they arrive: cheaper than one at a time."""
        return self._batches

    def read(self) -> list[T]:
        """All the items that are left."""
        return list(self._items)

    def on_end(self, callback: Callable[[StreamEnd], object]) -> None:
        """Call `callback` once, when the stream is exhausted, fails or is closed."""
        self._callbacks.append(callback)

    def close(self) -> None:
        """Stop the work behind the stream. Closing twice does nothing."""
        self._batches.close()
        self._finish(None)
        self._items = iter(())

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _watch(self) -> Generator[list[T], None, None]:
        error: BaseException | None = None
        try:
            for batch in self._source:
                self._count += len(batch)
                yield batch
        except GeneratorExit:
            raise
        except BaseException as failure:
            error = failure
            raise
        finally:
            self._finish(error)

    def _finish(self, error: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        stop = getattr(self._source, "close", None)
        if stop is not None:
            stop()
        end = StreamEnd(self._count, time.perf_counter() - self._started, error)
        for callback in self._callbacks:
            callback(end)
