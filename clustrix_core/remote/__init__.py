"""What a backend needs whose files are elsewhere: all but the way to start a command there.

`RemoteBackend` implements every hook over a `Channel`. Its agent, this project's engine with a few pages
around it, travels over that channel and runs in the memory of a Python there; nothing is written to disk.
"""

from clustrix_core.remote.backend import Ran, RemoteBackend, RemoteConfig
from clustrix_core.remote.channel import Channel, PipeChannel

__all__ = ["Channel", "PipeChannel", "Ran", "RemoteBackend", "RemoteConfig"]
