"""What the qmaster tells by Grid Engine's own commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from clustrix_core.doctor import Fault
from clustrix_core.remote import Ran

Run = Callable[[Sequence[str]], Ran]


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


def ask_qmaster(run: Run, command: Callable[..., list[str]]) -> Qmaster:
    """Ask the qmaster for what it has.

    Args:
        run: runs a command on the cluster.
        command: what runs a command of Grid Engine there.

    Raises:
        Fault: the commands aren't found, or the qmaster doesn't answer.
    """

    def ask(*words: str, empty: str | None = None) -> str:
        try:
            ran = run(command(*words))
        except FileNotFoundError as error:
            raise Fault(
                f"there is no {words[0]} on the PATH there",
                "give sge_settings, the path of settings.sh in the cell's folder common",
            ) from error
        said = ran.complaints.strip()
        if ran.status and not (empty and empty in said):
            raise Fault(
                f"{words[0]} fails: {said or ran.status}",
                "ask who runs the cluster whether its qmaster is up; files can be reached without",
            )
        return ran.output.decode("utf-8", "replace")

    host = ask("qconf", "-sss").strip()  # fails where the qmaster doesn't answer
    version = ask("qconf", "-help").partition("\n")[0]
    queues = ask("qconf", "-sql", empty="no cqueue list defined").split()
    jobs = ask("qstat", "-xml", "-u", "*").count("<job_list ")
    return Qmaster(version, host, len(queues), jobs)
