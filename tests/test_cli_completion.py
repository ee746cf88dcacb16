"""Completion of `clustrix` in shells."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runner import spawn


@pytest.fixture(autouse=True)
def _profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CLUSTRIX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    far = tmp_path / "far"
    here = tmp_path / "here"
    for folder in (far / "data" / "deep", far / "docs", here / "local"):
        folder.mkdir(parents=True)
    for file in (
        far / "data.csv",
        far / ".hidden",
        far / "data" / "it's a file",
        here / "data here.txt",
        here / "a:b",
    ):
        file.touch()
    (here / "bad\nname").touch()
    file = here / "clustrix.yml"
    file.write_text(f"default_profile: far\nprofiles:\n  far: {{local_work_dir: {far}}}\n  fast: {{}}\n")
    file.chmod(0o644)
    monkeypatch.chdir(here)


def bash(line: str) -> list[str]:
    """The completions of a command line in bash, as they would be inserted."""
    program = f'clustrix() {{ {shlex.quote(sys.executable)} -m clustrix "$@"; }}'
    script = f"""
{program}
eval "$(clustrix completion bash)"
COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}
_clustrix_completion clustrix
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()


def test_commands_and_options() -> None:
    assert bash("clustrix c") == ["cat", "completion", "config", "count-files", "cp"]
    assert bash("clustrix find --max") == ["--max-depth"]
    assert bash("clustrix find --filetype ") == ["f", "d", "l"]
    assert bash("clustrix ls --type lo") == ["local"]
    assert bash("clustrix ls --profile fa") == ["far", "fast"]
    assert bash("clustrix config far") == ["far"]
    assert bash("clustrix completion ") == ["bash", "zsh", "fish"]


def test_profiles_and_paths_of_the_active_config() -> None:
    assert bash("clustrix ls fa") == ["far:", "fast:"]
    assert bash("clustrix ls d") == ["data/", "data.csv", "docs/"]
    assert bash("clustrix ls data/") == ["data/deep/", r"data/it\'s\ a\ file"]
    assert bash("clustrix ls .h") == [".hidden"]


def test_paths_in_a_profile_without_what_bash_keeps() -> None:
    assert bash("clustrix ls far:da") == ["data/", "data.csv"]
    assert bash("clustrix stat x far:data/it") == [r"data/it\'s\ a\ file"]
    assert bash("clustrix ls --profile far doc") == ["docs/"]
    assert bash("clustrix ls nowhere:x") == [""]


def test_cp_completes_files_of_this_machine() -> None:
    assert bash("clustrix cp da") == [r"data\ here.txt"]
    assert bash("clustrix cp ") == ["far:", "fast:", "clustrix.yml", r"data\ here.txt", "local/"]
    assert bash("clustrix cp x far:doc") == ["docs/"]


@pytest.mark.parametrize(
    ("shell", "words", "word"),
    [("zsh", "clustrix ls far:doc", "2"), ("fish", "clustrix ls far:doc", "far:doc")],
)
def test_other_shells(shell: str, words: str, word: str) -> None:
    env = {"_CLUSTRIX_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": word}
    result = spawn(env=env)
    assert result.code == 0
    assert b"far:docs/" in result.out
    assert b"_CLUSTRIX_COMPLETE" in spawn("completion", shell).out


def test_a_broken_config_completes_nothing() -> None:
    Path("clustrix.yml").write_text("profiles: [\n")
    assert bash("clustrix ls fa") == [""]


def test_an_unknown_shell_is_a_usage_error() -> None:
    assert spawn(env={"_CLUSTRIX_COMPLETE": "tcsh_complete"}).code == 2
