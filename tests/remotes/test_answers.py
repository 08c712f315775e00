"""Two counts prove an outcome, or they do not: the table of what may be concluded from them."""

from __future__ import annotations

import pytest

from agent.core.errors import Problem, ProblemKind
from agent.core.model import EMPTY_HASH
from agent.core.remote_records import Operation, RemoteConflict, Result
from agent.remotes.http.failures import RemoteCallError, SideEffect
from agent.remotes.raven.responses import interpret_push_response
from remotes.fixtures import edit, removal, sha

A, B, D = edit("a.md", "A2", "A1"), edit("b.md", "B2", "B1"), removal("d.md", "D1")
APPLIED, CONFLICT, UNCERTAIN = Result.APPLIED, Result.CONFLICT, Result.UNCERTAIN


def conflict(operation: Operation, opened_at: str = "2026-01-01T00:00:00.000Z", ident: str = "c") -> RemoteConflict:
    """An open conflict as the server lists it for this operation."""
    local = operation.hash
    return RemoteConflict(ident, operation.path, operation.base, local, sha("theirs"), None, b"theirs", opened_at)


CA, CB, CD = (conflict(out.operation) for out in (A, B, D))


@pytest.mark.parametrize(
    ("why", "batch", "applied", "conflicts", "listed", "expected"),
    [
        ("all applied", [A, B], 2, 0, [], [APPLIED, APPLIED]),
        ("all applied, whatever conflicts are open", [A, B], 2, 0, [CA, CB], [APPLIED, APPLIED]),
        ("one refused", [A, B], 1, 1, [CA], [CONFLICT, APPLIED]),
        ("all refused", [A, B], 0, 2, [CB, CA], [CONFLICT, CONFLICT]),
        ("a refused delete", [A, D], 1, 1, [CD], [APPLIED, CONFLICT]),
        ("a repeated operation", [A], 0, 0, [], [UNCERTAIN]),
        ("a repeated operation whose first time was refused", [A], 0, 0, [CA], [CONFLICT]),
        ("one repeated, nobody knows which", [A, B], 1, 0, [], [UNCERTAIN, UNCERTAIN]),
        ("one repeated and one refused", [A, B], 0, 1, [CA], [CONFLICT, UNCERTAIN]),
        ("a foreign conflict looks like ours", [A, B], 1, 0, [CA], [UNCERTAIN, UNCERTAIN]),
        ("one refused, and a foreign conflict looks like the other", [A, B], 1, 1, [CA, CB], [UNCERTAIN, UNCERTAIN]),
        ("refused, and closed by somebody before it was listed", [A, B], 1, 1, [], [UNCERTAIN, UNCERTAIN]),
        ("more applied than sent", [A], 2, 0, [], [UNCERTAIN]),
    ],
)
def test_counts_prove_no_more_than_they_say(
    why: str,
    batch: list[object],
    applied: int,
    conflicts: int,
    listed: list[RemoteConflict],
    expected: list[Result],
) -> None:
    """Whatever is not proven is UNCERTAIN."""
    operations = [out.operation for out in batch]  # type: ignore[attr-defined]
    judged = interpret_push_response(operations, {"applied": applied, "conflicts": conflicts}, lambda: listed)
    assert [outcome.result for outcome in judged.outcomes] == expected, why


def test_the_newest_of_equal_conflicts_is_the_operations_own() -> None:
    """Each stale push of the real server opens another one."""
    old = conflict(A.operation, "2026-01-01T00:00:00.000Z", "old")
    new = conflict(A.operation, "2026-01-01T00:00:01.000Z", "new")
    judged = interpret_push_response([A.operation], {"applied": 0, "conflicts": 1}, lambda: [new, old])
    found = judged.outcomes[0].conflict
    assert found is not None
    assert found.id == "new"


