"""Bodies of the hub's batches, both ways. ScaiDrive's documentation has none of them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from agent.remotes.fields import maybe_text, row, rows, text
from agent.remotes.scaidrive.wire import VersionRow, absolute, version_of


class CreatedFile(Struct, frozen=True):
    """A file that a batch made: its id, and the id of its version."""

    file: str
    rev: str


class WantedFile(Struct, frozen=True):
    """A file to read.

    Attributes:
        number: of its version; None for the newest one.
        known: the hash of a content that need not be sent.
    """

    id: str
    number: int | None = None
    known: str | None = None


class ReadFile(Struct, frozen=True):
    """A version that a batch read. ``content``: None if it was not sent."""

    version: VersionRow
    content: bytes | None

    def __repr__(self) -> str:
        # The text of a file must not get into a log.
        return f"ReadFile({self.version!r})"


def batch_body(share: str, files: Sequence[tuple[str, str, bytes]]) -> dict[str, Any]:
    """Encode ``POST files/batch``: path, hash and content of each new file."""
    return {
        "share_id": share,
        "files": [
            {"path": absolute(path), "checksum_sha256": digest, "content": base64.b64encode(content).decode()}
            for path, digest, content in files
        ],
    }


def created_of(data: Any) -> list[CreatedFile | None]:
    """Decode the answer of ``POST files/batch``, in the order of the request; None for a file that was refused."""
    found = rows(row(data, "batch").get("files"), "file")
    return [
        CreatedFile(text(each, "file_id"), text(each, "version_id")) if each.get("status") == 201 else None
        for each in found
    ]


def contents_body(share: str, files: Sequence[WantedFile]) -> dict[str, Any]:
    """Encode ``POST files/contents``."""
    return {
        "share_id": share,
        "files": [{"file_id": each.id, "version": each.number, "known_sha256": each.known} for each in files],
    }


def contents_of(data: Any) -> dict[str, ReadFile]:
    """Decode the answer of ``POST files/contents``, by file id. Files without a version are left out."""
    found = {}
    for each in rows(row(data, "batch").get("files"), "file"):
        version = each.get("version")
        if isinstance(version, dict):
            found[text(each, "file_id")] = ReadFile(version_of(version), _bytes_of(maybe_text(each, "content")))
    return found


def _bytes_of(encoded: str | None) -> bytes | None:
    if encoded is None:
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        # It is requested alone then.
        return None
