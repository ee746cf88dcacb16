"""`cluster_info`: one command on the cluster that asks its controller three questions."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from clustrix_core.config import ClusterConfig
from clustrix_core.errors import ConfigError, ConnectionFailedError
from clustrix_core.profiles import get_config
from clustrix_core.session import pool
from clustrix_slurm import scontrol
from clustrix_slurm.backend import SlurmBackend
from clustrix_slurm.models import ClusterInfo

# The first that fails is the last one.
_QUESTIONS = """
ask() {
    printf '\\nTOKEN begin\\n'
    "$@" 2>&1
    set -- $?
    printf '\\nTOKEN %s\\n' "$1"
    [ "$1" = 0 ] || exit 0
}
ask scontrol show config
ask scontrol --oneliner show partition
ask scontrol --oneliner show node
"""
_MODULES = "ask module --terse avail\n"


def cluster_info(config: ClusterConfig | None = None, *, modules: str | None = None) -> ClusterInfo:
    """Find out what there is on a cluster: one command, over the connection that there is.

    Args:
        config: the cluster; None means the active config (see `configure`).
        modules: also list the modules whose names hold this word, in whatever case; an empty word means all.

    Raises:
        ConfigError: the config is no SLURM cluster's, its environment can't be set up, or there is no SLURM.
        ConnectionFailedError: the cluster can't be reached, or its controller doesn't answer.
        OperationTimeoutError: it takes longer than `op_timeout`, by default two minutes.
    """
    with _backend(config or get_config()) as backend:
        return info_of(backend, modules)


def info_of(backend: SlurmBackend, modules: str | None = None) -> ClusterInfo:
    """The same of a cluster whose session is open."""
    place = backend.place_name()
    answers = _ask(backend, with_modules=modules is not None)
    for answer in answers[:3]:
        if answer.status == "127":
            raise ConfigError(
                f"{place}: there is no scontrol on the PATH; log in to a node of a SLURM cluster, or name in "
                "module_loads the module that brings it"
            )
        if answer.status != "0":
            raise ConnectionFailedError(
                f"{place}: SLURM's controller doesn't answer: {answer.text.strip()!r}; try again later, and "
                "if that lasts, tell those who run the cluster"
            )
    if len(answers) < 3:
        raise ConnectionFailedError(f"{place}: the answers of SLURM's controller are incomplete; try again")
    settings = scontrol.settings(answers[0].text)
    size = settings.get("MaxArraySize", "")
    return ClusterInfo(
        name=settings.get("ClusterName", "unknown"),
        slurm_version=settings.get("SLURM_VERSION", "unknown"),
        has_accounting=settings.get("AccountingStorageType")
        not in (None, "(null)", "accounting_storage/none"),
        max_array_size=int(size) if size.isdigit() else None,
        partitions=scontrol.partitions(answers[1].text),
        nodes=scontrol.nodes(answers[2].text),
        modules=None if modules is None else scontrol.modules("".join(a.text for a in answers[3:]), modules),
    )


class _Answer(NamedTuple):
    text: str
    status: str


@contextmanager
def _backend(config: ClusterConfig) -> Iterator[SlurmBackend]:
    shared = pool.acquire(config)
    try:
        backend = pool.open(shared).backend
        if not isinstance(backend, SlurmBackend):
            raise ConfigError(
                f"cluster_type {config.cluster_type!r} is no SLURM cluster; give a config or profile whose "
                "cluster_type is slurm"
            )
        yield backend
    finally:
        pool.release(shared)


def _ask(backend: SlurmBackend, with_modules: bool) -> list[_Answer]:
    token = secrets.token_hex(16)
    text = (_QUESTIONS + (_MODULES if with_modules else "")).replace("TOKEN", token)
    said = backend.ask_bash(text, with_module=with_modules)
    found = re.findall(rf"^{token} begin\n(.*?)\n{token} (\d+)$", said, re.M | re.S)
    return [_Answer(*each) for each in found]
