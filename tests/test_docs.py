"""What the documentation says is true: its code runs, and it leaves nothing out.

Each page runs in a process of its own, in a folder made as the quick start describes it. Of a page's fenced
blocks, in their order,

- `python` is run, all in one namespace; a comment behind an expression must be the `repr` of its value; and
  it is written to the file that its first line names, if it names one (`# NAME.py`);
- `output` is what the `python` before it prints, or the traceback that it ends with; `...` is anything;
- `console` is run where a command begins with `clustrix` or `cat`, and its output compared likewise; what
  follows `[y/N]: ` is typed;
- `yaml` is written to `clustrix.yml`, and all its profiles must load.

The ids of jobs, and when they were submitted, are compared as if they were those that the page shows.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import inspect
import io
import os
import pty
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import click
import pytest

import clustrix_core
from clustrix_core import ClusterConfig, hookspecs
from clustrix_core.cli.app import cli
from clustrix_core.testing import CAPABILITIES, BackendSuite
from fakedist import FakeSite

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
EXAMPLES = DOCS / "examples"
PAGES = sorted([*CHECKOUT.glob("*.md"), *DOCS.glob("*.md"), *CHECKOUT.glob("plugins/*/README.md")])
ON_A_CLUSTER = [DOCS / "tutorial.md"]
"""Pages that `plugins/slurm/tests/test_slurm_tutorial.py` runs."""
SAMPLE = {
    "datasets/2024/a.csv": b"time,value\n0,1\n",
    "datasets/2024/b.csv": b"time,value\n",
    "datasets/2025/c.csv": b"time,value\n1,2\n",
    "large_dataset.h5": bytes(4096),
    "notes.txt": b"hi\n",
}
SAMPLE_TIME = 1767323045  # 2026-01-02 03:04:05 UTC


class Block(NamedTuple):
    language: str
    line: int
    """Where its code begins, counted from 0."""
    code: str


def blocks(page: Path) -> Iterator[Block]:
    language, start, code = None, 0, [""]
    for number, line in enumerate(page.read_text().splitlines(keepends=True), start=1):
        fence = re.fullmatch(r"```(.*)\n?", line)
        if fence is None:
            code.append(line)
        elif language is None:
            language, start, code = fence[1], number, []
        else:
            yield Block(language, start, "".join(code))
            language = None


# Run in a process of its own, by `python test_docs.py PAGE`


def run_page(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    found = list(blocks(page))
    shown = Shown(page)
    for number, block in enumerate(found, start=1):
        following = found[number] if number < len(found) else None
        if block.language == "python":
            printed = following.code if following and following.language == "output" else None
            run_python(block, shown, namespace, printed)
        elif block.language == "console":
            run_console(block, shown)
        elif block.language == "yaml":
            check_config(block)


class Shown:
    """What a page shows, where a run gives something like it: ids of jobs, and times."""

    ID = re.compile(r"\b\d{6}-\d{6}-[0-9a-f]{6}\b")
    TIME = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b")

    def __init__(self, page: Path) -> None:
        self.page = page
        self._jobs: dict[str, str] = {}

    def command(self, command: str) -> str:
        """A command with the ids of this run."""
        return self.ID.sub(lambda found: self._jobs.get(found[0], found[0]), command)

    def check(self, expected: str, given: str, what: str) -> None:
        """Compare what a run gives with what the page shows."""
        if self.ID.search(expected):
            real, shown = (list(dict.fromkeys(self.ID.findall(text))) for text in (given, expected))
            pairs = dict(zip(real, shown, strict=False))
            self._jobs |= {shown: real for real, shown in pairs.items()}
            given = self.ID.sub(lambda found: pairs.get(found[0], found[0]), given)
            expected, given = (self.TIME.sub("then", text) for text in (expected, given))
        same = doctest.OutputChecker().check_output(expected, given, doctest.ELLIPSIS)
        assert same, f"{self.page}: {what} gives\n{given}"


def run_python(block: Block, shown: Shown, namespace: dict[str, Any], printed: str | None) -> None:
    """Run a block; where something is shown as printed, that is compared, too."""
    source = "\n" * block.line + block.code  # so that tracebacks have the page's lines
    lines = source.encode().splitlines()
    if named := re.match(r"# (\w+\.py)\n", block.code):
        Path(named[1]).write_text(block.code)
    text = io.StringIO()
    with contextlib.redirect_stdout(text) if printed is not None else contextlib.nullcontext():
        try:
            for statement in ast.parse(source).body:
                comment = lines[(statement.end_lineno or 0) - 1][statement.end_col_offset :].decode().strip()
                run_statement(statement, comment, shown, namespace)
        except Exception as error:
            if printed is None or isinstance(error, AssertionError):
                raise
            frames = error.__traceback__  # those of the page
            while frames and frames.tb_frame.f_code.co_filename != str(shown.page):
                frames = frames.tb_next
            print("".join(traceback.format_exception(error.with_traceback(frames))), end="")
    if printed is not None:
        shown.check(printed, text.getvalue(), f"line {block.line}")


def run_statement(statement: ast.stmt, comment: str, shown: Shown, namespace: dict[str, Any]) -> None:
    page = str(shown.page)
    if not isinstance(statement, ast.Expr) or not comment:
        exec(compile(ast.Module([statement], []), page, "exec"), namespace)
        return
    value = repr(eval(compile(ast.Expression(statement.value), page, "eval"), namespace))
    shown.check(f"{comment}\n", f"# {value}\n", f"line {statement.lineno}")


def run_console(block: Block, shown: Shown) -> None:
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.code, re.MULTILINE):
        if not command.startswith(("clustrix ", "cat ")):
            continue
        question = re.compile(r"(?<=\[y/N\]: )(.*\n)")
        output = output_of(shown.command(command), "".join(question.findall(expected)))
        # The pages show files of user 1000.
        output = re.sub(rf"\b{os.getuid()}([ :]){os.getgid()}\b", r"1000\g<1>1000", output)
        shown.check(question.sub("", expected), output, command)


def output_of(command: str, typed: str) -> str:
    """What a command writes; it is asked at a terminal, which is not where it writes."""
    ours, its = pty.openpty()
    os.write(ours, typed.encode())
    try:
        done = subprocess.run(
            ["sh", "-c", command], text=True, stdin=its, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    finally:
        os.close(ours)
        os.close(its)
    return done.stdout


def check_config(block: Block) -> None:
    from clustrix_core.profiles import list_profiles, load_config

    Path("clustrix.yml").write_text(block.code)
    load_config()
    for profile in list_profiles():
        load_config(profile)


# The tests


def make_sample(folder: Path) -> None:
    for name, content in SAMPLE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o644)
        os.utime(path, (SAMPLE_TIME, SAMPLE_TIME))
    (folder / "latest").symlink_to("datasets/2025")


def install_examples(site: Path, examples: Path = EXAMPLES) -> list[Path]:
    """Make it look as if the examples' packages were installed; returns what belongs on the path."""
    paths = [site]
    for project in sorted(examples.glob("*/pyproject.toml")):
        text = project.read_text()
        name, version = (
            re.findall(rf'^{key} = "(.*)"$', text, re.MULTILINE)[0] for key in ("name", "version")
        )
        group, entries = re.findall(
            r'^\[project\.entry-points\."clustrix\.(\w+)"\]\n((?:.+\n)+)', text, re.MULTILINE
        )[0]
        FakeSite(site).add(
            name, version, **{group: dict(re.findall(r'^(\w+) = "(.*)"$', entries, re.MULTILINE))}
        )
        paths.append(project.parent / "src")
    return paths


