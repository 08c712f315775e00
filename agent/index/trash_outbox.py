"""Texts that must still be written to the trash."""

from __future__ import annotations

import sqlite3

from msgspec import Struct


class PendingTrashWrite(Struct, frozen=True):
    """A text to be written to the trash; its bytes stay in the index's texts until then.

    Attributes:
        id: names the trash entry, so that repeating the write after a crash changes nothing.
        path: relative path of the file.
        hash: sha256 of the text.
        reason: recorded with the trash entry.
    """

    id: str
    path: str
    hash: str
    reason: str


class TrashOutboxTable:
    """Reads and writes pending trash writes; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(self, source: int, pending: PendingTrashWrite) -> None:
        """Store a pending write; it survives every restart."""
        self._db.execute(
            "INSERT INTO stashes (id, source, path, hash, reason) VALUES (?,?,?,?,?)",
            (pending.id, source, pending.path, pending.hash, pending.reason),
        )

    def all(self, source: int) -> list[PendingTrashWrite]:
        """Return the pending writes of a source, oldest first."""
        sql = "SELECT id, path, hash, reason FROM stashes WHERE source = ? ORDER BY rowid"
        return [PendingTrashWrite(*row) for row in self._db.execute(sql, (source,))]

    def mark_written(self, identifier: str) -> None:
        """Delete a pending write: its text is in the trash."""
        self._db.execute("DELETE FROM stashes WHERE id = ?", (identifier,))

    def forget(self, source: int) -> None:
        """Delete every pending write of a source."""
        self._db.execute("DELETE FROM stashes WHERE source = ?", (source,))
