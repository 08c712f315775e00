"""Many rows in one go, in the words of the driver: a row then costs what its values cost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import chain
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Dialect, Select, Table, bindparam, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg

_DIALECTS: Final[dict[str, Dialect]] = {
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "postgresql": psycopg.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
}


_VALUE: Final = "one_value"
_GROUP: Final = 20
"""Rows a statement: beginning and ending one costs the driver a quarter of what a row does."""


class OnDuplicate(Enum):
    """What becomes of a row whose key is there already."""

    REFUSED = "refused"
    LEFT_ALONE = "left alone"


def add_rows(
    db: Connection, table: Table, rows: Sequence[tuple[Any, ...]], known: OnDuplicate = OnDuplicate.REFUSED
) -> None:
    """Add rows, each with a value for every column, in the table's order."""
    # Two statements a table, however many rows come: the database has both prepared.
    grouped = len(rows) - len(rows) % _GROUP
    if grouped:
        groups = [tuple(chain.from_iterable(rows[start : start + _GROUP])) for start in range(0, grouped, _GROUP)]
        db.exec_driver_sql(_insert_into(db.dialect.name, table, known, _GROUP), groups)
    if grouped < len(rows):
        db.exec_driver_sql(_insert_into(db.dialect.name, table, known), list(rows[grouped:]))


def save_rows(db: Connection, table: Table, rows: Sequence[tuple[Any, ...]], kept: tuple[str, ...]) -> None:
    """Change rows that are there. Each holds the columns that change in the table's order, then those of the key.

    Args:
        kept: columns beside the key that stay as they are.
    """
    if rows:
        db.exec_driver_sql(_update_of(db.dialect.name, table, kept), list(rows))


@dataclass(frozen=True, slots=True, eq=False)
class BulkLookup:
    """Rows by many values of one column.

    Attributes:
        query: all rows, narrowed by whatever else has to hold; its parameters come before the values.
        column: what the values are of.
    """

    query: Select[Any]
    column: ColumnElement[Any]

    def rows(self, db: Connection, values: Collection[Any], *others: Any) -> Sequence[Any]:
        """The rows, as the driver tells them.

        Args:
            values: at least one, and not more than the database takes parameters.
            others: the parameters of the query.
        """
        before, one, after = _lookup(db.dialect.name, self)
        places = ", ".join([one] * len(values))
        return db.exec_driver_sql(f"{before}{places}{after}", (*others, *values)).all()


@cache
def _lookup(dialect: str, lookup: BulkLookup) -> tuple[str, str, str]:
    """The statement before its values, what stands for one of them, and the statement behind them."""
    narrowed = lookup.query.where(lookup.column.in_([bindparam(_VALUE)]))
    compiled = narrowed.compile(dialect=_DIALECTS[dialect])
    before, _, rest = str(compiled).partition(" IN (")
    one, _, after = rest.partition(")")
    # The values are handed over behind all others.
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
    # Both databases say it alike, SQLAlchemy has a construct for each.
    own = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    return _driver_sql(dialect, own.values(values).on_conflict_do_nothing(), tuple(values))


@cache
def _update_of(dialect: str, table: Table, kept: tuple[str, ...]) -> str:
    key = [column for column in table.columns if column.primary_key]
    changing = [c.name for c in table.columns if not c.primary_key and c.name not in kept]
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in changing}
    where = [column == bindparam(f"key_{column.name}") for column in key]
    order = (*(f"new_{name}" for name in changing), *(f"key_{column.name}" for column in key))
    return _driver_sql(dialect, update(table).where(*where).values(values), order)


def _driver_sql(dialect: str, statement: Any, order: tuple[str, ...]) -> str:
    compiled = statement.compile(dialect=_DIALECTS[dialect])
    # The values are handed over by their place.
    assert tuple(compiled.positiontup) == order, (compiled.positiontup, order)
    return str(compiled)
