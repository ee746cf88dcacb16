"""What sees to the Python of a job where it runs: finds it, looks at what it has, and builds environments.

It travels as source, `python -c SOURCE COMMAND`, and is started in the home folder, as `there` is: so it
keeps to Python 3.6 and the standard library. What is asked is a line of JSON on standard input; so is the
answer on standard output.

An environment is a venv in the folder KEY below `~/.clustrix/environments`. `KEY/clustrix-ready` is written
when it is whole; without it, it is none. Whoever builds or removes it holds `KEY.lock`; a process of its own
builds it, which writes to `KEY.log`, and why it failed to `KEY.failed`.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

ENVIRONMENTS = ".clustrix/environments"
JOBS = ".clustrix/jobs"
READY = "clustrix-ready"
LOOK = 120.0  # seconds that a Python may take to tell about itself: it may come from a slow disk
QUOTED = 4000  # characters of what an installer said

# What a Python tells about itself; any version of it reads this.
CHECK = """
import sys
sys.path[:] = [path for path in sys.path if path]
import json
found = {"version": list(sys.version_info[:3]), "installed": {}}
try:
    import sysconfig
    from importlib import metadata, util
except ImportError:
    pass
else:
    found["platform"] = sysconfig.get_platform()
    for name, module in json.loads(sys.stdin.read()):
        try:
            found["installed"][name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            if module and util.find_spec(module):
                found["installed"][name] = ""
print("\\n" + json.dumps(found))
"""

# Where people keep conda's like, if no variable or program says so.
ROOTS = ("miniconda3", "miniforge3", "mambaforge", "anaconda3", "micromamba", "conda")
TOOLS = ("conda", "mamba", "micromamba")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Asked = dict[str, Any]


def prepare(asked: "Asked") -> "dict[str, Any]":
    """Find the Python, and build the environment if one is asked for; or tell how far it has come."""
    refused, found = "", None
    for python in pythons(asked):
        try:
            told = look(python, asked)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            refused = refused or "the Python %r can't be used: %s; name another by %s" % (
                python,
                error,
                "python_executable or conda_env_name, or load its module by module_loads",
            )
            continue
        if found is None or told["version"][:2] == asked["version"]:
            found = told
        if told["version"][:2] == asked["version"]:
            break
    if found is None:
        return {"refused": refused}
    if asked["build"] and found["version"][:2] == asked["version"]:
        return environment(found, asked)
    return found


def pythons(asked: "Asked") -> "Iterator[str]":
    """Those to try. What is given by name keeps it: elsewhere in the place it may have another path."""
    if asked["python"]:
        given = os.path.expanduser(asked["python"])
        yield os.path.abspath(given) if "/" in given else given  # jobs start elsewhere
    elif asked["conda"]:
        yield os.path.join(conda_environment(asked["conda"]), "bin", "python")
    else:
        yield "python3"
        yield "python%d.%d" % tuple(asked["version"])


def look(python: str, asked: "Asked") -> "dict[str, Any]":
    """The version of a Python, and what it has of what is needed."""
    given = json.dumps([[name, asked["modules"].get(name)] for name in asked["pins"]])
    path = shutil.which(python)
    if path is None:
        raise FileNotFoundError("there is no such program")
    pipe = subprocess.PIPE
    done = subprocess.run([path, "-c", CHECK], input=given.encode(), stdout=pipe, stderr=pipe, timeout=LOOK)
    if done.returncode:
        raise ValueError(done.stderr.decode("utf-8", "replace").strip()[-QUOTED:] or "it ends at once")
    told = json.loads(done.stdout.decode("utf-8").strip().split("\n")[-1])  # type: dict[str, Any]
    return dict(told, python=python, path=path)


# --- conda


class NoSuchEnvironmentError(Exception):
    """There is no such conda environment."""


def conda_environment(name: str) -> str:
    """The folder of a conda environment, by its name or path."""
    if "/" in name:
        path = os.path.abspath(os.path.expanduser(name))
        if is_environment(path):
            return path
        raise NoSuchEnvironmentError("there is no conda environment at %r: it has no bin/python" % path)
    seen = []  # type: list[str]
    for path, known_as in conda_environments():
        if known_as == name:
            return path
        if known_as not in seen:
            seen.append(known_as)
    there = "those that there are: %s" % ", ".join(seen) if seen else "none was found at all"
    raise NoSuchEnvironmentError(
        "there is no conda environment %r; %s; its path may be given, too" % (name, there)
    )


def conda_environments() -> "Iterator[tuple[str, str]]":
    """The paths of all environments that are found, and their names; first those that are cheap to find."""
    roots, folders = [], []  # type: list[str], list[str]
    for variable in ("CONDA_ENVS_PATH", "CONDA_ENVS_DIRS"):
        folders += filter(None, os.environ.get(variable, "").split(os.pathsep))
    programs = [os.environ.get(variable) for variable in ("CONDA_EXE", "MAMBA_EXE")]
    programs = list(filter(None, [*programs, *map(shutil.which, TOOLS)]))
    roots += filter(None, [os.environ.get("MAMBA_ROOT_PREFIX"), os.environ.get("CONDA_ROOT")])
    roots += [os.path.dirname(os.path.dirname(os.path.realpath(program or ""))) for program in programs]
    roots += [os.path.expanduser("~/" + root) for root in ROOTS]
    roots += ["/opt/" + root for root in ROOTS]
    folders += [os.path.expanduser("~/.conda/envs"), *(os.path.join(root, "envs") for root in roots)]
    for root in roots:
        if is_environment(root) and os.path.isdir(os.path.join(root, "conda-meta")):
            yield root, "base"
    for folder in folders:
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(folder)):
                if is_environment(os.path.join(folder, name)):
                    yield os.path.join(folder, name), name
    with contextlib.suppress(OSError), open(os.path.expanduser("~/.conda/environments.txt")) as file:
        for line in file:
            if is_environment(line.strip()):
                yield line.strip(), os.path.basename(line.strip())
    for program in programs:
        yield from told_by(program or "")


def told_by(program: str) -> "Iterator[tuple[str, str]]":
    """The environments that conda, or one of its like, lists; this takes it a second."""
    pipe = subprocess.PIPE
    with contextlib.suppress(OSError, ValueError, TypeError, subprocess.SubprocessError):
        command = [program, "env", "list", "--json"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, timeout=LOOK)
        for path in json.loads(done.stdout.decode("utf-8"))["envs"]:
            if is_environment(path):
                yield path, os.path.basename(path)


def is_environment(path: str) -> bool:
    return os.path.isabs(path) and os.access(os.path.join(path, "bin", "python"), os.X_OK)


# --- environments that are built


def environment(found: "dict[str, Any]", asked: "Asked") -> "dict[str, Any]":
    """The environment on top of a Python, as soon as it is there, or what is being done for it.

    Asked again, `waiting` says so: then a build that has failed meanwhile is not begun again.
    """
    facts = [found["path"], found["version"], found["platform"]]
    facts += [asked[name] for name in ("pins", "constraints", "setup")]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode("ascii")).hexdigest()[:20]
    folder = os.path.join(os.path.abspath(ENVIRONMENTS), key)
    os.makedirs(ENVIRONMENTS, mode=0o700, exist_ok=True)
    for path in map(os.path.abspath, (".clustrix", ENVIRONMENTS)):
        about = os.stat(path)
        if about.st_uid != os.geteuid() or about.st_mode & 0o022:  # others could put there what is run
            return {"refused": "%s: it must be yours, and nobody else may write there" % path}
    deadline, started = time.monotonic() + asked["seconds"], False
    while True:
        if is_ready(folder):
            told = look(os.path.join(folder, "bin", "python"), asked)
            return dict(told, folder=folder)
        lock = locked(folder)
        if lock is not None:
            try:
                if is_ready(folder):
                    continue
                failed = read(folder + ".failed")
                if failed and (asked["waiting"] or started):
                    return {"refused": failed}
                if not started:
                    start(lock, folder, found["path"], asked)
                started = True
            finally:
                os.close(lock)
        if time.monotonic() > deadline:
            said = read(folder + ".log").strip().split("\n")[-1]
            return {"building": said[-200:], "started": started}
        time.sleep(0.05)


def is_ready(folder: str) -> bool:
    """Whether it is there, and whole; if so, it is used, and no sweeper takes it."""
    try:
        os.utime(os.path.join(folder, READY))
    except FileNotFoundError:
        return False
    return True


def locked(folder: str) -> "int | None":
    """The lock of an environment; None if another has it."""
    path = folder + ".lock"
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(lock).st_ino == os.stat(path).st_ino:
                return lock
        os.close(lock)  # it was removed meanwhile


def start(lock: int, folder: str, python: str, asked: "Asked") -> None:
    """Build it in a process of its own, which outlives this one, and holds the lock."""
    for ending in (".failed", ".log"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder + ending)
    sys.stdout.flush()
    if os.fork():
        os.wait()
        return
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        log = os.open(folder + ".log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            build(lock, folder, python, asked)
        except Exception as error:
            said = read(folder + ".log").strip()[-QUOTED:]
            shutil.rmtree(folder, ignore_errors=True)
            write(folder + ".failed", "%s\n%s" % (error, said))
    finally:
        os._exit(0)


def build(lock: int, folder: str, python: str, asked: "Asked") -> None:
    """Build it in its place, as it can't be moved, and mark it when it is whole."""
    shutil.rmtree(folder, ignore_errors=True)
    uv = None if is_pip_configured() else shutil.which("uv")
    if uv is None or not has_worked(lock, by_uv(uv, folder, python), folder, asked):
        for command in by_pip(folder, python):
            run(lock, command, folder, asked)
    write(os.path.join(folder, READY), json.dumps(asked["pins"]))


def is_pip_configured() -> bool:
    """Whether pip is told where to look, which uv does not heed."""
    names = ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "CONFIG_FILE", "CONSTRAINT")
    return any("PIP_" + name in os.environ for name in names)


