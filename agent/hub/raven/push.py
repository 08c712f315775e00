"""push-batch: each item is compared with its head under the source's lock. A bad item is refused without the others.

An operation id is an idempotency key. A repeated id, in this batch or a later one and with any content, gets the status
`duplicate`, which counts as neither applied nor conflict. Its result repeats the first outcome: `first` (`applied`,
`conflict` or `rejected`) with that outcome's hash, conflict id and reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

from msgspec import Struct

from agent.core.hashes import sha256_hex
from agent.core.model import EMPTY_HASH, SENTINEL_BASE
from agent.hub.answers import printable
from agent.hub.domain.compression import CompressedContent, pack
from agent.hub.domain.model import (
    DEFAULT_CONTENT_TYPE,
    Caller,
    HubConflictKind,
    ItemStatus,
    RecordedOutcome,
    VersionOrigin,
)
from agent.hub.domain.ports import StoreSession
from agent.hub.domain.source_transaction import SourceTransaction
from agent.hub.domain.text import encoded, path_fault, storable
from agent.hub.raven.context import HubContext, is_own_connector, locked_source_tx, require_active

MAX_OPERATION = 255
MAX_HASH = 64
MAX_CONTENT_TYPE = 128
_MAX_LENGTHS: Final = (
    ("operationId", MAX_OPERATION),
    ("contentHash", MAX_HASH),
    ("baseHash", MAX_HASH),
    ("contentType", MAX_CONTENT_TYPE),
)
HIDDEN_REASON: Final = "the path holds a file that is no text, or is too large for this protocol"
_EMPTY_CONTENT: Final = pack(b"")


class PushedItem(Struct, frozen=True, gc=False):
    """One valid item of a batch.

    Attributes:
        text: empty for a delete.
        base: the base as sent, None for none.
        expects: the head that the sender expects; None: no file.
    """

    operation: str
    path: str
    text: CompressedContent
    hash: str
    content_type: str
    base: str | None
    expects: str | None
    is_delete: bool


class PushDecision(Enum):
    """Effect of an item that is no conflict."""

    APPLY = "apply"
    NOTHING = "nothing"


def decide(item: PushedItem, head: str | None) -> PushDecision | HubConflictKind:
    """Decide whether an item applies to the head (a hash, None for absent), changes nothing, or conflicts.

    Equal text never conflicts, whatever its base. A delete of an absent file applies, as on the real server.
    """
    if item.is_delete:
        return PushDecision.APPLY if head is None or head == item.expects else HubConflictKind.DELETE_MISMATCH
    if head == item.hash:
        return PushDecision.NOTHING
    if head == item.expects:
        return PushDecision.APPLY
    # Here the head differs from what the sender expects: applying would overwrite a text the sender has not seen.
    if item.expects is None:
        return HubConflictKind.NO_BASE
    return HubConflictKind.EDIT_DELETE if head is None else HubConflictKind.STALE_BASE


def push_batch(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Apply a batch of at most 100 items in one transaction.

    Raises:
        HubError: 404 for an unknown source, 400 while it is paused, 403 for another user's connector.
    """
    raw: Sequence[Mapping[str, Any]] = body["items"]
    checked = [_checked(item) for item in raw]
    with locked_source_tx(context, caller, body["sourceId"]) as (session, transaction):
        require_active(transaction.source)
        results = _apply(
            session, transaction, checked, _connector_of(context, session, caller, body.get("connectorId"))
        )
        answer: dict[str, object] = {
            "sourceId": transaction.source.id,
            "applied": sum(r["status"] is ItemStatus.APPLIED for r in results),
            "conflicts": sum(r["status"] is ItemStatus.CONFLICT for r in results),
            "eventCursor": transaction.cursor,
            "items": results,
        }
        if transaction.cursor > transaction.source.last_cursor:
            # The batch's own events have the cursors from here to ``eventCursor``, in the order of its items.
            answer["firstCursor"] = transaction.source.last_cursor + 1
        return answer


def _connector_of(context: HubContext, session: StoreSession, caller: Caller, connector: str | None) -> str | None:
    # An unknown connector counts as none: it has no owner, and two users that name the same one must not
    # update each other's conflicts.
    return connector if connector is not None and is_own_connector(context, session, caller, connector) else None


