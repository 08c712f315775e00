"""Records exchanged with a server: operations and their outcomes, files, heads, versions and conflicts.

Hashes and sizes are those of ``core/model.py``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from msgspec import Struct


class Verb(enum.StrEnum):
    """Effect of an operation on the server."""

    UPSERT = "upsert"
    DELETE = "delete"


class Operation(Struct, frozen=True, gc=False):
    """One change for the server, stored before it is sent.

    Attributes:
        id: unique; kept over retries and restarts, and used for these bytes only.
        path: relative path.
        verb: upsert or delete.
        hash: sha256 of the bytes sent; None for a delete.
        size: bytes; 0 for a delete.
        base: sha256 the server must hold for this to apply; None means "must not exist".
    """

    id: str
    path: str
    verb: Verb
    hash: str | None
    size: int
    base: str | None


class Result(enum.StrEnum):
    """Result of one operation."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    REJECTED = "rejected"
    TOO_LARGE = "too_large"
    UNCERTAIN = "uncertain"
    """Sent, and the answer does not say. The operation is in doubt, and the path waits until that is over."""
    NOT_SENT = "not_sent"
    CHANGED = "changed"
    """The file changed before the operation was sent for the first time."""


@dataclass(frozen=True, slots=True)
class RemoteConflict:
    """An open conflict as the server lists it.

    Attributes:
        id: the server's id.
        path: relative path.
        base_hash, local_hash, remote_hash: the snapshot when it opened; None is "no file". Of a refused server edit
            ``local`` is the head and ``remote`` the edit.
        local_text, remote_text: the two texts; None if the server does not send them.
        opened_at: RFC 3339.
    """

    id: str
    path: str
    base_hash: str | None
    local_hash: str | None
    remote_hash: str | None
    local_text: bytes | None = None
    remote_text: bytes | None = None
    opened_at: str | None = None


class Outcome(Struct, frozen=True, gc=False):
    """Outcome of one operation, from the server or from the dialect in its place.

    Attributes:
        operation_id: the operation.
        result: see ``Result``.
        conflict: with CONFLICT, the conflict it opened or met.
        detail: with REJECTED and TOO_LARGE, a sentence for people.
        limit: with TOO_LARGE, the largest content the server takes, in bytes.
        position: with APPLIED, the position of its event in the feed; None if the server does not say.
        server_fault: with REJECTED, the server failed on this operation and did not judge it. The fault is the file's
            only if the server takes others beside it.
    """

    operation_id: str
    result: Result
    conflict: RemoteConflict | None = None
    detail: str | None = None
    limit: int | None = None
    position: int | None = None
    server_fault: bool = False


class RemoteFile(Struct, frozen=True, gc=False):
    """One row of the server's listing."""

    path: str
    hash: str
    rev: str | None = None
    remote_id: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteVersion:
    """One version in a file's history. ``content`` is None if the server does not send it."""

    hash: str
    recorded_at: str | None
    origin: str | None
    size: int | None = None
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RemoteHead:
    """The server's current version of a file (its head), and the versions before it, newest first."""

    path: str
    hash: str
    content: bytes = field(repr=False)
    rev: str | None = None
    remote_id: str | None = None
    versions: tuple[RemoteVersion, ...] = ()
