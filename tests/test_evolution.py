"""Plugins of earlier versions of the contract go on working; what they lack is an error, never lost.

The files in `tests/frozen` are what authors wrote for a version of the contract. They are never changed: when
the contract grows, files for the new version come beside them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from clustrix_core import ClusterConfig, ClusterFilesystem, hookspecs, validation
from clustrix_core.discovery import load_backend
from clustrix_core.errors import (
    BackendIncompatibleError,
    PluginDeprecationWarning,
    UnsupportedOperationError,
)
from clustrix_core.hookspecs import hookspec
from clustrix_core.session import pool
from clustrix_core.testing import BackendSuite, Place, local_place
from fakedist import FakeSite

FROZEN = Path(__file__).parent / "frozen"
CONTENTS = {
    "channel_1": "b6a45f19d6ee46015e15221ddcdcc9a05a39fd92c83ff0273a3ff3a24b7cdf4e",
    "extension_1": "fb9040d0d66654b3422e31a61cb8c1ab8eb82e4875bb5c9c7239fe478bfbd8f0",
    "scratch_1": "7fbbd589c8eb05fc463b72b224436c5292eadad2b01b31ec05ce44363d71edf0",
}


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSite]:
    with FakeSite(tmp_path_factory.mktemp("site")) as site:
        site.add(
            "clustrix-frozen",
            "1.0",
            backends={"channel": "channel_1:ChannelBackend", "scratch": "scratch_1:ScratchBackend"},
            extensions={"recorder": "extension_1:Recorder"},
            modules={name: (FROZEN / f"{name}.py").read_text() for name in CONTENTS},
        )
        yield site
        pool.close()


@pytest.mark.parametrize("name", CONTENTS)
def test_frozen_files_stay_as_they_are(name: str) -> None:
    assert sha256((FROZEN / f"{name}.py").read_bytes()).hexdigest() == CONTENTS[name]
    assert {file.stem for file in FROZEN.glob("*.py")} == CONTENTS.keys()


@pytest.fixture(scope="module")
def place(frozen: FakeSite) -> Iterator[Place]:
    def config(root: str) -> ClusterConfig:
        folder, user = os.path.split(root)
        return ClusterConfig(cluster_type="scratch", scratch_root=folder, username=user)

    with local_place(config, missing=frozenset({"files", "readlink"})) as place:
        yield place


class TestScratchOfVersion1(BackendSuite):
    pass


def test_a_channel_of_version_1(frozen: FakeSite, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    config = ClusterConfig(cluster_type="channel", remote_work_dir=str(tmp_path), dead_after=20)
    with ClusterFilesystem(config) as there:
        assert there.find("*") == ["a.csv"]
        assert there.put(tmp_path / "a.csv", "b.csv") == 1
        assert there.du().file_count == 2


def test_an_extension_of_version_1(frozen: FakeSite, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    with ClusterFilesystem(ClusterConfig(local_work_dir=str(tmp_path), extensions=("recorder",))) as here:
        here.find("*.csv")
        here.stat("a.csv")
    import extension_1

    assert extension_1.seen == [("local", "*.csv", ".", 1, None), ("local", "a.csv")]


# --- an argument that a later version brings


@pytest.fixture
def version_2(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The contract as it might be one day: `isdir` has an argument more, and there is a hook more."""

    @hookspec(firstresult=True)
    def clustrix_isdir(path: str, follow_symlinks: bool) -> bool:  # type: ignore[empty-body]
        """As ever, but for links that aren't followed."""

    monkeypatch.setattr(hookspecs, "API_VERSION", 2)
    monkeypatch.setattr(hookspecs, "clustrix_isdir", clustrix_isdir)
    monkeypatch.setitem(hookspecs.ADDED, ("clustrix_isdir", "follow_symlinks"), (2, True))
    load_backend.cache_clear()
    pool.close()
    yield
    load_backend.cache_clear()
    pool.close()


def ask(there: ClusterFilesystem, **arguments: Any) -> Any:
    return there._call("clustrix_isdir", path=".", **arguments)


def test_a_backend_of_version_1_does_without_the_argument(
    frozen: FakeSite, version_2: None, tmp_path: Path
) -> None:
    with ClusterFilesystem(ClusterConfig(cluster_type="channel", remote_work_dir=str(tmp_path))) as there:
        assert ask(there, follow_symlinks=True) is True
        message = (
            "'channel' is older than the argument 'follow_symlinks' of isdir: leave it at True, or upgrade"
        )
        with pytest.raises(UnsupportedOperationError, match=message):
            ask(there, follow_symlinks=False)


def test_a_backend_of_version_2_has_to_take_it(frozen: FakeSite, version_2: None, tmp_path: Path) -> None:
    source = (FROZEN / "channel_1.py").read_text().replace("api_version = 1", "api_version = 2")
    takes = source + (
        "\n    from clustrix_core import hookimpl\n\n    @hookimpl\n"
        "    def clustrix_isdir(self, path, follow_symlinks):\n        return follow_symlinks\n"
    )
    names = {"takes": "takes:ChannelBackend", "lacks": "lacks:ChannelBackend"}
    with FakeSite(tmp_path) as site:
        site.add("clustrix-later", "2.0", backends=names, modules={"takes": takes, "lacks": source})
        with ClusterFilesystem(ClusterConfig(cluster_type="takes")) as there:
            assert [ask(there, follow_symlinks=follow) for follow in (True, False)] == [True, False]
        with pytest.raises(BackendIncompatibleError, match="`clustrix_isdir` doesn't take `follow_symlinks`"):
            load_backend("lacks")


# --- versions that go


@pytest.mark.parametrize("warned_before", [1, 2])
def test_a_version_that_will_go_is_warned_of_with_the_distribution(
    frozen: FakeSite, monkeypatch: pytest.MonkeyPatch, warned_before: int
) -> None:
    monkeypatch.setattr(validation, "OLDEST_WITHOUT_WARNING", warned_before)
    load_backend.cache_clear()
    message = r"^clustrix-frozen 1\.0 was written for plugin API 1, .* upgrade it, or tell its authors$"
    expected = pytest.warns(PluginDeprecationWarning, match=message) if warned_before > 1 else nullcontext()
    with expected:
        load_backend("channel")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_backend("channel")  # once for a process


def test_a_version_that_is_gone_is_refused(frozen: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "OLDEST_API_VERSION", 2)
    load_backend.cache_clear()
    with pytest.raises(BackendIncompatibleError, match=r"upgrade the plugin \(clustrix-frozen 1\.0 "):
        load_backend("channel")
