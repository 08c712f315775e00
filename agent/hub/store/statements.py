"""Statements of SQLAlchemy Core in the driver's own SQL, and the transactions that carry them out.

performance island: a statement costs a third of the CPU that SQLAlchemy's own execution needs; benchmark: "one source
read" in tests/benchmarks/test_hub.py. Plain alternative: `Connection.execute`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import ClauseElement, ColumnElement, Dialect, Insert, Table, bindparam, delete, insert
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    import psycopg

SQLITE: Final = "sqlite"
POSTGRES: Final = "postgresql"


@cache
def dialect_of(name: str) -> Dialect:
    """Return SQLAlchemy's dialect for `SQLITE` or `POSTGRES`."""
    if name == SQLITE:
        return sqlite.dialect(paramstyle="qmark")
    # Imported here: it is a seventh of all imports of a hub, and most hubs need SQLite only.
    from sqlalchemy.dialects.postgresql import psycopg

    return psycopg.dialect(paramstyle="format")  # type: ignore[no-untyped-call]


class Transaction(Protocol):
    """An open transaction of a driver. Values are passed by position.

    Attributes:
        dialect: `SQLITE` or `POSTGRES`.
    """

    dialect: str

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        """Run a query and return all its rows."""

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement without rows; returns the number of rows it changed."""

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """Run a statement once for each row of values; returns the number of rows that all of them changed."""

    def together(self) -> AbstractContextManager[object]:
        """Open a block whose statements need no answer of their own, so that the driver waits once for all of them.

        Only for statements without rows. The numbers that they return mean nothing, and their errors are raised at the
        latest at the end of the block.
        """


class SqliteTransaction:
    """A transaction on a connection of `sqlite3`."""

    dialect = SQLITE

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        """As in `Transaction`."""
        return self._connection.execute(sql, values).fetchall()

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """As in `Transaction`."""
        return self._connection.execute(sql, values).rowcount

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """As in `Transaction`."""
        return self._connection.executemany(sql, rows).rowcount

    def together(self) -> AbstractContextManager[object]:
        """As in `Transaction`."""
        return nullcontext()


class PostgresTransaction:
    """A transaction on a connection of psycopg."""

    dialect = POSTGRES

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        # One for all statements: to make one costs a fifth of what a statement costs.
        self._cursor = connection.cursor()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        """As in `Transaction`."""
        return self._execute(sql, values).fetchall()

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """As in `Transaction`."""
        return self._execute(sql, values).rowcount

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """As in `Transaction`."""
        if len(rows) == 1:
            return self.run(sql, rows[0])
        self._cursor.executemany(sql, rows)
        return self._cursor.rowcount

    def together(self) -> AbstractContextManager[object]:
        """As in `Transaction`."""
        return self._connection.pipeline()

    def _execute(self, sql: str, values: Sequence[Any]) -> psycopg.Cursor[Any]:
        return self._cursor.execute(sql, values or None)


class Statement:
    """A statement of SQLAlchemy Core. It is compiled on its first use with each database."""

    def __init__(self, built: ClauseElement) -> None:
        self._built = built
        self._compiled: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {}

    def rows(self, db: Transaction, **values: Any) -> Sequence[Sequence[Any]]:
        """Return the rows of a query in the driver's types, for these values of its parameters."""
        sql, names, fixed = self._compiled.get(db.dialect) or self._compile(db.dialect)
        values |= fixed
        return db.rows(sql, [values[name] for name in names])

    def first(self, db: Transaction, **values: Any) -> Sequence[Any] | None:
        """Return the first row of a query, or None if it has none."""
        rows = self.rows(db, **values)
        return rows[0] if rows else None

    def run(self, db: Transaction, **values: Any) -> int:
        """Run a statement without rows; returns the number of rows it changed."""
        sql, names, fixed = self._compiled.get(db.dialect) or self._compile(db.dialect)
        values |= fixed
        return db.run(sql, [values[name] for name in names])

    def many(self, db: Transaction, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run a statement without results once for each row of values; returns the number of rows all changed."""
        sql, names, fixed = self._compiled.get(db.dialect) or self._compile(db.dialect)
        return db.many(sql, [[{**row, **fixed}[name] for name in names] for row in rows]) if rows else 0

    def _compile(self, dialect: str) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        """Return the SQL, the names of its parameters in their order, and those with a value of their own."""
        compiled: Any = self._built.compile(dialect=dialect_of(dialect))
        # SQLite's LIMIT comes with an OFFSET of 0 as a parameter.
        fixed = {name: value for name, value in compiled.params.items() if value is not None}
        found = self._compiled[dialect] = str(compiled), tuple(compiled.positiontup or ()), fixed
        return found


def insert_into(table: Table, *omitted: str) -> Insert:
    """Return the insert of one row, with one parameter a column but the omitted ones."""
    names = [column.name for column in table.columns if column.name not in omitted]
    return insert(table).values({name: bindparam(name) for name in names}).inline()


def is_value(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return the condition that a column has the value of a parameter."""
    return column == bindparam(name)


def removal(table: Table, *columns: ColumnElement[Any]) -> Statement:
    """Return the deletion of the rows with given values in these columns. Its parameters have the columns' names."""
    return Statement(delete(table).where(*[is_value(column, str(column.key)) for column in columns]))
