from __future__ import annotations

import copy
import enum
import json
import math
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given as generated
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretBytes, SecretStr, ValidationError, model_validator

from clustrix_core.config import (
    ClusterConfig,
    FrozenMapping,
    InvalidFieldsError,
    MaskedMapping,
    claimed,
    given,
    resolve,
    secret_fields,
)
from clustrix_core.errors import ClustrixError, ConfigError

SECRET = "hunter2-hunter2"


class Proxy(BaseModel):
    model_config = ConfigDict(frozen=True)

    host: str
    token: SecretStr


class LabConfig(ClusterConfig):
    model_config = ConfigDict(extra="forbid")

    account: str | None = None
    retries: int = Field(default=3, ge=0)
    tags: list[str] = []  # noqa: RUF012 -- a third party may write this
    limits: dict[str, list[int]] = {}  # noqa: RUF012
    passphrase: SecretStr | None = None
    answers: tuple[SecretStr, ...] = ()
    blob: SecretBytes | None = None
    proxy: Proxy | None = None


def problems(**fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidFieldsError) as caught:
        ClusterConfig(**fields)
    return {problem.field: problem.text for problem in caught.value.problems}


# ---- fields


def test_the_defaults_name_the_local_backend_and_nothing_else() -> None:
    config = ClusterConfig()
    assert (config.cluster_type, config.idle_timeout, config.op_timeout) == ("local", 300.0, None)
    assert given(config) == {}


def test_every_field_is_described() -> None:
    for name, field in ClusterConfig.model_fields.items():
        assert field.description, name
    assert "Seconds" in (ClusterConfig.model_fields["idle_timeout"].description or "")


def test_the_signature_shows_the_fields() -> None:
    import inspect

    assert list(inspect.signature(ClusterConfig).parameters)[:2] == ["cluster_type", "cluster_host"]


def test_construction_reads_no_variables_and_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTRIX_USERNAME", "someone")
    (tmp_path / "clustrix.yml").write_text("username: other\n")
    monkeypatch.chdir(tmp_path)
    assert ClusterConfig().username is None


@pytest.mark.parametrize("port", [1, 22, 65535, "2222"])
def test_ports_that_are_allowed(port: object) -> None:
    assert ClusterConfig(cluster_port=port).cluster_port == int(str(port))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cluster_port", 0),
        ("cluster_port", 65536),
        ("cluster_port", "ssh"),
        ("default_cores", 0),
        ("idle_timeout", 0),
        ("idle_timeout", -1),
        ("idle_timeout", math.nan),
        ("op_timeout", 0),
        ("cluster_type", ""),
        ("cluster_type", " \t\n"),
        ("cluster_type", None),
        ("cluster_host", 5),
        ("username", ["me"]),
        ("module_loads", "gcc"),
        ("module_loads", [1]),
        ("extensions", "trace"),
        ("environment_variables", ["A=1"]),
        ("password", 5),
    ],
)
def test_values_that_are_refused(field: str, value: object) -> None:
    assert list(problems(**{field: value})) == [field]


@pytest.mark.parametrize("name", ["1A", "A-B", "", "A B", "A\n", "É", "A=B"])
def test_variable_names_are_posix_names(name: str) -> None:
    text = problems(environment_variables={name: SECRET})["environment_variables"]
    assert repr(name) in text
    assert SECRET not in text


def test_numbers_are_taken_where_text_means_a_number() -> None:
    config = ClusterConfig(environment_variables={"N": 4}, default_memory=4096, default_time=60)
    assert config.environment_variables == {"N": "4"}
    assert (config.default_memory, config.default_time) == ("4096", "60")


def test_paths_may_be_path_objects() -> None:
    config = ClusterConfig(
        key_file=Path("~/.ssh/id"), remote_work_dir=Path("/scratch"), local_work_dir=Path("x")
    )
    assert (config.key_file, config.remote_work_dir, config.local_work_dir) == ("~/.ssh/id", "/scratch", "x")


def test_undecodable_bytes_survive() -> None:
    name = os.fsdecode(b"/data/\xff")
    assert ClusterConfig(remote_work_dir=name).remote_work_dir == name


