"""The active config, and how it is put together from arguments, `CLUSTRIX_*` variables and `clustrix.yml`.

The first wins:

1. keyword arguments (of `configure` or `load_config`);
2. `CLUSTRIX_<FIELD>` variables, such as `CLUSTRIX_USERNAME`; an empty one counts as not set;
3. the active profile, or the fields, of the nearest `clustrix.yml` (see `configfile`);
4. the defaults of the backend.

The active profile is `CLUSTRIX_PROFILE`, else the file's `default_profile`, else the only one. A named
profile is looked for in the nearest file, then in the user's.

A profile that is named in the call (or a config made of options, see `fill_secrets`) is taken as it is, but
for secrets that it leaves out, since no file should hold them: these come from their variables, such as
`CLUSTRIX_PASSWORD`.

The value of a variable for a list or mapping may be YAML or JSON, `[gcc, openmpi]` or `{OMP_NUM_THREADS: 4}`,
in which, as in a file, every value is text (see `plainyaml`). Items of a list may also stand apart by commas
or spaces; commands stand on lines of their own.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from clustrix_core import plainyaml
from clustrix_core.config import (
    ClusterConfig,
    InvalidFieldsError,
    Problem,
    claimed,
    given,
    secret_fields,
    summary,
)
from clustrix_core.configfile import (
    FILE_NAME,
    ConfigFile,
    Given,
    Layer,
    absolute,
    files,
    load,
    user_file,
    warn,
    with_profile,
)
from clustrix_core.discovery import load_backend
from clustrix_core.errors import BackendNotFoundError, ConfigError, ConfigWarning, near, printable

if TYPE_CHECKING:
    from yaml import Node

__all__ = [
    "FILE_NAME",
    "PREFIX",
    "ConfigWarning",
    "ExplainedConfig",
    "configure",
    "explain_config",
    "fill_secrets",
    "get_config",
    "list_profiles",
    "load_config",
    "save_config",
]

PREFIX = "CLUSTRIX_"
_SPECIAL = ("CLUSTRIX_PROFILE", "CLUSTRIX_CONFIG", "CLUSTRIX_HERE", "CLUSTRIX_CORES", "CLUSTRIX_LOGIN")
_LOCK_PATIENCE = 10.0  # seconds


@dataclass(frozen=True)
class ExplainedConfig:
    """A config, and where it comes from.

    Attributes:
        config: the config, an instance of the backend's `config_model`.
        origins: for each field of the config `"default"`, `"argument"`, the name of a variable, or the file
            and line as `"/path/clustrix.yml:12"`.
    """

    config: ClusterConfig
    origins: dict[str, str]


# ---- the active config

_active: dict[str, ClusterConfig] = {}


def get_config() -> ClusterConfig:
    """The active config: what `configure` set, else what `load_config()` loads.

    Files and variables are read once in a process; `configure()` reads them again.

    Raises:
        ClustrixError: as `load_config`.
    """
    config = _active.get("config")
    # Setting only what isn't set is atomic: all threads get the same config, and none undoes `configure`.
    return config if config is not None else _active.setdefault("config", load_config())


def configure(config: ClusterConfig | None = None, **fields: Any) -> ClusterConfig:
    """Set the active config of this process.

    - `configure(config)` makes it that config; with fields, a copy in which these are changed.
    - `configure(cluster_type="ssh", …)` makes it `load_config(cluster_type="ssh", …)`: variables and files
      fill in what isn't given. `profile=` and `path=` are taken as there.
    - `configure()` forgets what was set, and reads variables and files anew.

    Args:
        config: the config to make active.
        fields: fields that win over anything else.

    Returns:
        The active config. When this raises, the active config is what it was.

    Raises:
        TypeError: `profile=` or `path=` beside a config.
        ClustrixError: as `load_config`.
    """
    if config is None:
        config = load_config(**fields)
    elif not isinstance(config, ClusterConfig):
        raise ConfigError(
            f"configure() takes a ClusterConfig, and a value of type {type(config).__name__} was given; "
            "give fields by their names, configure(cluster_type=...), or a profile by its own, "
            "configure(profile=...)"
        )
    elif fields.keys() & {"profile", "path"}:
        raise TypeError(
            "profile= and path= go without a config; leave them out, or load the config by them: "
            "configure(profile=...)"
        )
    elif fields:
        config = config.model_copy(update=fields)
    _active["config"] = config
    return config


# ---- saving


def save_config(
    config: ClusterConfig, path: str | os.PathLike[str] | None = None, profile: str | None = None
) -> Path:
    """Write the fields that were given to a config to a file, which only its owner can read.

    Secrets are never written, nor are fields that no backend has claimed (see `resolve`); a `ConfigWarning`
    names what was left out. Values of `environment_variables` are not declared secret, and are written.
    The file is replaced as a whole or not at all. Profiles of other names in it are kept, also those that are
    being saved at the same time; comments are lost.

    Args:
        config: the config to save.
        path: the file; by default `$XDG_CONFIG_HOME/clustrix/clustrix.yml`. Missing folders are made.
        profile: the profile to add or replace; None writes a file of fields without profiles.

    Returns:
        The path of the file.

    Raises:
        ConfigError: what is there now can't be read, or can't be kept beside what is to be saved; or there is
            neither a path nor a home folder; or somebody keeps the folder locked.
        TypeError: `config` is no `ClusterConfig`.
        OSError: the file can't be written.
    """
    if not isinstance(config, ClusterConfig):
        raise TypeError(
            f"save_config() takes a ClusterConfig, and a value of type {type(config).__name__} was given; "
            "make one of the fields: ClusterConfig(**fields)"
        )
    place = user_file() if path is None else absolute(path)
    if place is None:
        raise ConfigError("there is no home folder to save to; name a file: path=..., or set XDG_CONFIG_HOME")
    target = Path(os.path.realpath(place))
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(target.parent):
        present = _present(place, profile)
        fields = plainyaml.node_of(_savable(config))
        root = fields if profile is None else with_profile(present, place, profile, fields)
        _replace(target, plainyaml.serialized(root))
    return Path(place)


def _savable(config: ClusterConfig) -> dict[str, Any]:
    values = given(config)
    secret = [name for name in secret_fields(type(config)) if values.get(name) is not None]
    unclaimed = [name for name in values if name not in type(config).model_fields]
    if secret:
        variables = " and ".join(PREFIX + name.upper() for name in secret)
        warn(f"not saved, being secret: {_listed(secret)}; set {variables} where they are needed")
    if unclaimed:
        warn(f"not saved, as no backend has claimed them: {_listed(unclaimed)}; save what `resolve` returns")
    left_out = {*secret_fields(type(config)), *unclaimed}
    return {name: value for name, value in values.items() if name not in left_out}


def _present(place: str, profile: str | None) -> Node:
    """The document that a file holds now, if what is to be saved can be kept beside it or replace it."""
    root, file = load(place) if os.path.exists(place) else (plainyaml.node_of({}), ConfigFile(place, {}))
    if profile is None and file.profiles is not None:
        raise ConfigError(f"{printable(place)}: it holds profiles; name the one to save: profile=...")
    if profile is not None and file.fields:
        raise ConfigError(
            f"{printable(place)}: it holds fields without a profile; move them into one, or save elsewhere"
        )
    return root


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others who save to the folder out, in this process and elsewhere, so that no profile is lost."""
    import fcntl

    descriptor = None
    with suppress(PermissionError):  # a folder may be open to writing and not to listing
        descriptor = os.open(folder, os.O_RDONLY)
    if descriptor is None:
        yield
        return
    try:
        _lock(descriptor, folder)
        yield
    finally:
        with suppress(OSError):  # closing wouldn't do: a child that was forked meanwhile has it open too
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    import fcntl

    deadline = time.monotonic() + _LOCK_PATIENCE
    with suppress(OSError):  # some network filesystems have no locks
        while time.monotonic() < deadline:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.02)
        name = printable(folder)
        raise ConfigError(
            f"{name}: another process has kept this folder locked for {_LOCK_PATIENCE:g} seconds; find it "
            f"with `lslocks` or `fuser -v {shlex.quote(name)}` and end it, or save elsewhere: path=..."
        )


