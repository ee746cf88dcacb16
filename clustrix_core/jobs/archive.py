"""The archive of a job: one file that a Python over there can run, with all that the function needs.

It holds Clustrix itself, the libraries that unpickling needs, the local modules that the function uses, the
pickled function, and the arguments of each task. Python runs it as it is (see `zipapp`).
"""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import clustrix_core
from clustrix_core.config import ClusterConfig
from clustrix_core.jobs import travel
from clustrix_core.jobs.dependencies import Dependencies

VENDORED = ("cloudpickle", "pluggy")
LEFT_OUT = ("testing", "skeleton", "doctor", "__pycache__")

_MAIN = """
import json, os, sys
archive = sys.path[0]
if sys.version_info[:2] != {version}:
    folder, task = sys.argv[2:4]
    text = "this job needs Python %d.%d, as it was submitted from that, and %s is %d.%d" % (
        *{version}, sys.executable, *sys.version_info[:2])
    os.umask(0o077)
    os.makedirs(os.path.join(folder, "done"), exist_ok=True)
    name = os.path.join(folder, "done", task)
    with open(name + ".tmp", "w") as file:
        file.write(json.dumps({{"outcome": "failed", "type": "WrongPython", "message": text,
            "traceback": text,
            "size": 0, "sha256": "", "inline": True, "seconds": 0, "machine": ""}}) + "\\n")
    os.rename(name + ".tmp", name)
    sys.exit(text)
sys.path[1:1] = [archive + "/src"]
sys.path.append(archive + "/vendor")
from clustrix_core.jobs.runner import main
main(sys.argv)
"""


def build(
    target: Path,
    function: Any,
    config: ClusterConfig,
    tasks: Iterable[tuple[tuple[Any, ...], dict[str, Any]]],
    dependencies: Dependencies,
) -> None:
    """Write the archive.

    Args:
        target: the file, which is made with mode 0600.
        function: what is called.
        config: that of the place, which is the active one in the job.
        tasks: the arguments of each call.
        dependencies: what the function needs.
    """
    target.touch(0o600)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("__main__.py", _MAIN.format(version=tuple(sys.version_info[:2])))
        for name, file in _own_files():
            archive.write(file, name)
        for name, source in dependencies.sources.items():
            archive.writestr(f"src/{name}", source)
        archive.writestr("function.pkl", travel.dumps((function, config)))
        for task, call in enumerate(tasks):
            archive.writestr(f"tasks/{task}.pkl", travel.dumps(call))


def _own_files() -> Iterator[tuple[str, Path]]:
    core = Path(clustrix_core.__file__).parent
    for package, prefix in ((core, ""), (core.parent / "clustrix", "")):
        yield from _sources(package, prefix)
    for name in VENDORED:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        yield from _sources(Path(spec.origin).parent, "vendor/")


def _sources(package: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for file in sorted(package.rglob("*.py")):
        inside = file.relative_to(package)
        if not set(inside.parts) & set(LEFT_OUT):
            yield f"{prefix}{package.name}/{inside}", file
