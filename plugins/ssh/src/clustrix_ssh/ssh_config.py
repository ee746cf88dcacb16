"""What ~/.ssh/config says of a host: read by paramiko, with `Include`, which it lacks, added here."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Iterator, Mapping

import paramiko

from clustrix_core.errors import ConfigError, printable

USER_FILE = "~/.ssh/config"
SYSTEM_FILE = "/etc/ssh/ssh_config"
DEPTH = 16  # of files that include files, as in OpenSSH


class _Options(paramiko.SSHConfig):  # type: ignore[misc]
    """paramiko expands tokens in these only; the first four are ours."""

    TOKENS_BY_CONFIG_KEY = {  # noqa: RUF012 (that is how paramiko has it)
        **paramiko.SSHConfig.TOKENS_BY_CONFIG_KEY,
        "userknownhostsfile": ["%d", "%h", "%n", "%p", "%r", "%u"],
        "identityagent": ["%d", "%h", "%n", "%p", "%r", "%u"],
        "hostkeyalias": ["%h", "%n", "%p", "%r", "%u"],
        "proxycommand": ["%h", "%n", "%p", "%r", "%u"],
        "identityfile": ["%C", "%d", "%h", "%n", "%p", "%r", "%u", "%L"],
    }


class _OptionsWithDomain(_Options):
    """With the full name of this machine, which may take a look-up in the DNS."""

    TOKENS_BY_CONFIG_KEY = {  # noqa: RUF012
        key: [*tokens, "%l"] for key, tokens in _Options.TOKENS_BY_CONFIG_KEY.items()
    }


def options_of(
    host: str, file: str | None = None, given: Mapping[str, str] | None = None
) -> dict[str, str | list[str]]:
    """All that applies to a host, by lower-case keyword; identityfile is a list.

    Args:
        host: a name as it is given to `ssh`.
        file: the file to read, or `none`; by default those of the user and of the system.
        given: options that win over all files.

    Raises:
        ConfigError: a file can't be read, or makes no sense.
    """
    lines = [f"{keyword} {value}" for keyword, value in (given or {}).items()]
    for path in _files(file):
        lines += ["Host *", *_lines(path, 0, missing_is_fine=file is None)]
    text = "\n".join(lines)
    kind = _OptionsWithDomain if "%l" in text else _Options
    try:
        return dict(kind.from_text(text).lookup(host))
    except ConfigError:
        raise
    except Exception as error:  # whatever strange files bring paramiko to; invoke may be missing
        raise ConfigError(
            f"{file or USER_FILE}: {type(error).__name__}: {printable(error)}; correct the file, or use "
            "ssh_client 'openssh', which understands all of it"
        ) from error


def _files(file: str | None) -> list[str]:
    if file is None:
        return [os.path.expanduser(USER_FILE), SYSTEM_FILE]
    return [] if file.lower() == "none" else [os.path.expanduser(file)]


def _lines(path: str, depth: int, missing_is_fine: bool) -> Iterator[str]:
    """A file's lines, with the files that it includes in their places."""
    if depth > DEPTH:
        raise ConfigError(f"{path}: files include each other more than {DEPTH} deep; remove the circle")
    section = "Host *"
    for line in _read(path, missing_is_fine):
        keyword, value = _split(line)
        if keyword in ("host", "match"):
            section = line
        if keyword != "include":
            yield line
            continue
        for included in _included(value, path):
            yield from _lines(included, depth + 1, missing_is_fine=True)
            yield section  # where the included file may have begun another


def _read(path: str, missing_is_fine: bool) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        if missing_is_fine:
            return []
        raise ConfigError(
            f"ssh_config_file {printable(path)!r}: there is no such file; correct the path, or leave it out"
        ) from None
    except OSError as error:
        raise ConfigError(f"{printable(path)}: {error.strerror}; make it readable, or remove it") from None


def _split(line: str) -> tuple[str, str]:
    keyword, _, value = re.sub(r"\s*=\s*|\s+", " ", line.strip(), count=1).partition(" ")
    return keyword.lower(), value


def _included(value: str, path: str) -> Iterator[str]:
    # Relative paths are those of the user's folder, in the system's file those of the system's.
    base = os.path.dirname(path) if path.startswith("/etc/ssh/") else os.path.expanduser("~/.ssh")
    for pattern in words(value):
        yield from sorted(glob.glob(os.path.join(base, os.path.expanduser(pattern))))


def words(value: str) -> list[str]:
    """The words of a value, which may be quoted.

    Raises:
        ConfigError: a quote has no end.
    """
    try:
        return shlex.split(value)
    except ValueError:
        raise ConfigError(f"{printable(value)!r} in the ssh configuration: a quote has no end") from None


def flag(options: Mapping[str, str | list[str]], keyword: str) -> bool:
    """Whether an option is `yes`."""
    return str(options.get(keyword, "no")).lower() in ("yes", "true")
