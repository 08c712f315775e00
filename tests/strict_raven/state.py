"""The server's stored state. Times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from strict_raven.wire import iso

JSON = dict[str, Any]


@dataclass(slots=True)
class Connector:
    """One machine, as registered."""

    id: str
    workspace: str
    created_by: str
    name: str
    platform: str
    version: str | None
    heartbeat_at: float
    created_at: float

    def shown(self) -> JSON:
        """The connector as answers show it."""
        version = {} if self.version is None else {"version": self.version}
        return {
            "id": self.id,
            "workspaceId": self.workspace,
            "createdById": self.created_by,
            "name": self.name,
            "platform": self.platform,
            **version,
            "status": "online",
            "lastHeartbeatAt": iso(self.heartbeat_at),
            "createdAt": iso(self.created_at),
            "updatedAt": iso(self.heartbeat_at),
        }


@dataclass(frozen=True, slots=True)
class Version:
    """One recorded state of a file. `hash` is what the pusher claimed, which need not be that of `content`."""

    hash: str
    origin: str
    content: str
    recorded_at: float

    def shown(self) -> JSON:
        """The version as answers show it."""
        recorded = iso(self.recorded_at)
        return {"hash": self.hash, "origin": self.origin, "content": self.content, "recordedAt": recorded}


@dataclass(slots=True)
class File:
    """One file's head and whole history.

    Attributes:
        operation: the operation id the head was written by.
        left: the heads left behind lately, each with the moment it was left; only races look at it.
    """

    id: str
    source_id: str
    path: str
    content_type: str
    content: str
    hash: str
    synced_at: float
    operation: str
    state: str = "ok"
    versions: list[Version] = field(default_factory=list)
    left: list[tuple[str, float]] = field(default_factory=list)

    def listed(self) -> JSON:
        """The file as `sources/files` shows it."""
        return {
            "id": self.id,
            "sourceId": self.source_id,
            "relativePath": self.path,
            "contentType": self.content_type,
            "lastSyncedHash": self.hash,
            "lastSyncedAt": iso(self.synced_at),
            "state": self.state,
        }

    def shown(self) -> JSON:
        """The file as `sources/file` shows it, history and all."""
        versions = [version.shown() for version in self.versions]
        return {**self.listed(), "content": self.content, "versions": versions}


@dataclass(slots=True)
class Conflict:
    """One disagreement, with both texts as they were when it opened.

    Attributes:
        local_content: the pushed text; for one opened by an edit on the server, the head.
        status: `open`, `resolved`, or `wiped` when a delete took it away without telling anybody.
    """

    id: str
    source_id: str
    file_id: str
    path: str
    base_hash: str
    local_hash: str
    remote_hash: str
    local_content: str
    remote_content: str
    created_at: float
    status: str = "open"
    resolution: str | None = None
    resolved_at: float = 0.0

    def shown(self) -> JSON:
        """The conflict as answers show it."""
        return {
            "id": self.id,
            "sourceId": self.source_id,
            "fileId": self.file_id,
            "relativePath": self.path,
            "baseHash": self.base_hash,
            "localHash": self.local_hash,
            "remoteHash": self.remote_hash,
            "localContent": self.local_content,
            "remoteContent": self.remote_content,
            "status": self.status,
            "createdAt": iso(self.created_at),
        }


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the feed. `path` is None for events about the whole source."""

    id: str
    source_id: str
    cursor: int
    type: str
    path: str | None
    payload: JSON
    created_at: float

    def shown(self) -> JSON:
        """The event as answers show it."""
        path = {} if self.path is None else {"relativePath": self.path}
        return {
            "id": self.id,
            "sourceId": self.source_id,
            "cursor": self.cursor,
            "type": self.type,
            **path,
            "payload": self.payload,
            "createdAt": iso(self.created_at),
        }


@dataclass(slots=True)
class Hidden:
    """An event that took its number before it can be read.

    Attributes:
        reads: reads still to pass it by, counted once a later-numbered event has been read.
        until: the moment it can be read at the latest.
    """

    reads: int
    until: float


@dataclass(slots=True)
class Source:
    """One synced folder and all that belongs to it.

    Attributes:
        operations: operation ids seen, each with the moment it was seen.
        conflicts: open and resolved ones; a delete removes those of its path.
    """

    id: str
    workspace: str
    created_by: str
    name: str
    mode: str
    connector_id: str
    include: list[str]
    exclude: list[str]
    created_at: float
    updated_at: float
    status: str = "active"
    last_remote_cursor: int = 0
    files: dict[str, File] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    hidden: dict[int, Hidden] = field(default_factory=dict)
    operations: dict[str, float] = field(default_factory=dict)
    conflicts: dict[str, Conflict] = field(default_factory=dict)

    def shown(self) -> JSON:
        """The source as answers show it."""
        return {
            "id": self.id,
            "workspaceId": self.workspace,
            "createdById": self.created_by,
            "name": self.name,
            "mode": self.mode,
            "connectorId": self.connector_id,
            "status": self.status,
            "lastRemoteCursor": self.last_remote_cursor,
            "includePatterns": self.include,
            "excludePatterns": self.exclude,
            "createdAt": iso(self.created_at),
            "updatedAt": iso(self.updated_at),
        }


@dataclass(slots=True)
class State:
    """Everything: what a backup of the database would hold. `sequence` numbers the events of all sources."""

    connectors: dict[str, Connector] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    sequence: int = 0
