"""Removal of past versions that a workspace's retention does not keep, and of contents that nothing names any more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import bindparam, except_, select, update

from agent.hub.domain.model import Encoding, FileState
from agent.hub.domain.ports import Growth
from agent.hub.domain.retention import PastVersion, Retention, expired_versions
from agent.hub.store import tables as t
from agent.hub.store.bulk import BulkLookup
from agent.hub.store.rows import MAX_PARAMETERS, to_blob
from agent.hub.store.session import SqlSession
from agent.hub.store.sql_store import SqlStore
from agent.hub.store.statements import POSTGRES, Statement, Transaction, is_value, removal
from agent.hub.store.workspaces import Workspace

PAGE: Final = 500
"""Paths that are judged in one transaction, which locks their source only if it removes versions."""
SOME_CONTENTS: Final = 5000
"""Contents that are removed in one transaction."""
_SCAN_SECONDS: Final = 600
"""Time that PostgreSQL may take to find contents that nothing names."""

_SOURCES = Statement(
    select(t.sources.c.number, t.sources.c.id)
    .where(is_value(t.sources.c.workspace_number, "w"))
    .order_by(t.sources.c.number)
)
_PATHS = Statement(
    select(t.files.c.number, t.files.c.hash, t.files.c.synced_at)
    .where(is_value(t.files.c.source, "s"), t.files.c.number > bindparam("after"), t.files.c.number <= bindparam("to"))
    # An open conflict is merged over versions of its file.
    .where(t.files.c.state != FileState.CONFLICT.value)
    .order_by(t.files.c.number)
)
_VERSIONS = Statement(
    select(t.versions.c.file, t.versions.c.cursor, t.versions.c.recorded_at)
    .where(
        is_value(t.versions.c.source, "s"), t.versions.c.file > bindparam("after"), t.versions.c.file <= bindparam("to")
    )
    .order_by(t.versions.c.file, t.versions.c.cursor)
)
_NO_VERSION = removal(t.versions, t.versions.c.source, t.versions.c.file, t.versions.c.cursor)


def _named(column: Any) -> Any:
    table = column.table
    return (
        select(column)
        .join(t.sources, t.sources.c.number == table.c.source)
        .where(is_value(t.sources.c.workspace_number, "w"), column.is_not(None))
    )


# A text of a closed conflict is kept as long as a replaced version.
_IN_CONFLICT = t.conflicts.c.resolved_at.is_(None) | (t.conflicts.c.resolved_at >= bindparam("since"))
_UNNAMED = Statement(
    except_(
        select(t.contents.c.hash).where(is_value(t.contents.c.workspace, "w")),
        _named(t.versions.c.hash),
        _named(t.files.c.hash),
        _named(t.conflicts.c.local_hash).where(_IN_CONFLICT),
        _named(t.conflicts.c.remote_hash).where(_IN_CONFLICT),
    )
)
_RESULTS = Statement(
    select(t.upload_sessions.c.result)
    .join(t.sources, t.sources.c.number == t.upload_sessions.c.source)
    .where(is_value(t.sources.c.workspace_number, "w"), t.upload_sessions.c.result.is_not(None))
)
_REFUSED = Statement(
    select(t.device_conflicts.c.metadata)
    .join(t.sources, t.sources.c.number == t.device_conflicts.c.source)
    .where(is_value(t.sources.c.workspace_number, "w"), t.device_conflicts.c.metadata.is_not(None))
)
_TAKEN = BulkLookup(
    select(t.contents.c.hash, t.contents.c.size, t.contents.c.encoding, t.contents.c.data)
    .where(is_value(t.contents.c.workspace, "w"))
    # A content that a push holds is about to be named.
    .with_for_update(skip_locked=True),
    t.contents.c.hash,
)
_NO_CONTENT = removal(t.contents, t.contents.c.workspace, t.contents.c.hash)
_OWNED = Statement(
    select(t.contents.c.hash).where(is_value(t.contents.c.encoding, "e"), is_value(t.contents.c.data, "o"))
)
_FREED = Statement(
    update(t.sources)
    .where(is_value(t.sources.c.number, "s"))
    .values(stored_bytes=t.sources.c.stored_bytes - bindparam("freed"))
)


@dataclass(frozen=True, slots=True)
class Pruned:
    """Removed versions and contents, and the bytes of those contents before compression."""

    versions: int
    contents: int
    bytes: int


def prune(store: SqlStore, workspace: Workspace, now: int) -> Pruned:
    """Apply the retention of a workspace at a time in milliseconds. Writers go on meanwhile.

    Raises:
        StoreUnavailable: the database is busy or lost. What was removed until then stays removed.
    """
    if not workspace.retention.removes:
        return Pruned(0, 0, 0)
    with store.read() as session:
        sources = [(int(number), str(id_)) for number, id_ in _SOURCES.rows(session.transaction, w=workspace.number)]
    versions = sum(_prune_source(store, workspace, number, id_, now) for number, id_ in sources)
    contents, freed = remove_contents(store, workspace, now, sources[0][0]) if sources else (0, 0)
    return Pruned(versions, contents, freed)


def remove_contents(
    store: SqlStore, workspace: Workspace, now: int, source: int, among: Set[bytes] | None = None
) -> tuple[int, int]:
    """Remove the contents of a workspace that nothing names. Return their number and their bytes.

    Args:
        source: number of a source of the workspace, whose share of its use shrinks.
        among: raw hashes that may be removed, None for all.
    """
    contents, freed = 0, 0
    while True:
        some, size = _remove_some(store, workspace, now, among)
        contents, freed = contents + some, freed + size
        if some < SOME_CONTENTS:
            break
    if freed:
        # A transaction of its own: a push locks its source first and contents afterwards.
        with store.write(Growth.SMALL) as session:
            _FREED.run(session.transaction, s=source, freed=freed)
    return contents, freed


def _prune_source(store: SqlStore, workspace: Workspace, number: int, source: str, now: int) -> int:
    with store.read() as session:
        found = session.source(workspace.id, source)
    if found is None:
        return 0
    removed = 0
    for after in range(0, found.last_file, PAGE):
        with store.read() as session:
            if not _expired(session.transaction, number, after, workspace.retention, now):
                continue
        with store.write(Growth.SMALL) as session:
            # The lock: no version of this source is published, restored or moved while some are removed.
            if session.locked_source(workspace.id, source) is None:
                return removed
            for file, cursor in _expired(session.transaction, number, after, workspace.retention, now):
                removed += _NO_VERSION.run(session.transaction, source=number, file=file, cursor=cursor)
    return removed


def _expired(db: Transaction, source: int, after: int, rule: Retention, now: int) -> list[tuple[int, int]]:
    """Return (file, cursor) of the expired versions of the paths behind `after`, at most PAGE paths."""
    bounds = {"s": source, "after": after, "to": after + PAGE}
    versions: defaultdict[int, list[PastVersion]] = defaultdict(list)
    for file, cursor, recorded_at in _VERSIONS.rows(db, **bounds):
        versions[file].append(PastVersion(cursor, recorded_at))
    return [
        (file, cursor)
        for file, hash_, synced_at in _PATHS.rows(db, **bounds)
        for cursor in expired_versions(versions[file], rule, now, is_present=hash_ is not None, ended_at=synced_at)
    ]


def _remove_some(store: SqlStore, workspace: Workspace, now: int, among: Set[bytes] | None) -> tuple[int, int]:
    since = workspace.retention.kept_since(now)
    with store.write(Growth.SMALL) as session:
        db = session.transaction
        if db.dialect == POSTGRES:
            db.run(f"SET LOCAL statement_timeout = {_SCAN_SECONDS * 1000:d}")
        unnamed = [h for h in _unnamed(db, workspace.number, since) if among is None or h in among]
        taken = _taken(session, workspace.number, unnamed)
        if db.dialect == POSTGRES:
            # A push may have named one between the query and the lock. Here none can any more.
            still = set(_unnamed(db, workspace.number, since))
            taken = [row for row in taken if bytes(row[0]) in still]
        for hash_, _, _, _ in taken:
            _NO_CONTENT.run(db, workspace=workspace.number, hash=hash_)
        owners = {bytes(data) for _, _, encoding, data in taken if encoding == Encoding.BLOB and data}
        gone = [owner for owner in owners if not _OWNED.rows(db, e=int(Encoding.BLOB), o=owner)]
        session.drop_pieces([owner.decode() for owner in gone])
    return len(taken), sum(size for _, size, _, _ in taken)


def _unnamed(db: Transaction, workspace: int, since: int) -> list[bytes]:
    found = {bytes(hash_) for (hash_,) in _UNNAMED.rows(db, w=workspace, since=since)}
    # Uploads come last: a version made of one leaves its record in place.
    rows = [*_RESULTS.rows(db, w=workspace), *_REFUSED.rows(db, w=workspace)]
    named = {orjson.loads(text).get("checksum_sha256") for (text,) in rows}
    return sorted(hash_ for hash_ in found if hash_.hex() not in named)


def _taken(session: SqlSession, workspace: int, hashes: Sequence[bytes]) -> list[Sequence[Any]]:
    """Return the rows of at most SOME_CONTENTS contents, locked. Those that a push holds are left out."""
    some: Collection[bytes] = hashes[:SOME_CONTENTS]
    rows: list[Sequence[Any]] = []
    for start in range(0, len(some), MAX_PARAMETERS):
        rows += _TAKEN.rows(
            session.transaction, [to_blob(h.hex()) for h in list(some)[start : start + MAX_PARAMETERS]], workspace
        )
    return rows
