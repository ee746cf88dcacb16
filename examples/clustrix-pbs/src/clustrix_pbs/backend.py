"""The backend: the SSH backend of Clustrix, with the commands for jobs."""

from __future__ import annotations

from clustrix_pbs.config import PbsConfig
from clustrix_pbs.jobs import Pbs
from clustrix_ssh import HereOrSshBackend


class PbsBackend(HereOrSshBackend):
    """The backend of `cluster_type="pbs"`.

    Attributes:
        pbs: the commands for jobs.
    """

    api_version = 1
    config_model = PbsConfig
    config: PbsConfig
    program = "qsub"

    def __init__(self, config: PbsConfig) -> None:
        super().__init__(config)
        self.pbs = Pbs(self.run, config.pbs_exec)
