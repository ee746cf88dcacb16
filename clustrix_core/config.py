"""`ClusterConfig`: which place to work in, and how to reach it. Immutable and hashable."""

# Without `from __future__ import annotations`: pydantic would have to evaluate the text of each annotation.

import os
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

import pydantic
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    SecretBytes,
    SecretStr,
    SerializationInfo,
    ValidationError,
    field_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, core_schema, from_json
from pydantic_core.core_schema import SerializerFunctionWrapHandler

from clustrix_core.errors import ConfigError, near, printable

if TYPE_CHECKING:
    from typing_extensions import Self

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", covariant=True)
Model = TypeVar("Model", bound="ClusterConfig")

# `Secret[T]` came with pydantic 2.8.
_SECRETS: tuple[type, ...] = (SecretStr, SecretBytes, getattr(pydantic, "Secret", SecretStr))

USE = "use:"
RESTORE = "restore:"
"""What `module_loads` may hold besides modules begins with these."""


class FrozenMapping(Mapping[K, V]):
    """A mapping that can't be changed, and that hashes. Equal to any mapping with the same items."""

    __slots__ = ("_hash", "_items")
    _hash: int

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        self._items = dict(items)

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            self._hash = hash(frozenset(self._items.items()))
            return self._hash

    def __repr__(self) -> str:
        return repr(self._items)

    def __reduce__(self) -> tuple[type["FrozenMapping[K, V]"], tuple[dict[K, V]]]:
        # Without the hash: those of strings differ from one process to the next.
        return type(self), (self._items,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        key, value = get_args(source) or (Any, Any)
        return core_schema.no_info_after_validator_function(
            cls,
            core_schema.dict_schema(handler.generate_schema(key), handler.generate_schema(value)),
            serialization=core_schema.plain_serializer_function_ser_schema(cls._dumped, info_arg=True),
        )

    def _dumped(self, _info: SerializationInfo) -> dict[K, Any]:
        return dict(self)


class _Masked:
    def __repr__(self) -> str:
        return "***"


_MASKED = _Masked()


class MaskedMapping(FrozenMapping[K, V]):
    """A `FrozenMapping` whose values don't print, and are `"***"` in JSON."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(dict.fromkeys(self, _MASKED))

    def _dumped(self, info: SerializationInfo) -> dict[K, Any]:
        return dict.fromkeys(self, "***") if info.mode_is_json() else dict(self)


class Problem(NamedTuple):
    """One thing that is wrong with a config.

    Attributes:
        field: the name of the field, empty where the problem is with several together.
        text: what was given (unless it may be secret) and what is allowed, the field's name included.
    """

    field: str
    text: str


class InvalidFieldsError(ConfigError):
    """Fields given to a config are wrong.

    Attributes:
        problems: all that was found.
    """

    def __init__(self, message: str, problems: Iterable[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def _freeze(value: Any) -> Any:
    try:
        return _frozen(value)
    except RecursionError:
        raise ValueError("it is nested too deeply, or holds itself") from None


def _frozen(value: Any) -> Any:
    if isinstance(value, (str, PurePath)):
        return _without_nul(value, str(value))
    if isinstance(value, Mapping):
        kind = type(value) if isinstance(value, FrozenMapping) else FrozenMapping
        return kind({_frozen(key): _frozen(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, (set, frozenset)):
        return frozenset(_frozen(item) for item in value)
    if isinstance(value, _SECRETS):
        _frozen(value.get_secret_value())  # type: ignore[attr-defined]  # refuses a NUL
    try:
        hash(value)
    except TypeError:
        raise ValueError(
            f"it holds an object of type {type(value).__name__}, which can change and so can't be part of a "
            "config; give text, numbers, lists or dicts"
        ) from None
    return value


def _freeze_fields(model: dict[str, Any]) -> None:
    """As `field_validator("*")(_freeze)` does, which would inspect `_freeze` anew for every field."""
    while model["type"] != "model-fields":
        model = model["schema"]
    for field in model["fields"].values():
        inner = field["schema"] if field["schema"]["type"] == "default" else field
        inner["schema"] = core_schema.no_info_after_validator_function(_freeze, inner["schema"])


def _without_nul(value: Any, text: str) -> Any:
    if "\0" in text:
        raise ValueError("it holds a NUL character, which no name, path or command may; remove it")
    return value


def _path_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _variable_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("a variable's name is made of A-Z, a-z, 0-9 and _, and doesn't begin with a digit")
    return name


# No quotes, `$`, `;` and the like: Lmod puts names that it doesn't know into the commands of a shell.
_MODULE = r"(?!-)[\w.+@:=/,~%^-]+"


def _module_name(name: str) -> str:
    _without_nul(name, name)
    if name.startswith(USE):
        if not name.removeprefix(USE).startswith(("/", "~/")):
            raise ValueError("the path behind use: begins with / or ~/")
    elif not re.fullmatch(_MODULE, name.removeprefix(RESTORE)):
        raise ValueError(
            "that is no module: give a name such as gcc or gcc/12, use:/a/folder of module files, or "
            "restore:NAME of a saved collection"
        )
    return name


PathText = Annotated[str, BeforeValidator(_path_text)]
VariableName = Annotated[str, AfterValidator(_variable_name)]
ModuleName = Annotated[str, AfterValidator(_module_name)]
NumberOrText = Annotated[str, Field(coerce_numbers_to_str=True)]


class ClusterConfig(BaseModel):
    """Which place to work in, and how to reach it.

    It can't be changed, hashes, and compares by all its fields, secrets included. Lists and dicts become
    tuples and `FrozenMapping`s. Fields that are not listed here are kept for the backend to validate, see
    `resolve`; until then they print as `***`. Only what is given is used: environment variables and files
    are read by `clustrix_core.profiles.load_config`.

    Secrets, the values of `environment_variables` and unclaimed fields are masked in the config's `repr` and
    in JSON (`model_dump_json()`, `model_dump(mode="json")`); `model_dump()` holds the last two as they are.

    A backend's own config is a subclass with `model_config = ConfigDict(extra="forbid")` and further fields;
    a backend of this machine that needs no more may use `ClusterConfig` itself.

    Raises:
        ConfigError: fields are wrong. The message lists all of them, and shows no secret.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        hide_input_in_errors=True,
        ser_json_inf_nan="constants",
        validate_default=True,
    )
    __slots__ = ("_hash",)

    cluster_type: str = Field(
        default="local", description="Name of the backend: local, ssh, slurm, or another that is installed."
    )
    cluster_host: str | None = Field(
        default=None, description="Host name, address, or alias in ~/.ssh/config."
    )
    cluster_port: int | None = Field(
        default=None, ge=1, le=65535, description="TCP port, 1 to 65535; none means the backend's default."
    )
    username: str | None = Field(default=None, description="User name on the host; none means the usual one.")
    password: SecretStr | None = Field(
        default=None, description="Password on the host. Never printed, and never saved to a file."
    )
    key_file: PathText | None = Field(default=None, description="Path, on this machine, of a private key.")
    remote_work_dir: PathText | None = Field(
        default=None, description="Folder on the host where relative paths start; none means the home folder."
    )
    local_work_dir: PathText | None = Field(
        default=None,
        description="Folder on this machine where relative paths start; none means the current folder.",
    )
    module_loads: tuple[ModuleName, ...] = Field(
        default=(),
        description="Environment modules to load, in order; also use:/a/folder and restore:COLLECTION.",
    )
    environment_variables: MaskedMapping[VariableName, NumberOrText] = Field(
        default=MaskedMapping(),
        description="Environment variables to set, names and values. Values don't print, but are saved to a "
        "file: give no secrets.",
    )
    pre_execution_commands: tuple[str, ...] = Field(
        default=(), description="Shell commands to run, in order, before anything else."
    )
    login_shell: bool = Field(
        default=False,
        description="Whether modules and commands start from what a login shell sets up.",
    )
    default_cores: int | None = Field(
        default=None, ge=1, description="CPU cores of a job, at least 1; none means the cluster's default."
    )
    default_memory: NumberOrText | None = Field(
        default=None,
        description="Memory of a job, such as 8G; a bare number is MiB. None means the cluster's default.",
    )
    default_time: NumberOrText | None = Field(
        default=None,
        description="Time limit of a job: [days-]hours:minutes:seconds, such as 02:00:00; a bare number is "
        "minutes. None means the cluster's default.",
    )
    default_partition: str | None = Field(
        default=None, description="Partition (queue) of a job; none means the cluster's default."
    )
    conda_env_name: str | None = Field(
        default=None, description="Name or path of the conda environment of jobs."
    )
    python_executable: PathText | None = Field(
        default=None, description="Command or path of the Python of jobs; none means that of the environment."
    )
    extensions: tuple[str, ...] = Field(
        default=(), description="Names of the extensions that wrap every operation, the outermost first."
    )
    audit_file: str | None = Field(
        default=None,
        description="Where the extension `audit` writes; none means a file in `~/.local/state/clustrix`.",
    )
    idle_timeout: float = Field(
        default=300.0,
        gt=0,
        description="Seconds without use after which a connection is closed; inf means never.",
    )
    op_timeout: float | None = Field(
        default=None, gt=0, description="Seconds that one operation may take; none means no limit."
    )

    def __init__(self, /, **fields: Any) -> None:
        problems = _freeze_unclaimed(fields, type(self))
        try:
            super().__init__(**fields)
        except ValidationError as failure:
            errors = failure.errors(include_url=False)
            problems = [*(_problem(error, type(self)) for error in errors), *problems]
        # Raised out here, so that the exception does not refer to pydantic's, which holds what was given.
        _refuse(problems)

    @field_validator("cluster_type")
    @classmethod
    def _not_blank(cls, name: str) -> str:
        if not name.strip():
            raise ValueError("it should be the name of a backend, such as local, ssh or slurm")
        return name

    @property
    def wants_environment(self) -> bool:
        """Whether anything has to be set up where programs are started."""
        return bool(
            self.module_loads or self.environment_variables or self.pre_execution_commands or self.login_shell
        )

    @classmethod
    def model_validate(cls, obj: Any, **_options: Any) -> "Self":
        """Make a config of a mapping of fields. Raises `ConfigError`, as calling the class does."""
        if isinstance(obj, cls):
            return obj
        if not isinstance(obj, Mapping):
            raise ConfigError(f"a config is made of a mapping of fields; {_kind(obj)} was given")
        return cls(**obj)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **_options: Any) -> "Self":
        """Make a config of a JSON object. Raises `ConfigError`, as calling the class does."""
        try:
            fields = from_json(json_data)
        except ValueError as failure:
            raise ConfigError(f"this is no valid JSON: {failure}") from None
        return cls.model_validate(fields)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Self":
        """The same config with some fields changed; unlike pydantic's, this validates them.

        Args:
            update: the fields to change.
            deep: makes no difference; a config holds nothing that can change.

        Raises:
            ConfigError: fields are wrong.
        """
        return type(self)(**{**given(self), **(update or {})})

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            # In a slot of its own, which pydantic neither copies nor pickles.
            object.__setattr__(self, "_hash", hash((type(self), self._identity())))
            return self._hash

    if TYPE_CHECKING:
        _hash: int
    else:

        def __setattr__(self, name: str, value: object) -> None:
            if not name.startswith("_"):
                # pydantic's own error would show the value.
                raise ConfigError(
                    f"{printable(name)} can't be set; make another config: config.model_copy(update={{...}})"
                )
            super().__setattr__(name, value)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler, /
    ) -> CoreSchema:
        # As `@model_serializer` does, whose module costs more to import than this class.
        schema = handler(source)
        model: dict[str, Any] = handler.resolve_ref_schema(schema)  # type: ignore[assignment]
        masking = core_schema.wrap_serializer_function_ser_schema(cls._dump_masked, when_used="json")
        model.setdefault("serialization", masking)
        _freeze_fields(model)
        return schema

    def _dump_masked(self, dump: SerializerFunctionWrapHandler) -> Any:
        masked = self.__copy__()
        object.__setattr__(masked, "__pydantic_extra__", dict.fromkeys(self.__pydantic_extra__ or (), "***"))
        return dump(masked)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        secret = secret_fields(type(self))
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if not field.repr or (name not in self.model_fields_set and name != "cluster_type"):
                continue
            if name in secret and value is not None:
                value = _MASKED
            yield name, value
        for name in self.__pydantic_extra__ or ():
            yield printable(name), _MASKED

    def _identity(self) -> tuple[Any, ...]:
        fields = (self.__dict__.get(name) for name in type(self).model_fields)
        return *fields, FrozenMapping(self.__pydantic_extra__ or {})


