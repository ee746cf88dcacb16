"""Whether a plugin's class keeps the contract: every violation at once, before any of it can do harm.

pluggy itself is lenient: it doesn't notice missing hooks, drops arguments that a method doesn't list, and
leaves a plugin that it refuses half registered. So a class is validated here before it is registered.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from clustrix_core import hookspecs
from clustrix_core._version import __version__
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import (
    BackendIncompatibleError,
    PluginDeprecationWarning,
    near,
    users_stacklevel,
)

if TYPE_CHECKING:
    from clustrix_core.doctor import Step

OLDEST_API_VERSION = 1
"""The oldest version of the contract whose backends still work."""

OLDEST_WITHOUT_WARNING = 1
"""Backends of versions before this one will not work any more with the next major version of the core."""

_HOOKS = (*hookspecs.REQUIRED, *hookspecs.OPTIONAL)


class Backend(Protocol):
    """What a backend's class has besides its hooks.

    The hooks are methods marked with `hookspecs.hookimpl`: all of `hookspecs.REQUIRED`, and any of
    `hookspecs.OPTIONAL`. One instance is made for each session, and its methods may be called from
    several threads at the same time.

    A backend's class need not inherit from this one, and may leave out `close`, `abandon`, `describe`,
    `diagnose` and `scratch`.

    Attributes:
        api_version: the `hookspecs.API_VERSION` that the backend was written for.
        config_model: the model of its configuration: a subclass of `ClusterConfig` with `extra="forbid"`,
            so that a misspelt field is an error; or `ClusterConfig` itself, which has no host then.
    """

    api_version: ClassVar[int]
    config_model: ClassVar[type[ClusterConfig]]

    def __init__(self, config: ClusterConfig) -> None:
        """Take the config, an instance of `config_model`. The first hook that is called may connect."""

    def close(self) -> None:
        """Release connections. Called once, when the session ends."""

    def abandon(self) -> None:
        """Close inherited descriptors without sending a byte; called in a forked child instead of `close`."""

    def describe(self) -> str:
        """Tell in a few words, for messages, what place this is: `cluster.edu as researcher`."""

    def diagnose(self) -> Sequence[Step]:
        """The steps by which `clustrix doctor` looks at the way to the place."""

    def scratch(
        self, path: str, tree: list[tuple[str, str, str]]
    ) -> AbstractContextManager[list[tuple[str, str]]]:
        """Make a folder with a tree in it, for `clustrix doctor`, and remove it at the end.

        Args:
            path: the folder, which must be new.
            tree: kinds (as `find` has them), paths below the folder, and contents or targets.

        Returns:
            A context manager that gives the names that could not be made, and why.
        """


def validate_backend(cls: type, *, source: str) -> None:
    """Check a backend's class against the plugin contract.

    Args:
        cls: the class.
        source: its distribution and version, such as `"clustrix-pbs 1.2"`, for the message.

    Raises:
        BackendIncompatibleError: it breaks the contract; `findings` holds every way in which it does.

    Warns:
        PluginDeprecationWarning: it was written for a version that will not be supported for long.
    """
    hookimpls = _hookimpls(cls)
    findings = [
        *_api_version_findings(cls, source),
        *_config_model_findings(cls),
        *_class_findings(cls),
        *_presence_findings(cls, hookimpls),
        *(finding for hookimpl in hookimpls for finding in _backend_hookimpl_findings(hookimpl, cls)),
    ]
    _refuse("backend", cls, source, findings)
    version: int = cls.api_version  # type: ignore[attr-defined]
    if version < OLDEST_WITHOUT_WARNING:
        warnings.warn(
            f"{source} was written for plugin API {version}, which the next major version of clustrix-core "
            "will not support: upgrade it, or tell its authors",
            PluginDeprecationWarning,
            stacklevel=users_stacklevel(),
        )


def validate_extension(cls: type, *, source: str) -> None:
    """Check an extension's class: its hooks are wrappers, which list those of the arguments that they need.

    Args:
        cls: the class.
        source: its distribution and version, such as `"clustrix-audit 1.0"`, for the message.

    Raises:
        BackendIncompatibleError: it breaks the contract; `findings` holds every way in which it does.
    """
    hookimpls = _hookimpls(cls)
    findings = [
        *_class_findings(cls),
        *(finding for hookimpl in hookimpls for finding in _extension_hookimpl_findings(hookimpl)),
    ]
    if not hookimpls:
        findings.append("it wraps no hook: mark at least one method with @hookimpl(wrapper=True)")
    _refuse("extension", cls, source, findings)


class _HookImpl:
    """A method that is marked with `@hookimpl`.

    Attributes:
        attribute: what the class holds under the name: a function, or a static or class method around one.
        hook: the name of the hook.
        arguments: what the hook has.
        parameters: what the method takes besides `self`.
    """

    def __init__(self, name: str, options: Mapping[str, Any], attribute: object) -> None:
        self.name = name
        self.options = options
        self.attribute = attribute
        function: Any = getattr(attribute, "__func__", attribute)
        self.function: Callable[..., object] = function
        self.hook: str = options.get("specname") or name
        self.known = self.hook in _HOOKS
        self.arguments = hookspecs.arguments(self.hook) if self.known else ()
        parameters = list(inspect.signature(self.function).parameters.values())
        named = bool(parameters) and parameters[0].name not in self.arguments
        self.takes_self = named and not isinstance(attribute, staticmethod)
        self.parameters = parameters[self.takes_self :]


def _hookimpls(cls: type) -> list[_HookImpl]:
    marked = ((name, hookspecs.marks(cls, name), attribute) for name, attribute in _attributes(cls))
    return [_HookImpl(name, options, attribute) for name, options, attribute in marked if options is not None]


def _attributes(cls: type) -> list[tuple[str, object]]:
    """What the class and its bases hold, by name, without running any descriptor; special methods apart."""
    held = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
    return [(name, held[name]) for name in sorted(held) if not name.startswith("__")]


def _refuse(kind: str, cls: type, source: str, findings: list[str]) -> None:
    if findings:
        raise BackendIncompatibleError(
            f"the {kind} {cls.__module__}.{cls.__qualname__} of {source} breaks the plugin contract; "
            "tell its authors, or try another version:" + "".join(f"\n- {finding}" for finding in findings),
            findings,
        )


def _api_version_findings(cls: type, source: str) -> Iterator[str]:
    version = getattr(cls, "api_version", None)
    newest = hookspecs.API_VERSION
    if version is None:
        yield f"`api_version` is missing: set it to the version it was written for; the newest is {newest}"
    elif not isinstance(version, int) or isinstance(version, bool):
        yield f"`api_version` must be an int, and is {version!r}"
    elif version < OLDEST_API_VERSION:
        yield (
            f"it was written for plugin API {version}, and clustrix-core {__version__} supports none before "
            f"{OLDEST_API_VERSION}: upgrade the plugin ({source} is installed)"
        )
    elif version > newest:
        yield (
            f"it was written for plugin API {version}, and clustrix-core {__version__} supports none after "
            f"{newest}: upgrade clustrix-core"
        )


def _config_model_findings(cls: type) -> Iterator[str]:
    model = getattr(cls, "config_model", None)
    if model is None:
        yield "`config_model` is missing: set it to a subclass of ClusterConfig"
    elif not (isinstance(model, type) and issubclass(model, ClusterConfig)):
        yield f"`config_model` must be a subclass of ClusterConfig, and is {model!r}"
    elif model is not ClusterConfig and model.model_config.get("extra") != "forbid":
        yield f'`config_model`: {model.__name__} must have extra="forbid", so that misspelt fields are errors'


def _class_findings(cls: type) -> Iterator[str]:
    try:
        inspect.signature(cls).bind(object())
    except (TypeError, ValueError):
        yield "the constructor must take the config as its one argument: `def __init__(self, config)`"
    if abstract := sorted(getattr(cls, "__abstractmethods__", ())):
        yield f"it is abstract: {_listed(abstract)} must be implemented"
    for name in _properties(cls):
        yield f"`{name}` is a property, which pluggy before 1.7 evaluates at registration: make it a method"
    for name in _unmarked(cls):
        yield f"`{name}` lacks @hookimpl, so it would never be called"


def _properties(cls: type) -> list[str]:
    return [name for name, attribute in _attributes(cls) if isinstance(attribute, property | cached_property)]


def _unmarked(cls: type) -> list[str]:
    """The methods that are called like hooks and yet aren't marked. (`clustrix_open = None` is no method.)"""
    return [
        name
        for name, attribute in _attributes(cls)
        if name.startswith("clustrix_")
        and isinstance(attribute, FunctionType | staticmethod | classmethod)
        and hookspecs.marks(cls, name) is None
    ]


