"""`RemoteBackend`: every hook, for a backend that can start a command where the files are."""

from __future__ import annotations

import io
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from pydantic import Field

from clustrix_core.config import ClusterConfig
from clustrix_core.doctor import Concern, Step
from clustrix_core.engine import Engine, encode
from clustrix_core.errors import ClustrixError, ConnectionFailedError, UnsupportedOperationError
from clustrix_core.hookspecs import EntryType, OnError, OnStatError, Progress, hookimpl
from clustrix_core.jobs.models import Outcome, below_home
from clustrix_core.models import DiskUsage, FileInfo
from clustrix_core.partial import Failures
from clustrix_core.remote import agent, bootstrap, transfer
from clustrix_core.remote.channel import Channel, EngineChannel
from clustrix_core.remote.client import NONSENSE, Call, Client
from clustrix_core.remote.files import RemoteFile
from clustrix_core.stream import Stream

if TYPE_CHECKING:
    from clustrix_core.environment import PreparedChannel

T = TypeVar("T")

PATHS_AT_ONCE = 1 << 20  # bytes of paths in one request
REQUESTS_AT_ONCE = 8
PATIENCE = 120.0  # seconds for a command, without `op_timeout`: a busy scheduler takes its time
NOISE_SHOWN = 200  # characters


class RemoteConfig(ClusterConfig):
    """The fields of every place that an agent is started in. A backend's config is a subclass of this."""

    remote_python: str | None = Field(
        default=None,
        description="Python on the host that answers, 3.6 or newer; none means the first that is found.",
    )
    connect_timeout: float = Field(
        default=30.0, gt=0, description="Seconds that connecting may take before it is given up."
    )
    dead_after: float = Field(
        default=30.0, gt=0, description="Seconds without a sign of life after which a connection is given up."
    )


