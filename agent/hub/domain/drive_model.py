"""Records of the APIs beside Raven's: folders, devices, uploads, conflicts between versions, sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from agent.hub.domain.model import Head

ROOT: Final = 0
"""Number of the root folder of every source. It has no row."""
INLINE_BYTES: Final = 1_048_576
"""Largest content that is stored in its row, and largest text that Raven's face shows."""
UPLOAD_IDLE_MS: Final = 24 * 3_600_000
"""Milliseconds without activity after which an upload ends."""


class FolderRow(Struct, frozen=True, gc=False):
    """A folder of a source. Its number travels with it; `deleted_at` is None while it is present."""

    number: int
    parent: int
    path: str
    created_by: str
    created_at: int
    modified_at: int
    deleted_at: int | None = None


class ListedFile(Struct, frozen=True, gc=False):
    """A present file with the size of its content in bytes."""

    head: Head
    size: int


class DriveVersion(Struct, frozen=True, gc=False):
    """A content that a file has had. Times are milliseconds since the epoch.

    Attributes:
        cursor, number: cursor of the event that brought it, and its place among the file's contents, from 1.
        operation, by: of that event; `by` is None if it was not written by the drive face.
    """

    cursor: int
    number: int
    hash: str
    size: int
    recorded_at: int
    by: str | None
    hidden: bool


@dataclass(frozen=True, slots=True)
class Device:
    """A registered client of one user.

    Attributes:
        id: made by the client in ScaiDrive's API, by the hub in Pinakes'.
        os_info, token: of Pinakes' API only; `token` is the sha256 of the device's token.
    """

    number: int
    workspace: str
    user: str
    id: str
    name: str
    platform: str
    version: str | None
    is_active: bool
    last_seen_at: int
    created_at: int
    os_info: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceCursor:
    """Position of a device in a source's log. `last_sync_at` is None until it is advanced."""

    position: int
    last_sync_at: int | None


@dataclass(frozen=True, slots=True)
class DevicePreference:
    """Selective sync of one source on one device. The hub stores it; the client obeys it."""

    source: str
    sync_enabled: bool
    selected: tuple[str, ...] | None
    excluded: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class VersionConflict:
    """A change of a device that did not fit the file or folder that it was made for.

    Attributes:
        resource: a file's identity or a folder's number.
        change: the kind of change, in the words of the wire.
        path, new_path: present path of the resource, and the wanted one of a move.
        base, server: revisions (cursors) of the version that the device had, and of the head. None: none.
        client: the upload of the refused content, None if none was sent.
        metadata: hash and size of the refused content, in the words of ScaiDrive's wire.
        resolution, resolved_at: None while it is open.
    """

    id: str
    source: int
    user: str
    device: str
    is_folder: bool
    resource: int
    change: str
    path: str
    new_path: str | None
    base: int | None
    client: str | None
    server: int | None
    metadata: Mapping[str, object]
    created_at: int
    resolution: str | None = None
    resolved_at: int | None = None


@dataclass(frozen=True, slots=True)
class UploadSession:
    """An upload in chunks.

    Attributes:
        source, folder: where a new file comes to be.
        hash: sha256 that the client promised, None for none.
        replaces: identity of the file that gets a new version, None for a new file.
        result: the answer of its completion, None while it is open.
        target, base, device: of Pinakes' API only: the path of the file, the hash that it was made on (None: it must
            not exist), and the device that sends it.
    """

    id: str
    workspace: str
    user: str
    source: int
    folder: int
    name: str
    size: int
    chunk_size: int
    mime_type: str | None
    hash: str | None
    replaces: int | None
    created_at: int
    touched_at: int
    result: Mapping[str, object] | None = None
    target: str | None = None
    base: str | None = None
    device: str | None = None

    @property
    def total_chunks(self) -> int:
        """Number of chunks, 0 for an empty file."""
        return -(-self.size // self.chunk_size)

    def span(self, chunk: int) -> tuple[int, int]:
        """Return the offset and the length of a chunk in bytes."""
        start = chunk * self.chunk_size
        return start, min(self.chunk_size, self.size - start)


@dataclass(frozen=True, slots=True)
class LoginSession:
    """A session of Pinakes' API.

    Attributes:
        id: sha256 of its token, which is not stored.
        hub_token: public id of the hub's token that opened it. It ends with that one.
        expires_at, ends_at: it is valid until the first; it can be extended up to the second.
    """

    id: str
    workspace: str
    user: str
    hub_token: str
    created_at: int
    expires_at: int
    ends_at: int
