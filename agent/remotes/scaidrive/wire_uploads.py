"""The bodies of ScaiDrive's uploads: forms with small files, and sessions of chunks. See ``wire``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from agent.remotes.fields import maybe_text, number, row, text
from agent.remotes.http.failures import malformed
from agent.remotes.scaidrive.wire import maybe_digest


class UploadBegun(Struct, frozen=True):
    """A new upload session. ``chunk_size``: bytes of every chunk but the last."""

    session: str
    chunk_size: int


def upload_body(
    share: str, folder: str | None, name: str, size: int, digest: str, replaced: str | None, chunk_size: int | None
) -> dict[str, Any]:
    """Encode ``POST uploads``.

    Args:
        folder: id of the folder; None for the top, which is left out.
        replaced: id of the file that gets a new version; None for a new file.
        chunk_size: the wanted size; None lets the server choose.
    """
    body: dict[str, Any] = {"share_id": share, "file_name": name, "file_size": size, "checksum_sha256": digest}
    optional = {"folder_id": folder, "replace_file_id": replaced, "chunk_size": chunk_size}
    return {**body, **{key: value for key, value in optional.items() if value is not None}}


def upload_begun_of(data: Any) -> UploadBegun:
    """Decode the answer of ``POST uploads``."""
    found = row(data, "upload")
    begun = UploadBegun(text(found, "session_id"), number(found, "chunk_size"))
    if begun.chunk_size < 1:
        raise malformed("the server's answer names no size of a chunk")
    return begun


class UploadStatus(Struct, frozen=True):
    """A session's state. ``file``, ``rev``: of the version it made; None while it is not complete."""

    received: frozenset[int]
    complete: bool
    file: str | None
    rev: str | None


def upload_status_of(data: Any) -> UploadStatus:
    """Decode ``GET uploads/{id}``."""
    found = row(data, "upload")
    received = found.get("received_chunks")
    if not isinstance(received, list) or not all(isinstance(index, int) for index in received):
        raise malformed("the server's answer does not say which chunks it has")
    complete = found.get("status") in ("complete", "completed")
    return UploadStatus(frozenset(received), complete, maybe_text(found, "file_id"), maybe_text(found, "version_id"))


class UploadDone(Struct, frozen=True):
    """The version that an upload made. ``rev`` None: the server does not say it."""

    file: str
    rev: str | None
    hash: str | None


def upload_done_of(data: Any) -> UploadDone:
    """Decode the answer of ``POST uploads/{id}/complete``."""
    found = row(data, "upload")
    return UploadDone(text(found, "file_id"), maybe_text(found, "version_id"), maybe_digest(found))


def form_body(fields: Mapping[str, str], name: str, content: bytes, boundary: str) -> bytes:
    """Encode ``POST files`` as multipart/form-data. ``boundary`` must not occur in the content."""
    parts: list[bytes] = []
    mark = f"--{boundary}\r\n".encode()
    for key, value in fields.items():
        parts += [mark, f'content-disposition: form-data; name="{key}"\r\n\r\n'.encode(), value.encode(), b"\r\n"]
    # The characters that would end the quoted name, as browsers write them.
    quoted = name.replace("\\", "\\\\").replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    head = f'content-disposition: form-data; name="file"; filename="{quoted}"\r\n'.encode()
    parts += [mark, head, b"content-type: application/octet-stream\r\n\r\n", content, b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()])
