"""Questions about single files, and the checks of what the server answers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from agent.core.remote_records import RemoteConflict, RemoteVersion
from agent.remotes.fields import maybe_text, number, row, rows, sha256, text
from agent.remotes.http.client import HttpClient
from agent.remotes.http.failures import RemoteCallError
from agent.remotes.http.request import ApiRequest
from plain_dialect.tree import MISSING


class Head(Struct, frozen=True):
    """A live file as the server has it now."""

    id: str
    path: str
    rev: str
    hash: str
    size: int
    content: bytes | None


class OldVersion(Struct, frozen=True):
    """One version of a file; ``hash`` None is its deletion."""

    rev: str
    hash: str | None
    size: int
    by: str | None
    at: str
    content: bytes | None


class Files:
    """Reads file records of one account."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    def head(self, identifier: str) -> Head | None:
        """A file's head; None if it was deleted or cannot be seen."""
        try:
            found = row(self._http.request(ApiRequest("GET", "files/{}", (identifier,))).data, "file")
        except RemoteCallError as failure:
            if failure.problem.kind in MISSING:
                return None
            raise
        digest, size = text(found, "hash"), number(found, "size")
        return Head(text(found, "id"), text(found, "path"), text(found, "rev"), digest, size, inline(found, digest))

    def versions(self, identifier: str) -> list[OldVersion]:
        """Every version of a file, newest first. Raises NOT_FOUND."""
        answer = row(self._http.request(ApiRequest("GET", "files/{}/versions", (identifier,))).data, "history")
        return [_version(value) for value in rows(answer.get("versions"), "version")]


def inline(value: Mapping[str, Any], digest: str | None, field: str = "content") -> bytes | None:
    """The content that a record carries; None if it carries none, or another than its hash says."""
    encoded = maybe_text(value, field)
    if encoded is None or digest is None:
        return None
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if sha256(content) == digest else None


def _version(value: Mapping[str, Any]) -> OldVersion:
    digest = maybe_text(value, "hash")
    at = value.get("at")
    when = _iso(at) if isinstance(at, int | float) else ""
    return OldVersion(
        text(value, "rev"), digest, number(value, "size"), maybe_text(value, "by"), when, inline(value, digest)
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def remote_versions(versions: list[OldVersion]) -> tuple[RemoteVersion, ...]:
    """The versions that hold a file, in the form of the port."""
    return tuple(
        RemoteVersion(v.hash, v.at, "connector" if v.by else "server", v.size, v.content, v.rev)
        for v in versions
        if v.hash is not None
    )


def conflict_of(value: Mapping[str, Any]) -> RemoteConflict:
    """An open conflict, in the form of the port."""
    local, remote = maybe_text(value, "hash"), maybe_text(value, "server_hash")
    at = value.get("at")
    return RemoteConflict(
        id=text(value, "id"),
        path=text(value, "path"),
        base_hash=maybe_text(value, "base_hash"),
        local_hash=local,
        remote_hash=remote,
        local_text=inline(value, local),
        remote_text=inline(value, remote, "server_content"),
        opened_at=_iso(at) if isinstance(at, int | float) else None,
        base_rev=maybe_text(value, "base_rev"),
        remote_rev=maybe_text(value, "server_rev"),
        remote_id=maybe_text(value, "file"),
    )
