"""The built-in extensions, around a backend that runs in a real plugin manager."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pluggy
import pytest

from clustrix_core import hookspecs
from clustrix_core.config import ClusterConfig
from clustrix_core.doctor.examination import examine
from clustrix_core.errors import ClustrixError, ConfigError
from clustrix_core.extensions.audit import Audit
from clustrix_core.extensions.readonly import ReadOnly
from clustrix_core.extensions.trace import Trace
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.hookspecs import hookimpl
from clustrix_core.jobs.models import EnvironmentSpec, JobSpec, PreparedEnvironment, Resources
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
    def clustrix_prepare(self, environment, progress) -> PreparedEnvironment:
        return PreparedEnvironment("python3", (3, 11, 2), {})

    @hookimpl
    def clustrix_environment_remove(self, keep: list[str], unused_for: float) -> list[str]:
        return []

    @hookimpl
    def clustrix_submit(self, job: JobSpec) -> str:
        return "contents-of-job"

    @hookimpl
    def clustrix_dry_run(self, job: JobSpec) -> str:
        return "contents-of-script"

    @hookimpl
    def clustrix_job_states(self, jobs: list[str]) -> dict[str, Any]:
        return {}

    @hookimpl
    def clustrix_job_outcomes(self, known: dict[str, list[tuple[int, int]]], seconds: float) -> list[Any]:
        return []

    @hookimpl
    def clustrix_cancel(self, jobs: list[str]) -> int:
        return len(jobs)

    @hookimpl
    def clustrix_job_remove(self, jobs: list[str]) -> int:
        return len(jobs)

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
    "job": JobSpec("clustrix-1", "~/.clustrix/jobs/1", {}, {}, None, "python3", "here", Resources()),
    "jobs": ["clustrix-1", "clustrix-2"],
    "environment": EnvironmentSpec("/sw/python3", None, (3, 11), (), build=True),
    "keep": [],
    "unused_for": 0.0,
    "known": {"~/.clustrix/jobs/1": [0]},
    "seconds": 0.0,
}


def wrapped(*extensions: object) -> tuple[Any, Memory]:
    """The hooks of a backend with extensions around it, the outermost first, as a session has them."""
    manager = pluggy.PluginManager("clustrix")
    manager.add_hookspecs(hookspecs)
    backend = Memory()
    for plugin in (backend, *reversed(extensions)):
        manager.register(plugin)
    manager.check_pending()
    return manager.hook, backend


def traced(config: ClusterConfig) -> tuple[Any, Memory]:
    return wrapped(Trace(config))


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


@pytest.mark.parametrize("extension", [Audit, Trace])
def test_watchers_keep_the_contract_and_wrap_every_hook(extension: type) -> None:
    validate_extension(extension, source="clustrix-core 1")
    assert {name for name in dir(extension) if name.startswith("clustrix_")} == {
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
        ("clustrix_prepare", "slurm cluster.edu: prepare /sw/python3: ok"),
        ("clustrix_submit", "slurm cluster.edu: submit clustrix-1: ok"),
        ("clustrix_job_states", "slurm cluster.edu: job_states 2 jobs: ok"),
        ("clustrix_cancel", "slurm cluster.edu: cancel 2 jobs: ok"),
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


# --- audit


def audited(file: Path, *inner: object, **fields: Any) -> Any:
    """The hooks with `audit` around them, which writes to this file."""
    return wrapped(Audit(REMOTE.model_copy(update={"audit_file": str(file), **fields})), *inner)[0]


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("ascii").splitlines()]


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("clustrix_ls", {"path": "data/x"}),
        ("clustrix_stat", {"paths": ["p", "q"]}),
        ("clustrix_isfile", {"path": "data/x"}),
        ("clustrix_glob", {"path": "data/x", "pattern": "*.csv"}),
        ("clustrix_du", {"path": "data/x"}),
        ("clustrix_count_files", {"path": "data/x", "pattern": "*.csv"}),
        ("clustrix_readlink", {"path": "data/x"}),
        ("clustrix_open", {"path": "data/x", "mode": "rb"}),
        ("clustrix_get", {"path": "data/x", "target": "/here/target"}),
        ("clustrix_put", {"path": "data/x", "source": "/here/source"}),
        ("clustrix_prepare", {"path": "/sw/python3"}),
        ("clustrix_environment_remove", {"path": "~/.clustrix/environments"}),
        ("clustrix_submit", {"job": "clustrix-1"}),
        ("clustrix_job_outcomes", {"jobs": ["~/.clustrix/jobs/1"]}),
        ("clustrix_cancel", {"jobs": ["clustrix-1", "clustrix-2"]}),
    ],
)
def test_a_line_says_who_did_what_where_and_when(tmp_path: Path, name: str, facts: dict[str, Any]) -> None:
    file = tmp_path / "made" / "audit.jsonl"
    call(audited(file), name)
    [line] = lines(file)
    began = datetime.fromisoformat(line.pop("time"))
    assert timedelta(0) <= datetime.now(timezone.utc) - began < timedelta(minutes=1)
    assert 0 <= line.pop("seconds") < 60
    assert line.pop("machine")
    assert line == {
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "pid": os.getpid(),
        "backend": "slurm",
        "host": "cluster.edu",
        "as": "researcher",
        "operation": name.removeprefix("clustrix_"),
        **facts,
        "outcome": "ok",
        "error": None,
        "count": None,
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_failures_and_the_ends_of_streams_are_audited(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    hook = audited(file)
    with pytest.raises(PermissionError):
        call(hook, "clustrix_exists")
    with pytest.raises(KeyboardInterrupt):
        call(hook, "clustrix_isdir")
    stream = call(hook, "clustrix_find", path="a\nb\udcff")
    next(stream)
    assert len(lines(file)) == 2
    stream.close()
    with pytest.raises(PermissionError):
        call(hook, "clustrix_find", on_error="raise").read()
    told = [(line["operation"], line["path"], line["outcome"], line["count"]) for line in lines(file)]
    assert told == [
        ("exists", "data/x", "PermissionError", None),
        ("isdir", "data/x", "KeyboardInterrupt", None),
        ("find", "a\nb\udcff", "ok", 2),
        ("find", "data/x", "PermissionError", 2),
    ]
    assert lines(file)[0]["error"] == "[Errno 13] Permission denied: 'data/x'"


def test_neither_secrets_nor_contents_are_audited(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    hook = audited(file)
    for name in hookspecs.REQUIRED + hookspecs.OPTIONAL:
        try:
            call(hook, name)
        except (PermissionError, KeyboardInterrupt):
            continue
    assert not [secret for secret in ("hunter2", "contents", "status-") if secret in file.read_text()]


def test_refusals_are_audited_where_audit_is_the_outer_one(tmp_path: Path) -> None:
    for number, outer in enumerate([True, False]):
        file = tmp_path / str(number)
        audit = Audit(ClusterConfig(audit_file=str(file)))
        readonly = ReadOnly(ClusterConfig())
        hook, _ = wrapped(audit, readonly) if outer else wrapped(readonly, audit)
        with pytest.raises(OSError, match="readonly"):
            call(hook, "clustrix_put")
        assert [line["outcome"] for line in lines(file)] == ["OSError"] * outer


def test_lines_of_many_processes_stay_whole(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    code = (
        "import sys; from clustrix import ClusterConfig, cluster_exists\n"
        "config = ClusterConfig(extensions=('audit',), audit_file=sys.argv[1])\n"
        "for _ in range(200): cluster_exists('./' * 1500, config)"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(file)]) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert len(lines(file)) == 800
    assert {line["pid"] for line in lines(file)} == {process.pid for process in running}


def test_without_an_audit_file_it_is_in_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    Audit(ClusterConfig())
    assert (tmp_path / ".local/state/clustrix/audit.jsonl").read_bytes() == b""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    Audit(ClusterConfig())
    assert (tmp_path / "state/clustrix/audit.jsonl").exists()


def test_nothing_is_done_without_an_audit_file_that_can_be_written(tmp_path: Path) -> None:
    config = ClusterConfig(extensions=("audit",), audit_file=str(tmp_path))
    message = r"'audit': .* can't be opened: .*Is a directory; see audit_file"
    with ClusterFilesystem(config) as there, pytest.raises(ConfigError, match=message):
        there.ls()


def test_a_line_that_can_not_be_written_is_an_error() -> None:
    hook, _ = wrapped(Audit(ClusterConfig(audit_file="/dev/full")))
    with pytest.raises(ClustrixError, match=r"can't be written: /dev/full: No space left on device"):
        call(hook, "clustrix_ls")


# --- readonly


def test_readonly_refuses_what_writes_before_the_call() -> None:
    validate_extension(ReadOnly, source="clustrix-core 1")
    hook, backend = wrapped(ReadOnly(REMOTE))
    for name, changed in [("open", {"mode": mode}) for mode in ("wb", "ab", "xb", "r+b")] + [("put", {})]:
        with pytest.raises(OSError, match=r"cluster.edu has the extension 'readonly'") as raised:
            call(hook, f"clustrix_{name}", **changed)
        assert (raised.value.errno, raised.value.filename) == (errno.EROFS, "data/x")
    assert backend.received == {}
    for name in ("submit", "cancel", "job_remove", "prepare", "environment_remove"):
        with pytest.raises(OSError, match="readonly"):
            call(hook, f"clustrix_{name}")
    for name in ("ls", "stat", "glob", "readlink", "open", "get", "job_states", "job_outcomes"):
        call(hook, f"clustrix_{name}")


def test_readonly_keeps_files_and_lets_the_doctor_look(tmp_path: Path) -> None:
    config = ClusterConfig(local_work_dir=str(tmp_path), extensions=("readonly",))
    (tmp_path / "old").write_text("kept")
    before = sorted(tmp_path.iterdir()), tmp_path.stat().st_mtime_ns
    with ClusterFilesystem(config) as there:
        for mode in ("w", "a", "x", "r+"):
            with pytest.raises(OSError, match="readonly"):
                there.open("old" if mode != "x" else "new", mode)
        with pytest.raises(OSError, match="readonly"):
            there.put(tmp_path / "old", "new")
        with there.open("old") as file:
            assert file.read() == "kept"
    checks = {check.name: check for check in examine(lambda: config)}
    assert checks["scratch folder"].outcome == "left out"
    assert "readonly" in checks["scratch folder"].detail
    assert {checks[name].outcome for name in ("ls", "find", "du")} == {"passed"}
    assert (sorted(tmp_path.iterdir()), tmp_path.stat().st_mtime_ns) == before
