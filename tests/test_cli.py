"""The commands of `clustrix`: what they write, and their exit codes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_runner import COMMAND, Here, spawn

import clustrix_core
from clustrix_core.cli.failures import report
from fakedist import FakeSite

ODD_NAMES = [
    b"a b",
    b"it's",
    b"new\nline",
    b"-dash",
    b"~",
    b"$(x)",
    b"caf\xc3\xa9",
    b"raw\xff\xfe",
    b"a:b",
    b"esc\x1b[2J",
]

BACKENDS = """
import os, signal, sys, time
from clustrix_core import Stream, hookimpl
from clustrix_core.errors import ConnectionFailedError
from clustrix_local.backend import LocalBackend

class Endless(LocalBackend):
    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        def batches():
            number = 0
            while True:
                yield [f"file-{number}"]
                number += 1
        return Stream(batches())

class Interrupted(LocalBackend):
    @hookimpl
    def clustrix_du(self, path, on_error, progress):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

class Unreachable(LocalBackend):
    @hookimpl
    def clustrix_open(self, path, mode):
        raise ConnectionFailedError("h.edu does not answer; check the name and the network")

class Buggy(LocalBackend):
    @hookimpl
    def clustrix_exists(self, path):
        raise KeyError("inner")

class Breaking(LocalBackend):
    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        def batches():
            yield ["first"]
            raise ConnectionFailedError("the connection was lost")
        return Stream(batches())
"""
NAMES = ("endless", "interrupted", "unreachable", "buggy", "breaking")


@pytest.fixture(autouse=True)
def _no_outer_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CLUSTRIX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The current folder."""
    return tmp_path / "here"


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Here:
    return Here(capfdbinary)


@pytest.fixture
def far(tmp_path: Path, here: Path) -> Path:
    """The work dir of the profile `far`; `near` is another."""
    folder = tmp_path / "far"
    folder.mkdir()
    (tmp_path / "near").mkdir()
    (here / "clustrix.yml").write_text(
        f"""\
default_profile: near
profiles:
  far:
    local_work_dir: {folder}
    environment_variables: {{TOKEN: hunter2}}
    password: hunter2
  near:
    local_work_dir: {tmp_path / "near"}
"""
    )
    (here / "clustrix.yml").chmod(0o644)
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSite]:
    """The backends above, in this process and those that it starts."""
    with FakeSite(tmp_path / "site") as site:
        entries = {name: f"clitest:{name.capitalize()}" for name in NAMES}
        site.add("clustrix-clitest", "1.0", backends=entries, modules={"clitest": BACKENDS})
        monkeypatch.setenv("PYTHONPATH", str(site.path))
        yield site


@pytest.fixture
def tree(here: Path) -> Path:
    (here / "data" / "sub").mkdir(parents=True)
    (here / "data" / "a.csv").write_bytes(b"1234")
    (here / "data" / "sub" / "b.csv").write_bytes(b"x" * 2000)
    (here / "data" / "sub" / "c.txt").write_bytes(b"")
    (here / "data" / ".hidden").write_bytes(b"h")
    (here / "data" / "link").symlink_to("sub")
    return here / "data"


@pytest.fixture
def odd(here: Path) -> Path:
    folder = here / "odd"
    folder.mkdir()
    for name in ODD_NAMES:
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(b"")
    return folder


