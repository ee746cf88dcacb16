"""What is compared over SSH: each contender answers one question about a place on a host.

The first contender of each operation is Clustrix with its agent. The peers, fsspec's two, are asked about the
operation's `part` where it has one, and their time is multiplied by its `scale`; they would take an hour for
the whole. Round-trip times are milliseconds.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from contenders import Contender, unseen

RTTS = (0, 10, 50, 150)
FILES_AT_ONCE = 1000  # that are stat'ed
PEERS_AT_MOST = 1 / 200
BEYOND_AT_MOST = 1.1 * 50 + 3  # ms
MEGABYTE = 1 << 20

MODULES = ["tool"]  # which the throwaway cluster has
WAYS: dict[str, dict[str, object]] = {
    "clustrix ssh": {"cluster_type": "ssh", "protocol": "agent"},
    "clustrix slurm": {"cluster_type": "slurm", "module_loads": MODULES},
    "clustrix ssh, SFTP": {"cluster_type": "ssh", "protocol": "sftp"},
}


@dataclass(frozen=True)
class SshPlace:
    """How to get to the host, and what to ask about there.

    Attributes:
        control: the socket of OpenSSH's master connection.
        target: a folder or a file.
        number: how many of its files are meant, where not all of them are.
    """

    port: int
    key: str
    known_hosts: str
    control: str
    target: str = ""
    number: int = 0

    def ssh(self, *arguments: str, program: str = "ssh") -> list[str]:
        port = "-p" if program == "ssh" else "-P"
        options = ["-F", "none", "-o", f"UserKnownHostsFile={self.known_hosts}", "-i", self.key]
        return [program, *options, "-o", "BatchMode=yes", port, str(self.port), *arguments]

    def files(self) -> list[str]:
        """The first files of the target, a folder of `trees`."""
        return [
            f"{self.target}/file_{index:05}.{'csv' if index % 2 else 'dat'}" for index in range(self.number)
        ]


def place_of(told: dict[str, Any]) -> SshPlace:
    return SshPlace(**told)


@dataclass(frozen=True)
class Scope:
    """What a question is about: a path in the scratch folder, or a number of files in it."""

    path: str
    number: int = 0


@dataclass(frozen=True)
class SshOperation:
    """One question.

    Attributes:
        rtts: of the lines over which it is asked.
        rounds: at most so many.
        warm: whether its answer has to come in one round trip.
        memory: whether memory is reported.
    """

    title: str
    contenders: tuple[Contender, ...]
    whole: Scope
    part: Scope | None = None
    scale: int = 1
    rtts: tuple[int, ...] = RTTS
    rounds: int = 99
    warm: bool = False
    memory: bool = False
    plotted: bool = False

    @property
    def asked_at(self) -> int:
        """The round-trip time at which requirements hold."""
        return 50 if 50 in self.rtts else self.rtts[0]


# Clustrix


@cache
def filesystem(way: str, place: SshPlace) -> Any:
    from clustrix import ClusterConfig, ClusterFilesystem

    if way == "on the host itself":
        return ClusterFilesystem(ClusterConfig())
    return ClusterFilesystem(config_of(way, place))


@cache
def config_of(way: str, place: SshPlace) -> Any:
    from clustrix import ClusterConfig

    return ClusterConfig(
        cluster_host="127.0.0.1",
        cluster_port=place.port,
        username="root",
        key_file=place.key,
        known_hosts_file=place.known_hosts,
        ssh_config_file="none",
        use_agent=False,
        **WAYS[way],
    )


def host(place: SshPlace) -> SshPlace:
    """The place without a target: what connections are kept by."""
    return replace(place, target="", number=0)


Ask = Callable[[Any, SshPlace], Any]


def ours(ask: Ask, read: Callable[[Any, Any], Any] = lambda answer, place: answer) -> tuple[Contender, ...]:
    """Clustrix by all its ways, and on the host itself: that is the work without the line."""
    return tuple(
        Contender(way, lambda place, way=way: ask(filesystem(way, host(place)), place), read=read)
        for way in (*WAYS, "on the host itself")
    )


def as_function(fs: Any, place: SshPlace) -> Any:
    from clustrix import cluster_exists

    return cluster_exists(place.target, fs.config)


def first_answer(way: str) -> Contender:
    def run(place: SshPlace) -> bool:
        from clustrix import ClusterFilesystem
        from clustrix_core.session import pool

        with ClusterFilesystem(config_of(way, host(place))) as fs:
            answer = fs.exists(place.target)
        FINISH.append(pool.close)
        return bool(answer)

    return Contender(way, run, read=finished)


FINISH: list[Callable[[], object]] = []
"""What is to be done once the time is taken."""


def finished(answer: Any, place: SshPlace) -> Any:
    while FINISH:
        FINISH.pop()()
    return answer


COLD = """
import sys
from clustrix import ClusterConfig, cluster_exists
config = ClusterConfig(
    cluster_type="ssh", cluster_host="127.0.0.1", cluster_port=int(sys.argv[1]), username="root",
    key_file=sys.argv[2], known_hosts_file=sys.argv[3], ssh_config_file="none", use_agent=False,
)
print(cluster_exists(sys.argv[4], config))
"""


def cold_process(place: SshPlace) -> bool:
    command = [sys.executable, "-c", COLD, str(place.port), place.key, place.known_hosts, place.target]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout == b"True\n"


# OpenSSH


def multiplexed(
    command: str, read: Callable[[Any, Any], Any], at_most: float | None = None, label: str = ""
) -> Contender:
    """`ssh` over the master connection, which runs a command with the target behind it as `$1`."""

    def run(place: SshPlace) -> bytes:
        line = place.ssh(f"-S{place.control}", "root@127.0.0.1", f"set -- '{place.target}'; {command}")
        names = "\n".join(place.files()).encode()
        return subprocess.run(line, check=True, input=names, stdout=subprocess.PIPE).stdout

    return Contender(label or f"ssh, multiplexed: {command}", run, at_most, read)


def ssh_true(place: SshPlace) -> None:
    line = place.ssh("root@127.0.0.1", "true")
    subprocess.run(line, check=True, stdin=subprocess.DEVNULL)


def scp(*, put: bool) -> Callable[[SshPlace], int]:
    def run(place: SshPlace) -> int:
        there = f"root@127.0.0.1:{place.target}"
        ends = [place.target, f"{there}.put"] if put else [there, f"{place.target}.got"]
        subprocess.run(place.ssh("-q", *ends, program="scp"), check=True)
        return os.path.getsize(place.target)

    return run


def output_lines(output: bytes, place: SshPlace) -> list[str]:
    return output.decode().splitlines()


def numbers(output: bytes, place: SshPlace) -> list[int]:
    return [int(line) for line in output.split()]


def number(output: bytes, place: SshPlace) -> int:
    return int(output)


def paths_and_sizes(output: bytes, place: SshPlace) -> list[list[Any]]:
    rows = [line.split("\t") for line in output.decode().splitlines()]
    return [[path, int(size)] for path, size in rows]


def true(output: bytes, place: SshPlace) -> bool:
    return True


# the peers


def new_fsspec_sftp(place: SshPlace) -> Any:
    return importlib.import_module("fsspec.implementations.sftp").SFTPFileSystem(
        "127.0.0.1",
        port=place.port,
        username="root",
        key_filename=place.key,
        skip_instance_cache=True,
    )


def new_sshfs(place: SshPlace) -> Any:
    return importlib.import_module("sshfs").SSHFileSystem(
        "127.0.0.1",
        port=place.port,
        username="root",
        client_keys=[place.key],
        known_hosts=place.known_hosts,
        skip_instance_cache=True,
    )


PEERS = {"fsspec sftp": new_fsspec_sftp, "sshfs (asyncssh)": new_sshfs}


@cache
def peer(label: str, place: SshPlace) -> Any:
    return PEERS[label](place)


def with_slash(answer: Any, place: SshPlace) -> Any:
    """Put back the "/" that sshfs leaves out."""
    if isinstance(answer, list) and answer and isinstance(answer[0], str):
        return sorted("/" + path.lstrip("/") for path in answer)
    return answer


def base_names(answer: list[str], place: SshPlace) -> list[str]:
    return sorted(map(os.path.basename, answer))


def peers(
    ask: Ask, at_most: float | None = None, read: Callable[[Any, Any], Any] = with_slash
) -> tuple[Contender, ...]:
    """fsspec's file systems."""
    return tuple(
        Contender(label, lambda place, label=label: ask(peer(label, host(place)), place), at_most, read, True)
        for label in PEERS
    )


