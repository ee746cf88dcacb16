"""Reading and writing: files appear whole or not at all."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from clustrix import ClusterConfig, ClusterFilesystem, cluster_open


@pytest.fixture
def place(tmp_path: Path) -> ClusterFilesystem:
    return ClusterFilesystem(ClusterConfig(local_work_dir=str(tmp_path)))


def test_a_new_content_shows_when_the_file_is_closed(place, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    with place.open("f", "w") as file:
        file.write("new")
        file.flush()
        assert (tmp_path / "f").read_text() == "old"
    assert (tmp_path / "f").read_text() == "new"
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize("mode", ["w", "wb", "x", "xb"])
def test_an_exception_leaves_what_was_there(place, tmp_path: Path, mode: str) -> None:
    if mode[0] == "w":
        (tmp_path / "f").write_text("old")
    before = os.listdir(tmp_path)
    with pytest.raises(KeyError), place.open("f", mode) as file:
        file.write(b"new" if "b" in mode else "new")
        raise KeyError
    assert os.listdir(tmp_path) == before
    assert mode[0] == "x" or (tmp_path / "f").read_text() == "old"


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_a_forgotten_file_is_dropped_with_a_warning(place, tmp_path: Path, mode: str) -> None:
    file = place.open("f", mode)
    file.write(b"half" if "b" in mode else "half")
    with pytest.warns(ResourceWarning, match=r"unclosed file .* name='f'"):
        del file
        gc.collect()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mode", ["r", "rb", "w", "wb", "a", "ab", "r+", "r+b"])
def test_a_file_tells_its_name_and_mode(place, tmp_path: Path, mode: str) -> None:
    (tmp_path / "f").touch()
    with place.open("f", mode) as file:
        assert (file.name, file.mode) == ("f", mode)


def test_permissions_and_owner_are_kept(place, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    os.chmod(tmp_path / "f", 0o640)
    os.chown(tmp_path / "f", 1234, 2345)
    with place.open("f", "w") as file:
        secret = next(name for name in os.listdir(tmp_path) if name != "f")
        assert (tmp_path / secret).stat().st_mode & 0o777 == 0o600
        file.write("new")
    status = (tmp_path / "f").stat()
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o640, 1234, 2345)


def test_a_new_file_obeys_the_umask(place, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        place.open("f", "w").close()
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640


def test_writing_through_a_link_keeps_the_link(place, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d/target")
    with place.open("link", "w") as file:
        file.write("text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "d" / "target").read_text() == "text"


def test_x_loses_a_race_without_harm(place, tmp_path: Path) -> None:
    file = place.open("f", "x")
    file.write("mine")
    (tmp_path / "f").write_text("theirs")
    with pytest.raises(FileExistsError):
        file.close()
    assert (tmp_path / "f").read_text() == "theirs"
    assert os.listdir(tmp_path) == ["f"]
    for target in ("f", "dangling"):
        (tmp_path / "dangling").unlink(missing_ok=True)
        (tmp_path / "dangling").symlink_to("nowhere")
        with pytest.raises(FileExistsError):
            place.open(target, "x")


def test_errors_are_those_of_the_builtin(place, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "readonly").write_text("")
    for mode in ("r", "w", "a", "r+"):
        with pytest.raises(IsADirectoryError) as raised:
            place.open("d", mode)
        assert raised.value.filename == "d"
        with pytest.raises(FileNotFoundError) as raised:
            place.open("missing/f", mode)
        assert raised.value.filename == "missing/f"
        with pytest.raises(NotADirectoryError):
            place.open("readonly/f", mode)


def test_a_file_that_may_not_be_written_is_not_replaced(place, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    (tmp_path / "f").chmod(0o444)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o777)  # which leaves /tmp its sticky bit
    os.seteuid(65534)
    try:
        with pytest.raises(PermissionError):
            place.open("f", "w")
    finally:
        os.seteuid(0)
    assert (tmp_path / "f").read_text() == "old"


def test_append_and_update_work_in_place(place, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("one\n")
    inode = (tmp_path / "f").stat().st_ino
    with place.open("f", "a") as file:
        file.write("two\n")
    with place.open("f", "r+b") as file:
        assert file.read(3) == b"one"
        file.seek(0)
        file.write(b"ONE")
    assert (tmp_path / "f").read_text() == "ONE\ntwo\n"
    assert (tmp_path / "f").stat().st_ino == inode


def test_a_fifo_is_written_to_and_not_replaced(place, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    received = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "fifo").read_text()))
    reader.start()
    with place.open("fifo", "w") as file:
        file.write("through")
    reader.join()
    assert received == ["through"]
    assert (tmp_path / "fifo").is_fifo()


def test_text_is_utf_8_unless_told_otherwise(place, tmp_path: Path) -> None:
    with place.open("f", "w", newline="\r\n") as file:
        file.write("é\n")
    assert (tmp_path / "f").read_bytes() == "é\r\n".encode()
    with cluster_open("f", "r", place.config, encoding="latin-1", newline="") as file:
        assert file.read() == "Ã©\r\n"


def test_a_copy_is_whole_verified_and_reports_progress(place, tmp_path: Path) -> None:
    content = os.urandom(3_500_000)
    (tmp_path / "source").write_bytes(content)
    (tmp_path / "d").mkdir()
    seen: list = []
    assert place.get("source", tmp_path / "copy", progress=lambda *report: seen.append(report)) == len(
        content
    )
    assert (tmp_path / "copy").read_bytes() == content
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (len(content), len(content))
    place.put(tmp_path / "copy", "d")
    assert (tmp_path / "d" / "copy").read_bytes() == content
    assert sorted(os.listdir(tmp_path)) == ["copy", "d", "source"]


def test_a_source_that_grows_meanwhile_is_refused(place, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 3_000_000)

    def grow(done: int, total: int | None) -> None:
        with open(tmp_path / "source", "ab") as file:
            file.write(b"y")

    with pytest.raises(OSError, match="changed while it was copied") as raised:
        place.get("source", tmp_path / "copy", progress=grow)
    assert raised.value.errno == errno.EIO
    assert os.listdir(tmp_path) == ["source"]


def test_a_failing_callback_leaves_nothing(place, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    with pytest.raises(ZeroDivisionError):
        place.put(tmp_path / "source", "copy", progress=lambda done, total: 1 / 0)
    assert os.listdir(tmp_path) == ["source"]


def test_a_full_disk_is_an_error_and_keeps_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "big").write_bytes(b"x" * 3_000_000)
    script = textwrap.dedent("""
        import os, sys
        from clustrix import ClusterConfig, ClusterFilesystem
        disk, big = sys.argv[1:]
        place = ClusterFilesystem(ClusterConfig(local_work_dir=disk))

        def write(mode):
            with place.open("f", mode) as file:
                file.write("y" * 3_000_000)

        with place.open("f", "w") as file:
            file.write("old")
        for fill in (lambda: place.put(big, "f"), lambda: place.get(big, disk + "/f"), lambda: write("w")):
            try:
                fill()
            except OSError as error:
                print(error.errno, error.filename, os.listdir(disk), open(disk + "/f").read())
    """)
    mount = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$3" -c "$4" "$1" "$2"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh", str(tmp_path / "disk"), str(tmp_path / "big")]
    done = subprocess.run([*command, sys.executable, script], capture_output=True, text=True)
    assert done.stderr == ""
    named = ["f", f"{tmp_path}/disk/f", "f"]
    assert done.stdout == "".join(f"{errno.ENOSPC} {name} ['f'] old\n" for name in named)


@pytest.mark.parametrize(
    "options", [{"encoding": "bogus"}, {"newline": "x"}, {"mode": "wb", "encoding": "utf-8"}]
)
def test_a_wrong_argument_leaves_what_was_there(place, tmp_path: Path, options: dict) -> None:
    (tmp_path / "f").write_text("precious")
    with pytest.raises((LookupError, ValueError)):
        place.open("f", **{"mode": "w", **options})
    assert os.listdir(tmp_path) == ["f"]
    assert (tmp_path / "f").read_text() == "precious"


@pytest.mark.parametrize("mode", ["w", "wb"])
@pytest.mark.parametrize("how", ["with", "close"])
def test_a_failed_flush_leaves_what_was_there(tmp_path: Path, mode: str, how: str) -> None:
    script = textwrap.dedent("""
        import os, resource, signal, sys
        from clustrix import ClusterConfig, ClusterFilesystem
        folder, mode, how = sys.argv[1:]
        place = ClusterFilesystem(ClusterConfig(local_work_dir=folder))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        content = "y" * 5000 if mode == "w" else b"y" * 5000
        try:
            if how == "with":
                with place.open("f", mode) as file:
                    file.write(content)
            else:
                file = place.open("f", mode)
                try:
                    file.write(content)
                finally:
                    file.close()
        except OSError as error:
            print(error.errno, file.closed if how == "close" else True)
    """)
    (tmp_path / "f").write_text("old")
    command = [sys.executable, "-c", script, str(tmp_path), mode, how]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{errno.EFBIG} True\n", "")
    assert os.listdir(tmp_path) == ["f"]
    assert (tmp_path / "f").read_text() == "old"


def test_a_forked_child_leaves_its_parents_file_alone(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import os, sys
        from clustrix import ClusterConfig, ClusterFilesystem
        place = ClusterFilesystem(ClusterConfig(local_work_dir=sys.argv[1]))
        with place.open("f", "w") as file:
            file.write("new")
            file.flush()
            child = os.fork()
            if child == 0:
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
    """)
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(tmp_path)], check=True)
    assert os.listdir(tmp_path) == ["f"]
    assert (tmp_path / "f").read_text() == "new"


