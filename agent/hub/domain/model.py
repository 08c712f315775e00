"""Records and enumerations of the hub's domain. Nothing here depends on a database or on HTTP.

Times are milliseconds since the epoch (UTC). Hashes are lower-case hexadecimal sha256 of a text in UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from msgspec import Struct

from agent.core.model import Mode, Resolution

DEFAULT_CONTENT_TYPE = "text/markdown"


class SourceStatus(StrEnum):
    """State of a source: only an active one accepts pushes and edits."""

    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"
    DELETED = "deleted"
    """Unknown to every request, as if it had never been. Its rows are kept."""


class FileState(StrEnum):
    """State of a path after its last write."""

    OK = "ok"
    CONFLICT = "conflict"


class VersionOrigin(StrEnum):
    """Origin of a version: a connector's push, an edit on the server, or a resolution."""

    CONNECTOR = "connector"
    RAVEN = "raven"
    MERGE = "merge"


class EventType(StrEnum):
    """Kinds of event in a source's feed."""

    UPSERT = "file.upsert"
    DELETE = "file.delete"
    OPENED = "conflict.opened"
    RESOLVED = "conflict.resolved"
    PAUSED = "source.paused"
    RESUMED = "source.resumed"
    FOLDER = "folder"
    """A folder of the drive face. Raven's face has no folders and never shows it."""


class HubConflictKind(StrEnum):
    """Reason a write was refused. The feed carries every kind but the first as `reason`."""

    STALE_BASE = "stale_base"
    NO_BASE = "no_base"
    EDIT_DELETE = "edit_delete"
    DELETE_MISMATCH = "delete_mismatch"
    RAVEN_EDIT = "raven_edit_stale_base"


class ItemStatus(StrEnum):
    """Result of one pushed item."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


class Encoding(IntEnum):
    """Storage format of a content's bytes."""

    RAW = 0
    ZLIB = 1
    BLOB = 2
    """No bytes in the row: they are in the store of blobs."""


@dataclass(frozen=True, slots=True)
class Caller:
    """User and workspace that a request's token speaks for.

    Attributes:
        token: the token's public id.
    """

    user: str
    workspace: str
    token: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Connector:
    """A machine that syncs. It belongs to the user who registered it."""

    id: str
    workspace: str
    created_by: str
    name: str
    platform: str
    version: str | None
    heartbeat_at: int
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class ConnectorPosition:
    """Position of a connector in a source's feed, and the time at which it was first heard of."""

    position: int
    at: int


@dataclass(frozen=True, slots=True)
class SourceDevice:
    """A device of another API that reads a source. `synced_at` is None until it reported a position."""

    id: str
    name: str
    platform: str
    version: str | None
    seen_at: int
    position: int
    synced_at: int | None


class Source(Struct, frozen=True, gc=False):
    """One synced folder.

    Attributes:
        number: the store's own short key for it.
        last_cursor: the cursor of its newest event, 0 for none.
        last_file, last_folder: the highest file and folder numbers assigned so far.
        folders_cursor: cursor up to which every file's folders have rows.
        workspace_number: the store's own short key for the workspace.
        stored_bytes: bytes of the contents that this source added to its workspace, before compression.
        quota: most bytes of contents in its workspace, None for no limit; set when the source is locked.
    """

    number: int
    id: str
    workspace: str
    created_by: str
    name: str
    mode: Mode
    connector: str
    status: SourceStatus
    includes: tuple[str, ...]
    excludes: tuple[str, ...]
    last_cursor: int
    last_file: int
    created_at: int
    updated_at: int
    last_folder: int = 0
    folders_cursor: int = 0
    workspace_number: int = 0
    stored_bytes: int = 0
    quota: int | None = None


class Head(Struct, frozen=True, gc=False):
    """Current state of a path. `hash` is None when the path is absent; its history remains.

    Attributes:
        identity: cursor of the event that created the file that is or was here. It travels with a moved file.
        version: number of contents that the file has had, 1 for its first.
        revision: cursor of the event that brought the present content.
        hidden: the content is no text, or is too large for Raven's face, where this file does not exist.
    """

    number: int
    path: str
    hash: str | None
    content_type: str
    state: FileState
    synced_at: int
    identity: int = 0
    version: int = 0
    revision: int = 0
    hidden: bool = False


class FileVersion(Struct, frozen=True, gc=False):
    """One content a path has had. `cursor` is the cursor of the event that added it.

    Attributes:
        identity, number: the file that it belongs to, and its place among that file's contents, from 1. A move adds a
            version to the new path with the number of the content that moved.
        hidden: as in `Head`.
    """

    file: int
    cursor: int
    hash: str
    origin: VersionOrigin
    recorded_at: int
    identity: int = 0
    number: int = 0
    hidden: bool = False


class Event(Struct, frozen=True, gc=False):
    """One entry of a source's feed.

    Attributes:
        extra: the payload's fields beside hash, content and operation id.
        size: bytes of the content; set when the event is read from the store.
        is_head: True if the file still holds this content; set when the event is read.
        identity: the file, see `Head`, or the folder's number. None: no file was changed.
        hidden: Raven's face does not show it.
        detail: fields that only the drive face shows.
        version: number of the content that this event added, 0 for none; set when the drive face reads it.
    """

    cursor: int
    type: EventType
    file: int | None
    path: str | None
    hash: str | None
    operation: str | None
    extra: Mapping[str, object]
    created_at: int
    size: int = 0
    is_head: bool = False
    identity: int | None = None
    hidden: bool = False
    detail: Mapping[str, object] | None = None
    version: int = 0


class RecordedOutcome(Struct, frozen=True, gc=False):
    """First outcome of an operation. A repeated operation gets the same answer again."""

    operation: str
    status: ItemStatus
    hash: str | None = None
    conflict: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class OpenConflict:
    """A parked disagreement.

    Attributes:
        connector: the machine that pushed the refused version, if known. It has at most one open conflict a path.
        base: the base that was sent, verbatim; None for none.
        local_hash, remote_hash: the two sides, in the wire's words. None: absent on that side.
    """

    id: str
    file: int
    path: str
    connector: str | None
    kind: HubConflictKind
    base: str | None
    local_hash: str
    remote_hash: str | None
    created_at: int


@dataclass(frozen=True, slots=True)
class ConflictClosure:
    """Decision that closed a conflict."""

    id: str
    resolution: Resolution
    resolved_at: int


Clock = Callable[[], int]
"""Milliseconds since the epoch, UTC."""

NewId = Callable[[], str]
"""A fresh UUID in its lower-case text form."""
