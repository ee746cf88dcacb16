"""What travels for a job: files for its folder, and parts that many jobs share.

`job.pyz` is a program (see `zipapp`) with the pickled function; `arguments` holds those of all tasks, one
pickle behind the other. The parts are archives that are known by their content, and stay there for the next
jobs: Clustrix itself with the libraries that unpickling needs, and the local modules of the function.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import os
import py_compile
import shutil
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import clustrix_core
from clustrix_core.config import ClusterConfig
from clustrix_core.jobs import culprit, travel
from clustrix_core.jobs.dependencies import Dependencies
from clustrix_core.jobs.parallel import cores_of
from clustrix_core.state import cache_folder, check_owner

if TYPE_CHECKING:
    from clustrix_core.jobs.decorator import ClusterFunction
    from clustrix_core.jobs.parallel import Loops

VENDORED = ("cloudpickle", "pluggy")
KEPT = 30 * 86400  # seconds that the archive of Clustrix itself is kept before it is made again
LEFT_OUT = ("testing", "skeleton", "doctor", "cli", "__pycache__")

_MAIN = """
import json, os, sys
def refuse(type, text):
    folder, task = sys.argv[2:4]
    os.umask(0o077)
    os.makedirs(os.path.join(folder, "done"), exist_ok=True)
    name = os.path.join(folder, "done", task)
    with open(name + ".tmp", "w") as file:
        file.write(json.dumps({{"outcome": "failed", "type": type, "message": text, "traceback": text,
            "size": 0, "sha256": "", "inline": True, "seconds": 0, "machine": ""}}) + "\\n")
    os.rename(name + ".tmp", name)
    sys.exit(text)
if sys.version_info[:2] != {version}:
    refuse("WrongPython", "this job needs Python %d.%d, as it was submitted from that, and %s is %d.%d" % (
        *{version}, sys.executable, *sys.version_info[:2]))
home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(sys.path[0]))))
parts = [os.path.join(home, "parts", part + ".zip") for part in {parts}]
for part in parts:
    if not os.path.exists(part):
        refuse("MissingPart", "%s is gone: submit the job again" % part)
sys.path[1:1] = [*parts, parts[0] + "/vendor"]  # another cloudpickle doesn't read what this one wrote
from clustrix_core.jobs.runner import main
main(sys.argv)
"""


class Pickled(NamedTuple):
    """A function and what it is called with, in files.

    Attributes:
        folder: the folder of the files.
        names: what unpickling them needs, see `travel.dump`.
    """

    folder: Path
    names: set[str]


def pickled(
    folder: Path,
    function: ClusterFunction[Any, Any],
    config: ClusterConfig,
    calls: Iterable[tuple[tuple[Any, ...], dict[str, Any]]],
    loops: Loops | None = None,
) -> Pickled:
    """Pickle what travels.

    Args:
        folder: where to; nobody else can read it.
        function: what is called.
        config: that of the place, which is the active one in the job.
        calls: the arguments of each task.
        loops: what splitting its loops takes.
    """
    names: set[str] = set()
    offsets = [0]
    with open(folder / "arguments", "wb") as file:
        for call in calls:
            try:
                names |= travel.dump(call, file)
            except Exception as error:
                culprit.in_call(error, call)
                raise
            offsets.append(file.tell())
    packed = function, travel.dumps(config), offsets[:-1], cores_of(function, config), loops
    with open(folder / "function.pkl", "wb") as file:
        try:
            names |= travel.dump(packed, file)
        except Exception as error:
            culprit.in_function(error, function)
            raise
    return Pickled(folder, names)


def build(content: Pickled, dependencies: Dependencies) -> tuple[dict[str, str], dict[str, str]]:
    """Put together what travels.

    Args:
        content: the function and its arguments.
        dependencies: what they need.

    Returns:
        The files for the job's folder, by their names there; and the parts, by their SHA-256.
    """
    folder = content.folder
    parts = dict([_core_part(folder), *_part_of_sources(folder, dependencies.sources)])
    with zipfile.ZipFile(folder / "job.pyz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        main = _MAIN.format(version=tuple(sys.version_info[:2]), parts=list(parts))
        archive.writestr(_entry("__main__.py"), main)
        entry = archive.open(_entry("function.pkl"), "w", force_zip64=True)
        with entry, open(folder / "function.pkl", "rb") as file:
            shutil.copyfileobj(file, entry)
    return {name: str(folder / name) for name in ("job.pyz", "arguments")}, parts


def _part_of_sources(folder: Path, sources: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    if sources:
        # Python finds packages without an `__init__.py` there only where their folders have entries.
        folders = {f"{parent}/": b"" for name in sources for parent in PurePosixPath(name).parents[:-1]}
        data = _zipped(sorted({**sources, **folders}.items()))
        digest = hashlib.sha256(data).hexdigest()
        file = folder / "sources.zip"
        file.write_bytes(data)
        yield digest, str(file)


def _core_part(folder: Path) -> tuple[str, str]:
    """The archive of Clustrix itself; where it isn't kept, it is written to this folder."""
    digest, kept = _core()
    if isinstance(kept, Path):
        if kept.exists():
            return digest, str(kept)
        _core.cache_clear()  # somebody has tidied up
        digest, kept = _core()
    if isinstance(kept, Path):
        return digest, str(kept)
    file = folder / "core.zip"
    file.write_bytes(kept)
    return digest, str(file)