def _replace(path: Path, content: bytes) -> None:
    import tempfile

    handle, temporary = tempfile.mkstemp(prefix=".clustrix-", dir=path.parent)  # its mode is 0600
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


# ---- loading


def load_config(
    profile: str | None = None, path: str | os.PathLike[str] | None = None, **overrides: Any
) -> ClusterConfig:
    """Load a config from variables and files, without making it the active one.

    Without `profile` this is what the active config would be: overrides win over `CLUSTRIX_*` variables,
    these over the file. A profile that is named here is taken as its file has it: variables for fields are
    *not* laid over it, only the overrides are. But a secret that it leaves out comes from its variable:
    `CLUSTRIX_PASSWORD` is the `password` of a profile that has none.

    Args:
        profile: name of a profile.
        path: the file to read, instead of searching and of `CLUSTRIX_CONFIG`.
        overrides: fields that win over anything else.

    Returns:
        An instance of the `config_model` of the backend that `cluster_type` names.

    Raises:
        ConfigError: a file, a variable or a field is wrong, or there is no such profile.
        BackendNotFoundError: there is no such backend.
        BackendLoadError, BackendIncompatibleError: it is there, and can't be used.
    """
    return explain_config(profile, path, **overrides).config


def explain_config(
    profile: str | None = None, path: str | os.PathLike[str] | None = None, **overrides: Any
) -> ExplainedConfig:
    """Load a config as `load_config` does, and tell where each of its values comes from.

    Arguments and errors: as `load_config`.
    """
    arguments = {name: Given(value, "argument") for name, value in overrides.items()}
    texts = _variables() if profile is None else {}
    file = _file_layer(_wanted(profile), path)
    model = _backend_model({**file, **texts, **arguments}.get("cluster_type"))
    if profile is not None:
        secrets = _secret_variables(model)
        texts = {name: text for name, text in secrets.items() if name not in file or file[name].value is None}
    layer = {**file, **_parsed(texts, model), **arguments}
    config = _validated(model, layer)
    origins = {name: layer[name].origin if name in layer else "default" for name in model.model_fields}
    return ExplainedConfig(config, origins)


