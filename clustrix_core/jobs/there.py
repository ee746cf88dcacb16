"""What jobs need where they run, besides the agent: their folders and, without a scheduler, a supervisor.

It travels as source, see `handover`, and is started in the home folder: so it keeps to Python 3.6 and the
standard library. What is asked is a line of JSON on standard input; so is the answer on standard output.

A job's folder holds its files; `claim`, a folder that only one submission can make; `submitted`, the answer
to that; `parts`, a list of those that it uses; `environment`, that of its Python, and how many tasks use it;
and, without a scheduler, `lock`, which its supervisor holds as long as it lives, `running/N`, which the
processes of the task N hold, `cancelled/N` and `cancelled/all`.
"""

import contextlib
import errno
import fcntl
import filecmp
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque

JOBS = ".clustrix/jobs"
PARTS = ".clustrix/parts"
ENVIRONMENTS = ".clustrix/environments"
PATIENCE = 30.0  # seconds that the answer to an earlier submission may take
GRACE = 2.0  # seconds between SIGTERM and SIGKILL

umask = 0o077  # the account's own, for what jobs write; all else is for the account alone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, BinaryIO

    Asked = dict[str, Any]
    PROGRAM = b""  # the text of this program, which `handover` gives to it


# --- submitting


def submit(asked: "Asked", source: "BinaryIO") -> "dict[str, Any]":
    """Put a job's files into its folder and hand it over, once: asked again, the answer is the same.

    `files` and `parts` list what follows on standard input: names or SHA-256 sums, and sizes; `needed` are
    the sums of all parts. `commands` are what submits scripts of the folder, by the names of these; without
    any there is a `supervisor`.
    """
    folder = os.path.abspath(asked["folder"])
    os.makedirs(folder, exist_ok=True)
    try:
        answer = check_owner() or check_environment(asked["python"]) or hand_over(folder, asked, source)
    except OSError as error:
        answer = refusal(error)
    if "refused" in answer and not os.path.exists(os.path.join(folder, "claim")):
        shutil.rmtree(folder, ignore_errors=True)  # nobody remembers it
    return answer


def hand_over(folder: str, asked: "Asked", source: "BinaryIO") -> "dict[str, Any]":
    with parts_locked(fcntl.LOCK_SH):
        for digest, size in asked["parts"]:
            place_part(digest, read(source, size))
        missing = [digest for digest in asked["needed"] if not is_there(digest)]
        if missing:
            return {"missing": missing}
        try:
            os.mkdir(os.path.join(folder, "claim"))
        except FileExistsError:
            return answer_to_the_first(folder)
        return submit_once(folder, asked, source)


def submit_once(folder: str, asked: "Asked", source: "BinaryIO") -> "dict[str, Any]":
    answer = {}  # type: dict[str, Any]
    try:
        place(folder, "parts", json.dumps(asked["needed"]).encode("ascii"))
        environment = os.path.dirname(os.path.dirname(asked["python"]))
        # Sweepers are told of it first; one that came before has taken it by the time it is looked at again.
        place(folder, "environment", json.dumps([environment, asked["supervisor"][0]]).encode("ascii"))
        refused = check_environment(asked["python"])
        if refused:
            return refused
        for name, size in asked["files"]:
            place(os.path.join(folder, os.path.dirname(name)), os.path.basename(name), read(source, size))
        os.environ["CLUSTRIX_HERE"] = asked["marker"]
        os.chdir(asked["work_dir"])
        os.umask(umask)
        for name, is_program in asked["data"]:
            bring(os.path.join(folder, "files", name), name, is_program)
        os.umask(0o077)
        answer = by_scheduler(folder, asked) if asked["commands"] else by_supervisor(folder, asked)
    finally:
        if "id" in answer:
            with contextlib.suppress(OSError):  # it is submitted, also if there is no room to write that down
                place(folder, "submitted", json.dumps(answer).encode("ascii"))
        elif not answer.get("unknown"):
            shutil.rmtree(folder, ignore_errors=True)  # nobody remembers it
    return answer


