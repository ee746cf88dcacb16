"""`@cluster` in the cells of a notebook: a real Jupyter kernel."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

PATIENCE = 60.0


class Cell(NamedTuple):
    """What running a cell gave: its last value, lines shown meanwhile, what it printed, its error."""

    value: str | None
    lines: list[str]
    text: str
    error: str | None


class Notebook:
    def __init__(self, folder: Path) -> None:
        self.manager = KernelManager()
        environment = {
            **os.environ,
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        self.manager.start_kernel(cwd=str(folder), env=environment)
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def run(self, source: str, *, interrupt_at: str | None = None) -> Cell:
        """Run a cell; interrupt it, as the button does, once a line says this."""
        asked = self.client.execute(source)
        value, lines, text, error = None, [], "", None
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind in ("display_data", "update_display_data"):
                lines.append(content["data"]["text/plain"])
            elif kind == "execute_result":
                value = content["data"]["text/plain"]
            elif kind == "stream":
                text += content["text"]
            elif kind == "error":
                error = content["ename"]
            elif kind == "status" and content["execution_state"] == "idle":
                return Cell(value, lines, text, error)
            if interrupt_at is not None and any(interrupt_at in line for line in lines[-1:]):
                self.manager.interrupt_kernel()
                interrupt_at = None

    def children(self) -> list[Any]:
        return psutil.Process(self.manager.provisioner.pid).children(recursive=True)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    made = Notebook(tmp_path_factory.mktemp("notebook"))
    try:
        made.run(
            "import time\n"
            "from clustrix import cluster\n"
            "factor = 3\n"
            "def helper(number): return factor * number\n"
            "@cluster\n"
            "def triple(number, seconds=0):\n"
            "    time.sleep(seconds)\n"
            "    return helper(number)\n"
        )
        yield made
    finally:
        made.close()


def test_functions_of_cells_run_as_jobs(notebook: Notebook) -> None:
    assert notebook.run("triple(2)") == Cell("6", [], "", None)
    assert notebook.run("list(triple.map(range(4)))").value == "[0, 3, 6, 9]"
    assert notebook.run("triple.submit(5).result()").value == "15"


def test_what_a_cell_changes_counts(notebook: Notebook) -> None:
    assert notebook.run("factor = 10; changed = triple(2); factor = 3; changed").value == "20"


def test_a_job_tells_its_state(notebook: Notebook) -> None:
    shown = notebook.run(
        "from clustrix_core.jobs.waiting import result_of\nresult_of(triple.submit(1, seconds=2))"
    )
    assert shown.value == "3"
    assert any(re.search(r"triple: (pending|running), 0:00:0\d", line) for line in shown.lines), shown.lines
    assert shown.lines[-1] == ""


def test_exceptions_are_the_functions_own(notebook: Notebook) -> None:
    failed = notebook.run("@cluster\ndef invert(x): return 1 / x\ninvert(0)")
    assert failed.error == "ZeroDivisionError"


def test_the_interrupt_button_ends_the_call(notebook: Notebook) -> None:
    stopped = notebook.run("result_of(triple.submit(1, seconds=300))", interrupt_at="triple: ")
    assert stopped.error == "KeyboardInterrupt"
    assert notebook.run("triple(2)").value == "6"
