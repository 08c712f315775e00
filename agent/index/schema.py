"""The index's tables and their migrations.

The index holds observations (the three trees of every path) and the few things that must survive a crash as work:
operations on their way, conflicts, journalled changes to the folder. Everything in it can be rebuilt from the disk
and the server; losing it costs a union, never a file.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from typing import TYPE_CHECKING, Final

from agent.core.errors import IndexTooNew

if TYPE_CHECKING:
    from sqlite_utils import Database

SCHEMA_VERSION: Final = 1
"""Written to ``PRAGMA user_version``; a larger one was written by a newer release and is refused."""

_INITIAL: Final = (
    """
    -- One row a path. A side that is absent is NULL; the row is deleted once all three are.
    CREATE TABLE files (
        source          INTEGER NOT NULL,   -- the registry's key of the linked folder
        path            TEXT    NOT NULL,
        base_hash       TEXT,               -- what both sides last agreed on
        base_size       INTEGER,
        base_rev        TEXT,
        local_presence  INTEGER NOT NULL,   -- model.Presence
        local_hash      TEXT,
        local_size      INTEGER,
        local_reason    TEXT,               -- model.Reason: why it cannot be sent, or is unknown
        mtime_ns        INTEGER,
        ctime_ns        INTEGER,
        inode           INTEGER,
        xxh3            TEXT,
        racy            INTEGER NOT NULL DEFAULT 0,
        remote_hash     TEXT,
        remote_rev      TEXT,
        remote_id       TEXT,
        position        INTEGER NOT NULL DEFAULT 0,  -- newest event applied to the remote side
        kind            TEXT    NOT NULL DEFAULT 'file',
        step            INTEGER NOT NULL,   -- reconcile.Step of the three sides: a cache, never an input
        PRIMARY KEY (source, path)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX files_work ON files (source, step) WHERE step <> 0",
    """
    -- Where a source stands in the server's feed, and what is known of the source as a whole.
    CREATE TABLE sources (
        source         INTEGER PRIMARY KEY,
        feed_state     TEXT,               -- the dialect's own, given back unread
        cursor         TEXT,               -- the same for people
        remote_paused  INTEGER NOT NULL DEFAULT 0,
        max_bytes      INTEGER,            -- largest content the server took, once learned
        looked_at      REAL,
        verified_at    REAL,
        synced_at      REAL,
        halted         TEXT,               -- one sentence why, until a person lifts it
        rejoin         INTEGER NOT NULL DEFAULT 0, -- lifting it compares both sides as at a first link
        moved          INTEGER NOT NULL DEFAULT 0, -- another folder than the one linked: what it lacks was not deleted
        held_since     REAL,               -- when deletes began to wait for a person
        mounts         TEXT NOT NULL DEFAULT '[]'  -- JSON: folders below the root that were file systems of their own
    ) STRICT
    """,
    """
    -- Deletes a person has approved: this path, while it held these bytes.
    CREATE TABLE approved (
        source INTEGER NOT NULL,
        path   TEXT    NOT NULL,
        hash   TEXT    NOT NULL,
        PRIMARY KEY (source, path)
    ) STRICT, WITHOUT ROWID
    """,
    """
    -- How often this index was put to work; see generation.py.
    CREATE TABLE generation (
        only   INTEGER PRIMARY KEY CHECK (only = 1),
        number INTEGER NOT NULL
    ) STRICT
    """,
    """
    -- Deletes carried out lately that nobody was asked about: the brake counts them over a sliding window.
    CREATE TABLE removals (
        source INTEGER NOT NULL,
        path   TEXT    NOT NULL,
        step   INTEGER NOT NULL,           -- reconcile.Step: the direction
        hash   TEXT    NOT NULL,
        at     REAL    NOT NULL,
        PRIMARY KEY (source, path, step)
    ) STRICT, WITHOUT ROWID
    """,
    """
    -- Operations: stored before they are sent; kept for a while after, to know our own late echoes and conflicts.
    CREATE TABLE operations (
        seq        INTEGER PRIMARY KEY,
        id         TEXT    NOT NULL UNIQUE,
        source     INTEGER NOT NULL,
        path       TEXT    NOT NULL,
        verb       TEXT    NOT NULL,
        hash       TEXT,
        size       INTEGER NOT NULL,
        base       TEXT,
        purpose    TEXT    NOT NULL,       -- operations.Purpose
        state      TEXT    NOT NULL,       -- operations.State
        created_at REAL    NOT NULL,
        after      INTEGER NOT NULL,       -- newest event known of the path when it was stored
        echoed     INTEGER,                -- its own event, once told
        suspects   TEXT                    -- JSON: foreign versions told before our own echo
    ) STRICT
    """,
    "CREATE INDEX operations_path ON operations (source, path)",
    "CREATE INDEX operations_open ON operations (source, state) WHERE (state IN ('stored', 'unsettled', 'acked'))",
    """
    CREATE TABLE conflicts (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        generation  INTEGER NOT NULL DEFAULT 1,
        source      INTEGER NOT NULL,
        path        TEXT    NOT NULL,
        kind        TEXT    NOT NULL,
        origin      TEXT    NOT NULL,      -- conflicts.Origin
        base_hash   TEXT,
        local_hash  TEXT,
        remote_hash TEXT,
        head_hash   TEXT,                  -- the server's head this disagreement was shown with
        server_ids  TEXT    NOT NULL DEFAULT '[]',
        opened_at   REAL    NOT NULL,
        state       TEXT    NOT NULL,      -- conflicts.State
        mine        INTEGER NOT NULL,
        choice      TEXT,
        wanted_hash TEXT,
        note        TEXT,
        closed_at   REAL
    ) STRICT
    """,
    "CREATE INDEX conflicts_path ON conflicts (source, path) WHERE state <> 'closed'",
    """
    -- Texts a conflict refers to, so that a decision can be made and carried out offline.
    CREATE TABLE texts (
        hash    TEXT PRIMARY KEY,
        content BLOB NOT NULL              -- zlib
    ) STRICT
    """,
    """
    -- Texts owed to the trash: they stay among the texts until the disk has them.
    CREATE TABLE stashes (
        id     TEXT    NOT NULL UNIQUE,
        source INTEGER NOT NULL,
        path   TEXT    NOT NULL,
        hash   TEXT    NOT NULL,
        reason TEXT    NOT NULL
    ) STRICT
    """,
    """
    -- Changes to the folder, journalled before they are made and removed with their outcome.
    CREATE TABLE intents (
        id         TEXT PRIMARY KEY,
        source     INTEGER NOT NULL,
        path       TEXT    NOT NULL,
        new        TEXT,
        expected   TEXT,
        purpose    TEXT    NOT NULL,
        created_at REAL    NOT NULL
    ) STRICT
    """,
    """
    -- What cannot be synced and why; rows are replaced by the look or the answer that says otherwise.
    CREATE TABLE problems (
        source   INTEGER NOT NULL,
        path     TEXT    NOT NULL,         -- undecodable bytes as \\xNN
        raw      BLOB,                     -- the name's bytes where it is not UTF-8
        origin   TEXT    NOT NULL,         -- problems.Origin
        reason   TEXT    NOT NULL,
        text     TEXT    NOT NULL,
        since    REAL    NOT NULL,
        met_at   REAL    NOT NULL,         -- last time it was met; a later look that does not meet it lifts it
        retry_at REAL,                     -- NULL: only when the file changes or a person asks
        PRIMARY KEY (source, path, origin)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE activity (
        id           INTEGER PRIMARY KEY AUTOINCREMENT,
        source       INTEGER NOT NULL,
        at           REAL    NOT NULL,
        path         TEXT    NOT NULL,
        what         TEXT    NOT NULL,
        detail       TEXT,
        operation_id TEXT
    ) STRICT
    """,
    """
    -- The server's listing while a verification compares it; emptied afterwards.
    CREATE TABLE listing (
        source    INTEGER NOT NULL,
        path      TEXT    NOT NULL,
        hash      TEXT    NOT NULL,
        rev       TEXT,
        remote_id TEXT,
        PRIMARY KEY (source, path)
    ) STRICT, WITHOUT ROWID
    """,
)

