"""The `clustrix` command.

`main` is all that others call. Start-up is kept cheap: the modules here import click and nothing else that
takes time; a command imports what it needs when it runs.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: the arguments, without the program's name; None means those of the process.

    Returns:
        The exit code: 0; 1 for a 'no' or something that isn't there; 2 for a wrong command line or config;
        3 for any other failure or a partial result; 130 when interrupted; 141 when whoever read the output
        left.
    """
    try:
        from clustrix_core.cli.app import run

        return run(args)
    except KeyboardInterrupt:
        return 130  # 128 and the number of SIGINT, as shells have it
