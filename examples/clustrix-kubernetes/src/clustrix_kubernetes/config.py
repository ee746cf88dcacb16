"""What a config with `cluster_type="kubernetes"` may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from clustrix_core.remote import RemoteConfig

# As Kubernetes has them. What begins with a dash would be an option.
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]


class KubernetesConfig(RemoteConfig):
    """Which pod. How to reach the cluster is in the kubeconfig, as it is for `kubectl`."""

    model_config = ConfigDict(extra="forbid")

    pod: Name | None = Field(default=None, description="Name of the pod.")
    pod_selector: str | None = Field(
        default=None,
        min_length=1,
        description="Instead of the name: labels, as in app=storage,tier!=cache. The first running pod, by "
        "name, that has them is taken.",
    )
    namespace: Name = Field(default="default", description="Namespace of the pod.")
    container: Name | None = Field(
        default=None, description="Container in the pod; none means the one that kubectl takes."
    )
    context: str | None = Field(
        default=None, description="Context in the kubeconfig; none means the current one."
    )
    kubeconfig: str | None = Field(
        default=None, description="Path of the kubeconfig; none means $KUBECONFIG, else ~/.kube/config."
    )
    kubectl: str = Field(default="kubectl", min_length=1, description="Command or path of kubectl.")

    @model_validator(mode="after")
    def _check(self) -> KubernetesConfig:
        if (self.pod is None) == (self.pod_selector is None):
            raise ValueError("give either pod, a name, or pod_selector, labels that a pod has")
        if self.cluster_host:
            raise ValueError("a pod is no cluster_host: leave that out, and give its name as pod")
        return self
