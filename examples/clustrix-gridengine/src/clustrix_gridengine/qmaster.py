"""What the qmaster tells by Grid Engine's own commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from clustrix_core.doctor import Fault
from clustrix_core.remote import Ran

Run = Callable[[Sequence[str]], Ran]

# The settings, then the command and its arguments.
WITH_SETTINGS = '. "$1" >/dev/null && shift && exec "$@"'


class Qmaster(NamedTuple):
    """A qmaster that answers.

    Attributes:
        version: as the commands say it, such as `SGE 8.1.9`.
        host: where it runs.
        queues: how many cluster queues it has.
        jobs: how many jobs it knows, of all users.
    """

    version: str
    host: str
    queues: int
    jobs: int


def ask_qmaster(run: Run, settings: str | None = None) -> Qmaster:
    """Ask the qmaster for what it has.

    Args:
        run: runs a command on the cluster.
        settings: the path of the cell's `settings.sh`, if it is needed.

    Raises:
        Fault: the commands aren't found, or the qmaster doesn't answer.
    """

    def ask(*command: str, empty: str | None = None) -> str:
        line = ["sh", "-c", WITH_SETTINGS, "sh", settings, *command] if settings else list(command)
        try:
            ran = run(line)
        except FileNotFoundError as error:
            raise Fault(
                f"there is no {command[0]} on the PATH there",
                "give sge_settings, the path of settings.sh in the cell's folder common",
            ) from error
        said = ran.complaints.strip()
        if ran.status and not (empty and empty in said):
            raise Fault(
                f"{command[0]} fails: {said or ran.status}",
                "ask who runs the cluster whether its qmaster is up; files can be reached without",
            )
        return ran.output.decode("utf-8", "replace")

    host = ask("qconf", "-sss").strip()  # fails where the qmaster doesn't answer
    version = ask("qconf", "-help").partition("\n")[0]
    queues = ask("qconf", "-sql", empty="no cqueue list defined").split()
    jobs = ask("qstat", "-xml", "-u", "*").count("<job_list ")
    return Qmaster(version, host, len(queues), jobs)
