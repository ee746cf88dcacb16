"""`clustrix doctor` on a real cluster: the environment and the scheduler are steps of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig
from clustrix_core.doctor import Check
from clustrix_core.doctor.examination import examine

Configure = Callable[..., ClusterConfig]


def examined(config: ClusterConfig) -> dict[str, Check]:
    return {check.name: check for check in examine(lambda: config)}


def outcomes(checks: dict[str, Check], outcome: str) -> list[str]:
    return [check.name for check in checks.values() if check.outcome == outcome]


def test_all_is_well(configure: Configure) -> None:
    checks = examined(configure(module_loads=["tool"]))
    assert outcomes(checks, "failed") == outcomes(checks, "left out") == outcomes(checks, "warned") == []
    assert "tool/" in checks["environment"].detail
    assert checks["scheduler"].detail.startswith("SLURM ")
    assert checks["scheduler"].detail.endswith("2 nodes")
    order = list(checks)
    assert order.index("authentication") < order.index("environment") < order.index("Python")


def test_without_an_environment_there_is_no_such_step(configure: Configure) -> None:
    assert "environment" not in examined(configure())


def test_a_module_that_does_not_load(configure: Configure) -> None:
    checks = examined(configure(module_loads=["nosuch/1"]))
    assert outcomes(checks, "failed") == ["environment"]
    assert "the module 'nosuch/1' doesn't load" in checks["environment"].detail
    assert checks["Python"].outcome == "left out"


def test_a_controller_that_is_down(configure: Configure, without_controller: None) -> None:
    checks = examined(configure())
    assert outcomes(checks, "failed") == ["scheduler"]
    assert "controller doesn't answer" in checks["scheduler"].detail
    assert checks["find"].outcome == "passed"


@pytest.mark.parametrize("host", [None, "localhost"])
def test_where_there_is_no_cluster(host: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fields = {} if host is None else {"cluster_host": host}
    checks = examined(ClusterConfig(cluster_type="slurm", **fields))
    (failed,) = outcomes(checks, "failed")
    assert "there is no sbatch on the PATH" in checks[failed].detail