def test_an_edit_to_empty_text_is_not_taken_for_a_delete() -> None:
    """Both are listed alike; the operation tells which it was."""
    empty = edit("d.md", "", "D1")
    for out, local in ((empty, EMPTY_HASH), (D, None)):
        found = (
            interpret_push_response([out.operation], {"applied": 0, "conflicts": 1}, lambda: [CD]).outcomes[0].conflict
        )
        assert found is not None
        assert found.local_hash == local


def test_conflicts_are_listed_at_most_once_for_a_batch() -> None:
    """One listing, not one a path."""
    asked: list[None] = []

    def lister() -> list[RemoteConflict]:
        asked.append(None)
        return [CA, CB]

    interpret_push_response([A.operation, B.operation], {"applied": 2, "conflicts": 0}, lister)
    assert asked == []
    interpret_push_response([A.operation, B.operation], {"applied": 0, "conflicts": 2}, lister)
    assert asked == [None]


def test_items_are_believed_one_by_one() -> None:
    """A status nobody knows, a missing item, another hash than ours, a conflict that is gone: all uncertain."""
    cases: list[tuple[dict[str, object] | None, Result]] = [
        ({"status": "applied"}, APPLIED),
        ({"status": "applied", "hash": A.operation.hash}, APPLIED),
        ({"status": "applied", "hash": sha("other")}, UNCERTAIN),
        ({"status": "rejected", "reason": "bad name"}, Result.REJECTED),
        ({"status": "conflict", "conflictId": "c"}, CONFLICT),
        ({"status": "conflict", "conflictId": "gone"}, UNCERTAIN),
        ({"status": "duplicate", "first": "applied"}, APPLIED),
        ({"status": "duplicate", "first": "conflict", "conflictId": "c"}, CONFLICT),
        ({"status": "duplicate"}, UNCERTAIN),
        ({"status": "sparkled"}, UNCERTAIN),
        (None, UNCERTAIN),
    ]
    for item, expected in cases:
        items = [] if item is None else [{"operationId": A.operation.id, **item}]
        answer = {"applied": 1, "conflicts": 0, "items": items}
        judged = interpret_push_response([A.operation], answer, lambda: [CA])
        assert [outcome.result for outcome in judged.outcomes] == [expected], item


def test_unlistable_conflicts_are_a_problem_and_no_outcome() -> None:
    """The counts alone prove nothing then."""

    def lister() -> list[RemoteConflict]:
        raise RemoteCallError(Problem(ProblemKind.OFFLINE, "gone"), SideEffect.POSSIBLE)

    judged = interpret_push_response([A.operation, B.operation], {"applied": 1, "conflicts": 1}, lister)
    assert [outcome.result for outcome in judged.outcomes] == [UNCERTAIN, UNCERTAIN]
    assert judged.problem is not None


def _answered(*statuses: str, first: int, last: int) -> dict[str, object]:
    """A hub's answer to these, whose own events have the numbers from ``first`` to ``last``."""
    items = [
        {"operationId": out.operation.id, "status": status} for out, status in zip((A, B, D), statuses, strict=False)
    ]
    counts = {"applied": statuses.count("applied"), "conflicts": statuses.count("conflict")}
    return {**counts, "items": items, "firstCursor": first, "eventCursor": last}


@pytest.mark.parametrize(
    ("why", "answer", "positions"),
    [
        ("an event for each", _answered("applied", "applied", "applied", first=7, last=9), [7, 8, 9]),
        ("one changed nothing, nobody knows which", _answered(*["applied"] * 3, first=7, last=8), [None] * 3),
        ("one was known", _answered("applied", "duplicate", "applied", first=7, last=9), [None] * 3),
        ("one was refused", _answered("applied", "rejected", "applied", first=7, last=8), [None] * 3),
    ],
)
def test_feed_positions_are_inferred_only_when_unambiguous(
    why: str, answer: dict[str, object], positions: list[int | None]
) -> None:
    """What is passed over in the feed must be ours and nothing else."""
    judged = interpret_push_response([out.operation for out in (A, B, D)], answer, list)
    assert [outcome.position for outcome in judged.outcomes] == positions, why
