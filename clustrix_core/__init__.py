"""Clustrix: one filesystem API that behaves the same here, behind SSH and on a SLURM cluster.

The public names are listed in `_EXPORTS`. Each is imported when it is first used, so that importing the
package costs nothing; `clustrix` has the same names.
"""

from __future__ import annotations

from clustrix_core._version import __version__

TYPE_CHECKING = False  # typing's own would cost more than all the rest of this module
if TYPE_CHECKING:
    from clustrix_core.config import ClusterConfig
    from clustrix_core.errors import (
        AuthenticationFailedError,
        BackendIncompatibleError,
        BackendLoadError,
        BackendNotFoundError,
        ClustrixError,
        ConfigError,
        ConfigWarning,
        ConnectionFailedError,
        DependencyWarning,
        HostKeyError,
        JobError,
        LoopError,
        OperationTimeoutError,
        PartialResultWarning,
        PluginDeprecationWarning,
        UnsupportedOperationError,
    )
    from clustrix_core.filesystem import ClusterFilesystem
    from clustrix_core.functions import (
        cluster_count_files,
        cluster_du,
        cluster_exists,
        cluster_find,
        cluster_get,
        cluster_glob,
        cluster_isdir,
        cluster_isfile,
        cluster_ls,
        cluster_open,
        cluster_put,
        cluster_readlink,
        cluster_stat,
    )
    from clustrix_core.hookspecs import API_VERSION, hookimpl
    from clustrix_core.jobs.decorator import ClusterFunction, cluster
    from clustrix_core.jobs.executor import ClusterExecutor
    from clustrix_core.jobs.job import Job, JobArray
    from clustrix_core.loops.declared import independent
    from clustrix_core.models import DiskUsage, FileInfo
    from clustrix_core.profiles import configure, get_config, load_config, save_config
    from clustrix_core.stream import Stream

_EXPORTS = {
    "API_VERSION": "hookspecs",
    "AuthenticationFailedError": "errors",
    "BackendIncompatibleError": "errors",
    "BackendLoadError": "errors",
    "BackendNotFoundError": "errors",
    "ClusterConfig": "config",
    "ClusterExecutor": "jobs.executor",
    "ClusterFilesystem": "filesystem",
    "ClustrixError": "errors",
    "ConfigError": "errors",
    "ConfigWarning": "errors",
    "ConnectionFailedError": "errors",
    "ClusterFunction": "jobs.decorator",
    "DependencyWarning": "errors",
    "DiskUsage": "models",
    "FileInfo": "models",
    "HostKeyError": "errors",
    "Job": "jobs.job",
    "JobArray": "jobs.job",
    "JobError": "errors",
    "LoopError": "errors",
    "OperationTimeoutError": "errors",
    "PartialResultWarning": "errors",
    "PluginDeprecationWarning": "errors",
    "Stream": "stream",
    "UnsupportedOperationError": "errors",
    "cluster": "jobs.decorator",
    "cluster_count_files": "functions",
    "cluster_du": "functions",
    "cluster_exists": "functions",
    "cluster_find": "functions",
    "cluster_get": "functions",
    "cluster_glob": "functions",
    "cluster_isdir": "functions",
    "cluster_isfile": "functions",
    "cluster_ls": "functions",
    "cluster_open": "functions",
    "cluster_put": "functions",
    "cluster_readlink": "functions",
    "cluster_stat": "functions",
    "configure": "profiles",
    "get_config": "profiles",
    "hookimpl": "hookspecs",
    "independent": "loops.declared",
    "load_config": "profiles",
    "save_config": "profiles",
}

__all__ = [
    "API_VERSION",
    "AuthenticationFailedError",
    "BackendIncompatibleError",
    "BackendLoadError",
    "BackendNotFoundError",
    "ClusterConfig",
    "ClusterExecutor",
    "ClusterFilesystem",
    "ClusterFunction",
    "ClustrixError",
    "ConfigError",
    "ConfigWarning",
    "ConnectionFailedError",
    "DependencyWarning",
    "DiskUsage",
    "FileInfo",
    "HostKeyError",
    "Job",
    "JobArray",
    "JobError",
    "LoopError",
    "OperationTimeoutError",
    "PartialResultWarning",
    "PluginDeprecationWarning",
    "Stream",
    "UnsupportedOperationError",
    "__version__",
    "cluster",
    "cluster_count_files",
    "cluster_du",
    "cluster_exists",
    "cluster_find",
    "cluster_get",
    "cluster_glob",
    "cluster_isdir",
    "cluster_isfile",
    "cluster_ls",
    "cluster_open",
    "cluster_put",
    "cluster_readlink",
    "cluster_stat",
    "configure",
    "get_config",
    "hookimpl",
    "independent",
    "load_config",
    "save_config",
]


def __getattr__(name: str) -> object:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_imported(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def _imported(module: str) -> object:
    """Import a module, and what it needs, without looking for garbage meanwhile.

    What pydantic makes stays; the collector would go through it again and again, for a tenth of the start-up.
    """
    import gc
    from importlib import import_module

    collects = gc.isenabled()
    gc.disable()
    try:
        return import_module(module)
    finally:
        if collects:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()  # it is all as old as can be now, and not gone through at once
            gc.enable()


def __dir__() -> list[str]:
    return sorted(__all__)
