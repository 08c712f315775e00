"""The comparison of the engine's mirrors with the index can fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.core.model import Reason
from agent.engine.context import EngineContext
from agent.index.problems import PathProblem, ProblemOrigin
from engine.harness import EngineHarness, sha
from simulation import mirrors

BROKEN: dict[str, Callable[[EngineContext], object]] = {
    "source_row": lambda ctx: ctx.index.sources.forget(ctx.source),
    "approved": lambda ctx: ctx.approved.update({"a.md": sha("one")}),
    "open_operations": lambda ctx: ctx.open_operations.clear(),
    "steps in use": lambda ctx: ctx.index.connection.execute("UPDATE files SET step = 5"),
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


def test_a_table_is_read_again_once_it_was_written() -> None:
    """A mirror that was right and is left behind by a write is found, and one that changes without a write as well."""
    harness = EngineHarness(hub=True)
    harness.begin({"a.md": "one"})
    compared = mirrors.Mirrors(harness.engine)
    compared.check()
    harness.index.approvals.add(1, [("a.md", sha("one"))])
    with pytest.raises(mirrors.MirrorDiffers, match="approved: the engine has"):
        compared.check()
    harness.engine._ctx.approved["a.md"] = sha("one")
    compared.check()
    harness.engine._ctx.approved.clear()
    with pytest.raises(mirrors.MirrorDiffers, match="approved: the engine has"):
        compared.check()
