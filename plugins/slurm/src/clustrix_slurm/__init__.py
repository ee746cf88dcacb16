"""The SLURM backend: the files of a cluster, in the environment of its modules, and what there is on it."""

from clustrix_slurm._version import __version__
from clustrix_slurm.backend import SlurmBackend
from clustrix_slurm.config import SlurmConfig
from clustrix_slurm.info import cluster_info
from clustrix_slurm.models import ClusterInfo, Node, Partition

__all__ = [
    "ClusterInfo",
    "Node",
    "Partition",
    "SlurmBackend",
    "SlurmConfig",
    "__version__",
    "cluster_info",
]
