"""The pytest plugin: asserts in the conformance suite explain themselves."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("clustrix_core.testing.suite", "clustrix_core.testing.properties")
