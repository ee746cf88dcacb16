"""One look at jobs that nobody follows here: what they are doing, or how they ended. It changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from clustrix_core.config import ClusterConfig
from clustrix_core.filesystem import ClusterFilesystem
from clustrix_core.jobs.models import ENDED, Outcome, TaskState
from clustrix_core.jobs.records import Record

UNKNOWN = "unknown"


def states(config: ClusterConfig, found: Sequence[Record]) -> dict[str, str]:
    """The states of jobs of one place, for people, by their ids. Round trips: two.

    Raises:
        JobError: the scheduler doesn't answer.
        ConnectionFailedError: the place can't be reached.
    """
    with ClusterFilesystem(config) as place:
        told = place._call("clustrix_job_states", jobs=[record.name for record in found])
        outcomes: dict[str, list[Outcome]] = {record.folder: [] for record in found}
        known: dict[str, list[tuple[int, int]]] = {folder: [] for folder in outcomes}
        for outcome in place._call("clustrix_job_outcomes", known=known, seconds=0.0):
            outcomes[outcome.folder].append(outcome)
    return {
        record.id: _summary(record, told.get(record.name, ()), outcomes[record.folder]) for record in found
    }


def is_over(state: str) -> bool:
    """Whether a state, as `states` tells it, is the end of all tasks."""
    return all(each.lstrip("0123456789, ") in ENDED for each in state.split(", "))


def _summary(record: Record, told: Iterable[TaskState], outcomes: Iterable[Outcome]) -> str:
    """The state of a job, or how many tasks of an array are in which."""
    tasks = [UNKNOWN] * (record.tasks or 1)
    for each in told:
        why = f" ({each.reason})" if each.reason and each.state == "pending" else ""
        tasks[each.first : each.last + 1] = [each.state + why] * (each.last - each.first + 1)
    for outcome in outcomes:
        if 0 <= outcome.task < len(tasks):
            tasks[outcome.task] = _ended(outcome, tasks[outcome.task])
    if record.tasks is None:
        return tasks[0]
    return ", ".join(f"{count:,} {state}" for state, count in sorted(Counter(tasks).items()))


def _ended(outcome: Outcome, told: str) -> str:
    """How a task ended: in its own words, or the scheduler's, where it was ended from outside."""
    try:
        head = json.loads(outcome.content.partition(b"\n")[0])
        end = head.get("end")
        if end in ("terminated", "died"):
            return told if told in ENDED else "failed"
        return (
            "cancelled" if end == "cancelled" else "completed" if head["outcome"] == "completed" else "failed"
        )
    except (ValueError, LookupError, AttributeError, TypeError):
        return UNKNOWN
