"""A backend for Clustrix: the files of a PBS cluster, and the commands for its jobs."""

from clustrix_pbs.backend import PbsBackend
from clustrix_pbs.config import PbsConfig
from clustrix_pbs.jobs import Job, Pbs, PbsError

__all__ = ["Job", "Pbs", "PbsBackend", "PbsConfig", "PbsError"]
