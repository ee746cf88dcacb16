"""A backend for Clustrix: the files of a pod, by `kubectl exec`."""

from clustrix_kubernetes.backend import KubernetesBackend
from clustrix_kubernetes.config import KubernetesConfig

__all__ = ["KubernetesBackend", "KubernetesConfig"]
