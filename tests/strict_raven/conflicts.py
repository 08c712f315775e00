"""Listing, previewing and resolving conflicts, always from the snapshot of the moment they opened."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from strict_raven.context import Caller, Context
from strict_raven.files import write_head
from strict_raven.state import JSON, Conflict, Source
from strict_raven.wire import HttpError, iso, sha256


def list_open(context: Context, caller: Caller, body: JSON) -> Any:
    """The open conflicts, newest first."""
    source = context.source(caller, body["sourceId"])
    return [conflict.shown() for conflict in reversed(source.conflicts.values()) if conflict.status == "open"]


def preview(context: Context, caller: Caller, body: JSON) -> Any:
    """Line n of one side against line n of the other; `contextLines` changes nothing."""
    conflict = _open(context.source(caller, body["sourceId"]), body["conflictId"])
    local, remote = conflict.local_content.split("\n"), conflict.remote_content.split("\n")
    changes = [
        {"line": number, "local": mine, "remote": theirs}
        for number, (mine, theirs) in enumerate(zip_longest(local, remote, fillvalue=""), start=1)
        if mine != theirs
    ]
    return {
        "conflictId": conflict.id,
        "relativePath": conflict.path,
        "baseHash": conflict.base_hash,
        "localHash": conflict.local_hash,
        "remoteHash": conflict.remote_hash,
        "summary": {"localLines": len(local), "remoteLines": len(remote), "differentLines": len(changes)},
        "changes": changes,
    }


def resolve(context: Context, caller: Caller, body: JSON) -> Any:
    """Make the wanted side the head, whatever the head is by now; a deleted side comes back as an empty file."""
    source, resolution = context.source(caller, body["sourceId"]), body["resolution"]
    conflict = _resolvable(context, source, body["conflictId"])
    if resolution == "manual_merge" and not body.get("resolvedContent"):
        raise HttpError(400, "resolvedContent is required for manual_merge")
    content, digest = {
        "keep_local": (conflict.local_content, conflict.local_hash),
        "keep_raven": (conflict.remote_content, conflict.remote_hash),
    }.get(resolution) or (body["resolvedContent"], sha256(body["resolvedContent"]))
    file = source.files[conflict.path]
    operation = f"resolve-{conflict.id}"
    write_head(
        context,
        source,
        file.path,
        content=content,
        digest=digest,
        content_type=file.content_type,
        origin="merge",
        operation=operation,
    )
    conflict.status, conflict.resolution, conflict.resolved_at = "resolved", resolution, context.clock()
    told = {"hash": digest, "content": content, "conflictId": conflict.id, "resolution": resolution}
    context.append(source, "conflict.resolved", file.path, told)
    payload = {"hash": digest, "content": content, "contentType": file.content_type, "operationId": operation}
    context.append(source, "file.upsert", file.path, payload)
    at = iso(conflict.resolved_at)
    return {"conflictId": conflict.id, "status": "resolved", "resolution": resolution, "resolvedAt": at}


def _open(source: Source, conflict_id: str) -> Conflict:
    conflict = source.conflicts.get(conflict_id.lower())
    if conflict is None or conflict.status != "open":
        raise HttpError(404, "Open conflict not found")
    return conflict


def _resolvable(context: Context, source: Source, conflict_id: str) -> Conflict:
    conflict = source.conflicts.get(conflict_id.lower())
    if conflict and conflict.status == "resolved" and context.dice.resolves_again(conflict, context.clock()):
        return conflict
    return _open(source, conflict_id)
