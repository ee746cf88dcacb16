# ruff: noqa: UP006, UP035
"""Makes and removes the trees that the suite runs on.

The suite sends this file's text to a Python in the place, so it stands alone: standard library only,
syntax of Python 3.6. The place needs a filesystem that takes any bytes as a name, as Linux's do.

Usage: `tree.py make ROOT PART`, `tree.py plant ROOT JSON`, `tree.py replant ROOT JSON`,
`tree.py remove PATH`, `tree.py clear ROOT`.
"""

import contextlib
import json
import os
import stat
import sys
from typing import Any, Dict, Iterator, List, Tuple

ODD_NAMES = [
    b"with space",
    b" ",
    b" leading and trailing ",
    b"'single'",
    b'"double"',
    b"it's",
    b"new\nline",
    b"\n",
    b"tab\there",
    b"carriage\rreturn",
    b"\x1b[31mred\x1b[0m",
    b"\x01\x7f",
    b"-",
    b"-rf",
    b"--help",
    b"-exec",
    b"*",
    b"?",
    b"[",
    b"]",
    b"[a]",
    b"[!a]",
    b"[a-c]*.csv",
    b"{",
    b"}",
    b"{a,b}",
    b"a{b,c}d.csv",
    b"~",
    b"~root",
    b"~.csv",
    b"\\",
    b"back\\slash",
    b"\\n",
    b"$HOME",
    b"$(touch pwned)",
    b"`touch pwned`",
    b"; touch pwned",
    b"| touch pwned",
    b"&& touch pwned",
    b"> pwned",
    b"'; touch pwned; '",
    b"#hash",
    b"!bang",
    b"%s%d%n",
    b"a=b",
    b"a:b",
    b"user@host:path",
    b"caf\xc3\xa9.csv",
    b"cafe\xcc\x81.csv",
    b"\xe6\x97\xa5\xe6\x9c\xac.csv",
    b"\xf0\x9f\x8e\x89",
    b"\xe2\x80\xa8",
    b"\xc2\x85\xc2\xa0",
    b"\xef\xbb\xbfbom",
    b"\xff",
    b"\xff\xfe.csv",
    b"caf\xe9.csv",
    b"caf\xe9",
    b"cut\xc3",
    b"\xed\xa0\x80\xed\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"x" * 255,
    b"\xc3\xa9" * 127,
    b"a",
    b"A",
    b"b",
    b"a.csv",
    b"A.CSV",
    b"data.csv",
    b"data.csv.gz",
    b"data.csv ",
    b".csv",
    b"csv",
    b".hidden",
    b".hidden.csv",
    b"...",
    b"..x",
    b"1",
    b"10",
    b"2",
    b"CON",
]

LEVELS = 1000
FLAT = 5000


