"""A real SLURM cluster of two nodes, with environment modules, behind the throwaway SSH server."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal

from clustrix_core.testing.servers.ssh import PATIENCE, SshServer, free_port

ModuleSystem = Literal["lmod", "environment-modules", "none"]

ENVIRONMENT_MODULES = Path("/opt/clustrix-tests/environment-modules")  # where tests/install-servers puts it
NODES = ("c1", "c2")
STARTS = 5  # tries: another program may take a port that was free

SLURM_CONF = """
ClusterName=testbed
SlurmctldHost=localhost
AuthType=auth/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin={tasks}
ReturnToService=2
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmctldPidFile={base}/slurm/slurmctld.pid
SlurmctldLogFile={base}/slurm/slurmctld.log
StateSaveLocation={base}/slurm/state
SlurmdPidFile={base}/slurm/%n.pid
SlurmdSpoolDir={base}/slurm/spool-%n
SlurmdLogFile={base}/slurm/%n.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
JobCompType=jobcomp/none
{accounting}
GresTypes=gpu
MessageTimeout=10
NodeName=c1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=4000 Features=fast,ssd Gres=gpu:tesla:2 State=UNKNOWN
NodeName=c2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes=c1 MaxTime=00:30:00 DefaultTime=00:05:00 MaxNodes=1 MaxMemPerNode=2000 State=UP
PartitionName=closed Nodes=c2 MaxTime=1-00:00:00 State=DOWN
{settings}
"""  # noqa: E501

NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none"
ACCOUNTING = """AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={ports[3]}"""

SLURMDBD_CONF = """
AuthType=auth/munge
DbdHost=localhost
DbdPort={ports[3]}
SlurmUser=root
PidFile={base}/slurm/slurmdbd.pid
LogFile={base}/slurm/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[4]}
StorageUser=root
"""

CAN_LIMIT_MEMORY = os.access("/sys/fs/cgroup/memory/cgroup.procs", os.W_OK)
"""Whether this machine has control groups for memory, of version 1; SLURM wants systemd for the second."""

CGROUP_CONF = "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nConstrainRAMSpace=yes\n"

GRES_CONF = "NodeName=c1 Name=gpu Type=tesla File={base}/slurm/gpu[0-1]\n"

SETUP = """
mkdir -p far/site
mount -t tmpfs -o mode=755 tmpfs /scratch
mkdir -m 1777 /scratch/project
cp -r etc/site/. far/site
mkdir -m 755 /run/munge
mount --bind etc/slurm /etc/slurm
mount --bind etc/profile.d /etc/profile.d
"""

LMOD_SETUP = "mount --bind etc/lmod /etc/lmod\n"
NO_LMOD = "mount -t tmpfs tmpfs /usr/share/lmod\n"

LMOD_PROFILE = """
export MODULEPATH={site}/lmod/Core
. /usr/share/lmod/lmod/init/profile
"""

MODULES_PROFILE = """
. {modules}/usr/share/modules/init/bash
module use {site}/tcl
"""

# In `{site}`, a folder that only the cluster sees.
LMOD_FILES = {
    "lmod/Core/tool/1.0.lua": 'setenv("TOOL_HOME", "{site}/tool")\nprepend_path("PATH", "{site}/tool/bin")\n',
    "lmod/Core/tool/2.0.lua": 'setenv("TOOL_HOME", "{site}/tool-2")\n',
    "lmod/Core/snake/3.lua": 'prepend_path("PATH", "{site}/snake/bin")\n',
    "lmod/Core/compiler/12.lua": 'prepend_path("MODULEPATH", "{site}/lmod/Compiler")\n',
    "lmod/Core/chatty/1.lua": 'LmodMessage("a message of chatty")\nsetenv("CHATTY", "1")\n',
    "lmod/More/warns/1.lua": 'LmodWarning("warns is old")\nsetenv("WARNS", "1")\n',
    "lmod/More/flaky/1.lua": 'setenv("FLAKY", "1")\n',
    "lmod/More/flaky/2.lua": 'LmodError("flaky 2 is broken")\n',
    "lmod/Core/broken/1.lua": 'LmodError("the license server of broken is down")\n',
    "lmod/Compiler/library/4.lua": 'setenv("LIBRARY", "4")\n',
    "lmod/More/extra/1.lua": 'setenv("EXTRA", "1")\n',
}
TCL_FILES = {
    "tcl/tool/1.0": "#%Module\nsetenv TOOL_HOME {site}/tool\nprepend-path PATH {site}/tool/bin\n",
    "tcl/snake/3": "#%Module\nprepend-path PATH {site}/snake/bin\n",
    "tcl/broken/1": "#%Module\nerror {{the license server of broken is down}}\n",
    "more/extra/1": "#%Module\nsetenv EXTRA 1\n",
}
PYTHON = '#!/bin/sh\nSNAKE=module exec /usr/bin/python3 "$@"\n'  # tells by its environment which one it is


class SlurmCluster(SshServer):
    """A running cluster, whose login node is the SSH server; a context manager. It needs root.

    Two nodes, `c1` (with features and two GPUs, on paper) and `c2`, and the partitions `debug`, `short` and
    `closed`. `slurm.conf` is where logins find it, and `/scratch/project` is a folder for everybody. There
    are modules for shells that look for them: `tool/1.0`, `snake/3` (which brings a Python), `broken/1`, and
    `extra/1` in the folder `more_modules`; with Lmod also `tool/2.0`, `chatty/1`, and `library/4`, which
    `compiler/12` uncovers, and in `more_modules` `warns/1`, `flaky/1`, and the broken `flaky/2`.

    Args:
        modules: the module system.
        settings: further lines of `slurm.conf`.
        accounting: whether it keeps accounts, in a database of its own.
        memory_limits: whether jobs that need more memory than they have asked for are ended, by the kernel:
            see `CAN_LIMIT_MEMORY`.

    Attributes:
        more_modules: a folder of module files that isn't searched by itself.
    """

    def __init__(
        self,
        modules: ModuleSystem = "lmod",
        settings: str = "",
        accounting: bool = False,
        memory_limits: bool = False,
    ) -> None:
        self.modules, self.settings, self.accounting = modules, settings, accounting
        self.memory_limits = memory_limits

    def _prepare(self) -> None:
        super()._prepare()
        etc, site = self.base / "etc", f"{self.base}/far/site"
        for folder in ("slurm", "etc/slurm", "etc/profile.d", "etc/lmod", "etc/site"):
            (self.base / folder).mkdir()
        self._write_private("munge.key", secrets.token_hex(64))
        self.more_modules = f"{site}/lmod/More" if self.modules == "lmod" else f"{site}/more"
        if self.memory_limits:
            (etc / "slurm" / "cgroup.conf").write_text(CGROUP_CONF)
        (etc / "slurm" / "gres.conf").write_text(GRES_CONF.format(base=self.base))
        for number in range(2):
            (self.base / "slurm" / f"gpu{number}").touch()
        (etc / "lmod" / "modulespath").write_text(f"{site}/lmod/Core\n")
        profile = {"lmod": LMOD_PROFILE, "environment-modules": MODULES_PROFILE, "none": ""}[self.modules]
        if profile:
            name = "z00_lmod.sh" if self.modules == "lmod" else "modules.sh"
            text = profile.format(site=site, modules=ENVIRONMENT_MODULES)
            (etc / "profile.d" / name).write_text(text)
        files = LMOD_FILES if self.modules == "lmod" else TCL_FILES
        for name, text in {**files, "snake/bin/python3": PYTHON}.items():
            path = etc / "site" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.format(site=site))
            path.chmod(0o755)

    def _setup(self) -> str:
        return super()._setup() + SETUP + (LMOD_SETUP if self.modules == "lmod" else NO_LMOD)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for node in NODES if self.memory_limits else ():
            for folder, _, _ in os.walk(f"/sys/fs/cgroup/memory/slurm_{node}", topdown=False):
                with suppress(OSError):  # another cluster's
                    os.rmdir(folder)

    def start(self) -> None:
        """Start sshd and the cluster, on the same ports as before."""
        super().start()
        self._start_munge()
        for _ in range(STARTS):
            if not hasattr(self, "_ports"):
                self._new_ports()
            if self.accounting:
                self._start_accounting()
            self._run_controller()
            self._nodes = {node: self._run_node(node) for node in NODES}
            if self._are_up():
                return
            for daemon in (*self._nodes.values(), self._controller):
                daemon.kill()
                daemon.wait()
            del self._ports
        raise RuntimeError(f"SLURM doesn't start: {self.slurm_log()[-4000:]}")

    def _start_munge(self) -> None:
        files = f"--key-file={self.base}/munge.key", "--seed-file=/run/munge/seed"
        munged = self._daemon("munged", "/usr/sbin/munged", "--foreground", *files)
        deadline = time.monotonic() + PATIENCE
        while self._inside().run(["munge", "--no-input"]).returncode:
            if munged.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"munged doesn't start: {self.slurm_log()}")
            time.sleep(0.01)

    def _new_ports(self) -> None:
        self._ports = [free_port() for _ in range(5)]
        known = {"base": self.base, "ports": self._ports}
        accounting = (ACCOUNTING if self.accounting else NO_ACCOUNTING).format(**known)
        tasks = "task/cgroup" if self.memory_limits else "task/none"
        text = SLURM_CONF.format(**known, settings=self.settings, accounting=accounting, tasks=tasks)
        (self.base / "etc" / "slurm" / "slurm.conf").write_text(text)
        if self.accounting:
            self._write_private("etc/slurm/slurmdbd.conf", SLURMDBD_CONF.format(**known))

    def _start_accounting(self) -> None:
        data, port = f"{self.base}/database", self._ports[4]
        where = "--no-defaults", f"--datadir={data}", "--user=root"
        if not os.path.exists(data):
            made = self._inside().run(["mariadb-install-db", *where, "--skip-test-db", "--skip-name-resolve"])
            if made.returncode:
                raise RuntimeError(f"no database can be made: {made.stderr.decode(errors='replace')}")
        reached = f"--port={port}", "--bind-address=127.0.0.1", f"--socket={self.base}/database.sock"
        self._daemon("mariadbd", "mariadbd", *where, *reached, "--skip-grant-tables")
        self._daemon("slurmdbd", "/usr/sbin/slurmdbd", "-D")
        deadline = time.monotonic() + PATIENCE
        while self._inside().run(["sacctmgr", "-i", "-Q", "add", "cluster", "testbed"]).returncode:
            if time.monotonic() > deadline:
                raise RuntimeError(f"slurmdbd doesn't start: {self.slurm_log()[-4000:]}")
            time.sleep(0.1)

    def _daemon(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        return self._inside().start(command, self.base / "slurm" / f"{name}.out")

    def start_controller(self) -> None:
        """Start slurmctld again, and wait until the nodes take jobs."""
        self._run_controller()
        if not self._are_up():
            raise RuntimeError(f"SLURM doesn't start again: {self.slurm_log()[-4000:]}")

    def _run_controller(self) -> None:
        self._controller = self._daemon("slurmctld", "/usr/sbin/slurmctld", "-D")

    def stop_controller(self) -> None:
        """End slurmctld. All else goes on."""
        self._controller.terminate()  # so that it saves the states of the nodes
        self._controller.wait()

    def kill_controller(self) -> None:
        """Kill slurmctld, as if its machine's power had failed."""
        self._controller.kill()
        self._controller.wait()

    @contextmanager
    def frozen_controller(self) -> Iterator[None]:
        """As long as this is entered, slurmctld takes what it is asked, and answers nothing."""
        self._controller.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._controller.send_signal(signal.SIGCONT)

    def kill_node(self, node: str) -> None:
        """Kill a node's slurmd with all that it runs, as if its power had failed."""
        daemon = self._nodes[node]
        doomed = {daemon.pid}
        for pid in self.processes():
            with suppress(OSError):
                process = Path(f"/proc/{pid}")
                if f"SLURMD_NODENAME={node}\0" in (process / "environ").read_text(errors="replace"):
                    doomed |= {pid, int((process / "stat").read_text().rpartition(")")[2].split()[1])}
        for number in (signal.SIGSTOP, signal.SIGKILL):  # so that none lives to tell of another's end
            for pid in doomed & {*self.processes()}:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        daemon.wait()

    def start_node(self, node: str) -> None:
        """Start a node that was killed, and wait until all nodes take jobs."""
        self._nodes[node] = self._run_node(node)
        if not self._are_up():
            raise RuntimeError(f"SLURM's node {node} doesn't start again: {self.slurm_log()[-4000:]}")

    def _run_node(self, node: str) -> subprocess.Popen[bytes]:
        return self._daemon(node, "/usr/sbin/slurmd", "-D", "-N", node)

    def _are_up(self) -> bool:
        """Wait until both nodes take jobs; false if a daemon ended, as when another has its port."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if any(daemon.poll() is not None for daemon in (*self._nodes.values(), self._controller)):
                return False
            states = self._inside().run(["sinfo", "--noheader", "--Node", "--format=%t"]).stdout.split()
            if states and set(states) == {b"idle"}:
                return True
            time.sleep(0.05)
        raise RuntimeError(f"SLURM's nodes don't come up: {self.slurm_log()[-4000:]}")

    def slurm_log(self) -> str:
        """What SLURM's and munge's daemons have logged."""
        files = sorted(self.base.glob("slurm/*.out")) + sorted(self.base.glob("slurm/*.log"))
        return "\n".join(f"{file.name}:\n{file.read_text(errors='replace')}" for file in files)
