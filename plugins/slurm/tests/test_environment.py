"""What the environment on the cluster brings, and what becomes of one that can't be set up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from clustrix_core import ClusterConfig, ClusterFilesystem
from clustrix_core.errors import ConfigError, ConnectionFailedError
from clustrix_core.session import pool
from clustrix_core.testing.servers import Relay, SlurmCluster

Configure = Callable[..., ClusterConfig]


def works(config: ClusterConfig) -> bool:
    with ClusterFilesystem(config) as fs:
        return fs.exists(".")


def environment_of_agent(cluster: SlurmCluster, config: ClusterConfig) -> dict[str, str]:
    """The variables of the agent that a config starts."""
    with ClusterFilesystem(config) as fs:
        assert fs.exists(".")
        agents = [pid for pid in cluster.processes() if "python" in Path(f"/proc/{pid}/comm").read_text()]
        assert len(agents) == 1
        lines = Path(f"/proc/{agents[0]}/environ").read_bytes().decode("utf-8", "surrogateescape").split("\0")
    pool.close()
    return dict(line.partition("=")[::2] for line in lines if line)


@pytest.fixture
def bashrc(cluster: SlurmCluster) -> Iterator[Callable[[str], None]]:
    """Writes the ~/.bashrc of the account `key`."""
    path = f"{cluster.accounts['key'].home}/.bashrc"

    def write(text: str) -> None:
        cluster.python(b"import sys; open(sys.argv[1], 'w').write(sys.argv[2])", [path, text])

    yield write
    cluster.python(b"import os, sys; os.path.exists(sys.argv[1]) and os.remove(sys.argv[1])", [path])


def test_modules_bring_the_agents_python(cluster: SlurmCluster, configure: Configure) -> None:
    found = environment_of_agent(cluster, configure(module_loads=["tool/1.0", "snake"]))
    assert found["SNAKE"] == "module"
    assert found["TOOL_HOME"].endswith("/site/tool")
    assert "CLUSTRIX_SCRIPT" not in found


def test_a_hierarchy_and_folders_of_modules(cluster: SlurmCluster, configure: Configure) -> None:
    modules = ["compiler", "library/4", f"use:{cluster.more_modules}", "extra"]
    found = environment_of_agent(cluster, configure(module_loads=modules))
    assert (found["LIBRARY"], found["EXTRA"]) == ("4", "1")


def test_a_collection(cluster: SlurmCluster, configure: Configure) -> None:
    script = "module load tool/1.0 chatty && module save mine && ls ~/.lmod.d ~/.config/lmod"
    cluster.namespace.run(["su", "-", "key", "-c", script])
    found = environment_of_agent(cluster, configure(module_loads=["restore:mine"]))
    assert found["CHATTY"] == "1"
    with pytest.raises(ConfigError, match=r"collection 'other' can't be restored.*does.*exist"):
        works(configure(module_loads=["restore:other"]))


def test_a_module_that_only_warns_is_loaded(cluster: SlurmCluster, configure: Configure) -> None:
    """`module load` returns 1 then."""
    modules = [f"use:{cluster.more_modules}", "warns"]
    assert environment_of_agent(cluster, configure(module_loads=modules))["WARNS"] == "1"


def test_another_version_that_is_loaded_hides_no_failure(cluster: SlurmCluster, configure: Configure) -> None:
    modules = [f"use:{cluster.more_modules}", "flaky/1", "flaky"]
    with pytest.raises(ConfigError, match=r"'flaky' doesn't load \(status 1\).*flaky 2 is broken"):
        works(configure(module_loads=modules))


def test_a_module_that_takes_another_out_is_an_error(configure: Configure) -> None:
    """Lmod replaces what it can't have twice, and only says so."""
    with pytest.raises(ConfigError, match=r"'tool/2.0' doesn't load \(it takes tool/1.0 out\).*reloaded"):
        works(configure(module_loads=["tool/1.0", "chatty", "tool/2.0"]))
    assert works(configure(module_loads=["tool", "tool/2.0"]))