def check_owner() -> "dict[str, Any]":
    """Refuse to run what others could put here."""
    for path in (".clustrix", JOBS, PARTS, ENVIRONMENTS):
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(path)
            if found.st_uid != os.geteuid() or found.st_mode & 0o022:
                said = "%s: it must be yours, and nobody else may write there" % os.path.abspath(path)
                return {"refused": said}
    return {}


def check_environment(python: str) -> "dict[str, Any]":
    """Refuse an environment that was swept; no sweeper takes one that is used."""
    folder = os.path.dirname(os.path.dirname(python))
    if os.path.dirname(folder) != os.path.abspath(ENVIRONMENTS):
        return {}
    try:
        os.utime(os.path.join(folder, "clustrix-ready"))
    except FileNotFoundError:
        return {"refused": "the environment %s is gone" % folder, "gone": True}
    return {}


def bring(source: str, target: str, is_program: bool) -> None:
    """Copy a file that came with the job to where the job runs, unless it is there; another one stays."""
    if not os.path.exists(target) and is_brought(source, target, is_program):
        return
    if not filecmp.cmp(source, target, shallow=False):
        raise OSError(errno.EEXIST, "another file of this name is there: remove it, or rename yours", target)


def is_brought(source: str, target: str, is_program: bool) -> bool:
    """Copy a file; false if somebody else was faster. It appears at once and whole."""
    folder, name = os.path.split(target)
    os.makedirs(folder or ".", exist_ok=True)
    temporary = os.path.join(folder, ".%s.%d" % (name, os.getpid()))
    try:
        shutil.copyfile(source, temporary)
        os.chmod(temporary, (0o777 if is_program else 0o666) & ~umask)
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError:  # there are no hard links on this disk
            os.rename(temporary, target)
        return True
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def answer_to_the_first(folder: str) -> "dict[str, Any]":
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, "submitted")) as file:
            found = json.load(file)  # type: dict[str, Any]
            return found
        if not os.path.exists(os.path.join(folder, "claim")):
            return {"refused": "an earlier attempt to submit it failed"}
        time.sleep(0.1)
    return {"unknown": "it was handed over before, and there is no answer yet"}


def by_scheduler(folder: str, asked: "Asked") -> "dict[str, Any]":
    taken = []  # type: list[str]
    for script, command in asked["commands"]:
        if shutil.which(command[0]) is None:
            return {"refused": "there is no program %r" % command[0], "absent": True}
        command = [argument.replace("{folder}", folder) for argument in command]
        done = run([*command, os.path.join(folder, script), folder], asked["without"])
        said = done.stderr.decode("utf-8", "replace").strip()[-4000:]
        if done.returncode:
            if taken:
                run([*asked["undo"], *taken])
            # It may have been submitted all the same, when the scheduler took its time.
            unknown = "timed out" in said.lower()
            return {"refused": said or "exit code %d" % done.returncode, "unknown": unknown, "said": True}
        said = done.stdout.decode("ascii", "replace").strip()
        taken.append(said.split("\n")[-1].partition(";")[0].strip())
    return {"id": taken}


def run(command: "list[str]", without: "Sequence[str]" = ()) -> "subprocess.CompletedProcess[bytes]":
    """Run a command of the scheduler, which hands the umask and all but some variables on to the job."""
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    environment = {name: value for name, value in os.environ.items() if name not in without}
    return subprocess.run(
        command, stdin=null, stdout=pipe, stderr=pipe, env=environment, preexec_fn=lambda: os.umask(umask)
    )


def place_part(digest: str, data: bytes) -> None:
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError("a part of the job has changed on its way")
    place(os.path.abspath(PARTS), digest + ".zip", data)


