"""`Stream`: a long result as it arrives."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class StreamEnd:
    """How a stream ended.

    Attributes:
        count: the number of items that were handed out.
        seconds: the time from the stream's start to its end.
        error: what ended it, or None when it was exhausted or closed.
    """

    __slots__ = ("count", "error", "seconds")

    def __init__(self, count: int, seconds: float, error: BaseException | None) -> None:
        self.count = count
        self.seconds = seconds
        self.error = error

    def __repr__(self) -> str:
        return f"StreamEnd(count={self.count!r}, seconds={self.seconds!r}, error={self.error!r})"


class Stream(Generic[T]):
    """An iterator over items that are made in batches.

    A backend returns one from its hook; `close` stops the work behind it. A wrapper that wants to
    see the end as well as the start of an operation registers a callback with `on_end`.

    Args:
        batches: an iterable of lists of items. If it has a `close` method, as generators have,
            the stream's `close` calls it.
    """

    def __init__(self, batches: Iterable[list[T]]) -> None:
        self._work = _Work(batches)
        self._batches = self._work.run()
        self._items: Iterator[T] = chain.from_iterable(self._batches)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return next(self._items)

    def batches(self) -> Iterator[list[T]]:
        """The items in the lists in which they arrive: cheaper than one at a time."""
        yield from self._batches  # a generator, so that it keeps the stream alive

    def read(self) -> list[T]:
        """All the items that are left."""
        return list(self._items)

    def on_end(self, callback: Callable[[StreamEnd], object]) -> None:
        """Call `callback` once, when the stream is exhausted, fails, is closed or is forgotten."""
        self._work.callbacks.append(callback)

    def close(self) -> None:
        """Stop the work behind the stream. Closing twice does nothing."""
        self._batches.close()
        self._work.finish(None)
        self._items = iter(())

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class _Work(Generic[T]):
    """What makes a stream's items. It doesn't refer to the stream, so a forgotten one ends at once."""

    def __init__(self, source: Iterable[list[T]]) -> None:
        self.source = source
        self.callbacks: list[Callable[[StreamEnd], object]] = []
        self.count = 0
        self.started = time.perf_counter()
        self.ended = False

    def run(self) -> Generator[list[T], None, None]:
        error: BaseException | None = None
        try:
            for batch in self.source:
                self.count += len(batch)
                yield batch
        except GeneratorExit:
            raise
        except BaseException as failure:
            error = failure
            raise
        finally:
            self.finish(error)

    def finish(self, error: BaseException | None) -> None:
        if self.ended:
            return
        self.ended = True
        stop = getattr(self.source, "close", None)
        if stop is not None:
            stop()
        end = StreamEnd(self.count, time.perf_counter() - self.started, error)
        for callback in self.callbacks:
            callback(end)
