"""What `qsub`, `qstat` and `qdel` say, as OpenPBS's design notes, manuals and sources have it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from clustrix_core.remote import Ran
from clustrix_pbs import Job, Pbs, PbsConfig, PbsError
from clustrix_pbs.jobs import STATES, parse_qstat, parse_qsub

# Laid out as the example in the design of `qstat -F json`, without attributes that say nothing here.
QSTAT = """{
    "timestamp":1479277336,
    "pbs_version":"14.1",
    "pbs_server":"vbox",
    "Jobs":{
        "1.vbox":{
            "Job_Name":"STDIN",
            "Job_Owner":"root@vbox",
            "job_state":"Q",
            "queue":"workq",
            "server":"vbox",
            "Checkpoint":"u",
            "ctime":"Fri Nov 11 17:57:05 2016",
            "Hold_Types":"n",
            "Priority":0,
            "Resource_List":{
                "ncpus":1,
                "place":"pack",
                "select":"1:ncpus=1"
            },
            "comment":"Not Running: Not enough free nodes available"
        },
        "2.vbox":{
            "Job_Name":12,
            "Job_Owner":"researcher@vbox",
            "resources_used":{
                "cpupercent":0,
                "cput":"00:00:01",
                "mem":"3112kb",
                "walltime":"00:00:10"
            },
            "job_state":"F",
            "queue":"workq",
            "Exit_status":271,
            "Variable_List":{
                "PBS_O_SHELL":"/bin/bash"
            }
        },
        "3[].vbox":{
            "Job_Name":"sweep",
            "Job_Owner":"researcher@vbox",
            "job_state":"B",
            "queue":"workq",
            "array":true
        }
    }
}
"""
NO_JOBS = '{\n    "timestamp":1479277336,\n    "pbs_version":"14.1",\n    "pbs_server":"vbox"\n}\n'


class Commands:
    """Answers with the outputs that it was given, and keeps what it was asked."""

    def __init__(self, *answers: Ran | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[list[str], bytes]] = []

    def __call__(self, command: Sequence[str], given: bytes) -> Ran:
        self.asked.append((list(command), given))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def said(output: str = "", complaints: str = "", status: int = 0) -> Ran:
    return Ran(status, output.encode(), complaints)


def test_jobs_as_qstat_prints_them() -> None:
    jobs = parse_qstat(QSTAT)
    assert jobs["1.vbox"] == Job(
        id="1.vbox",
        name="STDIN",
        owner="root@vbox",
        state="queued",
        queue="workq",
        exit_status=None,
        comment="Not Running: Not enough free nodes available",
        resources_used={},
    )
    assert (jobs["2.vbox"].name, jobs["2.vbox"].state, jobs["2.vbox"].exit_status) == ("12", "finished", 271)
    assert jobs["2.vbox"].resources_used["walltime"] == "00:00:10"
    assert jobs["2.vbox"].resources_used["cpupercent"] == "0"
    assert jobs["3[].vbox"].state == "begun"


@pytest.mark.parametrize("name", ["007", "1e5", "-0", "true", "null", '"quoted"', "é\x01"])
def test_names_that_look_like_something_else(name: str) -> None:
    """Versions of qstat print a value that is JSON as it is, and others as strings."""
    try:
        json.loads(name)
        printed = name
    except ValueError:
        printed = json.dumps(name, ensure_ascii=False).replace("\\u0001", "\x01")
    [job] = parse_qstat(f'{{"Jobs":{{"1.s":{{"Job_Name":{printed},"job_state":"R"}}}}}}').values()
    expected = {'"quoted"': "quoted", "null": ""}.get(name, name)
    assert job.name == expected


@pytest.mark.parametrize("letter", "BEFHMQRSTUWX")
def test_all_states_of_the_manual(letter: str) -> None:
    assert STATES[letter]


@pytest.mark.parametrize("output", ["", NO_JOBS])
def test_no_jobs(output: str) -> None:
    assert parse_qstat(output) == {}


@pytest.mark.parametrize("output", ["nonsense", QSTAT[:300], "[]", '{"Jobs":{"1.s":{}}}', '{"Jobs":7}'])
def test_output_that_is_not_understood(output: str) -> None:
    with pytest.raises(PbsError, match="output of qstat"):
        parse_qstat(output)


@pytest.mark.parametrize(
    ("output", "job"),
    [
        ("7.vbox\n", "7.vbox"),
        ("8[].pbs-1.cluster.edu\n", "8[].pbs-1.cluster.edu"),
        ("Your project is charged.\n9.vbox\n", "9.vbox"),
    ],
)
def test_id_of_a_new_job(output: str, job: str) -> None:
    assert parse_qsub(output) == job


@pytest.mark.parametrize("output", ["", "welcome\n", "7.vbox; rm\n", "-x\n"])
def test_no_id_of_a_new_job(output: str) -> None:
    with pytest.raises(PbsError, match="no job id"):
        parse_qsub(output)


def test_commands_and_their_input() -> None:
    commands = Commands(said("7.vbox\n"), said(QSTAT), said())
    pbs = Pbs(commands, "/opt/pbs")
    assert pbs.submit("#!/bin/sh\ntrue\n", ["-l", "walltime=10"]) == "7.vbox"
    assert set(pbs.jobs(["1.vbox", "3[].vbox"])) == {"1.vbox", "2.vbox", "3[].vbox"}
    pbs.delete(["1.vbox", "3[2].vbox"])
    assert commands.asked == [
        (["/opt/pbs/bin/qsub", "-l", "walltime=10", "-"], b"#!/bin/sh\ntrue\n"),
        (["/opt/pbs/bin/qstat", "-x", "-f", "-F", "json", "1.vbox", "3[].vbox"], b""),
        (["/opt/pbs/bin/qdel", "1.vbox", "3[2].vbox"], b""),
    ]


def test_nothing_is_asked_about_no_jobs() -> None:
    commands = Commands()
    assert Pbs(commands).jobs([]) == {}
    Pbs(commands).delete([])
    assert commands.asked == []


def test_jobs_that_are_gone() -> None:
    """The others are told all the same."""
    unknown = "qstat: Unknown Job Id 9.vbox\n"
    assert "1.vbox" in Pbs(Commands(said(QSTAT, unknown, 153))).jobs(["1.vbox", "9.vbox"])
    assert Pbs(Commands(said(NO_JOBS, unknown, 153))).jobs(["9.vbox"]) == {}
    gone = "qdel: Unknown Job Id 9.vbox\nqdel: Job has finished 8.vbox\n"
    Pbs(Commands(said("", gone, 35))).delete(["9.vbox", "8.vbox"])


DOWN = "Connection refused\nqstat: cannot connect to server vbox (errno=15010)\n"


def test_server_that_is_down() -> None:
    """qstat prints the beginning of its output all the same."""
    with pytest.raises(PbsError, match="cannot connect to server vbox"):
        Pbs(Commands(said(NO_JOBS, DOWN, 255))).jobs(["1.vbox"])


@pytest.mark.parametrize("complaints", ["qdel: Unauthorized Request  7.vbox\n", ""])
def test_refusals(complaints: str) -> None:
    with pytest.raises(PbsError, match=r"qdel: (qdel: Unauthorized|it ends with 1)"):
        Pbs(Commands(said("", complaints, 1))).delete(["7.vbox"])
    with pytest.raises(PbsError, match="qsub: Unknown queue$"):
        Pbs(Commands(said("", "qsub: Unknown queue\n", 170))).submit("true")


def test_no_pbs_there() -> None:
    with pytest.raises(PbsError, match="no qsub there; give pbs_exec"):
        Pbs(Commands(FileNotFoundError())).submit("true")


@pytest.mark.parametrize("job", ["", "-x", "workq", "7.a b", "7.s\n", "@server"])
def test_what_is_no_job_id(job: str) -> None:
    for ask in (Pbs(Commands()).jobs, Pbs(Commands()).delete):
        with pytest.raises(ValueError, match="no job id"):
            ask([job])


def test_readme_has_its_field() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert f"| `pbs_exec` | none | {PbsConfig.model_fields['pbs_exec'].description} |\n" in readme
