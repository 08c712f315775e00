"""Storage of received contents: small ones in their row, large ones as blobs."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from agent.core.hashes import sha256_hex
from agent.hub.domain.compression import CompressedContent, pack
from agent.hub.domain.drive_model import INLINE_BYTES
from agent.hub.domain.model import DEFAULT_CONTENT_TYPE, Encoding
from agent.hub.domain.ports import StoreSession
from agent.hub.domain.text import is_text
from agent.hub.scaidrive.context import DriveContext, ShareWriter
from agent.hub.scaidrive.request import DriveRefusal

BINARY_TYPE: Final = "application/octet-stream"


class ReceivedContent(Struct, frozen=True):
    """A content that is ready to be recorded.

    Attributes:
        hidden: it is no text, or too large for Raven's face.
        stored: its row, None while it is only in the store of blobs.
        upload: the upload that holds a large content's bytes.
    """

    hash: str
    size: int
    hidden: bool
    stored: CompressedContent | None
    upload: str | None = None


def small_content(data: bytes) -> ReceivedContent:
    """Return a content of at most INLINE_BYTES. Call it before the database is locked: it compresses."""
    return ReceivedContent(sha256_hex(data), len(data), not is_text(data), pack(data))


def check_size(context: DriveContext, size: int) -> None:
    """Refuse a file that is too large.

    Raises:
        DriveRefusal: 413.
    """
    if size > context.largest_file:
        message = f"The file is larger than the {context.largest_file} bytes that this hub takes"
        raise DriveRefusal(413, message, "PAYLOAD_TOO_LARGE")


def received_content(context: DriveContext, data: bytes) -> ReceivedContent:
    """Return a content that came in one request. A large one is made durable first.

    Raises:
        DriveRefusal: 413 if it is too large.
    """
    check_size(context, len(data))
    if len(data) <= INLINE_BYTES:
        return small_content(data)
    upload = context.new_id()
    context.blobs.put(upload, 0, data)
    return ReceivedContent(sha256_hex(data), len(data), True, None, upload)


def uploaded_content(context: DriveContext, upload: str, size: int) -> ReceivedContent:
    """Return the content of a complete upload."""
    if size <= INLINE_BYTES:
        return small_content(b"".join(context.blobs.uploaded(upload, size)) if size else b"")
    found = hashlib.sha256()
    for piece in context.blobs.uploaded(upload, size):
        found.update(piece)
    return ReceivedContent(found.hexdigest(), size, True, None, upload)


def row_of(context: DriveContext, writer: ShareWriter, content: ReceivedContent) -> CompressedContent | None:
    """Return the row to record for a content, or None if it is recorded already. Bytes of a large one are adopted."""
    if content.stored is not None:
        return content.stored
    if writer.session.hold_contents(writer.source.workspace_number, [content.hash]):
        return None
    assert content.upload is not None
    reference = context.blobs.adopt(content.upload, content.hash)
    return CompressedContent(content.size, Encoding.BLOB, reference)


def read_content(
    context: DriveContext, session: StoreSession, workspace: int, hash_: str, start: int, length: int
) -> Iterator[bytes]:
    """Return bytes of a recorded content in pieces. The transaction may end before they are read."""
    data = session.content_bytes(workspace, hash_)
    if data is not None:
        return iter((data[start : start + length],) if length else ())
    return context.blobs.read(workspace, hash_, start, length)


def type_of(name: str, given: str | None, *, hidden: bool) -> str:
    """Return the content type of a file: as given, by its name, or the default of texts."""
    if given:
        return given
    guessed, _ = mimetypes.guess_type(name)
    if hidden:
        return guessed or BINARY_TYPE
    return guessed if guessed is not None and guessed.startswith("text/") else DEFAULT_CONTENT_TYPE
