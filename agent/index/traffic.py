"""The series of the charts: changes, bytes sent and received, and the size of the folder, by quarter of an hour."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

QUARTER: Final = 900
"""Seconds of one row. Spans of whole hours and days in every time zone are sums of rows."""


class TrafficRow(Struct, frozen=True, gc=False):
    """One quarter of an hour of one source in which something changed.

    Attributes:
        quarter: quarters of an hour since the epoch.
        changes: entries of the activity log about files.
        sent, received: bytes.
        files, size: local files after the last change, and their bytes; None if they were not counted.
    """

    source: int
    quarter: int
    changes: int
    sent: int
    received: int
    files: int | None
    size: int | None

    def without_size(self) -> TrafficRow:
        """Return the row as if the folder was not counted."""
        return replace(self, files=None, size=None)


class TrafficSpan(Struct, frozen=True):
    """One span of time of several sources; fields as in ``TrafficRow``.

    Attributes:
        start: seconds since the epoch.
    """

    start: float
    changes: int
    sent: int
    received: int
    files: int | None
    size: int | None


class Traffic:
    """Reads and writes the series; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(
        self, source: int, now: float, changes: int, sent: int, received: int, folder: tuple[int, int] | None
    ) -> None:
        """Add to the present quarter of an hour.

        Args:
            now: seconds since the epoch.
            changes: entries of the activity log about files.
            sent, received: bytes.
            folder: local files and their bytes; None if they are not known now.
        """
        files, size = folder or (None, None)
        self._db.execute(
            "INSERT INTO traffic (source, quarter, changes, sent, received, files, size) VALUES (?,?,?,?,?,?,?) "
            "ON CONFLICT (source, quarter) DO UPDATE SET changes = changes + excluded.changes, "
            "sent = sent + excluded.sent, received = received + excluded.received, "
            "files = coalesce(excluded.files, files), size = coalesce(excluded.size, size)",
            (source, int(now // QUARTER), changes, sent, received, files, size),
        )

    def rows(self, sources: Collection[int], since: float) -> list[TrafficRow]:
        """Return the rows of these sources from the quarter of a time on (seconds since the epoch), oldest first."""
        marks = ", ".join("?" * len(sources))
        sql = (
            "SELECT source, quarter, changes, sent, received, files, size FROM traffic "
            f"WHERE source IN ({marks}) AND quarter >= ? ORDER BY quarter, source"
        )
        rows: Iterable[Any] = self._db.execute(sql, (*sources, int(since // QUARTER)))
        return [TrafficRow(*row) for row in rows]

    def folders_before(self, sources: Collection[int], moment: float) -> dict[int, tuple[int, int]]:
        """Return the last known number of files and bytes of each source before the quarter of a time."""
        sql = (
            "SELECT files, size FROM traffic WHERE source = ? AND quarter < ? AND size IS NOT NULL "
            "ORDER BY quarter DESC LIMIT 1"
        )
        found = ((source, self._db.execute(sql, (source, int(moment // QUARTER))).fetchone()) for source in sources)
        return {source: (row[0], row[1]) for source, row in found if row is not None}

    def prune(self, before: float) -> None:
        """Delete the rows of quarters that began before ``before``, in seconds since the epoch."""
        self._db.execute("DELETE FROM traffic WHERE quarter < ?", (int(before // QUARTER),))


def spans_of(
    rows: Iterable[TrafficRow], folders: Mapping[int, tuple[int, int]], seconds: int, offset: int
) -> list[TrafficSpan]:
    """Return the sums of rows in spans of equal length, oldest first; spans without any row are left out.

    The size of the folders is that at the end of the span. A source whose size is not known yet is not in it.

    Args:
        rows: oldest first.
        folders: files and bytes of each source before the first row.
        seconds: length of a span, a multiple of a quarter of an hour.
        offset: seconds that local time is ahead of UTC, so that days begin at local midnight.
    """
    known = dict(folders)
    sums: dict[int, list[int]] = {}
    sizes: dict[int, tuple[int, int] | None] = {}
    for row in rows:
        span = (row.quarter * QUARTER + offset) // seconds
        total = sums.setdefault(span, [0, 0, 0])
        for place, value in enumerate((row.changes, row.sent, row.received)):
            total[place] += value
        if row.files is not None and row.size is not None:
            known[row.source] = (row.files, row.size)
        pairs = known.values()
        sizes[span] = (sum(files for files, _ in pairs), sum(size for _, size in pairs)) if known else None
    return [
        TrafficSpan(float(span * seconds - offset), *total, *(sizes[span] or (None, None)))
        for span, total in sums.items()
    ]