def is_there(digest: str) -> bool:
    """Whether there is such a part; if so, it is used, and no sweeper takes it."""
    try:
        os.utime(os.path.join(PARTS, digest + ".zip"))
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def parts_locked(how: int) -> "Iterator[None]":
    """Keep parts from being swept meanwhile; or, exclusively, from being relied on.

    Raises:
        BlockingIOError: others hold them, and this is not to wait.
    """
    os.makedirs(PARTS, mode=0o700, exist_ok=True)
    with open(os.path.join(PARTS, "lock"), "a+b") as lock:
        try:
            fcntl.flock(lock.fileno(), how)
        except OSError:  # there are no locks on this disk, say: then nothing is swept
            if how != fcntl.LOCK_SH:
                raise
        yield


def remove(asked: "Asked") -> "dict[str, Any]":
    """Remove job folders, and parts that no job has and none has asked for in so many seconds."""
    for folder in asked["folders"]:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
    with contextlib.suppress(OSError), parts_locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
        lock = os.path.join(PARTS, "lock")
        os.utime(lock)
        now = os.stat(lock).st_mtime  # by the clock of the disk
        used = {"%s.zip" % digest for digest in parts_in_use()}
        for name in set(os.listdir(PARTS)) - used - {"lock"}:
            path = os.path.join(PARTS, name)
            if now - os.stat(path).st_mtime > asked["seconds"]:
                os.unlink(path)
    return {}


def parts_in_use() -> "Iterator[str]":
    for name in os.listdir(JOBS):
        with contextlib.suppress(OSError, ValueError), open(os.path.join(JOBS, name, "parts")) as file:
            yield from json.load(file)


def read(source: "BinaryIO", size: int) -> bytes:
    """So many bytes of what was sent: a client that is killed in the midst of it sends less."""
    data = source.read(size)
    if len(data) != size:
        raise EOFError("the line was lost before all was sent")
    return data


def place(folder: str, name: str, data: bytes) -> None:
    """Write a file that appears at once and whole."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    temporary = os.path.join(folder, ".%s.%d" % (name, os.getpid()))
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        os.rename(temporary, os.path.join(folder, name))
    except OSError as error:  # a full disk, say, which needs no half of a file
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise OSError(error.errno, error.strerror, os.path.join(folder, name)) from None


# --- where there is no scheduler: a supervisor, in a session of its own


def by_supervisor(folder: str, asked: "Asked") -> "dict[str, Any]":
    tasks, cores, after = asked["supervisor"]
    workers = max(1, available_cores() // cores)
    found = shutil.which(asked["python"])
    if found is None:
        return {"refused": "there is no program %r" % asked["python"]}
    place(folder, "supervisor.py", PROGRAM)
    ready, begun = os.pipe()
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        os.dup2(begun, 3)
        os.set_inheritable(3, True)
        command = [sys.executable, "-I", "-S", os.path.join(folder, "supervisor.py"), "supervise"]
        after = [os.path.join(os.path.dirname(folder), name) for name in after]
        os.umask(umask)
        os.execv(sys.executable, [*command, folder, found, str(tasks), str(workers), *after])
    os.close(begun)
    os.wait()
    if os.read(ready, 1) != b"+":
        return {"refused": "the process that sees to it ended at once"}
    return {"id": [id_of(folder)]}


def available_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux has it
        return os.cpu_count() or 1


def supervise(folder: str, python: str, tasks: int, workers: int, after: "list[str]") -> None:
    """Run the tasks, so many at once, and write down what became of those that can't tell themselves.

    They begin when the jobs in the folders `after`, or their tasks (`FOLDER_N`), have succeeded.
    """
    with open(os.path.join(folder, "lock"), "wb") as lock:
        take(lock.fileno())
        place(folder, "tasks", b"%d" % tasks)
        place(folder, "submitted", json.dumps({"id": [id_of(folder)]}).encode("ascii"))
        os.makedirs(os.path.join(folder, "running"), exist_ok=True)
        os.write(3, b"+")
        os.close(3)
        waiting = deque(task for task in range(tasks) if not is_done(folder, task))
        in_vain = not all(has_succeeded(other, folder) for other in after)
        running = {}  # type: dict[int, int]
        untold = []  # type: list[tuple[int, str, str]]
        while waiting or running:
            while waiting and len(running) < workers:
                task = waiting.popleft()
                try:
                    why = why_not(folder, task, in_vain)
                    if why:
                        untold.append((task, *why))
                    else:
                        running[spawn(folder, python, task)] = task
                except OSError as error:  # a full disk, too many processes
                    untold.append((task, "Died", "it could not be started: %s" % error.strerror))
                untold = told(folder, untold)
            if running:
                process, status = os.wait()
                untold += reaped(folder, running.pop(process), status)
                untold = told(folder, untold)


def id_of(folder: str) -> str:
    return "clustrix-" + os.path.basename(folder)


def why_not(folder: str, task: int, in_vain: bool) -> "tuple[str, str] | None":
    """Why a task isn't begun, if so."""
    if is_cancelled(folder, task):
        return "Cancelled", "it was cancelled before it began"
    return ("InVain", "a job that it was to come after did not succeed") if in_vain else None


