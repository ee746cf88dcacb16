"""What the benchmarks run on and with."""

from __future__ import annotations

import datetime
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
SERVERS = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
BUILD = HERE.parent / "build" / "benchmarks"

OURS = ("clustrix-core", "clustrix-local", "clustrix-ssh", "clustrix-slurm", "pydantic", "paramiko")
THEIRS = """
from importlib.metadata import version
names = "fsspec", "sshfs", "asyncssh", "paramiko", "joblib", "loky", "numpy", "submitit"
print(*(f"{name} {version(name)}" for name in names), sep=", ")
"""


def say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


def output(command: Sequence[str | Path]) -> str:
    """What a command that must succeed writes, stripped."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def what_is_missing(parts: Sequence[str]) -> str:
    """What to do before the benchmarks can run, or nothing."""
    if not sys.platform.startswith("linux"):
        return "the benchmarks compare with GNU find and read /proc: run them on Linux"
    commands = [
        command for command in ("find", "sort", "du", "df", "wc", "sha256sum") if not shutil.which(command)
    ]
    if commands:
        return f"not on the PATH: {', '.join(commands)}; install GNU findutils and coreutils"
    if not importlib.util.find_spec("matplotlib"):
        return "matplotlib is missing: run `make bench`, which installs it"
    if {"ssh", "jobs"} & {*parts} and (os.geteuid() != 0 or not shutil.which("slurmctld", path=SERVERS)):
        return "SSH and jobs need root and servers: run `make bench`, or `benchmarks/run.py local`"
    return ""


def peers_python() -> Path:
    """The interpreter of the peers' environment, made when need be: the same Python as this one."""
    say("preparing the peers' environment")
    return _python_with("peers", "--requirement", HERE / "requirements-peers.txt")


def users_python() -> Path:
    """The interpreter of an environment of one who has installed Clustrix, and nothing else."""
    say("preparing a user's environment")
    checkout = HERE.parent
    # Its version doesn't change as its files do.
    return _python_with("user", "--force-reinstall", checkout, checkout / "plugins" / "local")


def _python_with(name: str, *installed: str | Path) -> Path:
    folder = BUILD / f"{name}-{platform.python_version()}"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *installed], check=True)
    return python


def facts(scratch: str, peers: Path) -> dict[str, str]:
    """What a reader needs to know of the machine and the versions."""
    theirs = output([peers, "-c", THEIRS])
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    filesystem = output(["df", "--output=fstype", scratch]).split()[-1]
    ours = ", ".join(f"{name} {version(name)}" for name in OURS)
    return {
        "Date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "Machine": f"{os.cpu_count()} cores, {processor()}, {memory:.0f} GiB",
        "System": f"{platform.system()} {platform.release()}; the trees are on {filesystem}",
        "Load when it began": f"{os.getloadavg()[0]:.2f}",
        "Versions": f"Python {platform.python_version()}, {ours}, {theirs}, "
        f"{first_line('find')}, {first_line('du')}",
    }


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def first_line(command: str) -> str:
    return output([command, "--version"]).splitlines()[0]