def write(path: bytes, content: bytes = b"") -> None:
    os.makedirs(os.path.dirname(path) or b".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def make_odd() -> None:
    for size, name in enumerate(ODD_NAMES):
        write(b"odd/files/" + name, b"." * size)
        write(b"odd/folders/" + name + b"/inner.csv", b"odd")
    write(b"~/inner.csv", b"tilde")
    write(b"~root", b"plain")
    write(b".top", b"dot")
    write(b"-top", b"dash")


def make_order() -> None:
    """A directory sorts as `name/`, after the names that go on with one of ` !"#$%&'()*+,-.`."""
    for path in (
        b"a/x",
        b"a/y/z",
        b"a-b",
        b"a.txt",
        b"a0",
        b"a b",
        b"a\x01",
        b"b-/1",
        b"b/1",
        b"b.d/1",
        b"b0",
    ):
        write(b"order/" + path, path)
    write(b"order/b/sub/1")
    write(b"order/-/1")
    write(b"order/\xc3\xa9/1")
    write(b"order/\xff/1")
    write(b"order/\xf0\x9f\x8e\x89")


def make_links() -> None:
    write(b"links/target.csv", b"target")
    write(b"links/folder/inner.csv", b"inner")
    write(b"links/folder/sub/deeper.csv", b"deeper")
    for name, target in (
        (b"to-file.csv", b"target.csv"),
        (b"to-folder", b"folder"),
        (b"to-link", b"to-folder"),
        (b"folder/up", b".."),
        (b"folder/sub/self", b"."),
        (b"broken.csv", b"nowhere"),
        (b"broken-far", b"../nowhere/at/all"),
        (b"through-file", b"target.csv/below"),
        (b"loop", b"loop"),
        (b"ping", b"pong"),
        (b"pong", b"ping"),
        (b"null", b"/dev/null"),
        (b"odd\xff\nlink", b"odd\xfe\ntarget"),
        (b"absolute", os.path.join(os.getcwdb(), b"order")),
        (b".hidden-link", b"folder"),
    ):
        os.symlink(target, b"links/" + name)


def make_hard() -> None:
    write(b"hard/one", b"1234567")
    write(b"hard/alone", b"123")
    os.makedirs(b"hard/sub")
    os.link(b"hard/one", b"hard/two")
    os.link(b"hard/one", b"hard/sub/three")


def make_special() -> None:
    os.makedirs(b"hollow/empty")
    os.makedirs(b"hollow/nested/empty")
    write(b"special/file", b"12345")
    os.mkfifo(b"special/fifo")
    os.mknod(b"special/socket", stat.S_IFSOCK | 0o600)
    os.symlink(b"fifo", b"special/to-fifo")


def make_sizes() -> None:
    write(b"sizes/zero")
    write(b"sizes/one", b"1")
    write(b"sizes/sparse")
    os.truncate(b"sizes/sparse", 5 * 2**30 + 1)


def make_times() -> None:
    for name, time in (
        (b"epoch", 0),
        (b"before-epoch", -1),
        (b"half-before", -500000000),
        (b"sixties", -86400 * 10**9 - 123456789),
        (b"fraction", 1600000000123456789),
        (b"whole", 1600000000000000000),
        (b"after-2038", 2**31 * 10**9 + 999999999),
    ):
        write(b"times/" + name, b"time")
        os.utime(b"times/" + name, ns=(time, time))


def make_modes() -> None:
    for mode in (0o000, 0o200, 0o400, 0o644, 0o666, 0o750, 0o777, 0o4755, 0o2755, 0o6711):
        write(b"modes/file-%o" % mode, b"mode")
        os.chmod(b"modes/file-%o" % mode, mode)
    for mode in (0o700, 0o755, 0o1777, 0o2775):
        os.makedirs(b"modes/folder-%o" % mode)
        os.chmod(b"modes/folder-%o" % mode, mode)
    write(b"modes/owned")
    with contextlib.suppress(OSError):  # only root may
        os.chown(b"modes/owned", 1, 2)


def make_deep() -> None:
    write(b"deep/" + b"d/" * (LEVELS // 2) + b"middle.csv", b"middle")
    write(b"deep/" + b"d/" * LEVELS + b"bottom.csv", b"bottom")


def make_flat() -> None:
    os.makedirs(b"flat")
    names = [
        b"flat/n%05d.%s" % (number * 7919 % FLAT, (b"csv", b"txt")[number % 2]) for number in range(FLAT)
    ]
    for number, name in enumerate(names):  # Most are hard links, which are quick to make.
        if number % 100:
            os.link(names[number - 1], name)
        else:
            write(name, b"flat")


def make_project() -> None:
    for path in (
        b"data/a.csv",
        b"data/b.h5",
        b"data/c.txt",
        b"data/README",
        b"data/.hidden.csv",
        b"data/.dot/e.csv",
        b"data/.dot/.e",
        b"data/sub/d.csv",
        b"data/sub/deeper/e.csv",
        b"data/sub/deeper/data/f.csv",
        b"run1/out.csv",
        b"run1/out.log",
        b"run2/out.csv",
        b"run10/out.h5",
        b"run10/data/g.csv",
        b"{a,b}.csv",
        b"{",
        b"x{y",
        b"[z].csv",
        b"top.csv",
    ):
        write(b"project/" + path, path)
    os.makedirs(b"project/empty")


def make_pathmax() -> None:
    here = os.getcwdb()
    length = os.pathconf(".", "PC_PATH_MAX") - 1 - len(here + b"/pathmax/")
    os.makedirs(b"pathmax")
    os.chdir(b"pathmax")
    for name in descend(length):
        write(name, b"longest")
    os.chdir(here)


def descend(length: int) -> Iterator[bytes]:
    """Go down, so that the path to the name that is given at last has `length` bytes."""
    while length > 255:
        os.mkdir(b"p" * 200)
        os.chdir(b"p" * 200)
        length -= 201
    yield b"p" * length


def make_main() -> Dict[str, Any]:
    make_odd()
    make_order()
    make_links()
    make_hard()
    make_special()
    make_sizes()
    make_times()
    make_modes()
    make_deep()
    make_flat()
    make_project()
    make_pathmax()
    return {}


def make_beyond() -> Dict[str, Any]:
    """A folder whose path is too long, however it is spelled, in one that can be reached."""
    here = os.getcwdb()
    write(b"beyond/first.csv", b"first")
    write(b"beyond/zlast.csv", b"last")
    os.chdir(b"beyond")
    for name in descend(os.pathconf(".", "PC_PATH_MAX") - 246 - len(b"beyond/")):
        os.mkdir(name)
        os.chdir(name)
    reached = os.getcwdb()[len(here) + 1 :]
    write(b"reached.csv", b"reached")
    os.mkdir(b"q" * 255)
    os.chdir(b"q" * 255)
    write(b"lost.csv", b"lost")
    os.chdir(here)
    return {"reached": os.fsdecode(reached), "lost": os.fsdecode(reached + b"/" + b"q" * 255)}


def make_locked() -> Dict[str, Any]:
    for path in (
        b"a.csv",
        b"private.csv",
        b"z.csv",
        b"open/plain.csv",
        b"secret/known.csv",
        b"secret/sub/below.csv",
        b"enter-only/known.csv",
        b"enter-only/sub/below.csv",
    ):
        write(b"locked/" + path, path)
    write(b"half/plain.csv", b"plain")
    write(b"half/list-only/seen.csv", b"seen")
    write(b"half/list-only/sub/below.csv", b"below")
    os.chmod(b"locked/private.csv", 0o000)
    os.chmod(b"locked/secret", 0o000)
    os.chmod(b"half/list-only", 0o444)
    os.chmod(b"locked/enter-only", 0o111)
    return {}


def plant(root: bytes, entries: List[Tuple[str, str, str]]) -> None:
    """Make small things: (kind, name, value), each text standing for the bytes of its Latin-1."""
    for kind, name, value in entries:
        path = os.path.join(root, name.encode("latin-1"))
        content = value.encode("latin-1")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if kind == "folder":
            os.makedirs(path, exist_ok=True)
        elif kind == "link":
            os.symlink(content, path)
        elif kind == "mode":
            os.chmod(path, int(value, 8))
        elif kind == "time":
            os.utime(path, ns=(int(value), int(value)), follow_symlinks=False)
        else:
            write(path, content)


def remove(top: bytes) -> None:
    """Remove a tree of any depth: folders are moved to the top, so that no path grows long."""
    if not os.path.lexists(top):
        return
    if not stat.S_ISDIR(os.lstat(top).st_mode):
        os.unlink(top)
        return
    os.chmod(top, 0o700)
    moved = 0
    pending = [top]
    while pending:
        folder = pending.pop()
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if stat.S_ISDIR(os.lstat(path).st_mode):
                os.chmod(path, 0o700)
                moved += 1
                pending.append(os.path.join(top, b".clustrix-removed-%d" % moved))
                os.rename(path, pending[-1])
            else:
                os.unlink(path)
        if folder != top:
            os.rmdir(folder)
    os.rmdir(top)


def main(arguments: List[str]) -> None:
    action, path = arguments[0], arguments[1].encode("latin-1")
    if action == "remove":
        remove(path)
    elif action == "clear":
        for name in os.listdir(path):
            remove(os.path.join(path, name))
    elif action == "plant":
        plant(path, json.loads(arguments[2]))
    elif action == "replant":
        remove(path)
        os.mkdir(path)
        plant(path, json.loads(arguments[2]))
    else:
        os.umask(0o022)
        os.chdir(path)
        parts = {"main": make_main, "locked": make_locked, "beyond": make_beyond}
        print(json.dumps(parts[arguments[2]]()))


if __name__ == "__main__":
    main(sys.argv[1:])
