"""What ~/.ssh/config says of a host, read as `ssh` reads it: see ssh_config(5).

paramiko has a reader as well, but it lacks `Include`, comments behind values, escapes and environment
variables, takes a `Match` that it doesn't know for one that holds, and always reads the file twice.
"""

from __future__ import annotations

import getpass
import glob
import os
import re
import socket
import stat
import subprocess
from collections.abc import Iterator, Mapping
from hashlib import sha1

from clustrix_core.errors import ConfigError, printable
from clustrix_ssh.known_hosts import PORT, matches

USER_FILE = "~/.ssh/config"
SYSTEM_FILE = "/etc/ssh/ssh_config"
DEPTH = 16  # of files that include files, as in OpenSSH

_LINE = re.compile(r'("?)(\w+)\1(?:\s*=\s*|\s+|$)(.*)', re.DOTALL)
_COMMANDS = ("proxycommand", "localcommand", "remotecommand", "knownhostscommand")  # whole lines for a shell
_PROXIES = ("proxyjump", "proxycommand")
_PATHS = "CdhikLlnpru"
_TOKENS = {
    "proxycommand": "hnpr",
    "proxyjump": "hnpr",
    "identityfile": _PATHS,
    "identityagent": _PATHS,
    "userknownhostsfile": _PATHS,
}
_WITH_VARIABLES = ("identityfile", "identityagent", "userknownhostsfile")

Options = dict[str, list[str]]


def options_of(host: str, file: str | None = None, given: Mapping[str, str] | None = None) -> Options:
    """All that applies to a host: the words of each option, by its lower-case keyword.

    Args:
        host: a name as it is given to `ssh`.
        file: the file to read, or `none`; by default those of the user and of the system.
        given: options that win over all files.

    Raises:
        ConfigError: a file can't be read, or makes no sense.
    """
    options = {keyword.lower(): [value] for keyword, value in (given or {}).items()}
    reading = _Reading(host, options)
    reading.all(file)
    canonical = _canonical(host, options)
    if canonical is not None or reading.wants_final:
        options["hostname"] = [canonical or reading.host_name()]
        reading.final = True
        reading.all(file)
    _expand(host, options)
    return options


class _Reading:
    """The files, read for one host. The first value of an option counts."""

    def __init__(self, host: str, options: Options) -> None:
        self.host, self.options = host, options
        self.final = self.wants_final = False

    def host_name(self) -> str:
        """The host's name, as far as it has been read."""
        return _spelled(self.options.get("hostname", [self.host])[0], {"h": self.host})

    def all(self, file: str | None) -> None:
        """Read the file, or the user's and the system's."""
        if file is None:
            self._read(os.path.expanduser(USER_FILE), missing_is_fine=True, guarded=True)
            self._read(SYSTEM_FILE, missing_is_fine=True)
        elif file.lower() != "none":
            self._read(os.path.expanduser(file))

    def _read(
        self, path: str, depth: int = 0, *, missing_is_fine: bool = False, guarded: bool = False
    ) -> None:
        if depth > DEPTH:
            raise ConfigError(f"{path}: files include each other more than {DEPTH} deep; remove the circle")
        active = True
        for place, keyword, words in _lines(path, missing_is_fine, guarded):
            if keyword == "host":
                active = matches(self.host, words)
            elif keyword == "match":
                active = self._match(words, place)
            elif active and keyword == "include":
                for included in _included(words, path):
                    self._read(included, depth + 1, missing_is_fine=True, guarded=True)
            elif active:
                self._take(keyword, words)

    def _take(self, keyword: str, words: list[str]) -> None:
        if keyword == "identityfile":
            known = self.options.setdefault(keyword, [])
            known += [word for word in words[:1] if word not in known]
        elif keyword not in _PROXIES or not self._has_proxy(keyword):
            self.options.setdefault(keyword, words)

    def _has_proxy(self, keyword: str) -> bool:
        """Whether the other of these two came first; `ProxyJump none` leaves room for a command."""
        if keyword == "proxyjump":
            return "proxycommand" in self.options
        return self.options.get("proxyjump", ["none"])[0].lower() != "none"

    def _match(self, words: list[str], place: str) -> bool:
        criteria = list(_criteria(words, place))
        self.wants_final = self.wants_final or any(name == "final" for _, name, _ in criteria)
        return all(self._holds(name, argument, place) != negated for negated, name, argument in criteria)

    def _holds(self, name: str, argument: str, place: str) -> bool:
        if name in ("all", "final", "canonical"):
            return name == "all" or self.final
        if name == "exec":
            command = _spelled(argument, _tokens(self.host, self.options, _PATHS))
            shell = os.environ.get("SHELL") or "/bin/sh"
            quiet = subprocess.DEVNULL
            done = subprocess.run([shell, "-c", command], stdin=quiet, stdout=quiet, stderr=quiet)  # noqa: S603
            return done.returncode == 0
        if name == "host":
            subject = self.host_name().lower()
        elif name == "originalhost":
            subject = self.host.lower()
        elif name == "user":
            subject = self.options["user"][0] if "user" in self.options else local_user()
        elif name == "localuser":
            subject = local_user()
        elif name == "tagged":
            subject = self.options.get("tag", [""])[0]
        else:
            raise ConfigError(
                f"{place}: whether Match {printable(name)} holds can't be told here; use ssh_client 'openssh'"
            )
        return matches(subject, argument.split(","))


