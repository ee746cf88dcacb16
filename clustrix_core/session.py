"""Open backends, and the pool that all of a process shares."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pluggy

from clustrix_core import hookspecs
from clustrix_core.config import ClusterConfig, resolve
from clustrix_core.discovery import load_backend, load_extension
from clustrix_core.errors import BackendLoadError, ClustrixError, ConfigError
from clustrix_core.forks import after_in_child


class Session:
    """One open backend, with the extensions that its config names wrapped around it.

    Args:
        config: says which backend. Its fields are validated against the backend's own model here.

    Raises:
        BackendNotFoundError, BackendLoadError, BackendIncompatibleError: the backend can't be used.
        ConfigError: the backend, or an extension, doesn't accept the config.
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config, self.backend = _opened(config)
        extensions = [_extension(name, self.config) for name in self.config.extensions]
        manager = _Manager("clustrix")
        manager.add_hookspecs(hookspecs)
        manager.register(self.backend)
        for extension in reversed(extensions):  # pluggy calls the last one registered first
            manager.register(extension)
            if hasattr(extension, "attach"):
                extension.attach(self.description)
        self.hook: Any = manager.hook
        self.missing = frozenset(name for name in hookspecs.OPTIONAL if not self._implements(name))
        self.lacking = self._lacking()
        self.holds_connection = hasattr(self.backend, "close")

    def _implements(self, hook: str) -> bool:
        implementations = getattr(self.hook, hook).get_hookimpls()
        return any(implementation.plugin is self.backend for implementation in implementations)

    def _lacking(self) -> dict[str, dict[str, object]]:
        """The arguments that the backend is too old to know, by hook, with their defaults."""
        lacking: dict[str, dict[str, object]] = {}
        for (hook, argument), (_, default) in hookspecs.ADDED.items():
            for implementation in getattr(self.hook, hook).get_hookimpls():
                if implementation.plugin is self.backend and argument not in implementation.argnames:
                    lacking.setdefault(hook, {})[argument] = default
        return lacking

    def description(self) -> str:
        """How the place is reached, in a few words of the backend; empty if it has none."""
        describe = getattr(self.backend, "description", None)
        return "" if describe is None else str(describe())

    def close(self) -> None:
        """Release what the backend holds."""
        if self.holds_connection:
            self.backend.close()

    def abandon(self) -> None:
        """In a forked child: let go of inherited descriptors, sending nothing."""
        abandon = getattr(self.backend, "abandon", None)
        if abandon is not None:
            abandon()


class _Manager(pluggy.PluginManager):
    """pluggy's, which takes its time over every attribute of what it is given."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        options = hookspecs.marks(type(plugin), name)
        return None if options is None else dict(options)  # pluggy fills it up

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> Any:
        hook = name.startswith("clustrix_")
        return super().parse_hookspec_opts(module_or_class, name) if hook else None


def _opened(config: ClusterConfig) -> tuple[ClusterConfig, Any]:
    """The config as the backend has it, and the backend: in a job on the place itself, the engine."""
    if "CLUSTRIX_HERE" in os.environ:
        from clustrix_core.jobs.here import backend_here, is_here

        if is_here(config):
            return config, backend_here(config)
    backend_class = load_backend(config.cluster_type)
    resolved = resolve(config, backend_class.config_model)
    return resolved, backend_class(resolved)


def _extension(name: str, config: ClusterConfig) -> object:
    cls = load_extension(name)
    try:
        return cls(config)
    except ConfigError as error:
        raise ConfigError(f"the extension {name!r}: {error}") from error
    except ClustrixError:
        raise
    except Exception as error:  # which would seem to be of the operation
        raise BackendLoadError(
            f"the extension {name!r} can't be started: {type(error).__name__}: {error}"
        ) from error


class SharedSession:
    """A session's place in the pool, with the number of its users."""

    __slots__ = ("config", "idle_since", "opening", "session", "users")

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self.session: Session | None = None
        self.users = 0
        self.idle_since = 0.0
        self.opening = threading.RLock()

    def expires(self, now: float) -> float:
        """When this session is to be closed if nobody uses it any more; never if it holds no connection."""
        if self.session is None or not self.session.holds_connection:
            return float("inf")
        return (now if self.users else self.idle_since) + self.session.config.idle_timeout