def told(folder: str, untold: "list[tuple[int, str, str]]") -> "list[tuple[int, str, str]]":
    """Write down what became of tasks; those for which there is no room are left."""
    left = []
    for each in untold:
        try:
            tell(folder, *each)
        except OSError:
            left.append(each)
    return left


def has_succeeded(other: str, folder: str) -> bool:
    """Wait for the end of another job, or of a task of one, and say whether all of it has succeeded."""
    name, _, task = os.path.basename(other).partition("_")
    other = os.path.join(os.path.dirname(other), name)
    while is_held(os.path.join(other, "lock")) and not is_cancelled(folder, -1):
        if task and is_done(other, int(task)):
            break
        time.sleep(0.1)
    try:
        with open(os.path.join(other, "tasks")) as file:
            wanted = [int(task)] if task else range(int(file.read()))
        return all(has_completed(other, each) for each in wanted)
    except FileNotFoundError:
        return False


def has_completed(folder: str, task: int) -> bool:
    try:
        with open(os.path.join(folder, "done", str(task)), "rb") as file:
            return bool(json.loads(file.readline().decode("ascii")).get("outcome") == "completed")
    except FileNotFoundError:
        return False


def take(lock: int) -> None:
    """Lock a file that others may be asking about at this moment."""
    deadline = time.monotonic() + GRACE
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise SystemExit("somebody else sees to this job") from None
            time.sleep(0.01)


def spawn(folder: str, python: str, task: int) -> int:
    lock = os.open(os.path.join(folder, "running", str(task)), os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = os.fork()
    except OSError:
        os.close(lock)
        raise
    if process:
        os.close(lock)
        return process
    try:
        os.setpgid(0, 0)
        with contextlib.suppress(OSError):  # a full disk: then it can't be cancelled
            os.write(lock, ("%d %s %s" % (os.getpid(), machine(), socket.gethostname())).encode())
        os.set_inheritable(lock, True)  # whatever the task starts by a mere fork holds it, too
        log = os.open(os.path.join(folder, "log-%d" % task), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.umask(umask)
        os.execv(python, [python, os.path.join(folder, "job.pyz"), "run", folder, str(task)])
    finally:
        os._exit(127)


def reaped(folder: str, task: int, status: int) -> "Iterator[tuple[int, str, str]]":
    """What is to be told of a task whose process has ended, if it has not told itself."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, "running", str(task)))
    if is_cancelled(folder, task):
        if not (is_done(folder, task) and has_told(folder, task)):
            yield task, "Cancelled", "it was cancelled"
    elif not is_done(folder, task):
        how = "signal %d" % (status & 127) if status & 127 else "exit code %d" % (status >> 8)
        yield task, "Died", "its process ended without a word (%s)" % how


def has_told(folder: str, task: int) -> bool:
    """Whether it came to its own end, and was not ended."""
    with open(os.path.join(folder, "done", str(task)), "rb") as file:
        told = json.loads(file.readline().decode("ascii"))
        return bool(told.get("end") != "terminated")


def tell(folder: str, task: int, type: str, message: str) -> None:
    """Write the outcome of a task in its place."""
    outcome = {
        "outcome": "failed",
        "end": type.lower(),
        "type": type,
        "message": message,
        "traceback": message,
    }
    more = {"size": 0, "sha256": "", "inline": True, "seconds": 0.0, "machine": socket.gethostname()}
    text = json.dumps({**outcome, **more}) + "\n"
    place(os.path.join(folder, "done"), str(task), text.encode("ascii"))


def is_done(folder: str, task: int) -> bool:
    return os.path.exists(os.path.join(folder, "done", str(task)))


def is_cancelled(folder: str, task: int) -> bool:
    return any(os.path.exists(os.path.join(folder, "cancelled", name)) for name in ("all", str(task)))


def is_held(path: str) -> bool:
    """Whether a process holds the lock of a file."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def running(folder: str) -> "list[int]":
    """The tasks of a job that are running."""
    try:
        names = os.listdir(os.path.join(folder, "running"))
    except FileNotFoundError:
        return []
    return [int(name) for name in names if is_held(os.path.join(folder, "running", name))]


def states(asked: "Asked") -> "dict[str, Any]":
    """For each folder the tasks that are running, and those that its supervisor will begin."""
    found = {}
    for folder in asked["folders"]:
        alive, tasks = running(folder), 0
        if is_held(os.path.join(folder, "lock")):
            with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, "tasks")) as file:
                tasks = int(file.read())
        begun = {str(task) for task in alive}
        with contextlib.suppress(FileNotFoundError):
            begun.update(os.listdir(os.path.join(folder, "done")))
        found[folder] = [alive, [task for task in range(tasks) if str(task) not in begun]]
    return found