@pytest.mark.parametrize(
    "fields",
    [
        {"cluster_host": "a\0"},
        {"cluster_type": "a\0"},
        {"password": "a\0"},
        {"module_loads": ["a\0"]},
        {"environment_variables": {"A": "a\0"}},
        {"other": "a\0"},
        {"other": [{"x": ("a\0",)}]},
        {"other": {"a\0": 1}},
        {"other": Path("a\0")},
        {"other": SecretStr("a\0")},
    ],
)
def test_a_nul_is_refused(fields: dict[str, Any]) -> None:
    (text,) = problems(**fields).values()
    assert "NUL" in text


def test_an_endless_timeout_is_allowed() -> None:
    assert ClusterConfig(idle_timeout=math.inf).idle_timeout == math.inf


def test_a_field_may_be_called_self() -> None:
    assert given(ClusterConfig(self=1)) == {"self": 1}


# ---- freezing


def test_lists_and_dicts_become_immutable_at_any_depth() -> None:
    config = ClusterConfig(module_loads=["gcc"], other=[{"a": [1, {2, 3}]}], env={"k": ["v"]})
    assert config.module_loads == ("gcc",)
    assert config.other == (FrozenMapping({"a": (1, frozenset({2, 3}))}),)
    assert type(config.env) is FrozenMapping
    assert type(config.environment_variables) is MaskedMapping
    hash(config)


def test_a_subclass_with_mutable_types_and_defaults_is_hashable() -> None:
    config = LabConfig()
    assert (config.tags, config.limits) == ((), FrozenMapping())
    given_config = LabConfig(tags=["a"], limits={"x": [1]})
    assert given_config.limits == {"x": (1,)}
    assert len({config, given_config, LabConfig(limits={"x": (1,)}, tags=("a",))}) == 2


def test_what_was_given_can_change_without_changing_the_config() -> None:
    modules, extra = ["gcc"], {"a": [1]}
    config = ClusterConfig(module_loads=modules, extra=extra)
    modules.append("x")
    extra["a"].append(2)
    assert config == ClusterConfig(module_loads=["gcc"], extra={"a": [1]})


def test_objects_that_can_change_are_refused() -> None:
    text = problems(other=bytearray(SECRET.encode()))["other"]
    assert "bytearray" in text
    assert SECRET not in text


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert "holds itself" in problems(other=endless)["other"]


def test_fields_cannot_be_set_and_the_error_hides_the_value() -> None:
    config = ClusterConfig()
    for name in ("password", "username", "other"):
        with pytest.raises(ConfigError, match="model_copy") as caught:
            setattr(config, name, SECRET)
        assert SECRET not in str(caught.value)
    assert given(config) == {}


def test_frozen_mapping() -> None:
    mapping = FrozenMapping({"b": 1, "a": 2})
    assert repr(mapping) == "{'b': 1, 'a': 2}"
    assert mapping == {"a": 2, "b": 1} == FrozenMapping([("a", 2), ("b", 1)])
    assert hash(mapping) == hash(FrozenMapping({"a": 2, "b": 1}))
    assert mapping != FrozenMapping({"a": 2})
    assert not hasattr(mapping, "__setitem__")
    assert (len(mapping), list(mapping), mapping["a"]) == (2, ["b", "a"], 2)
    for twin in (pickle.loads(pickle.dumps(mapping)), copy.deepcopy(mapping), copy.copy(mapping)):
        assert twin == mapping
        assert hash(twin) == hash(mapping)


def test_json_shows_no_secret_no_variable_and_no_unclaimed_field() -> None:
    config = ClusterConfig(
        environment_variables={"A": SECRET},
        password=SECRET,
        module_loads=["gcc"],
        other=[SECRET],
        what=object(),
    )
    shown = json.loads(config.model_dump_json(exclude_unset=True))
    assert shown == config.model_dump(mode="json", exclude_unset=True)
    assert shown.pop("password").strip("*") == ""
    assert shown == {
        "environment_variables": {"A": "***"},
        "module_loads": ["gcc"],
        "other": "***",
        "what": "***",
    }
    assert config.model_dump(include={"environment_variables", "other"}) == {
        "environment_variables": {"A": SECRET},
        "other": (SECRET,),
    }
    assert json.loads(LabConfig(environment_variables={"A": SECRET}).model_dump_json(exclude_unset=True)) == {
        "environment_variables": {"A": "***"}
    }
    assert json.loads(config.model_dump_json(include={"cluster_type"})) == {"cluster_type": "local"}


