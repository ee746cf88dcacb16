"""`clustrix doctor` on this machine, on backends that are broken, and what it writes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cli_runner import COMMAND, Here, on_terminal, plain, spawn

from clustrix_core import ClusterConfig
from clustrix_core.doctor import Check
from clustrix_core.doctor.examination import examine
from clustrix_core.doctor.sample import TREE
from clustrix_core.session import pool
from clustrix_core.testing.place import as_nobody
from fakedist import FakeSite

OPERATIONS = ["ls", "find", "stat", "exists", "isdir", "isfile", "glob", "du", "count_files"]
FILES = ["readlink", "open", "put and get"]
PLACE = ["work dir", "round trip", "scratch folder"]
ALL = ["config", "backend", *PLACE, *OPERATIONS, *FILES, "clean-up"]

BACKENDS = '''
import errno, time, warnings
from pydantic import ConfigDict, SecretStr
from clustrix_core import ClusterConfig, Stream, hookimpl
from clustrix_core.doctor import Concern, Fault, LeftOut, Step
from clustrix_core.errors import ConnectionFailedError
from clustrix_core.models import DiskUsage
from clustrix_core.remote import PipeChannel, RemoteBackend, RemoteConfig
from clustrix_local.backend import LocalBackend

OPERATIONS = ("ls", "find", "stat", "exists", "isdir", "isfile", "glob", "du", "count_files")


class Bare:
    """Only what is required."""
    api_version = 1
    config_model = ClusterConfig
    def __init__(self, config):
        self._engine = LocalBackend(config)._engine

for name in OPERATIONS:
    setattr(Bare, "clustrix_" + name, getattr(LocalBackend, "clustrix_" + name))


def broken(base):
    class Unsorted(base):
        @hookimpl
        def clustrix_ls(self, path, detail):
            return list(reversed(LocalBackend.clustrix_ls(self, path, detail)))

        @hookimpl
        def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
            found = LocalBackend.clustrix_find(
                self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress
            )
            return Stream([list(reversed(found.read()))])

        @hookimpl
        def clustrix_du(self, path, on_error, progress):
            return DiskUsage(1, 2)

        @hookimpl
        def clustrix_glob(self, pattern, path, on_error, progress):
            raise RuntimeError("out of order")

    return Unsorted

Unsorted, BareUnsorted = broken(LocalBackend), broken(Bare)


class Curious(LocalBackend):
    """Has steps of its own."""
    config_model = type("C", (ClusterConfig,), {
        "__annotations__": {"outcome": str, "token": SecretStr},
        "outcome": "", "token": SecretStr("hush"), "model_config": ConfigDict(extra="forbid"),
    })

    def __init__(self, config):
        super().__init__(config)
        self.config = config

    def diagnose(self):
        return [
            Step("queue", self.look, vital=self.config.outcome != "minor"),
            Step("weather", lambda: None),
            Step("season", self.leave_out),
        ]

    def leave_out(self):
        raise LeftOut("it is always summer")

    def look(self):
        if self.config.outcome == "concern":
            return Concern("it is long", "come back")
        if self.config.outcome == "warning":
            warnings.warn("mind the gap")
        if self.config.outcome == "fault":
            raise Fault("it is closed", "open it")
        if self.config.outcome in ("system", "minor"):
            raise OSError(errno.EACCES, "Permission denied", "/queue")
        if self.config.outcome == "bug":
            raise RuntimeError("no such thing")
        return "is short"


class Pipes(RemoteBackend):
    api_version = 1
    config_model = type("P", (RemoteConfig,), {"model_config": ConfigDict(extra="forbid")})
    def open_channel(self, command):
        return PipeChannel(["sh", "-c", "echo noise; " + command])


class Picky(LocalBackend):
    """On a filesystem that wants UTF-8, and has no links."""
    def __init__(self, config):
        super().__init__(config)
        engine = self._engine
        make = engine.make_file
        def make_file(real, content):
            real.decode()
            make(real, content)
        def refuse(real, *rest):
            raise OSError(errno.EPERM, "Operation not permitted", real)
        def strict(real, content):
            try:
                make_file(real, content)
            except UnicodeDecodeError:
                raise OSError(errno.EILSEQ, "Invalid or incomplete multibyte character", real)
        engine.make_file, engine.make_link = strict, refuse


class Full(LocalBackend):
    def __init__(self, config):
        super().__init__(config)
        def refuse(real, *rest):
            raise OSError(errno.EDQUOT, "Disk quota exceeded", real)
        self._engine.make_file = refuse


class Slow(LocalBackend):
    @hookimpl
    def clustrix_stat(self, paths, follow_symlinks, on_error):
        if len(paths) > 1:
            time.sleep(60)
        return super().clustrix_stat(paths, follow_symlinks, on_error)


class Sticky(LocalBackend):
    """Can't remove what it made."""
    def __init__(self, config):
        super().__init__(config)
        def refuse(real):
            raise OSError(errno.EBUSY, "Device or resource busy", real)
        self._engine.remove_tree = refuse
