"""`open`, `get` and `put`: whole files or none, and the bytes that were written."""

from __future__ import annotations

import io
from contextlib import suppress
from errno import EACCES, EEXIST, EISDIR, ENOENT, ENOTDIR
from hashlib import sha256
from pathlib import Path

import pytest

from clustrix_core.errors import UnsupportedOperationError
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.testing.asking import Gardener, Truth, packed
from clustrix_core.testing.place import Place
from clustrix_core.testing.suite.base import SuiteBase, expect, raises, refuses
from clustrix_core.testing.suite.errors import as_stranger
from clustrix_core.testing.suite.matching import NAMES

LARGE = bytes(range(256)) * 4 * 5120 + b"tail"  # 5 MiB and a bit
OLD = b"old content\n"


class Interrupted(Exception):  # noqa: N818
    """What goes wrong in the middle of writing."""


class FileTests(SuiteBase):
    @pytest.fixture
    def files(self, fs: ClusterFilesystem, place: Place) -> ClusterFilesystem:
        """The filesystem, for tests that only make sense where files can be read and written."""
        if not place.has("files"):
            pytest.skip("the backend declares the capability 'files' as missing")
        return fs

    @pytest.fixture
    def folder(self, files: ClusterFilesystem, scratch: str, gardener: Gardener) -> str:
        """A folder in which to read and write."""
        gardener.plant(
            scratch, [("file", "old", OLD.decode()), ("folder", "sub", ""), ("link", "link", "old")]
        )
        return scratch

    def test_files_work_or_are_declared_missing(
        self, fs: ClusterFilesystem, place: Place, tmp_path: Path
    ) -> None:
        if place.has("files"):
            with fs.open("project/top.csv") as file:
                expect(file.read(), "top.csv", "open reads a file")
            return
        (tmp_path / "source").write_bytes(b"")
        with raises(UnsupportedOperationError, "open, which is declared missing, says so"):
            fs.open("project/top.csv")
        with raises(UnsupportedOperationError, "get, which is declared missing, says so"):
            fs.get("project/top.csv", tmp_path / "target")
        with raises(UnsupportedOperationError, "put, which is declared missing, says so"):
            fs.put(tmp_path / "source", "new")

    # Reading

    def test_open_reads_text_and_bytes(
        self, files: ClusterFilesystem, folder: str, gardener: Gardener
    ) -> None:
        gardener.plant(folder, [("file", "text", "één\r\ntwee\n"), ("file", "raw", "\x00\udcff\r\n")])
        with files.open(f"{folder}/text") as file:
            expect(list(file), ["één\n", "twee\n"], "open reads text: UTF-8, lines ended by \\n")
        with files.open(f"{folder}/text", newline="") as file:
            expect(file.read(), "één\r\ntwee\n", "newline='' keeps the ends of lines")
        with files.open(f"{folder}/raw", encoding="latin-1", newline="") as file:
            expect(file.read(), "\x00ÿ\r\n", "open takes an encoding")
        with files.open(f"{folder}/raw", "rb") as file:
            expect(file.read(), b"\x00\xff\r\n", "mode rb gives the bytes as they are")
        with raises(UnicodeDecodeError, "open decodes strictly"), files.open(f"{folder}/raw") as file:
            file.read()
        with files.open(f"{folder}/raw", errors="replace", newline="") as file:
            expect(file.read(), "\x00\ufffd\r\n", "open takes a way to handle encoding errors")

    def test_open_reads_anywhere(self, files: ClusterFilesystem, folder: str, gardener: Gardener) -> None:
        with files.open(f"{folder}/old", "rb") as file:
            expect(file.seek(4), 4, "a file can be sought")
            expect(file.read(3), b"con", "a file is read from where it was sought")
            expect(file.tell(), 7, "a file knows where it is")
            file.seek(-4, io.SEEK_END)
            expect(file.read(), b"ent\n", "a file is sought from its end")
            expect(file.read(), b"", "at the end there is nothing more")
            can = (file.readable(), file.writable())
            expect(can, (True, False), "a file that is open for reading is readable, and not writable")
            with raises(io.UnsupportedOperation, "a file that is open for reading is not written"):
                file.write(b"x")

    def test_open_reads_sizes_over_4_gib(self, files: ClusterFilesystem) -> None:
        with files.open("sizes/sparse", "rb") as file:
            file.seek(5 * 2**30 - 1)
            expect(file.read(), b"\0\0", "a file is read beyond 4 GiB")

    def test_open_reads_through_links(self, files: ClusterFilesystem, folder: str) -> None:
        with files.open(f"{folder}/link", "rb") as file:
            expect(file.read(), OLD, "a link is followed")

    # Writing

    @pytest.mark.parametrize("content", [b"", b"new", LARGE], ids=["empty", "small", "large"])
    def test_open_writes_what_it_is_given(
        self, files: ClusterFilesystem, truth: Truth, folder: str, content: bytes
    ) -> None:
        for name in ("new", "old"):
            with files.open(f"{folder}/{name}", "wb") as file:
                file.write(content)
            digest = truth("digest", path=f"{folder}/{name}")
            expect(digest, sha256(content).hexdigest(), "the file holds exactly what was written")
            with files.open(f"{folder}/{name}", "rb") as file:
                expect(file.read(), content, "what was written is read again")
        self.check_folder(truth, folder, ["link", "new", "old", "sub"])

    def test_open_writes_text(self, files: ClusterFilesystem, truth: Truth, folder: str) -> None:
        with files.open(f"{folder}/new", "w") as file:
            file.write("één\n")
            print("twee", file=file)
        expect(truth("content", path=f"{folder}/new"), "één\ntwee\n", "text is written as UTF-8")

    def test_open_appends(self, files: ClusterFilesystem, truth: Truth, folder: str) -> None:
        for name in ("old", "new"):
            for text in ("1", "2"):
                with files.open(f"{folder}/{name}", "a") as file:
                    file.write(text)
        expect(truth("content", path=f"{folder}/old"), OLD.decode() + "12", "mode a adds at the end")
        expect(truth("content", path=f"{folder}/new"), "12", "mode a makes the file")

    def test_open_updates_in_place(
        self, files: ClusterFilesystem, truth: Truth, place: Place, folder: str
    ) -> None:
        with files.open(f"{folder}/old", "r+b") as file:
            expect(file.read(3), b"old", "mode r+ reads")
            file.seek(0)
            file.write(b"NEW")
            file.seek(0)
            expect(file.read(), b"NEW content\n", "mode r+ reads what it wrote")
        expect(
            truth("content", path=f"{folder}/old"), "NEW content\n", "mode r+ changes what is written over"
        )
        with refuses(place, ENOENT, "mode r+ makes no file"):
            files.open(f"{folder}/new", "r+")

    def test_open_x_makes_new_files_only(
        self, files: ClusterFilesystem, truth: Truth, place: Place, folder: str
    ) -> None:
        with files.open(f"{folder}/new", "x") as file:
            file.write("first")
        expect(truth("content", path=f"{folder}/new"), "first", "mode x makes a file")
        for name in ("new", "old", "link"):
            before = truth("content", path=f"{folder}/{name}")
            with (
                refuses(place, EEXIST, f"mode x refuses {name!r}, which is there"),
                files.open(f"{folder}/{name}", "x") as file,
            ):
                file.write("second")
            expect(truth("content", path=f"{folder}/{name}"), before, "mode x leaves what is there alone")
        self.check_folder(truth, folder, ["link", "new", "old", "sub"])

    def test_open_w_shows_no_half_file(self, files: ClusterFilesystem, truth: Truth, folder: str) -> None:
        for path in (f"{folder}/old", f"{folder}/new"):
            before = truth.all([{"ask": "content", "path": path}])
            with files.open(path, "wb") as file:
                file.write(LARGE)
                file.flush()
                during = truth.all([{"ask": "content", "path": path}])
                expect(repr(during), repr(before), "until it is closed a file is as it was, or not there")
            whole = sha256(LARGE).hexdigest()
            expect(truth("digest", path=path), whole, "closing shows the file, whole")

    @pytest.mark.parametrize("name", ["old", "new", "link"])
    @pytest.mark.parametrize("mode", ["wb", "w"])
    def test_open_w_left_by_an_exception_changes_nothing(
        self, files: ClusterFilesystem, truth: Truth, folder: str, name: str, mode: str
    ) -> None:
        with suppress(Interrupted), files.open(f"{folder}/{name}", mode) as file:
            file.write("half" if mode == "w" else LARGE)
            raise Interrupted
        self.check_folder(truth, folder, ["link", "old", "sub"])
        expect(
            truth("content", path=f"{folder}/old"),
            OLD.decode(),
            "an exception inside `with` keeps the old content",
        )

    def test_open_w_keeps_the_mode_of_a_file(
        self, files: ClusterFilesystem, truth: Truth, gardener: Gardener, folder: str
    ) -> None:
        for mode in (0o600, 0o640, 0o755):
            gardener.plant(folder, [("mode", "old", oct(mode))])
            with files.open(f"{folder}/old", "w") as file:
                file.write("new")
            made = truth("stats", path=f"{folder}/old")[3]
            expect(oct(made & 0o7777), oct(mode), "writing keeps a file's permissions")

    def test_open_w_gives_a_new_file_the_usual_mode(
        self, files: ClusterFilesystem, truth: Truth, folder: str
    ) -> None:
        for mode in ("a", "w", "x"):
            files.open(f"{folder}/{mode}", mode).close()
        modes = [truth("stats", path=f"{folder}/{mode}")[3] for mode in "awx"]
        expect(
            modes, [modes[0]] * 3, "modes w and x leave a new file with the permissions that the umask allows"
        )

    def test_open_w_writes_through_links(self, files: ClusterFilesystem, truth: Truth, folder: str) -> None:
        with files.open(f"{folder}/link", "w") as file:
            file.write("through")
        expect(
            truth("content", path=f"{folder}/old"), "through", "writing to a link writes what it points to"
        )
        expect(truth("readlink", path=f"{folder}/link"), "old", "the link stays a link")

    def test_open_takes_odd_names(self, files: ClusterFilesystem, truth: Truth, folder: str) -> None:
        for name in NAMES:
            with files.open(f"{folder}/sub/{name}", "w", errors="surrogateescape") as file:
                file.write(name)
        questions: list[dict[str, object]] = [
            {"ask": "content", "path": f"{folder}/sub/{name}"} for name in NAMES
        ]
        expect(truth.all(questions), NAMES, "every name that a file can have can be written")
        expect(set(truth("ls", path=f"{folder}/sub")), set(NAMES), "nothing else is made")

    @pytest.mark.parametrize(
        ("path", "mode", "code"),
        [
            ("missing", "r", ENOENT),
            ("missing/new", "r", ENOENT),
            ("missing/new", "w", ENOENT),
            ("missing/new", "x", ENOENT),
            ("missing/new", "a", ENOENT),
            ("old/new", "r", ENOTDIR),
            ("old/new", "w", ENOTDIR),
            ("sub", "r", EISDIR),
            ("sub", "w", EISDIR),
            ("sub", "a", EISDIR),
            ("sub", "r+", EISDIR),
        ],
    )
    def test_open_of_what_is_no_file_raises(
        self, files: ClusterFilesystem, place: Place, folder: str, path: str, mode: str, code: int
    ) -> None:
        path = f"{folder}/{path}"
        with refuses(place, code, f"open({path!r}, {mode!r}) raises as open does", path):
            files.open(path, mode).close()

    def test_open_of_what_may_not_be_read_or_written_raises(
        self, files: ClusterFilesystem, place: Place, locked: None
    ) -> None:
        denied = [
            ("locked/private.csv", "r"),
            ("locked/secret/known.csv", "r"),
            ("locked/enter-only/new", "w"),
            ("locked/enter-only/new", "x"),
        ]
        with as_stranger(place) as stranger:
            for path, mode in denied:
                with refuses(place, EACCES, f"open({path!r}, {mode!r}) raises PermissionError"):
                    stranger.open(path, mode).close()

    @pytest.mark.parametrize("mode", ["", "q", "rw", "rbt", "w+x"])
    def test_open_refuses_unknown_modes(self, files: ClusterFilesystem, mode: str) -> None:
        with raises(ValueError, f"open refuses the mode {mode!r}", saying="mode"):
            files.open("project/top.csv", mode).close()

    # get and put

    @pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "large"])
    def test_put_and_get_carry_files_whole(
        self, files: ClusterFilesystem, truth: Truth, folder: str, tmp_path: Path, content: bytes
    ) -> None:
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(content)
        for name in ("new", "old"):
            expect(files.put(source, f"{folder}/{name}"), len(content), "put returns the number of bytes")
            digest = truth("digest", path=f"{folder}/{name}")
            expect(digest, sha256(content).hexdigest(), "put makes an exact copy, by its SHA-256")
            expect(files.get(f"{folder}/{name}", target), len(content), "get returns the number of bytes")
            expect(target.read_bytes(), content, "get makes an exact copy")
        self.check_folder(truth, folder, ["link", "new", "old", "sub"])
        expect(
            sorted(path.name for path in tmp_path.iterdir()),
            ["source", "target"],
            "get leaves nothing else behind",
        )

    def test_put_and_get_take_odd_names(
        self, files: ClusterFilesystem, truth: Truth, folder: str, tmp_path: Path
    ) -> None:
        source, target = tmp_path / "source", tmp_path / "target"
        for name in NAMES:
            source.write_bytes(packed(name).encode("latin-1"))
            files.put(source, f"{folder}/sub/{name}")
            files.get(f"{folder}/sub/{name}", target)
            expect(target.read_bytes(), source.read_bytes(), f"put and get take the name {name!r}")
        expect(
            set(truth("ls", path=f"{folder}/sub")), set(NAMES), "put makes exactly the names that it is given"
        )

    def test_put_and_get_place_files_inside_a_folder(
        self, files: ClusterFilesystem, truth: Truth, folder: str, tmp_path: Path
    ) -> None:
        (tmp_path / "source").write_bytes(b"new")
        for path in (f"{folder}/sub", f"{folder}/sub/"):
            files.put(tmp_path / "source", path)
            expect(
                truth("content", path=f"{folder}/sub/source"),
                "new",
                f"put to the folder {path!r} goes inside",
            )
        (tmp_path / "here").mkdir()
        files.get(f"{folder}/old", tmp_path / "here")
        expect((tmp_path / "here" / "old").read_bytes(), OLD, "get to a folder goes inside")

    def test_put_keeps_the_mode_of_a_file_and_writes_through_links(
        self, files: ClusterFilesystem, truth: Truth, gardener: Gardener, folder: str, tmp_path: Path
    ) -> None:
        (tmp_path / "source").write_bytes(b"new")
        gardener.plant(folder, [("mode", "old", "0o640")])
        files.put(tmp_path / "source", f"{folder}/link")
        expect(truth("content", path=f"{folder}/old"), "new", "put to a link writes what it points to")
        expect(truth("readlink", path=f"{folder}/link"), "old", "the link stays a link")
        made = truth("stats", path=f"{folder}/old")[3]
        expect(oct(made & 0o7777), oct(0o640), "put keeps a file's permissions")

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o777])
    def test_put_and_get_give_a_new_file_the_mode_of_the_source(
        self,
        files: ClusterFilesystem,
        truth: Truth,
        gardener: Gardener,
        folder: str,
        tmp_path: Path,
        mode: int,
    ) -> None:
        here, there = tmp_path / "source", f"{folder}/new"
        here.write_bytes(b"new")
        here.chmod(mode)
        files.put(here, there)
        files.open(f"{folder}/usual", "a").close()
        put, usual = (truth("stats", path=path)[3] for path in (there, f"{folder}/usual"))
        check_new_mode(put, mode, usual, "put")
        gardener.plant(folder, [("mode", "old", oct(mode))])
        files.get(f"{folder}/old", tmp_path / "target")
        (tmp_path / "usual").touch()
        got, usual = ((tmp_path / name).stat().st_mode for name in ("target", "usual"))
        check_new_mode(got, mode, usual, "get")

    def test_get_follows_links(self, files: ClusterFilesystem, folder: str, tmp_path: Path) -> None:
        files.get(f"{folder}/link", tmp_path / "target")
        expect((tmp_path / "target").read_bytes(), OLD, "get follows a link")
        expect((tmp_path / "target").is_symlink(), False, "get copies what the link points to")

    def test_get_and_put_report_progress(self, files: ClusterFilesystem, folder: str, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(LARGE)
        sent: list[tuple[int, int | None]] = []
        received: list[tuple[int, int | None]] = []
        files.put(
            tmp_path / "source", f"{folder}/new", progress=lambda done, total: sent.append((done, total))
        )
        files.get(
            f"{folder}/new", tmp_path / "target", progress=lambda done, total: received.append((done, total))
        )
        for name, seen in (("put", sent), ("get", received)):
            expect(bool(seen), True, f"{name} calls progress")
            counts = [done for done, _ in seen]
            expect(counts, sorted(counts), f"{name}'s progress never goes back")
            expect(seen[-1], (len(LARGE), len(LARGE)), f"{name}'s progress ends at the total")

    def test_get_and_put_of_what_is_missing_raise(
        self, files: ClusterFilesystem, place: Place, truth: Truth, folder: str, tmp_path: Path
    ) -> None:
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(b"new")
        with refuses(place, ENOENT, "get of a missing file raises", f"{folder}/missing"):
            files.get(f"{folder}/missing", target)
        with refuses(place, EISDIR, "get of a folder raises"):
            files.get(f"{folder}/sub", target)
        with raises(FileNotFoundError, "get into a missing folder raises"):
            files.get(f"{folder}/old", tmp_path / "missing" / "target")
        with raises(FileNotFoundError, "put of a missing file raises"):
            files.put(tmp_path / "missing", f"{folder}/new")
        with raises(IsADirectoryError, "put of a folder raises"):
            files.put(tmp_path, f"{folder}/new")
        with refuses(place, ENOENT, "put into a missing folder raises"):
            files.put(source, f"{folder}/missing/new")
        with refuses(place, ENOTDIR, "put below a file raises"):
            files.put(source, f"{folder}/old/new")
        expect(target.exists(), False, "a get that failed leaves nothing behind")
        self.check_folder(truth, folder, ["link", "old", "sub"])

    def check_folder(self, truth: Truth, folder: str, names: list[str]) -> None:
        expect(truth("ls", path=folder), names, "no temporary file is left behind, and nothing is missing")


def check_new_mode(made: int, source: int, usual: int, operation: str) -> None:
    """A copy has the source's permissions under the umask, which shows in the mode of a usual new file."""
    promise = f"{operation} gives a new file the source's permissions, {source:o}, under the umask"
    expect(oct(made & 0o666), oct(source & usual & 0o666), promise)
    expect(made & 0o100, source & 0o100, f"{promise}: a script stays executable")
