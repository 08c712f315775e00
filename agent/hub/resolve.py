"""Closing conflicts, and edits made on the server, which can open them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.hub.ledger import Ledger
from agent.hub.model import (
    SENTINEL,
    Caller,
    Conflict,
    ConflictKind,
    Mode,
    Origin,
    Resolution,
    SourceStatus,
)
from agent.hub.packing import pack
from agent.hub.services import Services, changing
from agent.hub.text import digest
from agent.hub.wire import HubError, timestamp


def update_file(services: Services, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """An edit made on the server. Without a base it overwrites, and what stood there stays in history.

    Raises:
        HubError: 404 for an unknown source or an absent file, 400 for a paused source or a one-way mode.
    """
    path = body["relativePath"]
    base = body.get("baseHash") or None
    data = body["content"].encode()
    hash_ = digest(data)
    with changing(services, caller, body["sourceId"]) as (_, ledger):
        if ledger.source.mode is not Mode.BIDIRECTIONAL:
            raise HubError(400, "Raven-side editing is only allowed for bidirectional sources")
        if ledger.source.status is SourceStatus.PAUSED:
            raise HubError(400, "Source is paused")
        ledger.look([path])
        head = ledger.head(path)
        if head is None or head.hash is None:
            raise HubError(404, "File not found")
        if head.hash == hash_:
            return {"status": "ok", "relativePath": path, "hash": hash_}
        ledger.keep(hash_, pack(data))
        if base is not None and base != head.hash:
            # The roles are swapped: local is what the connectors brought, remote is the refused edit.
            conflict = ledger.park(path, ConflictKind.RAVEN_EDIT, base, (head.hash, hash_), None)
            return {"status": "conflict", "conflictId": conflict.id}
        operation = f"raven-{caller.user}-{services.clock()}"
        ledger.upsert(path, hash_, Origin.RAVEN, operation, actor="raven")
    return {"status": "ok", "relativePath": path, "hash": hash_}


def resolve_conflict(services: Services, caller: Caller, body: Mapping[str, Any]) -> dict[str, object]:
    """Close an open conflict. The head is decided under the lock; whatever it replaces stays in history.

    Raises:
        HubError: 404 for an unknown source or a conflict that is not open, 400 for a merge without its text,
            409 when `expectedRemoteHash` is not the hash of the head (64 zeros: expected absent).
    """
    resolution = Resolution(body["resolution"])
    with changing(services, caller, body["sourceId"]) as (session, ledger):
        conflict = session.open_conflict(ledger.source.number, body["conflictId"])
        if conflict is None:
            raise HubError(404, "Open conflict not found")
        ledger.look([conflict.path])
        head = ledger.head(conflict.path)
        before = None if head is None else head.hash
        expected = body.get("expectedRemoteHash") or None
        if expected is not None and expected != (before or SENTINEL):
            raise HubError(409, "The file has changed since: its hash is not expectedRemoteHash")
        _close(ledger, conflict, resolution, before, body.get("resolvedContent"))
    return {
        "conflictId": conflict.id,
        "status": "resolved",
        "resolution": resolution,
        "resolvedAt": timestamp(services.clock()),
    }


def _close(ledger: Ledger, conflict: Conflict, resolution: Resolution, before: str | None, merged: str | None) -> None:
    after = _outcome(ledger, conflict, resolution, before, merged)
    operation = f"resolve-{conflict.id}"
    ledger.close(conflict, resolution, after)
    if after is not None:
        # Sent even when the head stays: every resolution is followed by what now stands at the path.
        ledger.upsert(conflict.path, after, Origin.MERGE, operation)
    elif before is not None:
        ledger.delete(conflict.path, operation)


def _outcome(
    ledger: Ledger, conflict: Conflict, resolution: Resolution, before: str | None, merged: str | None
) -> str | None:
    """The hash that shall stand afterwards, None for no file."""
    if resolution is Resolution.MANUAL_MERGE:
        if merged is None:
            raise HubError(400, "resolvedContent is required for manual_merge")
        data = merged.encode()
        hash_ = digest(data)
        ledger.keep(hash_, pack(data))
        return hash_
    if conflict.kind is ConflictKind.RAVEN_EDIT:
        # Swapped roles: keeping local keeps the head, keeping Raven's side takes the refused edit.
        return before if resolution is Resolution.KEEP_LOCAL else conflict.remote_hash
    if resolution is Resolution.KEEP_RAVEN:
        return before
    return None if conflict.kind is ConflictKind.DELETE_MISMATCH else conflict.local_hash
