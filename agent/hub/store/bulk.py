"""Bulk statements in the driver's own SQL.

performance island: an inserted row costs 3 to 5 microseconds of CPU instead of 9.7 (SQLite, 100 rows a call);
benchmark: "agents pushing 100-item batches" in tests/benchmarks/test_hub.py. Plain alternative: `insert`, `update` and
`select` of SQLAlchemy Core, which convert each value of each row in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import chain
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Table, bindparam, insert, update
from sqlalchemy.dialects import sqlite

from agent.hub.store.statements import SQLITE, Transaction, dialect_of

_VALUE: Final = "one_value"
_GROUPS: Final = (32, 16, 8, 4, 2, 1)
"""Rows a statement. A few sizes serve any number of rows, so that the database has each statement prepared."""


class OnDuplicate(Enum):
    """Treatment of a row whose key exists already."""

    REFUSED = "refused"
    LEFT_ALONE = "left alone"


def add_rows(
    db: Transaction, table: Table, rows: Sequence[tuple[Any, ...]], known: OnDuplicate = OnDuplicate.REFUSED
) -> int:
    """Insert rows, each a tuple with one value a column, in the table's order. Return how many were new."""
    added = start = 0
    for size in _GROUPS:
        end = len(rows) - (len(rows) - start) % size
        if start < end:
            groups = [tuple(chain.from_iterable(rows[at : at + size])) for at in range(start, end, size)]
            added += db.many(_insert_into(db.dialect, table, known, size), groups)
            start = end
    return added


def save_rows(db: Transaction, table: Table, rows: Sequence[tuple[Any, ...]], kept: tuple[str, ...]) -> None:
    """Update existing rows, each a tuple of the changing columns in the table's order, then the key columns.

    Args:
        kept: columns outside the key that are not changed.
    """
    if rows:
        db.many(_update_of(db.dialect, table, kept), rows)


@dataclass(frozen=True, slots=True, eq=False)
class BulkLookup:
    """Select of the rows that have one of many values in one column.

    Attributes:
        query: the rows, with all other conditions. Its parameters come before the values.
        column: the column of the values.
    """

    query: Select[Any]
    column: ColumnElement[Any]

    def rows(self, db: Transaction, values: Collection[Any], *others: Any) -> Sequence[Any]:
        """Return the rows in the driver's types.

        Args:
            values: at least one, and at most as many as the database allows parameters.
            others: the parameters of the query.
        """
        before, one, after = _lookup(db.dialect, self)
        places = ", ".join([one] * len(values))
        return db.rows(f"{before}{places}{after}", (*others, *values))


@cache
def _lookup(dialect: str, lookup: BulkLookup) -> tuple[str, str, str]:
    """Return the statement before its values, the placeholder of one value, and the statement behind them."""
    narrowed = lookup.query.where(lookup.column.in_([bindparam(_VALUE)]))
    compiled = narrowed.compile(dialect=dialect_of(dialect))
    before, _, rest = str(compiled).partition(" IN (")
    one, _, after = rest.partition(")")
    # The values are passed after all other parameters.
    assert compiled.positiontup is not None
    assert compiled.positiontup[-1] == _VALUE, compiled.positiontup
    return f"{before} IN (", one, f"){after}"


@cache
def _insert_into(dialect: str, table: Table, known: OnDuplicate, rows: int = 1) -> str:
    one = _insert_one(dialect, table, known)
    before, _, rest = one.partition(" VALUES (")
    values, _, after = rest.partition(")")
    return f"{before} VALUES {', '.join([f'({values})'] * rows)}{after}"


@cache
def _insert_one(dialect: str, table: Table, known: OnDuplicate) -> str:
    values: dict[str, Any] = {column.name: bindparam(column.name) for column in table.columns}
    if known is OnDuplicate.REFUSED:
        return _driver_sql(dialect, insert(table).values(values), tuple(values))
    # The SQL is the same in both databases, but SQLAlchemy has a construct for each.
    own = _insert_of(dialect)(table)
    return _driver_sql(dialect, own.values(values).on_conflict_do_nothing(), tuple(values))


def _insert_of(dialect: str) -> Callable[[Table], Any]:
    if dialect == SQLITE:
        return sqlite.insert
    from sqlalchemy.dialects import postgresql

    return postgresql.insert


@cache
def _update_of(dialect: str, table: Table, kept: tuple[str, ...]) -> str:
    key = [column for column in table.columns if column.primary_key]
    changing = [c.name for c in table.columns if not c.primary_key and c.name not in kept]
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in changing}
    where = [column == bindparam(f"key_{column.name}") for column in key]
    order = (*(f"new_{name}" for name in changing), *(f"key_{column.name}" for column in key))
    return _driver_sql(dialect, update(table).where(*where).values(values), order)


def _driver_sql(dialect: str, statement: Any, order: tuple[str, ...]) -> str:
    compiled = statement.compile(dialect=dialect_of(dialect))
    # The values are passed by position.
    assert tuple(compiled.positiontup) == order, (compiled.positiontup, order)
    return str(compiled)
