"""What there is on a cluster: asked of a real controller, as a function and as a command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig, ClusterFilesystem
from clustrix_core.errors import ConfigError, ConnectionFailedError, OperationTimeoutError
from clustrix_core.testing.servers import SlurmCluster
from clustrix_slurm import Node, cluster_info, scontrol
from clustrix_slurm.command import _row, _rows

Configure = Callable[..., ClusterConfig]


def test_partitions_and_nodes(configure: Configure) -> None:
    found = cluster_info(configure())
    assert (found.name, found.has_accounting, found.modules) == ("testbed", False, None)
    assert found.slurm_version[0].isdigit()
    assert found.max_array_size == 1001
    debug, short, closed = found.partitions
    assert (debug.name, debug.is_default, debug.state, debug.max_time) == ("debug", True, "UP", None)
    assert (debug.total_nodes, debug.total_cpus, debug.nodes) == (2, 8, "c[1-2]")
    assert (short.max_time, short.default_time, short.max_nodes) == (1800, 300, 1)
    assert (short.max_memory_per_node, short.allowed_accounts) == (2000, None)
    assert (closed.state, closed.max_time) == ("DOWN", 86400)
    first, second = found.nodes
    assert (first.name, first.features, first.gres) == ("c1", ("fast", "ssd"), ("gpu:tesla:2",))
    assert (second.cpus, second.memory, second.features, second.gres) == (4, 4000, (), ())
    assert second.partitions == ("debug", "closed")


def test_states_and_reasons(cluster: SlurmCluster, configure: Configure) -> None:
    update = ["scontrol", "update", "nodename=c2"]
    assert not cluster.namespace.run([*update, "state=drain", "reason=disk State=GONE 'x'"]).returncode
    try:
        node = cluster_info(configure()).nodes[1]
        assert node.states == ("IDLE", "DRAIN")
        assert node.reason is not None
        assert node.reason.startswith("disk")
    finally:
        cluster.namespace.run([*update, "state=resume"])


def test_it_takes_the_connection_and_the_environment_that_there_are(
    cluster: SlurmCluster, configure: Configure
) -> None:
    before = cluster.logins()
    config = configure(module_loads=["compiler"])
    with ClusterFilesystem(config) as fs:
        assert fs.exists(".")
        assert cluster_info(config, modules="LIB").modules == ("library/4",)
        assert fs.exists(".")
    assert cluster.logins() - before == 1
    assert cluster_info(configure(), modules="lib").modules == ()
    assert cluster_info(configure(), modules="tool").modules == ("tool/1.0", "tool/2.0")


def test_environment_modules_are_listed(configure: Configure) -> None:
    with SlurmCluster(modules="environment-modules") as cluster:
        assert cluster_info(configure(at=cluster), modules="oo").modules == ("tool/1.0",)


def test_a_controller_that_is_down(configure: Configure, without_controller: None) -> None:
    with pytest.raises(ConnectionFailedError, match=r"controller doesn't answer: .*Unable to contact"):
        cluster_info(configure())


def test_what_fails_is_told(configure: Configure) -> None:
    with pytest.raises(ConfigError, match="the module 'broken' doesn't load"):
        cluster_info(configure(module_loads=["broken"]))
    with pytest.raises(ConfigError, match="no scontrol on the PATH"):
        cluster_info(configure(pre_execution_commands=["PATH=/nowhere"]))
    with pytest.raises(OperationTimeoutError, match="no answer within 1 s"):
        cluster_info(configure(pre_execution_commands=["sleep 1000"], op_timeout=1))
    with pytest.raises(ConnectionFailedError, match="sftp connections only|No command can be run"):
        cluster_info(configure("sftp"))
    with pytest.raises(ConfigError, match="'local' is no SLURM cluster"):
        cluster_info(ClusterConfig(cluster_type="local"))


@pytest.fixture
def clustrix(
    cluster: SlurmCluster, home: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command, where the profile `cluster` leads to the cluster."""
    fields = configure().model_dump(exclude_unset=True)
    (home / "clustrix.yml").write_text(json.dumps({"profiles": {"cluster": fields}}))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "clustrix", *arguments]
        return subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=120)

    return run


