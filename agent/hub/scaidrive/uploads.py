"""Uploads in chunks. An upload that replaces a file makes a version, which `apply` publishes."""

from __future__ import annotations

from typing import Final

from agent.hub.domain.contents import ReceivedContent, row_of, uploaded_content
from agent.hub.domain.drive_model import UPLOAD_IDLE_MS, UploadSession
from agent.hub.domain.ports import Growth, StoreSession
from agent.hub.domain.stale_uploads import sweep_uploads
from agent.hub.scaidrive.context import (
    DriveContext,
    check_size,
    folder_number,
    present_file,
    share_writer,
    with_folders,
)
from agent.hub.scaidrive.files import put_content
from agent.hub.scaidrive.paths import joined, name_taken
from agent.hub.scaidrive.request import DriveRefusal, DriveRequest, maybe_integer, maybe_text, text, wrong_field
from agent.hub.scaidrive.wire import Shown, file_id, parsed_id, upload_version_id, upload_view, version_id

LEAST_CHUNK: Final = 65_536
MOST_CHUNK: Final = 16_777_216
_HASH_LENGTH: Final = 64


def begin_upload(context: DriveContext, request: DriveRequest) -> object:
    """Begin an upload of a new file, or of a version of the file `replace_file_id`.

    Raises:
        DriveRefusal: 409 if the name of a new file is taken, 413 for a file that is too large.
    """
    fields, now = request.fields(), context.clock()
    name, size = text(fields, "file_name"), maybe_integer(fields, "file_size")
    chunk, replaced = maybe_integer(fields, "chunk_size", LEAST_CHUNK), maybe_text(fields, "replace_file_id")
    if size is None:
        raise wrong_field("body", "file_size", "Field required", "missing")
    check_size(context, size)
    if chunk is not None and (chunk > MOST_CHUNK or chunk & (chunk - 1)):
        raise wrong_field("body", "chunk_size", f"Input should be a power of two from {LEAST_CHUNK} to {MOST_CHUNK}")
    share = with_folders(context, request.caller, text(fields, "share_id"))
    sweep_uploads(context.store, context.blobs, now)
    with context.store.write(Growth.SMALL) as session:
        identity = None if replaced is None else _replaced(session, request, share.number, replaced)
        folder = folder_number(share, maybe_text(fields, "folder_id"))
        upload = UploadSession(
            id=context.new_id(),
            workspace=request.caller.workspace,
            user=request.caller.user,
            source=share.number,
            folder=folder,
            name=name,
            size=size,
            chunk_size=chunk or context.chunk_size,
            mime_type=maybe_text(fields, "mime_type", 128),
            hash=_promised(maybe_text(fields, "checksum_sha256")),
            replaces=identity,
            created_at=now,
            touched_at=now,
        )
        if identity is None:
            _check_name(session, upload)
        session.add_upload(upload)
    return {"session_id": upload.id, "chunk_size": upload.chunk_size, "total_chunks": upload.total_chunks}


def _replaced(session: StoreSession, request: DriveRequest, source: int, text_id: str) -> int:
    found, head = present_file(session, request.caller, text_id)
    if found.number != source:
        raise wrong_field("body", "replace_file_id", "is a file of another share")
    return head.identity


def _promised(value: str | None) -> str | None:
    if value is None:
        return None
    lower = value.lower()
    if len(lower) != _HASH_LENGTH or not set(lower) <= set("0123456789abcdef"):
        raise wrong_field("body", "checksum_sha256", "Input should be 64 hexadecimal digits")
    return lower


def _check_name(session: StoreSession, upload: UploadSession) -> None:
    row = session.folder(upload.source, upload.folder) if upload.folder else None
    if upload.folder and (row is None or row.deleted_at is not None):
        raise DriveRefusal(404 if row is None else 410, "Folder not found")
    path = joined("" if row is None else row.path, upload.name)
    head = session.heads(upload.source, [path]).get(path)
    if (head is not None and head.hash is not None) or session.folders_at(upload.source, [path]):
        raise name_taken()


