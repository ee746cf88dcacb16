"""The SSH backend: the files of a host that you can log in to."""

from clustrix_ssh._version import __version__
from clustrix_ssh.backend import SshBackend
from clustrix_ssh.config import SshConfig
from clustrix_ssh.here import HereOrSshBackend, HereOrSshConfig
from clustrix_ssh.prompts import Question, set_prompter

__all__ = [
    "HereOrSshBackend",
    "HereOrSshConfig",
    "Question",
    "SshBackend",
    "SshConfig",
    "__version__",
    "set_prompter",
]