def first_answers_of_peers() -> tuple[Contender, ...]:
    return tuple(
        Contender(label, lambda place, make=make: bool(make(host(place)).exists(place.target)), peer=True)
        for label, make in PEERS.items()
    )


@cache
def paramiko_sftp(place: SshPlace) -> Any:
    """paramiko's own SFTP at its best: TCP_NODELAY, large windows, the fastest cipher."""
    import socket

    paramiko = importlib.import_module("paramiko")
    line = socket.create_connection(("127.0.0.1", place.port))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(line)
    options = transport.get_security_options()
    ciphers = [cipher for cipher in ("aes128-gcm@openssh.com", "aes128-ctr") if cipher in options.ciphers]
    options.ciphers = tuple(dict.fromkeys([*ciphers, *options.ciphers]))
    transport.connect(username="root", pkey=paramiko.Ed25519Key.from_private_key_file(place.key))
    return paramiko.SFTPClient.from_transport(transport, window_size=1 << 25, max_packet_size=1 << 15)


def paramiko_get(place: SshPlace) -> int:
    paramiko_sftp(host(place)).get(place.target, f"{place.target}.got", max_concurrent_prefetch_requests=512)
    return os.path.getsize(f"{place.target}.got")


def paramiko_put(place: SshPlace) -> int:
    return int(paramiko_sftp(host(place)).put(place.target, f"{place.target}.put").st_size)


