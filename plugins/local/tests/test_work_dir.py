"""Where the local backend's relative paths begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from clustrix_core import ClusterConfig, ClusterFilesystem


def test_without_a_work_dir_paths_begin_where_the_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ClusterFilesystem(ClusterConfig(cluster_type="local")) as fs:
        for name in ("one", "two"):
            (tmp_path / name / name).mkdir(parents=True)
            monkeypatch.chdir(tmp_path / name)
            assert fs.ls() == [name]
            assert fs.find("*", type="d") == [name]


def test_with_a_work_dir_paths_begin_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir("/")
    with ClusterFilesystem(ClusterConfig(cluster_type="local", local_work_dir=str(tmp_path))) as fs:
        assert fs.ls() == ["file"]
        assert fs.glob("*") == ["file"]