def _presence_findings(cls: type, hookimpls: list[_HookImpl]) -> Iterator[str]:
    methods: dict[str, list[str]] = {}
    for hookimpl in hookimpls:
        methods.setdefault(hookimpl.hook, []).append(hookimpl.name)
    there = methods.keys() | set(_unmarked(cls))
    if missing := [hook for hook in hookspecs.REQUIRED if hook not in there]:
        yield f"required hooks are missing: {_listed(missing)}"
    for hook, names in methods.items():
        if len(names) > 1:
            yield f"`{hook}` is implemented more than once, by {_listed(names)}"


def _backend_hookimpl_findings(hookimpl: _HookImpl, cls: type) -> Iterator[str]:
    if hookimpl.options.get("wrapper") or hookimpl.options.get("hookwrapper"):
        yield f"`{hookimpl.name}` is a wrapper; only extensions may wrap hooks"
    elif inspect.isgeneratorfunction(hookimpl.function):
        yield f"`{hookimpl.name}` is a generator function; it must return its result"
    yield from _method_findings(hookimpl)
    if hookimpl.known:
        yield from _argument_findings(hookimpl)
        yield from _missing_argument_findings(hookimpl, getattr(cls, "api_version", None))


def _extension_hookimpl_findings(hookimpl: _HookImpl) -> Iterator[str]:
    if not hookimpl.options.get("wrapper"):
        yield f"`{hookimpl.name}` must be marked @hookimpl(wrapper=True): an extension only wraps hooks"
    elif not inspect.isgeneratorfunction(hookimpl.function):
        yield f"`{hookimpl.name}` must be a generator function: `result = yield`, then `return result`"
    yield from _method_findings(hookimpl)
    if hookimpl.known:
        yield from _argument_findings(hookimpl)


