"""`SlurmConfig`: which cluster, and how to log in there."""

from __future__ import annotations

from pydantic import ConfigDict

from clustrix_ssh import HereOrSshConfig


class SlurmConfig(HereOrSshConfig):
    """The config of the SLURM backend: that of the SSH backend.

    Without a `cluster_host`, or with `localhost`, it means the cluster that this process runs on.
    """

    model_config = ConfigDict(extra="forbid")
