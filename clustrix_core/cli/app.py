"""The command `clustrix` as a whole: its commands, and what becomes of failures."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Sequence

import click

from clustrix_core._version import __version__
from clustrix_core.cli import about, authoring, copying, doctor, jobs, listing, loops
from clustrix_core.cli.failures import CLOSED, OK, report, report_warnings, write_error
from clustrix_core.cli.output import OutputClosedError, drop_output
from clustrix_core.cli.plugged import PluggedGroup


@click.group(
    cls=PluggedGroup,
    no_args_is_help=False,
    context_settings={"max_content_width": 100},
    epilog="""\b
Exit codes:
  0    all is well
  1    no, or there is no such file
  2    the command line or the config is wrong
  3    anything else failed, or the result is partial (what was left out is named on stderr)
  130  interrupted
  141  whoever read the output left""",
)
@click.version_option(__version__, prog_name="clustrix", message="%(prog)s %(version)s")
@click.option("--trace", is_flag=True, help="Write a line for each operation, with its time, to stderr.")
@click.option("--debug", is_flag=True, help="Show where failures come from, as Python's tracebacks.")
@click.pass_context
def cli(context: click.Context, trace: bool, debug: bool) -> None:
    """Work with the files of this machine, of a host behind SSH, or of a cluster.

    PROFILE:PATH is a path in the place of a profile of clustrix.yml; one that is relative starts at its
    work dir. A PATH alone is in the place that the options --profile, --type, --host, --user and --workdir
    describe, else in that of the active config (`clustrix config` shows it). Only a colon before the first
    slash ends a profile's name: ./a:b is a path. After -- nothing is an option.

    Names are written raw, one a line; on a terminal those with odd characters are quoted for the shell.
    Tables always quote. --null ends names with a NUL byte. In JSON a byte that is no UTF-8 is a lone
    surrogate, as Python's surrogateescape has it.
    """
    if trace:
        _print_trace(context)


for command in (
    *listing.COMMANDS,
    *copying.COMMANDS,
    *doctor.COMMANDS,
    *jobs.COMMANDS,
    *loops.COMMANDS,
    *authoring.COMMANDS,
    *about.COMMANDS,
):
    cli.add_command(command)


def run(args: Sequence[str] | None) -> int:
    """Run a command line; see `clustrix_core.cli.main`."""
    if "_CLUSTRIX_COMPLETE" in os.environ:
        from clustrix_core.cli.completion import complete

        return complete(cli)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        code = _code_of(list(sys.argv[1:] if args is None else args))
    return max(code, report_warnings(caught))


def _code_of(args: list[str]) -> int:
    debug = False
    try:
        with cli.make_context("clustrix", args) as context:
            debug = context.params["debug"]
            return cli.invoke(context) or OK
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:  # Ctrl-C or Ctrl-D at a question
        click.echo(err=True)
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        write_error(shown.getvalue().rstrip("\n"))
        return error.exit_code
    except OutputClosedError:
        return CLOSED
    except BrokenPipeError:  # of what click writes: a help page
        drop_output()
        return CLOSED
    except Exception as error:
        if debug:
            import traceback

            write_error(traceback.format_exc().rstrip("\n"))
        return report(error)


def _print_trace(context: click.Context) -> None:
    """Write the records of the extension `trace` to standard error, while the command runs."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("clustrix.trace")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    context.call_on_close(lambda: logger.removeHandler(handler))