# streams and copies


def hashed(blocks: Iterable[bytes]) -> str:
    sha256 = hashlib.sha256()
    for block in blocks:
        sha256.update(block)
    return sha256.hexdigest()


def stream(fs: Any, place: SshPlace) -> str:
    found = fs.iterfind("*", place.target)
    return hashed(path.encode() + b"\n" for path in found)


def stream_of_ssh(place: SshPlace) -> str:
    command = f"find '{place.target}' -type f | LC_ALL=C sort"
    line = place.ssh(f"-S{place.control}", "root@127.0.0.1", command)
    with subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        return hashed(iter(lambda: process.stdout.read(1 << 18), b""))  # type: ignore[union-attr]


def stream_of_peer(fs: Any, place: SshPlace) -> str:
    return hashed(f"/{path.lstrip('/')}\n".encode() for path in sorted(fs.find(place.target)))


COPYING = ("clustrix ssh", "clustrix ssh, SFTP")


def copies(size: int, rtt: int) -> tuple[SshOperation, ...]:
    """`get` and `put` of a file of so many MB."""
    scope = Scope(f"blob-{size}")
    title = f"of {size:,} MB at {rtt} ms"
    common: dict[str, Any] = {"whole": scope, "rtts": (rtt,), "rounds": 3, "memory": True}
    return tuple(
        SshOperation(
            f"{name} {title}",
            (
                *(way for way in ours(ask) if way.label in COPYING),
                Contender("scp", scp(put=name == "put"), 2.0),
                Contender("paramiko's SFTP at its best", best, 1.0, peer=True),
            ),
            **common,
        )
        for name, ask, best in (
            ("get", lambda fs, place: fs.get(place.target, f"{place.target}.got"), paramiko_get),
            ("put", lambda fs, place: fs.put(place.target, f"{place.target}.put"), paramiko_put),
        )
    )


TREE, FLAT, A_FILE = Scope("tree"), Scope("flat"), Scope("flat/file_00001.csv")
TENTH, THOUSANDTH = Scope("tree/g00"), Scope("tree/g00/d0000")

