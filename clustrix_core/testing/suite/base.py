"""What all subjects of the suite share: the fixtures, and checks that say which promise broke."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EACCES, ENOENT
from itertools import zip_longest
from typing import Any

import pytest

from clustrix_core.errors import ClustrixError
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.models import FileInfo
from clustrix_core.testing.asking import Gardener, Truth
from clustrix_core.testing.place import Place


class SuiteBase:
    """The fixtures. `place` is the subclass's to give."""

    pytestmark = pytest.mark.filterwarnings("error::clustrix_core.errors.PartialResultWarning")

    @pytest.fixture(scope="class")
    @classmethod
    def truth(cls, place: Place) -> Truth:
        return Truth(place)

    @pytest.fixture(scope="class")
    @classmethod
    def gardener(cls, place: Place) -> Gardener:
        return Gardener(place)

    @pytest.fixture(scope="class")
    @classmethod
    def tree(cls, gardener: Gardener) -> Iterator[None]:
        """The adversarial tree, at the root of the place."""
        try:
            gardener.make("main")
            yield
        finally:
            gardener.clear()

    @pytest.fixture(scope="class")
    @classmethod
    def fs(cls, place: Place, tree: None) -> Iterator[ClusterFilesystem]:
        with ClusterFilesystem(place.config) as fs:
            yield fs

    @pytest.fixture(autouse=True)
    def hard_links_may_be_mentioned(self, place: Place) -> Iterator[None]:
        """Where hard links can't be told apart, `du` may say so."""
        with warnings.catch_warnings():
            if not place.has("hardlinks"):
                warnings.filterwarnings("ignore", message=".*hard link", category=UserWarning)
            yield

    @pytest.fixture
    def locked(self, fs: ClusterFilesystem, gardener: Gardener) -> Iterator[None]:
        """The folders `locked` and `half`, which an ordinary user can't read, or only in part."""
        try:
            gardener.make("locked")
            yield
        finally:
            gardener.remove("locked")
            gardener.remove("half")

    @pytest.fixture
    def beyond(self, fs: ClusterFilesystem, gardener: Gardener) -> Iterator[dict[str, str]]:
        """The folder `beyond`, which goes on where paths are too long; gives the paths of its landmarks."""
        try:
            yield gardener.make("beyond")
        finally:
            gardener.remove("beyond")

    @pytest.fixture
    def scratch(self, fs: ClusterFilesystem, gardener: Gardener) -> Iterator[str]:
        """An empty folder to write in, relative to the root."""
        try:
            gardener.plant(".", [("folder", "scratch", "")])
            yield "scratch"
        finally:
            gardener.remove("scratch")


def expect(actual: Any, expected: Any, promise: str) -> None:
    """Compare results; for lists say what is missing, what is too much, and where the order breaks."""
    if actual == expected and type(actual) is type(expected):
        return
    raise AssertionError(f"{promise}\n{_difference(actual, expected)}")


def _difference(actual: Any, expected: Any) -> str:
    if not (isinstance(actual, list) and isinstance(expected, list)):
        return f"  expected: {expected!r}\n  but got:  {actual!r}"
    missing = sorted(set(expected) - set(actual), key=repr)
    surplus = sorted(set(actual) - set(expected), key=repr)
    lines = [f"  {len(expected)} expected, {len(actual)} given"]
    lines += [f"  missing: {item!r}" for item in missing[:5]]
    lines += [f"  too much: {item!r}" for item in surplus[:5]]
    if not missing and not surplus:
        pairs = enumerate(zip_longest(expected, actual))
        at, (wanted, given) = next((at, pair) for at, pair in pairs if pair[0] != pair[1])
        lines.append(f"  the order or the number of copies: item {at} should be {wanted!r} but is {given!r}")
    return "\n".join(lines)


@contextmanager
def refuses(place: Place, code: int, promise: str, path: str | None = None) -> Iterator[None]:
    """Expect the `OSError` that Python would raise: type, errno, and the filename where `path` is given."""
    try:
        yield
    except OSError as error:
        _check_refusal(place, error, code, promise, path)
    else:
        raise AssertionError(f"{promise}\n  but nothing was raised")


def _check_refusal(place: Place, error: OSError, code: int, promise: str, path: str | None) -> None:
    said = f"{promise}\n  but this was raised: {error!r}, filename {error.filename!r}"
    assert not isinstance(error, ClustrixError), said
    if place.has("fine_errno") or code in (ENOENT, EACCES):
        assert error.errno == code, f"{said}\n  the errno should be {os.strerror(code)!r}"
        assert isinstance(error, type(OSError(code, ""))), f"{said}\n  the type is wrong"
    if path is not None:
        assert below_root(place, error.filename) == below_root(place, path), f"{said}\n  for {path!r}"
    host = getattr(place.config, "cluster_host", None)
    assert not host or host in str(error), f"{said}\n  it should name the host {host!r}"


def below_root(place: Place, path: object) -> str:
    """A path as it is spelled from the root: what errors name may be absolute or as it was given."""
    return str(path).removeprefix(place.root.rstrip("/") + "/").rstrip("/")


def facts(place: Place, found: Sequence[FileInfo] | Sequence[list[Any]]) -> list[tuple[Any, ...]]:
    """`FileInfo`s, or the oracle's records, as what can be compared on this place."""
    return [_facts(place, _told(place, one) if isinstance(one, list) else _record(one)) for one in found]


def _told(place: Place, record: list[Any]) -> list[Any]:
    """The oracle's record, less what the backend declares that it can't know."""
    return record if place.has("hardlinks") else [*record[:-1], None]


def _record(info: FileInfo) -> list[Any]:
    assert isinstance(info, FileInfo), f"detail and stat give FileInfo objects, not {info!r}"
    return [info.path, info.size, info.mtime_ns, info.mode, info.uid, info.gid, info.nlink]


def _facts(place: Place, record: list[Any]) -> tuple[Any, ...]:
    path, size, mtime_ns, mode, uid, gid, nlink = record
    if not place.has("subsecond_mtime"):
        mtime_ns = mtime_ns // 10**9 * 10**9
    if not place.has("mtime_before_1970") and path.startswith("times/"):
        mtime_ns = max(mtime_ns, 0)
    return path, size, mtime_ns, mode, uid, gid, nlink