@functools.cache
def _core() -> tuple[str, Path | bytes]:
    """The digest of the archive, and where it is kept; the archive itself, if it can't be kept."""
    archive = Path(clustrix_core.__file__).parent.parent
    if archive.is_file():  # this is a job, and the archive is what it came with
        return hashlib.sha256(archive.read_bytes()).hexdigest(), archive
    files = list(_own_files())
    facts = [(name, str(file), file.stat().st_mtime_ns, file.stat().st_size) for name, file in files]
    key = hashlib.sha256(repr((facts, sys.version)).encode()).hexdigest()[:32]
    try:
        kept = cache_folder() / f"core-{key}.zip"
        data = _kept(kept)
    except (OSError, zipfile.BadZipFile):
        data = _zipped(_compiled(files))
        try:
            kept = cache_folder() / f"core-{key}.zip"
            _keep(kept, data)
            data = _kept(kept)  # others may have been faster, and what Python compiles isn't always the same
        except (OSError, zipfile.BadZipFile):  # the home is full, or there is none, or others can write to it
            return hashlib.sha256(data).hexdigest(), data
    return hashlib.sha256(data).hexdigest(), kept


def _kept(file: Path) -> bytes:
    check_owner(file.parent)
    data = file.read_bytes()
    try:
        zipfile.ZipFile(io.BytesIO(data)).close()
    except zipfile.BadZipFile:
        file.unlink(missing_ok=True)
        raise
    return data


def _keep(file: Path, data: bytes) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_owner(file.parent)
    for other in file.parent.glob("core-*"):  # of versions that were replaced since
        with suppress(FileNotFoundError):
            if time.time() - other.stat().st_mtime > KEPT:
                other.unlink()
    temporary = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.write_bytes(data)
        try:
            os.link(temporary, file)
        except FileExistsError:  # what is there stays, as others may have begun to send it
            pass
        except OSError:  # the file system has no hard links
            temporary.rename(file)
    finally:
        temporary.unlink(missing_ok=True)


def _zipped(entries: Iterable[tuple[str, bytes]]) -> bytes:
    """An archive that is the same when its entries are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, data in entries:
            archive.writestr(_entry(name), data)
    return buffer.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)  # dated 1980, as the dates of files would make equal archives differ
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _compiled(files: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, bytes]]:
    """Sources, and beside each what this Python makes of it: jobs have the same version, and begin sooner."""
    with tempfile.TemporaryDirectory(prefix="clustrix-") as folder:
        target = os.path.join(folder, "compiled")
        for name, file in files:
            yield name, file.read_bytes()
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(file), target, name, doraise=True, invalidation_mode=mode)
            yield f"{name}c", Path(target).read_bytes()


def _own_files() -> Iterator[tuple[str, Path]]:
    core = Path(clustrix_core.__file__).parent
    for package, prefix in ((core, ""), (core.parent / "clustrix", "")):
        yield from _sources(package, prefix)
    for name in VENDORED:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        if spec.submodule_search_locations is None:
            yield f"vendor/{name}.py", Path(spec.origin)
        else:
            yield from _sources(Path(spec.origin).parent, "vendor/")


def _sources(package: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for file in sorted(package.rglob("*.py")):
        inside = file.relative_to(package)
        if not set(inside.parts) & set(LEFT_OUT):
            yield f"{prefix}{package.name}/{inside}", file
