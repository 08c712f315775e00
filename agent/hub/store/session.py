"""One transaction on the hub's tables. Its statements are built in SQLAlchemy Core, see `statements`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from typing import Final

import orjson
from sqlalchemy import bindparam, func, literal_column, select, update

from agent.hub.domain.model import (
    ConflictClosure,
    Connector,
    Event,
    FileVersion,
    Head,
    OpenConflict,
    RecordedOutcome,
    Source,
    VersionOrigin,
)
from agent.hub.store import tables as t
from agent.hub.store.account_queries import AccountSession
from agent.hub.store.bulk import BulkLookup, add_rows, save_rows
from agent.hub.store.content_queries import content_of
from agent.hub.store.file_queries import IS_THERE
from agent.hub.store.machine_queries import MachineQueries
from agent.hub.store.rows import (
    MAX_PARAMETERS,
    batched,
    conflict_of_row,
    head_of,
    head_values,
    hex_hash,
    raw_hash,
    source_of_row,
    to_blob,
    to_json,
)
from agent.hub.store.statements import POSTGRES, Statement, Transaction, insert_into

_HEADS = BulkLookup(
    # The ORDER BY makes SQLite use the index over paths. Without it, SQLite scans every file of the source.
    select(t.files).where(t.files.c.source == bindparam("s")).order_by(t.files.c.path),
    t.files.c.path,
)
_FILES = Statement(
    select(t.files)
    .where(
        t.files.c.source == bindparam("s"),
        t.files.c.path > bindparam("after"),
        t.files.c.hash.is_not(None),
        t.files.c.hidden == literal_column("0"),
    )
    .order_by(t.files.c.path)
    .limit(bindparam("n"))
)
_FILE_HASHES = Statement(
    select(t.files.c.path, t.files.c.hash)
    .where(
        t.files.c.source == bindparam("s"),
        t.files.c.path > bindparam("after"),
        t.files.c.hash.is_not(None),
        t.files.c.hidden == literal_column("0"),
    )
    .order_by(t.files.c.path)
    .limit(bindparam("n"))
)
_OUTCOMES = BulkLookup(select(t.operations).where(t.operations.c.source == bindparam("s")), t.operations.c.operation)
_PRIVATE = (t.events.c.source, t.events.c.identity, t.events.c.detail)
_FEED = [column for column in t.events.c if column not in _PRIVATE]
_EVENTS = Statement(
    select(*_FEED, t.files.c.path, t.files.c.hash.label("head"), t.contents.c.size)
    .select_from(
        t.events.outerjoin(
            t.files, (t.files.c.source == t.events.c.source) & (t.files.c.number == t.events.c.file)
        ).outerjoin(t.contents, content_of(t.events.c.hash))
    )
    .where(
        t.events.c.source == bindparam("s"),
        t.events.c.cursor > bindparam("after"),
        t.events.c.type < literal_column(str(t.HIDDEN_CODE)),
    )
    .order_by(t.events.c.cursor)
    .limit(bindparam("n"))
)
_VERSIONS_OF = (
    select(*(column for column in t.versions.c if column is not t.versions.c.source))
    .where(
        t.versions.c.source == bindparam("s"),
        t.versions.c.file == bindparam("f"),
        t.versions.c.hidden == literal_column("0"),
    )
    .order_by(t.versions.c.cursor.desc())
)
_VERSIONS, _NEWEST_VERSIONS = Statement(_VERSIONS_OF), Statement(_VERSIONS_OF.limit(bindparam("n")))
_CONNECTOR = Statement(
    select(t.connectors).where(t.connectors.c.workspace == bindparam("w"), t.connectors.c.id == bindparam("i"))
)
_ADD_CONNECTOR = Statement(insert_into(t.connectors))
_IS_SOURCE = (t.sources.c.workspace == bindparam("w"), t.sources.c.id == bindparam("i"), IS_THERE)
_ONE_SOURCE = select(t.sources).where(*_IS_SOURCE)
_SOURCE = Statement(_ONE_SOURCE)
_LOCKED_SOURCE = Statement(
    select(t.sources, t.workspaces.c.quota_bytes)
    .join(t.workspaces, t.workspaces.c.number == t.sources.c.workspace_number)
    .where(*_IS_SOURCE)
    .with_for_update(of=t.sources)
)
"""SQLite has no such clause, and one writer at a time anyway."""
_SOURCES = Statement(
    select(t.sources)
    .where(t.sources.c.workspace == bindparam("w"), IS_THERE)
    .order_by(t.sources.c.number.desc())
    .limit(bindparam("n"))
)
_NO_LIMIT: Final = 2**31 - 1
_CURSORS = BulkLookup(select(t.sources.c.id, t.sources.c.last_cursor), t.sources.c.id)
_ADD_SOURCE = Statement(insert_into(t.sources, "number"))
_SAVE_SOURCE = Statement(
    update(t.sources)
    .where(t.sources.c.number == bindparam("s"))
    .values(
        status=bindparam("new_status"), last_cursor=bindparam("new_cursor"), last_file=bindparam("new_file"),
        updated_at=bindparam("at"), last_folder=bindparam("new_folder"), folders_cursor=bindparam("new_folders"),
        stored_bytes=bindparam("new_stored"),
    )
)  # fmt: skip
_RENAME = Statement(
    update(t.sources)
    .where(t.sources.c.number == bindparam("s"))
    .values(name=bindparam("new"), updated_at=bindparam("at"))
)
_OPEN_CONFLICTS = (
    select(t.conflicts, t.files.c.path)
    .join(t.files, (t.files.c.source == t.conflicts.c.source) & (t.files.c.number == t.conflicts.c.file))
    .where(t.conflicts.c.source == bindparam("s"), t.conflicts.c.resolution.is_(None))
)
_CONFLICTS = Statement(_OPEN_CONFLICTS.order_by(t.conflicts.c.created_at.desc(), t.conflicts.c.id.desc()))
_CONFLICT = Statement(_OPEN_CONFLICTS.where(t.conflicts.c.id == bindparam("i")))
_CONFLICT_OF = Statement(
    _OPEN_CONFLICTS.where(t.conflicts.c.file == bindparam("f"), t.conflicts.c.connector == bindparam("c"))
)
_ADD_CONFLICT = Statement(insert_into(t.conflicts, "resolution", "resolved_at"))
_SAVE_CONFLICT = Statement(
    update(t.conflicts)
    .where(t.conflicts.c.id == bindparam("i"))
    .values(
        kind=bindparam("new_kind"), base=bindparam("new_base"), local_hash=bindparam("new_local"),
        remote_hash=bindparam("new_remote"),
    )
)  # fmt: skip
_CLOSE_CONFLICT = Statement(
    update(t.conflicts)
    .where(t.conflicts.c.id == bindparam("i"))
    .values(resolution=bindparam("new"), resolved_at=bindparam("at"))
)
_NOTIFY = Statement(select(func.pg_notify(bindparam("c"), bindparam("s"))))
CHANNEL = "raven_hub"
"""PostgreSQL channel on which commits are announced. The payload is the source's id."""