'''


@pytest.fixture(autouse=True)
def _plain_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CLUSTRIX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in ("NO_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


@pytest.fixture
def patients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSite]:
    classes = ("Bare", "Unsorted", "BareUnsorted", "Curious", "Pipes", "Picky", "Full", "Slow", "Sticky")
    names = {name.lower(): f"patients:{name}" for name in classes}
    with FakeSite(tmp_path / "site") as site:
        site.add("clustrix-patients", "1.0", backends=names, modules={"patients": BACKENDS})
        monkeypatch.setenv("PYTHONPATH", str(site.path))
        yield site
        pool.close()


@pytest.fixture
def here(capfdbinary: pytest.CaptureFixture[bytes]) -> Here:
    return Here(capfdbinary)


def local(kind: str, folder: Path, **fields: object) -> ClusterConfig:
    return ClusterConfig(cluster_type=kind, local_work_dir=str(folder), **fields)


def examined(config: ClusterConfig) -> dict[str, Check]:
    return {check.name: check for check in examine(lambda: config)}


def names(checks: dict[str, Check], outcome: str) -> list[str]:
    return [check.name for check in checks.values() if check.outcome == outcome]


def test_all_is_well_here(folder: Path) -> None:
    checks = examined(local("local", folder))
    assert list(checks) == names(checks, "passed") == ALL
    assert checks["config"].detail == f"type local, work dir {folder}"
    assert checks["backend"].detail.startswith("clustrix-local ")
    assert list(folder.iterdir()) == []


def test_the_tree_is_really_made(folder: Path) -> None:
    """Else there would be nothing to compare with."""
    with closing(examine(lambda: local("local", folder))) as course:
        while next(course).name != "scratch folder":
            pass
        (made,) = folder.iterdir()
        compare_with_the_tree(made)


def compare_with_the_tree(made: Path) -> None:
    kinds = {"d": Path.is_dir, "f": Path.is_file, "l": Path.is_symlink}
    for kind, name, content in TREE:
        path = Path(os.fsdecode(os.fsencode(made) + b"/" + name.encode("utf-8", "surrogateescape")))
        assert kinds[kind](path)
        if kind == "f":
            assert path.read_text() == content


def test_closing_it_early_removes_what_was_made(folder: Path) -> None:
    course = examine(lambda: local("local", folder))
    while next(course).name != "find":
        assert len(list(folder.iterdir())) <= 1
    assert len(list(folder.iterdir())) == 1
    course.close()
    assert list(folder.iterdir()) == []


def test_a_remote_backend_of_somebody_elses(patients: FakeSite, folder: Path) -> None:
    config = ClusterConfig(cluster_type="pipes", remote_work_dir=str(folder))
    checks = examined(config)
    assert list(checks) == ["config", "backend", "Python", "login output", "agent", *ALL[2:]]
    assert names(checks, "warned") == ["login output"]
    assert checks["login output"].detail == "the login prints 'noise'"
    assert names(checks, "failed") == []
    assert re.fullmatch(r"3\.\d+\.\d+\S*, /.*python3?\S*", checks["Python"].detail)
    assert list(folder.iterdir()) == []


def test_a_connection_that_is_lost_leaves_nothing(patients: FakeSite, folder: Path) -> None:
    config = ClusterConfig(cluster_type="pipes", remote_work_dir=str(folder), dead_after=2.0)
    checks = {}
    for check in examine(lambda: config):
        checks[check.name] = check
        if check.name == "stat":
            client = pool.open(pool.acquire(config)).backend._client
            os.kill(client.hello["pid"], signal.SIGKILL)
    assert "clean-up" in names(checks, "failed")
    assert "remove it by hand" in checks["clean-up"].advice
    (left,) = folder.iterdir()  # a killed agent removes nothing, so it is named
    assert left.name in checks["clean-up"].detail


def test_no_operation_is_blamed_where_the_scratch_folder_is_gone(folder: Path) -> None:
    checks = {}
    for check in examine(lambda: ClusterConfig(cluster_type="local", local_work_dir=str(folder))):
        checks[check.name] = check
        if check.name == "stat":
            (made,) = folder.iterdir()
            shutil.rmtree(made)
    assert names(checks, "failed") == ["exists"]
    assert (checks["exists"].detail[:30], checks["exists"].advice) == (
        "the scratch folder is gone: th",
        "try again",
    )
    assert names(checks, "left out")[0] == "isdir"


@pytest.mark.parametrize("kind", ["unsorted", "bareunsorted"])
def test_a_broken_backend_is_found_out(patients: FakeSite, folder: Path, kind: str) -> None:
    for name in ("a", "b", "c"):
        (folder / name).write_text("1234")
    checks = examined(local(kind, folder))
    assert names(checks, "failed") == ["ls", "find", "glob", "du"]
    assert re.match(r"ls gives \[.*, where \[.*\] is right", checks["ls"].detail)
    assert "du" in checks["du"].detail
    assert "tell its authors" in checks["du"].advice
    assert checks["glob"].detail == "unexpected RuntimeError: out of order"
    assert len(list(folder.iterdir())) == 3


def test_a_backend_that_makes_nothing_is_asked_what_is_there(patients: FakeSite, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "~").write_text("tilde")
    (folder / "new\nline").write_text("")
    (folder / "link").symlink_to("nowhere")
    (folder / ".hidden").write_text("")
    checks = examined(local("bare", folder))
    assert list(checks) == ["config", "backend", *PLACE, *OPERATIONS]
    assert names(checks, "left out") == ["scratch folder"]
    assert names(checks, "passed") == [name for name in checks if name != "scratch folder"]


def test_an_empty_folder_has_nothing_to_compare_on(patients: FakeSite, folder: Path) -> None:
    checks = examined(local("bare", folder))
    assert names(checks, "left out") == ["scratch folder", "du", "count_files"]
    assert names(checks, "failed") == []


def test_a_work_dir_where_nothing_can_be_made() -> None:
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        (folder / "file").write_text("x")
        folder.chmod(0o555)
        with as_nobody(local("local", folder)) as config:
            checks = examined(config)
        assert [path.name for path in folder.iterdir()] == ["file"]
    assert names(checks, "warned") == ["scratch folder"]
    assert "Permission denied" in checks["scratch folder"].detail
    assert names(checks, "failed") == []


def test_a_full_disk(patients: FakeSite, folder: Path) -> None:
    checks = examined(local("full", folder))
    assert names(checks, "warned") == ["scratch folder"]
    assert "Disk quota exceeded" in checks["scratch folder"].detail
    assert names(checks, "failed") == []
    assert list(folder.iterdir()) == []


def test_a_filesystem_that_takes_not_every_name(patients: FakeSite, folder: Path) -> None:
    checks = examined(local("picky", folder))
    assert names(checks, "warned") == ["scratch folder"]
    assert r"'no utf-8 \udcff.csv': Invalid or incomplete" in checks["scratch folder"].detail
    assert names(checks, "left out") == ["readlink"]
    assert names(checks, "failed") == []


def test_what_can_not_be_removed_is_named(patients: FakeSite, folder: Path) -> None:
    checks = examined(local("sticky", folder))
    assert names(checks, "failed") == ["clean-up"]
    (left,) = folder.iterdir()
    assert left.name in checks["clean-up"].detail
    assert "resource busy" in checks["clean-up"].detail
    assert "remove it by hand" in checks["clean-up"].advice


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("", ("passed", "is short", "")),
        ("concern", ("warned", "it is long", "come back")),
        ("warning", ("warned", "is short, but mind the gap", "")),
        ("fault", ("failed", "it is closed", "open it")),
        ("system", ("failed", "/queue: Permission denied", "")),
        ("bug", ("failed", "unexpected RuntimeError: no such thing", "")),
    ],
)
def test_steps_of_a_backend(
    patients: FakeSite, folder: Path, outcome: str, expected: tuple[str, str, str]
) -> None:
    checks = examined(local("curious", folder, outcome=outcome))
    queue = checks["queue"]
    assert (queue.outcome, queue.detail) == expected[:2]
    assert queue.advice == expected[2] or outcome == "bug"
    if expected[0] == "failed":
        assert names(checks, "left out") == ["weather", "season", *PLACE, *OPERATIONS, "clean-up"]
    else:
        assert "weather" not in checks
        assert (checks["season"].outcome, checks["season"].detail) == ("left out", "it is always summer")
        assert checks["clean-up"].outcome == "passed"


def test_a_step_that_is_not_vital(patients: FakeSite, folder: Path) -> None:
    checks = examined(local("curious", folder, outcome="minor"))
    assert names(checks, "failed") == ["queue"]
    assert names(checks, "left out") == ["season"]
    assert checks["clean-up"].outcome == "passed"


def test_the_command_here(here: Here, folder: Path) -> None:
    result = here("doctor", "--workdir", str(folder))
    assert (result.code, result.err) == (0, "")
    assert result.lines[0] == f"passed   config          type local, work dir {folder}"
    assert result.lines[-1] == "18 passed, 0 failed"


def test_profiles(here: Here, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "clustrix.yml").write_text(f"profiles:\n  there:\n    local_work_dir: {folder}\n")
    for place in ("there:", "there"):
        result = here("doctor", place)
        assert result.lines[0].endswith(f"work dir {folder}")
        assert result.code == 0
    missing = here("doctor", "nowhere:")
    assert (missing.code, missing.err) == (3, "")
    assert missing.lines[0].startswith("FAILED   config          there is no profile 'nowhere'")
    assert missing.lines[1].startswith("left out backend, work dir, ")
    assert missing.lines[2].startswith("0 passed, 1 failed, ")
    for place in ("there:data", "a/b", ""):
        refused = here("doctor", place)
        assert (refused.code, refused.out) == (2, b"")
    twice = here("doctor", "there:", "--host", "x")
    assert twice.code == 2
    assert "named twice" in twice.err


def test_a_backend_that_is_missing(here: Here) -> None:
    result = here("doctor", "--type", "loacl")
    assert result.code == 3
    assert "Did you mean 'local'?" in result.lines[0] + result.lines[1]


def test_failures_of_operations_have_the_exit_code_3(here: Here, patients: FakeSite, folder: Path) -> None:
    result = here("doctor", "--type", "unsorted", "--workdir", str(folder))
    assert (result.code, result.err) == (3, "")
    assert any(line.startswith("FAILED   ls              ls gives ") for line in result.lines)
    assert f"{'':24} -> the backend breaks its promise" in result.out.decode()
    traced = here("--debug", "doctor", "--type", "unsorted", "--workdir", str(folder))
    assert "RuntimeError: out of order" in traced.err
    assert "Traceback" in traced.err


def test_json(here: Here, patients: FakeSite, folder: Path) -> None:
    result = here("doctor", "--json", "--type", "unsorted", "--workdir", str(folder))
    told = json.loads(result.out)
    assert result.code == 3
    assert (told["passed"], told["warned"], told["failed"], told["left_out"]) == (14, 0, 4, 0)
    assert [check["name"] for check in told["checks"]] == ALL
    assert told["checks"][0] == {
        "name": "config",
        "outcome": "passed",
        "detail": f"type unsorted, work dir {folder}",
        "advice": "",
        "seconds": told["checks"][0]["seconds"],
    }


def test_no_secret_is_shown(here: Here, patients: FakeSite, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "clustrix.yml").write_text(
        f"cluster_type: curious\nlocal_work_dir: {folder}\npassword: mellon\ntoken: sesame\noutcome: fault\n"
    )
    for arguments in (["doctor"], ["--debug", "--trace", "doctor"], ["doctor", "--json"]):
        result = here(*arguments)
        assert "it is closed" in result.out.decode()
        assert not re.search("mellon|sesame|hush", result.out.decode() + result.err)


def test_on_a_terminal(folder: Path) -> None:
    shown = on_terminal("doctor", "--workdir", str(folder))
    assert shown.code == 0
    assert b"\x1b[32mpassed  \x1b[0m config" in shown.out
    assert b"...      config \r\x1b[K" in shown.out
    uncoloured = on_terminal("doctor", "--workdir", str(folder), env={"NO_COLOR": "1"})
    assert b"\x1b[32m" not in uncoloured.out
    piped = re.sub(rb"[0-9.]+ ms|doctor-\w+", b"", spawn("doctor", "--workdir", str(folder)).out)
    dumb = re.sub(
        rb"[0-9.]+ ms|doctor-\w+",
        b"",
        on_terminal("doctor", "--workdir", str(folder), env={"TERM": "dumb"}).out,
    )
    assert b"\x1b" not in piped
    assert dumb == piped
    kept = re.sub(rb"[^\n]*\r\x1b\[K", b"", plain(shown.out))
    assert re.sub(rb"[0-9.]+ ms|doctor-\w+", b"", kept) == piped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_leaves_nothing(patients: FakeSite, folder: Path, number: signal.Signals) -> None:
    command = [*COMMAND, "doctor", "--type", "slow", "--workdir", str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, preexec_fn=lambda: signal.signal(number, signal.SIG_DFL)
    ) as process:  # also where the tests are run by nohup
        assert process.stdout is not None
        for line in process.stdout:
            if b" find " in line:
                break
        assert len(list(folder.iterdir())) == 1
        process.send_signal(number)
        assert process.wait(60) == 130
    assert list(folder.iterdir()) == []
