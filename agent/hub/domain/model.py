"""The records and words of the hub's domain. Nothing here knows a database or HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from msgspec import Struct

SENTINEL = "0" * 64
"""A base no content can have: "the file must not exist"."""

DEFAULT_CONTENT_TYPE = "text/markdown"


class Mode(StrEnum):
    """Which way a source is synced."""

    IMPORT_ONLY = "import_only"
    LOCAL_TO_CLOUD = "local_to_cloud"
    BIDIRECTIONAL = "bidirectional"


class SourceStatus(StrEnum):
    """Whether a source takes pushes and edits."""

    ACTIVE = "active"
    PAUSED = "paused"


class FileState(StrEnum):
    """What the last write to a path left behind."""

    OK = "ok"
    CONFLICT = "conflict"


class VersionOrigin(StrEnum):
    """Who made a version: a connector's push, an edit on the server, or a resolution."""

    CONNECTOR = "connector"
    RAVEN = "raven"
    MERGE = "merge"


class EventType(StrEnum):
    """The kinds of event in a source's feed."""

    UPSERT = "file.upsert"
    DELETE = "file.delete"
    OPENED = "conflict.opened"
    RESOLVED = "conflict.resolved"
    PAUSED = "source.paused"
    RESUMED = "source.resumed"


class HubConflictKind(StrEnum):
    """Why a write was refused; every kind but the first stands as `reason` in the feed."""

    STALE_BASE = "stale_base"
    NO_BASE = "no_base"
    EDIT_DELETE = "edit_delete"
    DELETE_MISMATCH = "delete_mismatch"
    RAVEN_EDIT = "raven_edit_stale_base"


class Resolution(StrEnum):
    """How a person closes a conflict."""

    KEEP_LOCAL = "keep_local"
    KEEP_RAVEN = "keep_raven"
    MANUAL_MERGE = "manual_merge"


class ItemStatus(StrEnum):
    """What became of one pushed item."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


class Encoding(IntEnum):
    """How a content's bytes are kept."""

    RAW = 0
    ZLIB = 1


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as their token says."""

    user: str
    workspace: str


@dataclass(frozen=True, slots=True)
class Connector:
    """A machine as the hub knows it. Times are milliseconds since the epoch, UTC, here and below."""

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
class Source:
    """One synced folder.

    Attributes:
        number: the store's own short name for it.
        last_cursor: the cursor of its newest event, 0 for none.
        last_file: the highest file number given out.
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


class Head(Struct, frozen=True, gc=False):
    """What stands at a path now. `hash` is None when the path is absent; its history stays."""

    number: int
    path: str
    hash: str | None
    content_type: str
    state: FileState
    synced_at: int


class Version(Struct, frozen=True, gc=False):
    """One text a path has had; `cursor` is that of the event which brought it."""

    file: int
    cursor: int
    hash: str
    origin: VersionOrigin
    recorded_at: int


class Event(Struct, frozen=True, gc=False):
    """One entry of a source's feed.

    Attributes:
        extra: the payload's fields beside hash, content and operation id.
        size: bytes of the content it names; filled in on reading.
        is_head: whether its file holds what it wrote; filled in on reading.
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


class RecordedOutcome(Struct, frozen=True, gc=False):
    """What an operation led to the first time; a repeat answers this again."""

    operation: str
    status: ItemStatus
    hash: str | None = None
    conflict: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class OpenConflict:
    """A parked disagreement.

    Attributes:
        connector: who pushed the refused version, if it said so; one open conflict a path for each.
        base: the base that was sent, verbatim; None for none.
        local_hash, remote_hash: the two sides as the wire names them. None: absent on that side.
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
    """How a conflict ends."""

    id: str
    resolution: Resolution
    resolved_at: int


Clock = Callable[[], int]
"""Milliseconds since the epoch, UTC."""

NewId = Callable[[], str]
"""A fresh UUID in its lower-case text form."""
