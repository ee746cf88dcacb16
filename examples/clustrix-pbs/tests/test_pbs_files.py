"""The nine operations over SSH and here, and programs that are run there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clustrix_core import ClusterConfig, ClusterFilesystem, ConfigError, DiskUsage
from clustrix_core.testing.servers import SshServer
from clustrix_pbs import PbsBackend, PbsConfig, PbsError

FILES = {"data/a.csv": "time,value\n", "data/b.txt": "hi\n", "data/deep/.c.csv": ""}


@pytest.fixture(scope="module")
def server() -> Iterator[SshServer]:
    with SshServer() as server:
        yield server


def there(server: SshServer) -> dict[str, object]:
    account = server.accounts["key"]
    return {
        "cluster_type": "pbs",
        "cluster_host": server.host,
        "cluster_port": server.port,
        "username": account.name,
        "key_file": str(account.key_file),
        "known_hosts_file": str(server.known_hosts),
        "ssh_config_file": "none",
        "use_agent": False,
        "remote_work_dir": account.home,
    }


@pytest.fixture(params=["ssh", "here"])
def fields(request, server, tmp_path, monkeypatch) -> dict[str, object]:
    """Of a config that leads to an empty home folder, there or here."""
    if request.param == "ssh":
        return there(server)
    qsub = tmp_path / "bin" / "qsub"  # that there is one is all that is looked at
    qsub.parent.mkdir()
    qsub.touch(0o755)
    monkeypatch.setenv("PATH", str(qsub.parent), prepend=":")
    monkeypatch.setenv("HOME", str(tmp_path))
    return {"cluster_type": "pbs", "remote_work_dir": str(tmp_path)}


def test_the_nine_operations(fields) -> None:
    backend = PbsBackend(PbsConfig(**fields))
    assert backend.run(["mkdir", "-p", "data/deep"]).status == 0
    backend.close()
    with ClusterFilesystem(ClusterConfig(**fields)) as fs:
        for path, text in FILES.items():
            with fs.open(path, "w") as file:
                file.write(text)
        assert fs.ls("data") == ["a.csv", "b.txt", "deep"]
        assert fs.find("*.csv", "data") == ["data/a.csv", "data/deep/.c.csv"]
        assert fs.stat("data/a.csv").size == 11
        assert [fs.exists("data/a.csv"), fs.isdir("data/deep"), fs.isfile("data/deep")] == [True, True, False]
        assert fs.glob("*.{csv,txt}", "data") == ["data/a.csv", "data/b.txt"]
        assert fs.du("data") == DiskUsage(total_bytes=14, file_count=3)
        assert fs.count_files("data", "*.csv") == 2
        with pytest.raises(FileNotFoundError):
            fs.ls("nowhere")


def test_commands_that_are_not_there(server) -> None:
    backend = PbsBackend(PbsConfig(pbs_exec="/opt/no-pbs", **there(server)))
    with pytest.raises(PbsError, match="no /opt/no-pbs/bin/qsub there"):
        backend.pbs.submit("true")
    backend.close()


def test_here_is_no_cluster(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=r"'pbs' without a cluster_host.*no qsub on the PATH"):
        ClusterFilesystem(ClusterConfig(cluster_type="pbs")).ls()
