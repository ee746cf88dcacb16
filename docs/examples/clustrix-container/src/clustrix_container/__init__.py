"""Files as a container sees them, which is named by one of its processes."""

from pydantic import ConfigDict

from clustrix_core import API_VERSION
from clustrix_core.jobs.hooks import SupervisedJobs
from clustrix_core.remote import PipeChannel, RemoteBackend, RemoteConfig


class ContainerConfig(RemoteConfig):
    model_config = ConfigDict(extra="forbid")

    container_pid: int
    run_as: int = 0


class ContainerBackend(RemoteBackend, SupervisedJobs):
    api_version = API_VERSION
    config_model = ContainerConfig

    def open_channel(self, command):
        enter = ["nsenter", "--mount", f"--target={self.config.container_pid}"]
        become = ["setpriv", f"--reuid={self.config.run_as}", "--clear-groups"]
        return PipeChannel([*enter, *become, "sh", "-c", command])
