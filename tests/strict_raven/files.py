"""Writing heads: pushes, edits made on the server, and what both do when the base is stale."""

from __future__ import annotations

from typing import Any

from strict_raven.columns import document, path_index, text, varchar
from strict_raven.context import Caller, Context
from strict_raven.state import JSON, Conflict, File, Source, Version
from strict_raven.wire import HttpError, sha256


def write_head(
    context: Context,
    source: Source,
    path: str,
    *,
    content: str,
    digest: str,
    content_type: str,
    origin: str,
    operation: str,
) -> File:
    """Create the file or replace its head, in one statement: it either writes all of this or nothing.

    Raises:
        DatabaseError: a value the columns refuse.
    """
    now = context.clock()
    kept = text(content)
    document([content, digest])
    kind, name = varchar(content_type, 128), varchar(digest, 64)
    file = source.files.get(path)
    if file is None:
        path_index(path)
        file = File(context.new_id(), source.id, path, kind, kept, name, now, operation)
        source.files[path] = file
    else:
        context.dice.leave(file, now)
        file.content_type, file.content, file.hash, file.synced_at = kind, kept, name, now
        file.state, file.operation = "ok", operation
    file.versions.append(Version(name, origin, kept, now))
    context.texts.add(sha256(kept))
    return file


def lose_head_version(file: File) -> None:
    """Drop the newest version: the later of two racing requests writes back the history as read before the other."""
    if file.versions and file.versions[-1].hash == file.hash:
        file.versions.pop()


def open_conflict(
    context: Context,
    source: Source,
    file: File,
    *,
    base: str,
    local: tuple[str, str],
    remote: tuple[str, str],
    reason: str | None = None,
) -> Conflict:
    """Park two texts, each given as (hash, content), whatever conflicts are open already and even when they are equal.

    Raises:
        DatabaseError: a value the columns refuse; nothing is written.
    """
    conflict = Conflict(
        id=context.new_id(),
        source_id=source.id,
        file_id=file.id,
        path=file.path,
        base_hash=varchar(base, 64),
        local_hash=varchar(local[0], 64),
        remote_hash=varchar(remote[0], 64),
        local_content=text(local[1]),
        remote_content=text(remote[1]),
        created_at=context.clock(),
    )
    context.keep(source, conflict)
    why = {} if reason is None else {"reason": reason}
    payload = {**why, "localHash": local[0], "conflictId": conflict.id, "remoteHash": remote[0]}
    context.append(source, "conflict.opened", file.path, payload)
    file.state, file.synced_at = "conflict", context.clock()
    return conflict


def push_batch(context: Context, caller: Caller, body: JSON) -> Any:
    """Apply the items one after another, without a transaction around them; the answer only counts."""
    source = context.source(caller, body["sourceId"])
    _refuse_paused(source)
    counts = {"applied": 0, "conflicts": 0, "repeated": 0}
    done: set[str] = set()
    for item in body["items"]:
        counts[_push(context, source, item, done)] += 1
        done.add(item["operationId"])
    last = source.events[-1].cursor if source.events else 0
    return {
        "sourceId": source.id,
        "applied": counts["applied"],
        "conflicts": counts["conflicts"],
        "eventCursor": last,
    }


def _push(context: Context, source: Source, item: JSON, done: set[str]) -> str:
    """One item: looked up, written, added to the feed and recorded by its id in four separate steps.

    Args:
        done: the operations of the same batch before this one; they are over, so they cannot race with it.
    """
    now = context.clock()
    operation, path, base = text(item["operationId"]), text(item["relativePath"]), item.get("baseHash")
    deletes, digest = item.get("isDelete"), item.get("contentHash") or sha256(item["content"])
    repeated = operation in source.operations
    if repeated and (operation in done or not context.dice.applies_twice(source, operation, now)):
        return "repeated"
    file = source.files.get(path)
    if file is not None and base and base != file.hash:
        races = file.operation not in done and context.dice.overwrites(file, base, now)
        if not races and not (repeated and file.operation == operation):
            reason = "delete_mismatch" if deletes else None
            local, remote = (digest, item["content"]), (file.hash, file.content)
            open_conflict(context, source, file, base=base, local=local, remote=remote, reason=reason)
            source.operations[varchar(operation, 255)] = now
            return "conflicts"
        lose_head_version(file)
    if deletes:
        _delete(context, source, path, item["operationId"])
    else:
        _upsert(context, source, path, item, digest)
    source.operations[varchar(operation, 255)] = now
    return "applied"


