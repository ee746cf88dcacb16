"""The ways to a cluster: as the docs have it, by fabric's files, and on the cluster itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig, ClusterFilesystem
from clustrix_core.errors import ConfigError
from clustrix_core.session import pool
from clustrix_core.testing.servers import SlurmCluster
from clustrix_slurm import SlurmBackend

Configure = Callable[..., ClusterConfig]

PAGE = Path(__file__).parents[3] / "docs" / "slurm.md"
SHOW = "print(files, csv_files, file_info.size)\n"
FILES = ["data/b", "data/a", "datasets/x/one.csv", "datasets/two.csv", "datasets/none", "large_dataset.h5"]
MAKE = b"""
import os, sys
for path in sys.argv[1:]:
    path = os.path.join("/scratch/project", path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "w").write("12345")
"""


def write_ssh_config(home: Path, cluster: SlurmCluster, more: str = "", host: str = "cluster.edu") -> None:
    """Make the cluster known under a name, as a user would, with the key of `researcher`."""
    folder = home / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "config").write_text(
        f"Host {host}\n  HostName {cluster.host}\n  Port {cluster.port}\n"
        f"  UserKnownHostsFile {cluster.known_hosts}\n"
        f"  IdentityFile {cluster.accounts['researcher'].key_file}\n{more}"
    )


def works(config: ClusterConfig) -> bool:
    with ClusterFilesystem(config) as fs:
        return fs.exists("notes.csv")


def test_the_sample_of_the_docs(cluster: SlurmCluster, home: Path) -> None:
    cluster.python(MAKE, FILES)
    write_ssh_config(home, cluster)
    code = next(block for block in PAGE.read_text().split("```") if 'cluster_host="cluster.edu"' in block)
    program = code.partition("\n")[2] + SHOW
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == (
        "['a', 'b'] ['datasets/two.csv', 'datasets/x/one.csv'] 5\n",
        "",
    )


def test_a_jump_host(cluster: SlurmCluster, home: Path) -> None:
    key = cluster.accounts["key"].key_file
    jump = f"""  ProxyJump gate
Host gate
  HostName {cluster.host}
  Port {cluster.port}
  User key
  UserKnownHostsFile {cluster.known_hosts}
  IdentityFile {key}
"""
    write_ssh_config(home, cluster, jump)
    before = cluster.logins()
    assert works(ClusterConfig(cluster_type="slurm", cluster_host="cluster.edu", username="researcher"))
    assert cluster.logins() - before == 2


@pytest.fixture
def known(cluster: SlurmCluster, home: Path) -> None:
    (home / ".ssh").mkdir(mode=0o700)
    (home / ".ssh" / "known_hosts").write_text(cluster.known_hosts.read_text())


def by_fabric(cluster: SlurmCluster, **fields: object) -> ClusterConfig:
    """A config that leaves all but the host to the files."""
    return ClusterConfig(cluster_type="slurm", cluster_host=cluster.host, use_agent=False, **fields)


def test_fabrics_file(cluster: SlurmCluster, home: Path, known: None) -> None:
    key = str(cluster.accounts["researcher"].key_file)
    kwargs = {"key_filename": key, "look_for_keys": False, "allow_agent": False, "compress": True}
    file = {"user": "researcher", "port": cluster.port, "connect_kwargs": kwargs}
    (home / ".fabric.json").write_text(json.dumps(file))
    assert works(by_fabric(cluster))


def test_ssh_config_and_the_config_win_over_fabrics_file(cluster: SlurmCluster, home: Path) -> None:
    write_ssh_config(home, cluster, "  User researcher\n", host=cluster.host)
    (home / ".fabric.yml").write_text("user: nobody\nport: 1\ngateway: 'echo no way >&2; false'\n")
    with pytest.raises(ConnectionError, match="ProxyCommand failed: no way"):
        works(by_fabric(cluster))
    (home / ".fabric.yml").write_text("user: nobody\nport: 1\ntimeouts: {connect: 20}\n")
    assert works(by_fabric(cluster))
    assert works(by_fabric(cluster, username="researcher", cluster_port=cluster.port))


def test_fabrics_gateways(cluster: SlurmCluster, home: Path, known: None) -> None:
    """A command, and a Connection of a configuration in Python."""
    key, gate = (cluster.accounts[name].key_file for name in ("researcher", "key"))
    usual = f"user = 'researcher'\nport = {cluster.port}\nconnect_kwargs = {{'key_filename': {str(key)!r}}}\n"
    ssh = f"ssh -F none -o UserKnownHostsFile={cluster.known_hosts} -i {gate} -p %p -W %h:%p key@%h"
    for gateway in (
        f"gateway = {ssh!r}\n",
        f"from fabric import Config, Connection\ngateway = Connection({cluster.host!r}, user='key', "
        f"config=Config(lazy=True), port={cluster.port}, "
        f"connect_kwargs={{'key_filename': [{str(gate)!r}]}})\n",
    ):
        (home / ".fabric.py").write_text(usual + gateway)
        before = cluster.logins()
        config = by_fabric(cluster)
        with ClusterFilesystem(config) as fs:
            assert fs.exists("notes.csv")
            assert cluster.logins() - before == 2
        pool.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("connect_kwargs: {gss_auth: true}\n", "gss_auth can't be used here.*openssh"),
        ("connect_kwargs: {key_filename: /nowhere/key}\nport: many\n", "cluster_port.*fabric"),
        ("connect_kwargs: {key_filename: 5}\n", "key_filename is a path, or a list of paths"),
        ("connect_kwargs: {disabled_algorithms: x}\n", "disabled_algorithms has a list of names"),
        ("gateway: 5\n", "gateway of fabric's configuration is neither"),
        ("port: [\n", "fabric's configuration .* can't be used: .* in line 2; correct"),
    ],
)
def test_what_is_wrong_in_fabrics_file(cluster: SlurmCluster, home: Path, text: str, said: str) -> None:
    (home / ".fabric.yml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        works(by_fabric(cluster))


@pytest.mark.parametrize(
    "text",
    [
        "connect_kwargs: {password: unseen}\n",
        "connect_kwargs: {password: [unseen]}\n",
        "connect_kwargs: unseen\n",
        "connect_kwargs: {password: unseen\n",
    ],
)
def test_a_password_in_fabrics_file_is_told_nobody(
    cluster: SlurmCluster, home: Path, known: None, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (home / ".fabric.yml").write_text(f"port: {cluster.port}\nuser: password\n{text}")
    with caplog.at_level(0), pytest.raises((ConfigError, ConnectionError)) as caught:
        works(by_fabric(cluster))
    assert "unseen" not in "".join(traceback.format_exception(caught.value))
    assert "unseen" not in caplog.text


def test_fabric_works_on_the_same_connection(cluster: SlurmCluster, configure: Configure) -> None:
    before = cluster.logins()
    with ClusterFilesystem(configure()) as fs:
        assert fs.exists(".")
        backend = fs._session().backend
        assert isinstance(backend, SlurmBackend)
        connection = backend._logged_in()
        ran = connection.fabric.run("id -un", hide=True, in_stream=False)
        assert ran.stdout == "key\n"
    assert cluster.logins() - before == 1


def test_unknown_hosts_are_refused(configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match="its host key is not known"):
        works(configure(known_hosts_file=str(tmp_path / "none")))


@pytest.mark.parametrize(
    "fields", [{"ssh_client": "openssh"}, {"ssh_client": "openssh", "module_loads": ["tool"]}]
)
def test_the_systems_ssh(configure: Configure, fields: dict[str, object]) -> None:
    assert works(configure(**fields))
    with pytest.raises(ConnectionError, match="Host key verification failed"):
        works(configure(**fields, known_hosts_file="/nowhere/known"))


HERE = """
import sys
from clustrix_core import ClusterConfig, ClusterFilesystem
fields = dict(cluster_type="slurm", remote_work_dir="/scratch/project", **{fields!r})
with ClusterFilesystem(ClusterConfig(**fields)) as fs:
    print(fs.ls("data"), fs._session().backend.description())
