"""The SLURM backend: the files of a cluster, in the environment of its modules, and what there is on it."""

from clustrix_slurm._version import __version__
from clustrix_slurm.backend import SlurmBackend
from clustrix_slurm.config import SlurmConfig

__all__ = ["SlurmBackend", "SlurmConfig", "__version__"]
