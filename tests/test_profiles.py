from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as generated
from hypothesis import settings
from hypothesis import strategies as st

from clustrix_core import configfile, profiles
from clustrix_core.config import ClusterConfig, given, resolve
from clustrix_core.discovery import load_backend
from clustrix_core.errors import BackendNotFoundError, ConfigError
from clustrix_core.profiles import (
    ConfigWarning,
    configure,
    explain_config,
    fill_secrets,
    get_config,
    list_profiles,
    load_config,
    save_config,
)

SECRET = "hunter2-hunter2"
STRANGER = 54321

BACKEND = """
import datetime
import enum
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from clustrix_core.config import ClusterConfig
from clustrix_core.hookspecs import API_VERSION, REQUIRED, arguments, hookimpl


class Mode(str, enum.Enum):
    FAST = "fast"
    SAFE = "safe"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Proxy(BaseModel):
    model_config = ConfigDict(frozen=True)

    host: str
    port: int | None = None


class LabConfig(ClusterConfig):
    model_config = ConfigDict(extra="forbid")

    account: str | None = None
    strict: bool = False
    ratio: float | None = None
    tags: list[str] | None = None
    hosts: Sequence[str] = ()
    names: frozenset[str] = frozenset()
    limits: dict[str, list[int]] = {}
    either: str | tuple[str, ...] = ""
    mode: Mode = Mode.FAST
    level: Level = Level.LOW
    folder: Path | None = None
    patience: datetime.timedelta | None = None
    proxy: Proxy | None = None
    passphrase: SecretStr | None = None

    @model_validator(mode="after")
    def _refuse(self):
        if self.account == "impossible":
            raise ValueError("this can't be")
        return self


class LabBackend:
    api_version = API_VERSION
    config_model = LabConfig

    def __init__(self, config):
        self.config = config


for hook in REQUIRED:
    scope = {}
    exec(f"def {hook}(self, {', '.join(arguments(hook))}):\\n    raise NotImplementedError", scope)
    setattr(LabBackend, hook, hookimpl(scope[hook]))
"""


