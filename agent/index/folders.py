"""The server's folders, where a server names files by the id of their folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from agent.core.remote_records import RemoteFolder


class Folders:
    """Reads and writes the server's folders; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def put(self, source: int, folders: Iterable[RemoteFolder]) -> None:
        """Write folders; one with a known id is replaced, and takes the folders below it along to its new path."""
        for folder in folders:
            before = self.get(source, folder.id)
            if before is not None and before.path != folder.path:
                # '0' is the character after '/'.
                self._db.execute(
                    "UPDATE folders SET path = ? || substr(path, ?) WHERE source = ? AND path > ? AND path < ?",
                    (folder.path, len(before.path) + 1, source, f"{before.path}/", f"{before.path}0"),
                )
            self._db.execute(
                "INSERT OR REPLACE INTO folders (source, id, path, parent) VALUES (?,?,?,?)",
                (source, folder.id, folder.path, folder.parent),
            )

    def get(self, source: int, identifier: str) -> RemoteFolder | None:
        """Return the folder with this id; None if it is not known."""
        return self._one("id = ?", source, identifier)

    def at(self, source: int, path: str) -> RemoteFolder | None:
        """Return the folder at this path; None if it is not known."""
        return self._one("path = ?", source, path)

    def has_other(self, source: int, path: str, identifier: str) -> bool:
        """Return True if a folder with another id is known at this path."""
        sql = "SELECT 1 FROM folders WHERE source = ? AND path = ? AND id <> ? LIMIT 1"
        return self._db.execute(sql, (source, path, identifier)).fetchone() is not None

    def all(self, source: int) -> list[RemoteFolder]:
        """Return the folders of a source in path order."""
        found = self._db.execute("SELECT id, path, parent FROM folders WHERE source = ? ORDER BY path", (source,))
        return [RemoteFolder(*row) for row in found]

    def drop(self, source: int, ids: Iterable[str]) -> None:
        """Delete folders that the server does not have any more, with the folders below them."""
        for identifier in ids:
            folder = self.get(source, identifier)
            if folder is not None:
                self._db.execute(
                    "DELETE FROM folders WHERE source = ? AND (id = ? OR (path > ? AND path < ?))",
                    (source, identifier, f"{folder.path}/", f"{folder.path}0"),
                )

    def forget(self, source: int) -> None:
        """Delete every folder of a source."""
        self._db.execute("DELETE FROM folders WHERE source = ?", (source,))

    def _one(self, where: str, source: int, value: str) -> RemoteFolder | None:
        sql = f"SELECT id, path, parent FROM folders WHERE source = ? AND {where} LIMIT 1"
        row = self._db.execute(sql, (source, value)).fetchone()
        return None if row is None else RemoteFolder(*row)
