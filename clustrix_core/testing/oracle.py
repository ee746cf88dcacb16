# ruff: noqa: UP006, UP035, UP036, UP045
"""Tells by plain `os` calls what every operation has to answer.

The suite sends this file's text to a Python in the place, so it stands alone: standard library only,
syntax of Python 3.6. Its matching rules are written straight from the documented semantics, simple
and slow, and share nothing with what they check.

Usage: `oracle.py ROOT QUESTIONS`: JSON in, JSON out, each text standing for the bytes of its Latin-1.
A question is `{"ask": NAME, …}`; its answer is what the function of that name returns, or `{"errno": N}`.
"""

import glob as python_glob
import hashlib
import json
import os
import stat
import sys
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

Names = Tuple[str, ...]
Record = List[Any]
ANYTHING = "**"


def text(name: str) -> str:
    """The name as users see it: UTF-8 with surrogateescape, whatever the locale."""
    return name.encode("latin-1").decode("utf-8", "surrogateescape")


def raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def packed(value: Any) -> Any:
    if isinstance(value, str):
        return raw(value).decode("latin-1")
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {key: packed(item) for key, item in value.items()}
    return [packed(item) for item in value] if isinstance(value, (list, tuple)) else value


def in_order(paths: Set[str]) -> List[str]:
    return sorted(paths, key=raw)


# Paths


def expanded(path: str) -> str:
    """The path with a leading tilde expanded, which is how results show it."""
    if path == "~" or path.startswith("~/"):
        return os.fsencode(os.path.expanduser("~")).decode("utf-8", "surrogateescape") + path[1:]
    return path or "."


def base_of(root: str) -> str:
    """What stands before the results below `root`."""
    return "" if root in ("", ".", "./") else root.rstrip("/") + "/"


def joined(root: str, rest: str) -> str:
    """A result below `root`, as it has to be spelled."""
    spelled = base_of(root) + rest
    return "./" + spelled if spelled == "~" or spelled.startswith("~/") else spelled


def listed(folder: str) -> List[str]:
    return [name.decode("utf-8", "surrogateescape") for name in os.listdir(raw(folder) or b".")]


def status(path: str, follow: bool) -> os.stat_result:
    """As `find -L` has it when following: a link that leads nowhere stands for itself."""
    if follow:
        try:
            return os.stat(raw(path))
        except OSError:
            pass
    return os.lstat(raw(path))


def record(path: str, of: os.stat_result) -> Record:
    return [path, of.st_size, of.st_mtime_ns, of.st_mode, of.st_uid, of.st_gid, of.st_nlink]


# Matching of one name


def split_set(pattern: str) -> Optional[Tuple[bool, str, str]]:
    """Split `[…]` off: (negated, content, the pattern's rest); None where the bracket is never closed."""
    negated = pattern.startswith("[!")
    start = 2 if negated else 1
    end = pattern.find("]", start + 1)
    return None if end < 0 else (negated, pattern[start:end], pattern[end + 1 :])


def in_set(char: str, content: str) -> bool:
    if not content:
        return False
    if content[1:2] == "-" and len(content) > 2:
        return content[0] <= char <= content[2] or in_set(char, content[3:])
    return char == content[0] or in_set(char, content[1:])


