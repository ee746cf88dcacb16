"""The backend: `kubectl exec` is the channel. All else is `RemoteBackend`'s work."""

from __future__ import annotations

from clustrix_core.remote import Channel, PipeChannel, RemoteBackend
from clustrix_kubernetes.config import KubernetesConfig
from clustrix_kubernetes.pods import find_pod


class KubernetesBackend(RemoteBackend):
    """The backend of `cluster_type="kubernetes"`."""

    api_version = 1
    config_model = KubernetesConfig
    config: KubernetesConfig

    def open_channel(self, command: str) -> Channel:
        """Start a command in the pod; one that is found by its labels may be another each time."""
        config = self.config
        names = ("kubeconfig", "context", "namespace", "container")
        options = [f"--{name}={value}" for name in names if (value := getattr(config, name))]
        pod = config.pod or find_pod(config)
        return PipeChannel([config.kubectl, "exec", "--stdin", *options, pod, "--", "sh", "-c", command])

    def place_name(self) -> str:
        """What error messages call the place."""
        return f"pod {self.config.pod or self.config.pod_selector} in {self.config.namespace}"