@pytest.mark.parametrize("account", ["key", "csh", "fish", "noisy"])
@pytest.mark.parametrize("login_shell", [False, True])
def test_every_login_shell(configure: Configure, account: str, login_shell: bool) -> None:
    assert works(configure(account, module_loads=["tool"], login_shell=login_shell, protocol="agent"))


def test_a_login_shell_brings_what_logins_have(cluster: SlurmCluster, configure: Configure) -> None:
    home = cluster.accounts["key"].home
    lines = 'echo "Message of the day"; cat; export FROM_PROFILE=1; shopt -q login_shell && export LOGIN=1\n'
    cluster.python(b"import sys; open(sys.argv[1], 'w').write(sys.argv[2])", [f"{home}/.profile", lines])
    assert "FROM_PROFILE" not in environment_of_agent(cluster, configure(module_loads=["tool"]))
    found = environment_of_agent(cluster, configure(login_shell=True))
    assert (found["FROM_PROFILE"], found["LOGIN"]) == ("1", "1")


@pytest.mark.parametrize("login_shell", [False, True])
def test_values_arrive_as_they_are(cluster: SlurmCluster, configure: Configure, login_shell: bool) -> None:
    odd = """ '; touch /scratch/project/pwned; "$(id)" `id` $HOME \\ ! # é \udcff
second line"""
    variables = {"ODD": odd, "EMPTY": "", "OMP_NUM_THREADS": 4}
    config = configure(environment_variables=variables, login_shell=login_shell)
    found = environment_of_agent(cluster, config)
    assert (found["ODD"], found["EMPTY"], found["OMP_NUM_THREADS"]) == (odd, "", "4")
    with ClusterFilesystem(config) as fs:
        assert not fs.exists("/scratch/project/pwned")


def test_no_value_is_in_a_command_line(cluster: SlurmCluster, configure: Configure) -> None:
    with ClusterFilesystem(configure(environment_variables={"TOKEN": "unseen"}, login_shell=True)) as fs:
        assert fs.exists(".")
        lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in cluster.processes()]
    assert lines
    assert not [line for line in lines if b"unseen" in line or b"dW5zZWVu" in line]


@pytest.mark.parametrize(
    "name",
    ["tool id", "-t", "", "$(id)\n", "x';id;'", "tool;id", "use:relative", "restore:-x", "restore:a'b"],
)
def test_what_is_no_module_is_refused(configure: Configure, name: str) -> None:
    with pytest.raises(ConfigError, match="module_loads"):
        works(configure(module_loads=[name]))


