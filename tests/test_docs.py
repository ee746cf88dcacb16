"""What the documentation says is true: its code runs, and it leaves nothing out.

Each page runs in a process of its own, in a folder made as the quick start describes it. Of a page's fenced
blocks, in their order,

- `python` is run, all in one namespace; a comment behind an expression must be the `repr` of its value; and
  it is written to the file that its first line names, if it names one (`# NAME.py`);
- `console` is run where a command begins with `clustrix`, and its output compared, `...` being anything;
- `yaml` is written to `clustrix.yml`, and all its profiles must load.
"""

from __future__ import annotations

import ast
import doctest
import inspect
import os
import re
import subprocess
import sys
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
    for block in blocks(page):
        if block.language == "python":
            run_python(block, page, namespace)
        elif block.language == "console":
            run_console(block, page)
        elif block.language == "yaml":
            check_config(block)


def run_python(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    source = "\n" * block.line + block.code  # so that tracebacks have the page's lines
    lines = source.encode().splitlines()
    if named := re.match(r"# (\w+\.py)\n", block.code):
        Path(named[1]).write_text(block.code)
    for statement in ast.parse(source).body:
        code = compile(ast.Module([statement], []), str(page), "exec")
        comment = lines[(statement.end_lineno or 0) - 1][statement.end_col_offset :].decode().strip()
        if not isinstance(statement, ast.Expr) or not comment:
            exec(code, namespace)
            continue
        value = repr(eval(compile(ast.Expression(statement.value), str(page), "eval"), namespace))
        assert f"# {value}" == comment, f"{page}:{statement.lineno}: the value is {value}"


def run_console(block: Block, page: Path) -> None:
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.code, re.MULTILINE):
        if not command.startswith("clustrix "):
            continue
        done = subprocess.run(
            ["sh", "-c", command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        # The pages show files of user 1000.
        output = re.sub(rf"\b{os.getuid()}([ :]){os.getgid()}\b", r"1000\g<1>1000", done.stdout)
        same = doctest.OutputChecker().check_output(expected, output, doctest.ELLIPSIS)
        assert same, f"{page}: {command} writes\n{output}"


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
    python_path = os.pathsep.join(map(str, [*paths, Path(__file__).parent]))
    return {**clean, "HOME": str(folder), "PATH": programs, "PYTHONPATH": python_path, "TZ": "UTC"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
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


@pytest.mark.parametrize("language", ["python", "console", "yaml"])
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
    default = "none" if field.default is None else f"`{field.default}`" if field.default else "empty"
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
