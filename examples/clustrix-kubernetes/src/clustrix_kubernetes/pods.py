"""Pods by their labels, by way of the official client, which is imported when it is needed."""

from __future__ import annotations

from typing import Any

from clustrix_core import AuthenticationFailedError, ConfigError, ConnectionFailedError
from clustrix_kubernetes.config import KubernetesConfig


def find_pod(config: KubernetesConfig) -> str:
    """The name of the first running pod with the labels of `config.pod_selector`.

    Raises:
        ConfigError: the client isn't installed, or finds no cluster in the kubeconfig.
        AuthenticationFailedError: the cluster doesn't let us in, or list pods.
        ConnectionFailedError: it doesn't answer, or has no such pod.
    """
    try:
        from kubernetes.client import ApiClient, CoreV1Api
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError
    except ImportError as error:
        raise ConfigError(
            f'pod_selector needs the official client: pip install "clustrix-kubernetes[client]" ({error})'
        ) from error

    place = f"pods {config.pod_selector} in {config.namespace}"
    try:
        with ApiClient(_settings(config)) as client:
            found = CoreV1Api(client).list_namespaced_pod(
                config.namespace,
                label_selector=config.pod_selector,
                field_selector="status.phase=Running",
                _request_timeout=config.connect_timeout,
            )
    except ApiException as error:
        kind = AuthenticationFailedError if error.status in (401, 403) else ConnectionFailedError
        raise kind(f"{place}: the API server says {error.status} {error.reason}: {error.body}") from error
    except HTTPError as error:
        raise ConnectionFailedError(f"{place}: the API server doesn't answer: {error}") from error
    names = sorted(pod.metadata.name for pod in found.items if pod.metadata.deletion_timestamp is None)
    if not names:
        raise ConnectionFailedError(
            f"{place}: none is running; `kubectl get pods -n {config.namespace} --show-labels` tells more"
        )
    return str(names[0])


def _settings(config: KubernetesConfig) -> Any:
    """Where the API server is and who we are, as kubectl has it: a kubeconfig, else this pod's own."""
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

    settings = Configuration()
    settings.retries = False  # the backend's business
    try:
        load_kube_config(config.kubeconfig, config.context, client_configuration=settings)
    except ConfigException as error:
        if config.kubeconfig or config.context:
            raise ConfigError(f"kubeconfig: {error}") from error
        try:
            load_incluster_config(client_configuration=settings)
        except ConfigException:
            raise ConfigError(f"kubeconfig: {error}") from error
    return settings