def _method_findings(hookimpl: _HookImpl) -> Iterator[str]:
    if isinstance(hookimpl.attribute, staticmethod | classmethod):
        yield f"`{hookimpl.name}` is a {type(hookimpl.attribute).__name__}; hooks must be plain methods"
    elif not hookimpl.takes_self:
        yield f"`{hookimpl.name}` doesn't take `self` first"
    if inspect.iscoroutinefunction(hookimpl.function) or inspect.isasyncgenfunction(hookimpl.function):
        yield f"`{hookimpl.name}` is an async function; hooks are called without await"
    if not hookimpl.known and not hookimpl.options.get("optionalhook"):
        close = near(hookimpl.hook, _HOOKS, at_most=1)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        yield f"`{hookimpl.name}` is marked @hookimpl, but there is no hook `{hookimpl.hook}`{hint}"


def _argument_findings(hookimpl: _HookImpl) -> Iterator[str]:
    for parameter in hookimpl.parameters:
        for finding in _parameter_findings(parameter, hookimpl.arguments):
            shown = str(parameter).partition(":")[0].partition("=")[0]
            yield f"`{hookimpl.name}`: the argument `{shown}` {finding}"


def _parameter_findings(parameter: inspect.Parameter, known: Sequence[str]) -> Iterator[str]:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        yield "would stay empty; list the hook's arguments by name"
        return
    if parameter.name not in known:
        close = near(parameter.name, known, at_most=1)
        hint = f"; did you mean `{close[0]}`?" if close else f"; the hook has {_listed(known)}"
        yield f"is unknown{hint}"
    if parameter.kind is parameter.KEYWORD_ONLY:
        yield "is keyword-only; pluggy passes arguments by position"
    elif parameter.default is not parameter.empty:
        yield "has a default; pluggy before 1.7 doesn't pass such arguments: drop it"


def _missing_argument_findings(hookimpl: _HookImpl, api_version: object) -> Iterator[str]:
    written_for = api_version if isinstance(api_version, int) else hookspecs.API_VERSION
    taken = {parameter.name for parameter in hookimpl.parameters}
    due = [
        name
        for name in hookimpl.arguments
        if hookspecs.ADDED.get((hookimpl.hook, name), (0, None))[0] <= written_for
    ]
    if missing := [name for name in due if name not in taken]:
        yield f"`{hookimpl.name}` doesn't take {_listed(missing)}; a backend takes every argument of a hook"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
