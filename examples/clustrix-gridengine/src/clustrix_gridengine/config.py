"""What a config with `cluster_type="gridengine"` may hold."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from clustrix_ssh import HereOrSshConfig


class GridEngineConfig(HereOrSshConfig):
    """Which cluster, and how to log in there; without a `cluster_host` it is the one of this machine."""

    model_config = ConfigDict(extra="forbid")

    sge_settings: str | None = Field(
        default=None,
        pattern="^/",
        description="Path on the cluster of the cell's settings.sh, which is read before Grid Engine's "
        "commands are run; none where they are found without.",
    )
    parallel_environment: str = Field(
        default="smp",
        description="Parallel environment that puts the slots of a job on one machine (`qconf -spl` lists "
        "them); asked for where a job wants more than one core.",
    )
    memory_resource: str = Field(
        default="h_vmem",
        pattern="^[A-Za-z_]+$",
        description="Resource that stands for the memory of a slot: h_vmem, mem_free or virtual_free, say.",
    )
