"""Removal of sources that were deleted some time ago, with the contents that nothing else names.

The row of a source stays: its machines still learn that it was deleted, and its id is not given out again.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import bindparam, delete, func, literal_column, select

from agent.hub.domain.model import SourceStatus
from agent.hub.domain.ports import Growth
from agent.hub.domain.retention import DAY_MS
from agent.hub.store import tables as t
from agent.hub.store.pruning import remove_contents
from agent.hub.store.sql_store import SqlStore
from agent.hub.store.statements import Statement, Transaction, is_value, removal
from agent.hub.store.workspaces import Workspace, WorkspaceRegistry

KEPT_DAYS: Final = 30
"""Days for which a deleted source is kept if no other number is asked for."""
SOME_ROWS: Final = 10_000
"""Cursors or paths whose rows are removed in one transaction."""

_IS_DELETED = t.sources.c.status == literal_column(f"'{SourceStatus.DELETED.value}'")
_DELETED = Statement(
    select(
        t.sources.c.number, t.sources.c.id, t.sources.c.name, t.sources.c.updated_at, t.sources.c.last_cursor,
        t.sources.c.last_file,
    )
    .where(is_value(t.sources.c.workspace_number, "w"), _IS_DELETED, t.sources.c.updated_at < bindparam("before"))
    # The rows of events go last. Without one, the source was purged, or was never used.
    .where(select(t.events.c.cursor).where(t.events.c.source == t.sources.c.number).exists())
    .order_by(t.sources.c.number)
)  # fmt: skip
_VERSIONS = Statement(select(func.count()).select_from(t.versions).where(is_value(t.versions.c.source, "s")))
_NUMBERS = Statement(select(t.sources.c.number).where(is_value(t.sources.c.workspace_number, "w")))
_NAMED = tuple(
    Statement(select(column).distinct().where(is_value(column.table.c.source, "s"), column.is_not(None)))
    for column in (t.versions.c.hash, t.files.c.hash, t.conflicts.c.local_hash, t.conflicts.c.remote_hash)
)
_OF_EVENTS = Statement(
    select(t.events.c.hash).distinct().where(is_value(t.events.c.source, "s"), t.events.c.hash.is_not(None))
)
_REFUSED = Statement(
    select(t.device_conflicts.c.metadata).where(
        is_value(t.device_conflicts.c.source, "s"), t.device_conflicts.c.metadata.is_not(None)
    )
)
_RESULTS = Statement(
    select(t.upload_sessions.c.result).where(
        is_value(t.upload_sessions.c.source, "s"), t.upload_sessions.c.result.is_not(None)
    )
)
_UPLOADS = Statement(
    select(t.upload_sessions.c.id, t.upload_sessions.c.result).where(is_value(t.upload_sessions.c.source, "s"))
)
# A row that names a file goes before the file.
_OF_SOURCE = tuple(
    removal(table, table.c.source)
    for table in (
        t.device_conflicts, t.conflicts, t.places, t.folders, t.operations, t.device_cursors, t.preferences,
        t.connector_positions,
    )
)  # fmt: skip


def _range(column: Any) -> Statement:
    table = column.table
    return Statement(
        delete(table).where(is_value(table.c.source, "s"), column > bindparam("after"), column <= bindparam("to"))
    )


_NO_VERSIONS, _NO_FILES, _NO_EVENTS = map(_range, (t.versions.c.file, t.files.c.number, t.events.c.cursor))


@dataclass(frozen=True, slots=True)
class DeletedSource:
    """A deleted source whose rows are still there.

    Attributes:
        deleted_at: milliseconds since the epoch.
        versions: texts and files of its history, the last ones included.
    """

    number: int
    id: str
    name: str
    workspace: Workspace
    deleted_at: int
    last_cursor: int
    last_file: int
    versions: int


@dataclass(frozen=True, slots=True)
class Purge:
    """Sources to remove, the number of contents that nothing else names, and their bytes before compression."""

    sources: Sequence[DeletedSource]
    contents: int
    bytes: int


def plan_purge(store: SqlStore, days: int, now: int) -> Purge:
    """Return what a purge would remove. Writes nothing.

    Args:
        days: days for which a deleted source is kept.
        now: milliseconds since the epoch.
    """
    found, contents, size = [], 0, 0
    for workspace in WorkspaceRegistry(store).all():
        sources = _deleted(store, workspace, now - days * DAY_MS)
        found += sources
        if sources:
            with store.read() as session:
                db = session.transaction
                gone = _only_named_by(db, workspace, {source.number for source in sources})
                sizes = session.content_sizes(workspace.number, [hash_.hex() for hash_ in gone])
            contents, size = contents + len(sizes), size + sum(sizes.values())
    return Purge(found, contents, size)


def purge(store: SqlStore, plan: Purge, now: int) -> Purge:
    """Remove the sources of a plan. Writers of other sources go on meanwhile. A repetition finishes a broken one.

    A content is judged again in the transaction that removes it: one that is named meanwhile stays.

    Raises:
        StoreUnavailable: the database is busy or lost. What was removed until then stays removed.
    """
    contents, size = 0, 0
    for source in plan.sources:
        with store.read() as session:
            named = _named_by(session.transaction, source.number, events=True)
        _remove_rows(store, source)
        some, freed = remove_contents(store, source.workspace, now, source.number, named)
        contents, size = contents + some, size + freed
        # They name the contents, so a purge that was interrupted before finds them again.
        for after in range(0, source.last_cursor, SOME_ROWS):
            with store.write(Growth.SMALL) as session:
                _NO_EVENTS.run(session.transaction, s=source.number, after=after, to=after + SOME_ROWS)
    return Purge(plan.sources, contents, size)


def _remove_rows(store: SqlStore, source: DeletedSource) -> None:
    with store.write(Growth.SMALL) as session:
        db = session.transaction
        uploads = [(str(id_), result) for id_, result in _UPLOADS.rows(db, s=source.number)]
        # The bytes of a complete upload belong to its content, which may have other names.
        session.drop_pieces([id_ for id_, result in uploads if result is None])
        session.remove_uploads([id_ for id_, _ in uploads])
        for statement in _OF_SOURCE:
            statement.run(db, source=source.number)
    for rows in (_NO_VERSIONS, _NO_FILES):
        for after in range(0, source.last_file, SOME_ROWS):
            with store.write(Growth.SMALL) as session:
                rows.run(session.transaction, s=source.number, after=after, to=after + SOME_ROWS)


def _deleted(store: SqlStore, workspace: Workspace, before: int) -> list[DeletedSource]:
    with store.read() as session:
        db = session.transaction
        return [
            DeletedSource(number, id_, name, workspace, at, cursor, file, int(_VERSIONS.rows(db, s=number)[0][0]))
            for number, id_, name, at, cursor, file in _DELETED.rows(db, w=workspace.number, before=before)
        ]


def _only_named_by(db: Transaction, workspace: Workspace, sources: Set[int]) -> set[bytes]:
    """Return the hashes of the contents that these sources name, and no other one of the workspace."""
    found = set[bytes]().union(*(_named_by(db, number, events=True) for number in sources))
    for (number,) in _NUMBERS.rows(db, w=workspace.number):
        if number not in sources:
            found -= _named_by(db, number, events=False)
    return found


def _named_by(db: Transaction, source: int, *, events: bool) -> set[bytes]:
    """Return the hashes of all contents that a source names; with `events` those of its events too."""
    found = {bytes(hash_) for statement in _NAMED for (hash_,) in statement.rows(db, s=source)}
    if events:
        found.update(bytes(hash_) for (hash_,) in _OF_EVENTS.rows(db, s=source))
    for (text,) in (*_RESULTS.rows(db, s=source), *_REFUSED.rows(db, s=source)):
        hash_ = orjson.loads(text).get("checksum_sha256")
        if hash_ is not None:
            found.add(bytes.fromhex(hash_))
    return found
