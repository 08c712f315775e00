"""The comparison of the engine's mirrors with the index can fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from msgspec import structs

from agent.core.model import Reason
from agent.engine.context import EngineContext
from agent.index.problems import PathProblem, ProblemOrigin
from engine.harness import SOURCE, EngineHarness, sha, upsert
from simulation import mirrors, revisions, visits
from simulation.indexes import index_of, put_aside
from simulation.stored import Stored

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
    compared = partial(mirrors.check, harness.engine, Stored(harness.index, 1))
    compared()
    harness.index.approvals.add(1, [("a.md", sha("one"))])
    with pytest.raises(mirrors.MirrorDiffers, match="approved: the engine has"):
        compared()
    harness.engine._ctx.approved["a.md"] = sha("one")
    compared()
    harness.engine._ctx.approved.clear()
    with pytest.raises(mirrors.MirrorDiffers, match="approved: the engine has"):
        compared()


def test_a_table_is_read_again_after_a_change_alone() -> None:
    """A statement that changed no row leaves what was read, and one that changed a row does not, in any form."""
    index = index_of()
    stored = Stored(index, SOURCE)
    seen = stored.table("approved")
    index.approvals.drop(SOURCE, ["a.md"])
    index.connection.execute("DELETE FROM approved WHERE path = 'a.md'")
    assert stored.table("approved") is seen
    index.approvals.add(SOURCE, [("a.md", sha("one"))])
    assert stored.table("approved")["approved"] == {"a.md": sha("one")}
    index.connection.execute("UPDATE approved SET hash = ?", (sha("two"),))
    assert stored.table("approved")["approved"] == {"a.md": sha("two")}
    index.connection.execute("BEGIN")
    index.connection.execute("DELETE FROM approved")
    assert stored.table("approved")["approved"] == {}
    index.connection.execute("ROLLBACK")
    assert stored.table("approved")["approved"] == {"a.md": sha("two")}
    put_aside(index)


def test_a_content_beside_another_revision_is_named() -> None:
    """A side without its revision, one with that of another content, and a base of an older visit."""
    harness = EngineHarness()
    harness.begin({}, structs.replace(upsert("a.md", "one", 1), rev=sha("one")))
    revisions.check(harness.index, SOURCE, "files")
    row = harness.row("a.md")
    for wrong in (None, sha("two")):
        harness.index.trees.put(SOURCE, [structs.replace(row, remote=structs.replace(row.remote, rev=wrong))])
        with pytest.raises(revisions.WrongRevision, match=r"remote side of a\.md"):
            revisions.check(harness.index, SOURCE, "files")
    newer, older = (structs.replace(row.remote, rev=f"{sha('one')}@{cursor}") for cursor in (5, 1))
    harness.index.trees.put(SOURCE, [structs.replace(row, base=newer, remote=newer)])
    visits.check(harness.index, SOURCE, "files")
    harness.index.trees.put(SOURCE, [structs.replace(row, base=older, remote=newer)])
    with pytest.raises(revisions.WrongRevision, match=r"the base of a\.md"):
        visits.check(harness.index, SOURCE, "files")


def test_a_visit_lasts_until_another_text_or_a_delete() -> None:
    """Writing the same text again begins none; a file that is made anew has none of the old one's."""
    written = [(1, "a.md", "x"), (2, "a.md", "x"), (3, "b.md", "z"), (4, "a.md", "y"), (5, "a.md", "x")]
    assert [visit.rev for visit in visits.visits(written, "a.md")] == ["x@1", "y@4", "x@5"]
    assert visits.visits([*written, (6, "a.md", None)], "a.md") == []
