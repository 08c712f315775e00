"""Records exchanged with a server: operations and their outcomes, files, heads, versions and conflicts.

Hashes and sizes are those of ``core/model.py``.
"""

from __future__ import annotations

import enum
from typing import ClassVar

from msgspec import Struct

from agent.core.version import Version, version_of
from agent.core.without_texts import WithoutTexts


class Verb(enum.StrEnum):
    """Effect of an operation on the server."""

    UPSERT = "upsert"
    DELETE = "delete"
    MOVE = "move"


class Operation(Struct, frozen=True, gc=False):
    """One change for the server, stored before it is sent.

    Attributes:
        id: unique; kept over retries and restarts, and used for these bytes only.
        path: relative path. Of a move: the new one.
        verb: see ``Verb``.
        hash: sha256 of the bytes sent; None for a delete. Of a move: that of the file.
        size: bytes; 0 for a delete.
        base: sha256 the server must hold for this to apply; None means "must not exist".
        base_rev: the server's revision of the base. None beside a base means that the revision is not known, never
            that the file must not exist. The adapter must then find the head that has the base's hash, or refuse.
        remote_id: the server's id of the file that is changed; None if it is new, or if the id is not known.
        old_path: the path that a move leaves; None for the other verbs.
    """

    id: str
    path: str
    verb: Verb
    hash: str | None
    size: int
    base: str | None
    base_rev: str | None = None
    remote_id: str | None = None
    old_path: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The path that it changes; of a move the old one as well."""
        return (self.path,) if self.old_path is None else (self.path, self.old_path)

    @property
    def base_version(self) -> Version | None:
        """The version that the server must hold; None means "must not exist"."""
        return None if self.base is None else Version(self.base, None, self.base_rev, self.remote_id)

    def result(self, rev: str | None, remote_id: str | None) -> Version | None:
        """Return the version that this operation makes at its path, from what the server says of it.

        Args:
            rev: the revision of ``hash``.
            remote_id: the file's id; None if it is that of ``remote_id``.
        """
        if self.hash is None:
            return None
        return Version(self.hash, self.size, rev, remote_id or self.remote_id)


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


class RemoteConflict(Struct, frozen=True):
    """An open conflict as the server lists it.

    Attributes:
        id: the server's id.
        path: relative path.
        base_hash, local_hash, remote_hash: the snapshot when it opened; None is "no file". Of a refused server edit
            ``local`` is the head and ``remote`` the edit.
        local_text, remote_text: the two texts; None if the server does not send them.
        opened_at: RFC 3339.
        base_rev, local_rev, remote_rev: the server's revisions of the three; None if not known.
        remote_id: the server's id of the file; None if not known.
    """

    id: str
    path: str
    base_hash: str | None
    local_hash: str | None
    remote_hash: str | None
    local_text: bytes | None = None
    remote_text: bytes | None = None
    opened_at: str | None = None
    base_rev: str | None = None
    local_rev: str | None = None
    remote_rev: str | None = None
    remote_id: str | None = None

    @property
    def base_version(self) -> Version | None:
        """The version on which the refused text was made."""
        return version_of(self.base_hash, self.base_rev)

    @property
    def local_version(self) -> Version | None:
        """The local side: a refused push, or the head beside a refused server edit."""
        return version_of(self.local_hash, self.local_rev)

    @property
    def remote_version(self) -> Version | None:
        """The remote side of the snapshot."""
        return None if self.remote_hash is None else Version(self.remote_hash, None, self.remote_rev, self.remote_id)


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
        rev, remote_id: with APPLIED, the revision and the file's id that the path has now; None if the server does not
            say.
        replaced: with APPLIED, the version that the operation replaced, if the server says that it was not the base.
            Its text may exist nowhere else.
    """

    operation_id: str
    result: Result
    conflict: RemoteConflict | None = None
    detail: str | None = None
    limit: int | None = None
    position: int | None = None
    server_fault: bool = False
    rev: str | None = None
    remote_id: str | None = None
    replaced: Version | None = None


class RemoteFile(Struct, frozen=True, gc=False):
    """One row of the server's listing.

    Attributes:
        path: relative path.
        hash: sha256 of the bytes; None if the server does not list it. Then ``mark`` says if the file changed.
        rev, remote_id: see ``Version``.
        size: bytes; None if not listed.
        mark: changes whenever the file changes; opaque. None if there is no such value.
    """

    path: str
    hash: str | None
    rev: str | None = None
    remote_id: str | None = None
    size: int | None = None
    mark: str | None = None

    @property
    def version(self) -> Version | None:
        """The listed version; None if the hash is not listed."""
        return None if self.hash is None else Version(self.hash, self.size, self.rev, self.remote_id)


class RemoteVersion(WithoutTexts, frozen=True):
    """One version in a file's history. ``content`` is None if the server does not send it."""

    TEXTS: ClassVar = ("content",)

    hash: str
    recorded_at: str | None
    origin: str | None
    size: int | None = None
    content: bytes | None = None
    rev: str | None = None

    @property
    def version(self) -> Version:
        """This version; a history does not say the file's id."""
        return Version(self.hash, self.size, self.rev)


class RemoteHead(WithoutTexts, frozen=True):
    """The server's current version of a file (its head).

    Attributes:
        path: relative path.
        hash, rev, remote_id, size: see ``Version``.
        content: the bytes; None if they must be downloaded apart.
        versions: the history, newest first. It may begin with the head itself.
    """

    TEXTS: ClassVar = ("content",)

    path: str
    hash: str
    content: bytes | None
    rev: str | None = None
    remote_id: str | None = None
    versions: tuple[RemoteVersion, ...] = ()
    size: int | None = None

    @property
    def version(self) -> Version:
        """The head."""
        return Version(self.hash, self.size, self.rev, self.remote_id)


class RemoteFolder(Struct, frozen=True, gc=False):
    """A folder of the server.

    Attributes:
        id: the server's id; opaque.
        path: relative path; empty for the root of the source.
        parent: id of the folder above; None for the root.
    """

    id: str
    path: str
    parent: str | None