class RemoteBackend(ABC):
    """All hooks over a channel. A subclass supplies `open_channel`, `api_version` and `config_model`.

    The agent is started at the first call, in the environment that the config describes; so all that it runs
    has that, too. A connection that was lost is opened anew once, for calls that can be repeated; one that
    can't be opened is an error at once.

    Args:
        config: relative paths start at its `remote_work_dir`, else at the home folder.
    """

    def __init__(self, config: RemoteConfig) -> None:
        self.config = config
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._client: Client | None = None
        self._start: _Start | None = None
        self._agentless = False
        self._no_agent: Exception | None = None
        self._prepared: PreparedChannel | None = None
        self._closed = False

    @abstractmethod
    def open_channel(self, command: str) -> Channel:
        """Start a command line, for a POSIX login shell, in the place. One thread at a time does this."""

    def engine_from_here(self, failure: ConnectionFailedError | None) -> Engine | None:
        """An engine that reaches the place by itself, where no agent is wanted or none can be started.

        Args:
            failure: None before an agent is started; else why the last one was not.

        Returns:
            None to start an agent; with a failure, to give up.
        """
        return None

    def explain(self, failure: ConnectionFailedError) -> None:  # noqa: B027 (most know no more)
        """Raise what it is about that nothing starts in the place, where more is known than the failure says.

        Args:
            failure: what happened.
        """

    def place_name(self) -> str:
        """What error messages call the place."""
        return self.config.cluster_host or self.config.cluster_type

    def work_dir(self) -> str:
        """Where relative paths start, as a program sees it that starts in the home folder."""
        return below_home(self.config.remote_work_dir)

    def description(self) -> str:
        """How the place is reached, in a few words."""
        known = self._client
        hello = known.hello if known is not None and known.alive else None
        return f"agent, Python {hello['python']}" if hello else "not connected"

    def diagnose(self) -> list[Step]:
        """The steps by which `clustrix doctor` looks at the way to the place.

        Those of a subclass, which stand before or among these, open what `open_channel` needs.
        """
        prepared = [Step("environment", self._check_environment)] if self.config.wants_environment else []
        return [
            *prepared,
            Step("Python", self._check_python),
            Step("login output", self._check_noise, vital=False),
            Step("agent", self._check_agent),
        ]

    def _check_environment(self) -> str | None:
        from clustrix_core.environment import LOADED, as_found

        return as_found(self.ask_bash(LOADED))

    def _check_python(self) -> str | Concern | None:
        hello = self._repeated(Client.wait_for_hello)
        if self._no_agent is not None:
            return Concern(
                f"none was started; {self._no_agent}",
                "if there is a Python 3.6 or newer, name it by remote_python; else ask for one",
            )
        return None if self._agentless else f"{hello['python']}, {hello['path']}"

    def _check_noise(self) -> str | Concern | None:
        if self._agentless:
            return None
        noise = " ".join(self._connected().noise().split())
        if not noise:
            return "none, as it should be"
        shown = noise if len(noise) <= NOISE_SHOWN else noise[:NOISE_SHOWN] + "..."
        return Concern(
            f"the login prints {shown!r}",
            "Clustrix passes over it, but scp and rsync may not: in ~/.bashrc and its like, print only where "
            "the shell is interactive",
        )

    def _check_agent(self) -> str | Concern:
        if self._no_agent is None:
            return self.description()
        return Concern(
            f"{self.description()} instead of it",
            "all works, but with more round trips; with Python over there it is faster",
        )

    @contextmanager
    def scratch(self, path: str, tree: list[tuple[str, str, str]]) -> Iterator[list[tuple[str, str]]]:
        """A folder with a known tree, which goes when this ends, or the connection to the agent does."""
        call = self._connected().call("scratch", path=path, tree=tree)
        try:
            yield _refusals(call)
        finally:
            if call.pending:
                call.feed(b"")
                call.value(type(None))

    def close(self) -> None:
        """End the agent. Whoever waits for it gets an error."""
        with self._lock:
            self._closed = True
            known = self._client
        if known is not None:
            known.close()

    def abandon(self) -> None:
        """In a forked child: let go of the channel without sending a byte."""
        known = self._client
        self._reset()
        self._closed = True
        if known is not None:
            known.abandon()

    def run(self, command: Sequence[str], given: bytes = b"") -> Ran:
        """Run a program in the place, in the home folder and in the environment of the agent. One round trip.

        It is never repeated: where the connection is lost meanwhile, it may have run.

        Args:
            command: the program and its arguments.
            given: its input, less than 16 MiB.

        Raises:
            OSError: there is no such program.
            ConnectionFailedError: the connection was lost; `may_have_run` tells more.
        """
        known = self._connected()
        if self._agentless:
            raise UnsupportedOperationError(
                f"{self.place_name()}: jobs and other programs need a Python 3.6 or later and a shell there; "
                "name the Python by remote_python, and leave protocol at auto"
            )
        call = known.call("run", given, command=list(command))
        try:
            output = b"".join(call.parts())
        except ConnectionFailedError as error:
            error.may_have_run = known.hello is not None
            raise
        try:
            status, complaints = call.result
            return Ran(int(status), output, str(complaints))
        except NONSENSE:
            raise call.client.nonsense() from None

    def run_python(self, source: str, arguments: Sequence[str], given: bytes = b"") -> Ran:
        """Run a program for Python 3.6, with the Python that the agent has. One round trip, as `run`.

        Args:
            source: the program's text, which may use the standard library alone.
            arguments: what it finds in `sys.argv`, from 1 on.
            given: its input, less than 16 MiB.
        """
        hello = self._repeated(Client.wait_for_hello) if not self._agentless else {"path": ""}
        return self.run([hello["path"] or "python3", "-I", "-S", "-c", source, *arguments], given)

    def ask_bash(self, text: str, *, with_module: bool = False) -> str:
        """Run a text of bash beside the agent, in the same environment, and return its output.

        Args:
            text: it has no input.
            with_module: whether it needs the command `module`.

        Raises:
            ConfigError: the environment can't be set up.
            ConnectionFailedError: nothing can be run there, or the connection broke.
            OperationTimeoutError: it takes longer than `op_timeout`, by default two minutes.
        """
        from clustrix_core.environment import QUOTED, PreparedChannel, script_for_bash

        script = script_for_bash(self.config, text, with_module=with_module)
        channel = PreparedChannel(self.open_channel(script.command), script)
        said = channel.answer(self.place_name(), self.config.op_timeout or PATIENCE)
        if not channel.is_ready():
            channel.check(self.place_name())
            words = f"nothing was run; the host said: {channel.last_words() or said[-QUOTED:]!r}"
            failure = ConnectionFailedError(f"{self.place_name()}: {words}")
            self.explain(failure)
            raise failure
        return said

    def _open_prepared(self, command: str) -> Channel:
        """A channel to a command in the environment that the config describes."""
        if not self.config.wants_environment:
            return self.open_channel(command)
        from clustrix_core.environment import PreparedChannel, script_for_command

        script = script_for_command(self.config, command)
        self._prepared = PreparedChannel(self.open_channel(script.command), script)
        return self._prepared

    def _connected(self, instead_of: Client | None = None) -> Client:
        """A client that can be asked; `instead_of` is one whose agent did not start just now."""
        while True:
            with self._lock:
                if self._closed:
                    raise ConnectionFailedError(f"{self.place_name()}: the session was closed")
                if self._client is not None and self._client.alive:
                    return self._client
                known, start = self._client, self._start
                # A signal handler, in the very thread that is connecting, can't wait for it.
                if start is None or start.thread == threading.get_ident():
                    mine = self._start = _Start()
                    break
            start.done.wait()
            if start.failure is not None:
                raise start.failure
        try:
            if known is not None:
                known.wait_until_closed()
            return self._keep(self._started(instead_of))
        except Exception as failure:
            mine.failure = failure
            raise
        finally:
            with self._lock:
                if self._start is mine:
                    self._start = None
            mine.done.set()

    def _keep(self, started: Client) -> Client:
        with self._lock:
            known = self._client
            surplus = self._closed or (known is not None and known.alive)
            if not surplus:
                self._client = known = started
        if surplus:
            started.close()
        if known is None or self._closed:
            raise ConnectionFailedError(f"{self.place_name()}: the session was closed")
        return known

    def _started(self, instead_of: Client | None) -> Client:
        failure = None if instead_of is None else instead_of.failure()
        if failure is not None and self._prepared is not None:
            self._prepared.check(self.place_name())
        engine = self.engine_from_here(cast("ConnectionFailedError | None", failure))
        if engine is None and failure is not None:
            raise failure
        self._agentless, self._no_agent = engine is not None, failure
        config, marker = self.config, bootstrap.new_marker()
        beat = min(agent.BEAT, config.dead_after / 4)
        if engine is not None:
            source, channel = b"", cast(Channel, EngineChannel(engine, marker, beat))
        else:
            source = bootstrap.payload(marker, config.remote_work_dir, beat)
            try:
                channel = self._open_prepared(bootstrap.command(len(source), config.remote_python))
            except ClustrixError:
                raise
            except OSError as error:
                raise ConnectionFailedError(f"{self.place_name()}: {error}") from error
        try:
            return Client(
                channel,
                source,
                marker,
                self.place_name(),
                config.remote_work_dir,
                connect_timeout=config.connect_timeout,
                op_timeout=config.op_timeout,
                dead_after=config.dead_after,
            )
        except BaseException:
            channel.close()
            raise

    def _repeated(self, ask: Callable[[Client], T]) -> T:
        """Ask what may be asked again, and do so once if the connection was lost meanwhile."""
        known = self._connected()
        try:
            return ask(known)
        except ConnectionFailedError:
            if known.alive or self._closed or (known.hello is None and not known.unstarted):
                raise  # what failed was connecting, or isn't the line
        return ask(self._connected(known if known.unstarted else None))

    def _ask(self, operation: str, ask: Callable[[Call], T], **arguments: Any) -> T:
        return self._repeated(lambda known: ask(known.call(operation, **arguments)))

    def _value(self, kind: type[T], operation: str, **arguments: Any) -> T:
        return self._ask(operation, lambda call: call.value(kind), **arguments)

    def _partial(
        self,
        operation: str,
        on_error: OnError,
        progress: Progress | None,
        ask: Callable[[Call], T],
        **arguments: Any,
    ) -> T:
        """The same for a recursion, whose failures are warned of."""
        failures = Failures(on_error)

        def ask_all(call: Call) -> T:
            result = ask(call)
            for failure in call.failures:
                failures(failure)
            return result

        result = self._ask(operation, ask_all, on_error=on_error, progress=progress is not None, **arguments)
        failures.warn()
        return result

    @hookimpl
    def clustrix_ls(self, path: str, detail: bool) -> list[str] | list[FileInfo]:
        return cast("list[str]", self._ask("ls", _items, path=path, detail=detail))

    @hookimpl
    def clustrix_find(
        self,
        pattern: str,
        path: str,
        detail: bool,
        type: EntryType,
        max_depth: int | None,
        follow_symlinks: bool,
        on_error: OnError,
        progress: Progress | None,
    ) -> Stream[str] | Stream[FileInfo]:
        arguments = {
            "pattern": pattern,
            "path": path,
            "detail": detail,
            "type": type,
            "max_depth": max_depth,
            "follow_symlinks": follow_symlinks,
            "on_error": on_error,
            "progress": progress is not None,
        }

        def begin(call: Call) -> tuple[Call, Iterator[list[Any]]]:
            parts = call.parts(progress)
            first = next(parts, None)  # until it is there, the call can be repeated
            return call, parts if first is None else chain([first], parts)

        call, parts = self._ask("find", begin, **arguments)
        return Stream(_Found(call, parts, Failures(on_error)))

    @hookimpl
    def clustrix_stat(
        self, paths: list[str], follow_symlinks: bool, on_error: OnStatError
    ) -> list[FileInfo | OSError]:
        blobs = list(_blobs(paths))
        arguments = {"follow_symlinks": follow_symlinks, "first_failure": on_error == "raise"}

        def ask(known: Client) -> list[FileInfo | OSError]:
            found: list[FileInfo | OSError] = []
            waiting: deque[Call] = deque()
            try:
                for blob in blobs:
                    waiting.append(known.call("stat", blob, **arguments))
                    if len(waiting) > REQUESTS_AT_ONCE:
                        found += _statuses(waiting.popleft())
                while waiting:
                    found += _statuses(waiting.popleft())
            finally:
                for call in waiting:
                    call.cancel()
            return found

        return self._repeated(ask)

    @hookimpl
    def clustrix_exists(self, path: str) -> bool:
        return self._value(bool, "exists", path=path)

    @hookimpl
    def clustrix_isdir(self, path: str) -> bool:
        return self._value(bool, "isdir", path=path)

    @hookimpl
    def clustrix_isfile(self, path: str) -> bool:
        return self._value(bool, "isfile", path=path)

    @hookimpl
    def clustrix_glob(
        self, pattern: str, path: str, on_error: OnError, progress: Progress | None
    ) -> list[str]:
        return self._partial(
            "glob", on_error, progress, lambda call: _items(call, progress), pattern=pattern, path=path
        )

    @hookimpl
    def clustrix_du(self, path: str, on_error: OnError, progress: Progress | None) -> DiskUsage:
        def read(call: Call) -> DiskUsage:
            found = call.value(list, progress)
            return DiskUsage(*(call.checked(int, number) for number in found))

        return self._partial("du", on_error, progress, read, path=path)

    @hookimpl
    def clustrix_count_files(
        self, path: str, pattern: str, on_error: OnError, progress: Progress | None
    ) -> int:
        def read(call: Call) -> int:
            return call.value(int, progress)

        return self._partial("count_files", on_error, progress, read, path=path, pattern=pattern)

    @hookimpl
    def clustrix_job_outcomes(self, known: dict[str, list[tuple[int, int]]], seconds: float) -> list[Outcome]:
        def read(call: Call) -> list[Outcome]:
            return [_outcome(call, frame) for frame in call.parts()]

        return self._ask("outcomes", read, known=known, seconds=seconds)

    @hookimpl
    def clustrix_readlink(self, path: str) -> str:
        return self._value(str, "readlink", path=path)

    @hookimpl
    def clustrix_open(self, path: str, mode: str) -> io.RawIOBase:
        def read(known: Client) -> RemoteFile:
            call = known.call("open", path=path, mode=mode)
            call.value(list)
            return RemoteFile(known, call, path, mode)

        return self._repeated(read)

    @hookimpl
    def clustrix_get(self, path: str, target: str, progress: Progress | None) -> int:
        return transfer.get(self._repeated, path, target, self.place_name(), progress)

    @hookimpl
    def clustrix_put(self, source: str, path: str, progress: Progress | None) -> int:
        return transfer.put(self._repeated, source, path, progress)


