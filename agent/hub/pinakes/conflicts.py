"""Conflicts of the account: recorded, listed and resolved.

They share their table with ScaiDrive's API, so each of the two lists the conflicts of both. Those of Raven's API are
listed here as well, and resolved there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from msgspec import Struct

from agent.hub.answers import HubError, timestamp
from agent.hub.domain.contents import type_of
from agent.hub.domain.drive_model import Device, VersionConflict
from agent.hub.domain.listed_conflicts import (
    DELETED,
    HASH_KEY,
    UPDATED,
    announce_closed,
    announce_opened,
    refused_and_head,
)
from agent.hub.domain.model import OpenConflict, Source, VersionOrigin
from agent.hub.domain.ports import StoreSession
from agent.hub.domain.siblings import free_sibling
from agent.hub.domain.source_transaction import SourceTransaction
from agent.hub.pinakes.context import PinakesContext, PinakesRequest, account_of, account_source, account_writer
from agent.hub.pinakes.wire import CLIENT_WINS, KEEP_BOTH, ConflictBody, ResolveRequest

OTHER_KEY: Final = "other_hash"
SIZE_KEY: Final = "size"
"""Details of a refused content in a stored conflict, beside `HASH_KEY`."""


class RefusedChange(Struct, frozen=True):
    """A change that does not fit the head.

    Attributes:
        hash: in this API's algorithm; None for a delete.
        base: see `base_revision`.
        upload: the upload that brought the content, None if none did.
        details: what is known of a content that was uploaded.
    """

    path: str
    hash: str | None
    size: int
    base: int | None
    upload: str | None
    details: Mapping[str, object]


def record_conflict(
    context: PinakesContext,
    session: StoreSession,
    transaction: SourceTransaction,
    device: Device,
    refused: RefusedChange,
) -> VersionConflict:
    """Record a conflict with the head of a loaded path. The same one that is open already is returned instead."""
    head = transaction.head(refused.path)
    identity = transaction.identity(refused.path)
    source = transaction.source
    details: dict[str, object] = {} if refused.hash is None else {SIZE_KEY: refused.size, **refused.details}
    if refused.hash is not None:
        details[HASH_KEY if context.hashes.is_sha256 else OTHER_KEY] = refused.hash
    made = VersionConflict(
        id=context.new_id(),
        source=source.number,
        user=device.user,
        device=device.id,
        is_folder=False,
        resource=identity,
        change=DELETED if refused.hash is None else UPDATED,
        path=refused.path,
        new_path=None,
        base=refused.base,
        client=refused.upload,
        server=None if head is None else head.revision,
        metadata=details,
        created_at=context.clock(),
    )
    for known in session.version_conflicts(source.workspace, source.number, resolved=False):
        if _is_same(known, made):
            return known
    session.save_version_conflict(made)
    announce_opened(session, transaction, made)
    return made


def _is_same(one: VersionConflict, other: VersionConflict) -> bool:
    def key(conflict: VersionConflict) -> tuple[object, ...]:
        c = conflict
        return c.user, c.device, c.path, c.change, c.base, c.client, c.server, dict(c.metadata)

    return key(one) == key(other)


def base_revision(
    context: PinakesContext, session: StoreSession, transaction: SourceTransaction, path: str, base: str | None
) -> int | None:
    """Return the cursor of the version that a change of a loaded path was made on, None if the file has none such."""
    if base is None:
        return None
    source = transaction.source
    versions = session.drive_versions(source.number, transaction.identity(path))
    hashes = context.hashes.stored(session, source.workspace_number, [version.hash for version in versions])
    return next((version.cursor for version in reversed(versions) if hashes[version.hash] == base), None)


def conflict_document(
    context: PinakesContext, session: StoreSession, source: Source, conflict: VersionConflict
) -> ConflictBody:
    """Return a conflict in wire form."""
    versions = session.drive_versions(conflict.source, conflict.resource) if conflict.server is not None else []
    server = next((version.hash for version in versions if version.cursor == conflict.server), None)
    return ConflictBody(
        id=conflict.id,
        device_id=conflict.device,
        path=conflict.path,
        local_hash=_local_hash(context, session, source, conflict.metadata),
        server_hash=None if server is None else _hash(context, session, source, server),
        detected_at=timestamp(conflict.created_at),
        resolved_at=None if conflict.resolved_at is None else timestamp(conflict.resolved_at),
        resolution=None if conflict.resolution is None else conflict.resolution.lower(),
    )


def _hash(context: PinakesContext, session: StoreSession, source: Source, hash_: str) -> str:
    return context.hashes.stored(session, source.workspace_number, [hash_])[hash_]


def _local_hash(
    context: PinakesContext, session: StoreSession, source: Source, details: Mapping[str, object]
) -> str | None:
    found = details.get(HASH_KEY)
    if context.hashes.is_sha256 or not isinstance(found, str):
        other = details.get(HASH_KEY if context.hashes.is_sha256 else OTHER_KEY)
        return other if isinstance(other, str) else None
    # A content that another API refused has a hash here only if its bytes arrived.
    is_here = session.known_content(source.workspace_number, found) is not None
    return _hash(context, session, source, found) if is_here else None


def list_conflicts(context: PinakesContext, request: PinakesRequest) -> list[ConflictBody]:
    """List the open conflicts of the account, newest first, whatever API they were opened through."""
    account_of(context, request.caller)
    with context.store.read() as session:
        source = account_source(context, session, request.caller)
        if source is None:
            return []
        found = list(_own(context, session, source))
        found += [_of_raven(context, session, source, conflict) for conflict in session.open_conflicts(source.number)]
    return sorted(found, key=lambda conflict: (conflict.detected_at, conflict.id), reverse=True)


def _own(context: PinakesContext, session: StoreSession, source: Source) -> Iterator[ConflictBody]:
    for conflict in session.version_conflicts(source.workspace, source.number, resolved=False):
        # This API has no folders.
        if not conflict.is_folder:
            yield conflict_document(context, session, source, conflict)


def _of_raven(context: PinakesContext, session: StoreSession, source: Source, conflict: OpenConflict) -> ConflictBody:
    refused, head = refused_and_head(conflict)
    hashes = context.hashes.stored(
        session, source.workspace_number, [hash_ for hash_ in (refused, head) if hash_ is not None]
    )
    return ConflictBody(
        id=conflict.id,
        device_id=conflict.connector,
        path=conflict.path,
        local_hash=None if refused is None else hashes[refused],
        server_hash=None if head is None else hashes[head],
        detected_at=timestamp(conflict.created_at),
        resolved_at=None,
        resolution=None,
    )


def resolve(context: PinakesContext, request: PinakesRequest) -> ConflictBody:
    """Resolve an open conflict.

    `server_wins` and `manual` change no file. `client_wins` applies the refused change to the head of now, which stays
    among the versions. `keep_both` puts the refused content beside the file.

    Raises:
        HubError: 400 for a conflict that is not open, one of Raven's API, or a content that was never uploaded.
    """
    decision = request.decoded(ResolveRequest).resolution
    with account_writer(context, request.caller) as (session, transaction):
        workspace, source = request.caller.workspace, transaction.source.number
        conflict = session.version_conflict(workspace, request.ids[0])
        if conflict is None or conflict.source != source or conflict.is_folder or conflict.resolution is not None:
            raise HubError(400, "There is no such open conflict")
        if decision == CLIENT_WINS:
            _apply_refused(context, session, transaction, conflict)
        elif decision == KEEP_BOTH and conflict.change != DELETED:
            beside = free_sibling(conflict.path, context.clock(), lambda path: _is_free(transaction, path))
            _publish(context, session, transaction, conflict, beside)
        word = decision.upper()
        closed = replace(conflict, resolution=word, resolved_at=context.clock())
        session.save_version_conflict(closed)
        announce_closed(session, transaction, closed)
        return conflict_document(context, session, transaction.source, closed)


def _is_free(transaction: SourceTransaction, path: str) -> bool:
    transaction.load_heads([path])
    return transaction.head(path) is None


def _apply_refused(
    context: PinakesContext, session: StoreSession, transaction: SourceTransaction, conflict: VersionConflict
) -> None:
    transaction.load_heads([conflict.path])
    if conflict.change == UPDATED:
        _publish(context, session, transaction, conflict, conflict.path)
    elif conflict.change == DELETED:
        if transaction.head(conflict.path) is not None:
            transaction.delete(conflict.path, f"resolve-{conflict.id}", detail={"by": conflict.user})
    else:
        raise HubError(400, "A refused move cannot be applied by this API")


def _publish(
    context: PinakesContext,
    session: StoreSession,
    transaction: SourceTransaction,
    conflict: VersionConflict,
    path: str,
) -> None:
    hash_, workspace = conflict.metadata.get(HASH_KEY), transaction.source.workspace_number
    if conflict.client is None or not isinstance(hash_, str) or session.known_content(workspace, hash_) is None:
        raise HubError(400, "The refused content was never uploaded")
    transaction.load_heads([path])
    hidden = session.is_hidden_content(workspace, hash_)
    transaction.upsert(
        path,
        hash_,
        VersionOrigin.CONNECTOR,
        f"resolve-{conflict.id}",
        content_type=type_of(path, None, hidden=hidden),
        hidden=hidden,
        detail={"by": conflict.user},
    )