def given(config: ClusterConfig) -> dict[str, Any]:
    """The fields that were given to a config, in the order of its class, then those that it doesn't know."""
    names = [name for name in type(config).model_fields if name in config.model_fields_set]
    return {name: getattr(config, name) for name in names} | (config.__pydantic_extra__ or {})


def resolve(config: ClusterConfig, model: type[Model]) -> Model:
    """Validate a config against a backend's own model.

    Args:
        config: a config of any class.
        model: the backend's `config_model`.

    Returns:
        An instance of `model` with the fields that were given to `config`; `config` itself where it is one.

    Raises:
        ConfigError: fields are wrong, or the backend has no such fields. The message names the nearest ones.
    """
    if type(config) is model is ClusterConfig:
        _refuse(_left_over(model, given(config)))
    elif model is ClusterConfig or not isinstance(config, model):
        return claimed(model, given(config))
    return config


def claimed(model: type[Model], fields: Mapping[str, Any]) -> Model:
    """Make the config of a backend, which has to know all its fields. Raises `ConfigError`, as `resolve`."""
    problems = _left_over(model, fields)
    try:
        config = model(**fields)
    except InvalidFieldsError as error:
        problems = [*error.problems, *problems]
    _refuse(problems)
    return config


def _left_over(model: type[ClusterConfig], fields: Mapping[str, Any]) -> list[Problem]:
    """What `ClusterConfig` itself takes, and a backend of this machine that has no more fields doesn't."""
    if model is not ClusterConfig:
        return []
    unknown = [name for name in fields if name not in model.model_fields]
    problems = [_unknown(name, model) for name in unknown]
    if host := fields.get("cluster_host"):
        kind = fields.get("cluster_type", "local")
        text = f"cluster_type {kind!r} is this machine, but cluster_host is {host!r}: set cluster_type to "
        problems.append(Problem("", f"{text}'ssh' or 'slurm', or leave cluster_host out"))
    return problems


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise InvalidFieldsError(summary(problem.text for problem in problems), problems)


