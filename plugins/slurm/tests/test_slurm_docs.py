"""The page on SLURM leaves nothing out."""

from __future__ import annotations

from pathlib import Path

import pytest

from clustrix_slurm import SlurmConfig
from clustrix_ssh import SshConfig

PAGE = (Path(__file__).parents[3] / "docs" / "slurm.md").read_text()
FIELDS = [name for name in SlurmConfig.model_fields if name not in SshConfig.model_fields]


@pytest.mark.parametrize("name", FIELDS)
def test_field_is_documented(name: str) -> None:
    field = SlurmConfig.model_fields[name]
    assert f"| `{name}` | `{str(field.default).lower()}` | {field.description} |\n" in PAGE
