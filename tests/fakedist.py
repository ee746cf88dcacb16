"""Distributions that look installed: a `.dist-info` folder and modules in a folder on `sys.path`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from clustrix_core import discovery, hookspecs


class FakeSite:
    """A folder of distributions, first on `sys.path` while the `with` block runs.

    At its end the modules that came from the folder and the plugins that were loaded are forgotten.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(
        self,
        distribution: str,
        version: str,
        *,
        backends: Mapping[str, str] | None = None,
        extensions: Mapping[str, str] | None = None,
        modules: Mapping[str, str] | None = None,
    ) -> Path:
        """Write a distribution.

        Args:
            distribution: its name.
            version: its version.
            backends: entry points of the group `clustrix.backends`, name to `module:Class`.
            extensions: entry points of the group `clustrix.extensions`.
            modules: source of each module, by the module's name.

        Returns:
            Its `.dist-info` folder.
        """
        info = self.path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        groups = {"clustrix.backends": backends or {}, "clustrix.extensions": extensions or {}}
        lines = []
        for group, entries in groups.items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        for name, source in (modules or {}).items():
            (self.path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        return info

    def __enter__(self) -> FakeSite:
        self._modules = set(sys.modules)
        sys.path.insert(0, str(self.path))
        _forget_plugins()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.path.remove(str(self.path))
        for name in set(sys.modules) - self._modules:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(self.path)):
                del sys.modules[name]
        _forget_plugins()


def _forget_plugins() -> None:
    discovery.load_backend.cache_clear()
    discovery.load_extension.cache_clear()


def backend_source(name: str = "Backend") -> str:
    """The source of a module with a class that keeps the contract; each hook returns its own name."""
    methods = [
        f"    @hookimpl\n    def {hook}(self, {', '.join(hookspecs.arguments(hook))}): return {hook!r}\n"
        for hook in hookspecs.REQUIRED
    ]
    return f"""
from pydantic import ConfigDict
from clustrix_core.config import ClusterConfig
from clustrix_core.hookspecs import hookimpl

class Config(ClusterConfig):
    model_config = ConfigDict(extra="forbid")

class {name}:
    api_version = {hookspecs.API_VERSION}
    config_model = Config

    def __init__(self, config):
        self.config = config

""" + "\n".join(methods)


def extension_source(name: str = "Extension") -> str:
    """The source of a module with an extension that keeps the contract and changes nothing."""
    return f"""
from clustrix_core.hookspecs import hookimpl

class {name}:
    def __init__(self, config):
        self.config = config

    @hookimpl(wrapper=True)
    def clustrix_ls(self, path):
        return (yield)
"""