@cache
def secret_fields(model: type[BaseModel]) -> frozenset[str]:
    """The names of the fields whose type is, or holds, a `SecretStr`, `SecretBytes` or `Secret`."""
    fields = model.model_fields.items()
    return frozenset(name for name, field in fields if _holds_secret(field.annotation, frozenset({model})))


def _holds_secret(annotation: Any, seen: frozenset[Any]) -> bool:
    kind = get_origin(annotation) or annotation
    if isinstance(kind, type) and kind not in seen:
        if issubclass(kind, _SECRETS):
            return True
        if issubclass(kind, BaseModel):
            inner = (field.annotation for field in kind.model_fields.values())
            return any(_holds_secret(each, seen | {kind}) for each in inner)
    return any(_holds_secret(argument, seen) for argument in get_args(annotation))


def summary(problems: Iterable[str]) -> str:
    """One message for one or many problems."""
    texts = list(problems)
    if len(texts) == 1:
        return texts[0]
    return "\n- ".join([f"{len(texts)} problems in the config:", *texts])


def _freeze_unclaimed(fields: dict[str, Any], model: type[BaseModel]) -> list[Problem]:
    """Freeze, in place, the fields that `model` takes without knowing them."""
    problems = []
    if model.model_config.get("extra") == "allow":
        for name in [name for name in fields if name not in model.model_fields]:
            try:
                fields[name] = _freeze(fields[name])
            except ValueError as error:
                problems.append(Problem(name, f"{printable(name)}: {error}"))
    return problems


