"""One transaction on the hub's tables, in SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import orjson
from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from agent.core.model import Mode
from agent.hub.domain.compression import CompressedContent, unpack
from agent.hub.domain.model import (
    ConflictClosure,
    Connector,
    Event,
    FileState,
    Head,
    HubConflictKind,
    OpenConflict,
    RecordedOutcome,
    Source,
    SourceStatus,
    Version,
    VersionOrigin,
)
from agent.hub.store import tables as t
from agent.hub.store.bulk import BulkLookup, OnDuplicate, add_rows, save_rows

# Statements are built once, so that SQLAlchemy's compile cache finds them by identity.
_HEADS = BulkLookup(
    # The ORDER BY makes SQLite use the index over paths. Without it, SQLite scans every file of the source.
    select(t.files).where(t.files.c.source == bindparam("s")).order_by(t.files.c.path),
    t.files.c.path,
)
_FILES = (
    select(t.files)
    .where(t.files.c.source == bindparam("s"), t.files.c.path > bindparam("after"), t.files.c.hash.is_not(None))
    .order_by(t.files.c.path)
    .limit(bindparam("n"))
)
_OUTCOMES = BulkLookup(select(t.operations).where(t.operations.c.source == bindparam("s")), t.operations.c.operation)
_CONTENTS = BulkLookup(select(t.contents.c.hash, t.contents.c.encoding, t.contents.c.data), t.contents.c.hash)
_SIZES = BulkLookup(select(t.contents.c.hash, t.contents.c.size), t.contents.c.hash)
_FEED = [column for column in t.events.c if column is not t.events.c.source]
_EVENTS = (
    select(*_FEED, t.files.c.path, t.files.c.hash.label("head"), t.contents.c.size)
    .select_from(
        t.events.outerjoin(
            t.files, (t.files.c.source == t.events.c.source) & (t.files.c.number == t.events.c.file)
        ).outerjoin(t.contents, t.contents.c.hash == t.events.c.hash)
    )
    .where(t.events.c.source == bindparam("s"), t.events.c.cursor > bindparam("after"))
    .order_by(t.events.c.cursor)
    .limit(bindparam("n"))
)
_CONNECTOR = select(t.connectors).where(t.connectors.c.workspace == bindparam("w"), t.connectors.c.id == bindparam("i"))
_SOURCE = select(t.sources).where(t.sources.c.workspace == bindparam("w"), t.sources.c.id == bindparam("i"))
_LOCKED_SOURCE = _SOURCE.with_for_update()  # no such clause in SQLite, which has one writer at a time anyway
_CONFLICTS = (
    select(t.conflicts, t.files.c.path)
    .join(t.files, (t.files.c.source == t.conflicts.c.source) & (t.files.c.number == t.conflicts.c.file))
    .where(t.conflicts.c.source == bindparam("s"), t.conflicts.c.resolution.is_(None))
)
_NOTIFY = select(func.pg_notify(bindparam("c"), bindparam("s")))
CHANNEL = "raven_hub"
"""PostgreSQL channel on which commits are announced. The payload is the source's id."""
MAX_PARAMETERS = 1000


def batched(values: Iterable[str], size: int) -> Iterator[list[str]]:
    """Split the values into lists of at most `size`."""
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some


_blob = bytearray.fromhex
"""Convert a hash for the driver. sqlite3 looks for an adapter for every `bytes`, but not for `bytearray`."""


def _raw(hash_: str | None) -> bytearray | None:
    return None if hash_ is None else _blob(hash_)


def _hex(raw: bytes | None) -> str | None:
    return None if raw is None else raw.hex()


def _head(row: Row[Any]) -> Head:
    return Head(row.number, row.path, _hex(row.hash), row.content_type, FileState(row.state), row.synced_at)


