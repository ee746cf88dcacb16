"""Whether a server is the one that it should be: the policy about host keys."""

from __future__ import annotations

import os
from collections.abc import Sequence

from clustrix_core.errors import HostKeyError, printable
from clustrix_ssh.known_hosts import PORT, Entry, HostKey, add, entries_of, name_of
from clustrix_ssh.settings import Settings

# What the key exchange may use to show a key of a kind. SHA-1 is not among them.
_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}


class KnownKeys:
    """What is known of one host.

    Args:
        settings: the host.

    Raises:
        HostKeyError: a file of known hosts can't be read.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name = settings.host_key_name or name_of(settings.host, settings.port)
        files = (*settings.user_known_hosts, *settings.system_known_hosts)
        self.entries = entries_of(self.name, files)
        self._without_port: list[Entry] = []
        if settings.host_key_name is None and settings.port != PORT:
            self._without_port = entries_of(settings.host, files)

    def preferred(self, algorithms: Sequence[str]) -> tuple[str, ...]:
        """The algorithms of host keys in the order in which to offer them: known kinds first.

        A server that has several keys then shows one that is known.
        """
        wanted = [
            algorithm
            for entry in (*self.entries, *self._without_port)
            if not entry.revoked
            for algorithm in _ALGORITHMS.get(entry.key.kind, (entry.key.kind,))
        ]
        return tuple(dict.fromkeys([name for name in wanted if name in algorithms] + list(algorithms)))

    def is_known(self, key: HostKey) -> bool:
        """Whether this is a key of the host.

        Raises:
            HostKeyError: it is revoked, or the host is known by others.
        """
        place = self.settings.place
        for entry in (*self.entries, *self._without_port):
            if entry.revoked and entry.key == key:
                raise HostKeyError(
                    f"{place}: its {key.label} is revoked ({entry.origin}): it may be somebody else who has "
                    "got hold of it; ask those who run the host"
                )
        known = [entry for entry in self.entries if not entry.revoked]
        if any(entry.key == key for entry in known):
            return True
        if known:
            raise HostKeyError(self._changed(key, known))
        # As ssh does: where nothing is known of the port, a key of the host without it will do.
        return any(entry.key == key for entry in self._without_port if not entry.revoked)

    def _changed(self, key: HostKey, others: list[Entry]) -> str:
        known = ", ".join(f"{entry.key.label} ({printable(entry.origin)})" for entry in others)
        file = others[0].file
        option = "" if file == os.path.expanduser("~/.ssh/known_hosts") else f" -f {file!r}"
        return (
            f"{self.settings.place}: its host key has changed: it shows the {key.label}, but known is the "
            f"{known}. Somebody may be listening in. If those who run the host confirm the new key, forget "
            f"the old one with `ssh-keygen{option} -R '{self.name}'`, and then "
            f"`{self.settings.trust_command}`"
        )

    def check(self, key: HostKey) -> None:
        """Accept the key that the server shows, or raise.

        Raises:
            HostKeyError: it is unknown, changed or revoked.
        """
        if self.is_known(key):
            return
        if not self.settings.accept_new:
            raise HostKeyError(
                f"{self.settings.place}: its host key is not known: {key.label}. Compare it with what those "
                f"who run the host say, and add it with `{self.settings.trust_command}`, or with ssh; "
                'or set host_key_policy to "accept-new"'
            )
        self.add(key)

    def add(self, key: HostKey) -> str:
        """Add the key to the user's known hosts, and return the file.

        Raises:
            HostKeyError: the file can't be written, or there is none.
        """
        files = self.settings.user_known_hosts
        if not files:
            raise HostKeyError(
                f"{self.settings.place}: there is no file to add its key to; give known_hosts_file"
            )
        add(self.name, key, files[0], self.settings.hash_known_hosts)
        return files[0]
