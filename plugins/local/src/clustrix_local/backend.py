"""The backend of this machine: the engine, in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from clustrix_core import API_VERSION, ClusterConfig, hookimpl
from clustrix_core.engine import Engine
from clustrix_core.engine_backend import EngineBackend
from clustrix_core.errors import ConfigError, printable
from clustrix_core.jobs.hooks import SupervisedJobs

if TYPE_CHECKING:
    from clustrix_core.doctor import Step
    from clustrix_core.jobs.models import EnvironmentSpec, JobSpec, PreparedEnvironment
    from clustrix_core.remote.backend import Ran


class LocalBackend(EngineBackend, SupervisedJobs):
    """The backend of `cluster_type="local"`: `local_work_dir` is where relative paths start."""

    api_version = API_VERSION
    config_model = ClusterConfig

    def __init__(self, config: ClusterConfig) -> None:
        super().__init__(Engine(config.local_work_dir))
        self._config, self._work_dir = config, config.local_work_dir
        if config.local_work_dir:
            self._check_work_dir(config.local_work_dir)

    def work_dir(self) -> str:
        return os.path.abspath(self._work_dir or ".")

    @hookimpl
    def clustrix_prepare(
        self, environment: EnvironmentSpec, progress: Callable[[str], object] | None
    ) -> PreparedEnvironment:
        from clustrix_core.jobs import environment as environments

        return environments.prepare(self._place_of_jobs(), environment, progress)

    @hookimpl
    def clustrix_submit(self, job: JobSpec) -> str:
        from clustrix_core.jobs import handover

        return handover.submit(self._place_of_jobs(), job)[0]

    def diagnose(self) -> list[Step]:
        """The steps of `clustrix doctor`: only jobs need what the config wants to be set up."""
        from clustrix_core.doctor import Step

        wanted = self._config.wants_environment
        return [Step("environment", self._check_environment, vital=False)] if wanted else []

    def _check_environment(self) -> str:
        from clustrix_core.environment import LOADED, as_found
        from clustrix_core.jobs.handover import checked

        ran = self._place_of_jobs().run(["bash", "-c", LOADED])
        return as_found(checked(ran).decode("utf-8", "replace"))

    def _place_of_jobs(self) -> LocalBackend:
        """This place, as jobs find it; looking after them takes no environment."""
        return PreparedBackend(self._config) if self._config.wants_environment else self

    def run(self, command: Sequence[str], given: bytes = b"") -> Ran:
        """Run a program in the home folder. Ctrl-C ends it, with all that it has started."""
        import signal
        import subprocess
        import tempfile

        from clustrix_core.remote.backend import Ran

        home, pipe = os.path.expanduser("~"), subprocess.PIPE
        with tempfile.TemporaryFile() as said:  # what is left running may keep it open, and isn't waited for
            process = subprocess.Popen(  # noqa: S603
                list(command), stdin=pipe, stdout=pipe, stderr=said, cwd=home, start_new_session=True
            )
            with process:
                try:
                    output, _ = process.communicate(given)
                except BaseException:
                    with suppress(ProcessLookupError):  # it has just ended
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    raise
            said.seek(0)
            return Ran(process.returncode, output, said.read().decode("utf-8", "replace"))

    def run_python(self, source: str, arguments: Sequence[str], given: bytes = b"") -> Ran:
        """Run the text of a program, with this Python."""
        return self.run([sys.executable, "-I", "-S", "-c", source, *arguments], given)

    def _check_work_dir(self, path: str) -> None:
        try:
            if self._engine.isdir("."):
                return
            problem = "there is no such directory; make it, or correct the config"
        except OSError as error:
            problem = f"{error.strerror}; correct the config"
        raise ConfigError(f"local_work_dir {printable(path)!r}: {problem}")


class PreparedBackend(LocalBackend):
    """The same place, where programs run in the environment that the config describes."""

    def run(self, command: Sequence[str], given: bytes = b"") -> Ran:
        """Set the environment up, and run a program in it.

        Raises:
            ConfigError: the environment can't be set up.
        """
        import shlex

        from clustrix_core.environment import script_for_command

        script = script_for_command(self._config, shlex.join(command))
        ran = super().run(["sh", "-c", script.command], script.text + given)
        script.check(self._config.cluster_type, ran.complaints)
        return ran._replace(complaints=script.without_own_lines(ran.complaints))
