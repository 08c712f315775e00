"""Downloads of large files, written before their first byte is requested."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from agent.core.supply import Transfer

_COLUMNS: Final = "id, path, remote_id, rev, hash, size"


class Transfers:
    """Reads and writes downloads; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(self, source: int, transfer: Transfer) -> None:
        """Write a download before it begins."""
        self._db.execute(
            f"INSERT INTO transfers (source, {_COLUMNS}) VALUES (?,?,?,?,?,?,?)",
            (source, transfer.id, transfer.path, transfer.remote_id, transfer.rev, transfer.hash, transfer.size),
        )

    def all(self, source: int) -> list[Transfer]:
        """Return the downloads of a source, by id."""
        found = self._db.execute(f"SELECT {_COLUMNS} FROM transfers WHERE source = ? ORDER BY id", (source,))
        return [Transfer(*row) for row in found]

    def close(self, ids: Iterable[str]) -> None:
        """Delete downloads that were installed or given up."""
        self._db.executemany("DELETE FROM transfers WHERE id = ?", ((identifier,) for identifier in ids))

    def forget(self, source: int) -> None:
        """Delete every download of a source."""
        self._db.execute("DELETE FROM transfers WHERE source = ?", (source,))
