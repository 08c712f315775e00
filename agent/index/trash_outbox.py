"""Texts on their way into the trash: each is owed until the disk says that it stands there."""

from __future__ import annotations

import sqlite3

from msgspec import Struct


class PendingTrashWrite(Struct, frozen=True):
    """A text that must go into the trash; its bytes stand among the index's texts until it has.

    Attributes:
        id: names the trash entry, so that a repetition after a crash changes nothing.
        path: where the text belongs.
        hash: of its bytes.
        reason: recorded with the entry.
    """

    id: str
    path: str
    hash: str
    reason: str


class TrashOutboxTable:
    """Reads and writes what is owed to the trash; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(self, source: int, owed: PendingTrashWrite) -> None:
        """From now on this is owed, over every restart."""
        self._db.execute(
            "INSERT INTO stashes (id, source, path, hash, reason) VALUES (?,?,?,?,?)",
            (owed.id, source, owed.path, owed.hash, owed.reason),
        )

    def of(self, source: int) -> list[PendingTrashWrite]:
        """Everything owed by a source."""
        sql = "SELECT id, path, hash, reason FROM stashes WHERE source = ? ORDER BY rowid"
        return [PendingTrashWrite(*row) for row in self._db.execute(sql, (source,))]

    def mark_written(self, identifier: str) -> None:
        """It stands in the trash."""
        self._db.execute("DELETE FROM stashes WHERE id = ?", (identifier,))
