"""The environment that a config asks for: modules, variables and commands, set up before something starts.

A script for bash does it. It travels over standard input, so that no value is seen in a list of processes,
and what it, or anything in it, prints goes to standard error. Before each step it writes a line with a random
token there, so that what is said of a step that fails can be quoted.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import shlex
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from clustrix_core.config import RESTORE, USE, ClusterConfig
from clustrix_core.errors import ConfigError, ConnectionFailedError, OperationTimeoutError, printable

if TYPE_CHECKING:
    from clustrix_core.remote import Channel

__all__ = ["masked", "script_for_job"]

Config = TypeVar("Config", bound=ClusterConfig)

# A command line that all login shells take: no `!`, newline or single quote. It reads the script, and keeps
# the two streams that belong to what is started in the end.
_START = (
    "bash -c 'IFS= read -r -N {size} s && exec 4<&0 5>&1 </dev/null 1>&2 && "
    'eval "$(printf %s "$s" | base64 -d)"\''
)

_QUIET = "{ set +xv; } 2>/dev/null"  # a login may have set it, which would tell all values to the log

_LOGIN = f"""
export CLUSTRIX_SCRIPT={{script}}
exec bash -l -c '{_QUIET.replace("{", "{{").replace("}", "}}")}; eval "$CLUSTRIX_SCRIPT"'
"""

# Begun anew by a login shell, which has what comes before this done again.
_LOGIN_OF_JOBS = """
[ -n "${CLUSTRIX_LOGIN:-}" ] || CLUSTRIX_LOGIN=1 exec bash -l "$0" "$@"
unset CLUSTRIX_LOGIN
"""

_FUNCTIONS = r"""
unset CLUSTRIX_SCRIPT
clustrix_say() { printf '\n%s %s\n' TOKEN "$*" >&2; }
clustrix_fail() { trap - EXIT; clustrix_say failed "$@"; exit 1; }
trap 'clustrix_say failed "$clustrix_step" the shell ended with status $?' EXIT
clustrix_begin() { clustrix_step=$1; clustrix_say began "$1"; }
clustrix_find_module() {
    type module >/dev/null 2>&1 && return
    local file
    for file in ${LMOD_PKG:+"$LMOD_PKG/init/bash"} ${MODULESHOME:+"$MODULESHOME/init/bash"} \
        ${BASH_ENV:+"$BASH_ENV"} /etc/profile.d/00-modulepath.sh /etc/profile.d/z00_lmod.sh \
        /etc/profile.d/lmod.sh /etc/profile.d/modules.sh /usr/share/lmod/lmod/init/profile \
        /usr/share/Modules/init/bash /usr/share/modules/init/bash; do
        [ ! -r "$file" ] || . "$file"
        type module >/dev/null 2>&1 && return
    done
    return 1
}
clustrix_is_loaded() {
    case ":${LOADEDMODULES-}:" in *":$1:"* | *":$1/"*) return 0 ;; esac
    module is-loaded "$1" >/dev/null 2>&1
}
clustrix_load() {
    clustrix_before=${LOADEDMODULES-} clustrix_status=0
    module load "$1" APART || clustrix_status=$?
    case ":${LOADEDMODULES-}:" in
        *":$1:"*) return 0 ;; # Lmod fails, too, when a module only warns
        ":$clustrix_before:") [ "$clustrix_status" = 0 ] || return "$clustrix_status" ;;
    esac
    clustrix_is_loaded "$1"
}
"""

_FUNCTIONS_OF_JOBS = r"""
clustrix_begin() { clustrix_step=$1 clustrix_why=$2; }
clustrix_fail() { trap - EXIT; shift; printf 'clustrix: %s\n' "$*"; clustrix_died "$clustrix_why"; exit 1; }
trap 'clustrix_fail "$clustrix_step" "the shell ended with status $?"' EXIT
"""

_READY = "clustrix_say ready\ntrap - EXIT\n"
_EXEC = "exec 0<&4 1>&5 4<&- 5>&-\nexec {command}\n"
_RUN = "exec 1>&5 4<&- 5>&-\n{script}\n"
_APART = "</dev/null 4<&- 5>&-"  # what is run on the way has neither of the two streams


QUOTED = 1000  # characters of what the host said


LOADED = 'echo "${LOADEDMODULES:-}"'
"""For bash: the modules that are loaded."""


def as_found(loaded: str) -> str:
    """What `clustrix doctor` says of an environment in which `LOADED` says so."""
    return f"set up; modules: {loaded.strip().replace(':', ', ') or 'none'}"


class Step(NamedTuple):
    """One thing to be done, and what is wrong when it fails.

    Attributes:
        script: bash, which calls `clustrix_fail` when it fails.
        failure: the beginning of the message.
        advice: its end.
    """

    script: str
    failure: str
    advice: str


class Script(NamedTuple):
    """What to start, and how to read what is said meanwhile on standard error.

    Attributes:
        command: the command line, for any login shell.
        text: what it reads from its standard input first.
        token: the word by which its own lines are known.
        steps: what it does.
    """

    command: str
    text: bytes
    token: str
    steps: list[Step]

    def check(self, place: str, complaints: str) -> None:
        """Raise what went wrong with the environment, if something did.

        Raises:
            ConfigError: it names the step, and quotes what was said there.
        """
        (event, *rest), said = self._last_event(complaints)
        if event in ("began", "failed"):
            step = self.steps[int(rest[0])]
            reason = " ".join(rest[1:]) or "the shell is gone"
            quoted = f"; the host said: {said[-QUOTED:]!r}" if said else ""
            raise ConfigError(f"{place}: {step.failure} ({reason}){quoted}; {step.advice}")

    def is_ready(self, complaints: str) -> bool:
        """Whether the environment is set up."""
        return self._last_event(complaints)[0] == ["ready"]

    def without_own_lines(self, complaints: str) -> str:
        """What was said since the last event: once all is ready, by what was started."""
        return self._last_event(complaints)[1]

    def _last_event(self, complaints: str) -> tuple[list[str], str]:
        """The script's last event, and what was said before it (after it, once all is ready)."""
        lines = re.split(rf"^{self.token} (.*)\n?", complaints, flags=re.MULTILINE)
        event = lines[-2].split() if len(lines) > 1 else [""]
        said = lines[-3] if event[0] == "failed" else lines[-1]
        return event, said.strip()


