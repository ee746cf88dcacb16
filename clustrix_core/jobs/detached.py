"""Jobs of a place without a scheduler: processes that outlive whoever started them.

The archive of a job sees to them itself (see `runner`): a supervisor runs the tasks, as many at once as there
are cores for. What is asked of a place is only that it runs a program.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from clustrix_core.errors import JobError, printable
from clustrix_core.jobs.models import INLINE, JobSpec, TaskState, folder_of
from clustrix_core.remote.backend import Ran

Run = Callable[[Sequence[str], bytes], Ran]
Put = Callable[[str, str], object]

# Folder, work dir, whether the archive comes with it, command. It starts in the home folder.
_PLACE = (
    'umask 077 && mkdir -p "$1" && { [ "$3" = 0 ] || cat >"$1/job.pyz"; } && export CLUSTRIX_HERE="$4" && '
    'folder=$PWD/$1 && cd -- "$2" && exec "$5" "$folder/job.pyz" start "$folder" "$6" "$7"'
)


def submit(run: Run, put: Put, job: JobSpec, work_dir: str) -> str:
    """`clustrix_submit` by these means."""
    folder = folder_of(job.name)
    archive = Path(job.archive)
    small = archive.stat().st_size <= INLINE
    if not small:
        _checked(run(["sh", "-c", 'umask 077 && mkdir -p "$1"', "sh", folder], b""))
        put(job.archive, f"~/{folder}/job.pyz")
    ran = run(
        [
            *("sh", "-c", _PLACE, "sh", folder, work_dir, str(int(small)), job.marker, job.python),
            *(str(job.tasks or 1), str(job.resources.cores or 1)),
        ],
        archive.read_bytes() if small else b"",
    )
    return _checked(ran).decode("ascii").strip()


def states(run: Run, jobs: list[str], python: str) -> dict[str, list[TaskState]]:
    """`clustrix_job_states` by these means."""
    if not jobs:
        return {}
    folders = [folder_of(name) for name in jobs]
    said = _checked(run([python, f"{folders[0]}/job.pyz", "states", *folders], b""))
    found = json.loads(said)
    return {
        name: [TaskState(0, count - 1, "running")] for name, count in zip(jobs, found, strict=True) if count
    }


def cancel(run: Run, jobs: list[str], python: str) -> int:
    """`clustrix_cancel` by these means."""
    if jobs:
        folders = [folder_of(name) for name in jobs]
        _checked(run([python, f"{folders[0]}/job.pyz", "cancel", *folders], b""))
    return len(jobs)


def remove(run: Run, jobs: list[str]) -> int:
    """`clustrix_job_remove`, for any place that runs programs."""
    if jobs:
        _checked(run(["rm", "-rf", "--", *map(folder_of, jobs)], b""))
    return len(jobs)


def run_here(command: Sequence[str], given: bytes) -> Ran:
    """Run a program on this machine, in the home folder."""
    done = subprocess.run(list(command), input=given, capture_output=True, cwd=Path.home())
    return Ran(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))


def _checked(ran: Ran) -> bytes:
    if ran.status:
        said = ran.complaints.strip() or ran.output.decode("utf-8", "replace").strip()
        raise JobError(f"the job can't be started: {printable(said) or f'exit code {ran.status}'}")
    return ran.output