def _source(row: Row[Any]) -> Source:
    return Source(
        number=row.number,
        id=row.id,
        workspace=row.workspace,
        created_by=row.created_by,
        name=row.name,
        mode=Mode(row.mode),
        connector=row.connector,
        status=SourceStatus(row.status),
        includes=tuple(orjson.loads(row.includes)),
        excludes=tuple(orjson.loads(row.excludes)),
        last_cursor=row.last_cursor,
        last_file=row.last_file,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _conflict(row: Row[Any]) -> OpenConflict:
    return OpenConflict(
        id=row.id,
        file=row.file,
        path=row.path,
        connector=row.connector,
        kind=HubConflictKind(row.kind),
        base=row.base,
        local_hash=row.local_hash.hex(),
        remote_hash=_hex(row.remote_hash),
        created_at=row.created_at,
    )


class SqlSession:
    """`agent.hub.domain.ports.StoreSession` on one SQLAlchemy connection, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection
        self.connection = connection

    def ping(self) -> None:
        """Make one round trip to the database."""
        self._db.exec_driver_sql("SELECT 1")

    def connector(self, workspace: str, connector: str) -> Connector | None:
        row = self._db.execute(_CONNECTOR, {"w": workspace, "i": connector}).first()
        return None if row is None else Connector(*row)

    def add_connector(self, connector: Connector) -> None:
        self._db.execute(
            insert(t.connectors),
            {
                "id": connector.id,
                "workspace": connector.workspace,
                "created_by": connector.created_by,
                "name": connector.name,
                "platform": connector.platform,
                "version": connector.version,
                "heartbeat_at": connector.heartbeat_at,
                "created_at": connector.created_at,
                "updated_at": connector.updated_at,
            },
        )

    def touch_heartbeat(self, connector: str, at: int) -> None:
        self._db.execute(
            update(t.connectors).where(t.connectors.c.id == connector).values(heartbeat_at=at, updated_at=at)
        )

    def source(self, workspace: str, source: str) -> Source | None:
        row = self._db.execute(_SOURCE, {"w": workspace, "i": source}).first()
        return None if row is None else _source(row)

    def locked_source(self, workspace: str, source: str) -> Source | None:
        row = self._db.execute(_LOCKED_SOURCE, {"w": workspace, "i": source}).first()
        return None if row is None else _source(row)

    def sources(self, workspace: str) -> list[Source]:
        c = t.sources.c
        return [
            _source(row)
            for row in self._db.execute(select(t.sources).where(c.workspace == workspace).order_by(c.number.desc()))
        ]

    def add_source(self, source: Source) -> None:
        self._db.execute(
            insert(t.sources),
            {
                "id": source.id,
                "workspace": source.workspace,
                "created_by": source.created_by,
                "name": source.name,
                "mode": source.mode.value,
                "connector": source.connector,
                "status": source.status.value,
                "includes": orjson.dumps(source.includes).decode(),
                "excludes": orjson.dumps(source.excludes).decode(),
                "last_cursor": source.last_cursor,
                "last_file": source.last_file,
                "created_at": source.created_at,
                "updated_at": source.updated_at,
            },
        )

    def announce(self, source: str) -> None:
        # Delivered by PostgreSQL when this transaction commits. With SQLite there is no other hub to notify.
        if self._db.dialect.name == "postgresql":
            self._db.execute(_NOTIFY, {"c": CHANNEL, "s": source})

    def newest_cursors(self, sources: Collection[str]) -> dict[str, int]:
        c = t.sources.c
        found: dict[str, int] = {}
        for some in batched(sources, MAX_PARAMETERS):
            rows = self._db.execute(select(c.id, c.last_cursor).where(c.id.in_(some)))
            found.update({row.id: row.last_cursor for row in rows})
        return found

    def save_source(self, source: Source) -> None:
        self._db.execute(
            update(t.sources)
            .where(t.sources.c.number == source.number)
            .values(
                status=source.status.value,
                last_cursor=source.last_cursor,
                last_file=source.last_file,
                updated_at=source.updated_at,
            )
        )

    def heads(self, source: int, paths: Collection[str]) -> dict[str, Head]:
        rows = _HEADS.rows(self._db, paths, source) if paths else ()
        return {row.path: _head(row) for row in rows}

    def files(self, source: int, after: str | None, limit: int) -> list[Head]:
        # No path is empty, so every path is behind the empty one.
        return [_head(row) for row in self._db.execute(_FILES, {"s": source, "after": after or "", "n": limit}).all()]

    def add_files(self, source: int, heads: Iterable[Head]) -> None:
        rows = [(source, h.number, h.path, _raw(h.hash), h.content_type, h.state.value, h.synced_at) for h in heads]
        add_rows(self._db, t.files, rows)

    def save_files(self, source: int, heads: Iterable[Head]) -> None:
        rows = [(_raw(h.hash), h.content_type, h.state.value, h.synced_at, source, h.number) for h in heads]
        save_rows(self._db, t.files, rows, kept=("path",))

    def versions(self, source: int, file: int, newest: int | None) -> list[Version]:
        c = t.versions.c
        query = select(t.versions).where(c.source == source, c.file == file).order_by(c.cursor.desc()).limit(newest)
        found = [
            Version(row.file, row.cursor, row.hash.hex(), VersionOrigin(row.origin), row.recorded_at)
            for row in self._db.execute(query)
        ]
        return found[::-1]

    def add_versions(self, source: int, versions: Iterable[Version]) -> None:
        rows = [(source, v.file, v.cursor, _blob(v.hash), v.origin.value, v.recorded_at) for v in versions]
        add_rows(self._db, t.versions, rows)

    def contents(self, hashes: Collection[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        # Databases limit the number of parameters, and a history has no limit.
        for some in batched(hashes, MAX_PARAMETERS):
            rows = _CONTENTS.rows(self._db, [_blob(h) for h in some])
            found.update({hash_.hex(): unpack(encoding, data).decode() for hash_, encoding, data in rows})
        return found

    def content_sizes(self, hashes: Collection[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for some in batched(hashes, MAX_PARAMETERS):
            found.update({hash_.hex(): size for hash_, size in _SIZES.rows(self._db, [_blob(h) for h in some])})
        return found

    def add_contents(self, contents: Mapping[str, CompressedContent]) -> None:
        # Sorted, so that two transactions that add the same texts lock them in one order and cannot deadlock.
        rows = [(_blob(h), text.size, int(text.encoding), text.data) for h, text in sorted(contents.items())]
        add_rows(self._db, t.contents, rows, OnDuplicate.LEFT_ALONE)

    def events(self, source: int, cursor: int, limit: int) -> list[Event]:
        rows = self._db.execute(_EVENTS, {"s": source, "after": cursor, "n": limit}).all()
        return [
            Event(
                cursor=number,
                type=t.EVENT_TYPES[kind],
                file=file,
                path=path,
                hash=_hex(hash_),
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
                source, e.cursor, t.EVENT_CODES[e.type], e.file, _raw(e.hash), e.operation,
                orjson.dumps(e.extra).decode() if e.extra else None, e.created_at,
            )
            for e in events
        ]  # fmt: skip
        add_rows(self._db, t.events, rows)

    def outcomes(self, source: int, operations: Collection[str]) -> dict[str, RecordedOutcome]:
        rows = _OUTCOMES.rows(self._db, operations, source) if operations else ()
        return {
            row.operation: RecordedOutcome(
                row.operation, t.STATUSES[row.status], _hex(row.hash), row.conflict, row.reason
            )
            for row in rows
        }

    def add_outcomes(self, source: int, outcomes: Iterable[RecordedOutcome]) -> None:
        rows = [(source, o.operation, t.STATUS_CODES[o.status], _raw(o.hash), o.conflict, o.reason) for o in outcomes]
        add_rows(self._db, t.operations, rows)

    def open_conflicts(self, source: int) -> list[OpenConflict]:
        newest_first = _CONFLICTS.order_by(t.conflicts.c.created_at.desc(), t.conflicts.c.id.desc())
        return [_conflict(row) for row in self._db.execute(newest_first, {"s": source})]

    def find_open_conflict(self, source: int, conflict: str) -> OpenConflict | None:
        row = self._db.execute(_CONFLICTS.where(t.conflicts.c.id == conflict), {"s": source}).first()
        return None if row is None else _conflict(row)

    def find_open_conflict_of(self, source: int, file: int, connector: str) -> OpenConflict | None:
        c = t.conflicts.c
        row = self._db.execute(_CONFLICTS.where(c.file == file, c.connector == connector), {"s": source}).first()
        return None if row is None else _conflict(row)

    def save_conflicts(self, source: int, conflicts: Iterable[OpenConflict]) -> None:
        for conflict in conflicts:
            values: dict[str, Any] = {
                "kind": conflict.kind.value,
                "base": conflict.base,
                "local_hash": _blob(conflict.local_hash),
                "remote_hash": _raw(conflict.remote_hash),
            }
            updated = self._db.execute(update(t.conflicts).where(t.conflicts.c.id == conflict.id).values(values))
            if updated.rowcount == 0:
                values |= {
                    "id": conflict.id,
                    "source": source,
                    "file": conflict.file,
                    "connector": conflict.connector,
                    "created_at": conflict.created_at,
                }
                self._db.execute(insert(t.conflicts), values)

    def close_conflicts(self, closings: Iterable[ConflictClosure]) -> None:
        for closing in closings:
            self._db.execute(
                update(t.conflicts)
                .where(t.conflicts.c.id == closing.id)
                .values(resolution=closing.resolution.value, resolved_at=closing.resolved_at)
            )
