"""Evidence for the delete guard: deletes of the last hour, and the texts that arrived beside them.

A delete of a renamed file is recorded with its new path, and counts as no delete.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from agent.core.delete_guard import MissingFile
from agent.core.reconcile import Step

_CHUNK: Final = 500
_SIDE: Final = {Step.PUSH_DELETE: "local_hash", Step.PULL_DELETE: "remote_hash"}
"""The side that lost the files of a direction, and on which their texts may have arrived elsewhere."""
_IDENTITY: Final = {Step.PUSH_DELETE: "inode", Step.PULL_DELETE: "remote_id"}
"""The column by which a file of that side is recognised under another path."""
_CHANGED: Final = {Step.PUSH_DELETE: "ctime_ns", Step.PULL_DELETE: "NULL"}
"""The time by which an identity is known to be older than a new file. A server never gives an id to two files."""
_ARRIVED: Final = {
    # An upload of a new text of ours, acknowledged since.
    Step.PUSH_DELETE: "SELECT path, hash FROM operations WHERE seq >= ? AND source = ? AND verb = 'upsert'",
    # An install of a new text of the server.
    Step.PULL_DELETE: "SELECT path, NULL FROM activity WHERE id >= ? AND source = ? AND what = 'pulled'",
}
_GONE: Final = (
    "SELECT path, hash FROM removals r WHERE source = ? AND step = ? AND at > ? AND renamed_to IS NULL AND NOT EXISTS "
    "(SELECT 1 FROM files f WHERE f.source = r.source AND f.path = r.path AND {}) ORDER BY path"
)
_FILLED: Final = "(f.base_hash IS NOT NULL OR f.local_hash IS NOT NULL OR f.remote_hash IS NOT NULL)"
_LOG: Final = {Step.PUSH_DELETE: ("operations", "seq", "created_at"), Step.PULL_DELETE: ("activity", "id", "at")}


class CarriedOutDelete(Struct, frozen=True):
    """A delete that is carried out now.

    Attributes:
        path: relative path.
        hash: the text both sides last agreed on.
        renamed_to: the new path of the file; None if it was not seen under another one.
    """

    path: str
    hash: str
    renamed_to: str | None = None


class RecentDeletes:
    """Reads and writes deletes that were carried out without a person's approval; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(self, source: int, step: Step, deletes: Iterable[CarriedOutDelete], now: float, since: float) -> None:
        """Record deletes that are carried out now, and drop records from before ``since``."""
        self._db.execute("DELETE FROM removals WHERE source = ? AND at <= ?", (source, since))
        self._db.executemany(
            "INSERT OR REPLACE INTO removals (source, path, step, hash, at, renamed_to) VALUES (?,?,?,?,?,?)",
            ((source, each.path, step, each.hash, now, each.renamed_to) for each in deletes),
        )

    def end_renames(self, source: int, step: Step, paths: Iterable[str]) -> None:
        """Forget the renames to these paths: they are empty now, so a later file there is another arrival."""
        self._db.executemany(
            "DELETE FROM removals WHERE source = ? AND step = ? AND renamed_to = ?",
            ((source, step, path) for path in paths),
        )

    def renames(self, source: int, step: Step, since: float) -> dict[str, str]:
        """Return the renames after ``since``: the new path to the hash of the renamed text."""
        sql = (
            "SELECT renamed_to, hash FROM removals WHERE source = ? AND step = ? AND at > ? AND renamed_to IS NOT NULL"
        )
        return dict(self._db.execute(sql, (source, step, since)))

    def count(self, source: int, step: Step, since: float) -> int:
        """Return the number of deletes after ``since``."""
        sql = "SELECT count(*) FROM removals WHERE source = ? AND step = ? AND at > ? AND renamed_to IS NULL"
        (count,) = self._db.execute(sql, (source, step, since)).fetchone()
        return int(count)

    def still_gone(self, source: int, step: Step, since: float) -> list[tuple[str, str]]:
        """Return the deletes (path, hash) after ``since`` whose path was not filled again, in path order."""
        return list(self._db.execute(_GONE.format(_FILLED), (source, step, since)))

    def to_undo(self, source: int, step: Step, since: float) -> list[tuple[str, str]]:
        """Return the deletes that ``still_gone`` returns, and those whose outcome is not known yet, in path order."""
        on_its_way = "(f.step = r.step AND f.base_hash IS r.hash)"
        return list(self._db.execute(_GONE.format(f"{_FILLED} AND NOT {on_its_way}"), (source, step, since)))

    def due(self, source: int, step: Step) -> list[MissingFile]:
        """Return the deletes of a direction that are due, in path order."""
        sql = (
            f"SELECT path, base_hash, {_IDENTITY[step]}, {_CHANGED[step]} FROM files INDEXED BY files_work "
            "WHERE source = ? AND step <> 0 AND step = ? ORDER BY path"
        )
        return [MissingFile(*found) for found in self._db.execute(sql, (source, step))]

    def arrived(self, source: int, step: Step, since: float) -> set[str]:
        """Return the paths that received a new text after ``since``: transferred ones, and ones still to be."""
        first = self._first(step, since)
        paths = {path for path, _ in self._db.execute(_ARRIVED[step], (first, source))}
        side = _SIDE[step]
        sql = (
            "SELECT path FROM files INDEXED BY files_work WHERE source = ? AND step <> 0 "
            f"AND {side} IS NOT NULL AND {side} IS NOT base_hash"
        )
        paths.update(path for (path,) in self._db.execute(sql, (source,)))
        return paths

    def texts(self, source: int, step: Step, paths: Sequence[str]) -> list[tuple[str, str, object]]:
        """Return (path, hash, identity) of those of these paths that hold a file on the side of a direction."""
        side = _SIDE[step]
        found: list[tuple[str, str, object]] = []
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            sql = (
                f"SELECT path, {side}, {_IDENTITY[step]} FROM files WHERE source = ? AND {side} IS NOT NULL "
                f"AND path IN ({','.join('?' * len(chunk))})"
            )
            found += [(path, digest, identity) for path, digest, identity in self._db.execute(sql, (source, *chunk))]
        return found

    def _first(self, step: Step, since: float) -> int:
        """Return the first row number of a log behind a moment, by binary search: numbers rise with time."""
        table, number, at = _LOG[step]
        (last,) = self._db.execute(f"SELECT coalesce(max({number}), 0) FROM {table}").fetchone()
        low, high = 0, int(last) + 1
        while low < high:
            middle = (low + high) // 2
            row = self._db.execute(
                f"SELECT {at} FROM {table} WHERE {number} >= ? ORDER BY {number} LIMIT 1", (middle,)
            ).fetchone()
            if row is None or row[0] > since:
                high = middle
            else:
                low = middle + 1
        return low

    def forget(self, source: int) -> None:
        """Delete every record of a source."""
        self._db.execute("DELETE FROM removals WHERE source = ?", (source,))
