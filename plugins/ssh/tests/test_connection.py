"""One connection, whatever happens to it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig, ClusterFilesystem, cluster_ls
from clustrix_core.errors import ConnectionFailedError
from clustrix_core.session import pool
from clustrix_core.testing.servers import Relay, SshServer
from clustrix_ssh import Question, set_prompter

Configure = Callable[..., ClusterConfig]

MAKE_MANY = b"""
import os, sys
os.mkdir(sys.argv[1])
os.chmod(sys.argv[1], 0o755)
os.chdir(sys.argv[1])
for number in range(9999):
    open(str(number), "w").close()
os.symlink("0", "link")
"""

LIMIT = 60.0  # seconds after which something hangs


@pytest.fixture
def through(configure: Configure, server: SshServer, tmp_path: Path) -> object:
    """Makes a config that leads through a relay."""

    def make(relay: Relay, **fields: object) -> ClusterConfig:
        known = tmp_path / "known"
        known.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{relay.port} "))
        return configure(cluster_port=relay.port, known_hosts_file=str(known), **fields)

    return make


@pytest.fixture(scope="module")
def many(server: SshServer) -> str:
    """A folder of 10,000."""
    folder = f"{server.root}/many"
    server.python(MAKE_MANY, [folder])
    return folder


def test_fifty_threads_share_one_connection(configure: Configure, server: SshServer) -> None:
    before = server.logins()
    config = configure(remote_work_dir="/")
    started = threading.Barrier(50)

    def look(_: int) -> bool:
        started.wait(LIMIT)
        with ClusterFilesystem(config) as fs:
            return fs.isdir("etc") and not fs.exists("nowhere") and "etc" in fs.ls()

    with ThreadPoolExecutor(50) as threads:
        assert all(threads.map(look, range(50)))
    assert server.logins() - before == 1


@pytest.mark.parametrize("protocol", ["agent", "sftp"])
def test_few_round_trips_to_the_first_answer(through, server: SshServer, protocol: str) -> None:
    # What goes out without waiting is to go before the answer to what went before it.
    with Relay(server.port, rtt=0.1) as relay, ClusterFilesystem(through(relay, protocol=protocol)) as fs:
        assert fs.exists(".")
        assert relay.round_trips <= (8 if protocol == "agent" else 10)
        assert relay.connections == 1
        relay.reset()
        assert fs.exists(".")
        assert relay.round_trips == 1


WARM: dict[str, Callable[[ClusterFilesystem, ClusterConfig, str], object]] = {
    "exists": lambda fs, config, many: fs.exists(many),
    "isdir": lambda fs, config, many: fs.isdir(many),
    "isfile": lambda fs, config, many: fs.isfile(many),
    "stat": lambda fs, config, many: fs.stat(many),
    "stat of 1,000": lambda fs, config, many: fs.stat([f"{many}/{number}" for number in range(1000)]),
    "ls of 10,000": lambda fs, config, many: fs.ls(many),
    "glob": lambda fs, config, many: fs.glob("*7", many),
    "count_files": lambda fs, config, many: fs.count_files(many),
    "du": lambda fs, config, many: fs.du(many),
    "readlink": lambda fs, config, many: fs.readlink(f"{many}/link"),
    "cluster_ls": lambda fs, config, many: cluster_ls(many, config),
}


@pytest.mark.parametrize("name", WARM)
def test_warm_operations_take_one_round_trip(through, server: SshServer, many: str, name: str) -> None:
    with Relay(server.port, rtt=0.05) as relay:
        config = through(relay, protocol="agent")
        with ClusterFilesystem(config) as fs:
            WARM[name](fs, config, many)
            relay.reset()
            WARM[name](fs, config, many)
            assert relay.round_trips == 1


def test_a_killed_agent_is_replaced_on_the_same_connection(configure: Configure, server: SshServer) -> None:
    before = server.logins()
    with ClusterFilesystem(configure(protocol="agent")) as fs:
        assert fs.exists(".")
        killed = agents(server)
        assert killed
        for process in killed:
            os.kill(process, signal.SIGKILL)
        assert fs.exists(".")
    assert server.logins() - before == 1


def test_sftp_takes_over_on_the_same_connection(configure: Configure, server: SshServer) -> None:
    before = server.logins()
    with ClusterFilesystem(configure("nopython")) as fs:
        assert fs.exists(".")
    assert server.logins() - before == 1


def test_a_cut_line_is_replaced(through, server: SshServer) -> None:
    with Relay(server.port) as relay, ClusterFilesystem(through(relay)) as fs:
        assert fs.exists(".")
        relay.cut()
        assert fs.exists(".")


@pytest.mark.parametrize("protocol", ["agent", "sftp"])
def test_a_stalled_line_is_noticed_and_not_used_again(through, server: SshServer, protocol: str) -> None:
    with Relay(server.port) as relay:
        config = through(relay, protocol=protocol, dead_after=1.0, connect_timeout=5.0)
        with ClusterFilesystem(config) as fs:
            assert fs.exists(".")
            relay.stall()
            began = time.monotonic()
            with pytest.raises(ConnectionFailedError):
                fs.exists(".")
            assert time.monotonic() - began < LIMIT
            relay.resume()
            assert fs.exists(".")


def test_closing_is_bounded_on_a_stalled_line(through, server: SshServer) -> None:
    with Relay(server.port) as relay:
        fs = ClusterFilesystem(through(relay))
        assert fs.exists(".")
        relay.stall()
        began = time.monotonic()
        fs.close()
        pool.close()
        assert time.monotonic() - began < LIMIT / 2


def test_sshd_is_restarted(configure: Configure, server: SshServer) -> None:
    with ClusterFilesystem(configure()) as fs:
        assert fs.exists(".")
        server.stop()
        try:
            with pytest.raises(ConnectionFailedError):
                fs.exists(".")
        finally:
            server.start()
        assert fs.exists(".")


def test_nothing_is_left_on_either_side(configure: Configure, server: SshServer) -> None:
    pool.close()
    before = set(threading.enumerate())
    with ClusterFilesystem(configure()) as fs:
        assert fs.exists(".")
        assert agents(server)
    pool.close()
    began = time.monotonic()
    while agents(server):
        assert time.monotonic() - began < LIMIT
    while left := [each for each in threading.enumerate() if is_ours(each) and each not in before]:
        assert time.monotonic() - began < LIMIT, left


def test_a_jump_host_is_left_when_what_is_behind_it_is_lost(server: SshServer, tmp_path: Path) -> None:
    """The next line through it is a new one: the old one to it would stay for ever."""
    file = tmp_path / "config"
    lines = ["Host *", f"  UserKnownHostsFile {server.known_hosts}", f"  Port {server.port}"]
    lines += [f"  HostName {server.host}"]
    for name, account in (("first", "root"), ("second", "fish")):
        lines += [f"Host {name}", f"  User {account}", f"  IdentityFile {server.accounts[account].key_file}"]
    file.write_text("\n".join([*lines, "  ProxyJump first"]) + "\n")
    config = ClusterConfig(cluster_type="ssh", cluster_host="second", ssh_config_file=str(file))
    with ClusterFilesystem(config) as fs:
        assert fs.exists(".")
        gc.collect()  # what other tests have left
        before = threading.active_count(), len(os.listdir("/proc/self/fd"))
        for process in server.processes():
            if b"sshd: fish" in command_line(process):
                os.kill(process, signal.SIGKILL)
        assert fs.exists(".")
        gc.collect()
        assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before
    pool.close()


def test_who_is_asked_for_a_password_may_use_the_same_config(configure: Configure, server: SshServer) -> None:
    """As may a signal handler, in the very thread that is logging in: a login has to be complete first."""
    password = str(server.accounts["password"].password)
    before = server.logins()
    with ClusterFilesystem(configure("password")) as fs:
        asked: list[Question] = []

        def answer(question: Question) -> list[str]:
            asked.append(question)
            assert len(asked) > 1 or fs.exists(".")
            return [password]

        default = set_prompter(answer)
        try:
            assert fs.exists(".")
        finally:
            set_prompter(default)
    assert server.logins() - before == 2


def is_ours(thread: threading.Thread) -> bool:
    """Whether it is a thread of a connection; the pool's own may stay."""
    name = f"{thread.name} {type(thread).__name__}"
    return "clustrix-" in name.replace("clustrix-idle", "") or "Transport" in name or "Timer" in name


