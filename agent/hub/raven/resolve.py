"""Endpoints that resolve conflicts, and that edit a file on the server, which can open a conflict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.hashes import sha256_hex
from agent.core.model import SENTINEL_BASE, Mode, Resolution
from agent.hub.answers import HubError, timestamp
from agent.hub.domain.compression import pack
from agent.hub.domain.model import (
    Caller,
    HubConflictKind,
    OpenConflict,
    VersionOrigin,
)
from agent.hub.domain.source_transaction import SourceTransaction
from agent.hub.raven.context import HubContext, locked_source_tx, require_active


def update_file(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Edit a file on the server. Without a base it overwrites, and the replaced text remains in history.

    Raises:
        HubError: 404 for an unknown source or an absent file, 400 for a paused source or a one-way mode.
    """
    path = body["relativePath"]
    base = body.get("baseHash") or None
    data = body["content"].encode()
    hash_ = sha256_hex(data)
    with locked_source_tx(context, caller, body["sourceId"]) as (_, transaction):
        if transaction.source.mode is not Mode.BIDIRECTIONAL:
            raise HubError(400, "Raven-side editing is only allowed for bidirectional sources")
        require_active(transaction.source)
        transaction.load_heads([path])
        head = transaction.head(path)
        if head is None or head.hash is None or head.hidden:
            raise HubError(404, "File not found")
        if head.hash == hash_:
            return {"status": "ok", "relativePath": path, "hash": hash_}
        transaction.add_content(hash_, pack(data))
        if base is not None and base != head.hash:
            # Roles are swapped here: local is the head that the connectors pushed, remote is the refused edit.
            conflict = transaction.park(path, HubConflictKind.RAVEN_EDIT, base, (head.hash, hash_), None)
            return {"status": "conflict", "conflictId": conflict.id}
        operation = f"raven-{caller.user}-{context.clock()}"
        transaction.upsert(path, hash_, VersionOrigin.RAVEN, operation, actor="raven")
    return {"status": "ok", "relativePath": path, "hash": hash_}


def resolve_conflict(context: HubContext, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Resolve an open conflict. The new head is decided under the lock; the replaced text remains in history.

    Raises:
        HubError: 404 for an unknown source or a conflict that is not open, 400 for a merge without its text,
            409 when `expectedRemoteHash` is not the hash of the head (64 zeros: expected absent).
    """
    resolution = Resolution(body["resolution"])
    with locked_source_tx(context, caller, body["sourceId"]) as (session, transaction):
        conflict = session.find_open_conflict(transaction.source.number, body["conflictId"])
        if conflict is None:
            raise HubError(404, "Open conflict not found")
        transaction.load_heads([conflict.path])
        head = transaction.head(conflict.path)
        if head is not None and head.hidden and resolution is not Resolution.KEEP_RAVEN:
            raise HubError(409, "The path now holds a file that is no text, or is too large for this protocol")
        before = None if head is None or head.hidden else head.hash
        expected = body.get("expectedRemoteHash") or None
        if expected is not None and expected != (before or SENTINEL_BASE):
            raise HubError(409, "The file has changed since: its hash is not expectedRemoteHash")
        _close(transaction, conflict, resolution, before, body.get("resolvedContent"))
    return {
        "conflictId": conflict.id,
        "status": "resolved",
        "resolution": resolution,
        "resolvedAt": timestamp(context.clock()),
    }


def _close(
    transaction: SourceTransaction,
    conflict: OpenConflict,
    resolution: Resolution,
    before: str | None,
    merged: str | None,
) -> None:
    after = _outcome(transaction, conflict, resolution, before, merged)
    operation = f"resolve-{conflict.id}"
    transaction.close(conflict, resolution, after)
    if after is not None:
        # Sent even if the head is unchanged: every resolution is followed by an event with the path's text.
        transaction.upsert(conflict.path, after, VersionOrigin.MERGE, operation)
    elif before is not None:
        transaction.delete(conflict.path, operation)


def _outcome(
    transaction: SourceTransaction,
    conflict: OpenConflict,
    resolution: Resolution,
    before: str | None,
    merged: str | None,
) -> str | None:
    """Return the hash that the path must have afterwards, None for no file."""
    if resolution is Resolution.MANUAL_MERGE:
        if merged is None:
            raise HubError(400, "resolvedContent is required for manual_merge")
        data = merged.encode()
        hash_ = sha256_hex(data)
        transaction.add_content(hash_, pack(data))
        return hash_
    if conflict.kind is HubConflictKind.RAVEN_EDIT:
        # Swapped roles: KEEP_LOCAL keeps the head, KEEP_RAVEN takes the refused edit.
        return before if resolution is Resolution.KEEP_LOCAL else conflict.remote_hash
    if resolution is Resolution.KEEP_RAVEN:
        return before
    return None if conflict.kind is HubConflictKind.DELETE_MISMATCH else conflict.local_hash