OPERATIONS: tuple[SshOperation, ...] = (
    SshOperation(
        "From nothing to the first answer",
        (
            *(first_answer(way) for way in WAYS),
            Contender("clustrix ssh, as a cold process", cold_process),
            Contender("ssh host true", ssh_true, 1.0, unseen),
            *first_answers_of_peers(),
        ),
        A_FILE,
        plotted=True,
    ),
    SshOperation(
        "exists()",
        (
            *ours(lambda fs, place: fs.exists(place.target)),
            multiplexed('test -e "$1"', true),
            *peers(lambda fs, place: fs.exists(place.target)),
        ),
        A_FILE,
        warm=True,
        plotted=True,
    ),
    SshOperation("isdir()", ours(lambda fs, place: fs.isdir(place.target)), A_FILE, rtts=(50,), warm=True),
    SshOperation("isfile()", ours(lambda fs, place: fs.isfile(place.target)), A_FILE, rtts=(50,), warm=True),
    SshOperation("cluster_exists()", ours(as_function), A_FILE, rtts=(50,), warm=True),
    SshOperation(
        "stat() of one path",
        (
            *ours(lambda fs, place: fs.stat(place.target).size),
            multiplexed('stat -c %s "$1"', number),
            *peers(lambda fs, place: fs.info(place.target)["size"]),
        ),
        A_FILE,
        warm=True,
    ),
    SshOperation(
        "stat() of 1,000 paths",
        (
            *ours(lambda fs, place: [info.size for info in fs.stat(place.files())]),
            multiplexed("xargs stat -c %s", numbers),
            *peers(lambda fs, place: [fs.info(path)["size"] for path in place.files()]),
        ),
        Scope("flat", 1000),
        Scope("flat", 20),
        50,
        warm=True,
        plotted=True,
    ),
    SshOperation(
        "ls() of 10,000",
        (
            *ours(lambda fs, place: fs.ls(place.target)),
            multiplexed('LC_ALL=C ls -A "$1"', output_lines),
            *peers(lambda fs, place: fs.ls(place.target, detail=False), read=base_names),
        ),
        FLAT,
        FLAT,
        warm=True,
        plotted=True,
    ),
    SshOperation(
        "glob('*.csv') of 10,000",
        (
            *ours(lambda fs, place: fs.glob("*.csv", place.target)),
            multiplexed("LC_ALL=C; printf '%s\\n' \"$1\"/*.csv", output_lines),
            *peers(lambda fs, place: fs.glob(f"{place.target}/*.csv")),
        ),
        FLAT,
        FLAT,
        warm=True,
    ),
    SshOperation(
        "count_files()",
        (
            *ours(lambda fs, place: fs.count_files(place.target)),
            multiplexed('find "$1" -type f | wc -l', number),
        ),
        TREE,
        rounds=5,
        warm=True,
    ),
    SshOperation(
        "find('*')",
        (
            *ours(lambda fs, place: fs.find("*", place.target)),
            multiplexed('find "$1" -type f | LC_ALL=C sort', output_lines, 1.2),
            *peers(lambda fs, place: fs.find(place.target), PEERS_AT_MOST),
        ),
        TREE,
        TENTH,
        10,
        rounds=5,
        plotted=True,
    ),
    SshOperation(
        "du()",
        (
            *ours(lambda fs, place: fs.du(place.target).total_bytes),
            multiplexed("find \"$1\" -type f -printf '%s\\n' > /dev/null", unseen, 1.5),
            *peers(lambda fs, place: fs.du(place.target), PEERS_AT_MOST),
        ),
        TREE,
        THOUSANDTH,
        1000,
        rounds=5,
        plotted=True,
    ),
    SshOperation(
        "find('*', detail=True)",
        (
            *ours(
                lambda fs, place: fs.find("*", place.target, detail=True),
                lambda found, place: [[info.path, info.size] for info in found],
            ),
            multiplexed("find \"$1\" -type f -printf '%p\\t%s\\n' | LC_ALL=C sort", paths_and_sizes),
        ),
        TREE,
        rounds=5,
    ),
    *copies(1024, 0),
    *copies(128, 50),
    SshOperation(
        "iterfind('*') of a million",
        (
            *ours(stream),
            Contender("ssh, multiplexed: find | sort", stream_of_ssh),
            *peers(stream_of_peer),
        ),
        Scope("million"),
        Scope("million/a/a/d00"),
        100,
        rtts=(50,),
        rounds=3,
        memory=True,
    ),
)