def cancel(asked: "Asked") -> "dict[str, Any]":
    """End tasks with all that they started: by folder all (null), or those of these numbers."""
    for folder, tasks in asked["tasks"].items():
        if os.path.isdir(folder):
            for name in ["all"] if tasks is None else map(str, tasks):
                place(os.path.join(folder, "cancelled"), name, b"")
    groups = set()  # type: set[int]
    for number in (signal.SIGTERM, signal.SIGKILL):
        alive = list(groups_of(asked["tasks"]))
        groups.update(alive)
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)
        deadline = time.monotonic() + GRACE
        while any(groups_of(asked["tasks"])) and time.monotonic() < deadline:
            time.sleep(0.02)
    return {}


def groups_of(asked: "dict[str, Any]") -> "Iterator[int]":
    """The process groups of the tasks that run."""
    for folder, tasks in asked.items():
        for task in running(folder):
            if tasks is None or task in tasks:
                group = group_of(os.path.join(folder, "running", str(task)))
                if group:
                    yield group


def group_of(path: str) -> int:
    """The process group of a task; of one that is just beginning, as soon as it has one."""
    deadline = time.monotonic() + GRACE
    while is_held(path) and time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError), open(path) as file:
            text = file.read()
            if text:
                number, _, where = text.partition(" ")
                if where and where.partition(" ")[0] != machine():
                    said = "it runs on another machine of this name; `kill -- -%s` ends it there" % number
                    raise OSError(errno.EXDEV, said, where.partition(" ")[2])
                return int(number)
        time.sleep(0.005)
    return 0


def machine() -> str:
    """What tells machines apart that share a disk, whose processes may have the same numbers."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
    return ""  # only Linux has it


def refusal(error: OSError) -> "dict[str, Any]":
    """There is no work dir, say, or the disk is full."""
    return {"refused": "%s: %r" % (error.strerror, error.filename)}


def main(command: str, *arguments: str) -> None:
    global umask
    umask = os.umask(0o077)
    if command == "supervise":
        folder, python, tasks, workers = arguments[:4]
        supervise(folder, python, int(tasks), int(workers), list(arguments[4:]))
        return
    asked = json.loads(sys.stdin.buffer.readline().decode("ascii"))
    try:
        if command == "submit":
            answer = submit(asked, sys.stdin.buffer)
        else:
            answer = {"states": states, "cancel": cancel, "remove": remove}[command](asked)
    except OSError as error:
        answer = refusal(error)
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
