"""Places: capabilities, scratch folders, and what importing the kit costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clustrix_core import ClusterConfig
from clustrix_core.testing import CAPABILITIES, Place, local_place, tree
from clustrix_core.testing.asking import Gardener, Truth
from clustrix_core.testing.place import as_nobody, run_here


def test_an_unknown_capability_is_refused() -> None:
    with (
        pytest.raises(ValueError, match=r"no such capability: hardlink; .*hardlinks"),
        local_place(missing=frozenset({"hardlink"})),
    ):
        pass


def test_asking_for_an_unknown_capability_is_refused() -> None:
    with local_place() as place, pytest.raises(ValueError, match="no such capability"):
        place.has("teleport")


def test_nothing_is_missing_unless_it_is_declared() -> None:
    with local_place() as place:
        assert all(place.has(capability) for capability in CAPABILITIES)
    with local_place(missing=frozenset({"files"})) as place:
        assert [capability for capability in CAPABILITIES if not place.has(capability)] == ["files"]


def test_a_local_place_is_empty_and_has_a_home_of_its_own() -> None:
    before = os.environ.get("HOME")
    with local_place() as place:
        assert os.listdir(place.root) == []
        assert os.environ["HOME"] == str(Path(place.root).parent / "home")
    assert os.environ.get("HOME") == before


def test_a_local_place_is_removed_with_all_that_was_made_in_it() -> None:
    with pytest.raises(KeyError), local_place() as place:
        for part in ("main", "locked", "beyond"):
            Gardener(place).make(part)
        raise KeyError
    assert not Path(place.root).parent.exists()


def test_a_place_may_be_of_any_backend() -> None:
    with local_place(lambda root: ClusterConfig(cluster_type="acme", remote_work_dir=root)) as place:
        assert place.config.cluster_type == "acme"
        assert place.config.remote_work_dir == place.root


def test_a_script_that_fails_says_why() -> None:
    assert run_here(b"import sys; print(sys.argv[1])", ["x"]) == b"x\n"
    with pytest.raises(RuntimeError, match="no luck"):
        run_here(b"import sys; sys.exit('no luck')", [])


def test_a_question_that_fails_raises() -> None:
    with local_place() as place, pytest.raises(FileNotFoundError):
        Truth(place)("ls", path="missing")


def test_an_ordinary_user_is_given_no_rights() -> None:
    with local_place() as place:
        os.mkdir(place.root + "/closed", 0o000)
        with place.unprivileged(), pytest.raises(PermissionError):
            os.listdir(place.root + "/closed")
        with pytest.raises(ZeroDivisionError), as_nobody(place.config):
            raise ZeroDivisionError
        assert os.geteuid() == os.getuid()


def test_removing_goes_through_anything(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for path in ("a/b/c", "a/.clustrix-removed-2", "x"):
        (top / path).mkdir(parents=True)
        (top / path / "file").write_text("")
    (tmp_path / "kept").write_text("kept")
    (top / "link").symlink_to(tmp_path)
    tree.remove(os.fsencode(top))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    tree.remove(os.fsencode(tmp_path / "kept"))
    tree.remove(os.fsencode(tmp_path / "missing"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import clustrix_core.testing.plugin", "{'pydantic', 'hypothesis', 'clustrix_core.testing.suite'}"),
        ("from clustrix_core.testing import BackendSuite", "{'hypothesis', 'clustrix_local'}"),
    ],
)
def test_importing_the_kit_loads_only_what_is_needed(statement: str, unwanted: str) -> None:
    script = f"import sys; {statement}; sys.exit(str({unwanted} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_a_place_is_a_value() -> None:
    with local_place() as place:
        assert place == Place(place.config, place.root, place.python, place.unprivileged)
