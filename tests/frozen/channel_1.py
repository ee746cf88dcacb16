"""A backend that starts commands, as an author wrote it for version 1 of the contract."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from clustrix_core.remote import Channel, PipeChannel, RemoteBackend, RemoteConfig


class ChannelConfig(RemoteConfig):
    model_config = ConfigDict(extra="forbid")

    entrance: tuple[str, ...] = Field(default=("sh", "-c"), min_length=1)


class ChannelBackend(RemoteBackend):
    api_version = 1
    config_model = ChannelConfig
    config: ChannelConfig

    def open_channel(self, command: str) -> Channel:
        return PipeChannel([*self.config.entrance, command])
