"""A host behind lines of various lengths: what the SSH measurements go to.

One throwaway SLURM cluster, whose sshd serves everybody, with a relay for each round-trip time, and OpenSSH's
master connection through each.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ssh_contenders import SshPlace

from clustrix_core.testing.servers import Relay, SlurmCluster

AGENT = b"zlib.decompress"
"""In the command line of an agent."""


@dataclass(frozen=True)
class Line:
    """A way to the host that takes `rtt` milliseconds there and back."""

    rtt: int
    relay: Relay
    place: SshPlace


@contextmanager
def lines(cluster: SlurmCluster, round_trips: tuple[int, ...]) -> Iterator[dict[int, Line]]:
    """Lines by their round-trip times in milliseconds."""
    with ExitStack() as stack:
        yield {rtt: stack.enter_context(_line(cluster, rtt)) for rtt in round_trips}


@contextmanager
def _line(cluster: SlurmCluster, rtt: int) -> Iterator[Line]:
    account = cluster.accounts["root"]
    with Relay(cluster.port, rtt / 1000) as relay:
        known_hosts = cluster.base / f"known_hosts-{rtt}"
        known_hosts.write_text(
            cluster.known_hosts.read_text().replace(f":{cluster.port} ", f":{relay.port} ")
        )
        place = SshPlace(relay.port, str(account.key_file), str(known_hosts), f"{cluster.base}/control-{rtt}")
        with _master(place):
            yield Line(rtt, relay, place)


@contextmanager
def _master(place: SshPlace) -> Iterator[None]:
    command = place.ssh("-M", "-N", f"-S{place.control}", "root@127.0.0.1")
    master = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        while not Path(place.control).exists():
            if master.poll() is not None:
                raise RuntimeError("OpenSSH's master connection failed; see its message above")
            time.sleep(0.01)
        yield
    finally:
        master.terminate()
        master.wait()


def agents(cluster: SlurmCluster) -> list[int]:
    """The processes of the agents that run there, without the shells that started them."""
    return [process for process in cluster.processes() if _is_agent(process)]


def _is_agent(process: int) -> bool:
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:  # it ended meanwhile
        return False
    return AGENT in b" ".join(words) and b"python" in words[0]