def environment(folder: Path, paths: list[Path]) -> dict[str, str]:
    foreign = ("CLUSTRIX", "XDG_", "PYTEST")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    here = folder / "work"  # on the path, as at Python's prompt
    python_path = os.pathsep.join(map(str, [*paths, Path(__file__).parent, here]))
    return {**clean, "HOME": str(folder), "PATH": programs, "PYTHONPATH": python_path, "TZ": "UTC"}


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page not in ON_A_CLUSTER],
    ids=lambda page: str(page.relative_to(CHECKOUT)),
)
def test_code_runs(page: Path, tmp_path: Path) -> None:
    paths = install_examples(tmp_path / "site") if "docs/examples/" in page.read_text() else []
    folder = tmp_path / "work"
    make_sample(folder)
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__, str(page)],
        cwd=folder,
        env=environment(tmp_path, paths),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr


@pytest.mark.parametrize("language", ["python", "output", "console", "yaml"])
def test_all_blocks_are_found(language: str) -> None:
    fences = sum(page.read_text().count(f"\n```{language}\n") for page in PAGES)
    assert fences == sum(block.language == language for page in PAGES for block in blocks(page)) > 0


def test_quick_start_shows_the_sample() -> None:
    shown = (DOCS / "quickstart.md").read_text()
    for path, content in SAMPLE.items():
        assert re.search(rf"── {Path(path).name} +{len(content)} bytes$", shown, re.MULTILINE), path


@pytest.mark.parametrize("example", ["clustrix-scratch", "clustrix-container"])
def test_example_backend_passes_the_conformance_suite(tmp_path: Path, example: str) -> None:
    paths = install_examples(tmp_path / "site")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--basetemp={tmp_path / 'pytest'}",
            ".",
        ],
        cwd=EXAMPLES / example,
        env=environment(tmp_path, paths),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def shown_messages() -> list[str]:
    """The messages in the first columns of the tables of errors that authors meet."""
    cells = re.findall(r"^\| (`.*?) \| ", (DOCS / "plugin-errors.md").read_text(), re.MULTILINE)
    return [
        part.strip()
        for cell in cells
        for part in re.findall(r"(?:^|, )(?:`` ?(.+?)``|`(.+?)`(?=, |$))", cell)
        for part in part
        if part
    ]