@contextmanager
def nobody() -> Iterator[None]:
    """Files are read as another user; `secret` folders belong to root."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def half_readable(tree: Path, tmp_path: Path) -> Path:
    (tree / "secret").mkdir(mode=0o700)
    for folder in (tree, *tree.parents):
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    return tree


# ---- listing


def test_ls_writes_names(run: Here, tree: Path) -> None:
    result = run("ls", "data")
    assert (result.code, result.lines) == (0, [".hidden", "a.csv", "link", "sub"])


def test_ls_without_a_path_lists_the_work_dir(run: Here, tree: Path, far: Path) -> None:
    (far / "x").touch()
    assert run("ls", "--profile", "far").lines == ["x"]
    assert run("ls", "far:").lines == ["x"]


def test_ls_long_is_a_table(run: Here, tree: Path) -> None:
    os.utime(tree / "a.csv", (0, 86400 * 400))
    os.chown(tree / "a.csv", 12, 345)
    (tree / "a.csv").chmod(0o640)
    lines = run("ls", "-l", "data").lines
    assert lines[1].split()[:5] == ["-rw-r-----", "1", "12", "345", "4"]
    assert lines[1].endswith(" a.csv")
    assert lines[2].startswith("lrwxrwxrwx")
    assert lines[3].startswith("d")
    assert len({line.rindex(":") for line in lines}) == 1


def test_ls_long_of_an_empty_folder_writes_nothing(run: Here, here: Path) -> None:
    assert (run("ls", "-l").code, run("ls", "-l").out, run("ls", "-l", "--json").out) == (0, b"", b"[]\n")


def test_human_sizes(run: Here, tree: Path) -> None:
    assert run("ls", "-lh", "data/sub").lines[0].split()[4] == "2.0K"
    assert run("du", "-h", "data").lines == ["2.0K\t4\tdata"]


def test_a_time_beyond_the_calendar_is_shown_in_seconds(run: Here, here: Path) -> None:
    (here / "old").touch()
    os.utime(here / "old", ns=(0, -86400 * 10**9))
    assert "1969-12-3" in run("ls", "-l").lines[0]


def test_json_holds_all_that_stat_knows(run: Here, tree: Path) -> None:
    entry = json.loads(run("ls", "-l", "--json", "data").out)[1]
    assert entry["name"] == "a.csv"
    assert entry["path"] == "data/a.csv"
    assert entry["mtime_ns"] == (tree / "a.csv").stat().st_mtime_ns
    assert json.loads(run("ls", "--json", "data").out) == [".hidden", "a.csv", "link", "sub"]
    assert json.loads(run("stat", "--json", "data/a.csv").out) == [entry]


def test_stat_tells_of_many_and_misses_some(run: Here, tree: Path) -> None:
    result = run("stat", "data/a.csv", "nowhere", "data/link")
    assert result.code == 1
    assert result.err == "clustrix: nowhere: No such file or directory\n"
    paragraphs = result.out.decode().split("\n\n")
    assert ["path: data/a.csv" in paragraphs[0], "type: directory" in paragraphs[1]] == [True, True]
    assert "type: symbolic link" in run("stat", "--no-follow", "data/link").out.decode()


def test_stat_of_many_is_one_operation_for_each_place(run: Here, tree: Path, far: Path) -> None:
    (far / "x").write_bytes(b"far")
    (tree.parent / "near").mkdir()
    asked = ["far:x", str(tree / "a.csv"), "far:.", str(tree)]
    result = run("--trace", "stat", "--json", *asked)
    assert [entry["size"] for entry in json.loads(result.out)][:2] == [3, 4]
    assert [entry["path"] for entry in json.loads(result.out)] == ["x", asked[1], ".", asked[3]]
    assert result.err.count("clustrix.trace: local: stat 2 paths: ok") == 2


@pytest.mark.parametrize(
    ("command", "path", "code"),
    [
        ("exists", "data", 0),
        ("exists", "data/none", 1),
        ("exists", "data/a.csv/below", 1),
        ("isdir", "data/link", 0),
        ("isdir", "data/a.csv", 1),
        ("isfile", "data/a.csv", 0),
        ("isfile", "data", 1),
    ],
)
def test_questions_answer_with_the_exit_code(
    run: Here, tree: Path, command: str, path: str, code: int
) -> None:
    result = run(command, path)
    assert (result.code, result.out, result.err) == (code, b"", "")
    assert run(command, "--json", path).code == code
    assert json.loads(run(command, "--json", path).out) == [{"path": path, command: code == 0}]


def test_a_question_about_many_is_a_no_when_one_is(run: Here, tree: Path) -> None:
    assert run("exists", "data", "data/a.csv").code == 0
    assert run("exists", "data", "nowhere").code == 1


def test_a_question_that_has_no_answer_is_a_failure(run: Here, half_readable: Path) -> None:
    assert run("exists", "data/secret/x").code == 1
    with nobody():
        result = run("exists", "data/secret/x")
    assert (result.code, result.err) == (3, "clustrix: data/secret/x: Permission denied\n")


def test_find(run: Here, tree: Path) -> None:
    assert run("find", "*.csv", "data").lines == ["data/a.csv", "data/sub/b.csv"]
    assert run("find", "*.csv", "data", "--max-depth", "1").lines == ["data/a.csv"]
    assert run("find", "*", "data", "--filetype", "d").lines == ["data/sub"]
    assert run("find", "*", "data", "--filetype", "l").lines == ["data/link"]
    assert run("find", "c*", "data", "-L").lines == ["data/link/c.txt", "data/sub/c.txt"]
    assert run("find", "*.csv", "data", "-l").lines[1].endswith(" data/sub/b.csv")
    assert json.loads(run("find", "*.csv", "data", "--json").out) == ["data/a.csv", "data/sub/b.csv"]
    assert json.loads(run("find", "a*", "data", "--json", "-l").out)[0]["size"] == 4
    assert run("find", "*.csv", "data", "-0").out == b"data/a.csv\0data/sub/b.csv\0"


@pytest.mark.parametrize("command", ["find", "glob"])
def test_a_pattern_that_the_shell_expanded(run: Here, command: str) -> None:
    result = run(command, "a.csv", "b.csv", "c.csv", "d.csv")
    assert result.code == 2
    assert "too many arguments, 'c.csv' being the first" in result.err
    assert "quote it, as in '*.csv'" in result.err


def test_find_without_a_match_is_no_failure_but_glob_is(run: Here, tree: Path) -> None:
    result = run("find", "*.none", "data")
    assert (result.code, result.out, result.err) == (0, b"", "")
    assert run("find", "*.none", "data", "--json").out == b"[]\n"
    result = run("glob", "*.none", "data")
    assert (result.code, result.out, result.err) == (1, b"", "")
    assert run("glob", "*.{csv,none}", "data").lines == ["data/a.csv"]


def test_du_and_count_files(run: Here, tree: Path) -> None:
    assert run("du", "data", "data/sub").lines == ["2005\t4\tdata", "2000\t2\tdata/sub"]
    assert json.loads(run("du", "--json").out) == [{"path": ".", "total_bytes": 2005, "file_count": 4}]
    assert run("du", "-0", "data").out == b"2005\t4\tdata\0"
    assert run("count-files", "data").out == b"4\n"
    assert json.loads(run("count-files", "--pattern", "*.csv", "--json").out) == 2


def test_readlink_and_cat(run: Here, tree: Path) -> None:
    assert run("readlink", "data/link").lines == ["sub"]
    assert run("cat", "data/a.csv", "nowhere", "data/.hidden").out == b"1234h"
    assert run("cat", "nowhere").code == 1


def test_cat_keeps_every_byte(run: Here, here: Path) -> None:
    content = bytes(range(256)) * 9000
    (here / "blob").write_bytes(content)
    assert run("cat", "blob").out == content


# ---- names


def test_null_and_json_keep_every_name(run: Here, odd: Path) -> None:
    names = sorted(ODD_NAMES)
    assert run("ls", "-0", "odd").out == b"".join(name + b"\0" for name in names)
    found = json.loads(run("find", "*", "odd", "--json").out)
    assert [path.encode("utf-8", "surrogateescape") for path in found] == [b"odd/" + name for name in names]
    assert json.loads(run("ls", "--json", "odd").out) == [path[4:] for path in found]


def test_names_go_into_a_pipe_as_they_are(run: Here, odd: Path) -> None:
    assert run("ls", "odd").out == b"".join(name + b"\n" for name in sorted(ODD_NAMES))


def test_tables_are_always_escaped(run: Here, odd: Path) -> None:
    shown = run("ls", "-l", "odd").out
    assert shown.count(b"\n") == len(ODD_NAMES)
    assert b"\x1b" not in shown
    for name in (rb"$'new\nline'", rb"$'raw\377\376'", rb"$'esc\033[2J'", b"'a b'", b"'it'\\''s'", b" -dash"):
        assert name in shown


def test_an_argument_may_be_any_name(odd: Path) -> None:
    for name in ODD_NAMES:
        result = spawn("stat", "--json", b"odd/" + name)
        assert result.code == 0
        assert json.loads(result.out)[0]["name"].encode("utf-8", "surrogateescape") == name
    for locale in ("C", "POSIX"):
        assert spawn("exists", b"odd/raw\xff\xfe", env={"LC_ALL": locale, "PYTHONUTF8": "0"}).code == 0


def test_names_that_begin_with_a_dash_stand_behind_two(run: Here, odd: Path) -> None:
    os.chdir(odd)
    assert run("exists", "--", "-dash").code == 0
    assert run("exists", "-dash").code == 2


def test_misses_are_escaped(run: Here, here: Path) -> None:
    assert run("ls", "bad\x1b\n").err == "clustrix: bad\\x1b\\n: No such file or directory\n"


# ---- places


def test_only_a_colon_before_the_first_slash_ends_a_name(run: Here, here: Path, far: Path) -> None:
    (far / "c:d").write_bytes(b"in far")
    (here / "a:b").write_bytes(b"here")
    (here / "far").mkdir()
    (here / "far" / "x:y").write_bytes(b"here too")
    assert run("cat", "far:c:d").out == b"in far"
    assert run("--trace", "cat", f"{here}/a:b", f"{here}/far/x:y").out == b"herehere too"
    (far.parent / "near" / "a:b").write_bytes(b"near")
    assert run("cat", "./a:b").out == b"near"
    assert run("cat", ":./a:b").out == b"near"


def test_an_unknown_profile_is_told_how_to_write_a_path(run: Here, far: Path) -> None:
    result = run("ls", "fat:data")
    assert result.code == 2
    assert "there is no profile 'fat'; did you mean 'far'?" in result.err
    assert "a path that has a colon before its first slash is written ./name:rest" in result.err


def test_options_describe_a_place(run: Here, far: Path) -> None:
    (far / "x").write_bytes(b"1")
    assert run("ls", "--workdir", str(far)).lines == ["x"]
    assert run("ls", "--type", "local", "--workdir", str(far)).lines == ["x"]
    assert run("cat", "--profile", "far", "x").out == b"1"
    missing = run("ls", "--type", "teleport")
    assert (missing.code, "no backend 'teleport' is installed" in missing.err) == (2, True)


def test_a_host_without_a_type_means_ssh(run: Here, tmp_path: Path) -> None:
    source = """
