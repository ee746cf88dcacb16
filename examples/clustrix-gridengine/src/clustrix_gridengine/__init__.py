"""A backend for Clustrix: the files of a Grid Engine cluster, over SSH or on the cluster itself."""

from clustrix_gridengine.backend import GridEngineBackend
from clustrix_gridengine.config import GridEngineConfig

__all__ = ["GridEngineBackend", "GridEngineConfig"]