def _apply(
    session: StoreSession,
    transaction: SourceTransaction,
    checked: Sequence[PushedItem | RecordedOutcome],
    connector: str | None,
) -> list[dict[str, object]]:
    transaction.load_heads(entry.path for entry in checked if isinstance(entry, PushedItem))
    first = session.outcomes(transaction.source.number, {e.operation for e in checked if _storable(e.operation)})
    results: list[dict[str, object]] = []
    for entry in checked:
        before = first.get(entry.operation)
        if before is not None:
            results.append(_duplicate(before))
            continue
        outcome = entry if isinstance(entry, RecordedOutcome) else _apply_item(transaction, entry, connector)
        if _storable(outcome.operation):
            first[outcome.operation] = outcome
            transaction.record_outcome(outcome)
        results.append(_result(outcome, outcome.status))
    return results


def _apply_item(transaction: SourceTransaction, item: PushedItem, connector: str | None) -> RecordedOutcome:
    head = transaction.head(item.path)
    if head is not None and head.hidden:
        return RecordedOutcome(item.operation, ItemStatus.REJECTED, reason=HIDDEN_REASON)
    remote = None if head is None else head.hash
    verdict = decide(item, remote)
    if verdict is PushDecision.NOTHING:
        return RecordedOutcome(item.operation, ItemStatus.APPLIED, item.hash)
    transaction.add_content(item.hash, item.text)
    if isinstance(verdict, HubConflictKind):
        conflict = transaction.park(item.path, verdict, item.base, (item.hash, remote), connector)
        return RecordedOutcome(item.operation, ItemStatus.CONFLICT, None, conflict.id, verdict.value)
    if item.is_delete:
        transaction.delete(item.path, item.operation)
        return RecordedOutcome(item.operation, ItemStatus.APPLIED)
    transaction.upsert(item.path, item.hash, VersionOrigin.CONNECTOR, item.operation, content_type=item.content_type)
    return RecordedOutcome(item.operation, ItemStatus.APPLIED, item.hash)


def _checked(raw: Mapping[str, Any]) -> PushedItem | RecordedOutcome:
    """Return the item, or its refusal if it is invalid whatever the head is."""
    operation = raw["operationId"]
    fault = _fault(raw)
    if fault is not None:
        return RecordedOutcome(operation, ItemStatus.REJECTED, reason=fault)
    is_delete = bool(raw.get("isDelete"))
    base = raw.get("baseHash") or None
    claimed = raw.get("contentHash") or None
    data = b"" if is_delete else encoded(raw["content"])
    if data is None:
        return RecordedOutcome(operation, ItemStatus.REJECTED, reason="content holds a NUL or a lone surrogate")
    hash_ = EMPTY_HASH if is_delete else sha256_hex(data)
    if not is_delete and claimed is not None and claimed.lower() != hash_:
        return RecordedOutcome(operation, ItemStatus.REJECTED, reason="contentHash is not the sha256 of content")
    return PushedItem(
        operation=operation,
        path=raw["relativePath"],
        text=_EMPTY_CONTENT if is_delete else pack(data),
        hash=hash_,
        content_type=raw.get("contentType") or DEFAULT_CONTENT_TYPE,
        base=base,
        expects=None if base == SENTINEL_BASE else base,
        is_delete=is_delete,
    )


def _fault(raw: Mapping[str, Any]) -> str | None:
    for field, longest in _MAX_LENGTHS:
        value = raw.get(field)
        if value is None:
            continue
        if len(value) > longest:
            return f"{field} is longer than {longest} characters"
        if not storable(value):
            return f"{field} holds a NUL or a lone surrogate"
    return path_fault(raw["relativePath"])


def _storable(operation: str) -> bool:
    return len(operation) <= MAX_OPERATION and storable(operation)


def _result(outcome: RecordedOutcome, status: ItemStatus) -> dict[str, object]:
    result: dict[str, object] = {"operationId": printable(outcome.operation), "status": status}
    if outcome.hash is not None:
        result["hash"] = outcome.hash
    if outcome.conflict is not None:
        result["conflictId"] = outcome.conflict
    if outcome.reason is not None:
        result["reason"] = outcome.reason
    return result


def _duplicate(first: RecordedOutcome) -> dict[str, object]:
    return _result(first, ItemStatus.DUPLICATE) | {"first": first.status}
