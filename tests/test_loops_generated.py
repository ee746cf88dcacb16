"""Generated functions with loops do the same in series and split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from loops_compare import Seen, differences, observe
from loops_generator import STYLES, Program, programs
from loops_running import always_split, split_late

from clustrix_core.loops import explain

EXAMPLES = 2 * settings().max_examples


def as_written(function: Any) -> Any:
    return function


def run(program: Program, how: Callable[[Any], Any]) -> Seen:
    with program.module() as module:
        function = how(module.f)
        args = program.fresh_args()
        if hasattr(module, "objects"):
            args += module.objects(*args)
        return observe(function, args, lambda: state(module))


def state(module: Any) -> tuple[Any, ...]:
    made = (module.MODEL, module.Model.all) if hasattr(module, "objects") else ()
    return (module.G, module.K, module.SHARED, module.TABLE, *made)


def is_split(program: Program) -> bool:
    with program.module() as module:
        return any(loop.split for loop in explain(module.f).loops)


@pytest.mark.parametrize("style", STYLES)
def test_generated_functions_do_the_same(style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran: Counter[str] = Counter()

    # Add Phase.shrink for a smaller example; it takes minutes.
    @settings(
        max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
    )
    @given(programs(style))
    def check(program: Program) -> None:
        serial = run(program, as_written)
        split = split_late if ran["functions"] % 2 else always_split
        ran.update(functions=1, split=is_split(program))
        assert not differences(serial, run(program, split)), program.function

    check()
    # `make soundness` shows it.
    print(f"{ran['functions']} {style}: {ran['split']} with a loop that was split, no differences")
    assert ran["functions"] >= EXAMPLES
    assert ran["split"] > ran["functions"] / 3