from clustrix_core import ClusterConfig, hookimpl
from clustrix_local.backend import LocalBackend

class Config(ClusterConfig):
    model_config = {"extra": "forbid"}

class Ssh(LocalBackend):
    config_model = Config

    def __init__(self, config):
        super().__init__(config)
        self.config = config

    @hookimpl
    def clustrix_ls(self, path, detail):
        config = self.config
        return [config.cluster_host, config.username, config.remote_work_dir, path]
"""
    with FakeSite(tmp_path / "site") as site:
        # It takes the place of the real one, where that is installed: the first on the path counts.
        site.add("clustrix-ssh", "1", backends={"ssh": "fakessh:Ssh"}, modules={"fakessh": source})
        options = ["--host", "h.edu", "--user", "me", "--workdir", str(tmp_path)]
        for type_options in ([], ["--type", "ssh"]):
            result = run("ls", *type_options, *options, "data")
            assert (result.err, result.lines) == ("", ["h.edu", "me", str(tmp_path), "data"])


@pytest.mark.parametrize(
    "args",
    [
        ["ls", "--profile", "far", "--host", "h"],
        ["ls", "--profile", "far", "near:x"],
        ["ls", "--host", "h", "far:x"],
        ["ls", "-0", "--json"],
        ["ls", "-0", "-l"],
        ["find"],
        ["find", "", "."],
        ["find", "/abs", "."],
        ["find", "*", "--filetype", "x"],
        ["find", "*", "--max-depth", "0"],
        ["glob", "{1,2}" * 20],
        ["ls", "--unknown"],
        ["ls", "--type", "local", "--host", "h"],
        ["config", "far", "--profiles"],
        ["config", "unknown"],
        ["cp", "x"],
        ["cp", "-r", "x", "y"],
        ["cp", "-r", "x", "far:y"],
        ["exists", ""],
        ["cp", "clustrix.yml", ""],
        ["ls", "--profile", ""],
        ["ls", "--type", ""],
        ["ls", "--host", ""],
        ["ls", "--user", ""],
        ["ls", "--workdir", ""],
        ["ls", "--workdir", "/no/such/folder"],
        ["nonsense"],
        [],
    ],
)
def test_wrong_command_lines_are_exit_code_2(run: Here, far: Path, args: list[str]) -> None:
    result = run(*args)
    assert result.code == 2
    assert result.out == b""
    assert result.err
    assert "Traceback" not in result.err


def test_a_broken_file_is_named(run: Here, far: Path, here: Path) -> None:
    (here / "clustrix.yml").write_text("profiles:\n  far: [\n")
    result = run("ls", "far:")
    assert (result.code, f"{here}/clustrix.yml:3:1" in result.err, "./name" in result.err) == (2, True, False)


# ---- failures


def test_a_partial_result_is_exit_code_3(run: Here, half_readable: Path) -> None:
    run("find", "*", "data")
    with nobody():
        results = {
            command: run(command, *args)
            for command, args in {
                "find": ["*.csv", "data"],
                "glob": ["**/*.csv", "data"],
                "du": ["data"],
                "count-files": ["data"],
            }.items()
        }
        strict = run("find", "*", "data", "--on-error", "raise")
        listed = run("ls", "data/secret")
    for result in results.values():
        assert (result.code, result.err) == (3, "clustrix: data/secret: Permission denied\n")
    assert results["find"].lines == ["data/a.csv", "data/sub/b.csv"]
    assert results["count-files"].out == b"4\n"
    for result in (strict, listed):
        assert (result.code, result.err) == (3, "clustrix: data/secret: Permission denied\n")


def test_what_is_missing_is_exit_code_1(run: Here, tree: Path) -> None:
    for command in (["ls", "x"], ["ls", "data/a.csv"], ["find", "*", "x"], ["du", "x"], ["glob", "*", "x"]):
        result = run(*command)
        assert (result.code, result.out) == (1, b"")
        assert result.err.startswith("clustrix: ")
    assert run("find", "*", "x", "--json").out == b""


def test_any_other_failure_is_exit_code_3(run: Here, tree: Path) -> None:
    result = run("readlink", "data/a.csv")
    assert (result.code, result.err) == (3, "clustrix: data/a.csv: Invalid argument\n")
    assert run("cat", "data").code == 3


def test_a_place_that_fails_is_not_tried_for_every_file(run: Here, site: FakeSite) -> None:
    result = run("cat", "--type", "unreachable", "a", "b")
    assert result.code == 3
    assert result.err == "clustrix: h.edu does not answer; check the name and the network\n"


def test_a_stream_that_breaks_off_leaves_no_valid_json(run: Here, site: FakeSite) -> None:
    result = run("find", "*", "--type", "breaking", "--json")
    assert (result.code, result.out) == (3, b'[\n"first"')


def test_bugs_show_a_traceback_only_with_debug(run: Here, site: FakeSite) -> None:
    result = run("exists", "--type", "buggy", "x")
    assert result.code == 3
    assert (
        result.err
        == "clustrix: unexpected KeyError: 'inner'; `clustrix --debug ...` shows where it comes from\n"
    )
    assert "Traceback" in run("--debug", "exists", "--type", "buggy", "x").err


def test_whoever_reads_may_leave(site: FakeSite) -> None:
    process = subprocess.Popen(
        [*COMMAND, "find", "*", "--type", "endless"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"file-0\n"
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, b"")


def test_output_that_cannot_be_written_is_a_failure(tree: Path) -> None:
    for command in (["ls", "data"], ["cat", "data/a.csv", "data/.hidden"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([*COMMAND, *command], stdout=full, stderr=subprocess.PIPE, timeout=60)
        assert (done.returncode, done.stderr) == (3, b"clustrix: standard output: No space left on device\n")
    closed = subprocess.run(
        [*COMMAND, "ls"], stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1), timeout=60
    )
    assert (closed.returncode, closed.stderr) == (3, b"clustrix: standard output: Bad file descriptor\n")


def test_whoever_reads_the_help_may_leave() -> None:
    for args in (["--help"], ["find", "--help"], ["--version"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([*COMMAND, *args], stdout=writer, stderr=subprocess.PIPE, timeout=60)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, b"")


def test_an_interrupt_while_starting_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "click.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    )
    result = spawn("ls", env={"PYTHONPATH": str(tmp_path / "site")})
    assert (result.code, result.out, result.err) == (128 + signal.SIGINT, b"", "")


def test_an_error_of_two_files_names_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(OSError(errno.EXDEV, "Invalid cross-device link", "a\x1b", None, "b")) == 3
    assert capsys.readouterr().err == "clustrix: a\\x1b -> b: Invalid cross-device link\n"


def test_one_question_without_an_answer_does_not_stop_the_others(run: Here, half_readable: Path) -> None:
    run("exists", "data")
    asked = ["data/secret/x", "data/none", "data/a.csv"]
    with nobody():
        result = run("exists", *asked)
        answers = json.loads(run("exists", "--json", *asked).out)
    assert (result.code, result.err) == (3, "clustrix: data/secret/x: Permission denied\n")
    assert answers == [{"path": "data/none", "exists": False}, {"path": "data/a.csv", "exists": True}]


def test_an_interrupt_ends_quietly(site: FakeSite) -> None:
    result = spawn("du", "--type", "interrupted")
    assert (result.code, result.out, result.err) == (128 + signal.SIGINT, b"", "")


# ---- cp


def test_cp_between_this_machine_and_places(run: Here, here: Path, far: Path) -> None:
    content = os.urandom(3_000_000)
    (here / "local").write_bytes(content)
    assert run("cp", "local", "far:").code == 0
    assert (far / "local").read_bytes() == content
    assert run("cp", "far:local", "back").code == 0
    assert (here / "back").read_bytes() == content
    assert run("cp", "far:local", "near:through").code == 0
    assert (far.parent / "near" / "through").read_bytes() == content
    assert run("cp", "local", "copy").code == 0
    assert (here / "copy").read_bytes() == content
    (far / "in").mkdir()
    assert run("cp", "near:through", "far:in/").code == 0
    assert (far / "in" / "through").read_bytes() == content
    assert run("cp", "far:local", "far:again").code == 0
    assert (far / "again").read_bytes() == content
    assert run("cp", ":through", "active").code == 0
    assert (here / "active").read_bytes() == content


def test_cp_of_many_into_a_folder(run: Here, tree: Path, here: Path, far: Path) -> None:
    result = run("cp", "data/a.csv", "nowhere", "data/.hidden", "far:")
    assert (result.code, result.err) == (1, f"clustrix: {here}/nowhere: No such file or directory\n")
    assert sorted(path.name for path in far.iterdir()) == [".hidden", "a.csv"]
    for target in ("far:none/", "none/"):
        result = run("cp", "data/a.csv", target)
        assert (result.code, "Not a directory" in result.err) == (1, True)
    assert run("cp", "data/a.csv", "data/.hidden", "far:a.csv").code == 1
    assert not (here / "none").exists()


def test_cp_from_places_to_where_nothing_is(run: Here, far: Path) -> None:
    assert run("cp", "far:none", "x").code == 1
    assert run("cp", "far:none", "near:x").code == 1
    assert list((far.parent / "near").iterdir()) == []


def test_cp_of_a_folder_asks_for_recursive(run: Here, far: Path) -> None:
    (far / "d").mkdir()
    result = run("cp", "far:d", "x")
    assert (result.code, result.err) == (3, "clustrix: d: Is a directory; --recursive copies it\n")


def _contents(folder: Path) -> dict[bytes, object]:
    found: dict[bytes, object] = {}
    for parent, folders, files in os.walk(os.fsencode(folder)):
        for name in folders + files:
            path = os.path.join(parent, name)
            key = os.path.relpath(path, os.fsencode(folder))
            if os.path.islink(path):
                found[key] = ("link", os.readlink(path))
            else:
                found[key] = None if os.path.isdir(path) else Path(os.fsdecode(path)).read_bytes()
    return found


@pytest.fixture
def big(far: Path) -> Path:
    """A folder in `far`, with all kinds of things in it."""
    folder = far / "big"
    (folder / "empty" / "er").mkdir(parents=True)
    (folder / "sub").mkdir()
    for name in ODD_NAMES:
        Path(os.fsdecode(os.path.join(os.fsencode(folder / "sub"), name))).write_bytes(name)
    (folder / "~").mkdir()
    (folder / "~" / "x").write_bytes(b"tilde")
    (folder / "good").symlink_to("sub/a b")
    (folder / "broken").symlink_to("/nowhere\n")
    (folder / "dir").symlink_to("sub")
    return folder


def test_cp_recursive(run: Here, big: Path, here: Path, far: Path) -> None:
    assert run("cp", "-r", "far:big", "copy").code == 0
    assert _contents(here / "copy") == _contents(big)
    (here / "into").mkdir()
    for source in ("far:big", "far:./big/"):
        assert run("cp", "-r", source, "into").code == 0
        assert _contents(here / "into" / "big") == _contents(big)
    assert run("cp", "-r", "--workdir", str(big), ":", "all").code == 0
    assert _contents(here / "all") == _contents(big)
    assert run("cp", "-r", "far:big/sub/a b", "file").code == 0
    assert (here / "file").read_bytes() == b"a b"
    assert run("cp", "-r", "far:big/", "with/slashes/").code == 0
    assert _contents(here / "with" / "slashes") == _contents(big)
    refused = run("cp", "-r", "far:big/sub/a b", "nowhere/")
    assert (refused.code, refused.err) == (1, "clustrix: nowhere/: Not a directory\n")


def test_cp_recursive_from_the_home_folder(run: Here, big: Path, here: Path, tmp_path: Path) -> None:
    assert run("cp", "-r", "far:~/far/big", "copy").code == 0
    assert _contents(here / "copy") == _contents(big)


def test_cp_recursive_into_itself_ends(run: Here, big: Path) -> None:
    before = _contents(big)
    assert run("cp", "-r", "far:big", str(big / "copy")).code == 0
    assert _contents(big / "copy") == before


def test_cp_recursive_goes_on_after_a_failure(run: Here, big: Path, here: Path) -> None:
    (here / "copy" / "sub" / "a b").mkdir(parents=True)
    (here / "copy" / "sub" / "a b" / "a b").mkdir()
    (here / "copy" / "good").write_bytes(b"in the way")
    result = run("cp", "-r", "far:big/.", "copy")
    assert result.code == 3
    assert len(result.err.splitlines()) == 2
    assert (here / "copy" / "sub" / "it's").read_bytes() == b"it's"
    assert (here / "copy" / "good").read_bytes() == b"in the way"


def test_cp_recursive_reports_what_it_could_not_see_once(run: Here, half_readable: Path, here: Path) -> None:
    target = here / "copy"
    target.mkdir()
    target.chmod(0o777)
    run("cp", "-r", ":data", "warm")
    with nobody():
        result = run("cp", "-r", ":data", "copy")
    assert (result.code, result.err) == (3, "clustrix: data/secret: Permission denied\n")
    assert (target / "data" / "a.csv").read_bytes() == b"1234"


def test_nothing_that_a_host_says_leads_out_of_the_target(run: Here, here: Path, tmp_path: Path) -> None:
    source = """
