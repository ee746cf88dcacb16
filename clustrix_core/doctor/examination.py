"""The course of a whole examination: of the config, the way to the place, and every operation there."""

from __future__ import annotations

import secrets
import stat
import statistics
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Any

from clustrix_core.config import ClusterConfig
from clustrix_core.discovery import installed
from clustrix_core.doctor import agreement
from clustrix_core.doctor.sample import PLAIN, TREE, Sample
from clustrix_core.doctor.steps import Check, Concern, Course, Fault, LeftOut, Step
from clustrix_core.errors import ClustrixError, described
from clustrix_core.filesystem import ClusterFilesystem

ROUND_TRIPS = 9
SHOWN = 3  # names


def examine(
    load: Callable[[], ClusterConfig], begin: Callable[[str], object] = str
) -> Generator[Check, None, None]:
    """Look at a place step by step. In it, nothing is changed outside a scratch folder in the work dir.

    The folder is removed at the end; also when the iterator is closed before that.

    Args:
        load: gives the config of the place.
        begin: called with the name of each step before it is taken.

    Yields:
        What came of each step.
    """
    course, patient = Course(begin), _Patient(load)
    try:
        yield from course.take(patient.first_steps())
        yield from course.take(patient.own_steps())
        yield from course.take(patient.common_steps())
        with ExitStack() as scratch:
            yield from course.take([Step("scratch folder", lambda: patient.plant(scratch), vital=False)])
            yield from course.take(patient.operations())
            yield from course.take([Step("clean-up", lambda: patient.clean_up(scratch))])
    finally:
        patient.dismiss()


class _Patient:
    """The place, as far as it is known."""

    def __init__(self, load: Callable[[], ClusterConfig]) -> None:
        self._load = load
        self._config: ClusterConfig
        self._fs: ClusterFilesystem | None = None
        self._backend: Any = None
        self._folder = f".clustrix-doctor-{secrets.token_hex(8)}"
        self._sample: Sample | None = None

    @property
    def fs(self) -> ClusterFilesystem:
        assert self._fs is not None
        return self._fs

    def dismiss(self) -> None:
        if self._fs is not None:
            self._fs.close()

    def first_steps(self) -> list[Step]:
        return [Step("config", self._find_config), Step("backend", self._open_backend)]

    def _find_config(self) -> str:
        self._config = config = self._load()
        work_dir = config.local_work_dir if config.cluster_type == "local" else config.remote_work_dir
        told = {"host": config.cluster_host, "user": config.username, "work dir": work_dir}
        parts = [f"{name} {value}" for name, value in told.items() if value]
        return ", ".join([f"type {config.cluster_type}", *parts])

    def _open_backend(self) -> str:
        name = self._config.cluster_type
        self._fs = ClusterFilesystem(self._config)
        self._backend = self._fs._session().backend
        return next(plugin.source for plugin in installed("backend") if plugin.name == name)

    def own_steps(self) -> list[Step]:
        """What the backend itself has to look at."""
        diagnose = getattr(self._backend, "diagnose", None)
        return [] if diagnose is None else list(diagnose())

    def common_steps(self) -> list[Step]:
        return [
            Step("work dir", self._look_at_work_dir, advice="correct the config, or make it readable"),
            Step("round trip", self._measure, vital=False),
        ]

    def _look_at_work_dir(self) -> str:
        info = self.fs.stat(".")
        if not info.is_dir:
            raise Fault("it is no folder", "correct the config")
        return f"{stat.filemode(info.mode)}, owner {info.uid}, group {info.gid}"

    def _measure(self) -> str:
        times = []
        for _ in range(ROUND_TRIPS):
            began = time.perf_counter()
            self.fs.exists(".")
            times.append(time.perf_counter() - began)
        middle = statistics.median(times) * 1000
        return f"{middle:.{1 if middle >= 1 else 3}f} ms, the median of {ROUND_TRIPS} calls of exists"

    def plant(self, scratch: ExitStack) -> str | Concern:
        if "readonly" in self._config.extensions:
            raise LeftOut("the config's extension 'readonly' lets nothing be written there")
        make = getattr(self._backend, "scratch", None)
        if make is None:
            raise LeftOut("the backend can't make one, so the operations are compared on what is there")
        try:
            refused = dict(scratch.enter_context(make(self._folder, TREE)))
            for name in PLAIN & refused.keys():
                raise OSError(f"{name}: {refused[name]}")
        except ClustrixError:
            raise
        except OSError as error:
            scratch.close()
            return Concern(
                f"nothing can be made there: {described(error)}",
                "where you don't want to write this is fine: the operations are compared on what is there",
            )
        self._sample = Sample(self.fs, self._folder, refused)
        if not refused:
            return f"{self._folder}, with {len(TREE)} entries"
        shown = "; ".join(f"{name!a}: {reason}" for name, reason in list(refused.items())[:SHOWN])
        return Concern(
            f"{len(refused)} of {len(TREE)} entries could not be made: {shown}",
            "the filesystem takes no such names or links: programs that make them will fail there",
        )

    def operations(self) -> list[Step]:
        return agreement.steps(lambda: self.fs) if self._sample is None else self._sample.steps()

    def clean_up(self, scratch: ExitStack) -> str | None:
        if self._sample is None:
            return None
        try:
            scratch.close()
            if not self.fs.exists(self._folder):
                return "the scratch folder is gone"
            problem = "it is still there"
        except OSError as error:
            problem = described(error) or str(error)
        raise Fault(f"{self._folder}: {problem}", "see whether it is there, and remove it by hand")
