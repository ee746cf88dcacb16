"""A backend for scratch disks: relative paths start in a folder of the user's own."""

from __future__ import annotations

import getpass
import os

from pydantic import ConfigDict, Field

from clustrix_core import (
    ClusterConfig,
    DiskUsage,
    FileInfo,
    Stream,
    hookimpl,
)
from clustrix_core.engine import Engine, unpack
from clustrix_core.partial import Failures


class ScratchConfig(ClusterConfig):
    model_config = ConfigDict(extra="forbid")

    scratch_root: str = Field(default="/scratch", description="Holds a folder for each user.")


class ScratchBackend:
    api_version = 1
    config_model = ScratchConfig

    def __init__(self, config):
        user = config.username or getpass.getuser()
        self._engine = Engine(os.path.join(config.scratch_root, user))

    @hookimpl
    def clustrix_ls(self, path, detail):
        if detail:
            return file_infos(self._engine.ls_detail(path))
        return unpack(self._engine.ls(path))

    @hookimpl
    def clustrix_find(
        self,
        pattern,
        path,
        detail,
        type,
        max_depth,
        follow_symlinks,
        on_error,
        progress,
    ):
        failures, tick = Failures(on_error), ticker(progress)
        find = self._engine.find_detail if detail else self._engine.find
        found = find(pattern, path, type, max_depth, follow_symlinks, failures, tick)
        return Stream(batches(found, file_infos if detail else unpack, failures))

    @hookimpl
    def clustrix_stat(self, paths, follow_symlinks, on_error):
        results = []
        for path in paths:
            try:
                record = self._engine.stat(path, follow_symlinks)
                results.append(FileInfo.from_record(record))
            except OSError as error:
                if on_error == "raise":
                    raise
                results.append(error)
        return results

    @hookimpl
    def clustrix_exists(self, path):
        return self._engine.exists(path)

    @hookimpl
    def clustrix_isdir(self, path):
        return self._engine.isdir(path)

    @hookimpl
    def clustrix_isfile(self, path):
        return self._engine.isfile(path)

    @hookimpl
    def clustrix_glob(self, pattern, path, on_error, progress):
        failures = Failures(on_error)
        found = unpack(self._engine.glob(pattern, path, failures, ticker(progress)))
        failures.warn()
        return found

    @hookimpl
    def clustrix_du(self, path, on_error, progress):
        failures = Failures(on_error)
        total_bytes, file_count = self._engine.du(path, failures, ticker(progress))
        failures.warn()
        return DiskUsage(total_bytes, file_count)

    @hookimpl
    def clustrix_count_files(self, path, pattern, on_error, progress):
        failures = Failures(on_error)
        count = self._engine.count_files(path, pattern, failures, ticker(progress))
        failures.warn()
        return count


def batches(found, read, failures):
    for batch in found:
        yield read(batch)
    failures.warn()


def file_infos(records):
    return [FileInfo.from_record(record) for record in records]


def ticker(progress):
    return lambda entries: progress and progress(entries, None)
