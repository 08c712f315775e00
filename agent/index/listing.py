"""The server's listing of files while a verification compares it with the remote tree."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from agent.core.remote_records import RemoteFile
from agent.index.bulk_insert import Insert

_CHUNK: Final = 500
_ADD: Final = Insert("INSERT OR REPLACE INTO listing (source, path, hash, rev, remote_id)", 5)


class ServerListing:
    """Keeps listed files beside the trees, so that one query compares both."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def clear(self, source: int) -> None:
        """Delete the listing: a new one begins, or the comparison is done."""
        self._db.execute("DELETE FROM listing WHERE source = ?", (source,))

    def add(self, source: int, files: Iterable[RemoteFile]) -> None:
        """Add rows of the server's listing."""
        _ADD.write(self._db, [(source, file.path, file.hash, file.rev, file.remote_id) for file in files])

    def hashes(self, source: int, paths: Sequence[str]) -> dict[str, str]:
        """Return the listed hashes of these paths; paths that are not listed are left out."""
        found: dict[str, str] = {}
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            sql = f"SELECT path, hash FROM listing WHERE source = ? AND path IN ({marks})"
            found.update(self._db.execute(sql, (source, *chunk)))
        return found

    def differing(self, source: int) -> list[str]:
        """Return listed paths whose hash is not that of the remote tree, in path order."""
        sql = (
            "SELECT l.path FROM listing l LEFT JOIN files f ON f.source = l.source AND f.path = l.path "
            "WHERE l.source = ? AND l.hash IS NOT f.remote_hash ORDER BY l.path"
        )
        return [path for (path,) in self._db.execute(sql, (source,))]

    def missing(self, source: int) -> list[str]:
        """Return paths of the remote tree that are not listed, in path order."""
        sql = (
            "SELECT f.path FROM files f LEFT JOIN listing l ON l.source = f.source AND l.path = f.path "
            "WHERE f.source = ? AND f.remote_hash IS NOT NULL AND l.path IS NULL ORDER BY f.path"
        )
        return [path for (path,) in self._db.execute(sql, (source,))]
