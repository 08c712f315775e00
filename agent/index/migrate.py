"""Migrations of the index: numbered SQL files, applied and recorded by sqlite-utils.

The index holds observations (the three trees of every path) and the little work that must survive a crash: operations,
conflicts, journalled changes to the folder. All of it can be rebuilt from the disk and the server. A lost index costs a
merge like at a new link, never a file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.core.errors import IndexTooNew

if TYPE_CHECKING:
    from sqlite_utils import Database, Migrations

SCHEMA_VERSION: Final = 3
"""Value of ``PRAGMA user_version`` and number of the newest migration. A larger value is refused."""

MIGRATIONS: Final = Path(__file__).with_name("migrations")
"""The folder of the migrations: ``NN-name.sql``, applied in the order of their numbers."""

_SET: Final = "raven-agent"


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

    An index of the current version costs one PRAGMA: sqlite-utils is imported only when a migration is due.

    Raises:
        IndexTooNew: a newer release wrote it.
    """
    if refuse_newer(connection) == SCHEMA_VERSION:
        return
    from sqlite_utils import Database, Migrations

    migrations = Migrations(_SET)
    for file in sorted(MIGRATIONS.glob("*.sql")):
        _register(migrations, file)
    # Plugins of sqlite-utils have no business in the index, and finding them takes long.
    migrations.apply(Database(connection, execute_plugins=False))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _register(migrations: Migrations, file: Path) -> None:
    def apply(db: Database) -> None:
        for statement in statements(file.read_text("utf-8")):
            db.execute(statement)

    migrations(name=file.stem.partition("-")[2])(apply)


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
