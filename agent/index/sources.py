"""One row a source: its position in the server's feed and its state as a whole."""

from __future__ import annotations

import json
import sqlite3
from typing import Final

from msgspec import Struct

_COLUMNS: Final = (
    "feed_state, cursor, remote_paused, max_bytes, looked_at, verified_at, synced_at, halted, rejoin, moved, "
    "held_since, mounts"
)

_NONE: Final = "[]"
"""A list without mounts, as JSON."""
_NO_MOUNTS: Final[frozenset[str]] = frozenset()


class SourceRow(Struct, frozen=True, gc=False):
    """State of a source as a whole.

    Attributes:
        feed_state: the position in the feed as the dialect wrote it; None before the first page.
        cursor: the same position as people see it.
        remote_paused: the server paused the source for all machines.
        max_bytes: the largest content the server takes in bytes, once learned.
        looked_at, verified_at, synced_at: end of the last whole scan, of the last verification, and the last time both
            sides agreed; seconds since the epoch.
        halted: one sentence with the reason of a stop; a person lifts it.
        rejoin: lifting the stop merges both sides like a new link; nothing is deleted.
        moved: the folder is a copy or another one since the last scan. Files it lacks were not deleted.
        held_since: begin of the running hold on deletes; seconds since the epoch.
        mounts: folders below the root that were mount points at the last scan.
    """

    feed_state: str | None = None
    cursor: str | None = None
    remote_paused: bool = False
    max_bytes: int | None = None
    looked_at: float | None = None
    verified_at: float | None = None
    synced_at: float | None = None
    halted: str | None = None
    rejoin: bool = False
    moved: bool = False
    held_since: float | None = None
    mounts: frozenset[str] = frozenset()


class Sources:
    """Reads and writes the rows of sources; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def get(self, source: int) -> SourceRow:
        """Return the row of a source; an unknown source has the default row."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM sources WHERE source = ?", (source,)).fetchone()
        if row is None:
            return SourceRow()
        (
            feed_state, cursor, remote_paused, max_bytes, looked_at, verified_at, synced_at, halted, rejoin, moved,
            held_since, mounts,
        ) = row  # fmt: skip
        return SourceRow(
            feed_state, cursor, bool(remote_paused), max_bytes, looked_at, verified_at, synced_at, halted, bool(rejoin),
            bool(moved), held_since, _NO_MOUNTS if mounts == _NONE else frozenset(json.loads(mounts)),
        )  # fmt: skip

    def put(self, source: int, row: SourceRow) -> None:
        """Write the row of a source."""
        self._db.execute(
            f"INSERT OR REPLACE INTO sources (source, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                source, row.feed_state, row.cursor, int(row.remote_paused), row.max_bytes, row.looked_at,
                row.verified_at, row.synced_at, row.halted, int(row.rejoin), int(row.moved), row.held_since,
                json.dumps(sorted(row.mounts)) if row.mounts else _NONE,
            ),
        )  # fmt: skip

    def forget(self, source: int) -> None:
        """Delete the row of a source."""
        self._db.execute("DELETE FROM sources WHERE source = ?", (source,))
