"""What there is on a cluster, as SLURM tells it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


class Partition(_Fact):
    """A partition and its limits; None stands for no limit, and for what SLURM doesn't tell.

    Attributes:
        name: its name.
        is_default: whether jobs that name none go there.
        state: `UP`, `DOWN`, `DRAIN` or `INACTIVE`.
        max_time: seconds that a job may take.
        default_time: seconds that a job gets that asks for none.
        max_nodes: nodes that a job may have.
        max_memory_per_node: MiB that a job may have on a node.
        max_cpus_per_node: CPUs that jobs may have on a node.
        total_nodes: how many nodes it has.
        total_cpus: how many CPUs they have.
        nodes: their names, as SLURM writes them: `c[1-2]`.
        allowed_groups, allowed_accounts, allowed_qos: who may use it; None means everybody.
    """

    name: str
    is_default: bool
    state: str
    max_time: int | None
    default_time: int | None
    max_nodes: int | None
    max_memory_per_node: int | None
    max_cpus_per_node: int | None
    total_nodes: int
    total_cpus: int
    nodes: str
    allowed_groups: tuple[str, ...] | None
    allowed_accounts: tuple[str, ...] | None
    allowed_qos: tuple[str, ...] | None


class Node(_Fact):
    """A node.

    Attributes:
        name: its name.
        states: such as `("IDLE",)` or `("MIXED", "DRAIN")`.
        cpus, allocated_cpus: how many it has, and how many of them jobs have.
        memory, allocated_memory: the same in MiB.
        features: what jobs can ask for with `--constraint`.
        gres: what jobs can ask for with `--gres`, such as `gpu:tesla:2`.
        partitions: the partitions that it is in.
        reason: why it is down or drained; None if nobody said.
    """

    name: str
    states: tuple[str, ...]
    cpus: int
    allocated_cpus: int
    memory: int
    allocated_memory: int
    features: tuple[str, ...]
    gres: tuple[str, ...]
    partitions: tuple[str, ...]
    reason: str | None


class ClusterInfo(_Fact):
    """What there is on a cluster.

    Attributes:
        name: its name.
        slurm_version: such as `22.05.8`.
        has_accounting: whether `sacct` knows of jobs that have ended.
        max_array_size: one more than the highest index in a job array; None if SLURM doesn't tell.
        partitions: those that this user sees, in SLURM's order.
        nodes: likewise.
        modules: those that match the word that was asked for; None if none was.
    """

    name: str
    slurm_version: str
    has_accounting: bool
    max_array_size: int | None
    partitions: tuple[Partition, ...]
    nodes: tuple[Node, ...]
    modules: tuple[str, ...] | None