def by_uv(uv: str, folder: str, python: str) -> "Iterator[list[str]]":
    shutil.rmtree(folder, ignore_errors=True)
    yield [uv, "venv", "--python", python, folder]
    target = os.path.join(folder, "bin", "python")
    yield [uv, "pip", "install", "--python", target, *lists(folder)]


def by_pip(folder: str, python: str) -> "Iterator[list[str]]":
    shutil.rmtree(folder, ignore_errors=True)
    yield [python, "-m", "venv", folder]
    yield [
        os.path.join(folder, "bin", "python"),
        "-m",
        "pip",
        "install",
        "--progress-bar=off",
        *lists(folder),
    ]


def lists(folder: str) -> "list[str]":
    names = [os.path.join(folder, name) for name in ("requirements.txt", "constraints.txt")]
    return ["--requirement", names[0], "--constraint", names[1]]


def has_worked(lock: int, commands: "Iterator[list[str]]", folder: str, asked: "Asked") -> bool:
    try:
        for command in commands:
            run(lock, command, folder, asked)
    except (OSError, ValueError):
        return False
    return True


def run(lock: int, command: "list[str]", folder: str, asked: "Asked") -> None:
    """Run a step. It holds the lock, too, so that none is begun anew where it goes on alone."""
    if os.path.isdir(folder):
        for name, pins in (("requirements.txt", "pins"), ("constraints.txt", "constraints")):
            lines = ["%s==%s\n" % each for each in sorted(asked[pins].items())]
            write(os.path.join(folder, name), "".join(lines))
    settings = dict(os.environ, PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    status = subprocess.call(command, env=settings, pass_fds=[lock])
    if status:
        raise ValueError("%s ended with exit code %d" % (" ".join(command[:4]), status))


def sweep(asked: "Asked") -> "dict[str, Any]":
    """Remove environments that were not used for so many seconds, no job uses, and are not to be kept."""
    removed, folder = [], os.path.abspath(ENVIRONMENTS)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for path in (os.path.join(folder, name) for name in names):
        if not os.path.isdir(path) or path in asked["keep"] or age(path) < asked["seconds"]:
            continue
        lock = locked(path)
        if lock is not None:
            if age(path) >= asked["seconds"] and is_withdrawn(path):  # it was not taken into use meanwhile
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(path, "bin/python"))
                shutil.rmtree(path, ignore_errors=True)
                for ending in (".log", ".failed", ".lock"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path + ending)
                removed.append(path)
            os.close(lock)
    return {"removed": removed}