class SqlSession(MachineQueries, AccountSession):
    """`agent.hub.domain.ports.StoreSession` inside one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)
        self.transaction = transaction

    def ping(self) -> None:
        """Make one round trip to the database."""
        self._db.rows("SELECT 1")

    def connector(self, workspace: str, connector: str) -> Connector | None:
        row = _CONNECTOR.first(self._db, w=workspace, i=connector)
        return None if row is None else Connector(*row)

    def add_connector(self, connector: Connector) -> None:
        _ADD_CONNECTOR.run(
            self._db,
            id=connector.id,
            workspace=connector.workspace,
            created_by=connector.created_by,
            name=connector.name,
            platform=connector.platform,
            version=connector.version,
            heartbeat_at=connector.heartbeat_at,
            created_at=connector.created_at,
            updated_at=connector.updated_at,
        )

    def source(self, workspace: str, source: str) -> Source | None:
        row = _SOURCE.first(self._db, w=workspace, i=source)
        return None if row is None else source_of_row(row)

    def locked_source(self, workspace: str, source: str) -> Source | None:
        row = _LOCKED_SOURCE.first(self._db, w=workspace, i=source)
        return None if row is None else source_of_row(row)

    def sources(self, workspace: str, limit: int | None = None) -> list[Source]:
        return [source_of_row(row) for row in _SOURCES.rows(self._db, w=workspace, n=limit or _NO_LIMIT)]

    def add_source(self, source: Source) -> None:
        _ADD_SOURCE.run(
            self._db,
            id=source.id,
            workspace=source.workspace,
            created_by=source.created_by,
            name=source.name,
            mode=source.mode.value,
            connector=source.connector,
            status=source.status.value,
            includes=orjson.dumps(source.includes).decode(),
            excludes=orjson.dumps(source.excludes).decode(),
            last_cursor=source.last_cursor,
            last_file=source.last_file,
            created_at=source.created_at,
            updated_at=source.updated_at,
            last_folder=source.last_folder,
            folders_cursor=source.folders_cursor,
            workspace_number=self.workspace_number(source.workspace),
            stored_bytes=0,
        )

    def together(self) -> AbstractContextManager[object]:
        return self._db.together()

    def announce(self, source: str) -> None:
        # Delivered by PostgreSQL when this transaction commits. With SQLite there is no other hub to notify.
        if self._db.dialect == POSTGRES:
            _NOTIFY.run(self._db, c=CHANNEL, s=source)

    def newest_cursors(self, sources: Collection[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for some in batched(sources, MAX_PARAMETERS):
            found.update(map(tuple, _CURSORS.rows(self._db, some)))
        return found

    def save_source(self, source: Source) -> None:
        _SAVE_SOURCE.run(
            self._db,
            s=source.number,
            new_status=source.status.value,
            new_cursor=source.last_cursor,
            new_file=source.last_file,
            at=source.updated_at,
            new_folder=source.last_folder,
            new_folders=source.folders_cursor,
            new_stored=source.stored_bytes,
        )

    def rename_source(self, source: int, name: str, now: int) -> None:
        _RENAME.run(self._db, s=source, new=name, at=now)

    def heads(self, source: int, paths: Collection[str]) -> dict[str, Head]:
        rows = _HEADS.rows(self._db, paths, source) if paths else ()
        return {head.path: head for head in map(head_of, rows)}

    def files(self, source: int, after: str | None, limit: int) -> list[Head]:
        # No path is empty, so every path is behind the empty one.
        return [head_of(row) for row in _FILES.rows(self._db, s=source, after=after or "", n=limit)]

    def file_hashes(self, source: int, after: str | None, limit: int) -> list[tuple[str, str]]:
        rows = _FILE_HASHES.rows(self._db, s=source, after=after or "", n=limit)
        return [(path, hash_.hex()) for path, hash_ in rows]

    def add_files(self, source: int, heads: Iterable[Head]) -> None:
        rows = [(source, h.number, h.path, *head_values(h)) for h in heads]
        add_rows(self._db, t.files, rows)

    def save_files(self, source: int, heads: Iterable[Head]) -> None:
        rows = [(*head_values(h), source, h.number) for h in heads]
        save_rows(self._db, t.files, rows, kept=("path",))

    def versions(self, source: int, file: int, newest: int | None) -> list[FileVersion]:
        if newest is None:
            rows = _VERSIONS.rows(self._db, s=source, f=file)
        else:
            rows = _NEWEST_VERSIONS.rows(self._db, s=source, f=file, n=newest)
        return [
            FileVersion(file_, cursor, hash_.hex(), VersionOrigin(origin), recorded_at, identity, number)
            for file_, cursor, hash_, origin, recorded_at, identity, number, _ in reversed(rows)
        ]

    def add_versions(self, source: int, versions: Iterable[FileVersion]) -> None:
        rows = [
            (
                source, v.file, v.cursor, to_blob(v.hash), v.origin.value, v.recorded_at, v.identity, v.number,
                int(v.hidden),
            )
            for v in versions
        ]  # fmt: skip
        add_rows(self._db, t.versions, rows)

    def events(self, source: int, cursor: int, limit: int) -> list[Event]:
        rows = _EVENTS.rows(self._db, s=source, after=cursor, n=limit)
        return [
            Event(
                cursor=number,
                type=t.EVENT_TYPES[kind],
                file=file,
                path=path,
                hash=hex_hash(hash_),
                operation=operation,
                extra=orjson.loads(extra) if extra else {},
                created_at=created_at,
                size=size or 0,
                is_head=hash_ is not None and hash_ == head,
            )
            for number, kind, file, hash_, operation, extra, created_at, path, head, size in rows
        ]

    def add_events(self, source: int, events: Iterable[Event]) -> None:
        rows = [
            (
                source, e.cursor, t.EVENT_CODES[e.type] + (t.HIDDEN_CODE if e.hidden else 0), e.file, raw_hash(e.hash),
                e.operation, to_json(e.extra), e.created_at, e.identity, to_json(e.detail),
            )
            for e in events
        ]  # fmt: skip
        add_rows(self._db, t.events, rows)

    def outcomes(self, source: int, operations: Collection[str]) -> dict[str, RecordedOutcome]:
        rows = _OUTCOMES.rows(self._db, operations, source) if operations else ()
        return {
            operation: RecordedOutcome(operation, t.STATUSES[status], hex_hash(hash_), conflict, reason)
            for _, operation, status, hash_, conflict, reason in rows
        }

    def add_outcomes(self, source: int, outcomes: Iterable[RecordedOutcome]) -> None:
        rows = [
            (source, o.operation, t.STATUS_CODES[o.status], raw_hash(o.hash), o.conflict, o.reason) for o in outcomes
        ]
        add_rows(self._db, t.operations, rows)

    def open_conflicts(self, source: int) -> list[OpenConflict]:
        return [conflict_of_row(row) for row in _CONFLICTS.rows(self._db, s=source)]

    def find_open_conflict(self, source: int, conflict: str) -> OpenConflict | None:
        row = _CONFLICT.first(self._db, s=source, i=conflict)
        return None if row is None else conflict_of_row(row)

    def find_open_conflict_of(self, source: int, file: int, connector: str) -> OpenConflict | None:
        row = _CONFLICT_OF.first(self._db, s=source, f=file, c=connector)
        return None if row is None else conflict_of_row(row)

    def save_conflicts(self, source: int, conflicts: Iterable[OpenConflict]) -> None:
        for conflict in conflicts:
            kind, local, remote = conflict.kind.value, to_blob(conflict.local_hash), raw_hash(conflict.remote_hash)
            updated = _SAVE_CONFLICT.run(
                self._db, i=conflict.id, new_kind=kind, new_base=conflict.base, new_local=local, new_remote=remote
            )
            if updated == 0:
                _ADD_CONFLICT.run(
                    self._db,
                    id=conflict.id,
                    source=source,
                    file=conflict.file,
                    connector=conflict.connector,
                    kind=kind,
                    base=conflict.base,
                    local_hash=local,
                    remote_hash=remote,
                    created_at=conflict.created_at,
                )

    def close_conflicts(self, closings: Iterable[ConflictClosure]) -> None:
        for closing in closings:
            _CLOSE_CONFLICT.run(self._db, i=closing.id, new=closing.resolution.value, at=closing.resolved_at)
