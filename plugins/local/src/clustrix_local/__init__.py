"""The local backend: the filesystem of this machine, in this process."""

from clustrix_local._version import __version__
from clustrix_local.backend import LocalBackend

__all__ = ["LocalBackend", "__version__"]
