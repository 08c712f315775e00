"""Numbered migrations of the hub's database, as SQL files `NN-name.sql` or `NN-name.DIALECT.sql`.

`migrate` runs the pending ones in one transaction under a lock, so that hubs that start together migrate once.
A file is never changed after a release: a new database runs all of them. Begin reading with `migrate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from sqlalchemy import Connection, Engine, inspect

from agent.hub.store import tables as t

LOCK_KEY: Final = 0x7261_7665_6E68_7562
"""PostgreSQL advisory lock of migrations: "ravenhub" in ASCII."""


class StoreError(Exception):
    """The database cannot be used; the message is a sentence for the person who runs the hub."""


@dataclass(frozen=True, slots=True)
class MigrationResult:
    """Schema numbers of a database. `before` is 0 for an empty one."""

    before: int
    after: int


def migrate(engine: Engine) -> MigrationResult:
    """Bring the database to this program's schema.

    Raises:
        StoreError: the schema is newer than this program. Nothing is changed then.
    """
    with engine.begin() as connection:
        _lock(connection)
        before = version_of(connection)
        if before > t.SCHEMA_VERSION:
            raise StoreError(
                f"This hub's data has schema {before}, and this program knows schema {t.SCHEMA_VERSION}: "
                "start the newer raven-agent that wrote it."
            )
        for number in range(before + 1, t.SCHEMA_VERSION + 1):
            for statement in statements(connection.dialect.name, number):
                connection.exec_driver_sql(statement)
        if before != t.SCHEMA_VERSION:
            connection.exec_driver_sql("DELETE FROM schema_info")
            connection.exec_driver_sql(f"INSERT INTO schema_info (id, version) VALUES (1, {t.SCHEMA_VERSION:d})")  # noqa: S608
    return MigrationResult(before, t.SCHEMA_VERSION)


def version_of(connection: Connection) -> int:
    """Return the schema number of the database, 0 for an empty one."""
    if not inspect(connection).has_table(t.schema_info.name):
        return 0
    return int(connection.exec_driver_sql("SELECT version FROM schema_info").scalar_one())


@cache
def statements(dialect: str, number: int) -> tuple[str, ...]:
    """Return the SQL statements of one migration for `sqlite` or `postgresql`."""
    found = [
        entry
        for entry in resources.files(__package__).iterdir()
        if entry.name.startswith(f"{number:02d}-") and _is_for(entry.name, dialect)
    ]
    assert len(found) == 1, (number, dialect, found)
    lines = [line for line in found[0].read_text("utf-8").splitlines() if not line.startswith("--")]
    return tuple(part.strip() for part in "\n".join(lines).split(";\n") if part.strip(";\n "))


def _is_for(name: str, dialect: str) -> bool:
    stem = name.removesuffix(".sql")
    return stem != name and ("." not in stem or stem.endswith(f".{dialect}"))


def _lock(connection: Connection) -> None:
    # SQLite needs no more than the BEGIN IMMEDIATE of its writer, which excludes every other writer.
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")
