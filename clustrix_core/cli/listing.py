"""The commands that tell what there is: `ls`, `stat`, `find` and their like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import click

from clustrix_core.cli.failures import NO, OK, each, report
from clustrix_core.cli.output import Output, fields_of, human_size, output_options
from clustrix_core.cli.places import Place, Places, PlaceType, place_options, utf8
from clustrix_core.cli.progress import entries
from clustrix_core.meter import Meter

if TYPE_CHECKING:
    from clustrix_core.filesystem import ClusterFilesystem
    from clustrix_core.models import FileInfo
    from clustrix_core.stream import Stream

T = TypeVar("T")
Question = Callable[["ClusterFilesystem", str], bool]


def _pattern(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    return utf8(value)


class _PatternCommand(click.Command):
    """A command that guesses why it gets too many arguments."""

    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            raise click.UsageError(
                f"too many arguments, {rest[0]!r} being the first. If the shell made them of a pattern, "
                "quote it, as in '*.csv'",
                ctx,
            )
        return rest


pattern_argument = click.argument("pattern", callback=_pattern)
path_argument = click.argument("place", metavar="[[PROFILE:]PATH]", type=PlaceType(), default=".")
some_paths = click.argument("paths", metavar="[PROFILE:]PATH...", type=PlaceType(), nargs=-1, required=True)
any_paths = click.argument("paths", metavar="[[PROFILE:]PATH]...", type=PlaceType(), nargs=-1)
long_option = click.option(
    "-l", "--long", is_flag=True, help="Write a table: mode, links, owner, group, size, time, name."
)
human_option = click.option("-h", "--human", is_flag=True, help="Write sizes with units: 1.5K, 12M.")
on_error_option = click.option(
    "--on-error",
    type=click.Choice(["warn", "raise"]),
    default="warn",
    show_default=True,
    help="What a folder that can't be read does: it is left out (and the exit code is 3), or all ends.",
)


@click.command()
@path_argument
@long_option
@human_option
@output_options(null=True)
@place_options
def ls(place: Place, long: bool, human: bool, output: Output, places: Places) -> int:
    """List a folder, dotfiles included.

    By default it is the place's work dir.

    With --long and --json, the entries are objects with all that `stat` knows of them.
    """
    filesystem = places.filesystem(place.profile)
    if long:
        output.infos([filesystem.ls(place.path, detail=True)], "name", human)
    else:
        output.names([filesystem.ls(place.path)])
    return OK


@click.command()
@some_paths
@click.option("--no-follow", is_flag=True, help="Tell of a link itself, not of what it points to.")
@output_options(null=False)
@place_options
def stat(paths: Sequence[Place], no_follow: bool, output: Output, places: Places) -> int:
    """Tell size, mode, time and so on of files.

    The files of one place take one round trip. With --json this is an array of those that are there.
    """
    code = OK
    found: list[FileInfo] = []
    for item in _statuses(paths, not no_follow, places):
        if isinstance(item, OSError):
            code = max(code, report(item))
        else:
            found.append(item)
    output.status(found)
    return code


def _statuses(paths: Sequence[Place], follow: bool, places: Places) -> list[FileInfo | OSError]:
    """The status of each path, in order; one round trip for each place."""
    results: dict[int, FileInfo | OSError] = {}
    for profile in dict.fromkeys(place.profile for place in paths):
        numbers = [number for number, place in enumerate(paths) if place.profile == profile]
        asked = [paths[number].path for number in numbers]
        statuses = places.filesystem(profile).stat(asked, follow_symlinks=follow, on_error="return")
        results.update(zip(numbers, statuses, strict=True))
    return [results[number] for number in range(len(paths))]


def _question(name: str, summary: str, ask: Question) -> click.Command:
    """A command that asks the same of every path."""

    links = "Links are followed. Nothing is written: the exit code is 0 for yes, 1 if one is a no."

    @click.command(name, help=f"{summary}\n\n{links}")
    @some_paths
    @click.option("--json", "as_json", is_flag=True, help="Write the answers as one JSON document.")
    @place_options
    def command(paths: Sequence[Place], as_json: bool, places: Places) -> int:
        answers: list[dict[str, object]] = []

        def answer(place: Place) -> int:
            yes = ask(places.filesystem(place.profile), place.path)
            answers.append({"path": place.path, name: yes})
            return OK if yes else NO

        code = each(paths, answer)
        if as_json:
            Output().document(answers)
        return code

    return command


exists = _question("exists", "Tell whether files exist.", lambda place, path: place.exists(path))
isdir = _question("isdir", "Tell whether paths are folders.", lambda place, path: place.isdir(path))
isfile = _question("isfile", "Tell whether paths are regular files.", lambda place, path: place.isfile(path))


@click.command(cls=_PatternCommand)
@pattern_argument
@path_argument
@long_option
@human_option
@click.option(
    "--filetype",
    type=click.Choice(["f", "d", "l"]),
    default="f",
    show_default=True,
    help="What to find: regular files, directories or symbolic links.",
)
@click.option(
    "--max-depth",
    type=click.IntRange(min=1),
    metavar="N",
    help="How deep to go; 1 means the direct children.",
)
@click.option("-L", "--follow", is_flag=True, help="Follow symbolic links.")
@on_error_option
@output_options(null=True)
@place_options
def find(
    pattern: str,
    place: Place,
    long: bool,
    human: bool,
    filetype: Literal["f", "d", "l"],
    max_depth: int | None,
    follow: bool,
    on_error: Literal["warn", "raise"],
    output: Output,
    places: Places,
) -> int:
    """Find files by name, below a path.

    Quote the PATTERN, as in '*.csv'.

    It knows *, ?, [...] and [!...]; dotfiles match. One with a slash is matched against the whole
    path below the root, where ** is any number of folders. What is found is written as it comes, spelled
    from PATH. That nothing matches is no failure. With --long and --json the items are objects with all
    that `stat` knows.
    """
    with Meter(entries) as meter:
        found: Stream[Any] = places.filesystem(place.profile).iterfind(
            pattern,
            place.path,
            detail=cast("Literal[True]", long),
            type=filetype,
            max_depth=max_depth,
            follow_symlinks=follow,
            on_error=on_error,
            progress=meter.progress,
        )
        if long:
            output.infos(_cleared(found, meter), "path", human)
        else:
            output.paths(_cleared(found, meter))
    return OK


def _cleared(found: Stream[T], meter: Meter) -> Iterator[list[T]]:
    """The batches of a stream, before each of which the meter's line is taken away."""
    with found:
        for batch in found.batches():
            meter.clear()
            yield batch


