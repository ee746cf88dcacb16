"""Throwaway servers for the tests of backends: real ones, on loopback ports, gone afterwards.

They need root, and the programs that `tests/install-servers` installs.
"""

from clustrix_core.testing.servers.namespace import Namespace
from clustrix_core.testing.servers.place import ssh_place
from clustrix_core.testing.servers.relay import Relay
from clustrix_core.testing.servers.slurm import SlurmCluster
from clustrix_core.testing.servers.ssh import Account, SshServer, free_port

__all__ = ["Account", "Namespace", "Relay", "SlurmCluster", "SshServer", "free_port", "ssh_place"]