def test_commands_build_on_each_other(cluster: SlurmCluster, configure: Configure) -> None:
    commands = [
        "cd /; export HERE=$PWD",
        "echo noise; cat; read line || true",
        "sleep 1000 & export LAST=$HERE",
    ]
    found = environment_of_agent(cluster, configure(pre_execution_commands=commands))
    assert found["LAST"] == "/"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"module_loads": ["chatty", "broken"]},
            r"the module 'broken' doesn't load.*license server of broken",
        ),
        ({"module_loads": ["nosuch/3"]}, r"the module 'nosuch/3' doesn't load.*unknown"),
        ({"module_loads": ["library"]}, r"the module 'library' doesn't load.*module spider library"),
        ({"module_loads": ["use:/nowhere"]}, r"the folder '/nowhere' of modules can't be used"),
        ({"environment_variables": {"UID": 3}}, r"the variable UID can't be set.*readonly"),
        (
            {"pre_execution_commands": ["true", "echo why; echo because >&2; (exit 7)"]},
            r"'echo why;.*' of pre_execution_commands failed \(status 7\).*'why\\nbecause'",
        ),
        ({"pre_execution_commands": ["echo bye; exit 7"]}, r"the shell ended with status 7.*'bye'"),
        ({"pre_execution_commands": ["exec true"]}, r"'exec true' of .* failed \(the shell is gone\)"),
        ({"pre_execution_commands": ["if"]}, r"'if' of pre_execution_commands failed.*syntax error"),
    ],
)
@pytest.mark.parametrize("login_shell", [False, True])
def test_what_fails_is_named_and_quoted(
    configure: Configure, fields: dict[str, object], said: str, login_shell: bool
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        works(configure(**fields, login_shell=login_shell))
    assert "a message of chatty" not in str(caught.value)


def test_a_failure_that_says_much_is_cut_short(configure: Configure) -> None:
    command = "head -c 100000 /dev/zero | tr '\\0' x >&2; echo the end >&2; false"
    with pytest.raises(ConfigError, match=r"of pre_execution_commands failed.*xxx.*the end'") as caught:
        works(configure(pre_execution_commands=[command]))
    assert len(str(caught.value)) < 2000


def test_no_module_command(configure: Configure) -> None:
    with SlurmCluster(modules="none") as cluster:
        with pytest.raises(ConfigError, match="the command `module` isn't there"):
            works(configure(at=cluster, module_loads=["tool"]))
        pool.close()


def test_environment_modules(configure: Configure) -> None:
    with SlurmCluster(modules="environment-modules") as cluster:
        modules = ["tool", "snake/3", f"use:{cluster.more_modules}", "extra"]
        found = environment_of_agent(cluster, configure(at=cluster, module_loads=modules))
        assert (found["SNAKE"], found["EXTRA"]) == ("module", "1")
        for name, said in {"broken": "license server of broken", "nosuch": "Unable to locate"}.items():
            with pytest.raises(ConfigError, match=f"the module '{name}' doesn't load.*{said}"):
                works(configure(at=cluster, module_loads=["tool", name]))
        with pytest.raises(ConfigError, match="collection 'other' can't be restored.*other"):
            works(configure(at=cluster, module_loads=["restore:other"]))
        pool.close()


@pytest.mark.parametrize("fields", [{}, {"module_loads": ["tool"]}])
def test_a_bashrc_that_prints(
    bashrc: Callable[[str], None], configure: Configure, fields: dict[str, object]
) -> None:
    bashrc("seq 10000; seq 10000 >&2; printf 'no newline'\n")
    assert works(configure(**fields))


@pytest.mark.parametrize("fields", [{}, {"module_loads": ["tool"]}])
@pytest.mark.parametrize(("line", "said"), [("echo bye; exit 3", "'bye'"), ("exit", "said nothing")])
def test_a_bashrc_that_exits(
    bashrc: Callable[[str], None], configure: Configure, fields: dict[str, object], line: str, said: str
) -> None:
    bashrc(f"{line}\n")
    with pytest.raises(ConnectionFailedError, match=rf"{said}.*No command can be run there.*\.bashrc"):
        works(configure(**fields))


def test_accounts_without_python_or_shell(configure: Configure) -> None:
    with ClusterFilesystem(configure("nopython")) as fs:
        assert "notes.csv" in fs.ls()
    with pytest.raises(ConnectionFailedError, match="set protocol to sftp"):
        works(configure("sftp"))
    assert works(configure("sftp", protocol="sftp"))


def test_one_round_trip_and_modules_loaded_once(
    cluster: SlurmCluster, configure: Configure, tmp_path: Path
) -> None:
    known = tmp_path / "known"
    count = 'echo loaded >>"$HOME"/loads'
    with Relay(cluster.port) as relay:
        known.write_text(cluster.known_hosts.read_text().replace(f":{cluster.port} ", f":{relay.port} "))
        config = configure(
            cluster_port=relay.port,
            known_hosts_file=str(known),
            module_loads=["tool"],
            pre_execution_commands=[count],
        )
        with ClusterFilesystem(config) as fs:
            assert fs.exists(".")
            assert relay.round_trips <= 8
            relay.reset()
            for _ in range(5):
                assert fs.isfile("loads")
            assert (relay.round_trips, relay.connections) == (5, 0)
            with fs.open("loads") as file:
                assert file.read() == "loaded\n"


def test_two_factors(cluster: SlurmCluster, configure: Configure) -> None:
    from clustrix_ssh import set_prompter

    before = set_prompter(lambda question: [cluster.code()])
    password = cluster.accounts["interactive"].password
    try:
        assert works(configure("interactive", password=SecretStr(str(password)), module_loads=["tool"]))
    finally:
        set_prompter(before)
