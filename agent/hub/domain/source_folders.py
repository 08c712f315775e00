"""Folders of one locked source: rows for the folders of every file, and changes to whole folders.

Raven's face knows paths only. `SourceFolders.load` therefore adds rows for the folders of files that it pushed since
the last time, so that every folder has a number that stays when it is renamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import structs

from agent.hub.domain.drive_model import ROOT, FolderRow, ListedFile
from agent.hub.domain.model import Event, EventType
from agent.hub.domain.ports import StoreSession
from agent.hub.domain.source_transaction import SourceTransaction

_PAGE: Final = 1000
_FIRST_PAGE: Final = 16
"""Rows read where a folder inside the listed one may come next: the rows behind it would be read in vain."""


def parent_path(path: str) -> str:
    """Return the path of the folder that holds a path, empty for the root."""
    return path.rpartition("/")[0]


def ancestors(path: str) -> Iterator[str]:
    """Yield the paths of all folders above a path, the outermost first, without the root."""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def files_below(session: StoreSession, source: int, path: str) -> Iterator[ListedFile]:
    """Yield every present file below a path, in order. The empty path is the root."""
    after, before = (f"{path}/", f"{path}0") if path else ("", "\U0010ffff")
    while rows := session.files_below(source, after, before, _PAGE):
        yield from rows
        after = rows[-1].head.path


def files_in(session: StoreSession, source: int, path: str) -> Iterator[ListedFile]:
    """Yield the present files directly in a folder. Each folder inside it costs one query, whatever it holds."""
    prefix = f"{path}/" if path else ""
    after, before, size = prefix, f"{path}0" if path else "\U0010ffff", _FIRST_PAGE
    while rows := session.files_below(source, after, before, size):
        size = min(4 * size, _PAGE)
        for row in rows:
            after = row.head.path
            inner = after.find("/", len(prefix))
            if inner >= 0:
                # '0' follows '/' in the order of bytes, so nothing of this folder is behind it.
                after, size = f"{after[:inner]}0", _FIRST_PAGE
                break
            yield row


def missing_folders(session: StoreSession, source: int, cursor: int) -> tuple[set[str], int]:
    """Return the paths of all folders of files that events behind a cursor wrote, and the last of these cursors."""
    found: set[str] = set()
    while events := session.drive_events(source, cursor, _PAGE):
        found.update(folder for event in events for folder in _folders_of(event))
        cursor = events[-1].cursor
    return found, cursor


def _folders_of(event: Event) -> Iterable[str]:
    return ancestors(event.path) if event.type is EventType.UPSERT and event.path is not None else ()


class SourceFolders:
    """Folders of a locked source. Every change of a file through it keeps the rows of folders complete.

    Args:
        by: user who makes the changes.
        now: milliseconds since the epoch.
    """

    def __init__(self, session: StoreSession, transaction: SourceTransaction, by: str, now: int) -> None:
        self._session = session
        self._transaction = transaction
        self._source = transaction.source.number
        self._by = by
        self._now = now
        self._changed: dict[int, FolderRow] = {}

    def load(self) -> None:
        """Add rows for the folders of files that were written since the last time."""
        wanted, cursor = missing_folders(self._session, self._source, self._transaction.folders_cursor)
        self.ensure(wanted)
        self._transaction.folders_cursor = cursor

    def ensure(self, paths: Iterable[str]) -> None:
        """Add rows for folders that have none. They have no event: the files in them name them."""
        wanted = sorted(set(paths))
        known = {path: row.number for path, row in self.at(wanted).items()}
        for path in wanted:
            if path not in known:
                known[path] = self._add(path, known.get(parent_path(path)))

    def at(self, paths: Iterable[str]) -> dict[str, FolderRow]:
        """Return the present folders with these paths."""
        wanted = set(paths)
        found = self._session.folders_at(self._source, wanted) if wanted else {}
        rows = {row.number: row for row in found.values()} | self._changed
        return {row.path: row for row in rows.values() if row.deleted_at is None and row.path in wanted}

    def get(self, number: int) -> FolderRow | None:
        """Return a folder by its number, present or deleted."""
        return self._changed.get(number) or self._session.folder(self._source, number)

    def create(self, path: str, operation: str) -> FolderRow:
        """Add a folder with an event, and those above it that are missing. Nothing may be at the path."""
        self.ensure(ancestors(path))
        number = self._add(path, None)
        detail = {"change": "created", "path": path, "operation": operation, "by": self._by}
        self._transaction.add_folder_event(number, detail)
        return self._changed[number]

    def move(self, folder: FolderRow, new_path: str, operation: str) -> FolderRow:
        """Move or rename a folder with everything below it. Nothing may be at the new path.

        The event of the folder comes first. Each file has an event of its own.
        """
        self.ensure(ancestors(new_path))
        old_path = folder.path
        parent = self._number_of(parent_path(new_path))
        change = "renamed" if parent_path(old_path) == parent_path(new_path) else "moved"
        moved = structs.replace(folder, path=new_path, parent=parent, modified_at=self._now)
        inner = self._session.folders_below(self._source, old_path)
        self._put(moved)
        detail = {"change": change, "from": old_path, "path": new_path, "operation": operation, "by": self._by}
        self._transaction.add_folder_event(folder.number, detail)
        for row in inner:
            self._put(structs.replace(row, path=new_path + row.path[len(old_path) :], modified_at=self._now))
        files = [listed.head.path for listed in files_below(self._session, self._source, old_path)]
        targets = {path: new_path + path[len(old_path) :] for path in files}
        self._transaction.load_heads([*targets, *targets.values()])
        for path, target in targets.items():
            self._transaction.move(path, target, operation, {"by": self._by, "change": change})
        return moved

    def delete(self, folder: FolderRow, operation: str) -> None:
        """Delete a folder with everything below it. Contents remain among the versions."""
        files = [listed.head.path for listed in files_below(self._session, self._source, folder.path)]
        self._transaction.load_heads(files)
        for path in files:
            self._transaction.delete(path, operation, detail={"by": self._by})
        inner = self._session.folders_below(self._source, folder.path)
        for row in [*reversed(inner), folder]:
            self._put(structs.replace(row, deleted_at=self._now, modified_at=self._now))
            detail = {"change": "deleted", "from": row.path, "operation": operation, "by": self._by}
            self._transaction.add_folder_event(row.number, detail)

    def flush(self) -> None:
        """Write the folders. Call it before the transaction is flushed, after the last change."""
        self._session.save_folders(self._source, self._changed.values())
        # This transaction's own events are covered: their folders have rows.
        self._transaction.folders_cursor = self._transaction.cursor

    def _number_of(self, path: str) -> int:
        return self.at([path])[path].number if path else ROOT

    def _add(self, path: str, parent: int | None) -> int:
        above = parent_path(path)
        self._transaction.last_folder += 1
        number = self._transaction.last_folder
        where = parent if parent is not None else self._number_of(above)
        self._put(FolderRow(number, where, path, self._by, self._now, self._now))
        return number

    def _put(self, folder: FolderRow) -> None:
        self._changed[folder.number] = folder