_SET: Final = "raven-agent"
_RECORD: Final = (
    """CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
)""",
    """CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name")""",
)
"""Where sqlite-utils notes which migrations were applied, as it makes it itself."""


def refuse_newer(connection: sqlite3.Connection) -> None:
    """Leave alone what this release does not understand.

    Raises:
        IndexTooNew: a newer release wrote it.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise IndexTooNew(
            f"the index has schema {version} and this release knows {SCHEMA_VERSION}: a newer release wrote it",
            "install the newer release again, or move the index away: it is rebuilt without losing a file",
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the index to this release's schema; each migration and its record are one transaction.

    Raises:
        IndexTooNew: a newer release wrote it.
    """
    refuse_newer(connection)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION or _made(connection):
        return
    from sqlite_utils import Database, Migrations

    migrations = Migrations(_SET)

    @migrations()
    def initial(db: Database) -> None:
        for statement in _INITIAL:
            db.execute(statement)

    migrations.apply(Database(connection))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _made(connection: sqlite3.Connection) -> bool:
    """Make a new index as all migrations together would; False where there is one already.

    Without sqlite-utils, whose import takes longer than all else that a first start does before it looks.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        new = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
        if new:
            for statement in (*_INITIAL, *_RECORD):
                connection.execute(statement)
            applied = (_SET, "initial", str(dt.datetime.now(dt.UTC)))
            sql = "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)"
            connection.execute(sql, applied)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return new