def _lines(path: str, missing_is_fine: bool, guarded: bool) -> Iterator[tuple[str, str, list[str]]]:
    """What a file says: its place, for messages, the keyword in lower case, and the words behind it."""
    for number, line in enumerate(_content(path, missing_is_fine, guarded).split("\n"), 1):
        line = line.strip(" \t\r\f")
        if not line or line.startswith("#"):
            continue
        place = f"{printable(path)}:{number}"
        match = _LINE.match(line)
        if match is None:
            raise ConfigError(f"{place}: {printable(line)!r} makes no sense; correct it")
        keyword = match[2].lower()
        words = [match[3]] if keyword in _COMMANDS and match[3] else _words(match[3], place)
        if not words:
            raise ConfigError(f"{place}: {match[2]} has no value; correct it")
        yield place, keyword, words


def _content(path: str, missing_is_fine: bool, guarded: bool) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            status = os.fstat(file.fileno())
            if guarded and (status.st_mode & stat.S_IWOTH or status.st_uid not in (0, os.getuid())):
                raise ConfigError(
                    f"{printable(path)}: others can write to it, and commands may stand in it; make it "
                    "yours, and writable for you alone"
                )
            return file.read()
    except FileNotFoundError:
        if missing_is_fine:
            return ""
        raise ConfigError(
            f"ssh_config_file {printable(path)!r}: there is no such file; correct the path, or leave it out"
        ) from None
    except OSError as error:
        raise ConfigError(f"{printable(path)}: {error.strerror}; make it readable, or remove it") from None


def _words(text: str, place: str) -> list[str]:
    """The words of a line up to a comment; quotes hold words together, and a backslash keeps quotes."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    i = 0
    while i < len(text):
        char, i = text[i], i + 1
        if char in " \t" and not quote:
            if word is not None:
                words.append(word)
            word = None
        elif char == "#" and word is None:
            break
        elif char == "\\" and text[i : i + 1] in ("'", '"', "\\", "" if quote else " ") and i < len(text):
            word, i = (word or "") + text[i], i + 1
        elif char in "'\"" and quote in ("", char):
            word, quote = word or "", "" if quote else char
        else:
            word = (word or "") + char
    if quote:
        raise ConfigError(f"{place}: {printable(text)!r}: a quote has no end; correct it")
    return words if word is None else [*words, word]


def _criteria(words: list[str], place: str) -> Iterator[tuple[bool, str, str]]:
    """Those of a `Match`: whether it is negated, its name, and its argument."""
    rest = iter(words)
    for word in rest:
        name, equals, argument = word.removeprefix("!").partition("=")
        name = name.lower()
        if name not in ("all", "final", "canonical") and not equals:
            argument = next(rest, "")
            if not argument:
                raise ConfigError(f"{place}: Match {printable(name)} has no value; correct it")
        yield word.startswith("!"), name, argument


def _included(words: list[str], path: str) -> Iterator[str]:
    # Relative paths are those of the user's folder, in the system's file those of the system's.
    base = os.path.dirname(path) if path.startswith("/etc/ssh/") else os.path.expanduser("~/.ssh")
    for pattern in words:
        yield from sorted(glob.glob(os.path.join(base, os.path.expanduser(pattern))))


def _canonical(host: str, options: Options) -> str | None:
    """The host's full name, where the file wants it to be looked for; None where it doesn't."""
    wanted = options.get("canonicalizehostname", ["no"])[0].lower()
    if wanted != "always" and (wanted != "yes" or any(name in options for name in _PROXIES)):
        return None
    name = _spelled(options.get("hostname", [host])[0], {"h": host})
    if name.count(".") <= int(options.get("canonicalizemaxdots", ["1"])[0]):
        for domain in options.get("canonicaldomains", []):
            try:
                socket.getaddrinfo(f"{name}.{domain}", None)
            except (OSError, UnicodeError):
                continue
            return f"{name}.{domain}"
    return name


def _expand(host: str, options: Options) -> None:
    """Replace what begins with `%`, and environment variables, where they may be."""
    if "hostname" in options:
        options["hostname"] = [_spelled(options["hostname"][0], {"h": host})]
    for keyword, letters in _TOKENS.items():
        if any("%" in word or "$" in word for word in options.get(keyword, ())):
            tokens = _tokens(host, options, letters)
            variables = keyword in _WITH_VARIABLES
            options[keyword] = [_spelled(word, tokens, variables) for word in options[keyword]]


def _tokens(host: str, options: Options, letters: str) -> dict[str, str]:
    def first(keyword: str, default: str) -> str:
        return options.get(keyword, [default])[0]

    here = socket.gethostname()
    name = _spelled(first("hostname", host), {"h": host})
    port, user = first("port", str(PORT)), first("user", "") or local_user()
    known = {
        "C": sha1(f"{here}{name}{port}{user}".encode(), usedforsecurity=False).hexdigest(),
        "d": os.path.expanduser("~"),
        "h": name,
        "i": str(os.getuid()),
        "k": first("hostkeyalias", host),
        "L": here.split(".")[0],
        "l": here,
        "n": host,
        "p": port,
        "r": user,
        "u": local_user(),
    }
    return {letter: known[letter] for letter in letters}


def _spelled(text: str, tokens: Mapping[str, str], variables: bool = False) -> str:
    def replaced(match: re.Match[str]) -> str:
        if match[2] is not None:
            if not variables:
                return match[0]
            value = os.environ.get(match[2])
        else:
            value = {"%": "%", **tokens}.get(match[1])
        if value is None:
            raise ConfigError(
                f"{printable(text)!r} in the ssh configuration: {match[0]} stands for nothing; correct it"
            )
        return value

    return re.sub(r"%(.|$)|\$\{(\w*)\}", replaced, text, flags=re.DOTALL)


def local_user() -> str:
    """The user's name on this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ConfigError("this user has no name here; give the config a username") from None


def flag(options: Options, keyword: str) -> bool:
    """Whether an option is `yes`."""
    return options.get(keyword, ["no"])[0].lower() in ("yes", "true")