def _problem(error: ErrorDetails, model: type[BaseModel]) -> Problem:
    requirement = re.sub(r"^(Value error|Assertion failed), ", "", error["msg"])
    requirement = requirement.replace("Input should", "it should").replace("a valid tuple", "a list")
    if not error["loc"]:
        return Problem("", requirement)
    field, *inner = error["loc"]
    name = printable(field)
    if error["type"] == "extra_forbidden":
        return _unknown(str(field), model)
    if error["type"] == "missing":
        return Problem(str(field), f"{name}: it is required; give it")
    place = name + "".join(f"[{part!r}]" for part in inner if part != "[key]")
    shown = "" if _may_be_secret(error, model) else f"{_kind(error['input'])} was given; "
    return Problem(str(field), f"{place}: {shown}{requirement}")


def _unknown(field: str, model: type[BaseModel]) -> Problem:
    close = near(field, model.model_fields, at_most=1)
    advice = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(model.model_fields)}"
    return Problem(field, f"{printable(field)}: there is no such field; {advice}")


def _may_be_secret(error: ErrorDetails, model: type[BaseModel]) -> bool:
    field = error["loc"][0]
    if field == "environment_variables":
        return error["loc"][-1] != "[key]"
    return field not in model.model_fields or field in secret_fields(model)


def _kind(value: object) -> str:
    if value is None or isinstance(value, (bool, int, float, str)):
        text = repr(value)
        return text if len(text) <= 80 else f"{text[:77]}..."
    return f"a value of type {type(value).__name__}"
