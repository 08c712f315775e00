"""Deletes that a person approved."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable


class Approvals:
    """Reads and writes approvals: this path may be deleted while it holds this text."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def all(self, source: int) -> dict[str, str]:
        """Return the approved deletes of a source: path to base hash."""
        return dict(self._db.execute("SELECT path, hash FROM approved WHERE source = ?", (source,)))

    def add(self, source: int, files: Iterable[tuple[str, str]]) -> None:
        """Approve the deletes of these (path, base hash)."""
        self._db.executemany(
            "INSERT OR REPLACE INTO approved (source, path, hash) VALUES (?,?,?)",
            ((source, path, digest) for path, digest in files),
        )

    def drop(self, source: int, paths: Iterable[str]) -> None:
        """Delete approvals: the delete is done, or another text is there now."""
        self._db.executemany("DELETE FROM approved WHERE source = ? AND path = ?", ((source, path) for path in paths))

    def forget(self, source: int) -> None:
        """Delete every approval of a source."""
        self._db.execute("DELETE FROM approved WHERE source = ?", (source,))
