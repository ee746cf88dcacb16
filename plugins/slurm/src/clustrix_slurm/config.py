"""`SlurmConfig`: which cluster, how to log in there, and the environment to work in."""

from __future__ import annotations

import re

from pydantic import ConfigDict, Field, field_validator

from clustrix_ssh import HereOrSshConfig

USE = "use:"
RESTORE = "restore:"

# No quotes, `$`, `;` and the like: Lmod puts names that it doesn't know into the commands of a shell.
_MODULE = re.compile(r"(?!-)[\w.+@:=/,~%^-]+")


class SlurmConfig(HereOrSshConfig):
    """The config of the SLURM backend: that of the SSH backend, and the environment.

    Without a `cluster_host`, or with `localhost`, it means the cluster that this process runs on.
    """

    model_config = ConfigDict(extra="forbid")

    login_shell: bool = Field(
        default=False,
        description="Whether modules and commands start from what a login shell on the cluster sets up.",
    )

    @property
    def wants_environment(self) -> bool:
        """Whether anything has to be set up before the agent starts."""
        return bool(
            self.module_loads or self.environment_variables or self.pre_execution_commands or self.login_shell
        )

    @field_validator("module_loads")
    @classmethod
    def _check_modules(cls, modules: tuple[str, ...]) -> tuple[str, ...]:
        for module in modules:
            if module.startswith(USE):
                if not module.removeprefix(USE).startswith(("/", "~/")):
                    raise ValueError(f"{module!r}: the path behind use: begins with / or ~/")
            elif not _MODULE.fullmatch(module.removeprefix(RESTORE)):
                raise ValueError(
                    f"{module!r} is no module: give a name such as gcc or gcc/12, use:/a/folder of module "
                    "files, or restore:NAME of a saved collection"
                )
        return modules
