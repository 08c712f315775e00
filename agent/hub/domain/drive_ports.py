"""The parts of the database port that the drive face needs, and the port of large contents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Protocol

from agent.hub.domain.drive_model import (
    Device,
    DeviceCursor,
    DevicePreference,
    DriveVersion,
    FolderRow,
    ListedFile,
    UploadSession,
    VersionConflict,
)
from agent.hub.domain.model import Event, Head, Source


class FileStoreSession(Protocol):
    """Files by identity, their versions, folders and the whole feed."""

    def source_by_number(self, workspace: str, number: int) -> Source | None:
        """Return the source with this number, or None if the workspace has none."""

    def head_by_identity(self, source: int, identity: int) -> Head | None:
        """Return the head of the file with this identity, or None if there was never one. Absent: `hash` is None."""

    def present_heads(self, source: int, identities: Collection[int]) -> dict[int, Head]:
        """Return the heads of those of the files that are present, by identity."""

    def files_below(self, source: int, after: str, before: str, limit: int) -> list[ListedFile]:
        """Return present files with `after` < path < `before`, in order."""

    def drive_versions(self, source: int, identity: int) -> list[DriveVersion]:
        """Return every content of a file, oldest first."""

    def drive_events(self, source: int, cursor: int, limit: int) -> list[Event]:
        """Return all events behind the cursor in order, also those that Raven's face does not show."""

    def event_authors(self, source: int, cursors: Collection[int]) -> dict[int, tuple[int, str | None]]:
        """Return (time in milliseconds, user) of events by their cursors. The user is known for the drive face only."""

    def add_places(self, source: int, places: Iterable[tuple[int, int, int]]) -> None:
        """Add (identity, cursor, file number) of moved files."""

    def folder(self, source: int, number: int) -> FolderRow | None:
        """Return a folder, present or deleted."""

    def folders_at(self, source: int, paths: Collection[str]) -> dict[str, FolderRow]:
        """Return present folders by path."""

    def folders_in(self, source: int, parent: int, *, deleted: bool = False) -> list[FolderRow]:
        """Return the folders in a folder, by path: the present ones, with `deleted` also those deleted there."""

    def deleted_files_in(self, source: int, path: str) -> list[Head]:
        """Return files that ended directly in a folder: for each path that holds none, the last one."""

    def folders_below(self, source: int, path: str) -> list[FolderRow]:
        """Return the present folders below a path, which is not among them, by path."""

    def save_folders(self, source: int, folders: Iterable[FolderRow]) -> None:
        """Add folders, or replace those with the same number."""

    def used_bytes(self, source: int) -> int:
        """Return the size of all present files in bytes."""

    def content_bytes(self, workspace: int, hash_: str) -> bytes | None:
        """Return a content that is stored in its row, or None if it is a blob."""

    def contents_in_rows(self, workspace: int, hashes: Collection[str]) -> dict[str, bytes]:
        """Return those of the contents that are stored in their rows, by hash."""

    def is_hidden_content(self, workspace: int, hash_: str) -> bool:
        """Return True if a recorded content is a blob, larger than a row may be, or no text."""

    def known_content(self, workspace: int, hash_: str) -> int | None:
        """Return the size of a stored content in bytes, or None if there is none with this hash."""


class DriveStoreSession(FileStoreSession, Protocol):
    """Devices, their cursors and preferences, conflicts and uploads."""

    def device(self, workspace: str, user: str, device: str) -> Device | None:
        """Return the user's device of ScaiDrive's API, or None."""

    def devices(self, workspace: str, user: str) -> list[Device]:
        """Return the user's devices of ScaiDrive's API, oldest first."""

    def add_device(self, device: Device) -> None:
        """Add a device. The store assigns its number and ignores the one passed."""

    def save_device(self, device: Device) -> None:
        """Write the changing fields of a device."""

    def remove_device(self, device: Device) -> None:
        """Remove a device with its cursors and preferences."""

    def device_cursor(self, device: int, source: int) -> DeviceCursor | None:
        """Return the cursor of a device in a source, or None if it has none."""

    def shares_ahead(self, device: int) -> list[str]:
        """Return the ids of sources in which the cursor of a device is beyond the newest change, in order."""

    def save_device_cursor(self, device: int, source: int, cursor: DeviceCursor) -> None:
        """Write the cursor of a device in a source."""

    def device_preferences(self, device: int) -> list[DevicePreference]:
        """Return the preferences of a device, one for each source that has one."""

    def save_preference(self, device: int, source: int, preference: DevicePreference) -> None:
        """Write the preference of a device for a source."""

    def version_conflicts(self, workspace: str, source: int | None, *, resolved: bool) -> list[VersionConflict]:
        """Return the conflicts of a workspace or of one source, newest first, with or without resolved ones."""

    def version_conflict(self, workspace: str, conflict: str) -> VersionConflict | None:
        """Return a conflict, or None if the workspace has none with this id."""

    def save_version_conflict(self, conflict: VersionConflict) -> None:
        """Add a conflict, or replace the one with the same id."""

    def upload(self, workspace: str, user: str, session: str) -> UploadSession | None:
        """Return the user's upload to a folder, or None."""

    def add_upload(self, upload: UploadSession) -> None:
        """Add an upload."""

    def finish_upload(self, session: str, result: Mapping[str, object], at: int) -> None:
        """Record the answer of a completed upload at a time in milliseconds."""

    def received_chunks(self, session: str) -> list[int]:
        """Return the numbers of the chunks that have arrived, in order."""

    def add_chunk(self, session: str, chunk: int, at: int) -> None:
        """Record a chunk that is durable."""

    def stale_uploads(self, before: int, limit: int) -> list[tuple[str, bool]]:
        """Return (id, True if it was never complete) of uploads last touched before a time in milliseconds."""

    def remove_uploads(self, sessions: Collection[str]) -> None:
        """Remove uploads with the records of their chunks."""

    def put_piece(self, owner: str, start: int, data: bytes) -> None:
        """Store bytes at an offset, in the database."""

    def piece_at(self, owner: str, at: int) -> tuple[int, bytes] | None:
        """Return offset and bytes of the stored piece that begins at or before byte `at`, or None."""

    def drop_pieces(self, owners: Collection[str]) -> None:
        """Remove stored bytes."""

    def known_anywhere(self, hashes: Collection[str]) -> set[str]:
        """Return those of the hashes that are contents of any workspace."""

    def blob_reference(self, workspace: int, hash_: str) -> bytes | None:
        """Return the reference that `Blobs.adopt` made for a content, or None if it is not a recorded blob."""


class Blobs(Protocol):
    """Contents too large for a row. Bytes arrive in any order at their offsets, and are then adopted by hash.

    A content is durable when `adopt` returns, and is recorded in the database afterwards.
    """

    def put(self, upload: str, start: int, data: bytes) -> None:
        """Store bytes of an upload at an offset, durable when it returns. The same again changes nothing."""

    def uploaded(self, upload: str, size: int) -> Iterator[bytes]:
        """Yield the first `size` bytes of an upload in pieces of at most 1 MiB."""

    def adopt(self, upload: str, hash_: str) -> bytes:
        """Make the bytes of an upload those of a content. Return the reference that its row must hold."""

    def discard(self, uploads: Collection[str]) -> None:
        """Remove the bytes of uploads that were not adopted."""

    def read(self, workspace: int, hash_: str, start: int, length: int) -> Iterator[bytes]:
        """Yield bytes of a recorded content in pieces of at most 1 MiB."""

    def sweep(self, now: int) -> None:
        """Remove old bytes that nothing names. `now` is milliseconds since the epoch."""
