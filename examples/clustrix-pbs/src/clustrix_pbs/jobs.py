"""`qsub`, `qstat -f -F json` and `qdel` of OpenPBS, and what their output means."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clustrix_core import ClustrixError
from clustrix_core.remote import Ran

Run = Callable[[Sequence[str], bytes], Ran]

STATES = {
    "B": "begun",  # an array of which a job has started
    "E": "exiting",
    "F": "finished",
    "H": "held",
    "M": "moved",
    "Q": "queued",
    "R": "running",
    "S": "suspended",
    "T": "in transit",
    "U": "suspended",  # for the user of the machine
    "W": "waiting",
    "X": "finished",  # a job of an array
}
ID = re.compile(r"\d+(\[\d*\])?(\.[A-Za-z0-9._-]+)?")
# What qstat and qdel say of jobs that have ended and been forgotten, or were never there.
GONE = re.compile(r"(qstat|qdel): (Unknown Job Id|Job has finished)\b.*")


class PbsError(ClustrixError):
    """A command of PBS fails; the message has its words."""


@dataclass(frozen=True)
class Job:
    """A job, as the server tells it.

    Attributes:
        id: such as `7.server`; `7[].server` is an array, `7[2].server` one of its jobs.
        name: as submitted.
        owner: the user and the host of the submission, `user@host`.
        state: a value of `STATES`.
        queue: where it is.
        exit_status: of a finished job: negative where PBS could not run it, from 256 on the number of the
            signal that ended it, plus 256.
        comment: why the job waits, or what became of it, in the server's words.
        resources_used: such as `walltime`, as text.
    """

    id: str
    name: str
    owner: str
    state: str
    queue: str
    exit_status: int | None
    comment: str | None
    resources_used: dict[str, str]


class Pbs:
    """The commands.

    Args:
        run: runs a program on the cluster, given its input.
        folder: that in whose `bin` the programs are; None if they are on the PATH.
    """

    def __init__(self, run: Run, folder: str | None = None) -> None:
        self._run, self._bin = run, f"{folder}/bin/" if folder else ""

    def submit(self, script: str, options: Sequence[str] = ()) -> str:
        """Submit a script, and return the job's id.

        Args:
            script: the whole of it; its directives (`#PBS`) count.
            options: those of `qsub`, such as `["-l", "walltime=10"]`, which count for more.

        Raises:
            PbsError: the server refuses it.
        """
        ran = self._ask("qsub", [*options, "-"], script.encode("utf-8", "surrogateescape"))
        if ran.status:
            raise PbsError(f"qsub: {_words(ran)}")
        return parse_qsub(ran.output.decode("utf-8", "replace"))

    def jobs(self, ids: Sequence[str]) -> dict[str, Job]:
        """Ask about many jobs at once; those that the server doesn't know are left out.

        Raises:
            PbsError: the server doesn't answer.
        """
        if not ids:
            return {}
        ran = self._ask("qstat", ["-x", "-f", "-F", "json", *_checked(ids)])
        _refuse(ran, "qstat")
        return parse_qstat(ran.output.decode("utf-8", "replace"))

    def delete(self, ids: Sequence[str]) -> None:
        """Delete many jobs at once; those that have ended, or were never there, are passed over.

        Raises:
            PbsError: the server doesn't answer, or refuses.
        """
        if ids:
            _refuse(self._ask("qdel", _checked(ids)), "qdel")

    def _ask(self, program: str, arguments: Sequence[str], given: bytes = b"") -> Ran:
        try:
            return self._run([self._bin + program, *arguments], given)
        except FileNotFoundError as error:
            raise PbsError(
                f"there is no {self._bin}{program} there; give pbs_exec, the folder of PBS, such as /opt/pbs"
            ) from error


def parse_qsub(output: str) -> str:
    """The id of the job in the output of `qsub`, whose last line it is; hooks may say things before."""
    last = (output.strip().splitlines() or [""])[-1].strip()
    if not ID.fullmatch(last):
        raise PbsError(f"qsub gives no job id, but {output[-200:]!r}")
    return last


def parse_qstat(output: str) -> dict[str, Job]:
    """The jobs in the output of `qstat -f -F json`, by their ids."""
    # qstat prints a value that looks like a number as one. As text they are all alike.
    try:
        told = json.loads(output or "{}", strict=False, parse_int=str, parse_float=str, parse_constant=str)
        return {name: _job(name, attributes) for name, attributes in told.get("Jobs", {}).items()}
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise PbsError(f"the output of qstat can't be understood ({error!r}): {output[:200]!r}") from error


def _job(name: str, attributes: dict[str, Any]) -> Job:
    def text(attribute: str) -> str | None:
        value = attributes.get(attribute)
        return value if value is None or isinstance(value, str) else json.dumps(value)

    letter, status = str(attributes["job_state"]), text("Exit_status")
    return Job(
        id=name,
        name=text("Job_Name") or "",
        owner=text("Job_Owner") or "",
        state=STATES.get(letter, letter),
        queue=text("queue") or "",
        exit_status=None if status is None else int(status),
        comment=text("comment"),
        resources_used={key: str(value) for key, value in attributes.get("resources_used", {}).items()},
    )


def _checked(ids: Sequence[str]) -> list[str]:
    for each in ids:
        if not ID.fullmatch(each):  # it could be an option, or the name of a queue
            raise ValueError(f"{each!r} is no job id, such as 7.server or 7[].server")
    return list(ids)


def _refuse(ran: Ran, program: str) -> None:
    """Raise what a command complains about, if that isn't jobs that are gone."""
    lines = [line.strip() for line in ran.complaints.splitlines() if line.strip()]
    if ran.status and not (lines and all(GONE.fullmatch(line) for line in lines)):
        raise PbsError(f"{program}: {_words(ran)}")


def _words(ran: Ran) -> str:
    return ran.complaints.strip().removeprefix("qsub: ") or f"it ends with {ran.status}, without a word"