def is_withdrawn(path: str) -> bool:
    """Withdraw an environment, if no job uses it. Jobs name theirs, and then see whether it is there."""
    ready = os.path.join(path, READY)
    with contextlib.suppress(FileNotFoundError):
        os.rename(ready, ready + ".withdrawn")
    if path not in in_use():
        return True
    with contextlib.suppress(FileNotFoundError):
        os.rename(ready + ".withdrawn", ready)
    return False


def in_use() -> "Iterator[str]":
    """The environments of jobs that have not ended, whoever submitted them."""
    names = os.listdir(JOBS) if os.path.isdir(JOBS) else []
    for job in (os.path.join(JOBS, name) for name in names):
        with contextlib.suppress(OSError, ValueError):
            with open(os.path.join(job, "environment")) as file:
                path, tasks = json.load(file)
            done = os.path.join(job, "done")
            ended = os.listdir(done) if os.path.isdir(done) else []
            if sum(name.isdigit() for name in ended) < tasks:
                yield path


def age(path: str) -> float:
    """Seconds since it was last used; none where the clock of the disk is ahead."""
    for name in (os.path.join(path, READY), path):
        with contextlib.suppress(FileNotFoundError):
            return max(0.0, time.time() - os.stat(name).st_mtime)
    return 0.0


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def write(path: str, text: str) -> None:
    """Write a file that appears at once and whole."""
    temporary = "%s.%d.tmp" % (path, os.getpid())
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(temporary, path)


def main(command: str) -> None:
    os.umask(0o077)
    asked = json.loads(sys.stdin.buffer.readline().decode("ascii"))
    try:
        answer = {"prepare": prepare, "sweep": sweep}[command](asked)
    except NoSuchEnvironmentError as error:
        answer = {"refused": str(error)}
    except OSError as error:  # a full disk, a home folder without locks
        answer = {"refused": "%s: %r" % (error.strerror or error, error.filename)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
