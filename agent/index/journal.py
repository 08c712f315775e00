"""The journal: changes to the folder whose outcome is not in the index yet."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from agent.core.model import Intent, Purpose
from agent.index.bulk_insert import Insert
from agent.index.revisions import restored, stored

_CHUNK: Final = 500
_ADD: Final = Insert(
    "INSERT INTO intents (id, source, path, new, expected, purpose, origin, rev, remote_id, created_at)", 10
)


class Journal:
    """Reads and writes intents; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(self, source: int, intents: Iterable[Intent], now: float) -> None:
        """Write changes to the folder before they are made."""
        rows = [
            (i.id, source, i.path, i.new, i.expected, i.purpose, i.origin, stored(i.rev, i.new), i.remote_id, now)
            for i in intents
        ]
        _ADD.write(self._db, rows)

    def all(self, source: int) -> list[Intent]:
        """Return the journalled changes, oldest first."""
        sql = (
            "SELECT id, path, new, expected, purpose, origin, rev, remote_id FROM intents WHERE source = ? "
            "ORDER BY created_at, id"
        )
        return [
            Intent(identifier, path, new, expected, Purpose(purpose), origin, restored(rev, new), remote_id)
            for identifier, path, new, expected, purpose, origin, rev, remote_id in self._db.execute(sql, (source,))
        ]

    def close(self, ids: Iterable[str]) -> None:
        """Delete changes whose outcome is in the trees now."""
        ids = list(ids)
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            self._db.execute(f"DELETE FROM intents WHERE id IN ({','.join('?' * len(chunk))})", chunk)

    def forget(self, source: int) -> None:
        """Delete every journalled change of a source."""
        self._db.execute("DELETE FROM intents WHERE source = ?", (source,))