@pytest.mark.parametrize(("groups", "mode", "gid"), [([50], 0o660, 50), ([], 0o600, 100)])
def test_group_rights_stay_with_the_group(place, tmp_path: Path, groups: list, mode: int, gid: int) -> None:
    (tmp_path / "f").write_text("old")
    os.chown(tmp_path / "f", 65534, 50)
    (tmp_path / "f").chmod(0o660)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o777)  # which leaves /tmp its sticky bit
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(100)
    os.seteuid(65534)
    try:
        with place.open("f", "w") as file:
            file.write("new")
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)
    status = (tmp_path / "f").stat()
    assert (status.st_mode & 0o777, status.st_gid) == (mode, gid)


def test_a_path_as_long_as_can_be_is_written_too(tmp_path: Path) -> None:
    folder = str(tmp_path)
    while len(folder) + 200 < 4093:
        folder += "/" + "d" * 199
    os.makedirs(folder + "/" + "d" * (4092 - len(folder) - 1 - 1))
    path = (folder + "/" + "d" * (4092 - len(folder) - 2)) + "/f"
    place = ClusterFilesystem(ClusterConfig())
    with place.open(path, "w") as file:
        file.write("text")
    with place.open(path) as file:
        assert file.read() == "text"


def test_a_script_stays_executable(place, tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("")
    (tmp_path / "run.sh").chmod(0o755)
    place.put(tmp_path / "run.sh", "copy.sh")
    assert (tmp_path / "copy.sh").stat().st_mode & 0o777 == 0o755 & ~0o022


def test_a_failed_commit_names_the_file_and_closes_it(place, tmp_path: Path) -> None:
    file = place.open("f", "x")
    (tmp_path / "f").write_text("theirs")
    with pytest.raises(FileExistsError) as raised:
        file.close()
    assert raised.value.filename == "f"
    assert file.closed


def test_a_lost_temporary_file_hides_no_exception(place, tmp_path: Path) -> None:
    with pytest.raises(KeyError), place.open("f", "w"):
        (tmp_path / os.listdir(tmp_path)[0]).unlink()
        raise KeyError


def test_a_detached_file_is_dropped(place, tmp_path: Path) -> None:
    file = place.open("f", "w")
    file.write("text")
    buffer = file.detach()
    with pytest.warns(ResourceWarning, match="unclosed file"):
        del file, buffer
        gc.collect()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mode", ["r", "rb", "w", "wb", "a"])
def test_a_file_is_named_as_it_was_given(place, tmp_path: Path, mode: str) -> None:
    (tmp_path / "f").write_text("")
    with place.open("f", mode) as file:
        assert file.name == "f"