def fill_secrets(config: ClusterConfig) -> ClusterConfig:
    """Take the secrets that a config leaves out, such as its `password`, from their `CLUSTRIX_*` variables.

    Args:
        config: a config of any class.

    Returns:
        An instance of the backend's `config_model`. A secret that was given, be it as None, stays.

    Raises:
        ConfigError: a variable or a field is wrong.
        BackendNotFoundError, BackendLoadError, BackendIncompatibleError: as `load_config`.
    """
    model = load_backend(config.cluster_type).config_model
    layer = {name: Given(value, "argument") for name, value in given(config).items()}
    return _validated(model, {**_parsed(_secret_variables(model), model), **layer})


def list_profiles() -> dict[str, str]:
    """The names of all profiles that `load_config` finds from here, each with the path of its file.

    Raises:
        ConfigError: a file is wrong.
    """
    profiles: dict[str, str] = {}
    for file in files():
        for name in file.profiles or ():
            profiles.setdefault(name, file.path)
    return profiles


def _backend_model(cluster_type: Given | None) -> type[ClusterConfig]:
    layer = {} if cluster_type is None else {"cluster_type": cluster_type}
    name = _validated(ClusterConfig, layer).cluster_type
    try:
        return load_backend(name).config_model
    except BackendNotFoundError as error:
        origin = "" if cluster_type is None else _prefix(cluster_type.origin)
        message = f"{origin}{error}"
    raise BackendNotFoundError(message)


def _validated(model: type[ClusterConfig], layer: Layer) -> ClusterConfig:
    try:
        return claimed(model, {name: item.value for name, item in layer.items()})
    except InvalidFieldsError as error:
        problems = error.problems
    raise ConfigError(summary(_whence(problem, layer) + problem.text for problem in problems))


def _whence(problem: Problem, layer: Layer) -> str:
    """Where the fields that are wrong come from: those that the text names, if they are so together."""
    if problem.field:
        item = layer.get(problem.field)
        return "" if item is None else _prefix(item.origin)
    named = set(re.findall(r"\w+", problem.text)) & layer.keys()
    origins = [layer[name].origin for name in layer if name in named] or [
        item.origin.rpartition(":")[0] or item.origin
        for item in layer.values()  # without the lines
    ]
    return _prefix(*dict.fromkeys(origins))


