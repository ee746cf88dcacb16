"""Backends that are wrong in one way each, to see that the conformance suite catches them.

Each quotes the words of `docs/semantics.md` that it breaks, and names the test that has to fail for it.
"""

from __future__ import annotations

import errno
import fnmatch
import io
import os
import re
import subprocess
import threading
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from clustrix_core import DiskUsage, FileInfo, Stream, hookimpl
from clustrix_core.engine import Engine
from clustrix_core.errors import ClustrixError, PartialResultWarning
from clustrix_core.testing import CAPABILITIES
from clustrix_local import LocalBackend


class Fault(NamedTuple):
    backend: type[Faulty]
    promise: str
    """Words of `docs/semantics.md`."""
    test: str
    """The test of the suite that fails, with its parameters."""


FAULTS: list[Fault] = []


def breaks(promise: str, caught_by: str) -> Callable[[type[Faulty]], type[Faulty]]:
    def note(backend: type[Faulty]) -> type[Faulty]:
        FAULTS.append(Fault(backend, promise, caught_by))
        return backend

    return note


class Faulty(LocalBackend):
    """A backend without fault. Others override one operation, by its plain name."""

    missing: Iterable[str] = ()
    """The capabilities that its place declares as missing."""
    patience = 60.0
    """How long the suite waits for it, in seconds."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.root = config.local_work_dir

    def real(self, path: str) -> str:
        return os.path.join(self.root, os.path.expanduser(path))

    def ls(self, **given: Any) -> Any:
        return super().clustrix_ls(**given)

    def find(self, **given: Any) -> Any:
        return super().clustrix_find(**given)

    def stat(self, **given: Any) -> Any:
        return super().clustrix_stat(**given)

    def exists(self, path: str) -> bool:
        return super().clustrix_exists(path)

    def isdir(self, path: str) -> bool:
        return super().clustrix_isdir(path)

    def isfile(self, path: str) -> bool:
        return super().clustrix_isfile(path)

    def glob(self, **given: Any) -> list[str]:
        return super().clustrix_glob(**given)

    def du(self, **given: Any) -> DiskUsage:
        return super().clustrix_du(**given)

    def count_files(self, **given: Any) -> int:
        return super().clustrix_count_files(**given)

    def readlink(self, path: str) -> str:
        return super().clustrix_readlink(path)

    def open(self, path: str, mode: str) -> Any:
        return super().clustrix_open(path, mode)

    def get(self, **given: Any) -> int:
        return super().clustrix_get(**given)

    def put(self, **given: Any) -> int:
        return super().clustrix_put(**given)

    @hookimpl
    def clustrix_ls(self, path, detail):
        return self.ls(path=path, detail=detail)

    @hookimpl
    def clustrix_find(self, pattern, path, detail, type, max_depth, follow_symlinks, on_error, progress):
        options = {"max_depth": max_depth, "follow_symlinks": follow_symlinks}
        options |= {"on_error": on_error, "progress": progress}
        return self.find(pattern=pattern, path=path, detail=detail, type=type, **options)

    @hookimpl
    def clustrix_stat(self, paths, follow_symlinks, on_error):
        return self.stat(paths=paths, follow_symlinks=follow_symlinks, on_error=on_error)

    @hookimpl
    def clustrix_exists(self, path):
        return self.exists(path)

    @hookimpl
    def clustrix_isdir(self, path):
        return self.isdir(path)

    @hookimpl
    def clustrix_isfile(self, path):
        return self.isfile(path)

    @hookimpl
    def clustrix_glob(self, pattern, path, on_error, progress):
        return self.glob(pattern=pattern, path=path, on_error=on_error, progress=progress)

    @hookimpl
    def clustrix_du(self, path, on_error, progress):
        return self.du(path=path, on_error=on_error, progress=progress)

    @hookimpl
    def clustrix_count_files(self, path, pattern, on_error, progress):
        return self.count_files(path=path, pattern=pattern, on_error=on_error, progress=progress)

    @hookimpl
    def clustrix_readlink(self, path):
        return self.readlink(path)

    @hookimpl
    def clustrix_open(self, path, mode):
        return self.open(path, mode)

    @hookimpl
    def clustrix_get(self, path, target, progress):
        return self.get(path=path, target=target, progress=progress)

    @hookimpl
    def clustrix_put(self, source, path, progress):
        return self.put(source=source, path=path, progress=progress)

    def sized_files(self, path: str) -> list[FileInfo]:
        """The regular files of which a status can be had; those without are left out in silence."""
        options = {"max_depth": None, "follow_symlinks": False, "on_error": "warn", "progress": None}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: Any = LocalBackend.clustrix_find(self, "*", path, True, "f", **options)
            return found.read()


def edited(found: Stream[Any], edit: Callable[[str], str]) -> Stream[Any]:
    """A stream of other paths."""
    return Stream([renamed(one, edit) for one in batch] for batch in found.batches())


def kept(found: Stream[Any], keep: Callable[[str], object]) -> Stream[Any]:
    """A stream of fewer paths."""
    return Stream([one for one in batch if keep(path_of(one))] for batch in found.batches())


def path_of(one: Any) -> str:
    return one if isinstance(one, str) else one.path


def renamed(one: Any, edit: Callable[[str], str]) -> Any:
    return edit(one) if isinstance(one, str) else replace(one, path=edit(one.path))


def retold(found: list[Any], **edits: Callable[[FileInfo], Any]) -> list[Any]:
    """Other values of the fields of `FileInfo`s; errors among them stay."""
    return [
        one if isinstance(one, OSError) else replace(one, **{name: edit(one) for name, edit in edits.items()})
        for one in found
    ]


# --- names and paths


@breaks("newlines and", "test_ls_gives_all_names_in_byte_order[odd/files]")
class SplitsNamesAtNewlines(Faulty):
    def ls(self, **given):
        names = super().ls(**given)
        return names if given["detail"] else "\n".join(names).split("\n") if names else []


@breaks("bytes that are no UTF-8 included", "test_ls_gives_all_names_in_byte_order[odd/folders]")
class ReplacesBytes(Faulty):
    def ls(self, **given):
        names = super().ls(**given)
        return names if given["detail"] else [os.fsencode(name).decode("utf-8", "replace") for name in names]


@breaks("Every name that a POSIX filesystem allows", "test_find_keeps_every_odd_name_whole")
class NormalizesNames(Faulty):
    def find(self, **given):
        return edited(super().find(**given), lambda path: unicodedata.normalize("NFC", path))


@breaks("survives", "test_find_keeps_every_odd_name_whole")
class StripsNames(Faulty):
    def find(self, **given):
        return edited(super().find(**given), str.rstrip)


@breaks("and can be given back", "test_open_takes_odd_names")
class CleansNames(Faulty):
    def open(self, path, mode):
        return super().open(path.replace("\n", "_").replace("*", "_"), mode)


@breaks("**Relative paths** start at the work dir", "test_ls_without_a_path_lists_the_work_dir")
class IgnoresTheWorkDir(Faulty):
    def ls(self, **given):
        self._engine = Engine()
        return super().ls(**given)


@breaks("is the home folder *of the place*", "test_ls_takes_every_spelling_of_a_path[~]")
class TakesATildeForAName(Faulty):
    def ls(self, **given):
        path = given["path"]
        return super().ls(**given | {"path": f"./{path}" if path.startswith("~") else path})


@breaks("shows expanded in results", "test_find_spells_results_from_the_given_path[~/sub]")
class ShowsTildes(Faulty):
    def find(self, **given):
        home = os.path.expanduser("~")
        return edited(super().find(**given), lambda path: re.sub(f"^{re.escape(home)}", "~", path))


@breaks("`~user` is a plain name", "test_stat_takes_every_spelling_of_a_path[~root]")
class ExpandsUsers(Faulty):
    def stat(self, **given):
        return super().stat(**given | {"paths": [os.path.expanduser(path) for path in given["paths"]]})


@breaks("is spelled `./~`", "test_find_spells_a_leading_tilde_so_that_it_is_not_expanded")
class GivesLeadingTildes(Faulty):
    def find(self, **given):
        bare = given["path"] == "."
        return edited(super().find(**given), lambda path: path[2:] if bare and path[:2] == "./" else path)


@breaks(
    "Results are spelled from the path that was given",
    "test_find_spells_results_from_the_given_path[project]",
)
class GivesAbsolutePaths(Faulty):
    def find(self, **given):
        return super().find(**given | {"path": self.real(given["path"])})


@breaks("What one call returns, the next call takes", "test_find_results_lead_back_into_stat_and_open")
class EscapesResults(Faulty):
    def find(self, **given):
        return edited(super().find(**given), lambda path: path.replace("\\", "\\\\"))


@breaks("they are bare", "test_find_spells_results_from_the_given_path[.]")
class BeginsWithADot(Faulty):
    def find(self, **given):
        dotted = given["path"] == "."
        return edited(super().find(**given), lambda path: f"./{path}" if dotted else path)


@breaks("loses its slashes at the end", "test_find_spells_results_from_the_given_path[project//]")
class KeepsSlashes(Faulty):
    def find(self, **given):
        given_path = given["path"]
        root = given_path.rstrip("/")
        if root == given_path or not root:
            return super().find(**given)
        return edited(super().find(**given), lambda path: f"{given_path}{path[len(root) + 1 :]}")


@breaks("are always bare", "test_ls_takes_every_spelling_of_a_path[~/sub]")
class ListsPaths(Faulty):
    def ls(self, **given):
        names = super().ls(**given)
        return names if given["detail"] else [f"{given['path']}/{name}" for name in names]


@breaks("of its details is spelled from the root", "test_ls_detail_tells_of_the_entries_themselves[order]")
class DetailsOfBareNames(Faulty):
    def ls(self, **given):
        found = super().ls(**given)
        return retold(found, path=lambda info: info.name) if given["detail"] else found


@breaks("also as the root of a recursion", "test_find_follows_a_link_that_is_given")
class StaysAtALink(Faulty):
    def find(self, **given):
        return Stream([]) if os.path.islink(self.real(given["path"])) else super().find(**given)


@breaks("**A path that is given is followed**", "test_open_reads_through_links")
class DoesNotOpenLinks(Faulty):
    def open(self, path, mode):
        if os.path.islink(self.real(path)):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return super().open(path, mode)


@breaks("in the order of the bytes", "test_ls_gives_all_names_in_byte_order[order]")
class Unsorted(Faulty):
    def ls(self, **given):
        return super().ls(**given)[::-1]


@breaks("of the spelled paths", "test_find_sorts_whole_paths_by_bytes[f]")
class SortsByCharacters(Faulty):
    def find(self, **given):
        return Stream([sorted(super().find(**given).read(), key=path_of)])


@breaks("and also folders", "test_find_sorts_whole_paths_by_bytes[d]")
class SortsFoldersInPreorder(Faulty):
    def find(self, **given):
        found = super().find(**given)
        if given["type"] != "d":
            return found
        return Stream([sorted(found.read(), key=lambda one: os.fsencode(path_of(one)).split(b"/"))])


@breaks("also when they are streamed", "test_find_sorts_whole_paths_by_bytes[f]")
class GivesFoldersAsTheyCome(Faulty):
    def find(self, **given):
        return Stream([sorted(super().find(**given).read(), key=lambda one: path_of(one).count("/"))])


@breaks("Beyond it single calls raise `OSError`", "test_what_is_too_long_raises")
class DeniesWhatIsTooLong(Faulty):
    def exists(self, path):
        try:
            return super().exists(path)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return False


@breaks("recursions report the place", "test_recursions_report_what_is_beyond_path_max")
class IsSilentBeyondPathMax(Faulty):
    def find(self, **given):
        return Stream(self.in_silence(super().find(**given)))

    def in_silence(self, found):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield found.read()


# --- ls


@breaks("The names in a folder", "test_ls_goes_a_thousand_levels_down")
class ListsNothingDeepDown(Faulty):
    def ls(self, **given):
        return [] if given["path"].count("/") > 500 else super().ls(**given)


@breaks("dotfiles included, without", "test_ls_gives_dotfiles_but_not_the_folder_and_its_parent")
class LosesDotfilesOfLs(Faulty):
    def ls(self, **given):
        return [one for one in super().ls(**given) if not path_of(one).rpartition("/")[2].startswith(".")]


@breaks("without `.` and `..`", "test_ls_gives_dotfiles_but_not_the_folder_and_its_parent")
class ListsDots(Faulty):
    def ls(self, **given):
        found = super().ls(**given)
        return found if given["detail"] else [".", "..", *found]


@breaks("Of a file: `NotADirectoryError`", "test_ls_of_what_is_no_folder_raises[project/top.csv-20]")
class ListsFiles(Faulty):
    def ls(self, **given):
        if os.path.isfile(self.real(given["path"])):
            return [os.path.basename(given["path"])]
        return super().ls(**given)


@breaks("links are not followed", "test_ls_detail_tells_of_the_entries_themselves[links]")
class FollowsInDetailsOfLs(Faulty):
    def ls(self, **given):
        found = super().ls(**given)
        if not given["detail"]:
            return found
        followed = super().stat(paths=[info.path for info in found], follow_symlinks=True, on_error="return")
        return [old if isinstance(new, OSError) else new for old, new in zip(found, followed, strict=True)]


# --- find: what it gives


@breaks("Regular files below `path`", "test_find_gives_regular_files_by_default")
class GivesSpecialFiles(Faulty):
    def find(self, **given):
        found = super().find(**given).read()
        if given["path"] == "special" and not given["detail"] and given["type"] == "f":
            found = sorted([*found, "special/fifo"])
        return Stream([found])


@breaks("whose name matches", "test_find_keeps_all_its_options_together[as they are-f]")
class IgnoresThePatternInDetail(Faulty):
    def find(self, **given):
        return super().find(**given | {"pattern": "*"} if given["detail"] else given)


@breaks("is the same as a stream", "test_iterfind_streams_its_results")
class LoadsBeforeItStreams(Faulty):
    def find(self, **given):
        return Stream([super().find(**given).read()])


@breaks("`iterfind`", "test_iterfind_streams_side_by_side")
class BlocksWhileItStreams(Faulty):
    patience = 0.5

    def __init__(self, config):
        super().__init__(config)
        self.lock = threading.Lock()

    def find(self, **given):
        return Stream(self.alone(super().find(**given)))

    def alone(self, found):
        with self.lock:
            yield from found.batches()

    def isdir(self, path):
        with self.lock:
            return super().isdir(path)


@breaks("It is case-sensitive", "test_find_keeps_a_rule_of_matching[a.csv-names1-case matters]")
class IgnoresCase(Faulty):
    def find(self, **given):
        pattern = f"*/{given['pattern'].lower()}"
        found = super().find(**given | {"pattern": "*"})
        return kept(found, lambda path: fnmatch.fnmatchcase(path.lower(), pattern))


@breaks("`*` matches dotfiles", "test_find_gives_dotfiles_and_goes_into_dot_folders")
class LosesDotfiles(Faulty):
    def find(self, **given):
        return kept(super().find(**given), lambda path: "/." not in path)


@breaks(
    "An unclosed bracket stands for itself",
    "test_find_keeps_a_rule_of_matching[[-names11-an unclosed bracket is literal]",
)
class FindsNothingInUnclosedBrackets(Faulty):
    def find(self, **given):
        pattern = given["pattern"]
        return super().find(**given) if pattern.count("[") <= pattern.count("]") else Stream([])


@breaks("A reversed range", "test_find_matches_names_by_the_rules")
class SwapsReversedRanges(Faulty):
    def find(self, **given):
        return super().find(**given | {"pattern": given["pattern"].replace("z-a", "a-z")})


@breaks("and `[!…]`", "test_find_matches_names_by_the_rules")
class NegatesByCarets(Faulty):
    def find(self, **given):
        return super().find(**given | {"pattern": given["pattern"].replace("[^", "[!")})


@breaks(
    "is matched against the name",
    "test_find_keeps_a_rule_of_matching[{a,b}-names14-braces are plain characters to find]",
)
class ExpandsBracesInFind(Faulty):
    def find(self, **given):
        if given["pattern"] != "{a,b}":
            return super().find(**given)
        both = (
            super().find(**given | {"pattern": "a"}).read() + super().find(**given | {"pattern": "b"}).read()
        )
        return Stream([both])


@breaks(
    "is matched against the whole path below the root",
    "test_find_keeps_all_its_options_together[as they are-l]",
)
class MatchesNamesInDetail(Faulty):
    def find(self, **given):
        name = given["pattern"].rpartition("/")[2]
        return super().find(**given | {"pattern": name} if given["detail"] else given)


@breaks("A pattern with a slash", "test_find_anchors_a_path_pattern_at_the_root")
class FloatsPatterns(Faulty):
    def find(self, **given):
        pattern = given["pattern"]
        floating = "/" in pattern and not pattern.startswith((".", "/"))
        return super().find(**given | {"pattern": f"**/{pattern}" if floating else pattern})


@breaks("is any number of components, none included", "test_find_matches_paths_by_the_rules[f]")
class LosesStars(Faulty):
    def find(self, **given):
        return super().find(**given | {"pattern": given["pattern"].replace("*/**/", "**/")})


@breaks("none included", "test_find_matches_paths_by_the_rules[d]")
class WantsAFolderForStars(Faulty):
    def find(self, **given):
        return super().find(**given | {"pattern": given["pattern"].replace("**/", "**/*/")})


@breaks(
    "A pattern that is empty, begins or ends with a slash", "test_find_refuses_patterns_that_cannot_match[x/]"
)
class TakesAnyPattern(Faulty):
    def find(self, **given):
        return super().find(**given | {"pattern": given["pattern"].strip("/") or "*"})


# --- find: its options


@breaks("folders without the root", "test_find_leaves_out_the_root")
class GivesTheRoot(Faulty):
    def find(self, **given):
        found = super().find(**given)
        if given["type"] != "d" or given["detail"] or given["pattern"] != given["path"]:
            return found
        return Stream([[given["path"]], *found.batches()])


@breaks('or links (`"l"`)', "test_find_gives_links_by_type")
class LosesBrokenLinks(Faulty):
    def find(self, **given):
        found = super().find(**given)
        return found if given["type"] != "l" else kept(found, lambda path: os.path.exists(self.real(path)))


@breaks("1 means the direct children", "test_find_goes_max_depth_deep[1-f]")
class GoesOneLevelTooDeep(Faulty):
    def find(self, **given):
        depth = given["max_depth"]
        return super().find(**given | {"max_depth": depth and depth + 1})


@breaks("How deep to go", "test_find_keeps_all_its_options_together[as they are-d]")
class IgnoresTheDepthInDetail(Faulty):
    def find(self, **given):
        return super().find(**given | {"max_depth": None} if given["detail"] else given)


@breaks("How deep to go", "test_find_keeps_all_its_options_together[followed-f]")
class IgnoresTheDepthOfLinks(Faulty):
    def find(self, **given):
        return super().find(**given | {"max_depth": None} if given["follow_symlinks"] else given)


@breaks(
    "By default links to folders are not entered", "test_find_neither_enters_links_nor_gives_them_as_files"
)
class FollowsLinks(Faulty):
    def find(self, **given):
        return super().find(**given | {"follow_symlinks": True})


@breaks("a link counts as what it points to", "test_find_follows_links_as_gnu_find_does[links-f]")
class IgnoresFollowSymlinks(Faulty):
    def find(self, **given):
        return super().find(**given | {"follow_symlinks": False})


@breaks("unless they are their own ancestor", "test_find_follows_links_to_folders")
class GoesRoundLoops(Faulty):
    def find(self, **given):
        found = super().find(**given)
        if not given["follow_symlinks"] or given["type"] != "d" or given["detail"]:
            return found
        again = [f"{path}/up/{path.rpartition('/')[2]}" for path in found if path.endswith("/folder")]
        return Stream([sorted([*super().find(**given), *again], key=os.fsencode)])


@breaks("folders behind links are entered", "test_find_follows_links_to_folders")
class EntersEachFolderOnce(Faulty):
    def find(self, **given):
        seen: set[str] = set()
        if not given["follow_symlinks"]:
            return super().find(**given)
        found, fresh = super().find(**given).read(), []
        for one in found:
            real = os.path.realpath(self.real(path_of(one)))
            if real not in seen:
                fresh.append(one)
            seen.add(real)
        return Stream([fresh])


@breaks("only broken links are links", "test_find_follows_links_as_gnu_find_does[links-l]")
class KeepsLinksThatItFollows(Faulty):
    def find(self, **given):
        return super().find(**given | {"follow_symlinks": given["follow_symlinks"] and given["type"] != "l"})


@breaks("`FileInfo`s instead of paths", "test_find_detail_tells_what_lstat_tells[modes-f]")
class TellsLittleInDetail(Faulty):
    def find(self, **given):
        found = super().find(**given)
        if not given["detail"]:
            return found
        return Stream(retold(batch, mode=lambda info: info.mode & ~0o7777) for batch in found.batches())


@breaks("What to do about folders that can't be read", "test_recursions_raise_if_asked[find]")
class DropsOnErrorOfFind(Faulty):
    def find(self, **given):
        return super().find(**given | {"on_error": "warn"})


@breaks("`progress=None`", "test_find_reports_progress")
class ForgetsProgressOfFind(Faulty):
    def find(self, **given):
        return super().find(**given | {"progress": None})


@breaks("`progress=None`", "test_find_reports_progress")
class CountsProgressBackwards(Faulty):
    def find(self, **given):
        report = given["progress"]
        backwards = report and (lambda done, total: report(10**6 - done, total))
        return super().find(**given | {"progress": backwards})


@breaks("`progress=None`", "test_glob_reports_progress")
class ForgetsProgressOfGlob(Faulty):
    def glob(self, **given):
        return super().glob(**given | {"progress": None})


@breaks("`progress=None`", "test_du_and_count_files_report_progress")
class ForgetsProgressOfDu(Faulty):
    def du(self, **given):
        return super().du(**given | {"progress": None})


@breaks("A root that is a file is itself a candidate", "test_find_takes_a_file_as_root_for_a_candidate")
class FindsNothingInAFile(Faulty):
    def find(self, **given):
        return super().find(**given) if os.path.isdir(self.real(given["path"])) else Stream([])


@breaks(
    "A root that is missing, or can't be read, raises", "test_find_below_what_is_missing_raises[missing-2]"
)
class FindsNothingInNothing(Faulty):
    def find(self, **given):
        return super().find(**given) if os.path.lexists(self.real(given["path"])) else Stream([])


# --- stat and what is near


@breaks("A `FileInfo` has `size`", "test_stat_knows_sizes_over_4_gib")
class CutsSizes(Faulty):
    def stat(self, **given):
        return retold(super().stat(**given), size=lambda info: info.size & 0xFFFFFFFF)


@breaks("seconds since the epoch, a float", "test_stat_derives_its_fields_from_mode_and_time")
class TellsMilliseconds(Faulty):
    def stat(self, **given):
        return retold(super().stat(**given), modified=lambda info: info.modified * 1000)


@breaks("seconds since the epoch, a float", "test_ls_detail_tells_of_the_entries_themselves[times]")
class TellsMillisecondsInLs(Faulty):
    def ls(self, **given):
        found = super().ls(**given)
        return retold(found, modified=lambda info: info.modified * 1000) if given["detail"] else found


@breaks("seconds since the epoch, a float", "test_find_detail_tells_what_lstat_tells[times-f]")
class RoundsTimesInFind(Faulty):
    def find(self, **given):
        found = super().find(**given)
        if not given["detail"]:
            return found
        return Stream(retold(batch, modified=lambda info: round(info.modified)) for batch in found.batches())


@breaks("three octal digits", "test_stat_derives_its_fields_from_mode_and_time")
class TellsDecimalPermissions(Faulty):
    def stat(self, **given):
        return retold(super().stat(**given), permissions=lambda info: str(info.mode & 0o777))


@breaks("`mode`, `mtime_ns`", "test_stat_shows_permissions[4755]")
class LosesSetuid(Faulty):
    def stat(self, **given):
        return retold(super().stat(**given), mode=lambda info: info.mode & ~0o7000)


@breaks("`uid`, `gid`, `nlink`", "test_stat_tells_what_os_stat_tells")
class SwapsOwners(Faulty):
    def stat(self, **given):
        return retold(super().stat(**given), uid=lambda info: info.gid, gid=lambda info: info.uid)


@breaks("as given, `~` expanded", "test_stat_takes_every_spelling_of_a_path[project]")
class StatsAbsolutePaths(Faulty):
    def stat(self, **given):
        return retold(super().stat(**given), path=lambda info: self.real(info.path))


@breaks("and `name`", "test_stat_names_the_last_component")
class NamesAWholePath(Faulty):
    def stat(self, **given):
        return retold(super().stat(**given), name=lambda info: info.path)


@breaks("Links are followed, unless `follow_symlinks=False`", "test_stat_follows_links_unless_told_otherwise")
class FollowsInStat(Faulty):
    def stat(self, **given):
        return super().stat(**given | {"follow_symlinks": True})


@breaks("Links are followed, unless `follow_symlinks=False`", "test_stat_follows_links_unless_told_otherwise")
class NeverFollowsInStat(Faulty):
    def stat(self, **given):
        return super().stat(**given | {"follow_symlinks": False})


@breaks("Links are followed, unless `follow_symlinks=False`", "test_stat_follows_links_unless_told_otherwise")
class FollowsWhereItReturnsErrors(Faulty):
    def stat(self, **given):
        follow = given["follow_symlinks"] or given["on_error"] == "return"
        return super().stat(**given | {"follow_symlinks": follow})


@breaks("Of a list of paths, a list", "test_stat_of_many_keeps_order_and_copies")
class SortsStat(Faulty):
    def stat(self, **given):
        return super().stat(**given | {"paths": sorted(given["paths"])})


@breaks(
    "the first failure, in the order of the list, is raised", "test_stat_of_many_raises_the_first_failure"
)
class RaisesTheLastFailure(Faulty):
    def stat(self, **given):
        found = super().stat(**given | {"on_error": "return"})
        failures = [one for one in found if isinstance(one, OSError)]
        if failures and given["on_error"] == "raise":
            raise failures[-1]
        return found


@breaks("each failure stands in its place", "test_stat_of_many_returns_failures_in_their_place")
class LosesFailures(Faulty):
    def stat(self, **given):
        return [one for one in super().stat(**given) if not isinstance(one, OSError)]


@breaks("Whether it is there, is a folder", "test_exists_isdir_isfile_tell_what_os_path_tells")
class TakesAllForFiles(Faulty):
    def isfile(self, path):
        return self.exists(path) and not self.isdir(path)


@breaks("Links are followed. False for", "test_exists_is_false_where_nothing_is[links/broken.csv]")
class BelievesInBrokenLinks(Faulty):
    def exists(self, path):
        return os.path.lexists(self.real(path))


@breaks("False for `ENOENT`, `ENOTDIR` and `ELOOP` only", "test_exists_is_false_where_nothing_is[links/loop]")
class StumblesOverLoops(Faulty):
    def isdir(self, path):
        try:
            os.stat(self.real(path))
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise
        return super().isdir(path)


@breaks("any other failure raises, as the answer isn't known", "test_what_may_not_be_read_raises[exists]")
class DeniesWhatItMayNotSee(Faulty):
    def exists(self, path):
        return os.path.exists(self.real(path))


@breaks("Where a link points, as it is written", "test_readlink_gives_links_as_they_are")
class ResolvesLinks(Faulty):
    def readlink(self, path):
        return os.path.join(os.path.dirname(path), super().readlink(path))


@breaks("Of anything else: `OSError` (`EINVAL`)", "test_readlink_gives_links_as_they_are")
class ReadsWhatIsNoLink(Faulty):
    def readlink(self, path):
        return super().readlink(path) if os.path.islink(self.real(path)) else path


# --- glob


@breaks("The paths that match a shell pattern", "test_glob_does_not_take_the_path_for_a_pattern")
class TakesThePathForAPattern(Faulty):
    def glob(self, **given):
        return super().glob(**given | {"pattern": f"{given['path']}/{given['pattern']}", "path": "."})


@breaks("`*` skips dotfiles", "test_glob_hides_dotfiles")
class ShowsHidden(Faulty):
    def glob(self, **given):
        hidden = super().glob(**given | {"pattern": ".*"}) if given["pattern"] == "*" else []
        return sorted(super().glob(**given) + hidden, key=os.fsencode)


@breaks("`*` skips dotfiles", "test_glob_hides_dotfiles")
class HidesWhatIsAskedFor(Faulty):
    def glob(self, **given):
        return [path for path in super().glob(**given) if "/." not in path]


@breaks("`**` recurses", "test_glob_gives_what_the_rules_say")
class DoesNotRecurse(Faulty):
    def glob(self, **given):
        return super().glob(**given | {"pattern": given["pattern"].replace("**", "*")})


@breaks("a slash at the end means folders", "test_glob_with_a_trailing_slash_gives_folders")
class LosesTheSlashAtTheEnd(Faulty):
    def glob(self, **given):
        return [path.rstrip("/") for path in super().glob(**given)]


@breaks("The results are joined to `path`", "test_glob_spells_results_from_the_given_path[project]")
class GlobsBareNames(Faulty):
    def glob(self, **given):
        return [path.removeprefix(f"{given['path']}/") for path in super().glob(**given)]


@breaks("sorted, and each is there once", "test_glob_results_are_unique_and_in_byte_order")
class GivesDoubles(Faulty):
    def glob(self, **given):
        found = super().glob(**given)
        return sorted([*found, *found[:1]], key=os.fsencode) if "{" in given["pattern"] else found


@breaks("No match is `[]`", "test_glob_without_a_match_is_an_empty_list")
class GivesThePatternWhereNothingMatches(Faulty):
    def glob(self, **given):
        return super().glob(**given) or [given["pattern"]]


@breaks("`**` does not pass through links", "test_glob_stars_do_not_pass_through_links")
class GlobsThroughLinks(Faulty):
    def glob(self, **given):
        found = super().find(**given, detail=False, type="f", max_depth=None, follow_symlinks=True)
        return found.read()


@breaks("does not list links to folders", "test_glob_stars_do_not_pass_through_links")
class ListsLinksToFolders(Faulty):
    def glob(self, **given):
        links = super().glob(**given | {"pattern": "*/"}) if given["pattern"] == "**/" else []
        return sorted({*super().glob(**given), *links}, key=os.fsencode)


@breaks("Braces expand as in bash", "test_glob_expands_braces_as_bash_does[*.{csv,h5}]")
class KnowsNoBraces(Faulty):
    def glob(self, **given):
        return super().glob(**given | {"pattern": given["pattern"].replace("{", "[{]")})


@breaks("comma lists and nesting", "test_glob_expands_braces_as_bash_does[{data,{run1,run2}}/*.csv]")
class KnowsNoNesting(Faulty):
    def glob(self, **given):
        pattern = re.sub(r"(\{[^{}]*)\{[^{}]*\}", r"\1", given["pattern"])
        return super().glob(**given | {"pattern": pattern})


@breaks("Braces expand as in bash", "test_glob_expands_braces_as_bash_does[{data}/*]")
class DropsBracesAroundOne(Faulty):
    def glob(self, **given):
        return super().glob(**given | {"pattern": re.sub(r"\{(\w+)\}", r"\1", given["pattern"])})


@breaks("`[{]` is a literal brace", "test_glob_takes_a_brace_in_brackets_as_it_is")
class ExpandsBracketedBraces(Faulty):
    def glob(self, **given):
        return super().glob(**given | {"pattern": given["pattern"].replace("[{]", "{")})


@breaks("More than 10,000 expansions", "test_glob_refuses_over_ten_thousand_expansions")
class GivesUpInSilence(Faulty):
    def glob(self, **given):
        try:
            return super().glob(**given)
        except ValueError:
            return []


@breaks("A pattern that begins with `~/` is expanded", "test_glob_expands_a_tilde_and_never_gives_one")
class TakesATildeInAPatternForAName(Faulty):
    def glob(self, **given):
        return super().glob(**given | {"pattern": re.sub("^~", "[~]", given["pattern"])})


@breaks("like an absolute one, ignores `path`", "test_glob_takes_absolute_patterns")
class JoinsAbsolutePatterns(Faulty):
    def glob(self, **given):
        return super().glob(**given | {"pattern": given["pattern"].lstrip("/") or "/"})


@breaks(
    "A `path` that is missing raises `FileNotFoundError`", "test_glob_in_what_is_no_folder_raises[missing-2]"
)
class GlobsNothingInNothing(Faulty):
    def glob(self, **given):
        try:
            return super().glob(**given)
        except OSError:
            return []


@breaks("What isn't there matches nothing", "test_glob_without_a_match_is_an_empty_list")
class WantsWhatIsInFrontOfStars(Faulty):
    def glob(self, **given):
        folder = given["pattern"].partition("/**")[0]
        if folder == "missing":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
        return super().glob(**given)


# --- du and count_files


@breaks("the apparent bytes of the regular files", "test_du_counts_apparent_bytes")
class CountsBlocks(Faulty):
    def du(self, **given):
        sizes = [512 * os.lstat(self.real(info.path)).st_blocks for info in self.sized_files(given["path"])]
        return replace(super().du(**given), total_bytes=sum(sizes))


@breaks("Hard links count once in the bytes", "test_du_counts_hard_links_once")
class CountsHardLinksTwice(Faulty):
    def du(self, **given):
        sizes = [info.size for info in self.sized_files(given["path"])]
        return DiskUsage(sum(sizes), len(sizes))


@breaks("and each in the count", "test_du_counts_hard_links_once")
class CountsInodes(Faulty):
    def du(self, **given):
        inodes = {os.lstat(self.real(info.path)).st_ino for info in self.sized_files(given["path"])}
        return replace(super().du(**given), file_count=len(inodes))


@breaks("at and below `path`", "test_du_adds_up_regular_files[order]")
class StaysInItsFolder(Faulty):
    def du(self, **given):
        sizes = [info.size for info in super().ls(path=given["path"], detail=True) if info.is_file]
        return DiskUsage(sum(sizes), len(sizes))


@breaks("the regular files at and below", "test_du_does_not_follow_links_below_the_root")
class AddsUpLinks(Faulty):
    def du(self, **given):
        links = super().find(
            **given, pattern="*", type="l", detail=True, max_depth=None, follow_symlinks=False
        )
        usage = super().du(**given)
        return replace(usage, total_bytes=usage.total_bytes + sum(info.size for info in links))


@breaks("Of a file: its size and 1", "test_du_of_a_file_is_its_size")
class AddsUpNothingInAFile(Faulty):
    def du(self, **given):
        return super().du(**given) if os.path.isdir(self.real(given["path"])) else DiskUsage(0, 0)


@breaks("`len(find(pattern, path))`", "test_count_files_counts_what_find_finds[*.csv]")
class CountsAllFiles(Faulty):
    def count_files(self, **given):
        return super().count_files(**given | {"pattern": "*"})


@breaks("count_files(p) == len(find", "test_counts_agree[order]")
class CountsFoldersToo(Faulty):
    def count_files(self, **given):
        options = {"detail": False, "max_depth": None, "follow_symlinks": False}
        return super().count_files(**given) + len(super().find(**given, **options, type="d").read())


@breaks("== du(p).file_count", "test_a_folder_that_can_only_be_listed_is_not_dropped_in_silence")
class CountsOnlyKnownSizes(Faulty):
    def du(self, **given):
        return replace(super().du(**given), file_count=len(self.sized_files(given["path"])))


# --- failures


@breaks("Failures are what Python would raise", "test_ls_of_what_is_no_folder_raises[missing-2]")
class RaisesItsOwnErrors(Faulty):
    def ls(self, **given):
        try:
            return super().ls(**given)
        except OSError as error:
            raise ClustrixError(f"ls failed: {error}") from None


@breaks("with `errno`", "test_stat_of_what_is_not_there_raises[links/loop-40]")
class LosesTheErrno(Faulty):
    def stat(self, **given):
        try:
            return super().stat(**given)
        except OSError as error:
            raise OSError(errno.EIO, os.strerror(errno.EIO), error.filename) from None


@breaks("and `filename`", "test_ls_of_what_is_no_folder_raises[missing-2]")
class LosesTheFilename(Faulty):
    def ls(self, **given):
        try:
            return super().ls(**given)
        except OSError as error:
            raise type(error)(error.errno, error.strerror) from None


@breaks("Nothing becomes an empty result", "test_ls_of_what_is_no_folder_raises[missing-2]")
class SwallowsErrors(Faulty):
    def ls(self, **given):
        try:
            return super().ls(**given)
        except OSError:
            return []


@breaks("Nothing becomes an empty result", "test_du_and_count_files_of_what_is_missing_raise[missing-2]")
class AddsUpNothingInNothing(Faulty):
    def du(self, **given):
        return super().du(**given) if os.path.exists(self.real(given["path"])) else DiskUsage(0, 0)


@breaks("that can't be read is left out", "test_recursions_give_all_that_can_be_read")
class StopsAtTheUnreadable(Faulty):
    def find(self, **given):
        return Stream(self.until_it_fails(super().find(**given | {"on_error": "raise"})))

    def until_it_fails(self, found: Stream[Any]) -> Iterator[list[Any]]:
        try:
            yield from found.batches()
        except PermissionError:
            return


@breaks("with one `PartialResultWarning` at the end", "test_recursions_tell_once_what_they_left_out[du]")
class IsSilentlyPartial(Faulty):
    def du(self, **given):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return super().du(**given)


@breaks(
    "with one `PartialResultWarning` at the end", "test_recursions_tell_once_what_they_left_out[glob with *]"
)
class WarnsOfEachFolder(Faulty):
    def glob(self, **given):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = super().glob(**given)
        for failure in [failure for one in caught for failure in one.message.failures]:
            warnings.warn(PartialResultWarning([failure]), stacklevel=2)
        return found


@breaks("that lists them all", "test_recursions_tell_once_what_they_left_out[count_files]")
class NamesOneOfMany(Faulty):
    def count_files(self, **given):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            count = super().count_files(**given)
        for one in caught:
            warnings.warn(PartialResultWarning(one.message.failures[:1]), stacklevel=2)
        return count


@breaks('`on_error="raise"` raises at the first', "test_recursions_raise_if_asked[count_files]")
class DropsOnError(Faulty):
    def count_files(self, **given):
        return super().count_files(**given | {"on_error": "warn"})


# --- files


@breaks("A file object", "test_open_reads_anywhere")
class SeeksNothing(Faulty):
    def open(self, path, mode):
        file = super().open(path, mode)
        seek = file.seek
        file.seek = lambda offset, whence=0: seek(0, whence)
        return file


@breaks("A file object", "test_open_writes_what_it_is_given[large]")
class ReadsTheFirstMegabyte(Faulty):
    def open(self, path, mode):
        return super().open(path, mode) if mode != "rb" else io.BytesIO(self.start_of(path))

    def start_of(self, path):
        with LocalBackend.clustrix_open(self, path, "rb") as file:
            return file.read(2**20)


@breaks('A file opened with `"w"`', "test_open_w_shows_no_half_file")
class WritesInPlace(Faulty):
    def open(self, path, mode):
        return io.FileIO(self.real(path), mode)


@breaks('or `"x"`', "test_open_x_makes_new_files_only")
class OverwritesWithX(Faulty):
    def open(self, path, mode):
        return super().open(path, mode.replace("x", "w"))


@breaks("when it is complete, or not at all", "test_open_w_left_by_an_exception_changes_nothing[wb-old]")
class PublishesHalfFiles(Faulty):
    def open(self, path, mode):
        file = super().open(path, mode)

        def publish() -> None:
            del file.discard
            file.commit()

        if mode == "wb":
            file.discard = publish
        return file


@breaks("appears under its name", "test_open_writes_what_it_is_given[small]")
class LosesWhatWasWritten(Faulty):
    def open(self, path, mode):
        return super().open(path, mode) if mode != "wb" else io.BytesIO()


@breaks("appears under its name", "test_open_writes_what_it_is_given[empty]")
class LeavesTemporaryFiles(Faulty):
    def open(self, path, mode):
        if mode == "wb":
            Path(self.real(f"{path}.tmp")).touch()
        return super().open(path, mode)


@breaks("appears under its name", "test_open_w_writes_through_links")
class ReplacesLinks(Faulty):
    def open(self, path, mode):
        if mode == "wb" and os.path.islink(self.real(path)):
            os.unlink(self.real(path))
        return super().open(path, mode)


@breaks("or to, the place", "test_put_and_get_carry_files_whole[large]")
class CutsCopies(Faulty):
    def put(self, **given):
        size = super().put(**given)
        if size > 2**20:
            os.truncate(self.real(given["path"]), 2**20)
        return size


@breaks("returns the bytes", "test_put_and_get_carry_files_whole[small]")
class CountsNoBytes(Faulty):
    def get(self, **given):
        return super().get(**given) and 0


@breaks("Copies a file from", "test_put_and_get_give_a_new_file_the_mode_of_the_source[511]")
class GetsPrivateFiles(Faulty):
    def get(self, **given):
        size = super().get(**given)
        os.chmod(given["target"], 0o600)
        return size


@breaks("Copies a file from", "test_put_and_get_give_a_new_file_the_mode_of_the_source[511]")
class PutsPrivateFiles(Faulty):
    def put(self, **given):
        size = super().put(**given)
        os.chmod(self.real(given["path"]), 0o600)
        return size


@breaks("and the target of `get` and `put`", "test_get_and_put_of_what_is_missing_raise")
class MakesTheTargetFirst(Faulty):
    def get(self, **given):
        Path(given["target"]).touch()
        return super().get(**given)


@breaks("`get(path, target)`", "test_get_and_put_report_progress")
class ForgetsProgressOfCopies(Faulty):
    def put(self, **given):
        return super().put(**given | {"progress": None})


# --- what holds for all operations


@breaks("**Names are text**", "test_commands_in_paths_and_patterns_are_not_run")
class RunsAShell(Faulty):
    def count_files(self, **given):
        subprocess.run(f"find {given['path']} -name {given['pattern']}", shell=True, capture_output=True)
        return super().count_files(**given)


@breaks("**Names are text**", "test_a_leading_dash_is_part_of_a_name")
class TakesNamesForOptions(Faulty):
    def ls(self, **given):
        return super().ls(**given) if "/-" not in given["path"] else []


@breaks("which is read at each call", "test_sixteen_threads_get_right_answers")
class SharesStateBetweenThreads(Faulty):
    def ls(self, **given):
        self.path = given["path"]
        time.sleep(0.001)
        return super().ls(**given | {"path": self.path})

    def glob(self, **given):
        self.path = given["path"]
        return super().glob(**given)


@breaks("which is read at each call", "test_sixteen_threads_get_right_answers")
class BlocksUnderThreads(Faulty):
    patience = 0.5
    inside = 0

    def ls(self, **given):
        self.inside += 1
        time.sleep(0.001)
        if self.inside > 1:
            threading.Event().wait()  # for ever
        self.inside -= 1
        return super().ls(**given)


# --- limits, declared and not


@breaks("open, get and put", "test_files_work_or_are_declared_missing")
class LacksFiles(Faulty):
    clustrix_open = clustrix_get = clustrix_put = None  # type: ignore[assignment]


@breaks("| `readlink` | readlink", "test_readlink_gives_links_as_they_are")
class LacksReadlink(Faulty):
    clustrix_readlink = None  # type: ignore[assignment]


@breaks("and nlink is known", "test_stat_tells_what_os_stat_tells")
class KnowsNoLinkCounts(Faulty):
    def stat(self, **given):
        return retold(super().stat(**given), nlink=lambda info: None)


@breaks(
    "times of modification have fractions of a second",
    "test_stat_knows_times_to_the_nanosecond_and_before_1970[fraction-1600000000123456789]",
)
class LosesFractions(Faulty):
    def stat(self, **given):
        whole = 10**9
        return retold(super().stat(**given), mtime_ns=lambda info: info.mtime_ns // whole * whole)


@breaks(
    "times of modification before 1970 are right",
    "test_stat_knows_times_to_the_nanosecond_and_before_1970[sixties--86400123456789]",
)
class BeginsIn1970(Faulty):
    def stat(self, **given):
        return retold(super().stat(**given), mtime_ns=lambda info: max(info.mtime_ns, 0))


@breaks("keep their errno and type", "test_ls_of_what_is_no_folder_raises[special/fifo-20]")
class KnowsFewErrors(Faulty):
    def ls(self, **given):
        try:
            return super().ls(**given)
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:
            raise OSError(errno.EIO, "Failure", error.filename) from None


@breaks(
    "recursions report names that would make a path longer", "test_recursions_report_what_is_beyond_path_max"
)
class DropsLongPaths(IsSilentBeyondPathMax):
    pass


class Limited(Faulty):
    """Lacks every capability, as its place declares."""

    missing = CAPABILITIES

    clustrix_open = clustrix_get = clustrix_put = clustrix_readlink = None  # type: ignore[assignment]

    def ls(self, **given):
        found = self.roughly(super().ls, **given)
        return [self.less(info) for info in found] if given["detail"] else found

    def find(self, **given):
        found = super().find(**given)
        if not given["detail"]:
            return found
        return Stream([self.less(info) for info in batch] for batch in found.batches())

    def stat(self, **given):
        found = self.roughly(super().stat, **given)
        return [one if isinstance(one, OSError) else self.less(one) for one in found]

    def du(self, **given):
        warnings.warn("hard links are counted once for each name", stacklevel=2)
        sizes = [info.size for info in self.sized_files(given["path"])]
        return replace(super().du(**given), total_bytes=sum(sizes))

    def roughly(self, operation: Any, **given: Any) -> Any:
        try:
            return operation(**given)
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:
            raise OSError(error.errno and 5, "Failure", error.filename) from None

    def less(self, info: FileInfo) -> FileInfo:
        seconds = max(info.mtime_ns // 10**9, 0)
        return replace(info, nlink=None, mtime_ns=seconds * 10**9, modified=float(seconds))


@breaks("are None where a backend can't tell", "test_stat_tells_what_os_stat_tells")
class InventsLinkCounts(Limited):
    def less(self, info: FileInfo) -> FileInfo:
        return replace(super().less(info), nlink=1)
