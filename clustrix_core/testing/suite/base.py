"""What all subjects of the suite share: the fixtures, and checks that say which promise broke."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import EACCES, ENOENT, errorcode
from stat import S_ISDIR
from typing import Any, NamedTuple
from unicodedata import is_normalized

import pytest

from clustrix_core.engine import is_at_home
from clustrix_core.errors import ClustrixError
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.models import FileInfo
from clustrix_core.testing.asking import Gardener, Truth
from clustrix_core.testing.place import Place

PATIENCE = 60.0  # seconds after which a call is taken to hang
SHOWN = 400  # characters of one value in a message


class SuiteBase:
    """The fixtures. `place` is the subclass's to give."""

    clustrix_promises = True  # by which the pytest plugin knows these tests

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
    def a_home_of_its_own(self, request: pytest.FixtureRequest, place: Place) -> None:
        """Somebody's own home folder may be large, and change: it isn't listed."""
        call = getattr(request.node, "callspec", None)
        given = [call.params.get(name, "") for name in ("path", "root")] if call else []
        if not place.own_home and any(is_at_home(path) for path in given):
            pytest.skip("the home folder wasn't made for the suite")

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
    if type(actual) is not type(expected):
        kinds = f"  which is of type {type(actual).__name__} and not {type(expected).__name__}"
        return f"{_pair(actual, expected)}\n{kinds}"
    if not isinstance(expected, list):
        return _pair(actual, expected)
    missing, surplus = Counter(expected) - Counter(actual), Counter(actual) - Counter(expected)
    lines = [f"  expected: {_counted(expected)}", f"  but got:  {_counted(actual)}"]
    lines += [f"  missing:  {_shown(item)}" for item in sorted(missing, key=repr)[:5]]
    lines += [f"  too much: {_shown(item)}" for item in sorted(surplus, key=repr)[:5]]
    if not missing and not surplus:
        pairs = enumerate(zip(expected, actual, strict=True))
        at, (wanted, given) = next((at, pair) for at, pair in pairs if pair[0] != pair[1])
        lines.append(f"  the order breaks: item {at} should be {_shown(wanted)} but is {_shown(given)}")
    return "\n".join(lines)


def _pair(actual: Any, expected: Any) -> str:
    return f"  expected: {_shown(expected)}\n  but got:  {_shown(actual)}"


def _counted(items: list[Any]) -> str:
    return _shown(items) if len(items) <= 3 else f"{len(items)} items"


def _shown(value: object) -> str:
    text = repr(value)
    text = text if is_normalized("NFC", text) else ascii(value)  # the two would look the same
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]} ... {text[-SHOWN // 2 :]}"


@contextmanager
def refuses(place: Place, code: int, promise: str, path: str | None = None) -> Iterator[None]:
    """Expect the `OSError` that Python would raise: type, errno, and the filename where `path` is given."""
    right = OSError(code, os.strerror(code))
    said = f"{promise}\n  expected: {type(right).__name__} ({errorcode[code]})"
    said += "" if path is None else f", its filename {path!r}"
    try:
        yield
    except OSError as error:
        _check_refusal(place, error, right, said, path)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{said}\n  but got:  {error!r}") from error
    else:
        raise AssertionError(f"{said}\n  but nothing was raised")


def _check_refusal(place: Place, error: OSError, right: OSError, said: str, path: str | None) -> None:
    host = getattr(place.config, "cluster_host", None)
    is_known = place.has("fine_errno") or right.errno in (ENOENT, EACCES)
    wrong = [
        ("the errno is wrong", is_known and error.errno != right.errno),
        ("the type is wrong", is_known and not isinstance(error, type(right))),
        ("an OSError of Python's own is due", isinstance(error, ClustrixError)),
        ("the filename is wrong", path and below_root(place, error.filename) != below_root(place, path)),
        (f"it should name the host {host!r}", host and host not in str(error)),
    ]
    findings = [f"  {finding}" for finding, is_so in wrong if is_so]
    if findings:
        got = f"  but got:  {error!r}, its filename {error.filename!r}"
        raise AssertionError("\n".join([said, got, *findings]))


@contextmanager
def raises(kind: type[Exception], promise: str, saying: str = "") -> Iterator[None]:
    """Expect an error of this kind, whose message has `saying` in it."""
    said = f"{promise}\n  expected: {kind.__name__}"
    said += f" with {saying!r} in its message" if saying else ""
    try:
        yield
    except Exception as error:
        if not isinstance(error, kind) or saying not in str(error):
            raise AssertionError(f"{said}\n  but got:  {error!r}") from error
    else:
        raise AssertionError(f"{said}\n  but nothing was raised")


def in_time(promise: str, *works: Callable[[], object]) -> None:
    """Do each in a thread of its own: should one hang, that is a broken promise, not a run without end."""
    failures: list[BaseException] = []

    def do(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=do, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    for failure in failures:
        raise failure
    if any(thread.is_alive() for thread in threads):
        raise AssertionError(
            f"{promise}\n  expected: an answer\n  but got:  none within {PATIENCE:g} seconds"
        )


def below_root(place: Place, path: object) -> str:
    """A path as it is spelled from the root: what errors name may be absolute or as it was given."""
    return str(path).removeprefix(place.root.rstrip("/") + "/").rstrip("/")


class Facts(NamedTuple):
    """What can be compared of one file."""

    path: str
    size: int
    mtime_ns: int
    mode: int
    uid: int | None
    gid: int | None
    nlink: int | None


def facts(place: Place, found: Sequence[FileInfo] | Sequence[list[Any]]) -> list[Facts]:
    """`FileInfo`s, or the oracle's records, as what can be compared on this place."""
    return [_facts(place, _told(place, one) if isinstance(one, list) else _record(one)) for one in found]


def _told(place: Place, record: list[Any]) -> list[Any]:
    """The oracle's record, less what the backend declares that it can't know."""
    return record if place.has("hardlinks") else [*record[:-1], None]


def _record(info: FileInfo) -> list[Any]:
    assert isinstance(info, FileInfo), f"detail and stat give FileInfo objects, not {info!r}"
    check_derived(info)
    return [info.path, info.size, info.mtime_ns, info.mode, info.uid, info.gid, info.nlink]


def check_derived(info: FileInfo) -> None:
    """The fields that follow from others do so."""
    where = f"of {info.path!r}"
    expect(info.is_dir, S_ISDIR(info.mode), f"is_dir {where} is that of the mode")
    permissions = oct(0o1000 | info.mode & 0o777)[-3:]
    expect(info.permissions, permissions, f"permissions {where} are the mode's last three octal digits")
    seconds, rest = divmod(info.mtime_ns, 10**9)
    expect(
        info.modified, seconds + 1e-9 * rest, f"modified {where} is in seconds, the float that os.stat gives"
    )
    name = info.path.rstrip("/").rpartition("/")[2] or "/"
    expect(info.name, name, f"name {where} is the last component of the path, without a slash")


def _facts(place: Place, record: list[Any]) -> Facts:
    of = Facts(*record)
    if not place.has("subsecond_mtime"):
        of = of._replace(mtime_ns=of.mtime_ns // 10**9 * 10**9)
    if not place.has("mtime_before_1970") and of.path.startswith("times/"):
        of = of._replace(mtime_ns=max(of.mtime_ns, 0))
    return of
