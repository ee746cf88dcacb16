"""The built-in `trace` extension, around a backend that runs in a real plugin manager."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pluggy
import pytest

from clustrix_core import hookspecs
from clustrix_core.config import ClusterConfig
from clustrix_core.extensions.trace import Trace
from clustrix_core.hookspecs import hookimpl
from clustrix_core.models import DiskUsage
from clustrix_core.stream import Stream
from clustrix_core.validation import validate_extension

REMOTE = ClusterConfig(
    cluster_type="slurm", cluster_host="cluster.edu", username="researcher", password="hunter2-secret"
)


class Memory:
    """Answers every hook from memory."""

    def __init__(self) -> None:
        self.received: dict[str, object] = {}

    @hookimpl
    def clustrix_ls(self, path: str, detail: bool) -> list[str]:
        self.received = {"path": path, "detail": detail}
        return ["contents-of-ls"]

    @hookimpl
    def clustrix_find(
        self,
        pattern,
        path,
        detail,
        type,
        max_depth,
        follow_symlinks,
        on_error,
        progress,
    ) -> Stream[str]:
        def batches() -> Iterator[list[str]]:
            yield ["a", "b"]
            if on_error == "raise":
                raise PermissionError(13, "Permission denied", "d")
            yield ["c"]

        return Stream(batches())

    @hookimpl
    def clustrix_stat(self, paths: list[str], follow_symlinks: bool, on_error: str) -> list[str]:
        return [f"status-{path}" for path in paths]

    @hookimpl
    def clustrix_exists(self, path: str) -> bool:
        raise PermissionError(13, "Permission denied", path)

    @hookimpl
    def clustrix_isdir(self, path: str) -> bool:
        raise KeyboardInterrupt

    @hookimpl
    def clustrix_isfile(self, path: str) -> bool:
        return False

    @hookimpl
    def clustrix_glob(self, pattern, path, on_error, progress) -> list[str]:
        return []

    @hookimpl
    def clustrix_du(self, path, on_error, progress) -> DiskUsage:
        return DiskUsage(1, 1)

    @hookimpl
    def clustrix_count_files(self, path, pattern, on_error, progress) -> int:
        return 3

    @hookimpl
    def clustrix_readlink(self, path: str) -> str:
        return "contents-of-link"

    @hookimpl
    def clustrix_open(self, path: str, mode: str) -> io.BytesIO:
        return io.BytesIO(b"contents-of-file")

    @hookimpl
    def clustrix_get(self, path, target, progress) -> int:
        return 7

    @hookimpl
    def clustrix_put(self, source, path, progress) -> int:
        return 8


ARGUMENTS: dict[str, Any] = {
    "path": "data/x",
    "paths": ["p", "q"],
    "pattern": "*.csv",
    "detail": False,
    "type": "f",
    "max_depth": None,
    "follow_symlinks": False,
    "on_error": "warn",
    "progress": None,
    "mode": "rb",
    "source": "/here/source",
    "target": "/here/target",
}


def traced(config: ClusterConfig) -> tuple[Any, Memory]:
    manager = pluggy.PluginManager("clustrix")
    manager.add_hookspecs(hookspecs)
    backend = Memory()
    manager.register(backend)
    manager.register(Trace(config))
    manager.check_pending()
    return manager.hook, backend


def call(hook: Any, name: str, **changed: Any) -> Any:
    arguments = {argument: ARGUMENTS[argument] for argument in hookspecs.arguments(name)}
    return getattr(hook, name)(**{**arguments, **changed})


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="clustrix.trace")
    return caplog


def without_time(record: logging.LogRecord) -> str:
    message, _, time = record.getMessage().rpartition(", ")
    number, unit = time.split()
    assert float(number) >= 0
    assert unit == "ms"
    return message


def test_trace_keeps_the_contract_and_wraps_every_hook() -> None:
    validate_extension(Trace, source="clustrix-core 1")
    assert {name for name in dir(Trace) if name.startswith("clustrix_")} == {
        *hookspecs.REQUIRED,
        *hookspecs.OPTIONAL,
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clustrix_ls", "slurm cluster.edu: ls data/x: ok"),
        ("clustrix_stat", "slurm cluster.edu: stat 2 paths: ok"),
        ("clustrix_isfile", "slurm cluster.edu: isfile data/x: ok"),
        ("clustrix_glob", "slurm cluster.edu: glob *.csv in data/x: ok"),
        ("clustrix_du", "slurm cluster.edu: du data/x: ok"),
        ("clustrix_count_files", "slurm cluster.edu: count_files *.csv in data/x: ok"),
        ("clustrix_readlink", "slurm cluster.edu: readlink data/x: ok"),
        ("clustrix_open", "slurm cluster.edu: open data/x: ok"),
        ("clustrix_get", "slurm cluster.edu: get data/x: ok"),
        ("clustrix_put", "slurm cluster.edu: put data/x: ok"),
    ],
)
def test_each_operation_is_one_record(log: pytest.LogCaptureFixture, name: str, message: str) -> None:
    hook, backend = traced(REMOTE)
    result = call(hook, name)
    [record] = log.records
    assert (record.name, record.levelno, without_time(record)) == ("clustrix.trace", logging.INFO, message)
    if name != "clustrix_open":
        arguments = {argument: ARGUMENTS[argument] for argument in hookspecs.arguments(name)}
        assert result == getattr(backend, name)(**arguments)


def test_a_record_tells_how_the_place_is_reached(log: pytest.LogCaptureFixture) -> None:
    manager = pluggy.PluginManager("clustrix")
    manager.add_hookspecs(hookspecs)
    manager.register(Memory())
    trace = Trace(REMOTE)
    ways = iter(["paramiko, SFTP", ""])
    trace.attach(lambda: next(ways))
    manager.register(trace)
    for _ in range(2):
        call(manager.hook, "clustrix_ls")
    told = [without_time(record) for record in log.records]
    assert told == ["slurm cluster.edu (paramiko, SFTP): ls data/x: ok", "slurm cluster.edu: ls data/x: ok"]
    assert vars(log.records[0])["way"] == "paramiko, SFTP"


def test_a_record_carries_the_facts(log: pytest.LogCaptureFixture) -> None:
    hook, backend = traced(REMOTE)
    call(hook, "clustrix_ls", detail=True)
    assert backend.received == {"path": "data/x", "detail": True}
    facts = vars(log.records[0])
    expected = {
        "operation": "ls",
        "backend": "slurm",
        "host": "cluster.edu",
        "path": "data/x",
        "paths": 1,
        "pattern": None,
        "outcome": "ok",
        "count": None,
    }
    assert {name: facts[name] for name in expected} == expected
    assert facts["milliseconds"] >= 0


def test_without_a_host_the_backend_stands_alone(log: pytest.LogCaptureFixture) -> None:
    hook, _ = traced(ClusterConfig())
    call(hook, "clustrix_ls")
    assert without_time(log.records[0]) == "local: ls data/x: ok"
    assert vars(log.records[0])["host"] is None


def test_one_path_is_named_and_several_are_counted(log: pytest.LogCaptureFixture) -> None:
    hook, _ = traced(REMOTE)
    call(hook, "clustrix_stat", paths=["only"])
    call(hook, "clustrix_stat", paths=[])
    assert [without_time(record) for record in log.records] == [
        "slurm cluster.edu: stat only: ok",
        "slurm cluster.edu: stat 0 paths: ok",
    ]
    assert [(vars(record)["path"], vars(record)["paths"]) for record in log.records] == [
        ("only", 1),
        (None, 0),
    ]


@pytest.mark.parametrize(
    ("name", "error"), [("clustrix_exists", PermissionError), ("clustrix_isdir", KeyboardInterrupt)]
)
def test_a_failure_is_named_and_passes(
    log: pytest.LogCaptureFixture, name: str, error: type[BaseException]
) -> None:
    hook, _ = traced(REMOTE)
    with pytest.raises(error):
        call(hook, name)
    [record] = log.records
    assert vars(record)["outcome"] == error.__name__
    assert f"data/x: {error.__name__}, " in record.getMessage()


def test_a_stream_is_recorded_when_it_ends(log: pytest.LogCaptureFixture) -> None:
    hook, _ = traced(REMOTE)
    stream = call(hook, "clustrix_find")
    assert next(stream) == "a"
    assert log.records == []
    assert stream.read() == ["b", "c"]
    [record] = log.records
    assert without_time(record) == "slurm cluster.edu: find *.csv in data/x: ok, count 3"
    assert (vars(record)["count"], vars(record)["pattern"]) == (3, "*.csv")


def test_a_stream_that_is_closed_is_recorded_once(log: pytest.LogCaptureFixture) -> None:
    hook, _ = traced(REMOTE)
    with call(hook, "clustrix_find") as stream:
        next(stream)
    stream.close()
    assert [vars(record)["count"] for record in log.records] == [2]


def test_a_stream_that_fails_is_recorded_with_its_error(log: pytest.LogCaptureFixture) -> None:
    hook, _ = traced(REMOTE)
    with pytest.raises(PermissionError):
        call(hook, "clustrix_find", on_error="raise").read()
    [record] = log.records
    assert (vars(record)["outcome"], vars(record)["count"]) == ("PermissionError", 2)


def test_neither_secrets_nor_contents_are_recorded(log: pytest.LogCaptureFixture) -> None:
    hook, _ = traced(REMOTE)
    for name in hookspecs.REQUIRED + hookspecs.OPTIONAL:
        try:
            call(hook, name)
        except (PermissionError, KeyboardInterrupt):
            continue
    everything = repr([vars(record) for record in log.records])
    assert len(log.records) == len(hookspecs.REQUIRED + hookspecs.OPTIONAL)
    for secret in ("hunter2", "contents", "status-", "/here/"):
        assert secret not in everything


def test_control_characters_are_escaped(log: pytest.LogCaptureFixture) -> None:
    hook, _ = traced(REMOTE)
    call(hook, "clustrix_glob", path="a\nb\x1b[31m", pattern="*\udcff")
    call(hook, "clustrix_stat", paths=["a\nb"])
    for record in log.records:
        facts = [record.getMessage(), str(vars(record)["path"]), str(vars(record)["pattern"])]
        assert all(fact.isprintable() for fact in facts)
    assert vars(log.records[0])["path"] == "a\\nb\\x1b[31m"


def test_a_silent_logger_gets_nothing_and_the_results_stay(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="clustrix.trace")
    hook, _ = traced(REMOTE)
    assert call(hook, "clustrix_ls") == ["contents-of-ls"]
    assert call(hook, "clustrix_find").read() == ["a", "b", "c"]
    with pytest.raises(PermissionError):
        call(hook, "clustrix_exists")
    assert caplog.records == []


def test_nothing_is_printed_where_logging_is_not_set_up() -> None:
    code = (
        "import logging; import clustrix_core.extensions.trace; "
        "logger = logging.getLogger('clustrix.trace'); logger.error('unseen'); "
        "assert logging.getLogger().handlers == []"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"", b"")
