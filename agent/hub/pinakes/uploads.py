"""Uploads to a path. The session names the content and its base; `complete` makes it the head."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from agent.hub.answers import HubError, timestamp
from agent.hub.domain.contents import ReceivedContent, row_of, type_of, uploaded_content
from agent.hub.domain.drive_model import UPLOAD_IDLE_MS, Device, UploadSession
from agent.hub.domain.listed_conflicts import HASH_KEY
from agent.hub.domain.model import VersionOrigin
from agent.hub.domain.ports import Growth, StoreSession
from agent.hub.domain.source_transaction import SourceTransaction
from agent.hub.domain.stale_uploads import sweep_uploads
from agent.hub.pinakes.conflicts import RefusedChange, base_revision, record_conflict
from agent.hub.pinakes.context import (
    LEAST_CHUNK,
    MOST_CHUNK,
    PinakesContext,
    PinakesRequest,
    account_writer,
    device_of,
)
from agent.hub.pinakes.report import ReportVerdict, check_path, judge, shown_hash
from agent.hub.pinakes.wire import (
    COMPLETED,
    IN_PROGRESS,
    PENDING,
    ChunkBody,
    UploadBody,
    UploadRequest,
    UploadStatus,
    conflict_refusal,
)

_CONFLICT: Final = "conflict"
"""Key of the stored result of an upload that was refused at its end."""
_LONGEST_INDEX: Final = 9


def begin_upload(context: PinakesContext, request: PinakesRequest) -> UploadBody:
    """Begin an upload. The server chooses the size of the chunks; the client's is a wish.

    Raises:
        HubError: 400 for a path that no machine should write and for a file that is too large, 401 without a device.
    """
    wanted, now = request.decoded(UploadRequest), context.clock()
    check_path(wanted.target_path)
    if wanted.expected_size > context.largest_file:
        raise HubError(400, f"The file is larger than the {context.largest_file} bytes that this hub takes")
    sweep_uploads(context.store, context.blobs, now)
    with account_writer(context, request.caller, Growth.SMALL) as (session, transaction):
        device = device_of(session, request)
        upload = UploadSession(
            id=context.new_id(),
            workspace=request.caller.workspace,
            user=request.caller.user,
            source=transaction.source.number,
            folder=0,
            name="",
            size=wanted.expected_size,
            chunk_size=_chunk_size(context, wanted.chunk_size),
            mime_type=None,
            hash=wanted.expected_hash.lower(),
            replaces=None,
            created_at=now,
            touched_at=now,
            target=wanted.target_path,
            base=None if wanted.base_hash is None else wanted.base_hash.lower(),
            device=device.id,
        )
        session.add_upload(upload)
    return _document(upload, None)


def _chunk_size(context: PinakesContext, wished: int | None) -> int:
    return context.chunk_size if wished is None else min(max(wished, LEAST_CHUNK), MOST_CHUNK)


def status_of(result: Mapping[str, object] | None, received: Collection[int] | None) -> UploadStatus:
    """Return the status of an upload from its result and its chunks.

    A refused content never became the head. Shown as completed, it would count as published on a device that did not
    get the refusal.
    """
    if result is not None and _CONFLICT not in result:
        return COMPLETED
    return IN_PROGRESS if received or result is not None else PENDING


def _document(upload: UploadSession, received: list[int] | None, *, shown: bool = False) -> UploadBody:
    return UploadBody(
        id=upload.id,
        target_path=str(upload.target),
        expected_hash=str(upload.hash),
        expected_size=upload.size,
        chunk_size=upload.chunk_size,
        chunk_count=upload.total_chunks,
        status=status_of(upload.result, received),
        created_at=timestamp(upload.created_at),
        expires_at=timestamp(upload.touched_at + UPLOAD_IDLE_MS),
        received_chunks=received if shown else None,
    )


def put_chunk(context: PinakesContext, request: PinakesRequest) -> ChunkBody:
    """Store one chunk. Chunks come in any order, and the same again changes nothing.

    Raises:
        HubError: 404 for an unknown upload, 400 for a chunk that it has not, or of another size.
    """
    upload = _open(context, request)
    if upload.result is not None:
        raise HubError(400, "The upload is complete")
    index = request.ids[1]
    chunk = int(index) if index.isascii() and index.isdigit() and len(index) <= _LONGEST_INDEX else -1
    if not 0 <= chunk < upload.total_chunks:
        raise HubError(400, f"The chunk must be below {upload.total_chunks}")
    start, length = upload.span(chunk)
    if len(request.body) != length:
        raise HubError(400, f"The chunk must have {length} bytes")
    # The bytes are durable before the chunk is recorded.
    context.blobs.put(upload.id, start, request.body)
    with context.store.write(Growth.SMALL) as session:
        session.add_chunk(upload.id, chunk, context.clock())
    made = context.hashes.new()
    made.update(request.body)
    return ChunkBody(upload.id, chunk, start, length, made.hexdigest())


def read_upload(context: PinakesContext, request: PinakesRequest) -> UploadBody:
    """Show which chunks have arrived."""
    upload = _open(context, request)
    with context.store.read() as session:
        return _document(upload, session.received_chunks(upload.id), shown=True)


def cancel_upload(context: PinakesContext, request: PinakesRequest) -> None:
    """End an upload and remove its bytes."""
    upload = _open(context, request)
    with context.store.write(Growth.SMALL) as session:
        session.remove_uploads([upload.id])
    if upload.result is None:
        context.blobs.discard([upload.id])


def complete_upload(context: PinakesContext, request: PinakesRequest) -> UploadBody:
    """Make the content the head of its path, if the head still has the base. The same again gets the same answer.

    Raises:
        HubError: 400 if chunks are missing or their hash is not the promised one, and for a stale base. The content
            is kept then, and the message names the conflict.
    """
    upload = _open(context, request)
    if upload.result is None:
        upload = _completed(context, request, upload)
    conflict = (upload.result or {}).get(_CONFLICT)
    if conflict is not None:
        raise HubError(400, conflict_refusal(str(conflict)))
    return _document(upload, None)


def _completed(context: PinakesContext, request: PinakesRequest, upload: UploadSession) -> UploadSession:
    with context.store.read() as session:
        received = session.received_chunks(upload.id)
    if len(received) != upload.total_chunks:
        raise HubError(400, f"{upload.total_chunks - len(received)} chunks are missing")
    made = context.hashes.new()
    try:
        content = uploaded_content(context.blobs, upload.id, upload.size, made)
    except (LookupError, FileNotFoundError):
        raise HubError(404, "The bytes of the upload are gone: begin a new one") from None
    if made.hexdigest() != upload.hash:
        raise HubError(400, "The chunks do not have the expected_hash")
    adopted = context.hashes.retrying(lambda: _record(context, request, upload, content))
    if not adopted:
        context.blobs.discard([upload.id])
    with context.store.read() as session:
        done = session.account_upload(upload.workspace, upload.user, upload.id)
    if done is None:
        raise HubError(404, "Upload not found")
    return done


def _record(context: PinakesContext, request: PinakesRequest, upload: UploadSession, content: ReceivedContent) -> bool:
    """Publish a content, or record its conflict. Return True if the store of contents has taken over its bytes."""
    path = str(upload.target)
    with account_writer(context, request.caller) as (session, transaction):
        known = session.account_upload(upload.workspace, upload.user, upload.id)
        if known is None or known.result is not None:
            # Another request completed or cancelled it meanwhile, and has removed or adopted the bytes.
            return True
        transaction.load_heads([path])
        # The base is compared in this transaction: the report of the change compared it long ago. All hashes are read
        # before the bytes are adopted, as a missing one begins the transaction again.
        head = shown_hash(context, session, transaction.source, transaction.head(path))
        verdict = judge(upload.hash, upload.base, head)
        device = session.account_device(upload.workspace, str(upload.device))
        base = base_revision(context, session, transaction, path, upload.base)
        adopted = False
        if verdict is not ReportVerdict.NOTHING:
            row = row_of(context.blobs, session, transaction.source.workspace_number, content)
            adopted = row is not None and content.stored is None
            if row is not None:
                transaction.add_content(content.hash, row)
            context.hashes.record(session, content.hash, str(upload.hash))
        result: dict[str, object] = {}
        if verdict is ReportVerdict.APPLY:
            _publish(transaction, upload, content)
        elif verdict is ReportVerdict.CONFLICT:
            result[_CONFLICT] = _refused(context, session, transaction, device, upload, content, base)
        session.finish_upload(upload.id, result, context.clock())
    return adopted


def _publish(transaction: SourceTransaction, upload: UploadSession, content: ReceivedContent) -> None:
    path = str(upload.target)
    transaction.upsert(
        path,
        content.hash,
        VersionOrigin.CONNECTOR,
        f"pinakes-{upload.id}",
        content_type=type_of(path, None, hidden=content.hidden),
        hidden=content.hidden,
        detail={"by": upload.user, "device": upload.device},
    )


def _refused(
    context: PinakesContext,
    session: StoreSession,
    transaction: SourceTransaction,
    device: Device | None,
    upload: UploadSession,
    content: ReceivedContent,
    base: int | None,
) -> str:
    if device is None:
        raise HubError(401, "The device was removed")
    refused = RefusedChange(str(upload.target), upload.hash, upload.size, base, upload.id, {HASH_KEY: content.hash})
    return record_conflict(context, session, transaction, device, refused).id


def _open(context: PinakesContext, request: PinakesRequest) -> UploadSession:
    with context.store.read() as session:
        upload = session.account_upload(request.caller.workspace, request.caller.user, request.ids[0])
    if upload is None or upload.touched_at + UPLOAD_IDLE_MS < context.clock():
        raise HubError(404, "Upload not found")
    return upload
