"""Reading what `scontrol` and `module` print. Nothing that isn't understood is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clustrix_slurm.models import Node, Partition

_FIELD = re.compile(r"(?:^|\s)([A-Za-z]\w*)=(.*?)(?=\s+[A-Za-z]\w*=|\s*$)")
_TIME = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")
_MODULE = re.compile(r"\s*([^\s(]*[^\s(:/])(?:\([^)]*\))?(?:\s+<[^>]*>)?\s*")  # with `(default)` and `<L>`
_NONE = ("", "(null)", "N/A", "NONE", "n/a", "none")


def settings(text: str) -> dict[str, str]:
    """The lines `Name = value` of `scontrol show config`."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def partitions(text: str) -> tuple[Partition, ...]:
    """The partitions of `scontrol --oneliner show partition`."""
    return tuple(_partition(fields) for fields in _records(text, "PartitionName"))


def nodes(text: str) -> tuple[Node, ...]:
    """The nodes of `scontrol --oneliner show node`."""
    return tuple(_node(fields) for fields in _records(text, "NodeName"))


def modules(text: str, word: str) -> tuple[str, ...]:
    """The modules of `module --terse avail` whose names hold a word, in whatever case."""
    lines = map(_MODULE.fullmatch, text.splitlines())
    known = dict.fromkeys(line[1] for line in lines if line is not None)
    return tuple(name for name in known if word.lower() in name.lower())


def _records(text: str, first: str) -> Iterator[dict[str, str]]:
    for line in text.splitlines():
        if line.startswith(f"{first}="):
            fields: dict[str, str] = {}
            for name, value in _FIELD.findall(line):
                fields.setdefault(name, value)  # a comment further on may look like a field
            yield fields


def _partition(fields: dict[str, str]) -> Partition:
    return Partition(
        name=fields["PartitionName"],
        is_default=fields.get("Default") == "YES",
        state=fields.get("State", "UNKNOWN"),
        max_time=_seconds(fields.get("MaxTime", "")),
        default_time=_seconds(fields.get("DefaultTime", "")),
        max_nodes=_number(fields.get("MaxNodes", "")),
        max_memory_per_node=_number(fields.get("MaxMemPerNode", "")),
        max_cpus_per_node=_number(fields.get("MaxCPUsPerNode", "")),
        total_nodes=_number(fields.get("TotalNodes", "")) or 0,
        total_cpus=_number(fields.get("TotalCPUs", "")) or 0,
        nodes=_text(fields.get("Nodes", "")) or "",
        allowed_groups=_allowed(fields.get("AllowGroups", "ALL")),
        allowed_accounts=_allowed(fields.get("AllowAccounts", "ALL")),
        allowed_qos=_allowed(fields.get("AllowQos", "ALL")),
    )


def _node(fields: dict[str, str]) -> Node:
    states = fields.get("State", "UNKNOWN").split("+")
    return Node(
        name=fields["NodeName"],
        states=tuple(state.rstrip("*~#!%$@^-") for state in states),
        cpus=_number(fields.get("CPUTot", "")) or 0,
        allocated_cpus=_number(fields.get("CPUAlloc", "")) or 0,
        memory=_number(fields.get("RealMemory", "")) or 0,
        allocated_memory=_number(fields.get("AllocMem", "")) or 0,
        features=_items(fields.get("ActiveFeatures") or fields.get("Features", "")),
        gres=_items(fields.get("Gres", "")),
        partitions=_items(fields.get("Partitions", "")),
        reason=_text(fields.get("Reason", "")),
    )


def _text(value: str) -> str | None:
    return None if value in _NONE else value


def _items(value: str) -> tuple[str, ...]:
    """A list; commas in brackets or parentheses, as in `gpu:tesla:2(S:0,1)`, are no ends."""
    return () if value in _NONE else tuple(re.split(r",(?![^(\[]*[)\]])", value))


def _allowed(value: str) -> tuple[str, ...] | None:
    return None if value == "ALL" else _items(value)


def _number(value: str) -> int | None:
    return int(value) if value.isascii() and value.isdigit() else None


def _seconds(value: str) -> int | None:
    match = _TIME.fullmatch(value)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
