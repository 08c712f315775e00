"""Migrations of the index: numbered SQL files, applied and recorded by sqlite-utils.

The index holds observations (the three trees of every path) and the little work that must survive a crash: operations,
conflicts, journalled changes to the folder. All of it can be rebuilt from the disk and the server. A lost index costs a
merge like at a new link, never a file.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.core.errors import IndexTooNew

if TYPE_CHECKING:
    from sqlite_utils import Database, Migrations

SCHEMA_VERSION: Final = 4
"""Value of ``PRAGMA user_version`` and number of the newest migration. A larger value is refused."""

MIGRATIONS: Final = Path(__file__).with_name("migrations")
"""The folder of the migrations: ``NN-name.sql``, applied in the order of their numbers."""

_SET: Final = "raven-agent"

_RECORDS: Final = """\
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
"""
"""The table of applied migrations as sqlite-utils makes it; a test compares the two."""


def refuse_newer(connection: sqlite3.Connection) -> int:
    """Return the schema version of an index; a newer one than ours is left untouched.

    Raises:
        IndexTooNew: a newer release wrote it.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise IndexTooNew(
            f"the index has schema {version} and this release knows {SCHEMA_VERSION}: a newer release wrote it",
            "install the newer release again, or move the index away: it is rebuilt without losing a file",
        )
    return int(version)


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that are due. Each one and its record are one transaction.

    An index of the current version costs one PRAGMA: sqlite-utils is imported only for an older index. Its import
    costs 293 M instructions, more than a first scan of 10,000 files.

    Raises:
        IndexTooNew: a newer release wrote it.
    """
    if refuse_newer(connection) == SCHEMA_VERSION:
        return
    if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
        _create(connection)
    else:
        _apply_due(connection)


def _create(connection: sqlite3.Connection) -> None:
    """Make a new index: the same statements and records as ``_apply_due``, all of them in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements(_RECORDS):
            connection.execute(statement)
        for file in _files():
            for statement in statements(file.read_text("utf-8")):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)",
                (_SET, _name(file), str(dt.datetime.now(dt.UTC))),
            )
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _apply_due(connection: sqlite3.Connection) -> None:
    from sqlite_utils import Database, Migrations

    migrations = Migrations(_SET)
    for file in _files():
        _register(migrations, file)
    # Plugins of sqlite-utils have no business in the index, and finding them takes long.
    migrations.apply(Database(connection, execute_plugins=False))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _files() -> list[Path]:
    return sorted(MIGRATIONS.glob("*.sql"))


def _name(file: Path) -> str:
    return file.stem.partition("-")[2]


def _register(migrations: Migrations, file: Path) -> None:
    def apply(db: Database) -> None:
        for statement in statements(file.read_text("utf-8")):
            db.execute(statement)

    migrations(name=_name(file))(apply)


def statements(script: str) -> Iterator[str]:
    """Split an SQL script into its statements; each ends with a semicolon at the end of a line.

    ``executescript`` is no alternative: it commits the transaction that the migration and its record share.
    """
    lines: list[str] = []
    for line in script.splitlines():
        lines.append(line)
        if line.endswith(";"):
            yield "\n".join(lines)
            lines.clear()
