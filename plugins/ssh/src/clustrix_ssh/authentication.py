"""Logging in: keys, keyboard-interactive, then a password, as the server wants them (RFC 4252, 4256)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import paramiko
from paramiko.agent import AgentKey
from paramiko.auth_handler import AuthHandler
from paramiko.common import (
    MSG_SERVICE_ACCEPT,
    MSG_USERAUTH_BANNER,
    MSG_USERAUTH_FAILURE,
    MSG_USERAUTH_INFO_REQUEST,
    MSG_USERAUTH_SUCCESS,
    cMSG_USERAUTH_INFO_RESPONSE,
    cMSG_USERAUTH_REQUEST,
)

from clustrix_core.errors import AuthenticationFailedError, ConfigError, ConnectionFailedError, printable
from clustrix_ssh import keys
from clustrix_ssh.known_hosts import HostKey
from clustrix_ssh.prompts import Question, ask
from clustrix_ssh.settings import Settings

TRIES = 3  # at a prompt, as with ssh
ROUNDS = 20  # of questions in one keyboard-interactive login
APPROVAL = 120.0  # seconds in which a push on a telephone is approved: as long as sshd's LoginGraceTime
METHODS = ("publickey", "keyboard-interactive", "password")

# The second kind wants something else than the password that the config holds.
_PASSWORD = re.compile(r"passwor[dt]|mot de passe|contrase", re.IGNORECASE)
_OTHER = re.compile(r"\bnew\b|one.?time|\botp\b|retype|current|again", re.IGNORECASE)


class _Success(NamedTuple):
    pass


class _Refusal(NamedTuple):
    methods: tuple[str, ...]
    partial: bool


class _Request(NamedTuple):
    """Message 60, which means another thing for each method."""

    message: paramiko.Message


_Answer = _Success | _Refusal | _Request
_Prompts = list[tuple[str, bool]]


class Dialogue(AuthHandler):  # type: ignore[misc]
    """The client's side of the protocol, on paramiko's transport.

    Unlike paramiko's own it sends the request for the service and the first request to log in at once, tells
    which methods a server allows, and leaves questions to the thread that logs in, so that Ctrl-C gets there.
    """

    def __init__(self, transport: paramiko.Transport, user: str, patience: float) -> None:
        super().__init__(transport)
        self.username = user
        self.said: list[str] = []
        self._patience = patience
        self._answers: SimpleQueue[_Answer | None] = SimpleQueue()
        self._asked_for_service = False

    @property
    def _handler_table(self) -> dict[int, Callable[[paramiko.Message], None]]:
        return {
            MSG_SERVICE_ACCEPT: lambda message: None,
            MSG_USERAUTH_SUCCESS: self._succeed,
            MSG_USERAUTH_FAILURE: self._refuse,
            MSG_USERAUTH_INFO_REQUEST: lambda message: self._answers.put(_Request(message)),
            MSG_USERAUTH_BANNER: self._hear_banner,
        }

    def _succeed(self, _message: paramiko.Message) -> None:
        self.authenticated = True
        self.transport._auth_trigger()
        self._answers.put(_Success())

    def _refuse(self, message: paramiko.Message) -> None:
        self._answers.put(_Refusal(tuple(message.get_list()), message.get_boolean()))

    def _hear_banner(self, message: paramiko.Message) -> None:
        if len(self.said) < 10:
            self.said.append(message.get_text()[:4096])

    def abort(self) -> None:
        self._answers.put(None)

    def request(self, method: str, *fields: Any) -> _Answer:
        """Ask to log in, and wait for the answer: one round trip."""
        if not self._asked_for_service:
            self._asked_for_service = True
            self._request_auth()  # answered before what follows it, by any server that reads in order
        self.auth_method = method
        self._send(cMSG_USERAUTH_REQUEST, self.username, "ssh-connection", method, *fields)
        return self._wait(self._patience)

    def respond(self, answers: Sequence[str]) -> _Answer:
        """Answer the prompts of keyboard-interactive."""
        message = paramiko.Message()
        message.add_byte(cMSG_USERAUTH_INFO_RESPONSE)
        message.add_int(len(answers))
        for answer in answers:
            message.add_string(answer.encode("utf-8", "surrogateescape"))
        self.transport._send_message(message)
        return self._wait(max(self._patience, APPROVAL))

    def _get_key_type_and_bits(self, key: Any) -> tuple[str, Any]:
        """paramiko takes an agent's certificate of an RSA key for the bare key."""
        if isinstance(key, AgentKey) and key.public_blob is None:
            return key.name, key.blob
        found: tuple[str, Any] = super()._get_key_type_and_bits(key)
        return found

    def proof(self, key: Any) -> tuple[Any, ...]:
        """The fields of a request to log in with a key, its signature included.

        Raises:
            paramiko.SSHException, OSError: an agent doesn't sign, or no algorithm suits the server.
        """
        kind, blob = self._get_key_type_and_bits(key)
        algorithm = self._finalize_pubkey_algorithm(kind)
        signed = self._get_session_blob(key, "ssh-connection", self.username, algorithm)
        return True, algorithm, blob, key.sign_ssh_data(signed, algorithm)

    def accepts(self, half: keys.PublicKey) -> _Answer:
        """Ask whether a key would do; a `_Request` says that it would."""
        return self.request("publickey", False, self._finalize_pubkey_algorithm(half.kind), half.blob)

    def _send(self, kind: bytes, *fields: Any) -> None:
        message = paramiko.Message()
        message.add_byte(kind)
        for field in fields:
            (message.add_boolean if isinstance(field, bool) else message.add_string)(field)
        self.transport._send_message(message)

    def _wait(self, patience: float) -> _Answer:
        end = time.monotonic() + patience
        while True:
            with suppress(Empty):
                answer = self._answers.get(timeout=0.25)
                if answer is None:
                    raise EOFError
                return answer
            if not self.transport.is_active():
                raise EOFError
            if time.monotonic() > end:
                raise TimeoutError(f"{patience:g}")