class Ran(NamedTuple):
    """What came of a program.

    Attributes:
        status: its exit code; negative is the number of the signal that ended it.
        output: what it wrote to standard output.
        complaints: the end of what it wrote to standard error.
    """

    status: int
    output: bytes
    complaints: str


class _Start:
    """One attempt to connect, whose outcome all threads share that need the connection meanwhile."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.done = threading.Event()
        self.failure: Exception | None = None


def _items(call: Call, progress: Progress | None = None) -> list[Any]:
    return list(chain.from_iterable(call.parts(progress)))


def _outcome(call: Call, frame: bytes) -> Outcome:
    try:
        told, content = agent.unpack_call(frame)
        return Outcome(str(told["folder"]), int(told["task"]), content)
    except NONSENSE:
        raise call.client.nonsense() from None


def _refusals(call: Call) -> list[tuple[str, str]]:
    """What could not be made of a tree, and why."""
    facts = call.facts()
    try:
        return [(str(name), str(reason)) for name, reason in facts]
    except NONSENSE:
        raise call.client.nonsense() from None


def _blobs(paths: list[str]) -> Iterator[bytes]:
    """Paths, each with a NUL behind it, in requests of a bounded size."""
    encoded: list[bytes] = []
    size = 0
    for path in paths:
        if "\0" in path:
            raise ValueError("embedded null byte")
        encoded.append(encode(path) + b"\0")
        size += len(encoded[-1])
        if size > PATHS_AT_ONCE:
            yield b"".join(encoded)
            encoded, size = [], 0
    if encoded:
        yield b"".join(encoded)


def _statuses(call: Call) -> list[FileInfo | OSError]:
    """The answers to one request, failures in their places."""
    answers = iter(_items(call))
    try:
        failed = {place: call.os_error(told) for place, told in call.result}
    except NONSENSE:
        raise call.client.nonsense() from None
    found: list[FileInfo | OSError] = []
    for answer in answers:
        while len(found) in failed:
            found.append(failed.pop(len(found)))
        found.append(answer)
    while len(found) in failed:
        found.append(failed.pop(len(found)))
    return found


class _Found:
    """The batches of a stream; closing it, also before its start, ends the walk there."""

    def __init__(self, call: Call, parts: Iterator[list[Any]], failures: Failures) -> None:
        self._call, self._parts, self._failures = call, parts, failures

    def __iter__(self) -> Iterator[list[Any]]:
        yield from self._parts
        for failure in self._call.failures:
            self._failures(failure)
        self._failures.warn()

    def close(self) -> None:
        self._call.cancel()
