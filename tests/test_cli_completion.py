"""Completion of `clustrix` in shells."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from contextlib import suppress
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


BASHRC = """
PS1=
clustrix() {{ {python} -m clustrix "$@"; }}
eval "$(clustrix completion bash)"
_watched() {{ _clustrix_completion "$@"; printf '%s\\n' "${{COMPREPLY[@]}}" >replies; }}
complete -F _watched clustrix
_done() {{ printf '%s' "$READLINE_LINE" >line; exit; }}
bind -x '"\\C-t": _done'
"""


def typed(line: str) -> tuple[str, list[str]]:
    """What becomes of a line in bash when the tab key is hit, and what was offered."""
    folder = Path("../bash").absolute()
    folder.mkdir(exist_ok=True)
    rc = BASHRC.format(python=shlex.quote(sys.executable)).replace(">replies", f">{folder}/replies")
    (folder / "bashrc").write_text(rc.replace(">line", f">{folder}/line"))
    terminal, slave = pty.openpty()
    process = subprocess.Popen(
        ["bash", "--noprofile", "--rcfile", str(folder / "bashrc"), "-i"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    os.write(terminal, f"{line}\t\x14".encode())
    with suppress(OSError):  # Linux's way of saying that the other side is closed
        while os.read(terminal, 4096):
            pass
    os.close(terminal)
    process.wait(60)
    return (folder / "line").read_text(), (folder / "replies").read_text().splitlines()


def bash(line: str) -> list[str]:
    """The completions of a command line in bash, as they would be inserted."""
    return typed(line)[1]


def test_commands_and_options() -> None:
    assert bash("clustrix c") == [
        "cancel",
        "cat",
        "clean",
        "cluster",
        "completion",
        "config",
        "count-files",
        "cp",
    ]
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


@pytest.mark.parametrize("line", ["clustrix ls nowhere:x", "clustrix ls far:x", "clustrix cat bad"])
def test_a_line_that_has_no_completion_stays_as_it_is(line: str) -> None:
    assert typed(line)[0] == line


def test_bash_keeps_quotes_and_what_ends_its_words() -> None:
    far = Path("../far")
    for folder in ("my data", "year=2024", "it's $HOME", "u@h,x"):
        (far / folder).mkdir()
        (far / folder / "in it").touch()
    for line, completed in {
        'clustrix ls "my d': 'clustrix ls "my data/"',
        'clustrix ls "my data/"': r"clustrix ls my\ data/in\ it ",
        'clustrix ls "my data/': 'clustrix ls "my data/in it" ',
        "clustrix ls 'my d": "clustrix ls 'my data/'",
        r"clustrix ls my\ d": r"clustrix ls my\ data/",
        """clustrix ls 'it'""": r"clustrix ls it\'s\ \$HOME/",
        'clustrix ls "it': r"""clustrix ls "it's \$HOME/\"""".replace('\\"', '"'),
        "clustrix ls 'i": r"""clustrix ls 'it'\''s $HOME/'""",
        "clustrix ls u@": "clustrix ls u@h,x/",
        "clustrix ls year=": "clustrix ls year=2024/",
        "clustrix ls far:year=2": "clustrix ls far:year=2024/",
        'clustrix ls "far:my d': 'clustrix ls "far:my data/"',
    }.items():
        assert typed(line)[0] == completed


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


def test_fish_keeps_commas() -> None:
    Path("../far/a,b").touch()
    env = {"_CLUSTRIX_COMPLETE": "fish_complete", "COMP_WORDS": "clustrix ls a", "COMP_CWORD": "a"}
    assert spawn(env=env).out == b"a,b\n"
    assert b"string split" not in spawn("completion", "fish").out


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_nothing_is_written_beside_completions(shell: str) -> None:
    Path("clustrix.yml").chmod(0o666)
    word = "2" if shell == "zsh" else "f"
    for words in ("clustrix ls f", "clustrix ls --host '' f", "clustrix ls --profile far --host h f"):
        env = {"_CLUSTRIX_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": word}
        assert spawn(env=env).err == ""


def test_a_broken_config_completes_nothing() -> None:
    Path("clustrix.yml").write_text("profiles: [\n")
    assert bash("clustrix ls fa") == [""]


def test_an_unknown_shell_is_a_usage_error() -> None:
    assert spawn(env={"_CLUSTRIX_COMPLETE": "tcsh_complete"}).code == 2
