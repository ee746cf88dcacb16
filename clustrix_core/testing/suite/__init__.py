"""`BackendSuite`: all subjects of the conformance suite in one class."""

from __future__ import annotations

from clustrix_core.testing.suite.concurrency import ConcurrencyTests
from clustrix_core.testing.suite.errors import ErrorTests
from clustrix_core.testing.suite.files import FileTests
from clustrix_core.testing.suite.finding import FindingTests
from clustrix_core.testing.suite.globbing import GlobbingTests
from clustrix_core.testing.suite.injection import InjectionTests
from clustrix_core.testing.suite.listing import ListingTests
from clustrix_core.testing.suite.matching import MatchingTests
from clustrix_core.testing.suite.statting import StattingTests
from clustrix_core.testing.suite.usage import UsageTests


class BackendSuite(
    ListingTests,
    FindingTests,
    MatchingTests,
    StattingTests,
    GlobbingTests,
    UsageTests,
    FileTests,
    ErrorTests,
    ConcurrencyTests,
    InjectionTests,
):
    """Every promise of the semantics table, tested. Subclass it, and define a fixture `place`."""
