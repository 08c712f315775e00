"""The server's listing of files while a verification compares it with the remote tree."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from agent.core.remote_records import RemoteFile
from agent.index.bulk_insert import Insert
from agent.index.revisions import SAME, restored, stored

_CHUNK: Final = 500
_COLUMNS: Final = "path, hash, rev, remote_id, size, mark"
_ADD: Final = Insert(f"INSERT OR REPLACE INTO listing (source, {_COLUMNS})", 7)
_BESIDE: Final = "FROM listing l LEFT JOIN files f ON f.source = l.source AND f.path = l.path WHERE l.source = ?"
"""Listed files beside the remote tree."""


class ServerListing:
    """Keeps listed files beside the trees, so that one query compares both."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def clear(self, source: int) -> None:
        """Delete the listing: a new one begins, or the comparison is done. The confirmed marks stay."""
        self._db.execute("DELETE FROM listing WHERE source = ?", (source,))

    def forget(self, source: int) -> None:
        """Delete the listing and the confirmed marks of a source."""
        self.clear(source)
        self._db.execute("DELETE FROM marks WHERE source = ?", (source,))

    def add(self, source: int, files: Iterable[RemoteFile]) -> None:
        """Add rows of the server's listing."""
        rows = [(source, f.path, f.hash, stored(f.rev, f.hash), f.remote_id, f.size, f.mark) for f in files]
        _ADD.write(self._db, rows)

    def files(self, source: int, paths: Sequence[str]) -> dict[str, RemoteFile]:
        """Return the listed files at these paths; paths that are not listed are left out."""
        found: dict[str, RemoteFile] = {}
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            sql = f"SELECT {_COLUMNS} FROM listing WHERE source = ? AND path IN ({marks})"
            found.update((row[0], _file(row)) for row in self._db.execute(sql, (source, *chunk)))
        return found

    def differing(self, source: int) -> list[str]:
        """Return listed paths whose content is not that of the remote tree, as far as the listing shows it, in order.

        Without a hash the revision is compared. Without both, the mark must be the one that was confirmed.
        """
        by_mark = "SELECT 1 FROM marks m WHERE m.source = l.source AND m.path = l.path AND m.mark = l.mark"
        sql = (
            f"SELECT l.path {_BESIDE} AND CASE"
            " WHEN l.hash IS NOT NULL THEN l.hash IS NOT f.remote_hash"
            " WHEN f.remote_hash IS NULL THEN 1"
            " WHEN l.rev IS NOT NULL AND f.remote_rev IS NOT NULL"
            f" THEN l.rev <> CASE f.remote_rev WHEN '{SAME}' THEN f.remote_hash ELSE f.remote_rev END"
            f" ELSE NOT EXISTS ({by_mark}) END ORDER BY l.path"
        )
        return [path for (path,) in self._db.execute(sql, (source,))]

    def with_newer_revision(self, source: int, limit: int) -> Iterator[RemoteFile]:
        """Return listed files with the remote tree's content and another revision or id than it knows, in order."""
        listed = ", ".join(f"l.{name}" for name in _COLUMNS.split(", "))
        sql = (
            f"SELECT {listed} {_BESIDE} AND l.hash = f.remote_hash AND (l.rev <> coalesce(f.remote_rev, '') "
            "OR l.remote_id <> coalesce(f.remote_id, '')) ORDER BY l.path LIMIT ?"
        )
        return map(_file, self._db.execute(sql, (source, limit)))

    def missing(self, source: int) -> list[str]:
        """Return paths of the remote tree that are not listed, in path order."""
        sql = (
            "SELECT f.path FROM files f LEFT JOIN listing l ON l.source = f.source AND l.path = f.path "
            "WHERE f.source = ? AND f.remote_hash IS NOT NULL AND l.path IS NULL ORDER BY f.path"
        )
        return [path for (path,) in self._db.execute(sql, (source,))]

    def confirm(self, source: int, path: str, mark: str) -> None:
        """Note that the remote tree has the head that the file had at this mark."""
        self._db.execute("INSERT OR REPLACE INTO marks (source, path, mark) VALUES (?,?,?)", (source, path, mark))

    def drop_old_marks(self, source: int) -> None:
        """Delete the confirmed marks of files that are not listed any more. Call it with a whole listing."""
        self._db.execute(
            "DELETE FROM marks WHERE source = ? AND path NOT IN (SELECT path FROM listing WHERE source = marks.source)",
            (source,),
        )


def _file(row: Sequence[Any]) -> RemoteFile:
    path, digest, rev, *others = row
    return RemoteFile(path, digest, restored(rev, digest), *others)