@pytest.mark.parametrize("message", shown_messages())
def test_errors_of_authors_are_as_documented(message: str) -> None:
    """Each part of a message stands in the code, in this order."""
    code = "".join(
        re.sub(r'"\n\s+f?"', "", file.read_text())
        for file in sorted((CHECKOUT / "clustrix_core").rglob("*.py"))
    )
    assert re.search(".{0,60}".join(map(re.escape, message.split(" … "))), code), message


def documented(page: str) -> dict[str, str]:
    """What a page's autodoc directives name, with the signatures that they give."""
    text = (DOCS / page).read_text()
    return dict(re.findall(r"^ *\.\. (?:auto\w+|py:decorator):: ([\w.]+)(.*)$", text, re.MULTILINE))


def signature(function: Any, *, types: bool) -> str:
    found = inspect.signature(function)
    parameters = [each for each in found.parameters.values() if each.name != "self"]
    if not types:
        parameters = [each.replace(annotation=each.empty) for each in parameters]
    shown = str(found.replace(parameters=parameters, return_annotation=found.empty))
    quotes = "" if types else '"'  # annotations are text, defaults are values
    return f"{shown} -> {found.return_annotation}".replace("'", quotes)


@pytest.mark.parametrize("hook", [*hookspecs.REQUIRED, *hookspecs.OPTIONAL])
def test_hook_is_documented_with_its_signature(hook: str) -> None:
    assert documented("hooks.md")[hook] == signature(getattr(hookspecs, hook), types=True)


@pytest.mark.parametrize("name", clustrix_core.__all__)
def test_public_name_is_documented(name: str) -> None:
    value = getattr(clustrix_core, name)
    shown = documented("api.md")[name]
    if isinstance(value, FunctionType):
        assert shown == signature(value, types=False)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, value in vars(clustrix_core.ClusterFilesystem).items()
        if not name.startswith("_") and callable(value)
    ],
)
def test_method_is_documented(name: str) -> None:
    assert documented("api.md")[name] == signature(
        getattr(clustrix_core.ClusterFilesystem, name), types=False
    )


@pytest.mark.parametrize("name", ClusterConfig.model_fields)
def test_config_field_is_documented(name: str) -> None:
    field = ClusterConfig.model_fields[name]
    default = f"`{field.default}`".lower()
    if field.default is None or field.default in ("", (), {}):
        default = "none" if field.default is None else "empty"
    assert f"| `{name}` | {default} | {field.description} |\n" in (DOCS / "configuration.md").read_text()


@pytest.mark.parametrize("part", BackendSuite.__bases__, ids=lambda part: part.__name__)
def test_class_of_the_suite_is_documented(part: type) -> None:
    assert f"\n`{part.__name__}`\n: " in (DOCS / "conformance-suite.md").read_text()


@pytest.mark.parametrize("option", ["profile NAME", "missing NAMES", "python COMMAND"])
def test_option_of_the_suite_is_documented(option: str) -> None:
    assert f"| `--clustrix-{option}` |" in (DOCS / "conformance-suite.md").read_text()


@pytest.mark.parametrize("name", CAPABILITIES)
def test_capability_is_documented(name: str) -> None:
    assert f"| `{name}` | {CAPABILITIES[name]} |\n" in (DOCS / "semantics.md").read_text()


@pytest.mark.parametrize("name", cli.commands)
def test_command_is_documented_with_its_arguments(name: str) -> None:
    command = cli.commands[name]
    _options, *arguments = command.collect_usage_pieces(click.Context(command))
    usage = " ".join(["clustrix", name, *arguments])
    for ours, pages in (("[PROFILE:]PATH", "PLACE"), ("...", "…"), ("|", r"\|")):
        usage = usage.replace(ours, pages)
    assert f"| `{usage}` | " in (DOCS / "command-line.md").read_text()


def test_exit_codes_are_documented() -> None:
    epilog = cli.epilog or ""
    page = (DOCS / "command-line.md").read_text()
    assert re.findall(r"^  (\d+) ", epilog, re.MULTILINE) == re.findall(r"^\| (\d+) \|", page, re.MULTILINE)


def test_files_that_readme_links_to_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (CHECKOUT / "README.md").read_text())
    assert links
    assert [link for link in links if not (CHECKOUT / link).is_file()] == []


if __name__ == "__main__":
    run_page(Path(sys.argv[1]))