def _upsert(context: Context, source: Source, path: str, item: JSON, digest: str) -> None:
    content, kind, operation = item["content"], item.get("contentType") or "text/markdown", item["operationId"]
    write_head(
        context,
        source,
        path,
        content=content,
        digest=digest,
        content_type=kind,
        origin="connector",
        operation=operation,
    )
    payload = {"hash": digest, "content": content, "contentType": kind, "operationId": operation}
    context.append(source, "file.upsert", path, payload)


def _delete(context: Context, source: Source, path: str, operation: str) -> None:
    """Remove the file, its history and all its conflicts; of the conflicts the feed says nothing."""
    source.files.pop(path, None)
    for conflict in [conflict for conflict in source.conflicts.values() if conflict.path == path]:
        if conflict.status == "open":
            conflict.status = "wiped"
        del source.conflicts[conflict.id]
    context.append(source, "file.delete", path, {"operationId": operation})


def update(context: Context, caller: Caller, body: JSON) -> Any:
    """An edit made on the server: no base overwrites, and in a conflict the head is on the local side."""
    source = context.source(caller, body["sourceId"])
    if source.mode != "bidirectional":
        raise HttpError(400, "Raven-side editing is only allowed for bidirectional sources")
    _refuse_paused(source)
    file = find_file(source, body["relativePath"])
    now, base, content = context.clock(), body.get("baseHash"), body["content"]
    digest = sha256(content)
    if base and base != file.hash:
        if not context.dice.overwrites(file, base, now):
            found = open_conflict(
                context,
                source,
                file,
                base=base,
                local=(file.hash, file.content),
                remote=(digest, content),
                reason="raven_edit_stale_base",
            )
            return {"status": "conflict", "conflictId": found.id}
        lose_head_version(file)
    operation = f"raven-{caller.user}-{int(now * 1000)}"
    write_head(
        context,
        source,
        file.path,
        content=content,
        digest=digest,
        content_type=file.content_type,
        origin="raven",
        operation=operation,
    )
    payload = {"hash": digest, "content": content, "contentType": file.content_type}
    context.append(source, "file.upsert", file.path, {**payload, "actor": "raven", "operationId": operation})
    return {"status": "ok", "relativePath": file.path, "hash": digest}


def find_file(source: Source, path: str) -> File:
    """The file at that path.

    Raises:
        HttpError: 404.
    """
    file = source.files.get(text(path))
    if file is None:
        raise HttpError(404, "File not found")
    return file


def list_files(context: Context, caller: Caller, body: JSON) -> Any:
    """All files, unpaged, in the order of their paths' bytes."""
    source = context.source(caller, body["sourceId"])
    return [source.files[path].listed() for path in sorted(source.files, key=str.encode)]


def show_file(context: Context, caller: Caller, body: JSON) -> Any:
    """One file with its whole history, every time."""
    file = find_file(context.source(caller, body["sourceId"]), body["relativePath"])
    context.dice.seen(file)
    return file.shown()


def history(context: Context, caller: Caller, body: JSON) -> Any:
    """The versions of a file that is there; a deleted one has none."""
    source = context.source(caller, body["sourceId"])
    file = find_file(source, body["relativePath"])
    versions = [version.shown() for version in file.versions]
    return {"sourceId": source.id, "relativePath": file.path, "versions": versions}


def _refuse_paused(source: Source) -> None:
    if source.status == "paused":
        raise HttpError(400, "Source is paused")