@click.command(cls=_PatternCommand)
@pattern_argument
@path_argument
@on_error_option
@output_options(null=True)
@place_options
def glob(
    pattern: str, place: Place, on_error: Literal["warn", "raise"], output: Output, places: Places
) -> int:
    """Expand a shell pattern at a path.

    Quote the PATTERN, as in 'data/*.{csv,h5}'.

    It knows *, ?, [...], ** and braces; * skips dotfiles. That nothing matches is exit code 1.
    """
    with Meter(entries) as meter:
        found = places.filesystem(place.profile).glob(
            pattern, place.path, on_error=on_error, progress=meter.progress
        )
    return OK if output.paths([found]) else NO


@click.command()
@any_paths
@human_option
@on_error_option
@output_options(null=True)
@place_options
def du(
    paths: Sequence[Place], human: bool, on_error: Literal["warn", "raise"], output: Output, places: Places
) -> int:
    """Add up the files at and below paths.

    A line for each path has the bytes (apparent, hard links counted once), the number of files, and the
    path, with tabs between.
    """
    sums = []

    def add_up(place: Place) -> None:
        with Meter(entries) as meter:
            usage = places.filesystem(place.profile).du(
                place.path, on_error=on_error, progress=meter.progress
            )
        path = place.path or "."
        if output.as_json:
            sums.append({"path": path, **fields_of(usage)})
        else:
            size = human_size(usage.total_bytes) if human else usage.total_bytes
            output.line(f"{size}\t{usage.file_count}\t{output.name(path)}")

    code = each(paths or [Place(None, ".")], add_up)
    if output.as_json:
        output.document(sums)
    return code


@click.command("count-files")
@path_argument
@click.option(
    "--pattern", default="*", callback=_pattern, help="Count only names that match, as `find` does."
)
@on_error_option
@output_options(null=False)
@place_options
def count_files(
    place: Place, pattern: str, on_error: Literal["warn", "raise"], output: Output, places: Places
) -> int:
    """Count the files at and below a path.

    These are the regular files; links aren't counted.
    """
    with Meter(entries) as meter:
        count = places.filesystem(place.profile).count_files(
            place.path, pattern, on_error=on_error, progress=meter.progress
        )
    output.line(str(count))  # which is a JSON document, too
    return OK


@click.command()
@some_paths
@output_options(null=True)
@place_options
def readlink(paths: Sequence[Place], output: Output, places: Places) -> int:
    """Tell where symbolic links point."""
    targets: list[str] = []
    code = each(paths, lambda place: targets.append(places.filesystem(place.profile).readlink(place.path)))
    output.names([targets])
    return code


COMMANDS: Iterable[click.Command] = (ls, stat, exists, isdir, isfile, find, glob, du, count_files, readlink)
