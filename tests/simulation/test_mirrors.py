"""The comparison of the engine's mirrors with the index can fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.core.model import Reason
from agent.engine import messages as m
from agent.engine.context import EngineContext
from agent.index.problems import PathProblem, ProblemOrigin
from engine.harness import EngineHarness, sha
from simulation import mirrors

BROKEN: dict[str, Callable[[EngineContext], object]] = {
    "source_row": lambda ctx: ctx.index.sources.forget(ctx.source),
    "approved": lambda ctx: ctx.approved.update({"a.md": sha("one")}),
    "open_operations": lambda ctx: ctx.open_operations.clear(),
    "unanswered": lambda ctx: ctx.unanswered.add("b.md"),
    "problems": lambda ctx: ctx.problems.update(
        {"a.md": [PathProblem("a.md", ProblemOrigin.PUSH, Reason.REFUSED, "no", 1.0)]}
    ),
}


@pytest.mark.parametrize("mirror", BROKEN)
def test_a_mirror_that_differs_is_named(mirror: str) -> None:
    """Each is broken in turn after a step with an operation in flight."""
    harness = EngineHarness(hub=True)
    harness.begin({"a.md": "one"})
    harness.engine.view()
    mirrors.check(harness.engine)
    BROKEN[mirror](harness.engine._ctx)
    with pytest.raises(mirrors.MirrorDiffers, match=mirror):
        mirrors.check(harness.engine)


def test_a_step_that_writes_nothing_is_not_compared() -> None:
    """What the last comparison returned stands for the rows written until then."""
    harness = EngineHarness(hub=True)
    harness.begin({"a.md": "one"})
    written = mirrors.check(harness.engine)
    harness.tell(m.TimePassed())
    assert mirrors.check(harness.engine, harness.index.connection.total_changes) >= written
