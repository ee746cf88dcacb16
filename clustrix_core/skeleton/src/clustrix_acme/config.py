"""What a config with `cluster_type="acme"` may hold."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from clustrix_core.remote import RemoteConfig


class AcmeConfig(RemoteConfig):
    """The fields of any place that commands are started in, and those of this one."""

    model_config = ConfigDict(extra="forbid")  # so that a misspelt field is an error

    # To begin with the place is this machine. Put your own fields here: the name of a pod, a project, a site.
    # A password or token is a `pydantic.SecretStr`, which is never printed or saved.
    entrance: tuple[str, ...] = Field(
        default=("sh", "-c"),
        min_length=1,
        description="The program, and its first arguments, that runs a command line in the place.",
    )
