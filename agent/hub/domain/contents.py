"""Storage of received contents: small ones in their row, large ones as blobs."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator
from typing import Final, Protocol

from msgspec import Struct

from agent.core.hashes import sha256_hex
from agent.hub.domain.compression import CompressedContent, pack
from agent.hub.domain.drive_model import INLINE_BYTES
from agent.hub.domain.drive_ports import Blobs
from agent.hub.domain.model import DEFAULT_CONTENT_TYPE, Encoding, NewId
from agent.hub.domain.ports import StoreSession
from agent.hub.domain.text import is_text

BINARY_TYPE: Final = "application/octet-stream"


class RunningHash(Protocol):
    """A hash that is computed piece by piece, as in `hashlib`."""

    def update(self, data: bytes, /) -> object:
        """Add bytes."""

    def hexdigest(self) -> str:
        """Return the hash so far, in lower-case hexadecimal digits."""


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


def received_content(blobs: Blobs, new_id: NewId, data: bytes) -> ReceivedContent:
    """Return a content that came in one request. A large one is made durable first."""
    if len(data) <= INLINE_BYTES:
        return small_content(data)
    upload = new_id()
    blobs.put(upload, 0, data)
    return ReceivedContent(sha256_hex(data), len(data), True, None, upload)


def uploaded_content(blobs: Blobs, upload: str, size: int, other: RunningHash | None = None) -> ReceivedContent:
    """Return the content of a complete upload.

    Args:
        other: a second hash of the same bytes, computed on the way.

    Raises:
        LookupError, FileNotFoundError: the bytes are gone.
    """
    if size <= INLINE_BYTES:
        data = b"".join(blobs.uploaded(upload, size)) if size else b""
        if other is not None:
            other.update(data)
        return small_content(data)
    found = hashlib.sha256()
    for piece in blobs.uploaded(upload, size):
        found.update(piece)
        if other is not None:
            other.update(piece)
    return ReceivedContent(found.hexdigest(), size, True, None, upload)


def row_of(blobs: Blobs, session: StoreSession, workspace: int, content: ReceivedContent) -> CompressedContent | None:
    """Return the row to record for a content, or None if it is recorded already. Bytes of a large one are adopted."""
    if content.stored is not None:
        return content.stored
    if session.hold_contents(workspace, [content.hash]):
        return None
    assert content.upload is not None
    reference = blobs.adopt(content.upload, content.hash)
    return CompressedContent(content.size, Encoding.BLOB, reference)


def read_content(
    blobs: Blobs, session: StoreSession, workspace: int, hash_: str, start: int, length: int
) -> Iterator[bytes]:
    """Return bytes of a recorded content in pieces. The transaction may end before they are read."""
    data = session.content_bytes(workspace, hash_)
    if data is not None:
        return iter((data[start : start + length],) if length else ())
    return blobs.read(workspace, hash_, start, length)


def type_of(name: str, given: str | None, *, hidden: bool) -> str:
    """Return the content type of a file: as given, by its name, or the default of texts."""
    if given:
        return given
    guessed, _ = mimetypes.guess_type(name)
    if hidden:
        return guessed or BINARY_TYPE
    return guessed if guessed is not None and guessed.startswith("text/") else DEFAULT_CONTENT_TYPE