def test_json_of_configs_in_other_models_is_masked_too() -> None:
    class Campaign(BaseModel):
        places: list[ClusterConfig]

    class Nested(ClusterConfig):
        model_config = ConfigDict(extra="forbid")
        inner: ClusterConfig

        @model_validator(mode="after")
        def fine(self) -> Nested:
            return self

    config = ClusterConfig(passphrase=SECRET)
    assert json.loads(Campaign(places=[config]).model_dump_json(exclude_unset=True)) == {
        "places": [{"passphrase": "***"}]
    }
    assert json.loads(Nested(inner=config).model_dump_json(exclude_unset=True)) == {
        "inner": {"passphrase": "***"}
    }


def test_the_json_schemas_have_the_fields() -> None:
    assert "cluster_type" in ClusterConfig.model_json_schema()["properties"]
    assert "cluster_type" in ClusterConfig.model_json_schema(mode="serialization")["properties"]


def test_variables_do_not_print_on_their_own() -> None:
    variables = ClusterConfig(environment_variables={"TOKEN": SECRET}).environment_variables
    assert f"{variables} {variables!r}" == "{'TOKEN': ***} {'TOKEN': ***}"
    assert (variables["TOKEN"], variables) == (SECRET, FrozenMapping({"TOKEN": SECRET}))
    for twin in (pickle.loads(pickle.dumps(variables)), copy.deepcopy(variables)):
        assert (type(twin), twin, hash(twin)) == (MaskedMapping, variables, hash(variables))


def test_names_of_unclaimed_fields_print_on_one_line() -> None:
    shown = repr(ClusterConfig(**{"a\nb\x1b[31m": 1}))
    assert shown == r"ClusterConfig(cluster_type='local', a\nb\x1b[31m=***)"
    with pytest.raises(ConfigError) as caught:
        setattr(ClusterConfig(), "a\nb", 1)
    assert str(caught.value).isprintable()


# ---- hash, equality, copies

CHANGES: list[dict[str, Any]] = [
    {"cluster_host": "h"},
    {"password": SECRET},
    {"password": "other"},
    {"module_loads": ["a"]},
    {"environment_variables": {"A": "1"}},
    {"environment_variables": {"A": "2"}},
    {"extra": 1},
    {"extra": None},
    {"another": 1},
    {"extra": SecretStr("x")},
]


def test_every_field_counts_in_equality_and_hash() -> None:
    configs = [ClusterConfig(), *(ClusterConfig(**change) for change in CHANGES), LabConfig()]
    assert len(set(configs)) == len(configs)
    assert len({hash(config) for config in configs}) == len(configs)


@pytest.mark.parametrize("change", CHANGES)
def test_equal_fields_make_equal_configs(change: dict[str, Any]) -> None:
    assert ClusterConfig(**change) == ClusterConfig(**copy.deepcopy(change))
    assert hash(ClusterConfig(**change)) == hash(ClusterConfig(**copy.deepcopy(change)))


def test_a_field_given_as_its_default_is_equal_to_one_left_out() -> None:
    assert ClusterConfig(cluster_type="local") == ClusterConfig()
    assert hash(ClusterConfig(cluster_type="local")) == hash(ClusterConfig())


def test_the_class_counts() -> None:
    assert LabConfig() != ClusterConfig()
    assert ClusterConfig() != "local"


def test_the_hash_is_computed_once() -> None:
    class Counted:
        count = 0

        def __hash__(self) -> int:
            Counted.count += 1
            return 1

    config = ClusterConfig(other=Counted())
    Counted.count = 0  # freezing asked once whether it hashes
    places = {config: "found"}
    assert [places[config] for _ in range(10)] == ["found"] * 10
    assert Counted.count == 1