def _prefix(*origins: str) -> str:
    shown = ", ".join(printable(origin) for origin in origins if origin != "argument")
    return f"{shown}: " if shown else ""


# ---- variables


def _variables() -> Layer:
    """The `CLUSTRIX_*` variables that stand for fields, as text."""
    return {
        name.removeprefix(PREFIX).lower(): Given(text, name)
        for name, text in os.environ.items()
        if name.startswith(PREFIX) and name not in _SPECIAL and text
    }


def _secret_variables(model: type[ClusterConfig]) -> Layer:
    return {name: text for name, text in _variables().items() if name in secret_fields(model)}


def _wanted(profile: str | None) -> Given | None:
    if isinstance(profile, str):
        return Given(profile, "argument")
    if profile is not None:
        raise ConfigError(
            f"a profile is named by text, and a value of type {type(profile).__name__} was given; "
            "give fields by their names: load_config(cluster_type=...)"
        )
    name = os.environ.get("CLUSTRIX_PROFILE")
    return Given(name, "CLUSTRIX_PROFILE") if name else None


def _parsed(texts: Layer, model: type[ClusterConfig]) -> Layer:
    """Variables as values of a model's fields. A name like no field's is passed over with a warning."""
    layer: Layer = {}
    for name, variable in texts.items():
        text, origin = variable.value, variable.origin
        field = model.model_fields.get(name)
        if field is not None:
            layer[name] = Given(_parse(name, text, field.annotation, origin), origin)
        elif near(name, model.model_fields, cutoff=0.8):
            layer[name] = variable  # the model refuses it, and names the nearest field
        else:
            warn(
                f"{printable(origin)} is passed over, being no field of {model.__name__}; unset the variable"
            )
    return layer


def _parse(name: str, text: str, annotation: Any, origin: str) -> Any:
    kinds = _kinds(annotation)
    if text.lstrip().startswith(("[", "{")) and kinds & {tuple, dict}:
        return plainyaml.parse(text, origin, lambda root: plainyaml.plain(root, origin))
    if kinds <= {tuple, type(None)}:
        # A command has spaces in it; names of modules and extensions have none.
        separator = r"\n" if name == "pre_execution_commands" else r"[,\s]"
        return [item for item in re.split(separator, text) if item.strip()]
    return text


def _kinds(annotation: Any) -> set[Any]:
    """What a field can hold: `tuple` for a sequence or set, `dict` for a mapping or model, else the type."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return set().union(*(_kinds(each) for each in get_args(annotation)))
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    kind = origin or annotation
    if not isinstance(kind, type) or issubclass(kind, (str, bytes, bytearray)):
        return {kind}
    if issubclass(kind, (Mapping, BaseModel)):
        return {dict}
    return {tuple} if issubclass(kind, (Sequence, Set)) else {kind}


# ---- the file


def _file_layer(name: Given | None, path: str | os.PathLike[str] | None) -> Layer:
    """The fields of a named profile; without a name those of the nearest file."""
    looked: list[ConfigFile] = []
    for file in files(path):
        looked.append(file)
        if name is None:
            if not file.profiles and file.default_profile is None:
                return file.fields
            name = _active_profile(file)
        if file.profiles and name.value in file.profiles:
            return file.profiles[name.value]
    if name is None:
        return {}
    raise ConfigError(_no_profile(name, looked))


def _active_profile(file: ConfigFile) -> Given:
    names = list(file.profiles or ())
    if file.default_profile is not None:
        return file.default_profile
    if len(names) == 1:
        return Given(names[0], file.path)
    raise ConfigError(
        f"{printable(file.path)}: no profile is chosen; set CLUSTRIX_PROFILE, or default_profile in the "
        f"file, to one of: {_listed(names)}"
    )


def _no_profile(name: Given, looked: list[ConfigFile]) -> str:
    names = list(dict.fromkeys(each for file in looked for each in file.profiles or ()))
    close = near(name.value, names, at_most=1)
    hint = f"; did you mean {printable(close[0])!r}?" if close else "."
    where = _listed([file.path for file in looked]) if looked else f"(found no {FILE_NAME})"
    return (
        f"{_prefix(name.origin)}there is no profile {printable(name.value)!r}{hint} "
        f"Profiles: {_listed(names)}. Looked in: {where}"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(printable(name) for name in names) or "none"
