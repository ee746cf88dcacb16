"""What this machine remembers of jobs: a file for each, written before it is submitted."""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from clustrix_core.config import ClusterConfig, given, resolve, secret_fields
from clustrix_core.errors import ClustrixError, JobError, printable
from clustrix_core.jobs.models import JOBS, PREFIX
from clustrix_core.state import check_owner, state_folder


@dataclass(frozen=True)
class Record:
    """A job, as it is remembered.

    Attributes:
        id: what people call it.
        function: the function's name.
        tasks: how many tasks an array has; None for a single call.
        config: the fields of its config, without secrets.
        submitted: when: ISO 8601, UTC.
        scheduler_id: what the scheduler calls it; empty until that is known.
        environment: the folder of the environment there that was built for it; empty if none was.
        ended: how it ended, in a word; empty as long as it lives.
    """

    id: str
    function: str
    tasks: int | None
    config: dict[str, Any]
    submitted: str
    scheduler_id: str = ""
    environment: str = ""
    ended: str = ""

    @property
    def name(self) -> str:
        """Its name in the scheduler."""
        return PREFIX + self.id

    @property
    def folder(self) -> str:
        """Its folder in the place."""
        return f"~/{JOBS}/{self.id}"


def new(function: str, tasks: int | None, config: ClusterConfig) -> Record:
    """The record of a job that is about to be submitted; it isn't saved yet."""
    began = datetime.now(timezone.utc)
    identity = f"{began:%y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    secret = secret_fields(type(config))
    fields = {name: value for name, value in given(config).items() if name not in secret}
    return Record(identity, function, tasks, fields, began.isoformat(timespec="milliseconds"))


def save(record: Record, **changes: str) -> Record:
    """Write a record, with some of it changed."""
    record = replace(record, **changes)  # type: ignore[arg-type]
    file = _file(record.id)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.touch(0o600)
        temporary.write_text(json.dumps(asdict(record), default=_plain))
        temporary.rename(file)
    finally:
        temporary.unlink(missing_ok=True)  # a full disk needs no half of it
    return record


def load(identity: str) -> Record:
    """The record of a job.

    Raises:
        JobError: there is none.
    """
    try:
        told = json.loads(_file(identity).read_text())
        return Record(**{name: told[name] for name in told.keys() & Record.__dataclass_fields__.keys()})
    except FileNotFoundError:
        raise JobError(
            f"no job {printable(identity)!r} is known here; `clustrix jobs` lists those that are"
        ) from None
    except (ValueError, TypeError, AttributeError) as error:  # the machine went down while it was written
        raise JobError(f"what was written down of the job is damaged: {_file(identity)}: {error}") from None


def config_of(record: Record) -> ClusterConfig:
    """The config of a job's place.

    Secrets aren't written down: they are those of the active config, where that leads to the same place.
    """
    from clustrix_core.discovery import load_backend
    from clustrix_core.filesystem import checked_config
    from clustrix_core.jobs.here import marker

    config = ClusterConfig(**record.config)
    with suppress(ClustrixError):
        active = checked_config(None)
        if marker(active) == marker(config):
            model = load_backend(config.cluster_type).config_model
            secret = secret_fields(model)
            known = {name: value for name, value in given(resolve(active, model)).items() if name in secret}
            return ClusterConfig(**record.config, **known)
    return config


def all_records() -> list[Record]:
    """All that are remembered, the oldest first."""
    found = []
    for file in _folder().glob("*.json"):
        with suppress(JobError):  # it was forgotten meanwhile, or is damaged
            found.append(load(file.stem))
    return sorted(found, key=lambda record: record.submitted)


def forget(record: Record) -> None:
    """Remember it no longer."""
    _file(record.id).unlink(missing_ok=True)


def _folder() -> Path:
    folder = state_folder() / "jobs"
    with suppress(FileNotFoundError):
        check_owner(folder)  # a config may name commands
    return folder


def _file(identity: str) -> Path:
    if not re.fullmatch(r"[\w-]{1,100}", identity, re.ASCII):
        raise JobError(f"{printable(identity)!r} is no job's id; `clustrix jobs` lists those that are known")
    return _folder() / f"{identity}.json"


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "keys") else str(value)
