"""The activity log: one line for everything that happened to a file or a source."""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from msgspec import Struct

from agent.index.bulk_insert import Insert
from agent.index.trees import glob_of

_COLUMNS: Final = "id, source, at, path, what, detail, operation_id"
_LARGEST: Final = (1 << 63) - 1
_APPEND: Final = Insert("INSERT INTO activity (source, at, path, what, detail, operation_id)", 6)


class ActivityKind(enum.StrEnum):
    """The kind of a line. The values are public: ``activity`` prints them."""

    PUSHED = "pushed"
    PULLED = "pulled"
    DELETED_REMOTE = "deleted_remote"
    DELETED_LOCAL = "deleted_local"
    RESTORED = "restored"
    LATE_WRITE = "late_write"
    """A program wrote to a file after its move to the trash; the text was rescued."""
    SETTLED = "settled"
    """The outcome of an operation in doubt is known."""
    REFUSED = "refused"
    CONFLICT = "conflict"
    CONFLICT_CLOSED = "conflict_closed"
    RESOLVING = "resolving"
    OVERWRITTEN_UNSEEN = "overwritten_unseen"
    TRASH_REFUSED = "trash_refused"
    EVENT_REFUSED = "event_refused"
    FEED_RESTARTED = "feed_restarted"
    """The server lost our position in its feed, so that it is read from its beginning."""
    HALTED = "halted"
    DELETES_HELD = "deletes_held"
    DELETES_APPROVED = "deletes_approved"
    DELETES_UNDONE = "deletes_undone"
    PAUSED = "paused"
    RESUMED = "resumed"


class ActivityEntry(Struct, frozen=True, gc=False):
    """One line of the activity log; ``at`` in seconds since the epoch, ``path`` empty for the source as a whole."""

    id: int
    source: int
    at: float
    path: str
    what: str
    detail: str | None
    operation_id: str | None


class ActivityFilter(Struct, frozen=True):
    """The lines that are wanted; by default all.

    Attributes:
        since: only lines of this time and later, in seconds since the epoch.
        kind: only lines of this kind; empty for all.
        match: only lines whose path matches, as in ``Trees.matching``; empty for all.
    """

    since: float = 0.0
    kind: str = ""
    match: str = ""


EVERY_LINE: Final = ActivityFilter()


class ActivityLog:
    """Reads and writes the activity log; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def append(self, source: int, now: float, entries: Iterable[tuple[str, str, str | None, str | None]]) -> None:
        """Add lines, each (path, kind, detail, operation id)."""
        _APPEND.write(self._db, [(source, now, *entry) for entry in entries])

    def entries(
        self, sources: Collection[int], after: int, limit: int, wanted: ActivityFilter = EVERY_LINE
    ) -> Iterator[ActivityEntry]:
        """Return lines of these sources behind the id ``after``, oldest first; with ``after`` 0 the newest ``limit``.

        Args:
            limit: number of lines at most; -1 for all.
        """
        order = "ASC" if after else "DESC"
        where, values = _condition(sources, wanted)
        chosen = f"SELECT {_COLUMNS} FROM activity WHERE id > ? AND {where} ORDER BY id {order} LIMIT ?"
        sql = f"SELECT * FROM ({chosen}) ORDER BY id"
        rows: Iterable[Any] = self._db.execute(sql, (after, *values, limit))
        return (ActivityEntry(*row) for row in rows)

    def before(
        self, sources: Collection[int], before: int, limit: int, wanted: ActivityFilter = EVERY_LINE
    ) -> Iterator[ActivityEntry]:
        """Return the ``limit`` newest lines of these sources ahead of the id ``before``, newest first.

        Args:
            before: 0 to begin with the newest line.
            limit: number of lines at most; -1 for all.
        """
        where, values = _condition(sources, wanted)
        sql = f"SELECT {_COLUMNS} FROM activity WHERE id < ? AND {where} ORDER BY id DESC LIMIT ?"
        rows: Iterable[Any] = self._db.execute(sql, (before or _LARGEST, *values, limit))
        return (ActivityEntry(*row) for row in rows)

    def newest_of(self, source: int, path: str, kinds: Collection[str]) -> ActivityEntry | None:
        """Return the newest line of these kinds about a path; None if the log has none. Reads it backwards."""
        marks = ", ".join("?" * len(kinds))
        sql = (
            "SELECT id, source, at, path, what, detail, operation_id FROM activity "
            f"WHERE source = ? AND path = ? AND what IN ({marks}) ORDER BY id DESC LIMIT 1"
        )
        row = self._db.execute(sql, (source, path, *kinds)).fetchone()
        return None if row is None else ActivityEntry(*row)

    def counts(self, sources: Collection[int], since: float, seconds: int, offset: int) -> list[tuple[float, int, int]]:
        """Count the lines about files in spans of equal length: start of each span, lines, different files.

        Args:
            since: only lines of this time and later, in seconds since the epoch.
            seconds: length of a span.
            offset: seconds that local time is ahead of UTC, so that days begin at local midnight.
        """
        marks = ", ".join("?" * len(sources))
        sql = (
            "SELECT CAST((at + ?) / ? AS INTEGER) AS span, count(*), count(DISTINCT source || '/' || path)"
            f" FROM activity WHERE at >= ? AND path <> '' AND source IN ({marks}) GROUP BY span ORDER BY span"
        )
        rows: Iterable[Any] = self._db.execute(sql, (offset, seconds, since, *sources))
        return [(float(span * seconds - offset), lines, files) for span, lines, files in rows]

    def prune(self, before: float) -> None:
        """Delete lines older than ``before``, up to the first younger one. The cost is that of the lines deleted."""
        first = self._db.execute("SELECT id FROM activity WHERE at >= ? ORDER BY id LIMIT 1", (before,)).fetchone()
        if first is None:
            self._db.execute("DELETE FROM activity")
        else:
            self._db.execute("DELETE FROM activity WHERE id < ?", first)


def _condition(sources: Collection[int], wanted: ActivityFilter) -> tuple[str, list[Any]]:
    """Return a condition of SQL and its values."""
    terms = ["at >= ?", f"source IN ({', '.join('?' * len(sources))})"]
    values: list[Any] = [wanted.since, *sources]
    if wanted.kind:
        terms.append("what = ?")
        values.append(wanted.kind)
    if wanted.match:
        terms.append("lower(path) GLOB ?")
        values.append(glob_of(wanted.match))
    return " AND ".join(terms), values