def put_chunk(context: DriveContext, request: DriveRequest) -> object:
    """Store one chunk. Chunks come in any order, and the same again changes nothing."""
    upload = _open(context, request)
    if upload.result is not None:
        raise DriveRefusal(409, "The upload is complete")
    index = request.ids[1]
    chunk = int(index) if index.isascii() and index.isdigit() and len(index) <= 9 else -1
    if not 0 <= chunk < upload.total_chunks:
        raise wrong_field("path", "index", f"Input should be below {upload.total_chunks}")
    start, length = upload.span(chunk)
    if len(request.body) != length:
        raise wrong_field("body", "body", f"The chunk should have {length} bytes")
    # The bytes are durable before the chunk is recorded.
    context.blobs.put(upload.id, start, request.body)
    with context.store.write(Growth.SMALL) as session:
        session.add_chunk(upload.id, chunk, context.clock())
    return None


def read_upload(context: DriveContext, request: DriveRequest) -> object:
    """Show which chunks have arrived."""
    upload = _open(context, request)
    with context.store.read() as session:
        return upload_view(upload, session.received_chunks(upload.id))


def cancel_upload(context: DriveContext, request: DriveRequest) -> object:
    """End an upload and remove its bytes."""
    upload = _open(context, request)
    with context.store.write(Growth.SMALL) as session:
        session.remove_uploads([upload.id])
    if upload.result is None:
        context.blobs.discard([upload.id])
    return None


def complete_upload(context: DriveContext, request: DriveRequest) -> object:
    """Make the file, or the version that `apply` publishes. The same upload again gets the same answer.

    Raises:
        DriveRefusal: 400 if chunks are missing or their hash is not the promised one, 409 if the name is taken,
            410 if the upload ended.
    """
    upload = _open(context, request)
    if upload.result is not None:
        return upload.result
    with context.store.read() as session:
        received = session.received_chunks(upload.id)
    if len(received) != upload.total_chunks:
        raise DriveRefusal(400, f"{upload.total_chunks - len(received)} chunks are missing")
    try:
        content = uploaded_content(context.blobs, upload.id, upload.size)
    except (LookupError, FileNotFoundError):
        raise DriveRefusal(410, "The upload's bytes are gone: begin a new one") from None
    if upload.hash is not None and upload.hash != content.hash:
        raise DriveRefusal(400, "The chunks do not have the promised checksum_sha256", "CHECKSUM_MISMATCH")
    result = _record(context, request, upload, content)
    if content.stored is not None:
        context.blobs.discard([upload.id])
    return result


def _record(context: DriveContext, request: DriveRequest, upload: UploadSession, content: ReceivedContent) -> Shown:
    with context.store.read() as session:
        found = session.source_by_number(request.caller.workspace, upload.source)
    assert found is not None
    with share_writer(context, request.caller, found.id) as writer:
        source = upload.source
        known = writer.session.upload(upload.workspace, upload.user, upload.id)
        if known is not None and known.result is not None:
            # Another request completed it meanwhile.
            return dict(known.result)
        if upload.replaces is not None:
            row = row_of(context.blobs, writer.session, writer.source.workspace_number, content)
            if row is not None:
                writer.transaction.add_content(content.hash, row)
            elif content.upload is not None:
                writer.unused.append(content.upload)
            identity, version = upload.replaces, upload_version_id(upload.id)
        else:
            path = joined(writer.folder_path(upload.folder), upload.name)
            if writer.is_taken(path):
                raise name_taken()
            head = put_content(context, writer, path, content, upload.mime_type)
            identity, version = head.identity, str(version_id(source, head.revision))
        result: Shown = {
            "file_id": file_id(source, identity),
            "version_id": version,
            "checksum_sha256": content.hash,
        }
        writer.session.finish_upload(upload.id, result, writer.now)
    return result


def _open(context: DriveContext, request: DriveRequest) -> UploadSession:
    with context.store.read() as session:
        upload = session.upload(request.caller.workspace, request.caller.user, request.ids[0])
    if upload is None:
        raise DriveRefusal(404, "Upload not found", "NOT_FOUND")
    if upload.touched_at + UPLOAD_IDLE_MS < context.clock():
        raise DriveRefusal(410, "The upload ended after 24 hours without activity: begin a new one")
    return upload


def published(result: Shown, source: int, revision: int) -> Shown:
    """Return the answer of a completed upload after `apply` made its version the head."""
    return {**result, "version_id": version_id(source, revision)}


def is_published(result: Shown) -> bool:
    """Return True if the version of a completed upload is among the file's versions."""
    return parsed_id("ver", str(result["version_id"])) is not None