"""


@pytest.mark.parametrize(
    "fields", [{}, {"cluster_host": "localhost"}, {"module_loads": ["snake"], "login_shell": True}]
)
def test_on_the_cluster_itself(cluster: SlurmCluster, fields: dict[str, object]) -> None:
    cluster.python(MAKE, FILES)
    before = cluster.logins()
    done = cluster.namespace.run([sys.executable, "-c", HERE.format(fields=fields)])
    assert done.stdout.startswith(b"['a', 'b'] here, agent, Python 3"), done.stderr
    assert cluster.logins() == before


def test_on_the_cluster_itself_a_broken_module_is_named(cluster: SlurmCluster) -> None:
    done = cluster.namespace.run([sys.executable, "-c", HERE.format(fields={"module_loads": ["broken"]})])
    assert b"ConfigError: slurm: the module 'broken' doesn't load" in done.stderr


def test_not_on_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin-of-nobody")
    with pytest.raises(ConfigError, match="no sbatch on the PATH; give a cluster_host"):
        works(ClusterConfig(cluster_type="slurm"))


def test_sftp_needs_a_host() -> None:
    with pytest.raises(ConfigError, match="'sftp' needs a cluster_host"):
        works(ClusterConfig(cluster_type="slurm", protocol="sftp"))


def test_a_tunnel_is_not_taken_for_this_machine() -> None:
    with pytest.raises(ConfigError, match=r"cluster_port needs .* write cluster_host 127\.0\.0\.1"):
        works(ClusterConfig(cluster_type="slurm", cluster_host="localhost", cluster_port=2222))


def test_trust_takes_a_profile(cluster: SlurmCluster, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port is in fabric's file alone."""
    folder = home / ".config" / "clustrix"
    folder.mkdir(parents=True)
    (folder / "clustrix.yml").write_text(
        f"profiles:\n  there: {{cluster_type: slurm, cluster_host: {cluster.host}}}\n"
        "  here: {cluster_type: slurm}\n"
    )
    (home / ".fabric.yml").write_text(f"port: {cluster.port}\n")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)

    def trust(profile: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "clustrix", "trust", profile]
        return subprocess.run(command, cwd=home, stdin=-3, capture_output=True, text=True, timeout=60)

    assert f"{cluster.host}:{cluster.port} shows the" in trust("there:").stderr
    assert "no host to connect to" in trust("here:").stderr
