"""What runs on the far side, under every Python from 3.6 on that this machine has."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig, ClusterFilesystem, cluster
from clustrix_core.session import pool
from fakedist import FakeSite

PIPES = """
from pydantic import ConfigDict
from clustrix_core import API_VERSION
from clustrix_core.jobs.hooks import SupervisedJobs
from clustrix_core.remote import PipeChannel, RemoteBackend, RemoteConfig

class PipesConfig(RemoteConfig):
    model_config = ConfigDict(extra="forbid")

class Pipes(RemoteBackend, SupervisedJobs):
    api_version = API_VERSION
    config_model = PipesConfig

    def open_channel(self, command):
        return PipeChannel(["sh", "-c", command])
"""


def pythons() -> Iterator[str]:
    """Those on the PATH, those installed beside this one (as pyenv and uv do), and this one."""
    beside = Path(sys.base_prefix).parent
    found = {}
    for minor in range(6, 30):
        name = f"python3.{minor}"
        for path in (*map(str, beside.glob(f"*/bin/{name}")), shutil.which(name)):
            if path and minor not in found and _is(path, minor):
                found[minor] = path
    found[sys.version_info[1]] = sys.executable
    return iter(found.values())


def _is(path: str, minor: int) -> bool:
    """Whether it is what it is called: pyenv puts stand-ins on the PATH, which may lead nowhere."""
    done = subprocess.run([path, "-I", "-V"], capture_output=True, text=True)
    return done.stdout.startswith(f"Python 3.{minor}.")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSite]:
    with FakeSite(tmp_path_factory.mktemp("site")) as site:
        site.add("clustrix-pipes", "1.0", backends={"pipes": "pipes:Pipes"}, modules={"pipes": PIPES})
        yield site
        pool.close()


@pytest.fixture(params=pythons(), ids=lambda path: Path(path).name)
def there(request: pytest.FixtureRequest, site: FakeSite, tmp_path: Path) -> Iterator[ClusterConfig]:
    tree = tmp_path / "tree"
    (tree / "folder" / "inner").mkdir(parents=True)
    (tree / "folder" / "data.csv").write_bytes(b"1,2\n" * 1000)
    (tree / "folder" / "odd \udcff\n name").write_bytes(b"x")
    (tree / "link").symlink_to("folder")
    (tree / "lost").symlink_to("nowhere")
    yield ClusterConfig(cluster_type="pipes", remote_work_dir=str(tree), remote_python=request.param)
    pool.close()


def test_files(there: ClusterConfig, tmp_path: Path) -> None:
    root = str(there.remote_work_dir)
    with ClusterFilesystem(there) as far, ClusterFilesystem(ClusterConfig(local_work_dir=root)) as near:
        for place in (far, near):
            place.put(__file__, "copy")
            place.get("copy", tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == Path(__file__).read_bytes()
            with place.open("written", "w") as file:
                file.write("text")
            with place.open("written") as file:
                assert file.read() == "text"
        assert far.ls(detail=True) == near.ls(detail=True)
        assert far.find("*", detail=True) == near.find("*", detail=True)
        assert far.stat(["folder", "link"]) == near.stat(["folder", "link"])
        assert far.glob("**/*.csv") == near.glob("**/*.csv") == ["folder/data.csv"]
        assert far.du() == near.du()
        assert far.count_files() == near.count_files()
        assert far.readlink("link") == "folder"
        assert [far.exists("lost"), far.isdir("link"), far.isfile("copy")] == [False, True, True]
        for operation in (far.ls, near.ls):
            with pytest.raises(FileNotFoundError):
                operation("missing")


def test_jobs(there: ClusterConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions have this Python; what submits, supervises and cancels them has the other."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    config = there.model_copy(update={"python_executable": sys.executable})

    @cluster(config=config)
    def lines(name: str) -> int:
        return len(Path(name).read_text().splitlines())

    @cluster(config=config)
    def sleep() -> None:
        import time

        time.sleep(300)

    assert lines("folder/data.csv") == 1000
    assert list(lines.map(["folder/data.csv"] * 3)) == [1000] * 3
    with pytest.raises(FileNotFoundError):
        lines("missing")
    job = sleep.submit()
    job.cancel()
    assert job.cancelled()
