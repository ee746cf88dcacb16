"""The backend: how a command is started in the place. All else is `RemoteBackend`'s work."""

from __future__ import annotations

from clustrix_acme.config import AcmeConfig
from clustrix_core.remote import Channel, PipeChannel, RemoteBackend


class AcmeBackend(RemoteBackend):
    """The backend of `cluster_type="acme"`."""

    api_version = 1  # of the contract that this was written for
    config_model = AcmeConfig
    config: AcmeConfig

    def open_channel(self, command: str) -> Channel:
        """Start a command line, which any login shell takes, in the place."""
        # A program that passes on its standard input and output is all it needs, such as
        #     ["ssh", host, command]  or  ["kubectl", "exec", "-i", pod, "--", "sh", "-c", command]
        return PipeChannel([*self.config.entrance, command])
