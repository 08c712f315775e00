"""Outcomes that a push-batch answer proves: from its items where it has them, else from its two counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from agent.core.errors import Problem
from agent.core.model import EMPTY_HASH
from agent.core.remote_records import Operation, Outcome, RemoteConflict, Result
from agent.remotes.fields import maybe_text, number, row, rows, text
from agent.remotes.http.failures import RemoteCallError

ConflictLister = Callable[[], Iterable[RemoteConflict]]
"""Iterates over the source's open conflicts, with their texts. May raise ``RemoteCallError`` on any step."""


class BatchResult(Struct, frozen=True):
    """One outcome for each operation; ``problem`` if the conflicts could not be listed."""

    outcomes: tuple[Outcome, ...]
    problem: Problem | None = None


def interpret_push_response(operations: Sequence[Operation], data: Any, lister: ConflictLister) -> BatchResult:
    """Return the outcomes that an answer proves.

    The conflicts are listed at most once, and only if the answer counts one.

    Raises:
        RemoteCallError: GARBLED, the answer has the wrong shape.
    """
    answer = row(data, "batch")
    applied, conflicts = number(answer, "applied"), number(answer, "conflicts")
    if answer.get("items") is not None:
        result = _from_items(operations, rows(answer["items"], "item"), lister)
        return _with_positions(result, operations, answer)
    if applied == len(operations) and conflicts == 0:
        return BatchResult(tuple(_applied(operation) for operation in operations))
    paths = {operation.path for operation in operations}
    try:
        # The others are dropped as they come: their texts need not fit into memory.
        listed = [conflict for conflict in lister() if conflict.path in paths]
    except RemoteCallError as failure:
        return BatchResult(uncertain(operations), failure.problem)
    return BatchResult(_from_counts(operations, applied, conflicts, listed))


def _applied(operation: Operation) -> Outcome:
    """Return the outcome of an applied operation. Its revision is its hash."""
    return Outcome(operation.id, Result.APPLIED, rev=operation.hash)


def uncertain(operations: Sequence[Operation]) -> tuple[Outcome, ...]:
    """Return UNCERTAIN for each: they were sent, and nothing more is known."""
    return tuple(Outcome(operation.id, Result.UNCERTAIN) for operation in operations)


def _from_counts(
    operations: Sequence[Operation], applied: int, conflicts: int, listed: Sequence[RemoteConflict]
) -> tuple[Outcome, ...]:
    """Return the outcomes that two counts and one list of conflicts prove together.

    A listed conflict with an operation's path and text belongs to it, unless an older conflict or another machine's
    looks the same. The numbers exclude that if as many are found as the answer counts, or if nothing was applied.
    Otherwise nothing is proven, and the outcome is looked up in the feed.
    """
    found = {operation.id: match for operation in operations if (match := _match(operation, listed))}
    if len(found) > conflicts and applied > 0:
        return uncertain(operations)
    all_known = applied == len(operations) - len(found)
    return tuple(
        Outcome(operation.id, Result.CONFLICT, found[operation.id])
        if operation.id in found
        else (_applied(operation) if all_known else Outcome(operation.id, Result.UNCERTAIN))
        for operation in operations
    )


def _match(operation: Operation, listed: Sequence[RemoteConflict]) -> RemoteConflict | None:
    """Return the newest open conflict with this operation's path, base and text.

    Another machine may have been refused the same text on a base of its own.
    """
    # The list shows empty text and no file in the same way, see ``conflict_of``.
    local = None if operation.hash == EMPTY_HASH else operation.hash
    wanted = (operation.path, operation.base, local)
    same = [conflict for conflict in listed if (conflict.path, conflict.base_hash, conflict.local_hash) == wanted]
    return _owned(operation, max(same, key=lambda conflict: conflict.opened_at or "")) if same else None


def _owned(operation: Operation, conflict: RemoteConflict) -> RemoteConflict:
    """Return the conflict with the operation's hash, which distinguishes empty text from no file."""
    if operation.hash == EMPTY_HASH:
        return replace(conflict, local_hash=EMPTY_HASH, local_rev=EMPTY_HASH, local_text=b"")
    return conflict


def _from_items(
    operations: Sequence[Operation], items: Sequence[Mapping[str, Any]], lister: ConflictLister
) -> BatchResult:
    """Return the outcomes that the server states. A repeated operation has the outcome of its first time."""
    by_id = {text(item, "operationId"): item for item in items}
    listed: dict[str, RemoteConflict] = {}
    problem: Problem | None = None
    if any(_status(item) == "conflict" for item in items):
        try:
            ids = {maybe_text(item, "conflictId") for item in items}
            listed = {conflict.id: conflict for conflict in lister() if conflict.id in ids}
        except RemoteCallError as failure:
            problem = failure.problem
    return BatchResult(tuple(_of_item(operation, by_id.get(operation.id), listed) for operation in operations), problem)


def _with_positions(result: BatchResult, operations: Sequence[Operation], answer: Mapping[str, Any]) -> BatchResult:
    """Add the positions in the feed, if the answer's numbers prove them.

    They do if there are as many events as operations and every operation was applied.
    """
    first = answer.get("firstCursor")
    if first is None or number(answer, "applied") != len(operations):
        return result
    if number(answer, "eventCursor") - number(answer, "firstCursor") + 1 != len(operations):
        return result
    if any(outcome.result is not Result.APPLIED for outcome in result.outcomes):
        return result
    placed = (
        Outcome(each.operation_id, each.result, position=first + i, rev=each.rev)
        for i, each in enumerate(result.outcomes)
    )
    return BatchResult(tuple(placed), result.problem)


def _of_item(operation: Operation, item: Mapping[str, Any] | None, listed: Mapping[str, RemoteConflict]) -> Outcome:
    if item is None:
        return Outcome(operation.id, Result.UNCERTAIN)
    match _status(item):
        case "applied" if maybe_text(item, "hash") in (None, operation.hash):
            return _applied(operation)
        case "rejected":
            reason = maybe_text(item, "reason") or "the server refuses this file"
            return Outcome(operation.id, Result.REJECTED, detail=reason)
        case "conflict" if (conflict := listed.get(maybe_text(item, "conflictId") or "")) is not None:
            return Outcome(operation.id, Result.CONFLICT, _owned(operation, conflict))
    # This includes a conflict that was closed before it was listed: the head has to be read.
    return Outcome(operation.id, Result.UNCERTAIN)


def _status(item: Mapping[str, Any]) -> str:
    status = text(item, "status")
    return maybe_text(item, "first") or "" if status == "duplicate" else status