def agents(server: SshServer) -> list[int]:
    """The agents' processes, without their shells."""
    pythons = (b"python", b"/usr/bin/python")
    return [each for each in server.processes() if command_line(each).startswith(pythons)]


def command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


FORK = """
import os, signal, sys
from clustrix_core import ClusterConfig, ClusterFilesystem, cluster_ls
config = ClusterConfig(**{fields!r})
fs = ClusterFilesystem(config)
assert fs.exists(".")
child = os.fork()
if not child:
    signal.alarm(30)
    assert fs.exists(".")  # over a connection of its own
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert fs.exists(".")
print("done")
"""


@pytest.mark.parametrize("protocol", ["agent", "sftp"])
def test_a_fork(configure: Configure, server: SshServer, protocol: str) -> None:
    """The child's end leaves the parent's connection alone, and both end quietly."""
    before = server.logins()
    fields = configure(protocol=protocol).model_dump(exclude_unset=True)
    program = FORK.format(fields=fields)
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")
    assert server.logins() - before == 2


def test_a_failed_login_leaves_no_thread_that_holds_up_the_end(
    configure: Configure, server: SshServer
) -> None:
    config = configure(key_file=str(server.accounts["fish"].key_file))
    program = f"""
from clustrix_core import ClusterConfig, ClusterFilesystem, cluster_ls
import clustrix_ssh
clustrix_ssh.set_prompter(lambda question: None)
try:
    ClusterFilesystem(ClusterConfig(**{config.model_dump(exclude_unset=True)!r})).exists(".")
except ConnectionError as error:
    print(type(error).__name__)
"""
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT)
    assert (ended.stdout, ended.stderr) == ("AuthenticationFailedError\n", "")
    assert time.monotonic() - began < LIMIT