def matches(name: str, pattern: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(matches(name[start:], pattern[1:]) for start in range(len(name) + 1))
    if not name:
        return False
    parts = split_set(pattern) if pattern[0] == "[" else None
    if parts is not None:
        negated, content, rest = parts
        return in_set(name[0], content) != negated and matches(name[1:], rest)
    return pattern[0] in (name[0], "?") and matches(name[1:], pattern[1:])


def match(name: str, pattern: str) -> bool:
    return matches(text(name), text(pattern))


# find, du, count_files


def walk(root: str, follow: bool, max_depth: Optional[int]) -> Iterator[Tuple[Names, os.stat_result]]:
    base = base_of(root)
    top = os.stat(raw(root))
    pending = [((), frozenset([(top.st_dev, top.st_ino)]))]  # type: List[Tuple[Names, Any]]
    while pending:
        above, ancestors = pending.pop()
        for name in listed(base + "/".join(above)):
            below = (*above, name)
            found = status(base + "/".join(below), follow)
            yield below, found
            identity = (found.st_dev, found.st_ino)
            deeper = max_depth is None or len(below) < max_depth
            if stat.S_ISDIR(found.st_mode) and deeper and identity not in ancestors:
                pending.append((below, ancestors | {identity}))


def matches_path(names: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not names
    if patterns[0] == ANYTHING:
        return any(matches_path(names[start:], patterns[1:]) for start in range(len(names) + 1))
    return bool(names) and matches(names[0], patterns[0]) and matches_path(names[1:], patterns[1:])


def found_below(
    pattern: str, path: str, kind: str, max_depth: Optional[int], follow: bool
) -> List[Tuple[str, os.stat_result]]:
    is_kind = {"f": stat.S_ISREG, "d": stat.S_ISDIR, "l": stat.S_ISLNK}[kind]
    root = expanded(path)
    real = raw(root)
    if not stat.S_ISDIR(os.stat(real).st_mode):
        of = os.stat(real)
        return [(root, of)] if is_kind(of.st_mode) and matches(root.rpartition("/")[2], pattern) else []
    parts = [part for part in pattern.split("/") if part != "."]
    found = []
    for names, of in walk(root, follow, max_depth):
        fits = matches_path(names, parts) if "/" in pattern else matches(names[-1], pattern)
        if fits and is_kind(of.st_mode):
            found.append((joined(root, "/".join(names)), of))
    return sorted(found, key=lambda pair: raw(pair[0]))


def find(
    pattern: str,
    path: str = ".",
    kind: str = "f",
    max_depth: Optional[int] = None,
    follow: bool = False,
    detail: bool = False,
) -> List[Any]:
    found = found_below(text(pattern), text(path), kind, max_depth, follow)
    return [record(spelled, of) if detail else spelled for spelled, of in found]


def du(path: str = ".") -> Dict[str, int]:
    """Bytes with each inode counted once, bytes with each name counted, and the number of names."""
    files = [of for _, of in found_below("*", text(path), "f", None, False)]
    inodes = {(of.st_dev, of.st_ino): of.st_size for of in files}
    return {
        "once": sum(inodes.values()),
        "each": sum(of.st_size for of in files),
        "count": len(files),
    }


# ls, stat and what is near


def ls(path: str = ".", detail: bool = False) -> List[Any]:
    root = expanded(text(path))
    names = in_order(set(listed(root)))
    if not detail:
        return names
    return [record(joined(root, name), os.lstat(raw(base_of(root) + name))) for name in names]


def stats(path: str, follow: bool = True) -> Record:
    given = expanded(text(path))
    return record(given, os.stat(raw(given)) if follow else os.lstat(raw(given)))


def exists(path: str) -> bool:
    return os.path.exists(raw(expanded(text(path))))


def isdir(path: str) -> bool:
    return os.path.isdir(raw(expanded(text(path))))


def isfile(path: str) -> bool:
    return os.path.isfile(raw(expanded(text(path))))


def readlink(path: str) -> bytes:
    return os.readlink(raw(text(path)))


def content(path: str) -> bytes:
    with open(raw(text(path)), "rb") as file:
        return file.read()


def digest(path: str) -> str:
    return hashlib.sha256(content(path)).hexdigest()


def home() -> str:
    return expanded("~")


def root() -> bytes:
    return os.getcwdb()


def path_max() -> int:
    return os.pathconf(".", "PC_PATH_MAX")


# glob


def comma_list(pattern: str, start: int) -> Optional[Tuple[List[str], str]]:
    """The items of the brace list whose `{` is just before `start`, and what follows its `}`.

    As in bash, a `}` before the first comma closes nothing.
    """
    items = []  # type: List[str]
    depth, begin, at = 0, start, start
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("[{]", at):
            at += 3
            continue
        if depth == 0 and (char == "," or (char == "}" and items)):
            items.append(pattern[begin:at])
            begin = at + 1
            if char == "}":
                return items, pattern[begin:]
        if char == "{":
            depth += 1
        elif char == "}" and depth:
            depth -= 1
        at += 1
    return None


def expand(pattern: str) -> List[str]:
    """Comma lists as bash expands them; a brace that makes no list, and `[{]`, stay as they are."""
    at = 0
    while at < len(pattern):
        if pattern.startswith("[{]", at):
            at += 3
            continue
        choice = comma_list(pattern, at + 1) if pattern[at] == "{" else None
        if choice is not None:
            items, rest = choice
            ends = expand(rest)
            return [pattern[:at] + middle + end for item in items for middle in expand(item) for end in ends]
        at += 1
    return [pattern]


def braces(pattern: str) -> List[str]:
    return expand(text(pattern))


def is_magic(part: str) -> bool:
    return any(char in part for char in "*?[")


def visible(folder: str) -> List[str]:
    return [name for name in listed(folder) if name[0] != "."]


def passed_through(folder: str) -> Iterator[Tuple[str, bool]]:
    """What `**` meets below a folder, and whether it is a real folder: names with a dot are left out."""
    pending = [""]
    while pending:
        above = pending.pop()
        for name in visible(folder + above):
            is_folder = stat.S_ISDIR(os.lstat(raw(folder + above + name)).st_mode)
            yield above + name, is_folder
            if is_folder:
                pending.append(above + name + "/")


def globbed(base: str, prefix: str, parts: List[str]) -> Iterator[str]:
    """Expand `parts` below the folder `base + prefix`; every result begins with `prefix`."""
    part, rest = parts[0], parts[1:]
    here = base + prefix
    if not os.path.isdir(raw(here) or b"."):
        return
    if part == ANYTHING:
        yield from globbed(base, prefix, rest or [""])
        for below, is_folder in passed_through(here):
            if not rest:
                yield prefix + below
            elif is_folder:
                yield from globbed(base, prefix + below + "/", rest)
    elif not part:
        yield prefix
    else:
        names = [part]
        if is_magic(part):
            names = [
                name for name in listed(here) if matches(name, part) and (name[0] != "." or part[0] == ".")
            ]
        for name in names:
            if rest:
                yield from globbed(base, prefix + name + "/", rest)
            elif os.path.lexists(raw(here + name)):
                yield prefix + name


def glob(pattern: str, path: str = ".") -> List[str]:
    root = expanded(text(path))
    found = set()  # type: Set[str]
    for one in expand(text(pattern)):
        one = expanded(one)
        if one.startswith("/"):
            found.update(globbed("", "/", one.lstrip("/").split("/")))
        else:
            found.update(joined(root, name) for name in globbed(base_of(root), "", one.split("/")) if name)
    return in_order(found)


def pythons_glob(pattern: str, path: str = ".") -> Optional[List[str]]:
    """What Python's own `glob` says, where it can start at a folder: 3.10 or newer."""
    if sys.version_info < (3, 10):
        return None
    root = expanded(text(path))
    below = python_glob.glob(text(pattern), root_dir=root or ".", recursive=True)  # novermin
    return in_order({joined(root, name) for name in below})


QUESTIONS = {
    function.__name__: function
    for function in (
        match, find, du, ls, stats, exists, isdir, isfile, readlink, content, digest, home, root, path_max,
        braces, glob, pythons_glob,
    )
}  # fmt: skip


def answer(question: Dict[str, Any]) -> Any:
    arguments = dict(question)
    function = QUESTIONS[arguments.pop("ask")]  # type: Any
    try:
        return packed(function(**arguments))
    except OSError as error:
        return {"errno": error.errno}


def main(arguments: List[str]) -> None:
    sys.setrecursionlimit(20000)
    os.chdir(arguments[0].encode("latin-1"))
    print(json.dumps([answer(question) for question in json.loads(arguments[1])]))


if __name__ == "__main__":
    main(sys.argv[1:])
