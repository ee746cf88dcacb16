"""Whether this process is a job on the cluster that a config names: then "there" is here."""

from __future__ import annotations

import hashlib
import os
import pickle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clustrix_core.config import ClusterConfig
    from clustrix_core.engine_backend import EngineBackend

pickled: bytes | None = None
"""In a job: the config that it was submitted with, which few functions ask for."""

VARIABLE = "CLUSTRIX_HERE"
CORES = "CLUSTRIX_CORES"
"""The variable that tells a job how many cores it has."""


def active_config() -> ClusterConfig | None:
    """In a job: the config that it was submitted with."""
    found: ClusterConfig | None = None if pickled is None else pickle.loads(pickled)
    return found


def marker(config: ClusterConfig) -> str:
    """A digest of what tells clusters and accounts apart. Host names of nodes play no part."""
    facts = (config.cluster_type, config.cluster_host, config.cluster_port, config.username)
    return hashlib.sha256("\0".join(map(str, facts)).encode()).hexdigest()[:32]


def is_here(config: ClusterConfig) -> bool:
    """Whether this process runs in a job that was submitted with a config of the same cluster and account."""
    return os.environ.get(VARIABLE) == marker(config)


def backend_here(config: ClusterConfig) -> EngineBackend:
    """The place of this config, from within: its files are this machine's."""
    from clustrix_core.engine import Engine
    from clustrix_core.engine_backend import EngineBackend

    if config.cluster_type == "local":
        return EngineBackend(Engine(config.local_work_dir))
    return EngineBackend(Engine(config.remote_work_dir or "~"))
