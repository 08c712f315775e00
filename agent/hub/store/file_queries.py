"""Queries of the drive face about files: identities, versions, folders, the whole feed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import orjson
from sqlalchemy import bindparam, func, literal_column, select

from agent.hub.domain.drive_model import DriveVersion, FolderRow, ListedFile
from agent.hub.domain.model import Event, Head, Source, SourceStatus
from agent.hub.store import tables as t
from agent.hub.store.bulk import BulkLookup, add_rows
from agent.hub.store.content_queries import ContentQueries, content_of
from agent.hub.store.rows import MAX_PARAMETERS, batched, head_of, hex_hash, source_of_row
from agent.hub.store.statements import Statement, is_value, removal

_PRESENT = t.folders.c.deleted_at.is_(None)


IS_THERE: Final = t.sources.c.status != literal_column(f"'{SourceStatus.DELETED.value}'")
"""Condition that a source was not deleted."""
_SOURCE_BY_NUMBER = Statement(
    select(t.sources).where(is_value(t.sources.c.number, "s"), is_value(t.sources.c.workspace, "w"), IS_THERE)
)
_PLACES = Statement(
    select(t.places.c.file)
    .where(is_value(t.places.c.source, "s"), is_value(t.places.c.identity, "i"))
    .order_by(t.places.c.cursor.desc())
)
_CREATED_AS = Statement(
    select(t.events.c.file).where(is_value(t.events.c.source, "s"), is_value(t.events.c.cursor, "i"))
)
_PLACES_OF = BulkLookup(
    select(t.places.c.identity, t.places.c.cursor, t.places.c.file).where(is_value(t.places.c.source, "s")),
    t.places.c.identity,
)
_CREATED_IN = BulkLookup(
    select(t.events.c.cursor, t.events.c.cursor, t.events.c.file).where(is_value(t.events.c.source, "s")),
    t.events.c.cursor,
)
_FILES = BulkLookup(select(t.files).where(is_value(t.files.c.source, "s")), t.files.c.number)
_FILE = Statement(select(t.files).where(is_value(t.files.c.source, "s"), is_value(t.files.c.number, "f")))
_BELOW = Statement(
    select(t.files, t.contents.c.size)
    .select_from(t.files.join(t.contents, content_of(t.files.c.hash)))
    .where(is_value(t.files.c.source, "s"), t.files.c.path > bindparam("after"), t.files.c.path < bindparam("before"))
    .order_by(t.files.c.path)
    .limit(bindparam("n"))
)
_VERSIONS = BulkLookup(
    select(
        t.versions.c.cursor, t.versions.c.number, t.versions.c.hash, t.contents.c.size, t.versions.c.recorded_at,
        t.events.c.detail, t.versions.c.hidden,
    )
    .select_from(
        t.versions.join(t.contents, content_of(t.versions.c.hash)).outerjoin(
            t.events, (t.events.c.source == t.versions.c.source) & (t.events.c.cursor == t.versions.c.cursor)
        )
    )
    .where(is_value(t.versions.c.source, "s"), is_value(t.versions.c.identity, "i")),
    t.versions.c.file,
)  # fmt: skip
_EVENTS = Statement(
    select(t.events, t.files.c.path, t.versions.c.number, t.contents.c.size)
    .select_from(
        t.events.outerjoin(t.files, (t.files.c.source == t.events.c.source) & (t.files.c.number == t.events.c.file))
        .outerjoin(
            t.versions,
            (t.versions.c.source == t.events.c.source)
            & (t.versions.c.file == t.events.c.file)
            & (t.versions.c.cursor == t.events.c.cursor),
        )
        .outerjoin(t.contents, content_of(t.events.c.hash))
    )
    .where(is_value(t.events.c.source, "s"), t.events.c.cursor > bindparam("after"))
    .order_by(t.events.c.cursor)
    .limit(bindparam("n"))
)
_AUTHORS = BulkLookup(
    select(t.events.c.cursor, t.events.c.created_at, t.events.c.detail).where(is_value(t.events.c.source, "s")),
    t.events.c.cursor,
)
_FOLDER = Statement(select(t.folders).where(is_value(t.folders.c.source, "s"), is_value(t.folders.c.number, "f")))
_FOLDERS_AT = BulkLookup(select(t.folders).where(is_value(t.folders.c.source, "s"), _PRESENT), t.folders.c.path)
_ALL_FOLDERS_IN = (
    select(t.folders)
    .where(is_value(t.folders.c.source, "s"), is_value(t.folders.c.parent, "p"))
    .order_by(t.folders.c.path, t.folders.c.number)
)
_FOLDERS_IN = {False: Statement(_ALL_FOLDERS_IN.where(_PRESENT)), True: Statement(_ALL_FOLDERS_IN)}
_ABSENT_BELOW = Statement(
    select(t.files)
    .where(
        is_value(t.files.c.source, "s"),
        t.files.c.path > bindparam("after"),
        t.files.c.path < bindparam("before"),
        t.files.c.hash.is_(None),
        t.files.c.version > literal_column("0"),
    )
    .order_by(t.files.c.path)
)
_FOLDERS_BELOW = Statement(
    select(t.folders)
    .where(
        is_value(t.folders.c.source, "s"),
        t.folders.c.path > bindparam("after"),
        t.folders.c.path < bindparam("before"),
        _PRESENT,
    )
    .order_by(t.folders.c.path)
)
_NO_FOLDER = removal(t.folders, t.folders.c.source, t.folders.c.number)
_USED = Statement(
    select(func.coalesce(func.sum(t.contents.c.size), literal_column("0")))
    .select_from(t.files.join(t.contents, content_of(t.files.c.hash)))
    .where(is_value(t.files.c.source, "s"))
)


def _below(path: str) -> dict[str, str]:
    """Return the bounds of all paths below a path; the empty one is the root."""
    # '0' follows '/' in the order of bytes; no valid UTF-8 is above U+10FFFF.
    return {"after": f"{path}/", "before": f"{path}0"} if path else {"after": "", "before": "\U0010ffff"}


def _is_at(head: Head | None, path: str) -> bool:
    return head is not None and head.hash is None and head.path == path


class FileQueries(ContentQueries):
    """`agent.hub.domain.drive_ports.FileStoreSession` inside one transaction."""

    def source_by_number(self, workspace: str, number: int) -> Source | None:
        row = _SOURCE_BY_NUMBER.first(self._db, s=number, w=workspace)
        return None if row is None else source_of_row(row)

    def head_by_identity(self, source: int, identity: int) -> Head | None:
        row = _PLACES.first(self._db, s=source, i=identity) or _CREATED_AS.first(self._db, s=source, i=identity)
        found = None if row is None or row[0] is None else _FILE.first(self._db, s=source, f=row[0])
        if found is None:
            return None
        head = head_of(found)
        if head.identity == identity:
            return head
        # Another file has taken the place where this one ended.
        return Head(head.number, head.path, None, head.content_type, head.state, head.synced_at, identity)

    def present_heads(self, source: int, identities: Collection[int]) -> dict[int, Head]:
        found: dict[int, Head] = {}
        wanted = sorted(set(identities))
        for start in range(0, len(wanted), MAX_PARAMETERS):
            some = wanted[start : start + MAX_PARAMETERS]
            rows = [*_CREATED_IN.rows(self._db, some, source), *_PLACES_OF.rows(self._db, some, source)]
            # The newest place of each file comes last.
            places = {identity: file for identity, _, file in sorted(rows, key=lambda row: row[1]) if file is not None}
            numbers = sorted(set(places.values()))
            heads = map(head_of, _FILES.rows(self._db, numbers, source)) if numbers else ()
            found |= {head.identity: head for head in heads if head.hash is not None and head.identity in places}
        return found

    def files_below(self, source: int, after: str, before: str, limit: int) -> list[ListedFile]:
        rows = _BELOW.rows(self._db, s=source, after=after, before=before, n=limit)
        return [ListedFile(head_of(row[:-1]), row[-1]) for row in rows]

    def drive_versions(self, source: int, identity: int) -> list[DriveVersion]:
        files = {row[0] for row in _PLACES.rows(self._db, s=source, i=identity)}
        created = _CREATED_AS.first(self._db, s=source, i=identity)
        files |= set() if created is None or created[0] is None else {created[0]}
        rows = _VERSIONS.rows(self._db, sorted(files), source, source, identity) if files else ()
        found: dict[int, DriveVersion] = {}
        for cursor, number, hash_, size, recorded_at, detail, hidden in sorted(rows, key=lambda row: row[0]):
            by = orjson.loads(detail).get("by") if detail else None
            # A move repeats the number of the content that it took along.
            found.setdefault(number, DriveVersion(cursor, number, hash_.hex(), size, recorded_at, by, bool(hidden)))
        return list(found.values())

    def drive_events(self, source: int, cursor: int, limit: int) -> list[Event]:
        rows = _EVENTS.rows(self._db, s=source, after=cursor, n=limit)
        return [
            Event(
                cursor=at,
                type=t.EVENT_TYPES[kind % t.HIDDEN_CODE],
                file=file,
                path=path,
                hash=hex_hash(hash_),
                operation=operation,
                extra=orjson.loads(extra) if extra else {},
                created_at=created_at,
                size=size or 0,
                identity=identity,
                hidden=kind >= t.HIDDEN_CODE,
                detail=orjson.loads(detail) if detail else None,
                version=number or 0,
            )
            for (
                _, at, kind, file, hash_, operation, extra, created_at, identity, detail, path, number, size,
            ) in rows
        ]  # fmt: skip

    def event_authors(self, source: int, cursors: Collection[int]) -> dict[int, tuple[int, str | None]]:
        rows = _AUTHORS.rows(self._db, sorted(cursors), source) if cursors else ()
        return {cursor: (at, orjson.loads(detail).get("by") if detail else None) for cursor, at, detail in rows}

    def add_places(self, source: int, places: Iterable[tuple[int, int, int]]) -> None:
        add_rows(self._db, t.places, [(source, *place) for place in places])

    def folder(self, source: int, number: int) -> FolderRow | None:
        row = _FOLDER.first(self._db, s=source, f=number)
        return None if row is None else FolderRow(*row[1:])

    def folders_at(self, source: int, paths: Collection[str]) -> dict[str, FolderRow]:
        found: dict[str, FolderRow] = {}
        for some in batched(paths, MAX_PARAMETERS):
            found.update({row[3]: FolderRow(*row[1:]) for row in _FOLDERS_AT.rows(self._db, some, source)})
        return found

    def folders_in(self, source: int, parent: int, *, deleted: bool = False) -> list[FolderRow]:
        return [FolderRow(*row[1:]) for row in _FOLDERS_IN[deleted].rows(self._db, s=source, p=parent)]

    def deleted_files_in(self, source: int, path: str) -> list[Head]:
        start = len(path) + 1 if path else 0
        rows = map(head_of, _ABSENT_BELOW.rows(self._db, s=source, **_below(path)))
        ended = [head for head in rows if "/" not in head.path[start:]]
        # A file that moved away left its row behind, and is not deleted.
        return [head for head in ended if _is_at(self.head_by_identity(source, head.identity), head.path)]

    def folders_below(self, source: int, path: str) -> list[FolderRow]:
        return [FolderRow(*row[1:]) for row in _FOLDERS_BELOW.rows(self._db, s=source, **_below(path))]

    def save_folders(self, source: int, folders: Iterable[FolderRow]) -> None:
        rows = list(folders)
        for folder in rows:
            _NO_FOLDER.run(self._db, source=source, number=folder.number)
        add_rows(
            self._db,
            t.folders,
            [
                (source, f.number, f.parent, f.path, f.created_by, f.created_at, f.modified_at, f.deleted_at)
                for f in rows
            ],
        )

    def used_bytes(self, source: int) -> int:
        row = _USED.first(self._db, s=source)
        return 0 if row is None else int(row[0])
