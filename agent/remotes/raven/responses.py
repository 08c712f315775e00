"""What a push-batch answer proves about each operation: from its items where it has them, else from two counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.core.errors import Problem
from agent.core.model import EMPTY_HASH, Operation, Outcome, RemoteConflict, Result
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.raven.wire import maybe_text, number, row, rows, text

Lister = Callable[[], list[RemoteConflict]]
"""Lists the source's open conflicts, with their texts."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One outcome for each operation; ``problem`` where the conflicts could not be listed."""

    outcomes: tuple[Outcome, ...]
    problem: Problem | None = None


def interpret_push_response(operations: Sequence[Operation], data: Any, lister: Lister) -> BatchResult:
    """The outcomes an answer proves. The conflicts are listed at most once, and only where there may be one.

    Raises:
        CallFailed: GARBLED, the answer has the wrong shape.
    """
    answer = row(data, "batch")
    applied, conflicts = number(answer, "applied"), number(answer, "conflicts")
    if answer.get("items") is not None:
        judged = _from_items(operations, rows(answer["items"], "item"), lister)
        return _placed(judged, operations, answer)
    if applied == len(operations) and conflicts == 0:
        return BatchResult(tuple(Outcome(operation.id, Result.APPLIED) for operation in operations))
    try:
        listed = lister()
    except RemoteCallError as failure:
        return BatchResult(uncertain(operations), failure.problem)
    return BatchResult(_from_counts(operations, applied, conflicts, listed))


def uncertain(operations: Sequence[Operation]) -> tuple[Outcome, ...]:
    """Sent, and nothing is known."""
    return tuple(Outcome(operation.id, Result.UNCERTAIN) for operation in operations)


def _from_counts(
    operations: Sequence[Operation], applied: int, conflicts: int, listed: Sequence[RemoteConflict]
) -> tuple[Outcome, ...]:
    """The outcomes two counts and one listing prove together.

    A listed conflict with an operation's path and text is its own, unless an older one or another machine's looks the
    same. That is excluded where the numbers agree: as many found as the answer counts, or nothing applied at all.
    Otherwise nothing is proven, and the feed has to tell.
    """
    found = {operation.id: match for operation in operations if (match := _match(operation, listed))}
    if len(found) > conflicts and applied > 0:
        return uncertain(operations)
    rest = Result.APPLIED if applied == len(operations) - len(found) else Result.UNCERTAIN
    return tuple(
        Outcome(operation.id, Result.CONFLICT, found[operation.id])
        if operation.id in found
        else Outcome(operation.id, rest)
        for operation in operations
    )


def _match(operation: Operation, listed: Sequence[RemoteConflict]) -> RemoteConflict | None:
    """The newest open conflict with this operation's path and text."""
    # Empty text and no file are listed alike, see ``conflict_of``.
    local = None if operation.hash == EMPTY_HASH else operation.hash
    same = [conflict for conflict in listed if conflict.path == operation.path and conflict.local_hash == local]
    return _owned(operation, max(same, key=lambda conflict: conflict.opened_at or "")) if same else None


def _owned(operation: Operation, conflict: RemoteConflict) -> RemoteConflict:
    """The conflict in the operation's terms: it tells empty text from no file."""
    if operation.hash == EMPTY_HASH:
        return dataclasses.replace(conflict, local_hash=EMPTY_HASH, local_text=b"")
    return conflict


def _from_items(operations: Sequence[Operation], items: Sequence[Mapping[str, Any]], lister: Lister) -> BatchResult:
    """The outcomes the server names; a repeated operation has the outcome of its first time."""
    by_id = {text(item, "operationId"): item for item in items}
    listed: dict[str, RemoteConflict] = {}
    problem: Problem | None = None
    if any(_status(item) == "conflict" for item in items):
        try:
            listed = {conflict.id: conflict for conflict in lister()}
        except RemoteCallError as failure:
            problem = failure.problem
    return BatchResult(tuple(_of_item(operation, by_id.get(operation.id), listed) for operation in operations), problem)


def _placed(judged: BatchResult, operations: Sequence[Operation], answer: Mapping[str, Any]) -> BatchResult:
    """The outcomes with their places in the feed, where the answer's numbers leave no other: as many events as
    operations, every one of them applied.
    """
    first = answer.get("firstCursor")
    if first is None or number(answer, "applied") != len(operations):
        return judged
    if number(answer, "eventCursor") - number(answer, "firstCursor") + 1 != len(operations):
        return judged
    if any(outcome.result is not Result.APPLIED for outcome in judged.outcomes):
        return judged
    placed = (Outcome(each.operation_id, each.result, position=first + i) for i, each in enumerate(judged.outcomes))
    return BatchResult(tuple(placed), judged.problem)


def _of_item(operation: Operation, item: Mapping[str, Any] | None, listed: Mapping[str, RemoteConflict]) -> Outcome:
    if item is None:
        return Outcome(operation.id, Result.UNCERTAIN)
    match _status(item):
        case "applied" if maybe_text(item, "hash") in (None, operation.hash):
            return Outcome(operation.id, Result.APPLIED)
        case "rejected":
            reason = maybe_text(item, "reason") or "the server refuses this file"
            return Outcome(operation.id, Result.REJECTED, detail=reason)
        case "conflict" if (conflict := listed.get(maybe_text(item, "conflictId") or "")) is not None:
            return Outcome(operation.id, Result.CONFLICT, _owned(operation, conflict))
    # Also a conflict that was closed before it could be listed: what stands there now has to be looked at.
    return Outcome(operation.id, Result.UNCERTAIN)


def _status(item: Mapping[str, Any]) -> str:
    status = text(item, "status")
    return maybe_text(item, "first") or "" if status == "duplicate" else status
