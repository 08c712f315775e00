"""Deletes that a person undid and whose files are not back yet."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable


class UndoneDeletesTable:
    """Reads and writes undone deletes; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def all(self, source: int) -> dict[str, str]:
        """Return the files of a source that must come back: path to sha256."""
        return dict(self._db.execute("SELECT path, hash FROM undone_deletes WHERE source = ?", (source,)))

    def add(self, source: int, files: Iterable[tuple[str, str]]) -> None:
        """Store files (path, sha256) that must come back; they survive every restart."""
        self._db.executemany(
            "INSERT OR REPLACE INTO undone_deletes (source, path, hash) VALUES (?,?,?)",
            ((source, path, digest) for path, digest in files),
        )

    def drop(self, source: int, path: str) -> None:
        """Delete an entry: its file is back, or given up."""
        self._db.execute("DELETE FROM undone_deletes WHERE source = ? AND path = ?", (source, path))

    def forget(self, source: int) -> None:
        """Delete every entry of a source."""
        self._db.execute("DELETE FROM undone_deletes WHERE source = ?", (source,))