@pytest.mark.parametrize("change", CHANGES)
def test_copies_keep_everything(change: dict[str, Any]) -> None:
    config = ClusterConfig(**change)
    hash(config)
    for twin in (
        pickle.loads(pickle.dumps(config)),
        copy.copy(config),
        copy.deepcopy(config),
        config.model_copy(),
    ):
        assert twin == config
        assert hash(twin) == hash(config)
        assert twin.model_fields_set == config.model_fields_set
    assert pickle.loads(pickle.dumps(ClusterConfig(password=SECRET))).password.get_secret_value() == SECRET


def test_model_copy_validates_and_forgets_the_old_hash() -> None:
    config = ClusterConfig(cluster_host="a", password=SECRET, other=[1])
    hash(config)
    changed = config.model_copy(update={"cluster_host": "b", "module_loads": ["gcc"]})
    assert changed == ClusterConfig(cluster_host="b", password=SECRET, other=(1,), module_loads=("gcc",))
    assert hash(changed) != hash(config)
    with pytest.raises(ConfigError, match="cluster_port"):
        config.model_copy(update={"cluster_port": 0})


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
field_values = st.fixed_dictionaries(
    {},
    optional={
        "cluster_host": st.sampled_from([None, "a", "b"]),
        "cluster_port": st.sampled_from([None, 1, 22]),
        "password": st.sampled_from([None, "x", "y"]),
        "module_loads": st.lists(st.sampled_from("ab"), max_size=2),
        "environment_variables": st.dictionaries(st.sampled_from("AB"), st.sampled_from("12"), max_size=2),
        "x_1": values,
        "x_2": values,
    },
)