def summary(config: ClusterConfig) -> str:
    """What is set up, for people, a line for each; values of variables are never shown."""
    lines = ["a login shell"] if config.login_shell else []
    lines += [f"module {printable(module)}" for module in config.module_loads]
    lines += [f"variable {name}" for name in config.environment_variables]
    lines += [f"command {printable(command)}" for command in config.pre_execution_commands]
    return "\n".join(lines)


def masked(config: Config) -> Config:
    """The same config without the values of variables, to show what would be run."""
    return config.model_copy(
        update={"environment_variables": dict.fromkeys(config.environment_variables, "***")}
    )


def script_for_command(config: ClusterConfig, command: str) -> Script:
    """Set up the environment, then become this command, which has standard input and output."""
    return _script(config, list(_steps(config)), _EXEC.format(command=command))


def script_for_bash(config: ClusterConfig, text: str, *, with_module: bool) -> Script:
    """Set up the environment, then run this text of bash in it.

    Args:
        config: says what belongs to the environment.
        text: it may write to standard output, and has no input.
        with_module: whether it needs the command `module`.
    """
    return _script(config, list(_steps(config, with_module=with_module)), _RUN.format(script=text))


def script_for_job(config: ClusterConfig) -> str:
    """The part of a job's script, for bash, that sets up the environment: the `setup` of `handover.script`.

    What goes wrong is in the log, and is told by the function `clustrix_died`, which that script has.
    """
    parts = [_LOGIN_OF_JOBS, _QUIET] if config.login_shell else []
    parts += [_FUNCTIONS.replace("APART", _APART), _FUNCTIONS_OF_JOBS]
    for number, step in enumerate(_steps(config)):
        why = json.dumps(f"its environment can't be set up: {step.failure}; {step.advice}")
        parts.append(f"clustrix_begin {number} {shlex.quote(why)}\n{step.script}\n")
    return "".join([*parts, "trap - EXIT"])