def test_the_table(clustrix: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = clustrix("cluster", "cluster:", "--modules", "snake")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0].startswith("testbed: SLURM ")
    assert lines[0].endswith(", no accounting")
    assert "short up 00:30:00 00:05:00 1 1 4 2000M" in lines
    assert "closed down 1-00:00:00 - 1 all 4 all" in lines
    assert "1 idle 4 0 4000M fast,ssd gpu:tesla:2 debug,short c1" in lines
    assert lines[-1] == "snake/3"
    assert clustrix("cluster").stdout.startswith("testbed: SLURM ")


def test_json(clustrix: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    found = json.loads(clustrix("cluster", "cluster", "--json").stdout)
    assert found["nodes"][0]["gres"] == ["gpu:tesla:2"]
    assert found["partitions"][1]["max_time"] == 1800
    assert found["modules"] is None


def test_the_exit_codes(clustrix: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert clustrix("cluster", "nobody:").returncode == 2
    assert "clustrix-slurm" in clustrix("--help").stdout


# What other versions and sites print.

NODE = (
    "NodeName=n1 Arch=x86_64 CoresPerSocket=16 CPUAlloc=32 CPUTot=64 AvailableFeatures=a,b ActiveFeatures=b "
    "Gres=gpu:a100:4(S:0,1),nvme:1 OS=Linux 5.14 #1 SMP RealMemory=257000 AllocMem=1024 "
    "State=MIXED+CLOUD+NOT_RESPONDING* Partitions=gpu Comment=State=DOWN "
    "Reason=bad fan CPUTot=1 [root@2026-01-01T00:00:00]"
)


def test_nodes_of_other_sites() -> None:
    (node,) = scontrol.nodes(f"slurm: a warning\n{NODE}\n\n")
    assert node == Node(
        name="n1",
        states=("MIXED", "CLOUD", "NOT_RESPONDING"),
        cpus=64,
        allocated_cpus=32,
        memory=257000,
        allocated_memory=1024,
        features=("b",),
        gres=("gpu:a100:4(S:0,1)", "nvme:1"),
        partitions=("gpu",),
        reason="bad fan",
    )
    assert scontrol.nodes("No nodes in the system\n") == ()
    (node,) = scontrol.nodes("NodeName=n1 State=DOWN*+DRAIN\n")  # as SLURM 20 writes it
    assert node.states == ("DOWN", "DRAIN")


def test_partitions_of_other_sites() -> None:
    (found,) = scontrol.partitions(
        "PartitionName=p AllowAccounts=a,b MaxTime=7-12:30:15 MaxNodes=UNLIMITED\n"
    )
    assert (found.max_time, found.allowed_accounts) == (649815, ("a", "b"))
    assert (found.state, found.nodes, found.total_nodes) == ("UNKNOWN", "", 0)
    assert _row(found)[5] == "all"
    assert _row(found.model_copy(update={"max_nodes": 0}))[5] == "0"


def test_modules_of_other_systems() -> None:
    text = "Lmod: gcc is old\n/opt/gcc:\ngcc/\ngcc/12.2(default)\ngcc/13 <L>\nGCCcore/1\n\nL: gcc is loaded\n"
    assert scontrol.modules(text, "gcc") == ("gcc/12.2", "gcc/13", "GCCcore/1")


def test_many_nodes_that_are_alike_are_one_line() -> None:
    (node,) = scontrol.nodes(NODE)
    many = [node.model_copy(update={"name": f"n{number}"}) for number in range(5)]
    assert list(_rows(many)) == [
        (
            *("5", "mixed,cloud,not_responding", "64", "160", "251G", "b", "gpu:a100:4(S:0,1),nvme:1", "gpu"),
            "n0, n1, n2, and 2 more",
        )
    ]
