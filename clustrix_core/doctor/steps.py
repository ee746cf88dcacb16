"""Steps of a diagnosis, and what comes of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from clustrix_core.errors import ClustrixError, UnsupportedOperationError, described

Outcome = Literal["passed", "warned", "failed", "left out"]


@dataclass(frozen=True, slots=True)
class Concern:
    """What a step returns that works, but not as it should.

    Attributes:
        detail: what was found.
        advice: what to do about it.
    """

    detail: str
    advice: str


class Fault(Exception):  # noqa: N818 (no error of the program: it is what was looked for)
    """Raised by a step that found something wrong of which no operation says so by itself.

    Args:
        detail: what was found.
        advice: what to do about it.
    """

    def __init__(self, detail: str, advice: str) -> None:
        super().__init__(detail, advice)
        self.detail, self.advice = detail, advice


class LeftOut(Exception):  # noqa: N818
    """Raised by a step that can't be taken in this place, through nobody's fault; it says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a diagnosis.

    Attributes:
        name: what is looked at, in a word or two.
        run: looks at it. It returns a few words on what it found; a `Concern`; or None where there is
            nothing to look at, and then the step isn't shown. Whatever it raises is a failure, so it calls
            what is called in earnest, whose errors say what is wrong and what to do.
        vital: whether no step after it makes sense where it fails.
        advice: what to do when it fails with an error of the system, which doesn't say.
    """

    name: str
    run: Callable[[], str | Concern | None]
    vital: bool = True
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """What came of a step.

    Attributes:
        name: the step's name.
        outcome: `"passed"`, `"warned"`, `"failed"`, or `"left out"`: an earlier step failed, or it can't be
            taken there.
        detail: what was found.
        advice: what to do about it; empty where there is nothing to do, or the detail says it.
        seconds: how long it took.
        error: what was raised.
    """

    name: str
    outcome: Outcome
    detail: str = ""
    advice: str = ""
    seconds: float = 0.0
    error: BaseException | None = field(default=None, repr=False, compare=False)


class Course:
    """Takes steps in their order. After a vital one that failed the others are left out.

    Args:
        begin: called with the name of each step before it is taken.

    Attributes:
        stopped: whether a vital step has failed.
    """

    def __init__(self, begin: Callable[[str], object]) -> None:
        self.stopped = False
        self._begin = begin

    def take(self, steps: Iterable[Step]) -> Iterator[Check]:
        """Take some steps, and tell what came of each that is to be shown."""
        for step in steps:
            if self.stopped:
                yield Check(step.name, "left out")
                continue
            self._begin(step.name)
            check = _taken(step)
            if check is not None:
                self.stopped = step.vital and check.outcome == "failed"
                yield check


def _taken(step: Step) -> Check | None:
    began = time.monotonic()

    def check(outcome: Outcome, detail: str, advice: str = "", error: BaseException | None = None) -> Check:
        return Check(step.name, outcome, detail, advice, time.monotonic() - began, error)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            found = step.run()
        except Fault as fault:
            return check("failed", fault.detail, fault.advice, fault)
        except (LeftOut, UnsupportedOperationError) as reason:
            return check("left out", str(reason))
        except Exception as error:  # anybody's backend may raise anything
            said = described(error)
            if said is None:
                advice = "`clustrix --debug doctor ...` shows where it comes from; tell the backend's authors"
                return check("failed", f"unexpected {type(error).__name__}: {error}", advice, error)
            advice = "" if isinstance(error, ClustrixError) else step.advice
            return check("failed", said, advice, error)
    if isinstance(found, Concern):
        return check("warned", found.detail, found.advice)
    if caught:
        warned = "; ".join(dict.fromkeys(str(each.message) for each in caught))
        return check("warned", f"{found}, but {warned}" if found else warned)
    return None if found is None else check("passed", found)
