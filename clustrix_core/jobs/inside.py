"""Jobs that are asked for in a job of the same place: they are done there, at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from clustrix_core.config import ClusterConfig
from clustrix_core.jobs import records
from clustrix_core.jobs.job import Submission
from clustrix_core.jobs.models import Call

if TYPE_CHECKING:
    from clustrix_core.jobs.decorator import ClusterFunction


class Inside(Submission):
    """Calls that are done one after the other, in this process."""

    def __init__(
        self, function: ClusterFunction[Any, Any], config: ClusterConfig, calls: list[Call], tasks: int | None
    ) -> None:
        super().__init__(records.new(function.name, tasks, config), config)
        for job, (args, kwargs) in zip(self.jobs, calls, strict=True):
            try:
                result = function.local(*args, **kwargs)
            except Exception as error:
                job.end("failed", partial(job.set_exception, error))
            else:
                job.end("completed", partial(job.set_result, result))

    def conclude(self) -> None:
        """Nothing of them is remembered."""