class Pool:
    """Sessions by config, counted by their users. A session without users is closed after `idle_timeout`.

    All methods may be called from any thread, and from signal handlers and `__del__` methods, which may run
    anywhere: so the locks are reentrant, and what they protect is whole between any two steps. A forked
    child starts with an empty pool.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._reset()

    def _reset(self) -> None:
        self._shared: dict[ClusterConfig, SharedSession] = {}
        self._lock = threading.RLock()
        self.joining = threading.RLock()
        self._reaper: threading.Thread | None = None
        self._opened = threading.Event()
        self._forgotten: deque[SharedSession] = deque()

    def acquire(self, config: ClusterConfig) -> SharedSession:
        """The session of this config, for one more user, who must `release` it. It may not be open yet."""
        with self._lock:
            self._release_forgotten()
            shared = self._shared.get(config)
            if shared is None:
                shared = self._shared.setdefault(config, SharedSession(config))
            shared.users += 1
        return shared

    def open(self, shared: SharedSession) -> Session:
        """The session itself; the first to ask opens it, the others wait for that."""
        with shared.opening:
            if shared.session is None:
                session = Session(shared.config)
                if shared.session is None:
                    shared.session = session
                else:  # a signal handler was faster, in this very thread
                    _close(session)
            session = shared.session
        if session.holds_connection:
            with self._lock:
                self._shared.setdefault(shared.config, shared)  # should the pool have been closed meanwhile
                self._watch_idle()
        return session

    def release(self, shared: SharedSession) -> None:
        """Say that one user of the session is done with it."""
        with self._lock:
            self._release(shared)

    def forget(self, shared: SharedSession) -> None:
        """As `release`, but later: the garbage collector calls this, perhaps where the lock is held."""
        self._forgotten.append(shared)

    def _release_forgotten(self) -> None:
        while self._forgotten:
            self._release(self._forgotten.popleft())

    def _release(self, shared: SharedSession) -> None:
        shared.users -= 1
        if not shared.users:
            shared.idle_since = time.monotonic()
            if shared.session is None and self._shared.get(shared.config) is shared:
                del self._shared[shared.config]

    def _watch_idle(self) -> None:
        self._opened.set()
        if self._reaper is None:
            reaper = threading.Thread(target=self._reap, name="clustrix-idle", daemon=True)
            with suppress(RuntimeError):  # no more threads: the next opening tries again
                reaper.start()
                self._reaper = reaper

    def close(self) -> None:
        """Close every session, used or not; whoever uses one opens it anew."""
        with self._lock:
            shared, self._shared = list(self._shared.values()), {}
            self.generation += 1
        for one in shared:
            _close(one.session)

    def after_fork(self) -> None:
        """In the child: forget everything; another process owns it."""
        shared = list(self._shared.values())
        self._reset()
        self.generation += 1
        for one in shared:
            if one.session is not None:
                with _logged(one.session, "abandoning"):
                    one.session.abandon()

    def _reap(self) -> None:
        while True:
            self._opened.clear()
            with self._lock:
                self._release_forgotten()
                now = time.monotonic()
                expired = [shared for shared in list(self._shared.values()) if shared.expires(now) <= now]
                for shared in expired:
                    del self._shared[shared.config]
                wake = min((shared.expires(now) for shared in self._shared.values()), default=float("inf"))
                if wake == float("inf"):
                    self._reaper = None
            for shared in expired:
                _close(shared.session)
            if wake == float("inf"):
                return
            self._opened.wait(min(wake - now, threading.TIMEOUT_MAX))


def _close(session: Session | None) -> None:
    if session is not None:
        with _logged(session, "closing"):
            session.close()


@contextmanager
def _logged(session: Session, doing: str) -> Iterator[None]:
    """One backend's failure to end well is no reason to keep the others open."""
    try:
        yield
    except Exception:
        import logging  # here, as most processes never need it

        name = session.config.cluster_type
        logging.getLogger("clustrix").warning(
            "%s a session of the backend %r failed", doing, name, exc_info=True
        )


pool = Pool()
after_in_child(pool.after_fork)
atexit.register(pool.close)
