"""Statements of SQLAlchemy Core in the driver's own SQL, and the transactions that carry them out.

performance island: a statement costs a third of the CPU that SQLAlchemy's own execution needs; benchmark: "one source
read" in tests/benchmarks/test_hub.py. Plain alternative: `Connection.execute`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, Protocol

from sqlalchemy import ClauseElement, ColumnElement, Connection, Dialect, Insert, Table, bindparam, delete, insert
from sqlalchemy.dialects import sqlite

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


class PostgresTransaction:
    """A transaction on a connection of SQLAlchemy, which knows when the server closed it."""

    dialect = POSTGRES

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        """As in `Transaction`."""
        return self._connection.exec_driver_sql(sql, tuple(values) or None).all()

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """As in `Transaction`."""
        return self._connection.exec_driver_sql(sql, tuple(values) or None).rowcount

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """As in `Transaction`."""
        return self._connection.exec_driver_sql(sql, [tuple(row) for row in rows]).rowcount


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
