"""Which pod it is, and what is said of one that isn't there."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from clustrix_core import (
    AuthenticationFailedError,
    ClusterConfig,
    ClusterFilesystem,
    ConfigError,
    ConnectionFailedError,
)
from clustrix_kubernetes import KubernetesConfig
from clustrix_kubernetes.pods import find_pod

Search = Callable[..., str]


def test_container_is_chosen(config: ClusterConfig) -> None:
    with ClusterFilesystem(config.model_copy(update={"container": "worker"})) as fs:
        fs.exists(".")
        with pytest.raises(PermissionError, match="pod storage-0 in research"):
            fs.open("by-nobody", "w")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pod": "storage-9"}, r'pod storage-9 in research.*pods "storage-9" not found'),
        ({"container": "web"}, "container web not found"),
        ({"kubectl": "no-such-kubectl"}, "no-such-kubectl"),
    ],
)
def test_pods_that_are_not_there(config: ClusterConfig, given: dict[str, str], said: str) -> None:
    with (
        ClusterFilesystem(config.model_copy(update=given)) as fs,
        pytest.raises(ConnectionFailedError, match=said),
    ):
        fs.ls()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "either pod"),
        ({"pod": "a", "pod_selector": "app=a"}, "either pod"),
        ({"pod": "--kubeconfig"}, "pod"),
        ({"pod": "A B"}, "pod"),
        ({"pod": "a", "namespace": "-x"}, "namespace"),
        ({"pod": "a", "container": "a\n"}, "container"),
        ({"pod": "a", "cluster_host": "b"}, "cluster_host"),
        ({"pods": "a", "pod": "b"}, "pods"),
    ],
)
def test_configs_that_are_refused(given: dict[str, str], said: str) -> None:
    fs = ClusterFilesystem(ClusterConfig(cluster_type="kubernetes", **given))
    with pytest.raises(ConfigError, match=said):
        fs.ls()


# The search, by the official client, of a server that answers as an API server does.


class ApiServer(ThreadingHTTPServer):
    """Knows some pods, which all have the label `app=storage`, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.pods: list[dict[str, object]] = []
        self.asked: list[tuple[str, dict[str, list[str]], str | None]] = []
        self.status = 200


class Answering(BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        self.server.asked.append((asked.path, parse_qs(asked.query), self.headers["Authorization"]))
        content: dict[str, object] = {"kind": "PodList", "apiVersion": "v1", "items": self.server.pods}
        if self.server.status != 200:
            content = {"kind": "Status", "status": "Failure", "message": "pods is forbidden"}
        body = json.dumps(content).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def search(server: ApiServer, tmp_path: Path) -> Search:
    """Finds a pod by labels; the kubeconfig is one of a user with a token."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [
                    {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}
                ],
                "users": [{"name": "u", "user": {"token": "the-token"}}],
                "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )

    def find(**given: str) -> str:
        usual = {
            "kubeconfig": str(kubeconfig),
            "namespace": "research",
            "pod_selector": "app=storage,tier!=cache",
        }
        return find_pod(KubernetesConfig(cluster_type="kubernetes", **{**usual, **given}))

    return find


def metadata(name: str, **more: str) -> dict[str, object]:
    return {"metadata": {"name": name, **more}}


def test_first_pod_with_the_labels(server: ApiServer, search: Search) -> None:
    leaving = metadata("storage-0", deletionTimestamp="2026-01-02T03:04:05Z")
    server.pods = [metadata("storage-2"), metadata("storage-1"), leaving]
    assert search() == "storage-1"
    [(path, query, authorization)] = server.asked
    assert path == "/api/v1/namespaces/research/pods"
    assert query == {
        "labelSelector": ["app=storage,tier!=cache"],
        "fieldSelector": ["status.phase=Running"],
    }
    assert authorization == "Bearer the-token"


def test_no_pod_with_the_labels(search: Search) -> None:
    with pytest.raises(ConnectionFailedError, match="cache in research: none is running"):
        search()


def test_server_that_refuses(server: ApiServer, search: Search) -> None:
    server.status = 403
    with pytest.raises(AuthenticationFailedError, match=r"403 Forbidden.*pods is forbidden") as caught:
        search()
    assert "the-token" not in str(caught.value)
    server.status = 503
    with pytest.raises(ConnectionFailedError, match="503"):
        search()


def test_server_that_is_gone(server: ApiServer, search: Search) -> None:
    server.socket.close()
    with pytest.raises(ConnectionFailedError, match="doesn't answer"):
        search()


@pytest.mark.parametrize("given", [{"kubeconfig": "/no/such/file"}, {"context": "elsewhere"}])
def test_cluster_that_is_unknown(search: Search, given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="kubeconfig"):
        search(**given)


WITHOUT_CLIENT = """
import sys
sys.modules["kubernetes"] = None
from clustrix_core import ClusterConfig, ClusterFilesystem, ConfigError
try:
    ClusterFilesystem(ClusterConfig(cluster_type="kubernetes", pod_selector="app=a")).ls()
except ConfigError as error:
    assert "clustrix-kubernetes[client]" in str(error), error
else:
    raise SystemExit("no error without the client")
"""


def test_client_is_needed_for_a_search_alone() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_CLIENT], check=True)


def test_readme_has_all_fields() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for name in KubernetesConfig.__annotations__:
        if name != "model_config":
            field = KubernetesConfig.model_fields[name]
            default = "none" if field.default is None else f"`{field.default}`"
            assert f"| `{name}` | {default} | {field.description} |\n" in readme