from clustrix_core import FileInfo, Stream, hookimpl
from clustrix_local.backend import LocalBackend

class Hostile(LocalBackend):
    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        info = FileInfo.from_record(("big/../../../escaped", 1, 0, 0o100644, 0, 0, 1))
        return Stream([[info]] if detail else [])

    @hookimpl
    def clustrix_isdir(self, path):
        return True
"""
    (here / "big").mkdir()
    with FakeSite(tmp_path / "site") as site:
        site.add("hostile", "1", backends={"hostile": "hostile:Hostile"}, modules={"hostile": source})
        result = run("cp", "-r", "--type", "hostile", ":big", "copy")
    assert result.code == 3
    assert "'big/../../../escaped' is below 'big/', and it is not" in result.err
    assert not list(tmp_path.rglob("escaped"))


def test_a_second_copy_writes_nothing_through_links(run: Here, here: Path, far: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"mine")
    source = far / "src"
    source.mkdir()
    (source / "folder").symlink_to(outside)
    (source / "file").symlink_to(outside / "file")
    (source / "fresh").symlink_to(outside / "fresh")
    assert run("cp", "-r", "far:src", "copy").code == 0
    for name in ("folder", "file", "fresh"):
        (source / name).unlink()
    (source / "folder" / "sub").mkdir(parents=True)
    (source / "folder" / "evil").write_bytes(b"evil")
    (source / "folder" / "link").symlink_to("evil")
    (source / "file").write_bytes(b"evil")
    (source / "fresh").write_bytes(b"evil")
    (source / "good").write_bytes(b"good")
    result = run("cp", "-r", "far:src/.", "copy")
    assert result.code == 3
    for name in ("folder", "file", "fresh"):
        assert f"{here}/copy/{name}: a link, which is not followed, stands where a f" in result.err
    assert _contents(outside) == {b"file": b"mine"}
    assert (here / "copy" / "good").read_bytes() == b"good"


def test_a_link_in_the_place_of_the_copy_itself_is_not_followed(run: Here, here: Path, big: Path) -> None:
    (here / "outside").mkdir()
    (here / "into").mkdir()
    (here / "into" / "big").symlink_to(here / "outside")
    assert run("cp", "-r", "far:big", "into").code == 3
    assert list((here / "outside").iterdir()) == []
    (here / "given").symlink_to("outside")
    assert run("cp", "-r", "far:big", "given").code == 0
    assert _contents(here / "outside" / "big") == _contents(big)


def test_a_file_does_not_go_into_a_folder_of_its_name(run: Here, here: Path, far: Path) -> None:
    (far / "src").mkdir()
    (far / "src" / "x").write_bytes(b"x")
    (here / "copy" / "x").mkdir(parents=True)
    result = run("cp", "-r", "far:src/.", "copy")
    assert (result.code, result.err) == (
        3,
        f"clustrix: {here}/copy/x: cannot overwrite a folder with a file\n",
    )
    assert list((here / "copy" / "x").iterdir()) == []


def test_folders_keep_their_modes(run: Here, here: Path, far: Path) -> None:
    modes = {"src": 0o750, "src/a": 0o555, "src/a/b": 0o777}
    (far / "src" / "a" / "b").mkdir(parents=True)
    (far / "src" / "a" / "file").touch()
    for name, mode in modes.items():
        (far / name).chmod(mode)
    before = os.umask(0o027)
    try:
        assert run("cp", "-r", "far:src", "copy").code == 0
        made = {name: (here / name.replace("src", "copy")).stat().st_mode & 0o777 for name in modes}
        (here / "copy").chmod(0o700)
        assert run("cp", "-r", "far:src/.", "copy").code == 0
        assert (here / "copy").stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)
    assert made == {name: mode & ~0o027 for name, mode in modes.items()}


def test_a_copy_between_places_keeps_the_mode(run: Here, far: Path) -> None:
    (far / "script").write_bytes(b"#!")
    (far / "script").chmod(0o750)
    assert run("cp", "far:script", "near:").code == 0
    assert (far.parent / "near" / "script").stat().st_mode & 0o777 == 0o750
    assert run("cp", "far:/proc/version", "near:version").code == 0
    assert (far.parent / "near" / "version").read_bytes() == Path("/proc/version").read_bytes()
    (far.parent / "near" / "d" / "script").mkdir(parents=True)
    assert run("cp", "far:script", "near:d").code == 3
    assert list((far.parent / "near" / "d" / "script").iterdir()) == []


def test_sources_of_one_name_do_not_overwrite_each_other(run: Here, here: Path, far: Path) -> None:
    for name in ("a", "b"):
        (here / name / "d").mkdir(parents=True)
        (here / name / "x").write_text(name)
        (here / name / "d" / "same").write_text(name)
        (here / name / "d" / name).write_text(name)
    (here / "y").touch()
    for target in ("far:", str(far)):
        result = run("cp", "none/x", "a/x", "b/x", "y", target)
        assert result.code == 3
        assert "clustrix: b/x: will not overwrite just-created 'x'" in result.err
        assert ((far / "x").read_text(), (far / "y").exists()) == ("a", True)
    (here / "into").mkdir()
    sources = [f"{here}/a/d", f"{here}/b/d"]
    result = run("cp", "-r", "--workdir", str(here), *[f":{source}" for source in sources], "into")
    assert (result.code, "will not overwrite just-created 'd/same'" in result.err) == (3, True)
    assert _contents(here / "into" / "d") == {b"same": b"a", b"a": b"a", b"b": b"b"}


def test_a_file_is_not_copied_onto_itself(run: Here, here: Path, far: Path) -> None:
    (far / "x").write_bytes(b"x")
    (here / "link").symlink_to(far / "x")
    (here / "hard").hardlink_to(far / "x")
    for source, target in [
        *(("link", "hard"), ("hard", "link"), ("far:x", "hard"), ("hard", "far:x"), ("hard", "./hard")),
        *(("far:x", "far:"), (f"{far}/x", "far:x"), ("far:x", ":../far/x")),
    ]:
        result = run("cp", source, target)
        assert (result.code, "is the same file as" in result.err) == (3, True)
    assert ((here / "link").is_symlink(), (far / "x").stat().st_nlink) == (True, 2)


def test_messages_spell_names_neatly(run: Here, here: Path, far: Path) -> None:
    (far / "bad").write_bytes(b"x")
    (far / "~").write_bytes(b"tilde")
    (here / "copy" / "bad").mkdir(parents=True)
    for source in ("far:", "far:.", "far:./"):
        result = run("cp", "-r", source, "copy")
        assert (result.code, "./" in result.err) == (3, False)
        assert (here / "copy" / "~").read_bytes() == b"tilde"


# ---- about


def test_plugins_tells_what_is_wrong(run: Here, tmp_path: Path) -> None:
    with FakeSite(tmp_path / "site") as site:
        site.add("clustrix-broken", "9.9", backends={"broken": "nowhere_at_all:Backend"})
        result = run("plugins", "--json")
        table = run("plugins").lines
    found = {entry["name"]: entry for entry in json.loads(result.out)}
    assert result.code == 0
    assert found["local"] == {
        "kind": "backend",
        "name": "local",
        "distribution": "clustrix-local",
        "version": clustrix_core.__version__,
        "problem": None,
    }
    assert found["trace"]["kind"] == "extension"
    assert "nowhere_at_all" in found["broken"]["problem"]
    assert table[0].split() == ["KIND", "NAME", "DISTRIBUTION", "VERSION", "STATUS"]
    assert any(line.startswith("backend    broken") and "nowhere_at_all" in line for line in table)
    assert any(line.split() == ["backend", "local", "clustrix-local", "0.2.0", "ok"] for line in table)


def test_config_tells_where_values_come_from(
    run: Here, far: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTRIX_MODULE_LOADS", "gcc openmpi")
    monkeypatch.setenv("CLUSTRIX_IDLE_TIMEOUT", "inf")
    fields = json.loads(run("config", "--json").out)
    assert fields["module_loads"] == {"value": ["gcc", "openmpi"], "origin": "CLUSTRIX_MODULE_LOADS"}
    assert fields["idle_timeout"]["value"] == "inf"
    assert fields["local_work_dir"]["origin"] == f"{here}/clustrix.yml:8"
    assert fields["cluster_type"] == {"value": "local", "origin": "default"}
    lines = [line.split() for line in run("config").lines]
    assert ["module_loads", "gcc,", "openmpi", "CLUSTRIX_MODULE_LOADS"] in lines


def test_config_shows_no_secret(run: Here, far: Path) -> None:
    for result in (run("config", "far"), run("config", "far:", "--json")):
        assert result.code == 0
        assert b"hunter2" not in result.out
        assert b"***" in result.out
        assert b"TOKEN" in result.out


def test_config_lists_profiles(run: Here, far: Path, here: Path) -> None:
    file = str(here / "clustrix.yml")
    assert json.loads(run("config", "--profiles", "--json").out) == {"far": file, "near": file}
    assert [line.split() for line in run("config", "--profiles").lines][1:] == [["far", file], ["near", file]]


def test_warnings_about_the_config_go_to_stderr(run: Here, far: Path, here: Path) -> None:
    (here / "clustrix.yml").chmod(0o666)
    result = run("ls")
    assert result.code == 0
    assert result.err.startswith("clustrix: warning: passed over: ")


def test_trace_writes_a_line_for_each_operation(run: Here, tree: Path) -> None:
    result = run("--trace", "find", "*.csv", "data")
    assert result.lines == ["data/a.csv", "data/sub/b.csv"]
    assert result.err.startswith("clustrix.trace: local: find *.csv in data: ok, count 2, ")
    assert run("find", "*.csv", "data").err == ""


def test_python_m_and_the_version() -> None:
    result = spawn("--version")
    assert (result.code, result.out) == (0, f"clustrix {clustrix_core.__version__}\n".encode())


@pytest.mark.parametrize("args", [["--version"], ["--help"], ["find", "--help"]])
def test_starting_up_imports_little(args: list[str]) -> None:
    script = (
        "import sys; from clustrix_core.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'pydantic', 'pluggy', 'yaml', 'clustrix_local', 'clustrix_core.session', 'paramiko'};"
        "sys.exit(code or ', '.join(heavy & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_paths_with_a_colon_are_taken_back(run: Here, here: Path) -> None:
    (here / "a:b").write_text("mine")
    assert run("find", "-0", "a*").out == b"./a:b\0"
    assert run("glob", "a*").lines == ["./a:b"]
    assert run("cat", "./a:b").out == b"mine"
    assert json.loads(run("find", "--json", "a*").out) == ["a:b"]