@generated(field_values, field_values)
def test_random_configs(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = ClusterConfig(**one), ClusterConfig(**other)
    defaults = {"module_loads": [], "environment_variables": {}, "cluster_host": None, "cluster_port": None}
    same = {"password": None, **defaults, **one} == {"password": None, **defaults, **other}
    assert (first == second) is same
    assert len({first, second}) == 2 - same
    reordered = ClusterConfig(**dict(reversed(one.items())))
    assert reordered == first
    assert hash(reordered) == hash(first)
    unpickled = pickle.loads(pickle.dumps(first))
    assert unpickled == first
    assert {first: 1}[unpickled] == 1


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_pickles_are_found_in_a_process_that_hashes_otherwise(tmp_path: Path, seed: str) -> None:
    fields = {
        "cluster_host": "host",
        "password": SECRET,
        "module_loads": ["a", "b"],
        "environment_variables": {"A": "1", "B": "2"},
        "other": {"deep": [{"x": "y"}, None, 1.5]},
    }
    config = ClusterConfig(**fields)
    hash(config)
    (tmp_path / "config").write_bytes(pickle.dumps({config: "found"}))
    script = (
        "import json, pickle, sys; from clustrix_core.config import ClusterConfig\n"
        "places = pickle.load(open(sys.argv[1], 'rb')); fields = json.loads(sys.argv[2])\n"
        "(config,) = places\n"
        "built = ClusterConfig(**fields); assert config == built and hash(config) == hash(built)\n"
        "print(places[built], {built: 'too'}[config], hash(config))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "config", json.dumps(fields)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    found, too, other_hash = outcome.stdout.split()
    assert (found, too) == ("found", "too")
    assert int(other_hash) != hash(config)


# ---- what is shown


def test_secrets_variables_and_unclaimed_fields_are_masked() -> None:
    config = ClusterConfig(
        cluster_host="host",
        password=SECRET,
        environment_variables={"TOKEN": SECRET},
        passphrase=SECRET,
        nested={"a": [SECRET]},
    )
    assert repr(config) == (
        "ClusterConfig(cluster_type='local', cluster_host='host', password=***, "
        "environment_variables={'TOKEN': ***}, passphrase=***, nested=***)"
    )
    assert SECRET not in str(config) + f"{config}"


def test_secrets_of_subclasses_are_masked() -> None:
    proxy = Proxy(host="p", token=SecretStr(SECRET))
    config = LabConfig(
        account="a", passphrase=SECRET, answers=[SECRET], blob=SECRET.encode(), proxy=proxy, password=None
    )
    assert repr(config) == (
        "LabConfig(cluster_type='local', password=None, account='a', passphrase=***, answers=***, "
        "blob=***, proxy=***)"
    )


def test_secret_fields_are_known_by_their_type() -> None:
    assert secret_fields(ClusterConfig) == {"password"}
    assert secret_fields(LabConfig) == {"password", "passphrase", "answers", "blob", "proxy"}


def test_secrets_of_any_type_are_known() -> None:
    if not hasattr(pydantic, "Secret"):  # it came with pydantic 2.8
        return

    class DatedConfig(ClusterConfig):
        day: pydantic.Secret[int] | None = None
        names: tuple[pydantic.Secret[str], ...] = ()

    assert secret_fields(DatedConfig) == {"password", "day", "names"}
    config = DatedConfig(day=1867, names=[SECRET])
    assert repr(config) == "DatedConfig(cluster_type='local', day=***, names=***)"
    assert {config: 1}[DatedConfig(day=1867, names=[SECRET])] == 1
    for wrong in ({"day": SECRET}, {"names": [SECRET + "\0"]}):
        with pytest.raises(ConfigError) as caught:
            DatedConfig(**wrong)
        assert SECRET not in str(caught.value)


def test_a_model_that_holds_itself_is_searched_once() -> None:
    class Hop(BaseModel):
        host: str
        via: Hop | None = None

    Hop.model_rebuild(_types_namespace={"Hop": Hop})

    class HopConfig(ClusterConfig):
        hops: tuple[Hop, ...] = ()

    HopConfig.model_rebuild(_types_namespace={"Hop": Hop})
    assert secret_fields(HopConfig) == {"password"}


# ---- errors


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        ClusterConfig(cluster_port=70000, cluster_type=" ", username=["x"], other=bytearray())
    text = str(caught.value)
    assert text.startswith("4 problems in the config:\n- cluster_type: ' ' was given; ")
    assert "\n- cluster_port: 70000 was given; it should be less than or equal to 65535\n" in text
    assert "\n- username: a value of type list was given; it should be a valid string\n" in text
    assert isinstance(caught.value, (ClustrixError, ValueError))
    assert not isinstance(caught.value, ValidationError)


def test_an_item_is_named() -> None:
    assert problems(module_loads=["a", 5])["module_loads"].startswith("module_loads[1]: 5 was given; ")


def test_a_scalar_in_the_place_of_a_list() -> None:
    with pytest.raises(ConfigError, match="^extensions: 'trace' was given; it should be a list$"):
        ClusterConfig(extensions="trace")


def test_errors_can_be_pickled() -> None:
    with pytest.raises(InvalidFieldsError) as caught:
        ClusterConfig(cluster_port=0)
    twin = pickle.loads(pickle.dumps(caught.value))
    assert (str(twin), twin.problems) == (str(caught.value), caught.value.problems)


class PickyConfig(LabConfig):
    @model_validator(mode="after")
    def _refuse(self) -> PickyConfig:
        raise ValueError("account and retries don't go together")


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (ClusterConfig, {"password": [SECRET]}),
        (ClusterConfig, {"password": {"a": SECRET}}),
        (ClusterConfig, {"password": SECRET + "\0"}),
        (ClusterConfig, {"environment_variables": {"A": [SECRET]}}),
        (ClusterConfig, {"environment_variables": SECRET}),
        (ClusterConfig, {"environment_variables": [f"A={SECRET}"]}),
        (ClusterConfig, {"pasword": SECRET + "\0"}),
        (LabConfig, {"pasword": SECRET}),
        (LabConfig, {"passphrase": 5, "password": SECRET}),
        (LabConfig, {"answers": [[SECRET]]}),
        (LabConfig, {"answers": SECRET}),
        (LabConfig, {"proxy": {"host": 1, "token": [SECRET]}}),
        (LabConfig, {"proxy": SECRET}),
        (PickyConfig, {"password": SECRET, "passphrase": SECRET}),
    ],
)
def test_no_secret_is_shown(model: type[ClusterConfig], fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        model(**fields)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in shown
    assert caught.value.__context__ is None


def test_a_problem_of_several_fields_together() -> None:
    with pytest.raises(ConfigError, match=r"^account and retries don't go together$"):
        PickyConfig()


def test_a_required_field_that_is_missing() -> None:
    class SiteConfig(ClusterConfig):
        site: str

    with pytest.raises(ConfigError, match=r"^site: it is required"):
        SiteConfig(password=SECRET)


@pytest.mark.parametrize("text", ['{"cluster_port": 0}', b'{"cluster_port": 0}', "{", "[]", '"x"'])
def test_json_is_validated_alike(text: str | bytes) -> None:
    with pytest.raises(ConfigError):
        ClusterConfig.model_validate_json(text)


def test_model_validate() -> None:
    config = ClusterConfig(cluster_host="h", other=[1])
    assert ClusterConfig.model_validate(config) is config
    assert ClusterConfig.model_validate({"cluster_host": "h", "other": [1]}) == config
    assert ClusterConfig.model_validate_json('{"cluster_host": "h", "other": [1]}') == config
    for wrong in ({"cluster_port": 0}, [], None):
        with pytest.raises(ConfigError):
            ClusterConfig.model_validate(wrong)


def test_names_in_messages_are_printable() -> None:
    with pytest.raises(ConfigError) as caught:
        LabConfig(**{"bad\x1b[31m": 1})
    assert "\x1b" not in str(caught.value)


# ---- resolving


def test_resolve_validates_the_fields_that_were_kept() -> None:
    config = ClusterConfig(cluster_host="h", account="a", retries="5", tags=["x"], password=SECRET)
    resolved = resolve(config, LabConfig)
    assert type(resolved) is LabConfig
    assert (resolved.account, resolved.retries, resolved.tags) == ("a", 5, ("x",))
    assert resolved.model_fields_set == {"cluster_host", "account", "retries", "tags", "password"}
    assert resolved.password == SecretStr(SECRET)
    assert resolve(resolved, LabConfig) is resolved


def test_a_backend_of_this_machine_may_need_no_fields_of_its_own() -> None:
    config = ClusterConfig(local_work_dir="/tmp")
    assert resolve(config, ClusterConfig) is config
    for other in (ClusterConfig(acount="a", cluster_host="h"), LabConfig(account="a", cluster_host="h")):
        with pytest.raises(InvalidFieldsError, match="2 problems") as caught:
            resolve(other, ClusterConfig)
        unknown, host = caught.value.problems
        assert "there is no such field" in unknown.text
        assert host == ("", host.text)
        assert host.text.startswith("cluster_type 'local' is this machine, but cluster_host is 'h': set")
    with pytest.raises(InvalidFieldsError, match="3 problems") as caught:
        claimed(ClusterConfig, {"acount": "a", "cluster_host": "h", "cluster_port": 0})
    assert [problem.field for problem in caught.value.problems] == ["cluster_port", "acount", ""]


@pytest.mark.parametrize(
    ("typo", "meant"), [("usernam", "username"), ("acount", "account"), ("retry", "retries")]
)
def test_a_misspelt_field_gets_the_nearest_name(typo: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"^{typo}: there is no such field; did you mean {meant}"):
        resolve(ClusterConfig(**{typo: SECRET}), LabConfig)


def test_a_field_like_no_other_gets_the_list() -> None:
    with pytest.raises(
        ConfigError, match=r"^zzzzzz: there is no such field; the fields are cluster_type, .*, proxy$"
    ):
        resolve(ClusterConfig(zzzzzz=1), LabConfig)


def test_resolve_tells_wrong_values_and_unknown_fields_together() -> None:
    with pytest.raises(ConfigError, match="2 problems") as caught:
        resolve(ClusterConfig(retries=-1, colour="red"), LabConfig)
    assert "retries: -1 was given" in str(caught.value)
    assert "red" not in str(caught.value)


def test_enums_and_other_frozen_values_are_kept() -> None:
    class Colour(enum.Enum):
        RED = "red"

    class ColourConfig(ClusterConfig):
        colour: Colour = Colour.RED

    assert resolve(ClusterConfig(colour="red"), ColourConfig).colour is Colour.RED
    assert hash(ColourConfig()) == hash(ColourConfig(colour=Colour.RED))
