"""The command `clustrix cluster`: what there is on a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

import click

from clustrix_core.cli.failures import OK
from clustrix_core.cli.output import Output, output_options
from clustrix_core.cli.places import complete_profile
from clustrix_core.errors import printable

if TYPE_CHECKING:
    from clustrix_slurm.models import ClusterInfo, Node, Partition

NAMES_SHOWN = 3

_PARTITIONS = ("PARTITION", "STATE", "TIME LIMIT", "DEFAULT", "NODES", "PER JOB", "CPUS", "MEMORY PER NODE")
_NODES = ("NODES", "STATE", "CPUS", "IN USE", "MEMORY", "FEATURES", "GRES", "PARTITIONS", "NAMES")


@click.command()
@click.argument("profile", metavar="[PROFILE:]", required=False, shell_complete=complete_profile)
@click.option("--modules", metavar="WORD", help="Also list the modules whose names hold this word.")
@output_options(null=False)
def cluster(profile: str | None, modules: str | None, output: Output) -> int:
    """Show what there is on a SLURM cluster: partitions, their limits, and nodes.

    PROFILE: is a profile of clustrix.yml; without one it is the active config's cluster. A star marks the
    default partition. Nodes that are alike share a line.
    """
    from clustrix_core.profiles import get_config, load_config
    from clustrix_slurm.info import cluster_info

    config = load_config(profile.removesuffix(":")) if profile else get_config()
    found = cluster_info(config, modules=modules)
    if output.as_json:
        output.document(found.model_dump(mode="json"))
    else:
        _show(found, output)
    return OK


def _show(found: ClusterInfo, output: Output) -> None:
    accounting = "accounting" if found.has_accounting else "no accounting"
    output.text(f"{printable(found.name)}: SLURM {printable(found.slurm_version)}, {accounting}\n\n")
    output.table(_PARTITIONS, map(_row, found.partitions))
    output.text("\n")
    output.table(_NODES, _rows(found.nodes))
    if found.modules is not None:
        output.text("\n" + "".join(f"{printable(name)}\n" for name in found.modules or ["no such module"]))


def _row(partition: Partition) -> tuple[str, ...]:
    return (
        printable(partition.name) + ("*" if partition.is_default else ""),
        printable(partition.state).lower(),
        _time(partition.max_time) or "none",
        _time(partition.default_time) or "-",
        str(partition.total_nodes),
        "all" if partition.max_nodes is None else str(partition.max_nodes),
        str(partition.total_cpus),
        _memory(partition.max_memory_per_node) if partition.max_memory_per_node else "all",
    )


def _rows(nodes: Iterable[Node]) -> Iterable[tuple[str, ...]]:
    for alike, group in groupby(sorted(nodes, key=_alike), key=_alike):
        members = list(group)
        names = [printable(node.name) for node in members]
        shown = names[:NAMES_SHOWN] + (
            [f"and {len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
        )
        in_use = sum(node.allocated_cpus for node in members)
        partitions, states, features, gres, cpus, memory = alike
        yield (
            str(len(members)),
            _list(states).lower(),
            str(cpus),
            str(in_use),
            _memory(memory),
            _list(features),
            _list(gres),
            _list(partitions),
            ", ".join(shown),
        )


def _alike(node: Node) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...], int, int]:
    return node.partitions, node.states, node.features, node.gres, node.cpus, node.memory


def _list(items: tuple[str, ...]) -> str:
    return printable(",".join(items)) or "-"


def _memory(mebibytes: int) -> str:
    return f"{mebibytes / 1024:.0f}G" if mebibytes >= 10240 else f"{mebibytes}M"


def _time(seconds: int | None) -> str:
    """A time as SLURM writes it: days-hours:minutes:seconds."""
    if seconds is None:
        return ""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return (f"{days}-" if days else "") + f"{hour:02}:{minute:02}:{second:02}"
