"""Whether a plugin's class keeps the contract: every violation at once, before any of it can do harm.

pluggy itself is lenient: it doesn't notice missing hooks, drops arguments that a method doesn't list, and
leaves a plugin that it refuses half registered. So a class is validated here before it is registered.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any, ClassVar, Protocol

import pluggy

from clustrix_core import hookspecs
from clustrix_core._version import __version__
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import BackendIncompatibleError

OLDEST_API_VERSION = 1
"""The oldest version of the contract whose backends still work."""

_HOOKS = (*hookspecs.REQUIRED, *hookspecs.OPTIONAL)
_MARKS = pluggy.PluginManager("clustrix")  # nothing is ever registered in it: it only reads the marks of methods


class Backend(Protocol):
    """What a backend's class has besides its hooks.

    The hooks are methods marked with `hookspecs.hookimpl`: all of `hookspecs.REQUIRED`, and any of
    `hookspecs.OPTIONAL`. One instance is made for each session, and its methods may be called from
    several threads at the same time.

    These methods are called where the class has them:

    - `close() -> None`: release connections; called once, when the session ends.
    - `abandon() -> None`: called in a forked child instead of `close`; closes inherited descriptors without
      sending a byte, since the connections still belong to the parent.
    - `describe() -> str`: the place in a few words, for messages, such as `cluster.edu as researcher`.

    Attributes:
        api_version: the `hookspecs.API_VERSION` that the backend was written for.
        config_model: the model of its configuration: a subclass of `ClusterConfig` with `extra="forbid"`,
            so that a misspelt field is an error.
    """

    api_version: ClassVar[int]
    config_model: ClassVar[type[ClusterConfig]]

    def __init__(self, config: ClusterConfig) -> None:
        """Keep the config, an instance of `config_model`. Connecting can wait until the first hook is called."""


def validate_backend(cls: type, *, source: str) -> None:
    """Check a backend's class against the plugin contract.

    Args:
        cls: the class.
        source: its distribution and version, such as `"clustrix-pbs 1.2"`, for the message.

    Raises:
        BackendIncompatibleError: it breaks the contract; `findings` holds every way in which it does.
    """
    hookimpls = _hookimpls(cls)
    findings = [
        *_api_version_findings(cls, source),
        *_config_model_findings(cls),
        *_class_findings(cls),
        *_presence_findings(cls, hookimpls),
        *_each(hookimpls, _backend_style_findings, _method_findings, _argument_findings, _missing_argument_findings),
    ]
    _refuse("backend", cls, source, findings)


def validate_extension(cls: type, *, source: str) -> None:
    """Check an extension's class: each of its hooks has to be a wrapper, and may list only some of the arguments.

    Args:
        cls: the class.
        source: its distribution and version, such as `"clustrix-audit 1.0"`, for the message.

    Raises:
        BackendIncompatibleError: it breaks the contract; `findings` holds every way in which it does.
    """
    hookimpls = _hookimpls(cls)
    findings = [
        *_class_findings(cls),
        *_each(hookimpls, _extension_style_findings, _method_findings, _argument_findings),
    ]
    if not hookimpls:
        findings.append("it wraps no hook: mark at least one method with @hookimpl(wrapper=True)")
    _refuse("extension", cls, source, findings)


@dataclass(frozen=True)
class _HookImpl:
    """A method that is marked with `@hookimpl`."""

    name: str
    options: Mapping[str, Any]
    attribute: object
    """What the class holds under the name: a function, or a static or class method around one."""

    @property
    def hook(self) -> str:
        return self.options.get("specname") or self.name

    @property
    def known(self) -> bool:
        return self.hook in _HOOKS

    @property
    def function(self) -> Callable[..., object]:
        function: Callable[..., object] = getattr(self.attribute, "__func__", self.attribute)
        return function

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """What it takes, without `self`."""
        everything = list(inspect.signature(self.function).parameters.values())
        return everything if isinstance(self.attribute, staticmethod) else everything[1:]


def _hookimpls(cls: type) -> list[_HookImpl]:
    marked = ((name, _MARKS.parse_hookimpl_opts(cls, name)) for name in dir(cls))
    return [
        _HookImpl(name, options, inspect.getattr_static(cls, name))
        for name, options in marked
        if options is not None
    ]


def _each(hookimpls: Iterable[_HookImpl], *rules: Callable[[_HookImpl], Iterator[str]]) -> Iterator[str]:
    for hookimpl in hookimpls:
        for rule in rules:
            yield from rule(hookimpl)


def _refuse(kind: str, cls: type, source: str, findings: list[str]) -> None:
    if findings:
        raise BackendIncompatibleError(
            f"the {kind} {cls.__module__}.{cls.__qualname__} of {source} breaks the plugin contract; "
            "tell its authors, or try another version:" + "".join(f"\n- {finding}" for finding in findings),
            findings,
        )


def _api_version_findings(cls: type, source: str) -> Iterator[str]:
    version = getattr(cls, "api_version", None)
    if version is None:
        yield f"`api_version` is missing: set it to the version it was written for, such as {hookspecs.API_VERSION}"
    elif not isinstance(version, int) or isinstance(version, bool):
        yield f"`api_version` must be an int, and is {version!r}"
    elif version < OLDEST_API_VERSION:
        yield (
            f"it was written for plugin API {version}, and the oldest that clustrix-core {__version__} supports is "
            f"{OLDEST_API_VERSION}: upgrade the plugin ({source} is installed)"
        )
    elif version > hookspecs.API_VERSION:
        yield (
            f"it was written for plugin API {version}, and the newest that clustrix-core {__version__} knows is "
            f"{hookspecs.API_VERSION}: upgrade clustrix-core"
        )


def _config_model_findings(cls: type) -> Iterator[str]:
    model = getattr(cls, "config_model", None)
    if model is None:
        yield "`config_model` is missing: set it to a subclass of ClusterConfig"
    elif not (isinstance(model, type) and issubclass(model, ClusterConfig)):
        yield f"`config_model` must be a subclass of ClusterConfig, and is {model!r}"
    elif model.model_config.get("extra") != "forbid":
        yield f'`config_model` must have extra="forbid", so that misspelt fields are noticed; {model.__name__} has not'


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
    return [
        name for name in dir(cls) if isinstance(inspect.getattr_static(cls, name), property | cached_property)
    ]


def _unmarked(cls: type) -> list[str]:
    """The methods that are called like hooks and yet aren't marked. (`clustrix_open = None` is no method.)"""
    candidates = [name for name in dir(cls) if name.startswith("clustrix_")]
    return [
        name
        for name in candidates
        if inspect.isroutine(getattr(cls, name)) and _MARKS.parse_hookimpl_opts(cls, name) is None
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


def _backend_style_findings(hookimpl: _HookImpl) -> Iterator[str]:
    if hookimpl.options.get("wrapper") or hookimpl.options.get("hookwrapper"):
        yield f"`{hookimpl.name}` is a wrapper; only extensions may wrap hooks"
    elif inspect.isgeneratorfunction(hookimpl.function) and hookimpl.hook != "clustrix_find":
        yield f"`{hookimpl.name}` is a generator function; it must return its result"


def _extension_style_findings(hookimpl: _HookImpl) -> Iterator[str]:
    if not hookimpl.options.get("wrapper"):
        yield f"`{hookimpl.name}` must be marked @hookimpl(wrapper=True); an extension can only wrap hooks"
    elif not inspect.isgeneratorfunction(hookimpl.function):
        yield f"`{hookimpl.name}` must be a generator function: `result = yield`, then `return result`"


def _method_findings(hookimpl: _HookImpl) -> Iterator[str]:
    if isinstance(hookimpl.attribute, staticmethod | classmethod):
        yield f"`{hookimpl.name}` is a {type(hookimpl.attribute).__name__}; hooks must be plain methods"
    if inspect.iscoroutinefunction(hookimpl.function) or inspect.isasyncgenfunction(hookimpl.function):
        yield f"`{hookimpl.name}` is an async function; hooks are called without await"
    if not hookimpl.known and not hookimpl.options.get("optionalhook"):
        close = get_close_matches(hookimpl.hook, _HOOKS, 1)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        yield f"`{hookimpl.name}` is marked @hookimpl, but there is no hook `{hookimpl.hook}`{hint}"


def _argument_findings(hookimpl: _HookImpl) -> Iterator[str]:
    if not hookimpl.known:
        return
    known = hookspecs.arguments(hookimpl.hook)
    for parameter in hookimpl.parameters:
        argument = f"`{hookimpl.name}`: the argument `{str(parameter).partition(':')[0].partition('=')[0]}`"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            yield f"{argument} would stay empty; list the hook's arguments by name"
            continue
        if parameter.name not in known:
            close = get_close_matches(parameter.name, known, 1)
            hint = f"; did you mean `{close[0]}`?" if close else f"; the hook has {_listed(known)}"
            yield f"{argument} is unknown{hint}"
        if parameter.kind is parameter.KEYWORD_ONLY:
            yield f"{argument} is keyword-only; pluggy passes arguments by position"
        elif parameter.default is not parameter.empty:
            yield f"{argument} has a default, and pluggy before 1.7 doesn't pass such arguments: drop the default"


def _missing_argument_findings(hookimpl: _HookImpl) -> Iterator[str]:
    if not hookimpl.known:
        return
    taken = {parameter.name for parameter in hookimpl.parameters}
    if missing := [name for name in hookspecs.arguments(hookimpl.hook) if name not in taken]:
        yield f"`{hookimpl.name}` doesn't take {_listed(missing)}; a backend must take every argument of a hook"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