def _script(config: ClusterConfig, steps: list[Step], ending: str) -> Script:
    token = secrets.token_hex(16)
    parts = [_FUNCTIONS.replace("TOKEN", token).replace("APART", _APART)]
    for number, step in enumerate(steps):
        parts.append(f"clustrix_begin {number}\n{step.script}\n")
    script = "".join([*parts, _READY, ending])
    if config.login_shell:
        script = _LOGIN.format(script=shlex.quote(script))
    text = base64.b64encode(script.encode("utf-8", "surrogateescape"))
    return Script(_START.format(size=len(text)), text, token, steps)


def _steps(config: ClusterConfig, with_module: bool = False) -> Iterator[Step]:
    if config.module_loads or with_module:
        yield Step(
            _or_fail("clustrix_find_module"),
            "the command `module` isn't there",
            "set login_shell to true if logins have it, or leave module_loads out",
        )
    loaded: list[str] = []
    for module in config.module_loads:
        yield _module(module, loaded)
        if not module.startswith((USE, RESTORE)):
            loaded.append(module)
    for name, value in config.environment_variables.items():
        yield Step(
            _or_fail(f"export {name}={shlex.quote(value)}"),
            f"the variable {name} can't be set",
            "take it out of environment_variables",
        )
    for command in config.pre_execution_commands:
        yield Step(
            _or_fail(f"eval {shlex.quote(command)} {_APART}"),
            f"the command {printable(command)!r} of pre_execution_commands failed",
            "correct it",
        )


def _module(module: str, loaded: list[str]) -> Step:
    """Load a module beside those that are loaded, which Lmod would also replace and only say so."""
    if module.startswith(USE):
        path = module.removeprefix(USE)
        quoted = f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)
        return Step(
            _or_fail(f"[ -d {quoted} ] && module use {quoted} {_APART}"),
            f"the folder {printable(path)!r} of modules can't be used",
            "check that it is there, and correct module_loads",
        )
    if module.startswith(RESTORE):
        name = module.removeprefix(RESTORE)
        return Step(
            _or_fail(f"module restore {shlex.quote(name)} {_APART}"),
            f"the module collection {printable(name)!r} can't be restored",
            "`module savelist` lists those that there are; correct module_loads",
        )
    quoted = shlex.quote(module)
    return Step(
        _or_fail(f"clustrix_load {quoted}")
        + "".join(
            f'\nclustrix_is_loaded {name} || clustrix_fail "$clustrix_step" it takes {name} out'
            for name in map(shlex.quote, loaded)
        ),
        f"the module {printable(module)!r} doesn't load",
        "`module avail` and `module spider` tell what there is; correct module_loads",
    )


def _or_fail(command: str) -> str:
    return f'{command} || clustrix_fail "$clustrix_step" status $?'


class PreparedChannel:
    """The channel to what a `Script` starts: its own lines are no last words, but tell what failed.

    Args:
        channel: to the script's command, just started.
        script: the script, which is sent.
    """

    def __init__(self, channel: Channel, script: Script) -> None:
        self._channel, self._script = channel, script
        self.recv, self.sendall = channel.recv, channel.sendall
        self.close, self.abandon = channel.close, channel.abandon
        with suppress(OSError):  # who reads learns more of a command that ended at once
            self.sendall(script.text)

    def last_words(self) -> str:
        return self._script.without_own_lines(self._channel.last_words())

    def is_ready(self) -> bool:
        """Whether the environment is set up."""
        return self._script.is_ready(self._channel.last_words())

    def check(self, place: str) -> None:
        """Raise what went wrong with the environment, if something did; see `Script.check`."""
        self._script.check(place, self._channel.last_words())

    def answer(self, place: str, limit: float) -> str:
        """All that is written to standard output, within so many seconds. This ends the channel.

        Raises:
            ConnectionFailedError: the connection broke.
            OperationTimeoutError: it takes longer.
        """
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.close()

        timer = threading.Timer(limit, give_up)
        timer.daemon = True
        timer.start()
        said = b""
        try:
            while data := self.recv(1 << 16):
                said += data
        except OSError as error:
            raise ConnectionFailedError(f"{place}: the connection broke: {error}") from error
        finally:
            timer.cancel()
            self.close()
        if late.is_set():
            raise OperationTimeoutError(f"{place}: no answer within {limit:g} s; try again later")
        return said.decode("utf-8", "replace")
