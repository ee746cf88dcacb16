"""Jobs on a host with environment modules and no scheduler: they run in the environment of the config."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jobs_on_host import core_limit, marks, mentions, surroundings

from clustrix import ClusterConfig, cluster_exists
from clustrix_core import ClusterFilesystem
from clustrix_core.doctor.examination import examine
from clustrix_core.errors import ConfigError, ConnectionFailedError, UnsupportedOperationError
from clustrix_core.jobs import records
from clustrix_core.jobs.job import Submission
from clustrix_core.session import pool
from clustrix_core.testing.servers import Relay, SlurmCluster

Prepare = Callable[..., ClusterConfig]

WORK = "/scratch/project"


@pytest.fixture(scope="module")
def host() -> Iterator[SlurmCluster]:
    """A host that has modules, whatever else it has."""
    with SlurmCluster() as made:
        yield made


@pytest.fixture
def prepare(configure: Prepare, host: SlurmCluster) -> Prepare:
    """Makes a config for root, who has the only Python there of this version for certain."""

    def make(account: str = "root", **fields: object) -> ClusterConfig:
        usual = {"at": host, "remote_work_dir": WORK, "python_executable": sys.executable}
        return configure(account, **{**usual, **fields})

    return make


@pytest.mark.parametrize("client", ["paramiko", "openssh"])
def test_a_job_has_modules_variables_and_commands(prepare: Prepare, client: str) -> None:
    config = prepare(
        ssh_client=client,
        module_loads=["tool/1.0"],
        environment_variables={"GREETING": "it's $HOME"},
        pre_execution_commands=["export LATE=$GREETING", "ulimit -c 0", "sleep 4 &"],
    )
    tool, greeting, late = surroundings(config, "TOOL_HOME", "GREETING", "LATE")
    assert str(tool).endswith("/site/tool")
    assert (greeting, late) == ("it's $HOME", "it's $HOME")
    assert core_limit.submit(config).result(90) == 0
    array = surroundings.map([config] * 2, ["GREETING", "LOADEDMODULES"])
    assert list(array) == [["it's $HOME"], ["tool/1.0"]]


def test_a_login_shell(prepare: Prepare, host: SlurmCluster) -> None:
    lines = "export FROM_PROFILE=1\n"
    path = f"{host.accounts['key'].home}/.profile"
    host.python(b"import sys; open(sys.argv[1], 'w').write(sys.argv[2])", [path, lines])
    for fields, said in ({}, b""), ({"login_shell": True}, b"1"):
        with ClusterFilesystem(prepare("key", **fields)) as place:
            backend = place._session().backend
            assert backend.run(["printenv", "FROM_PROFILE"]).output.strip() == said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"module_loads": ["nosuch/3"]}, r"the module 'nosuch/3' doesn't load.*host said.*unknown"),
        ({"environment_variables": {"UID": 3}}, r"the variable UID can't be set.*readonly"),
        (
            {"pre_execution_commands": ["echo why; (exit 7)"]},
            r"of pre_execution_commands failed \(status 7\).*'why'",
        ),
        ({"module_loads": ["a;b"]}, r"module_loads.*that is no module"),
    ],
)
def test_what_fails_is_an_error_and_nothing_is_submitted(
    prepare: Prepare, fields: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        marks.submit(prepare(**fields), "pwned")
    assert records.all_records() == []
    assert not cluster_exists("pwned", prepare())


def test_no_value_is_in_a_command_line_or_a_dry_run(prepare: Prepare) -> None:
    config = prepare(environment_variables={"TOKEN": "unseen"}, pre_execution_commands=["ulimit -c 0"])
    assert mentions(config, "".join(["uns", "een"])) == []
    told = marks.dry_run(config, "x")
    assert "variable TOKEN\ncommand ulimit -c 0" in told
    assert "unseen" not in told


def test_sftp_does_not_stand_in_for_an_environment(prepare: Prepare) -> None:
    fields = {"module_loads": ["tool"]}
    assert cluster_exists(".", prepare("sftp"))
    with pytest.raises(ConnectionFailedError, match=r"No command can be run there.*set protocol to sftp"):
        cluster_exists(".", prepare("sftp", **fields))
    config = prepare("sftp", **fields).model_copy(update={"protocol": "sftp"})
    assert cluster_exists(".", config)
    with pytest.raises(UnsupportedOperationError, match="jobs and other programs need a Python"):
        marks.submit(config, "x")


def test_doctor_looks_at_it(prepare: Prepare) -> None:
    def checked(**fields: object) -> dict[str, str]:
        return {check.name: check.detail for check in examine(lambda: prepare(**fields))}

    assert "tool/1.0" in checked(module_loads=["tool/1.0"])["environment"]
    assert "the module 'nosuch' doesn't load" in checked(module_loads=["nosuch"])["environment"]
    assert "environment" not in checked()


def test_a_warm_submission_is_one_round_trip(
    prepare: Prepare, host: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the environment is set up once for a session."""
    monkeypatch.setattr(Submission, "followed", lambda self: self)
    known = tmp_path / "known"
    with Relay(host.port, rtt=0.1) as relay:
        known.write_text(host.known_hosts.read_text().replace(f":{host.port} ", f":{relay.port} "))
        config = prepare(
            cluster_port=relay.port,
            known_hosts_file=str(known),
            module_loads=["tool"],
            pre_execution_commands=["echo x >>~/times"],
        )
        marks.submit(config, "first")
        relay.reset()
        marks.submit(config, "second")
        assert relay.round_trips == 1
        with ClusterFilesystem(config) as place, place.open("~/times") as file:
            assert file.read() == "x\n"


def test_environment_modules_find_the_python_that_a_module_brings(configure: Prepare) -> None:
    with SlurmCluster(modules="environment-modules") as host:
        config = configure(at=host, module_loads=["snake/3"])
        with ClusterFilesystem(config) as place:
            assert place.exists(".")
            found = place._session().backend.run(["printenv", "SNAKE", "LOADEDMODULES"])
            assert found.output.split() == [b"module", b"snake/3"]
        with pytest.raises(ConfigError, match="the module 'nosuch' doesn't load.*Unable to locate"):
            cluster_exists(".", configure(at=host, module_loads=["nosuch"]))
        pool.close()
