"""What was measured, as a table for the terminal, as Markdown and as a plot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path
from statistics import median

METHOD = """\
Everything runs on one machine in one run, on trees made for it. Contenders take turns, and which of them
begins changes from round to round. What is compared is computed within each round; tables show medians over
the rounds. An untimed round comes first, so that the kernel's caches are warm and modules loaded. Every
round checks that all contenders give the same answer.

Python contenders run in processes that are already up, with the same version of Python and the garbage
collector on; fsspec has an environment of its own. GNU commands are started through `/bin/sh`, and their
start counts: a few milliseconds. What they write is read through a pipe, except where the name says
`/dev/null`.

Over SSH, all go to one throwaway host on the same machine, the sshd of a SLURM cluster, by relays that add 0,
10, 50 or 150 ms to each round trip, leave the bandwidth as it is, and count the round trips: how often the
client sends something after it has been sent something. `clustrix ssh` has its agent on the host, and
`clustrix slurm` as well, in an environment with a module. `ssh, multiplexed` runs a command, `$1` being the
path, over OpenSSH's master connection. fsspec's two file systems are its own sftp, on paramiko, and sshfs, on
asyncssh; the sshfs of FUSE is not measured, nor is clustrix 0.1.1 of PyPI, whose distribution has no
filesystem module. Lines of which nothing is asked have three rounds. At 0 ms and 1 GB the processor is the
limit: the client, the relay, sshd and what it starts share the cores.

Jobs go to a cluster of the same kind: Clustrix's over SSH, while `sbatch` and submitit are run in the cluster
itself, which is in their favour; and `sbatch` brings back no result. SLURM's scheduler takes what is
submitted in batches, so a pause of 4 s comes before each submission. loky, joblib and submitit are in the
environment that fsspec is in.

Loops have two workers, on however many cores. What is written by hand for joblib is a function for an
iteration and `Parallel(n_jobs=2)`, with its defaults.
"""


@dataclass(frozen=True)
class Row:
    """One thing that was measured, round by round, in the unit of its group.

    `compared` is what the group compares, computed within each round; its median must be at most `at_most`.
    """

    label: str
    samples: Sequence[float]
    compared: Sequence[float] = ()
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        return None if self.at_most is None else median(self.compared) <= self.at_most

    def cells(self) -> tuple[str, ...]:
        return (
            self.label,
            shown(median(self.samples)),
            f"{shown(min(self.samples))}-{shown(max(self.samples))}",
            shown(median(self.compared)) if self.compared else "",
            "" if self.at_most is None else f"<= {self.at_most:g}",
            {None: "", True: "met", False: "MISSED"}[self.met],
        )


@dataclass(frozen=True)
class Group:
    title: str
    unit: str
    comparison: str
    meaning: str
    rows: tuple[Row, ...]
    plotted: bool = False

    def table(self) -> list[tuple[str, ...]]:
        headings = ("", f"median {self.unit}", "min-max", self.comparison, "asked", "")
        return [headings, *(row.cells() for row in self.rows)]


@dataclass(frozen=True)
class Spread:
    """An operation over lines of various lengths. `rows` are what was measured on one of them."""

    title: str
    unit: str
    comparison: str
    meaning: str
    rows: tuple[Row, ...]
    lines: Sequence[str]
    medians: Sequence[Sequence[str]]
    plotted: bool = False

    def table(self) -> list[tuple[str, ...]]:
        headings = ("", *self.lines, self.comparison, "asked", "")
        cells = (
            (row.label, *medians, *row.cells()[3:])
            for row, medians in zip(self.rows, self.medians, strict=True)
        )
        return [headings, *cells]


Table = Group | Spread


def shown(value: float) -> str:
    """A number with three significant digits, or all the digits of its integer part."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def as_text(group: Table) -> str:
    table = group.table()
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [f"\n{group.title}"]
    for cells in table:
        numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        lines.append(f"  {cells[0].ljust(widths[0])}  {'  '.join(numbers)}".rstrip())
    return "\n".join(lines)


def as_markdown(group: Table) -> str:
    headings, *rows = group.table()
    rule = f"|---|{'--:|' * (len(headings) - 2)}---|"
    lines = [f"## {group.title}", "", group.meaning, "", _markdown_row(headings), rule]
    return "\n".join([*lines, *map(_markdown_row, rows), ""])


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def verdict(groups: Sequence[Table]) -> str:
    asked = [(group, row) for group in groups for row in group.rows if row.at_most is not None]
    missed = [f"\n- missed: {group.title}: {row.label}" for group, row in asked if not row.met]
    return f"{len(asked) - len(missed)} of {len(asked)} requirements are met." + "".join(missed)


def write(folder: Path, facts: dict[str, str], groups: Sequence[Table]) -> None:
    """Write RESULTS.md and results.png."""
    plotted = [group for group in groups if group.plotted]
    if plotted:
        plot(folder / "results.png", plotted)
    parts = [
        "# Results of the benchmarks",
        "",
        "Written by `make bench`. All figures are from one run.",
        "",
        verdict(groups),
        "",
        *(["![Times on a tree of 100,000 files](results.png)", ""] if plotted else []),
        *(f"- {name}: {fact}" for name, fact in facts.items()),
        "",
        "## How it was measured",
        "",
        METHOD,
        *map(as_markdown, groups),
    ]
    (folder / "RESULTS.md").write_text("\n".join(parts), encoding="utf-8")


def plot(path: Path, groups: Sequence[Table]) -> None:
    os.environ.setdefault("MPLBACKEND", "Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        len(groups),
        sharex=True,
        figsize=(9, 1.2 + 0.28 * sum(len(group.rows) + 1.5 for group in groups)),
        height_ratios=[len(group.rows) + 0.5 for group in groups],
        layout="constrained",
        squeeze=False,
    )
    for panel, group in zip(panels[:, 0], groups, strict=True):
        medians = [median(row.samples) for row in group.rows]
        colours = ["#c2410c"] + ["#94a3b8"] * (len(medians) - 1)
        bars = panel.barh([row.label for row in group.rows], medians, color=colours)
        panel.bar_label(bars, [f"{shown(value)} {group.unit}" for value in medians], padding=3, fontsize=8)
        panel.set_title(group.title, loc="left", fontsize=10, fontweight="bold")
        panel.set_xscale("log")
        panel.invert_yaxis()
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(y=0.02)
    every = [sample for group in groups for row in group.rows for sample in row.samples]
    panels[-1, 0].set_xlim(10 ** floor(log10(min(every))), 3 * max(every))
    panels[-1, 0].xaxis.set_major_formatter("{x:g}")
    panels[-1, 0].set_xlabel("milliseconds, logarithmic: shorter is better")
    figure.suptitle(
        "100,000 files in 1,000 folders; SSH at a round-trip time of 50 ms; medians\n", fontsize=11
    )
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