@pytest.fixture(scope="module")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a distribution with the backend `lab`."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "clustrix_lab.py").write_text(BACKEND)
    info = folder / "clustrix_lab-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: clustrix-lab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[clustrix.backends]\nlab = clustrix_lab:LabBackend\n")
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, lab_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of our own, with the current folder two levels below."""
    folder = tmp_path / "home"
    (folder / "work" / "project").mkdir(parents=True)
    for name in [name for name in os.environ if name.startswith(("CLUSTRIX_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder / "work" / "project")
    monkeypatch.syspath_prepend(str(lab_folder))
    return folder


@pytest.fixture(autouse=True)
def private_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def project(home: Path) -> Path:
    return home / "work" / "project"


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def user_file(home: Path) -> Path:
    return home / ".config" / "clustrix" / "clustrix.yml"


def failure(**arguments: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(**arguments)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


# ---- precedence


def test_without_file_and_variables_there_are_the_defaults() -> None:
    explained = explain_config()
    assert type(explained.config) is load_backend("local").config_model
    assert given(explained.config) == {}
    assert set(explained.origins) == set(type(explained.config).model_fields)
    assert set(explained.origins.values()) == {"default"}


def test_each_layer_wins_over_the_next(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        project / "clustrix.yml",
        "cluster_type: lab\naccount: file\nusername: file\ncluster_host: file\n",
    )
    monkeypatch.setenv("CLUSTRIX_USERNAME", "variable")
    monkeypatch.setenv("CLUSTRIX_CLUSTER_HOST", "variable")
    explained = explain_config(cluster_host="argument")
    config = explained.config
    assert (config.account, config.username, config.cluster_host) == ("file", "variable", "argument")
    assert config.default_cores is None
    assert explained.origins["account"] == f"{path}:2"
    assert explained.origins["username"] == "CLUSTRIX_USERNAME"
    assert explained.origins["cluster_host"] == "argument"
    assert explained.origins["default_cores"] == "default"
    assert config.model_fields_set == {"cluster_type", "account", "username", "cluster_host"}
    assert load_config(cluster_host="argument") == config


def test_a_profile_named_in_the_call_is_taken_as_the_file_has_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project / "clustrix.yml", "profiles:\n  a: {cluster_type: lab, username: file}\n  b: {}\n")
    monkeypatch.setenv("CLUSTRIX_USERNAME", "variable")
    monkeypatch.setenv("CLUSTRIX_ACCOUNT", "variable")
    monkeypatch.setenv("CLUSTRIX_PROFILE", "b")
    config = load_config("a")
    assert (config.username, config.account) == ("file", None)
    assert load_config("a", username="argument").username == "argument"
    monkeypatch.setenv("CLUSTRIX_PROFILE", "a")
    assert load_config().username == "variable"


def test_a_named_profile_gets_the_secrets_that_it_leaves_out_from_variables(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(
        project / "clustrix.yml",
        "profiles:\n"
        "  bare: {cluster_type: lab, username: file, password: }\n"
        "  full: {cluster_type: lab, password: from-file}\n",
    )
    monkeypatch.setenv("CLUSTRIX_PASSWORD", SECRET)
    monkeypatch.setenv("CLUSTRIX_PASSPHRASE", "phrase")
    monkeypatch.setenv("CLUSTRIX_USERNAME", "variable")
    explained = explain_config("bare")
    assert explained.config == load_config(
        cluster_type="lab",
        username="file",
        password=SECRET,
        passphrase="phrase",
        path=write(project / "e", ""),
    )
    assert explained.origins["password"] == "CLUSTRIX_PASSWORD"
    assert explained.origins["username"] == f"{path}:2"
    assert explained.origins["account"] == "default"
    full = load_config("full")
    assert password(full) == "from-file"
    assert password(load_config("bare", password="argument")) == "argument"
    assert load_config("bare", password=None).password is None
    assert password(configure(profile="bare")) == SECRET


def test_what_a_warning_of_saving_advises_works(monkeypatch: pytest.MonkeyPatch) -> None:
    config = lab(username="me", password=SECRET, passphrase="phrase")
    with pytest.warns(ConfigWarning, match="CLUSTRIX_PASSWORD"):
        save_config(config, profile="p")
    monkeypatch.setenv("CLUSTRIX_PASSWORD", SECRET)
    monkeypatch.setenv("CLUSTRIX_PASSPHRASE", "phrase")
    assert load_config("p") == config


def test_secrets_are_filled_into_a_config(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ClusterConfig(cluster_type="lab", username="me", account="a")
    assert fill_secrets(config) == resolve(config, load_backend("lab").config_model)
    monkeypatch.setenv("CLUSTRIX_PASSWORD", SECRET)
    monkeypatch.setenv("CLUSTRIX_PASSPHRASE", "phrase")
    monkeypatch.setenv("CLUSTRIX_USERNAME", "variable")
    assert fill_secrets(config) == lab(username="me", account="a", password=SECRET, passphrase="phrase")
    for kept in ("own", None):
        given_one = config.model_copy(update={"password": kept, "passphrase": "other"})
        assert fill_secrets(given_one) == resolve(given_one, load_backend("lab").config_model)
    with pytest.raises(ConfigError, match=r"^acount: there is no such field; did you mean account"):
        fill_secrets(ClusterConfig(cluster_type="lab", acount="a"))


def password(config: ClusterConfig) -> str | None:
    return config.password.get_secret_value() if config.password else None


def test_cluster_type_is_read_first_from_the_layer_that_wins(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project / "clustrix.yml", "cluster_type: nowhere\naccount: a\n")
    monkeypatch.setenv("CLUSTRIX_CLUSTER_TYPE", "lab")
    assert load_config().account == "a"
    monkeypatch.setenv("CLUSTRIX_CLUSTER_TYPE", "neither")
    assert load_config(cluster_type="lab").account == "a"


def test_an_unknown_backend_is_told_with_its_origin(project: Path) -> None:
    path = write(project / "clustrix.yml", "\ncluster_type: lab0\n")
    with pytest.raises(BackendNotFoundError, match=f"^{path}:2: .*lab0"):
        load_config()
    with pytest.raises(BackendNotFoundError, match=r"^no backend 'xyz'"):
        load_config(cluster_type="xyz")


def test_a_blank_cluster_type_is_told_with_its_origin(project: Path) -> None:
    path = write(project / "clustrix.yml", "cluster_type: ' '\n")
    assert failure().startswith(f"{path}:1: cluster_type: ' ' was given")


def test_fields_that_do_not_go_together_are_told_with_their_origins(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(project / "clustrix.yml", "username: me\ncluster_host: a\ndefault_cores: 2\n")
    assert failure().startswith(f"{path}:2: cluster_type 'local' is this machine")
    monkeypatch.setenv("CLUSTRIX_CLUSTER_TYPE", "local")
    assert failure().startswith(f"{path}:2, CLUSTRIX_CLUSTER_TYPE: cluster_type 'local'")
    assert failure(cluster_host="b").startswith("CLUSTRIX_CLUSTER_TYPE: cluster_type 'local'")
    monkeypatch.delenv("CLUSTRIX_CLUSTER_TYPE")
    assert failure(cluster_host="b").startswith("cluster_type 'local'")


def test_a_problem_that_names_no_field_is_told_with_the_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(project / "clustrix.yml", "cluster_type: lab\nusername: me\naccount: impossible\n")
    monkeypatch.setenv("CLUSTRIX_CLUSTER_HOST", "h")
    assert failure(default_cores=1) == f"{path}, CLUSTRIX_CLUSTER_HOST: this can't be"


def test_wrong_values_of_all_layers_are_told_at_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(project / "clustrix.yml", "cluster_type: lab\ncluster_port: 70000\nacount: x\n")
    monkeypatch.setenv("CLUSTRIX_DEFAULT_CORES", "many")
    monkeypatch.setenv("CLUSTRIX_PASSPHRASE", SECRET + "x")
    text = failure(idle_timeout=0, passphrase=[SECRET])
    assert text.startswith("5 problems in the config:\n- ")
    assert f"\n- {path}:2: cluster_port: '70000' was given; it should be less than or equal to 65535" in text
    assert f"\n- {path}:3: acount: there is no such field; did you mean account?" in text
    assert "\n- CLUSTRIX_DEFAULT_CORES: default_cores: 'many' was given; it should be a valid integer" in text
    assert "\n- idle_timeout: 0 was given; it should be greater than 0" in text
    assert "\n- passphrase: it should be a valid string" in text


# ---- variables


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("username", "me", "me"),
        ("cluster_port", "2222", 2222),
        ("strict", "yes", True),
        ("idle_timeout", "inf", float("inf")),
        ("default_time", "02:00:00", "02:00:00"),
        ("username", "[me]", "[me]"),
        ("module_loads", "gcc/12", ("gcc/12",)),
        ("module_loads", "gcc/12, openmpi  hdf5,", ("gcc/12", "openmpi", "hdf5")),
        ("module_loads", "[gcc/12, no, 1.10]", ("gcc/12", "no", "1.10")),
        ("module_loads", '["gcc/12", "use:/a b"]', ("gcc/12", "use:/a b")),
        ("module_loads", ",", ()),
        ("extensions", "trace,audit", ("trace", "audit")),
        ("tags", "a b", ("a", "b")),
        ("names", "a b a", frozenset("ab")),
        ("hosts", "a b", ("a", "b")),
        ("hosts", "[a, 1]", ("a", "1")),
        ("either", "a b", "a b"),
        ("either", "[a, b]", ("a", "b")),
        ("pre_execution_commands", "source /etc/profile, then", ("source /etc/profile, then",)),
        ("pre_execution_commands", "ulimit -c 0\nsource x\n", ("ulimit -c 0", "source x")),
        ("environment_variables", "{OMP_NUM_THREADS: 4, A: no}", {"OMP_NUM_THREADS": "4", "A": "no"}),
        ("environment_variables", '{"A": "é", "B": 1.0}', {"A": "é", "B": "1.0"}),
        ("limits", "{a: [1, 2]}", {"a": (1, 2)}),
        ("mode", "safe", "safe"),
    ],
)
def test_variables(name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CLUSTRIX_{name.upper()}", text)
    explained = explain_config(cluster_type="lab")
    assert getattr(explained.config, name) == value
    assert explained.origins[name] == f"CLUSTRIX_{name.upper()}"


def test_a_nested_model_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTRIX_PROXY", "{host: gate, port: 22}")
    assert load_config(cluster_type="lab").proxy.port == 22


def test_an_empty_variable_counts_as_not_set(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / "clustrix.yml", "username: file\n")
    for name in ("USERNAME", "CLUSTER_PORT", "PROFILE", "CONFIG", "USERNAM"):
        monkeypatch.setenv(f"CLUSTRIX_{name}", "")
    assert load_config().username == "file"


def test_a_variable_that_resembles_a_field_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTRIX_PASWORD", SECRET)
    assert failure() == "CLUSTRIX_PASWORD: pasword: there is no such field; did you mean password?"


def test_a_variable_that_resembles_no_field_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTRIX_ZZZ", SECRET)
    with pytest.warns(ConfigWarning, match="CLUSTRIX_ZZZ is passed over") as warned:
        assert load_config() == load_config(profile=None)
    assert SECRET not in str(warned[0].message)


def test_a_password_from_a_variable_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTRIX_PASSWORD", SECRET)
    config = load_config()
    assert config.password is not None
    assert config.password.get_secret_value() == SECRET
    assert SECRET not in repr(config)


@pytest.mark.parametrize("text", ["[a", "{a: 1", "[!!python/name:os.system ]"])
def test_broken_yaml_in_a_variable_names_it(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTRIX_ENVIRONMENT_VARIABLES", text)
    assert failure().startswith("CLUSTRIX_ENVIRONMENT_VARIABLES:1:")


def test_values_of_environment_variables_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (SECRET, f"{{A: [{SECRET}]}}", f"[{SECRET}]", f"{{A: *{SECRET}}}"):
        monkeypatch.setenv("CLUSTRIX_ENVIRONMENT_VARIABLES", text)
        failure()


# ---- what the YAML means


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("02:00:00", "02:00:00"),
        ("1:30", "1:30"),
        ("no", "no"),
        ("on", "on"),
        ("0123", "0123"),
        ("1_000", "1_000"),
        ("1e3", "1e3"),
        ("2024-01-01", "2024-01-01"),
        ("~", "~"),
        ("~/x", "~/x"),
        ("=", "="),
        (".inf", ".inf"),
        ("null", None),
        ("Null", None),
        ("", None),
        ("'null'", "null"),
        ("''", ""),
        ("nullable", "nullable"),
        ("'a # b' # c", "a # b"),
        ("!!str null", "null"),
        ("|\n  a\n  b", "a\nb\n"),
        ("é😀", "é😀"),
    ],
)
def test_scalars_are_text(text: str, value: str | None, project: Path) -> None:
    write(project / "clustrix.yml", f"default_time: {text}\n")
    config = load_config()
    assert config.default_time == value
    assert config.model_fields_set == {"default_time"}


def test_anchors_and_merge_keys(project: Path) -> None:
    path = write(
        project / "clustrix.yml",
        "profiles:\n"
        "  base: &base\n"
        "    cluster_type: lab\n"
        "    account: base\n"
        "  more: &more {username: more, account: more}\n"
        "  one:\n"
        "    account: own\n"
        "    <<: *base\n"
        "  two:\n"
        "    <<: [*base, *more]\n",
    )
    explained = explain_config("one")
    assert explained.config.account == "own"
    assert explained.origins["cluster_type"] == f"{path}:3"
    two = load_config("two")
    assert (two.account, two.username) == ("base", "more")


@pytest.mark.parametrize("text", ["", "# comment\n", "---\n", "null\n", "{}\n", "profiles:\n", "\ufeff\n"])
def test_an_empty_file_has_no_fields(text: str, project: Path) -> None:
    write(project / "clustrix.yml", text)
    assert given(load_config()) == {}


def test_a_byte_order_mark_is_allowed(project: Path) -> None:
    write(project / "clustrix.yml", b"\xef\xbb\xbfusername: me\n")
    assert load_config().username == "me"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: [", "1:5", "expected"),
        ("a: b: c\n", "1:5", "not allowed"),
        ("\ta: b\n", "1:1", "cannot start any token"),
        ("username: a\nusername: b\n", "2:1", "username is there twice"),
        ("profiles:\n  a: {}\n  a: {}\n", "3:3", "a is there twice"),
        ("environment_variables:\n  A: x\n  A: y\n", "3:3", "A is there twice"),
        ("- a\n", "1:1", "names with values"),
        ("text\n", "1:1", "names with values"),
        ("profiles: [a]\n", "1:11", "names with values"),
        ("profiles:\n  a: text\n", "2:6", "names with values"),
        ("<<: text\n", "1:5", "names with values"),
        ("[a]: b\n", "1:1", "a name should be text"),
        ("profiles: {a: {}}\nusername: b\n", "2:1", "username stands beside profiles"),
        ("profiles: {a: {}}\ndefault_profile: [a]\n", "2:18", "name of a profile"),
        ("username: !!int 5\n", "1:11", "tag"),
        ("username: !!python/object/apply:os.system [x]\n", "1:11", "tag"),
        ("a: b\n---\nc: d\n", "2:1", "expected a single document in the stream, but found another document"),
        ("a: &xyz b\nc: *xyzz\n", "2:4", "found undefined alias '...'"),
        ("a: \x07\n", "1:4", "character"),
        (b"a: b\nc: d\xff\n", "2:5", "UTF-8"),
        (b"\xff\xfea\0:\0 \0b\0", "1:1", "UTF-8"),
        (b"\xef\xbb\xbfa: b\nc: d\xff\n", "2:5", "UTF-8"),
        ('a: "\\U00110000"\n', "1:7", "no character"),
        ('a: "\\UFFFFFFFF"\n', "1:7", "no character"),
        ("%YAML 1." + "9" * 5000 + "\n---\na: b\n", "1:9", "no character, or version of YAML"),
    ],
)
def test_broken_files_are_told_with_line_and_column(
    text: str | bytes, place: str, words: str, project: Path
) -> None:
    path = write(project / "clustrix.yml", text)
    message = failure()
    assert message.startswith(f"{path}:{place}: ")
    assert words in message


@pytest.mark.parametrize(
    "text",
    [
        f"password: *{SECRET}\n",
        f"password: &{SECRET} [\n",
        f"password: !{SECRET} x\n",
        f"password: !{SECRET}!x y\n",
        f"password: !<{SECRET}\n",
        f"password: @{SECRET}\n",
        f"password: `{SECRET}\n",
        f"password: %{SECRET}\n",
        f"%{SECRET}\n",
        f"password: {SECRET}: x\n",
        f"password: '{SECRET}\n",
        f'password: "{SECRET}\\q"\n',
        f"password: [{SECRET}]\n",
        f"password: {{a: {SECRET}}}\n",
        f"password: |{SECRET}\n",
        f"password:{SECRET}\n",
        f"password: {SECRET}\nusername: [\n",
        f"password: {SECRET}\x07\n",
        f"password: {SECRET}\nacount: {SECRET}\n",
    ],
)
def test_broken_files_show_no_secret(text: str, project: Path) -> None:
    write(project / "clustrix.yml", text)
    failure()


def test_values_from_files_do_not_print(project: Path) -> None:
    write(project / "clustrix.yml", f"password: {SECRET}\n")
    (file,) = configfile.files()
    assert file.fields["password"].value == SECRET
    assert SECRET not in repr(file)


ENDLESS = ["module_loads: &a [*a]\n", "limits: &a {x: *a}\n", "&a\n<<: *a\n", "a: " + "[" * 5000]


@pytest.mark.parametrize("text", ENDLESS)
def test_endless_nesting_is_an_error(text: str, project: Path) -> None:
    write(project / "clustrix.yml", text)
    assert str(project / "clustrix.yml") in failure()


# ---- finding files


def test_the_nearest_file_counts(home: Path, project: Path) -> None:
    write(home / "clustrix.yml", "username: home\n")
    assert load_config().username == "home"
    write(home / "work" / "clustrix.yml", "username: work\n")
    assert load_config().username == "work"
    write(project / "clustrix.yml", "username: project\n")
    assert load_config().username == "project"


def test_the_search_ends_at_the_home_folder(home: Path) -> None:
    write(home.parent / "clustrix.yml", "username: above\n")
    assert load_config().username is None


def test_outside_the_home_folder_all_parents_are_searched(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "clustrix.yml", "username: above\n")
    (tmp_path / "scratch" / "x").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "scratch" / "x")
    assert load_config().username == "above"


def test_the_search_ends_where_another_filesystem_begins(home: Path, project: Path) -> None:
    write(home / "work" / "clustrix.yml", "username: outside\n")
    script = (
        "from clustrix_core.profiles import load_config; import os\n"
        "print(load_config().username); os.chdir('../..'); print(load_config().username)"
    )
    mounted = 'mount -t tmpfs none "$PWD" && mkdir "$PWD/a" && cd "$PWD/a" && exec "$@"'
    outcome = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounted, "sh", sys.executable, "-c", script],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert outcome.stdout.split() == ["None", "outside"]


def test_the_users_file_is_the_last_resort(
    home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(user_file(home), "username: mine\n")
    explained = explain_config()
    assert (explained.config.username, explained.origins["username"]) == ("mine", f"{path}:1")
    write(home / "xdg" / "clustrix" / "clustrix.yml", "username: xdg\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    assert load_config().username == "xdg"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert load_config().username == "mine"
    write(project / "clustrix.yml", "")
    assert load_config().username is None


def test_the_users_file_is_not_read_when_it_is_not_needed(home: Path, project: Path) -> None:
    write(user_file(home), "broken: [\n")
    write(project / "clustrix.yml", "username: me\n")
    assert load_config().username == "me"


def test_a_file_that_is_named(home: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / "clustrix.yml", "username: project\n")
    write(home / "other.yml", "username: other\ndefault_cores: 2\n")
    third = write(home / "third.yml", "username: third\n")
    monkeypatch.setenv("CLUSTRIX_CONFIG", "~/other.yml")
    assert load_config().username == "other"
    assert load_config(path=third).username == "third"
    assert load_config(path="../../third.yml").username == "third"
    monkeypatch.setenv("CLUSTRIX_DEFAULT_CORES", "8")
    assert load_config().default_cores == 8


def test_a_file_that_is_named_must_be_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure(path="missing.yml").startswith(
        f"{home}/work/project/missing.yml: No such file or directory"
    )
    assert "Is a directory" in failure(path=home)
    monkeypatch.setenv("CLUSTRIX_CONFIG", str(home / "gone.yml"))
    assert failure().startswith(f"{home}/gone.yml: No such file or directory")


def test_an_empty_path_is_no_reason_to_search(project: Path) -> None:
    write(project / "clustrix.yml", "username: project\n")
    assert failure(path="").startswith(f"{project}: Is a directory")


def test_a_user_without_a_home_folder(home: Path, project: Path) -> None:
    """Such as a container's user whom the host's number was given."""
    write(project / "~" / ".config" / "clustrix" / "clustrix.yml", "username: trap\n")
    for folder in project.parents:  # pytest makes them private
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(0o711)
    script = (
        "import os\nfrom clustrix_core import ConfigError, load_config, save_config\n"
        f"load_config(); os.environ.pop('HOME'); os.setuid({STRANGER})\n"
        "config = load_config(); print(config.username)\n"
        "try: save_config(config)\n"
        "except ConfigError as error: print(error)\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=True
    )
    username, message = outcome.stdout.splitlines()
    assert username == "None"
    assert message.startswith("there is no home folder to save to")


def test_in_a_folder_that_was_deleted(home: Path, project: Path) -> None:
    write(user_file(home), "username: mine\n")
    project.rmdir()
    assert load_config().username == "mine"


# ---- trust


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o622, 0o777])
def test_files_that_others_can_write_are_passed_over(mode: int, home: Path, project: Path) -> None:
    write(home / "clustrix.yml", "username: home\n")
    path = write(project / "clustrix.yml", "username: project\n")
    path.chmod(mode)
    with pytest.warns(ConfigWarning, match=f"passed over: {path}: others can write .* chmod go-w {path}"):
        assert load_config().username == "home"
    assert f"chmod go-w {path}" in failure(path=path)


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755, 0o400])
def test_files_that_only_the_user_can_write_are_read(mode: int, project: Path) -> None:
    write(project / "clustrix.yml", "username: project\n").chmod(mode)
    assert load_config().username == "project"


def test_files_of_others_are_passed_over(home: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.geteuid() == 0, "run the tests as root: they make files of other users"
    write(home / "clustrix.yml", "username: home\n")
    path = write(project / "clustrix.yml", "username: project\n")
    os.chown(path, STRANGER, STRANGER)
    with pytest.warns(ConfigWarning, match=f"passed over: {path}: it belongs to user {STRANGER}"):
        assert load_config().username == "home"
    assert f"belongs to user {STRANGER}" in failure(path=path)
    monkeypatch.setenv("CLUSTRIX_CONFIG", str(path))
    assert f"belongs to user {STRANGER}" in failure()


def test_links_of_others_are_passed_over(home: Path, project: Path) -> None:
    target = write(home / "mine.yml", "username: mine\n")
    link = project / "clustrix.yml"
    link.symlink_to(target)
    assert load_config().username == "mine"
    os.lchown(link, STRANGER, STRANGER)
    with pytest.warns(ConfigWarning, match=f"belongs to user {STRANGER}"):
        assert load_config().username is None


def test_another_user_reads_own_files_and_those_of_root(home: Path, project: Path) -> None:
    readable = write(project / "clustrix.yml", "username: of-root\n")
    unreadable = write(home / "work" / "secret.yml", "username: hidden\n")
    unreadable.chmod(0o600)
    own = write(home / "work" / "own.yml", "username: own\n")
    os.chown(own, STRANGER, STRANGER)
    script = (
        "import os, sys\nfrom clustrix_core import ConfigError, load_config\n"
        f"load_config(); os.seteuid({STRANGER})\n"
        "for path in sys.argv[1:]:\n"
        "    try: print(load_config(path=path).username)\n"
        "    except ConfigError as error: print(str(error).partition(': ')[2].partition(';')[0])\n"
    )
    for folder in home.parents:  # pytest makes them private
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(0o711)
    outcome = subprocess.run(
        [sys.executable, "-c", script, readable, unreadable, own],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert outcome.stdout.splitlines() == ["of-root", "Permission denied", "own"]


def test_what_is_no_regular_file_is_passed_over(home: Path, project: Path) -> None:
    write(home / "clustrix.yml", "username: home\n")
    os.mkfifo(project / "clustrix.yml")
    (home / "work" / "clustrix.yml").mkdir()
    with pytest.warns(ConfigWarning) as warned:
        assert load_config().username == "home"
    fifo, folder = (str(warning.message) for warning in warned)
    assert "no regular file" in fifo
    assert "Is a directory" in folder


def test_a_broken_link_is_passed_over(project: Path) -> None:
    (project / "clustrix.yml").symlink_to("nowhere")
    with pytest.warns(ConfigWarning, match="No such file"):
        assert load_config().username is None


# ---- profiles

TWO = "profiles:\n  small: {username: s}\n  large: {username: l}\n"


def test_the_active_profile(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / "clustrix.yml", "profiles:\n  only: {username: o}\n")
    assert load_config().username == "o"
    write(project / "clustrix.yml", TWO + "default_profile: small\n")
    assert load_config().username == "s"
    monkeypatch.setenv("CLUSTRIX_PROFILE", "large")
    assert load_config().username == "l"
    assert load_config("small").username == "s"


def test_several_profiles_and_none_chosen(project: Path) -> None:
    path = write(project / "clustrix.yml", TWO)
    text = failure()
    assert text.startswith(f"{path}: no profile is chosen; set CLUSTRIX_PROFILE")
    assert text.endswith("small, large")
    write(project / "clustrix.yml", TWO + "default_profile:\n")
    assert failure() == text


def test_a_named_profile_is_looked_for_in_the_users_file_too(home: Path, project: Path) -> None:
    near = write(project / "clustrix.yml", TWO)
    mine = write(user_file(home), "profiles:\n  small: {username: mine}\n  far: {username: far}\n")
    assert load_config("small").username == "s"
    assert load_config("far").username == "far"
    assert list_profiles() == {"small": str(near), "large": str(near), "far": str(mine)}
    write(project / "clustrix.yml", "username: flat\n")
    assert load_config("far").username == "far"
    assert load_config().username == "flat"


def test_a_projects_file_may_choose_a_profile_of_the_users(home: Path, project: Path) -> None:
    write(project / "clustrix.yml", "default_profile: far\n")
    write(user_file(home), "profiles:\n  far: {username: far}\n  near: {}\n")
    assert load_config().username == "far"


def test_a_profile_that_is_missing(home: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure(profile="x") == (
        "there is no profile 'x'. Profiles: none. Looked in: (found no clustrix.yml)"
    )
    near = write(project / "clustrix.yml", TWO + "default_profile: smal\n")
    mine = write(user_file(home), "profiles:\n  far: {}\n")
    assert failure(profile="larg") == (
        "there is no profile 'larg'; did you mean 'large'? "
        f"Profiles: small, large, far. Looked in: {near}, {mine}"
    )
    assert failure().startswith(f"{near}:4: there is no profile 'smal'; did you mean 'small'?")
    monkeypatch.setenv("CLUSTRIX_PROFILE", "zzz")
    assert failure().startswith("CLUSTRIX_PROFILE: there is no profile 'zzz'. Profiles: ")
    assert "there is no profile ''" in failure(profile="")


def test_fields_in_the_place_of_a_profile_are_refused_and_not_shown() -> None:
    assert "named by text" in failure(profile={"password": SECRET})


def test_a_wrong_value_in_a_profile_that_is_not_used_does_no_harm(project: Path) -> None:
    write(project / "clustrix.yml", "profiles:\n  good: {username: g}\n  bad: {cluster_port: x}\n")
    assert load_config("good").username == "g"
    assert f"{project}/clustrix.yml:3: cluster_port: 'x' was given" in failure(profile="bad")


def test_list_profiles_of_a_named_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list_profiles() == {}
    path = write(home / "other.yml", TWO)
    monkeypatch.setenv("CLUSTRIX_CONFIG", str(path))
    assert list_profiles() == {"small": str(path), "large": str(path)}


# ---- the active config


def test_the_active_config_is_loaded_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / "clustrix.yml", "username: before\n")
    config = get_config()
    assert config.username == "before"
    write(project / "clustrix.yml", "username: after\n")
    monkeypatch.setenv("CLUSTRIX_USERNAME", "variable")
    assert get_config() is config
    assert configure().username == "variable"
    assert get_config().username == "variable"


def test_configure_with_a_config() -> None:
    config = ClusterConfig(cluster_type="lab", account="a", password=SECRET)
    assert configure(config) is config
    assert get_config() is config
    changed = configure(config, account="b")
    assert changed == ClusterConfig(cluster_type="lab", account="b", password=SECRET)
    assert get_config() is changed


def test_configure_with_fields_fills_in_from_variables_and_files(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project / "clustrix.yml", "cluster_type: lab\naccount: file\n")
    monkeypatch.setenv("CLUSTRIX_USERNAME", "variable")
    config = configure(cluster_host="argument")
    assert (config.account, config.username, config.cluster_host) == ("file", "variable", "argument")
    assert get_config() is config
    assert configure(default_cores=2).cluster_host is None


def test_configure_with_a_profile(project: Path) -> None:
    write(project / "clustrix.yml", TWO)
    assert configure(profile="large").username == "l"
    assert get_config().username == "l"


def test_a_configure_that_fails_changes_nothing(project: Path) -> None:
    config = configure(username="me")
    write(project / "clustrix.yml", "a: [\n")
    for arguments in ({}, {"username": "x"}):
        with pytest.raises(ConfigError):
            configure(**arguments)
    with pytest.raises(ConfigError):
        configure(config, cluster_port=0)
    with pytest.raises(ConfigError, match=r"configure\(cluster_type=\.\.\.\)"):
        configure({"password": SECRET})  # type: ignore[arg-type]
    besides: list[dict[str, Any]] = [
        {"profile": "a"},
        {"path": "clustrix.yml"},
        {"profile": "a", "op_timeout": 1},
    ]
    for beside in besides:
        with pytest.raises(TypeError, match="profile= and path= go without a config"):
            configure(config, **beside)
    assert get_config() is config


def test_a_load_that_fails_is_tried_again(project: Path) -> None:
    path = write(project / "clustrix.yml", "a: [\n")
    with pytest.raises(ConfigError):
        get_config()
    path.write_text("username: me\n")
    assert get_config().username == "me"


def test_threads_get_the_same_config() -> None:
    barrier = threading.Barrier(8)
    found: list[ClusterConfig] = []

    def ask() -> None:
        barrier.wait()
        found.append(get_config())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({id(config) for config in found}) == 1


def test_yaml_is_imported_only_when_a_file_is_read(project: Path) -> None:
    script = (
        "import sys; from clustrix_core.profiles import get_config, configure\n"
        "get_config(); print('yaml' in sys.modules)\n"
        "open('clustrix.yml', 'w').close(); configure(); print('yaml' in sys.modules)"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=True
    )
    assert outcome.stdout.split() == ["False", "True"]


# ---- saving


def lab(**fields: Any) -> ClusterConfig:
    return resolve(ClusterConfig(cluster_type="lab", **fields), load_backend("lab").config_model)


def test_saving_makes_the_users_file_private(home: Path) -> None:
    config = lab(account="a")
    path = save_config(config)
    assert path == user_file(home)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.parent.stat().st_mode & 0o7777 == 0o700
    assert path.read_text() == "cluster_type: lab\naccount: a\n"
    assert os.listdir(path.parent) == ["clustrix.yml"]
    assert load_config() == config


def test_only_fields_that_were_given_are_saved(home: Path) -> None:
    save_config(ClusterConfig(default_cores=4, username=None))
    assert user_file(home).read_text() == "username: null\ndefault_cores: 4\n"
    assert load_config().model_fields_set == {"username", "default_cores"}
    save_config(ClusterConfig())
    assert given(load_config()) == {}


def test_secrets_and_unclaimed_fields_are_left_out(home: Path) -> None:
    with pytest.warns(
        ConfigWarning, match="not saved, being secret: password; set CLUSTRIX_PASSWORD"
    ) as warned:
        save_config(ClusterConfig(username="me", password=SECRET))
    assert len(warned) == 1
    assert user_file(home).read_text() == "username: me\n"
    with pytest.warns(ConfigWarning, match="no backend has claimed them: passphrase"):
        save_config(ClusterConfig(username="me", passphrase=SECRET))
    assert user_file(home).read_text() == "username: me\n"
    with pytest.warns(ConfigWarning, match="being secret: pass") as warned:
        save_config(lab(password=SECRET, passphrase=SECRET))
    assert user_file(home).read_text() == "cluster_type: lab\n"
    assert SECRET not in str([warning.message for warning in warned])
    save_config(lab(password=None))


def test_a_rich_config_comes_back_equal() -> None:
    config = lab(
        strict=True,
        ratio=float("inf"),
        idle_timeout=1e-7,
        tags=[
            "null",
            "",
            "~",
            "no",
            "1",
            "a: b",
            "- x",
            "#",
            "<<",
            "*x",
            "&y",
            "!z",
            "%",
            "@",
            " a ",
            "\x85",
            "\n",
            "\x07",
        ],
        names={"b", "a"},
        limits={"null": [1, 2], "": [], "<<": [3]},
        either=("a", "b"),
        mode="safe",
        level=2,
        folder="/x/é",
        patience=90,
        proxy={"host": "gate", "port": None},
        environment_variables={"A": "null", "B": "", "C": "~"},
        module_loads=[],
        remote_work_dir=os.fsdecode(b"/data/\xff"),
        default_time="02:00:00",
        account="null",
        username="",
    )
    save_config(config)
    assert load_config() == config
    save_config(config, profile="p", path="other.yml")
    assert load_config(path="other.yml") == config


awkward = [
    "null",
    "Null",
    "~",
    "",
    "<<",
    "=",
    "no",
    "'",
    '"',
    "\\",
    "a\nb\n",
    " ",
    "\u2028",
    "\ufeff",
    "\x85",
]
characters = st.characters(exclude_characters="\0", exclude_categories=[])
texts = st.text(characters, max_size=20) | st.sampled_from([*awkward, "x" * 200])


@settings(deadline=None)
@generated(st.sets(texts, max_size=3), texts, st.lists(texts, max_size=4))
def test_any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], text: str, items: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yml"
    path.unlink(missing_ok=True)
    config = lab(account=text, tags=items, limits={name: [1] for name in names})
    for name in names:
        save_config(config, path, profile=name)
    save_config(config, path, profile=text)
    for name in (*names, text):
        assert load_config(name, path) == config


def test_other_profiles_are_kept(home: Path, project: Path) -> None:
    path = write(
        project / "clustrix.yml",
        "# a comment\n"
        "profiles:\n"
        "  base: &base {cluster_type: lab, default_time: 02:00:00, account: 'null', username: }\n"
        "  two:\n    <<: *base\n    environment_variables: {A: \"no\", B: '1'}\n"
        "  old: {username: old}\n"
        "default_profile: old\n",
    )
    before = {name: load_config(name, path) for name in ("base", "two")}
    save_config(lab(account="new"), path, profile="new")
    save_config(lab(account="changed"), path, profile="old")
    assert list(list_profiles()) == ["base", "two", "old", "new"]
    assert {name: load_config(name, path) for name in ("base", "two")} == before
    assert load_config("new").account == "new"
    assert load_config().account == "changed"
    save_config(lab(account="other"), path, profile="base")
    assert load_config("base").account == "other"
    assert load_config("two") == before["two"]


def test_profiles_that_were_merged_in_are_kept(home: Path) -> None:
    path = write(user_file(home), "<<: {profiles: {old: {username: old}}, default_profile: old}\n")
    save_config(ClusterConfig(username="new"), path, profile="new")
    assert list(list_profiles()) == ["old", "new"]
    assert load_config().username == "old"


def test_profiles_saved_at_the_same_time_are_all_kept(home: Path) -> None:
    names = [f"p{number}" for number in range(16)]
    barrier = threading.Barrier(len(names))

    def save(name: str) -> None:
        barrier.wait()
        save_config(ClusterConfig(username=name), profile=name)

    threads = [threading.Thread(target=save, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(list_profiles()) == sorted(names)
    assert os.listdir(user_file(home).parent) == ["clustrix.yml"]


def test_a_folder_that_somebody_keeps_locked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "_LOCK_PATIENCE", 0.1)
    path = save_config(ClusterConfig(username="before"))
    holder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(ConfigError, match=r"locked for 0\.1 seconds; find it with `lslocks` or `fuser -v "):
        save_config(ClusterConfig(username="after"))
    assert load_config().username == "before"
    os.close(holder)
    save_config(ClusterConfig(username="after"))
    assert load_config().username == "after"


def test_a_lock_that_is_released_is_waited_for(home: Path) -> None:
    path = save_config(ClusterConfig(username="before"))
    holder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    release = threading.Timer(0.1, os.close, [holder])
    release.start()
    save_config(ClusterConfig(username="after"))
    release.join()
    assert load_config().username == "after"


def test_a_folder_that_can_be_written_and_not_listed(home: Path) -> None:
    folder = home / "drop"
    folder.mkdir()
    os.chown(folder, STRANGER, STRANGER)
    folder.chmod(0o300)
    script = (
        "import os, sys\nfrom clustrix_core import ClusterConfig, load_config, save_config\n"
        f"save_config(load_config(), sys.argv[2]); os.seteuid({STRANGER})\n"
        "save_config(ClusterConfig(username='me'), sys.argv[1])\n"
        "print(load_config(path=sys.argv[1]).username)\n"
    )
    for parent in home.parents:  # pytest makes them private
        if parent.stat().st_mode & 0o001 == 0:
            parent.chmod(0o711)
    outcome = subprocess.run(
        [sys.executable, "-c", script, folder / "clustrix.yml", home / "first.yml"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert outcome.stdout == "me\n"


def test_only_configs_are_saved(home: Path) -> None:
    with pytest.raises(TypeError, match=r"type dict was given; .* ClusterConfig\(\*\*fields\)") as caught:
        save_config({"password": SECRET})  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)
    assert not user_file(home).exists()


def test_what_cannot_stand_together_is_refused(home: Path) -> None:
    save_config(ClusterConfig(username="flat"))
    with pytest.raises(ConfigError, match="without a profile"):
        save_config(ClusterConfig(), profile="p")
    user_file(home).unlink()
    save_config(ClusterConfig(username="p"), profile="p")
    with pytest.raises(ConfigError, match="name the one to save"):
        save_config(ClusterConfig())
    assert load_config("p").username == "p"


@pytest.mark.parametrize("text", ["", "profiles:\n", "default_profile: p\n", "profiles: {}\n"])
def test_a_profile_is_added_to_an_empty_file(text: str, home: Path) -> None:
    write(user_file(home), text)
    save_config(ClusterConfig(username="p"), profile="p")
    assert load_config().username == "p"


def test_a_broken_or_foreign_file_is_not_replaced(home: Path) -> None:
    path = write(user_file(home), "a: [\n")
    with pytest.raises(ConfigError):
        save_config(ClusterConfig(), profile="p")
    path.write_text("profiles: {}\n")
    os.chown(path, STRANGER, STRANGER)
    with pytest.raises(ConfigError, match="belongs to user"):
        save_config(ClusterConfig(), profile="p")
    assert path.read_text() == "profiles: {}\n"


def test_a_link_stays_a_link(home: Path) -> None:
    target = write(home / "dotfiles" / "clustrix.yml", "username: old\n")
    user_file(home).parent.mkdir(parents=True)
    user_file(home).symlink_to(target)
    save_config(ClusterConfig(username="new"))
    assert user_file(home).is_symlink()
    assert target.read_text() == "username: new\n"


def test_a_write_that_fails_leaves_what_was_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_config(ClusterConfig(username="old"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_config(ClusterConfig(username="new"))
    assert load_config().username == "old"
    assert os.listdir(user_file(home).parent) == ["clustrix.yml"]


def test_the_origins_can_be_shown_as_json(project: Path) -> None:
    write(project / "clustrix.yml", "username: me\n")
    assert json.loads(json.dumps(explain_config().origins))["username"] == f"{project}/clustrix.yml:1"