class Login:
    """One login, with all that the settings and the user have to offer.

    Args:
        settings: the host and the user.

    Attributes:
        accepted: what the server has taken, such as a method and the key.

    Raises:
        ConfigError: the key that the config names can't be used.
        AuthenticationFailedError: its passphrase is wrong.
    """

    def __init__(self, settings: Settings) -> None:
        self.accepted: list[str] = []
        self._settings = settings
        self._tried: list[str] = []
        self._notes: list[str] = []
        self._unanswered = ""
        self._password = settings.password.get_secret_value() if settings.password else None
        self._passphrase = settings.passphrase.get_secret_value().encode() if settings.passphrase else None
        self._agent: keys.Agent | None = None
        self._agent_asked = False
        self._key: paramiko.PKey | None = None
        if settings.key_file is not None:
            self._key = self._named_key(settings.key_file)

    def _named_key(self, path: str) -> paramiko.PKey | None:
        """The key that the config names: what is wrong with it is known before anything is sent."""
        try:
            return keys.load(path, self._passphrase)
        except keys.PassphraseNeededError:
            return None
        except keys.WrongPassphraseError:
            raise AuthenticationFailedError(
                f"{self._settings.place}: the passphrase of the key {printable(path)} is wrong; correct it"
            ) from None

    def run(self, transport: paramiko.Transport) -> None:
        """Log in.

        Raises:
            AuthenticationFailedError: the server refused, or nobody could answer what it asked.
            ConnectionFailedError: the connection was lost, or the server fell silent.
        """
        dialogue = Dialogue(transport, self._settings.user, self._settings.connect_timeout)
        self._dialogue = transport.auth_handler = dialogue
        try:
            self._run()
        except EOFError:
            raise self._lost(getattr(transport, "farewell", "")) from None
        except TimeoutError as error:
            raise ConnectionFailedError(
                f"{self._settings.place}: no answer to the login within {error} s; try again, or raise "
                "connect_timeout"
            ) from None
        finally:
            if self._agent is not None:
                self._agent.close()

    def _run(self) -> None:
        allowed: tuple[str, ...] | None = None
        while True:
            refusals = self._refusals(allowed)
            for refusal in refusals:
                if refusal is None:
                    return
                allowed = refusal.methods
                if refusal.partial:
                    break
            else:
                raise self._refused(allowed or ())

    def _refusals(self, allowed: tuple[str, ...] | None) -> Iterator[_Refusal | None]:
        """What the server has against each way in, up to one that it takes: None, or a partial success."""
        ways = {
            "publickey": self._by_key,
            "keyboard-interactive": self._by_questions,
            "password": self._by_password,
        }
        for method in METHODS:
            if allowed is None and method != "publickey":  # no key was there to ask with
                answer = self._dialogue.request("none")
                if isinstance(answer, _Success):
                    self.accepted.append("nothing, as none is asked")
                    yield None
                    return
                allowed = answer.methods if isinstance(answer, _Refusal) else ()
            if allowed is not None and method not in allowed:
                continue
            for answer in ways[method]():
                if isinstance(answer, _Success) or (isinstance(answer, _Refusal) and answer.partial):
                    self.accepted.append(self._tried[-1] if method == "publickey" else method)
                if isinstance(answer, _Success):
                    yield None
                    return
                if isinstance(answer, _Refusal):
                    allowed = answer.methods
                    yield answer
                    if method not in allowed:
                        break
        yield _Refusal(allowed or (), False)

    def _by_key(self) -> Iterator[_Answer]:
        settings = self._settings
        seen: set[bytes] = set()
        if settings.identity_files_given:
            yield from self._by_files(seen)
        if not settings.identities_only:
            for key in self._agent_keys():
                if key.blob not in seen:
                    seen.add(key.blob)
                    yield from self._with_key(key, f"{key.comment or 'a key'} of the agent")
        if not settings.identity_files_given:
            yield from self._by_files(seen)

    def _by_files(self, seen: set[bytes]) -> Iterator[_Answer]:
        for path in self._settings.identity_files:
            half = keys.public_half(path)
            if half is not None and half.blob in seen:
                continue
            if half is not None:
                seen.add(half.blob)
            try:
                yield from self._with_file(path, half)
            except (ConfigError, paramiko.SSHException) as error:
                if self._settings.identity_files_given:
                    self._notes.append(str(error))

    def _with_file(self, path: str, half: keys.PublicKey | None) -> Iterator[_Answer]:
        key = self._key if path == self._settings.key_file else None
        if key is None:
            with suppress(keys.WrongPassphraseError, keys.PassphraseNeededError):
                key = keys.load(path, self._passphrase)
        if key is not None:
            yield from self._with_key(key, path)
            return
        of_agent = keys.matching(self._agent_keys(), half)
        if of_agent is not None:
            keys.load_certificate(of_agent, path)
            yield from self._with_key(of_agent, f"{path} (of the agent)")
            return
        if half is not None:  # ask nobody for a passphrase that is of no use
            answer = self._dialogue.accepts(half)
            if not isinstance(answer, _Request):
                self._tried.append(f"publickey with {printable(path)}")
                yield answer
                return
        key = self._ask_passphrase(path)
        if key is not None:
            yield from self._with_key(key, path)

    def _with_key(self, key: Any, label: str) -> Iterator[_Answer]:
        shown = HostKey(key.get_name(), key.asbytes()).label
        self._tried.append(f"publickey with {printable(label)}, {shown}")
        try:
            proof = self._dialogue.proof(key)
        except (paramiko.SSHException, OSError) as error:
            self._notes.append(f"{printable(label)} could not sign: {printable(error) or 'no answer'}")
        else:
            yield self._dialogue.request("publickey", *proof)

    def _ask_passphrase(self, path: str) -> paramiko.PKey | None:
        for _ in range(TRIES):
            answers = self._ask("", "", [(f"Passphrase of the key {path}: ", False)])
            if answers is None:
                self._notes.append(
                    f"the key {printable(path)} is encrypted: give its passphrase, or add it to an agent "
                    "(ssh-add)"
                )
                return None
            with suppress(keys.WrongPassphraseError):
                return keys.load(path, answers[0].encode("utf-8", "surrogateescape"))
        self._notes.append(f"the passphrase of the key {printable(path)} was wrong")
        return None

    def _agent_keys(self) -> Sequence[Any]:
        if not self._agent_asked and self._settings.agent:
            try:
                self._agent = keys.Agent(self._settings.agent)
            except (OSError, paramiko.SSHException, EOFError) as error:
                self._notes.append(f"the agent at {printable(self._settings.agent)}: {error}")
        self._agent_asked = True
        return self._agent.get_keys() if self._agent is not None else ()

    def _by_questions(self) -> Iterator[_Answer]:
        """Keyboard-interactive."""
        for _ in range(TRIES):
            asked = False
            answer = self._dialogue.request("keyboard-interactive", "", "")
            for _round in range(ROUNDS):
                if not isinstance(answer, _Request):
                    break
                title, instructions, prompts = _read_prompts(answer.message)
                answers, by_user = self._answers(title, instructions, prompts)
                if answers is None:
                    return
                asked = asked or by_user
                answer = self._dialogue.respond(answers)
            if isinstance(answer, _Request):
                raise AuthenticationFailedError(
                    f"{self._settings.place}: it asked more than {ROUNDS} times; try with ssh"
                )
            if isinstance(answer, _Refusal) and not answer.partial:
                self._tried.append("keyboard-interactive")
            yield answer
            if not asked:
                break

    def _answers(self, title: str, instructions: str, prompts: _Prompts) -> tuple[list[str] | None, bool]:
        """An answer for each prompt, and whether the user was asked; None if there is nobody to ask."""
        answers: list[str | None] = []
        for prompt, echo in prompts:
            known = None
            if not echo and _PASSWORD.search(prompt) and not _OTHER.search(prompt):
                known, self._password = self._password, None  # once: a wrong one is not given again
            answers.append(known)
        open_prompts = [prompt for prompt, known in zip(prompts, answers, strict=True) if known is None]
        given: list[str] = []
        if open_prompts:
            typed = self._ask(title, instructions, open_prompts)
            if typed is None:
                self._note_question(title, instructions, open_prompts)
                return None, True
            given = typed
        rest = iter(given)
        return [next(rest) if known is None else known for known in answers], bool(open_prompts)

    def _by_password(self) -> Iterator[_Answer]:
        if self._password is not None:
            password, self._password = self._password, None
            yield self._with_password(password)
            return
        if self._settings.password is not None:
            return  # it was refused just now
        for _ in range(TRIES):
            answers = self._ask("", "", [(f"Password of {self._settings.user}: ", False)])
            if answers is None:
                self._notes.append(
                    "no password is known: set password (or CLUSTRIX_PASSWORD), or clustrix_ssh.set_prompter"
                )
                return
            yield self._with_password(answers[0])

    def _with_password(self, password: str) -> _Answer:
        self._tried.append("password")
        answer = self._dialogue.request("password", False, password.encode("utf-8", "surrogateescape"))
        if isinstance(answer, _Request):
            raise AuthenticationFailedError(
                f"{self._settings.place}: the password has expired; log in with ssh to set a new one"
            )
        return answer

    def _ask(self, title: str, instructions: str, prompts: _Prompts) -> list[str] | None:
        return ask(Question(self._settings.place, title, instructions, tuple(prompts)))

    def _note_question(self, title: str, instructions: str, prompts: _Prompts) -> None:
        parts = [part.strip() for part in (title, instructions, *(prompt for prompt, _ in prompts))]
        self._notes.append(
            f"it asks {' / '.join(filter(None, parts))!r}, and there is nobody to answer: work at a "
            "terminal, or answer by clustrix_ssh.set_prompter(...); a password can be given as password"
        )

    def _refused(self, allowed: tuple[str, ...]) -> AuthenticationFailedError:
        parts = [f"{self._settings.place}: the login was refused"]
        parts.append("tried: " + (", ".join(self._tried) or "nothing, as there is no key, agent or password"))
        parts.append(f"the server takes: {', '.join(map(printable, allowed)) or 'nothing more'}")
        parts += self._notes
        hint = f"check the username {self._settings.user!r}"
        if any(each.startswith("publickey") for each in self._tried):
            hint += ", and that the public key is in ~/.ssh/authorized_keys there"
        if any(not each.startswith("publickey") for each in self._tried):
            hint += ", and the password"
        return AuthenticationFailedError("; ".join([*parts, hint]))

    def _lost(self, farewell: str) -> ConnectionFailedError:
        said = f": {printable(farewell)}" if farewell else ""
        place = self._settings.place
        if not self._tried or (not farewell and len(self._tried) == 1):
            return ConnectionFailedError(
                f"{place}: the connection was lost during the login{said}; try again"
            )
        hint = "check the username, the keys and the password"
        if len(self._tried) > 1:
            hint = "name the right key by key_file, and set IdentitiesOnly in ~/.ssh/config to try fewer"
        return AuthenticationFailedError(
            f"{place}: the server hung up during the login{said}; tried: {', '.join(self._tried)}; {hint}"
        )


def _read_prompts(message: paramiko.Message) -> tuple[str, str, list[tuple[str, bool]]]:
    def text() -> str:
        return str(message.get_binary().decode("utf-8", "replace"))

    title, instructions = text(), text()
    message.get_binary()  # a language
    return title, instructions, [(text(), message.get_boolean()) for _ in range(min(message.get_int(), 100))]
