"""Configs from outside the program: `clustrix.yml`, `CLUSTRIX_*` variables, and the active config.

The active config is put together from, the first winning:

1. keyword arguments (of `configure` or `load_config`);
2. `CLUSTRIX_<FIELD>` variables, such as `CLUSTRIX_USERNAME`; an empty one counts as not set;
3. `clustrix.yml`: in the current folder or its parents, up to the home folder or the filesystem's boundary,
   else in `$XDG_CONFIG_HOME/clustrix` (`~/.config/clustrix`);
4. the defaults of the backend.

The file holds either fields, or `profiles:` (fields by profile name) and perhaps `default_profile:`. The
active profile is `CLUSTRIX_PROFILE`, else the `default_profile`, else the only one. A named profile is
looked for in the nearest file, then in the user's. `CLUSTRIX_CONFIG` is the path of a file to read instead
of searching.

A file is read only if it belongs to the user or root and nobody else can write it. All its values are read
as text and mean what they look like: `02:00:00` is a time, `no` is a word; only `null` and nothing are None.

The value of a variable for a list or mapping may be YAML or JSON, `[gcc, openmpi]` or `{OMP_NUM_THREADS: 4}`.
Items of a list may also stand apart by commas or spaces; commands stand on lines of their own.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from clustrix_core.config import ClusterConfig, InvalidFieldsError, given, secret_fields, summary
from clustrix_core.discovery import load_backend
from clustrix_core.errors import BackendNotFoundError, ConfigError, near, printable

if TYPE_CHECKING:
    import yaml

    _Pairs = dict[str, tuple[yaml.Node, yaml.Node]]

T = TypeVar("T")

FILE_NAME = "clustrix.yml"
PREFIX = "CLUSTRIX_"
_SPECIAL = ("CLUSTRIX_PROFILE", "CLUSTRIX_CONFIG")


class ConfigWarning(UserWarning):
    """A file or variable was passed over, or something was not saved. The message says what to do."""


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
        ConfigError, BackendNotFoundError: as `load_config`.
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
        ConfigError, BackendNotFoundError: as `load_config`.
    """
    if config is None:
        config = load_config(**fields)
    elif not isinstance(config, ClusterConfig):
        raise ConfigError(
            f"configure() takes a ClusterConfig, and a value of type {type(config).__name__} was given; "
            "give fields by their names: configure(cluster_type=...)"
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
    names what was left out. The file is replaced as a whole or not at all. Profiles of other names in it are
    kept, comments are lost.

    Args:
        config: the config to save.
        path: the file; by default `$XDG_CONFIG_HOME/clustrix/clustrix.yml`. Missing folders are made.
        profile: the profile to add or replace; None writes a file of fields without profiles.

    Returns:
        The path of the file.

    Raises:
        ConfigError: what is there now can't be read, or can't be kept beside what is to be saved.
        OSError: the file can't be written.
    """
    place = _user_file() if path is None else _absolute(path)
    root, file = _load_document(place) if os.path.exists(place) else (_node({}), _File(place, {}, None, None))
    if profile is None and file.profiles is not None:
        raise ConfigError(f"{printable(place)}: it holds profiles; name the one to save: profile=...")
    if profile is not None and file.fields:
        raise ConfigError(
            f"{printable(place)}: it holds fields without a profile; move them into one, or save elsewhere"
        )
    fields = _node(_savable(config))
    root = fields if profile is None else _with_profile(root, profile, fields)
    _replace(Path(os.path.realpath(place)), _serialized(root))
    return Path(place)


def _savable(config: ClusterConfig) -> dict[str, Any]:
    values = given(config)
    secret = [name for name in secret_fields(type(config)) if values.get(name) is not None]
    unclaimed = [name for name in values if name not in type(config).model_fields]
    if secret:
        variables = " and ".join(PREFIX + name.upper() for name in secret)
        _warn(f"not saved, being secret: {_listed(secret)}; set {variables} where they are needed")
    if unclaimed:
        _warn(f"not saved, as no backend has claimed them: {_listed(unclaimed)}; save what `resolve` returns")
    left_out = {*secret_fields(type(config)), *unclaimed}
    return {name: value for name, value in values.items() if name not in left_out}


def _with_profile(root: yaml.Node, profile: str, fields: yaml.Node) -> yaml.Node:
    document = root if root.tag == _MAPPING else _node({})
    profiles = next((value for key, value in document.value if key.value == "profiles"), None)
    if profiles is None or profiles.tag != _MAPPING:
        profiles = _node({})
    _put(profiles, profile, fields)
    _put(document, "profiles", profiles)
    return document


def _put(mapping: yaml.Node, name: str, value: yaml.Node) -> None:
    """Set an item of a mapping, in the place that it has or at the end."""
    for index, (key, _) in enumerate(mapping.value):
        if key.value == name and key.tag != _MERGE:
            mapping.value[index] = (key, value)
            return
    mapping.value.append((_node(name), value))


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
    *not* laid over it, only the overrides are.

    Args:
        profile: name of a profile.
        path: the file to read, instead of searching and of `CLUSTRIX_CONFIG`.
        overrides: fields that win over anything else.

    Returns:
        An instance of the `config_model` of the backend that `cluster_type` names.

    Raises:
        ConfigError: a file, a variable or a field is wrong, or there is no such profile.
        BackendNotFoundError: there is no such backend.
    """
    return explain_config(profile, path, **overrides).config


def explain_config(
    profile: str | None = None, path: str | os.PathLike[str] | None = None, **overrides: Any
) -> ExplainedConfig:
    """Load a config as `load_config` does, and tell where each of its values comes from.

    Arguments and errors: as `load_config`.
    """
    arguments = {name: _Given(value, "argument") for name, value in overrides.items()}
    texts = _variables() if profile is None else {}
    file = _file_layer(_wanted(profile), path)
    model = _backend_model({**file, **texts, **arguments}.get("cluster_type"))
    layer = {**file, **_parsed(texts, model), **arguments}
    config = _validated(model, layer)
    origins = {name: layer[name].origin if name in layer else "default" for name in model.model_fields}
    return ExplainedConfig(config, origins)


def list_profiles() -> dict[str, str]:
    """The names of all profiles that `load_config` finds from here, each with the path of its file.

    Raises:
        ConfigError: a file is wrong.
    """
    profiles: dict[str, str] = {}
    for file in _files(None):
        for name in file.profiles or ():
            profiles.setdefault(name, file.path)
    return profiles


class _Given(NamedTuple):
    """A value that isn't validated yet, and where it comes from."""

    value: Any
    origin: str


_Layer = dict[str, _Given]


def _backend_model(cluster_type: _Given | None) -> type[ClusterConfig]:
    layer = {} if cluster_type is None else {"cluster_type": cluster_type}
    name = _validated(ClusterConfig, layer).cluster_type
    try:
        return load_backend(name).config_model
    except BackendNotFoundError as error:
        origin = "" if cluster_type is None else _prefix(cluster_type.origin)
        message = f"{origin}{error}"
    raise BackendNotFoundError(message)


def _validated(model: type[ClusterConfig], layer: _Layer) -> ClusterConfig:
    try:
        return model(**{name: item.value for name, item in layer.items()})
    except InvalidFieldsError as error:
        problems = error.problems
    origins = {name: _prefix(item.origin) for name, item in layer.items()}
    raise ConfigError(summary(origins.get(problem.field, "") + problem.text for problem in problems))


def _prefix(origin: str) -> str:
    return "" if origin == "argument" else f"{printable(origin)}: "


# ---- variables


def _variables() -> _Layer:
    """The `CLUSTRIX_*` variables that stand for fields, as text."""
    return {
        name.removeprefix(PREFIX).lower(): _Given(text, name)
        for name, text in os.environ.items()
        if name.startswith(PREFIX) and name not in _SPECIAL and text
    }


def _wanted(profile: str | None) -> _Given | None:
    if profile is not None:
        return _Given(profile, "argument")
    name = os.environ.get("CLUSTRIX_PROFILE")
    return _Given(name, "CLUSTRIX_PROFILE") if name else None


def _parsed(texts: _Layer, model: type[ClusterConfig]) -> _Layer:
    """Variables as values of a model's fields. A name like no field's is passed over with a warning."""
    layer: _Layer = {}
    for name, (text, origin) in texts.items():
        field = model.model_fields.get(name)
        if field is not None:
            layer[name] = _Given(_parse(name, text, field.annotation, origin), origin)
        elif near(name, model.model_fields, cutoff=0.8):
            layer[name] = _Given(text, origin)  # the model refuses it, and names the nearest field
        else:
            _warn(
                f"{printable(origin)} is passed over, being no field of {model.__name__}; unset the variable"
            )
    return layer


def _parse(name: str, text: str, annotation: Any, origin: str) -> Any:
    kinds = _kinds(annotation)
    if text.lstrip().startswith(("[", "{")) and kinds & {tuple, dict}:
        return _read_yaml(text, origin, lambda node: _value(node, origin))
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
    if isinstance(kind, type) and issubclass(kind, (tuple, list, set, frozenset)):
        return {tuple}
    if isinstance(kind, type) and issubclass(kind, (Mapping, BaseModel)):
        return {dict}
    return {kind}


# ---- files


@dataclass(frozen=True)
class _File:
    """What stands in a `clustrix.yml`: fields, or else profiles and the name of one."""

    path: str
    fields: _Layer
    profiles: dict[str, _Layer] | None
    default_profile: _Given | None


class _UnusableFileError(ConfigError):
    """A file can't be read, or should not be trusted."""


def _file_layer(name: _Given | None, path: str | os.PathLike[str] | None) -> _Layer:
    """The fields of a named profile; without a name those of the nearest file."""
    looked: list[_File] = []
    for file in _files(path):
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


def _active_profile(file: _File) -> _Given:
    names = list(file.profiles or ())
    if file.default_profile is not None:
        return file.default_profile
    if len(names) == 1:
        return _Given(names[0], file.path)
    raise ConfigError(
        f"{printable(file.path)}: no profile is chosen; set CLUSTRIX_PROFILE, or default_profile in the "
        f"file, to one of: {_listed(names)}"
    )


def _no_profile(name: _Given, looked: list[_File]) -> str:
    names = list(dict.fromkeys(each for file in looked for each in file.profiles or ()))
    close = near(name.value, names, at_most=1)
    hint = f"did you mean {printable(close[0])!r}? " if close else ""
    where = _listed([file.path for file in looked]) if looked else f"(found no {FILE_NAME})"
    return (
        f"{_prefix(name.origin)}there is no profile {printable(name.value)!r}; {hint}"
        f"Profiles: {_listed(names)}. Looked in: {where}"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(printable(name) for name in names) or "none"


def _files(path: str | os.PathLike[str] | None) -> Iterator[_File]:
    """The files in which profiles are looked for, the nearest first. Each is read when it is asked for."""
    explicit = path if path is not None else os.environ.get("CLUSTRIX_CONFIG")
    if explicit:
        yield _load(_absolute(explicit))
        return
    nearest = next(filter(None, map(_found, _project_files())), None)
    if nearest is not None:
        yield nearest
    own = _user_file()
    if nearest is None or os.path.realpath(nearest.path) != os.path.realpath(own):
        found = _found(own)
        if found is not None:
            yield found


def _found(path: str) -> _File | None:
    if not os.path.lexists(path):
        return None
    try:
        return _load(path)
    except _UnusableFileError as error:
        _warn(f"passed over: {error}")
        return None


def _absolute(path: str | os.PathLike[str]) -> str:
    return os.path.abspath(os.path.expanduser(os.fspath(path)))


def _user_file() -> str:
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):
        folder = os.path.expanduser("~/.config")
    return os.path.join(folder, "clustrix", FILE_NAME)


def _project_files() -> Iterator[str]:
    """Candidates from the current folder up to the home folder, or as far as the filesystem goes."""
    home = os.path.realpath(os.path.expanduser("~"))
    with suppress(OSError):  # the current folder was deleted, or can't be seen from here
        folder = Path.cwd()
        device = folder.stat().st_dev
        for parent in (folder, *folder.parents):
            if parent.stat().st_dev != device:
                return
            yield str(parent / FILE_NAME)
            if str(parent) == home:
                return


def _load(path: str) -> _File:
    return _load_document(path)[1]


def _load_document(path: str) -> tuple[yaml.Node, _File]:
    """A file as YAML nodes, and what they mean."""
    data = _read(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _position(path, data[: error.start].decode("utf-8", "replace"))
    else:
        return _read_yaml(text, path, lambda root: (root, _interpreted(root, path)))
    raise ConfigError(f"{place}: this is no UTF-8; save the file as UTF-8")


def _interpreted(root: yaml.Node, path: str) -> _File:
    pairs = _pairs(root, path)
    if not pairs.keys() & {"profiles", "default_profile"}:
        return _File(path, _layer(root, path), None, None)
    for name, (key, _) in pairs.items():
        if name not in ("profiles", "default_profile"):
            _fault(path, key, f"{printable(name)} stands beside profiles; move it into one of them")
    bodies = _pairs(pairs["profiles"][1], path) if "profiles" in pairs else {}
    profiles = {name: _layer(body, path) for name, (_, body) in bodies.items()}
    return _File(path, {}, profiles, _default_profile(pairs, path))


def _default_profile(pairs: _Pairs, path: str) -> _Given | None:
    if "default_profile" not in pairs:
        return None
    key, value = pairs["default_profile"]
    if value.tag == _NULL:
        return None
    if value.tag != _TEXT:
        _fault(path, value, "default_profile should be the name of a profile")
    return _Given(value.value, f"{path}:{key.start_mark.line + 1}")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            _check_trust(path, os.fstat(file.fileno()), os.lstat(path))
            return file.read()
    except OSError as error:
        raise _UnusableFileError(
            f"{printable(path)}: {error.strerror}; check the path and permissions"
        ) from None


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO without a writer would wait for one


def _check_trust(path: str, status: os.stat_result, link: os.stat_result) -> None:
    name = printable(path)
    if not stat.S_ISREG(status.st_mode):
        raise _UnusableFileError(f"{name}: this is no regular file; remove it")
    for owner in (status.st_uid, link.st_uid):
        if owner not in (0, os.geteuid()):
            raise _UnusableFileError(
                f"{name}: it belongs to user {owner}, who could put commands into it; if you trust it, "
                f"make it yours: sudo chown {os.geteuid()} {shlex.quote(name)}"
            )
    if status.st_mode & 0o022:
        raise _UnusableFileError(
            f"{name}: others can write to it; check what it says, then: chmod go-w {shlex.quote(name)}"
        )


def _warn(message: str) -> None:
    warnings.warn(message, ConfigWarning, stacklevel=2)


# ---- YAML: every scalar is text

_NULL, _TEXT = "tag:yaml.org,2002:null", "tag:yaml.org,2002:str"
_LIST, _MAPPING, _MERGE = "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map", "tag:yaml.org,2002:merge"


@cache
def _dialect() -> tuple[type[yaml.SafeLoader], type[yaml.SafeDumper]]:
    """A loader and a dumper that agree that all but null and the merge key is text."""
    import yaml

    null = [(_NULL, re.compile(r"(null|Null|NULL)?\Z"))]
    resolvers = {"": null, "n": null, "N": null, "<": [(_MERGE, re.compile(r"<<\Z"))]}
    body = {"yaml_implicit_resolvers": resolvers}
    return type("Loader", (yaml.SafeLoader,), body), type("Dumper", (yaml.SafeDumper,), body)


def _read_yaml(text: str, source: str, convert: Callable[[yaml.Node], T]) -> T:
    """Parse YAML and convert its root, null for an empty document. Raises `ConfigError` with the place."""
    import yaml

    loader, _ = _dialect()
    try:
        root = yaml.compose(text, Loader=loader)
        return convert(yaml.ScalarNode(_NULL, "") if root is None else root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{printable(source)}:{mark.line + 1}:{mark.column + 1}" if mark else printable(source)
        message = f"{place}: {_discreet(error.problem or 'this is no valid YAML')}"
    except yaml.reader.ReaderError as error:
        message = f"{_position(source, text[: error.position])}: this character isn't allowed in YAML"
    except RecursionError:
        message = f"{printable(source)}: this is nested too deeply, or holds itself"
    # Raised out here, so that the exception does not refer to PyYAML's, which holds the text.
    raise ConfigError(message)


def _discreet(problem: str) -> str:
    """PyYAML's message without the words it quotes: `password: *x` is an alias to it, perhaps a secret."""
    return re.sub(r"'([^']*)'", lambda m: m[0] if len(m[1]) < 3 or m[1][0] == "<" else "'...'", problem)


def _value(node: yaml.Node, source: str) -> Any:
    if node.tag == _NULL:
        return None
    if node.tag == _TEXT:
        return node.value
    if node.tag == _LIST:
        return [_value(item, source) for item in node.value]
    if node.tag == _MAPPING:
        return {name: _value(item, source) for name, (_, item) in _pairs(node, source).items()}
    _fault(source, node, "a tag isn't understood here; quote a value that begins with !")


def _layer(node: yaml.Node, path: str) -> _Layer:
    return {
        name: _Given(_value(item, path), f"{path}:{key.start_mark.line + 1}")
        for name, (key, item) in _pairs(node, path).items()
    }


def _pairs(node: yaml.Node, source: str) -> _Pairs:
    """The items of a mapping (an empty value is an empty one) by their names, with `<<` merged in."""
    if node.tag == _NULL:
        return {}
    if node.tag != _MAPPING:
        _fault(source, node, "names with values are needed here, as in `cluster_type: ssh`")
    own: _Pairs = {}
    merged: _Pairs = {}
    for key, value in node.value:
        if key.tag == _MERGE:
            for base in value.value if value.tag == _LIST else [value]:
                merged = {**_pairs(base, source), **merged}
            continue
        if key.tag not in (_TEXT, _NULL):
            _fault(source, key, "a name should be text")
        if key.value in own:
            _fault(source, key, f"{printable(key.value)} is there twice; remove one")
        own[key.value] = (key, value)
    return {**merged, **own}


def _fault(source: str, node: yaml.Node, message: str) -> NoReturn:
    mark = node.start_mark
    raise ConfigError(f"{printable(source)}:{mark.line + 1}:{mark.column + 1}: {message}")


def _position(source: str, before: str) -> str:
    lines = before.split("\n")
    return f"{printable(source)}:{len(lines)}:{len(lines[-1]) + 1}"


def _node(value: Any) -> yaml.Node:
    """A value as YAML that reads back as a value which validates to the same."""
    import yaml

    if isinstance(value, Mapping):
        items = [(_node(str(key)), _node(item)) for key, item in value.items()]
        return yaml.MappingNode(_MAPPING, items, flow_style=False)
    if isinstance(value, (list, tuple, set, frozenset)):
        return yaml.SequenceNode(_LIST, [_node(item) for item in value], flow_style=False)
    if value is None:
        return yaml.ScalarNode(_NULL, "null")
    if type(value) in (str, int, float):
        text = str(value)
        # Escaped, since PyYAML's other styles lose some line breaks.
        return yaml.ScalarNode(_TEXT, text, style=None if text.isprintable() else '"')
    if isinstance(value, bool):
        return yaml.ScalarNode(_TEXT, str(value).lower())
    return _node(to_jsonable_python(value))


def _serialized(root: yaml.Node) -> bytes:
    import yaml

    _, dumper = _dialect()
    return yaml.serialize(root, Dumper=dumper, allow_unicode=True, width=1 << 30).encode()
