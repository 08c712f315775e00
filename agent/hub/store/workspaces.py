"""The workspaces of the hub's database: their use, their quota and their retention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, func, select, update

from agent.hub.domain.ports import Growth
from agent.hub.domain.retention import DAY_MS, Retention
from agent.hub.store import tables as t
from agent.hub.store.migrations import StoreError
from agent.hub.store.sql_store import SqlStore
from agent.hub.store.statements import Statement, is_value

PRUNE_EVERY_MS: Final = DAY_MS
"""Milliseconds between two applications of the retention of a workspace."""

_COLUMNS = (
    t.workspaces.c.number,
    t.workspaces.c.id,
    t.workspaces.c.quota_bytes,
    t.workspaces.c.keep_versions,
    t.workspaces.c.keep_days,
)
_ALL = Statement(
    select(*_COLUMNS, func.count(t.sources.c.number), func.coalesce(func.sum(t.sources.c.stored_bytes), 0))
    .select_from(t.workspaces.outerjoin(t.sources, t.sources.c.workspace_number == t.workspaces.c.number))
    .group_by(*_COLUMNS)
    .order_by(t.workspaces.c.id)
)
_LIMIT = Statement(
    update(t.workspaces)
    .where(is_value(t.workspaces.c.id, "i"))
    .values(quota_bytes=bindparam("quota"), keep_versions=bindparam("versions"), keep_days=bindparam("days"))
)
_CLAIM = Statement(
    update(t.workspaces)
    .where(
        is_value(t.workspaces.c.number, "w"),
        t.workspaces.c.pruned_at.is_(None) | (t.workspaces.c.pruned_at < bindparam("before")),
    )
    .values(pruned_at=bindparam("at"))
)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace with its limits and its use.

    Attributes:
        quota: most bytes of contents, before compression. None: no limit.
        sources: number of its sources.
        used: bytes of its contents, before compression.
    """

    number: int
    id: str
    quota: int | None
    retention: Retention
    sources: int
    used: int


class WorkspaceRegistry:
    """Workspaces in the hub's database."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def all(self) -> list[Workspace]:
        """Return every workspace, by id."""
        with self._store.read() as session:
            return [
                Workspace(number, id_, quota, Retention(versions, days), sources, int(used))
                for number, id_, quota, versions, days, sources, used in _ALL.rows(session.transaction)
            ]

    def one(self, workspace: str) -> Workspace:
        """Return one workspace.

        Raises:
            StoreError: there is none with this id.
        """
        found = next((each for each in self.all() if each.id == workspace), None)
        if found is None:
            raise StoreError(f"no workspace {workspace!r}: hub workspaces lists those that have a source.")
        return found

    def limit(self, workspace: str, quota: int | None, retention: Retention) -> Workspace:
        """Set the quota and the retention of a workspace. Nothing is removed yet.

        Raises:
            StoreError: there is none with this id.
        """
        self.one(workspace)
        with self._store.write(Growth.SMALL) as session:
            _LIMIT.run(session.transaction, i=workspace, quota=quota, versions=retention.versions, days=retention.days)
        return self.one(workspace)

    def claim(self, now: int) -> list[Workspace]:
        """Return the workspaces whose retention is due, for this process alone: no other one gets them today."""
        due = [workspace for workspace in self.all() if workspace.retention.removes]
        if not due:
            # An idle hub writes nothing.
            return []
        with self._store.write(Growth.SMALL) as session:
            return [
                workspace
                for workspace in due
                if _CLAIM.run(session.transaction, w=workspace.number, before=now - PRUNE_EVERY_MS, at=now)
            ]
