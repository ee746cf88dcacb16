"""What a config with `cluster_type="pbs"` may hold."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from clustrix_ssh import HereOrSshConfig


class PbsConfig(HereOrSshConfig):
    """Which cluster, and how to log in there; without a `cluster_host` it is the one of this machine."""

    model_config = ConfigDict(extra="forbid")

    pbs_exec: str | None = Field(
        default=None,
        pattern="^/",
        description="Folder on the cluster in whose bin the commands of PBS are, such as /opt/pbs; none "
        "where they are on the PATH.",
    )
