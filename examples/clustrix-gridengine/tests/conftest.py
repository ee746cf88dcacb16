"""A real Grid Engine behind the throwaway SSH server, in its mount namespace."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig
from clustrix_core.testing.servers import Account, SshServer, free_port

Configure = Callable[..., ClusterConfig]

PATIENCE = 20.0  # seconds for a daemon to start
# Debian's package has made a cell: a copy of it, with ports of its own, covers it. $1 to $4: the ports, and
# its manager's lines in passwd and group, of which the server has its own.
CELL = """
echo "$3" >>/etc/passwd
echo "$4" >>/etc/group
for folder in lib spool; do
    cp -a /var/$folder/gridengine /run/gridengine-$folder
    mount --bind /run/gridengine-$folder /var/$folder/gridengine
done
sed -E "/^sge.(qmaster|execd)/d" /etc/services >/run/services
printf 'sge_qmaster %s/tcp\nsge_execd %s/tcp\n' "$1" "$2" >>/run/services
mount --bind /run/services /etc/services
cd /var/lib/gridengine/default/common
echo localhost >act_qmaster
echo "localhost $(hostname)" >host_aliases
"""
QUEUE = """
manage() { runuser -u sgeadmin -- qconf "$@"; }
manage -as localhost
printf 'group_name @allhosts\nhostlist localhost\n' >/run/hosts
manage -Ahgrp /run/hosts
printf '%s\n' 'pe_name smp' 'slots 99' 'user_lists NONE' 'xuser_lists NONE' 'start_proc_args /bin/true' \\
    'stop_proc_args /bin/true' 'allocation_rule $pe_slots' 'control_slaves FALSE' 'job_is_first_task TRUE' \\
    'urgency_slots min' 'accounting_summary FALSE' 'qsort_args NONE' >/run/pe
manage -Ap /run/pe
template='s/^(qname +).*/\\1all.q/; s/^(hostlist +).*/\\1@allhosts/; s/^(pe_list +).*/\\1smp/
s/^(slots +).*/\\12/; s/^(load_thresholds +).*/\\1NONE/'
qconf -sq | sed -E "$template" >/run/queue
manage -Aq /run/queue
at_once='s/^(schedule_interval +).*/\\10:0:1/; s/^(flush_(submit|finish)_sec +).*/\\11/'
qconf -ssconf | sed -E "$at_once" >/run/scheduler
manage -Msconf /run/scheduler
"""


class GridEngine:
    """A qmaster with a queue; `stop` and `start` are for the tests of what is said when it is down."""

    def __init__(self, server: SshServer) -> None:
        self.server = server
        manager = [_line(database, "sgeadmin") for database in ("passwd", "group")]
        self.sh(CELL, str(free_port()), str(free_port()), *manager)
        self.start()
        self.sh(QUEUE)
        self._start("sge_execd")

    def sh(self, script: str, *arguments: str) -> str:
        """Run a shell script there, as root."""
        assert self.server.namespace is not None
        done = self.server.namespace.run(["sh", "-ec", script, "sh", *arguments])
        assert done.returncode == 0, done
        return done.stdout.decode()

    def start(self) -> None:
        assert self.server.namespace is not None
        self.qmaster, log = self._start("sge_qmaster")
        deadline = time.monotonic() + PATIENCE
        while self.server.namespace.run(["qconf", "-sss"]).returncode:
            if self.qmaster.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the qmaster doesn't start: {log.read_text(errors='replace')}")
            time.sleep(0.05)

    def _start(self, daemon: str) -> tuple[subprocess.Popen[bytes], Path]:
        assert self.server.namespace is not None
        foreground = ["env", "SGE_ND=1", "SGE_ROOT=/var/lib/gridengine", "SGE_CELL=default"]
        log = self.server.base / f"{daemon}.log"
        return self.server.namespace.start([*foreground, f"/usr/sbin/{daemon}"], log), log

    def stop(self) -> None:
        self.qmaster.kill()
        self.qmaster.wait()


def _line(database: str, name: str) -> str:
    return subprocess.run(
        ["getent", database, name], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="session")
def cluster() -> Iterator[GridEngine]:
    with SshServer() as server:
        yield GridEngine(server)


@pytest.fixture(scope="session")
def configure(cluster: GridEngine) -> Configure:
    """Makes a config for an account of the cluster."""
    server = cluster.server

    def make(
        account: Account = server.accounts["key"],
        model: type[ClusterConfig] = ClusterConfig,
        **fields: object,
    ) -> ClusterConfig:
        return model(
            **{
                "cluster_type": "gridengine",
                "cluster_host": server.host,
                "cluster_port": server.port,
                "username": account.name,
                "key_file": str(account.key_file),
                "known_hosts_file": str(server.known_hosts),
                "ssh_config_file": "none",
                "use_agent": False,
                "remote_work_dir": server.root,
                **fields,
            }
        )

    return make
