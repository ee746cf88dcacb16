"""Every way to break the plugin contract is found, and all of them at once."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import pluggy
import pytest
from pydantic import ConfigDict

from clustrix_core import hookspecs
from clustrix_core.config import ClusterConfig
from clustrix_core.errors import BackendIncompatibleError
from clustrix_core.hookspecs import API_VERSION, hookimpl
from clustrix_core.validation import validate_backend, validate_extension


class StrictConfig(ClusterConfig):
    model_config = ConfigDict(extra="forbid")


class Hookless:
    """A backend without its hooks."""

    api_version = API_VERSION
    config_model = StrictConfig

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config


class Good(Hookless):
    @hookimpl
    def clustrix_ls(self, path, detail):
        return []

    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        return []

    @hookimpl
    def clustrix_stat(self, paths, follow_symlinks, on_error):
        return []

    @hookimpl
    def clustrix_exists(self, path):
        return True

    @hookimpl
    def clustrix_isdir(self, path):
        return True

    @hookimpl
    def clustrix_isfile(self, path):
        return True

    @hookimpl
    def clustrix_glob(self, pattern, path, on_error, progress):
        return []

    @hookimpl
    def clustrix_du(self, path, on_error, progress):
        return 0

    @hookimpl
    def clustrix_count_files(self, path, pattern, on_error, progress):
        return 0


class GoodExtension:
    def __init__(self, config: ClusterConfig) -> None:
        self.config = config

    @hookimpl(wrapper=True)
    def clustrix_find(self, path, pattern):
        return (yield)


def error_of(validate: Callable[..., None], cls: type) -> BackendIncompatibleError:
    with pytest.raises(BackendIncompatibleError) as caught:
        validate(cls, source="clustrix-pbs 1.2")
    return caught.value


def backend_findings(cls: type) -> list[str]:
    return list(error_of(validate_backend, cls).findings)


def extension_findings(cls: type) -> list[str]:
    return list(error_of(validate_extension, cls).findings)


def backend_with(**attributes: Any) -> type:
    """A good backend but for these attributes of the class."""
    return type("Bad", (Good,), attributes)


def extension_with(**attributes: Any) -> type:
    return type("Bad", (GoodExtension,), attributes)


# --- what is fine


def test_a_good_backend_and_a_good_extension_pass() -> None:
    validate_backend(Good, source="clustrix-good 1.0")
    validate_extension(GoodExtension, source="clustrix-good 1.0")


def test_hooks_may_be_inherited_decorated_and_renamed() -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def inner(*args: Any) -> Any:
            return function(*args)

        return inner

    class Variant(Good):
        @hookimpl
        @logged
        def clustrix_du(self, path, on_error, progress):
            return 0

        clustrix_readlink = None

        @hookimpl(specname="clustrix_open")
        def open_file(self, mode, path):
            return None

    validate_backend(Variant, source="x 1")
    manager = pluggy.PluginManager("clustrix")
    manager.add_hookspecs(hookspecs)
    manager.register(Variant(ClusterConfig()))
    assert manager.hook.clustrix_du(path=".", on_error="warn", progress=None) == 0


def test_a_hook_of_a_later_core_may_be_optional() -> None:
    @hookimpl(optionalhook=True)
    def clustrix_teleport(self, path, target): ...

    validate_backend(backend_with(clustrix_teleport=clustrix_teleport), source="x 1")


# --- the class


def test_the_message_names_kind_class_and_source() -> None:
    error = error_of(validate_backend, backend_with(api_version="1"))
    assert str(error) == (
        f"the backend {__name__}.Bad of clustrix-pbs 1.2 breaks the plugin contract; tell its authors, "
        "or try another version:\n- `api_version` must be an int, and is '1'"
    )
    assert str(error_of(validate_extension, Hookless)).startswith(
        f"the extension {__name__}.Hookless of clustrix-pbs"
    )


def test_api_version_is_required() -> None:
    assert backend_findings(backend_with(api_version=None)) == [
        f"`api_version` is missing: set it to the version it was written for; the newest is {API_VERSION}"
    ]


@pytest.mark.parametrize("version", ["1", 1.0, True])
def test_api_version_is_an_int(version: object) -> None:
    assert backend_findings(backend_with(api_version=version)) == [
        f"`api_version` must be an int, and is {version!r}"
    ]


def test_an_old_api_version_means_upgrading_the_plugin() -> None:
    [finding] = backend_findings(backend_with(api_version=0))
    assert finding.startswith("it was written for plugin API 0, and clustrix-core ")
    assert finding.endswith("supports none before 1: upgrade the plugin (clustrix-pbs 1.2 is installed)")


def test_a_new_api_version_means_upgrading_the_core() -> None:
    [finding] = backend_findings(backend_with(api_version=API_VERSION + 1))
    assert finding.startswith(f"it was written for plugin API {API_VERSION + 1}, and clustrix-core ")
    assert finding.endswith(f"supports none after {API_VERSION}: upgrade clustrix-core")


def test_config_model_is_required() -> None:
    assert backend_findings(backend_with(config_model=None)) == [
        "`config_model` is missing: set it to a subclass of ClusterConfig"
    ]


@pytest.mark.parametrize("model", [dict, "StrictConfig", StrictConfig()])
def test_config_model_is_a_config(model: object) -> None:
    assert backend_findings(backend_with(config_model=model)) == [
        f"`config_model` must be a subclass of ClusterConfig, and is {model!r}"
    ]


def test_config_model_forbids_unknown_fields() -> None:
    class Lax(ClusterConfig):
        pass

    assert backend_findings(backend_with(config_model=Lax)) == [
        '`config_model`: Lax must have extra="forbid", so that misspelt fields are errors'
    ]


@pytest.mark.parametrize("arguments", ["self", "self, config, more", "self, *, config"])
def test_the_constructor_takes_the_config(arguments: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def __init__({arguments}): ...", namespace)
    expected = ["the constructor must take the config as its one argument: `def __init__(self, config)`"]
    assert backend_findings(backend_with(__init__=namespace["__init__"])) == expected
    assert extension_findings(extension_with(__init__=namespace["__init__"])) == expected


def test_the_constructor_may_take_more_that_has_defaults() -> None:
    def init(self, config, retries=3): ...

    validate_backend(backend_with(__init__=init), source="x 1")


def test_an_abstract_class_is_found() -> None:
    class Unfinished(Good, ABC):
        @abstractmethod
        def open_channel(self, command: str) -> None: ...

    assert backend_findings(Unfinished) == ["it is abstract: `open_channel` must be implemented"]


@pytest.mark.parametrize("decorator", [property, cached_property])
def test_properties_are_found_and_not_evaluated(decorator: Callable[..., object]) -> None:
    class Eager(Good):
        def _connect(self) -> None:
            raise AssertionError

        client = decorator(_connect)

    if isinstance(Eager.__dict__["client"], cached_property):
        Eager.__dict__["client"].__set_name__(Eager, "client")
    expected = ["`client` is a property, which pluggy before 1.7 evaluates at registration: make it a method"]
    assert backend_findings(Eager) == expected
    assert extension_findings(extension_with(client=Eager.__dict__["client"])) == expected


# --- hooks that are missing, unknown, unmarked, doubled


def test_missing_hooks_are_listed() -> None:
    required = ", ".join(f"`{name}`" for name in hookspecs.REQUIRED)
    assert backend_findings(Hookless) == [f"required hooks are missing: {required}"]


def test_a_hook_taken_away_is_missing() -> None:
    assert backend_findings(backend_with(clustrix_du=None)) == ["required hooks are missing: `clustrix_du`"]


def test_unknown_hooks_get_a_close_name() -> None:
    @hookimpl
    def clustrix_globs(self, path): ...

    @hookimpl
    def qqq(self): ...

    assert backend_findings(backend_with(clustrix_globs=clustrix_globs, qqq=qqq)) == [
        "`clustrix_globs` is marked @hookimpl, but there is no hook `clustrix_globs`; "
        "did you mean `clustrix_glob`?",
        "`qqq` is marked @hookimpl, but there is no hook `qqq`",
    ]


def test_an_unknown_specname_is_found() -> None:
    @hookimpl(specname="clustrix_opne")
    def open_file(self, path, mode): ...

    assert backend_findings(backend_with(open_file=open_file)) == [
        "`open_file` is marked @hookimpl, but there is no hook `clustrix_opne`; did you mean `clustrix_open`?"
    ]


def test_methods_that_lack_the_mark_are_found() -> None:
    def clustrix_du(self, path, on_error, progress): ...

    def clustrix_helper(self): ...

    assert backend_findings(
        backend_with(clustrix_du=clustrix_du, clustrix_helper=staticmethod(clustrix_helper))
    ) == [
        "`clustrix_du` lacks @hookimpl, so it would never be called",
        "`clustrix_helper` lacks @hookimpl, so it would never be called",
    ]


def test_a_hook_implemented_twice_is_found() -> None:
    @hookimpl(specname="clustrix_exists")
    def there(self, path): ...

    assert backend_findings(backend_with(there=there)) == [
        "`clustrix_exists` is implemented more than once, by `clustrix_exists`, `there`"
    ]


# --- the kind of method


@pytest.mark.parametrize("options", [{"wrapper": True}, {"hookwrapper": True}])
def test_a_wrapper_in_a_backend_is_found(options: dict[str, bool]) -> None:
    @hookimpl(**options)
    def clustrix_exists(self, path):
        yield

    assert backend_findings(backend_with(clustrix_exists=clustrix_exists)) == [
        "`clustrix_exists` is a wrapper; only extensions may wrap hooks"
    ]


def test_a_generator_function_is_found() -> None:
    @hookimpl
    def clustrix_exists(self, path):
        yield True

    assert backend_findings(backend_with(clustrix_exists=clustrix_exists)) == [
        "`clustrix_exists` is a generator function; it must return its result"
    ]


def test_async_functions_are_found() -> None:
    @hookimpl
    async def clustrix_exists(self, path): ...

    @hookimpl
    async def clustrix_isdir(self, path):
        yield True

    assert backend_findings(backend_with(clustrix_exists=clustrix_exists, clustrix_isdir=clustrix_isdir)) == [
        "`clustrix_exists` is an async function; hooks are called without await",
        "`clustrix_isdir` is an async function; hooks are called without await",
    ]


def test_static_and_class_methods_are_found() -> None:
    @hookimpl
    def static(path): ...

    @hookimpl
    def of_class(cls, path): ...

    assert backend_findings(
        backend_with(clustrix_exists=staticmethod(static), clustrix_isdir=classmethod(of_class))
    ) == [
        "`clustrix_exists` is a staticmethod; hooks must be plain methods",
        "`clustrix_isdir` is a classmethod; hooks must be plain methods",
    ]


@pytest.mark.parametrize("arguments", ["path", ""])
def test_a_method_without_self_is_found(arguments: str) -> None:
    namespace: dict[str, Any] = {"hookimpl": hookimpl}
    exec(f"@hookimpl\ndef clustrix_exists({arguments}): ...", namespace)
    findings = backend_findings(backend_with(clustrix_exists=namespace["clustrix_exists"]))
    assert findings[0] == "`clustrix_exists` doesn't take `self` first"


# --- arguments


def test_missing_arguments_are_listed() -> None:
    @hookimpl
    def clustrix_du(self, path): ...

    assert backend_findings(backend_with(clustrix_du=clustrix_du)) == [
        "`clustrix_du` doesn't take `on_error`, `progress`; a backend takes every argument of a hook"
    ]


def test_unknown_arguments_are_found() -> None:
    @hookimpl
    def clustrix_du(self, path, on_errors, progress, on_error, qqq): ...

    assert backend_findings(backend_with(clustrix_du=clustrix_du)) == [
        "`clustrix_du`: the argument `on_errors` is unknown; did you mean `on_error`?",
        "`clustrix_du`: the argument `qqq` is unknown; the hook has `path`, `on_error`, `progress`",
    ]


def test_arguments_with_defaults_are_found() -> None:
    @hookimpl
    def clustrix_du(self, path: str = ".", on_error: str = "warn", progress: object = None) -> None: ...

    assert backend_findings(backend_with(clustrix_du=clustrix_du)) == [
        f"`clustrix_du`: the argument `{name}` has a default; "
        "pluggy before 1.7 doesn't pass such arguments: drop it"
        for name in ("path", "on_error", "progress")
    ]


def test_keyword_only_arguments_are_found() -> None:
    @hookimpl
    def clustrix_du(self, path, *, on_error: str, progress=None): ...

    assert backend_findings(backend_with(clustrix_du=clustrix_du)) == [
        "`clustrix_du`: the argument `on_error` is keyword-only; pluggy passes arguments by position",
        "`clustrix_du`: the argument `progress` is keyword-only; pluggy passes arguments by position",
    ]


def test_collecting_arguments_are_found() -> None:
    @hookimpl
    def clustrix_du(self, path, *args: str, **kwargs): ...

    assert backend_findings(backend_with(clustrix_du=clustrix_du)) == [
        "`clustrix_du`: the argument `*args` would stay empty; list the hook's arguments by name",
        "`clustrix_du`: the argument `**kwargs` would stay empty; list the hook's arguments by name",
        "`clustrix_du` doesn't take `on_error`, `progress`; a backend takes every argument of a hook",
    ]


def test_arguments_are_checked_under_a_specname() -> None:
    @hookimpl(specname="clustrix_open")
    def open_file(self, path): ...

    assert backend_findings(backend_with(open_file=open_file)) == [
        "`open_file` doesn't take `mode`; a backend takes every argument of a hook"
    ]


# --- extensions


def test_an_extension_wraps_something() -> None:
    assert extension_findings(Hookless) == [
        "it wraps no hook: mark at least one method with @hookimpl(wrapper=True)"
    ]


@pytest.mark.parametrize("options", [{}, {"hookwrapper": True}])
def test_an_extension_only_wraps(options: dict[str, bool]) -> None:
    @hookimpl(**options)
    def clustrix_ls(self, path):
        yield

    assert extension_findings(extension_with(clustrix_ls=clustrix_ls)) == [
        "`clustrix_ls` must be marked @hookimpl(wrapper=True): an extension only wraps hooks"
    ]


def test_a_wrapper_is_a_generator_function() -> None:
    @hookimpl(wrapper=True)
    def clustrix_ls(self, path): ...

    assert extension_findings(extension_with(clustrix_ls=clustrix_ls)) == [
        "`clustrix_ls` must be a generator function: `result = yield`, then `return result`"
    ]


def test_an_extension_breaks_everything_else_too() -> None:
    class Bad:
        @hookimpl(wrapper=True)
        def clustrix_lss(self, path):
            return (yield)

        @hookimpl(wrapper=True)
        def clustrix_ls(self, paht, detail=False):
            return (yield)

        @staticmethod
        @hookimpl(wrapper=True)
        def clustrix_du(path):
            return (yield)

        def clustrix_glob(self, path): ...

    assert extension_findings(Bad) == [
        "the constructor must take the config as its one argument: `def __init__(self, config)`",
        "`clustrix_glob` lacks @hookimpl, so it would never be called",
        "`clustrix_du` is a staticmethod; hooks must be plain methods",
        "`clustrix_ls`: the argument `paht` is unknown; did you mean `path`?",
        "`clustrix_ls`: the argument `detail` has a default; "
        "pluggy before 1.7 doesn't pass such arguments: drop it",
        "`clustrix_lss` is marked @hookimpl, but there is no hook `clustrix_lss`; "
        "did you mean `clustrix_ls`?",
    ]


# --- all at once


class LaxConfig(ClusterConfig):
    pass


class Everything(ABC):
    """Nothing about it is right."""

    api_version = 99
    config_model = LaxConfig

    @property
    def client(self) -> None:
        raise AssertionError

    @abstractmethod
    def open_channel(self) -> None: ...

    @hookimpl
    def clustrix_lss(self, path, detail):
        return None

    @hookimpl
    def clustrix_find(self, pattern, path, *args, **kwargs):
        return None

    @hookimpl(wrapper=True)
    def clustrix_stat(self, paths, follow_symlinks=True, *, on_error):
        yield

    @hookimpl
    async def clustrix_exists(self, path):
        return None

    @hookimpl
    def clustrix_isdir(self, path) -> Iterator[bool]:
        yield True

    @staticmethod
    @hookimpl
    def clustrix_isfile(path):
        return None

    @hookimpl
    def clustrix_glob(self, pattern, path, onerror, progress):
        return None

    def clustrix_du(self, path, on_error, progress):
        return None

    @hookimpl(specname="clustrix_exists")
    def there(self, path):
        return None


def test_everything_wrong_at_once_is_one_error() -> None:
    error = error_of(validate_backend, Everything)
    shown = str(error).splitlines()[1:]
    assert shown == [f"- {finding}" for finding in error.findings]
    expected = [
        "supports none after",
        "LaxConfig must have extra=",
        "the constructor",
        "`open_channel` must be implemented",
        "`client` is a property",
        "`clustrix_du` lacks @hookimpl",
        "missing: `clustrix_ls`, `clustrix_count_files`",
        "`clustrix_exists` is implemented more than once",
        "`clustrix_exists` is an async",
        "`*args` would",
        "`**kwargs` would",
        "`clustrix_find` doesn't take `detail`",
        "`onerror` is unknown; did you mean `on_error`?",
        "`clustrix_glob` doesn't take `on_error`",
        "`clustrix_isdir` is a generator",
        "`clustrix_isfile` is a staticmethod",
        "`clustrix_lss`; did you mean",
        "`clustrix_stat` is a wrapper",
        "`follow_symlinks` has a default",
        "`on_error` is keyword-only",
    ]
    assert len(error.findings) == len(expected)
    for part, finding in zip(expected, error.findings, strict=True):
        assert part in finding
