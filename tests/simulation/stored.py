"""What an index holds, read again only after a statement has written to the table."""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from agent.core.conflict import Conflict
from agent.index.operations import OperationState
from agent.index.store import Index

_UNKNOWN = (OperationState.STORED, OperationState.UNSETTLED)
_READING = frozenset({"SELECT", "BEGIN ", "COMMIT", "ROLLBA", "PRAGMA"})
_WRITING = re.compile(r"\s*(?:INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM)\s+(\w+)")
_COUNTED = ("INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT")
"""Beginnings of statements whose every change SQLite counts."""
_HARMLESS = re.compile(r"\s*(?:CREATE TEMP|DROP TABLE)|--")
_ALL: Final = "every table"


class FollowedConnection(sqlite3.Connection):
    """A connection that reports each of its statements: the driver's trace writes out the values of each one as well.

    Attributes:
        follow: called with the text of a statement that may have changed something. One that changed no row of any
            table is left out.
    """

    follow: Callable[[str], None] | None = None

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """As in ``sqlite3.Connection``."""
        if self.follow is None or sql[:6] == "SELECT":
            return super().execute(sql, *values)
        before = self.total_changes
        try:
            return super().execute(sql, *values)
        finally:
            if self.total_changes != before or not sql.startswith(_COUNTED):
                self.follow(sql)

    def executemany(self, sql: str, *rows: Any) -> sqlite3.Cursor:
        """As in ``sqlite3.Connection``."""
        before = self.total_changes
        try:
            return super().executemany(sql, *rows)
        finally:
            if self.follow is not None and self.total_changes != before:
                self.follow(sql)

    def rollback(self) -> None:
        """As in ``sqlite3.Connection``."""
        if self.follow is not None:
            self.follow("ROLLBACK")
        super().rollback()


@functools.lru_cache(maxsize=10_000)
def _written_by(statement: str) -> str | None:
    """The table that a statement writes to; None if it writes to none."""
    if statement[:6] in _READING:
        return _ALL if statement[:6] == "ROLLBA" else None
    found = _WRITING.match(statement)
    if found is not None:
        return found[1]
    return None if _HARMLESS.match(statement) else _ALL


CheckTable = Callable[[Index, int, str], None]
"""Takes the index, the source and the name of a table. Raises if what the table holds cannot be."""


class Stored:
    """The tables of one index. No other connection writes to it.

    Args:
        check: called with each table that is read, so after each write and before anybody sees it.
    """

    def __init__(self, index: Index, source: int, check: CheckTable | None = None) -> None:
        self._index = index
        self._source = source
        self._check = check
        self._tables: dict[str, Mapping[str, Any]] = {}
        if isinstance(index.connection, FollowedConnection):
            index.connection.follow = self._note
        else:
            index.connection.set_trace_callback(self._note)

    def _note(self, statement: str) -> None:
        table = _written_by(statement)
        if table is _ALL:
            self._tables.clear()
        elif table is not None:
            self._tables.pop(table, None)

    def table(self, name: str) -> Mapping[str, Any]:
        """Return what a table holds, in the forms of ``READERS``. Nobody may change it."""
        found = self._tables.get(name)
        if found is None:
            if self._check is not None:
                self._check(self._index, self._source, name)
            found = self._tables[name] = READERS[name](self._index, self._source)
        return found


def _operations(index: Index, source: int) -> dict[str, Any]:
    by_path: dict[str, list[object]] = {}
    unanswered = set()
    for entry in index.operations.open(source):
        by_path.setdefault(entry.operation.path, []).append(entry)
        if entry.state in _UNKNOWN:
            unanswered.add(entry.operation.path)
    return {"open_operations": by_path, "unanswered": unanswered}


def _conflicts(index: Index, source: int) -> dict[str, Any]:
    live = index.conflicts.live(source)
    return {
        "live": live,
        "parked": {conflict.path: conflict for conflict in live if conflict.parks},
        "waiting": by_id(c for c in live if c.is_waiting),
        "foreign": by_id(c for c in live if not c.mine and not c.is_waiting),
    }


def _problems(index: Index, source: int) -> dict[str, Any]:
    # ``since`` of a stored problem is that of the first time; the mirror has that of the last one.
    found = index.problems.all(source)
    return {"all": found, "problems": {(p.path, p.origin): (p.reason, p.text, p.retry_at, p.raw) for p in found}}


READERS: Mapping[str, Callable[[Index, int], dict[str, Any]]] = MappingProxyType(
    {
        "sources": lambda index, source: {"source_row": index.sources.get(source)},
        "approved": lambda index, source: {"approved": index.approvals.all(source)},
        "undone_deletes": lambda index, source: {"undone": index.undone_deletes.all(source)},
        "conflicts": _conflicts,
        "operations": _operations,
        "problems": _problems,
        "files": lambda index, source: {
            "totals": index.trees.totals(source), "steps in use": frozenset(index.trees.work(source))
        },
        "intents": lambda index, source: {"journal": {intent.id for intent in index.journal.all(source)}},
    }
)  # fmt: skip
"""By table: what it holds, as the engine's mirrors should have it."""


def by_id(conflicts: Iterable[Conflict]) -> dict[int, Conflict]:
    """Conflicts by their ids."""
    return {conflict.id: conflict for conflict in conflicts}
