"""The hub's database: SQLite by default, PostgreSQL when it is outgrown."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, insert, inspect, make_url, select
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool, StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from agent.hub.store import tables as t
from agent.hub.store.session import SqlSession

READERS = 16


class StoreError(Exception):
    """The database cannot be used; the message is a sentence for the person who runs the hub."""


class SqlStore:
    """`agent.hub.ports.Store` over SQLAlchemy.

    Args:
        url: `sqlite://` (in memory), `sqlite:///FILE`, `postgresql+psycopg://…`; plain `postgresql://` works too.

    Raises:
        StoreError: the schema is newer than this program, or the kind of database is not supported.
    """

    def __init__(self, url: str) -> None:
        self.url = _driver(make_url(url))
        if self.url.get_backend_name() == "sqlite":
            memory = self.url.database in (None, "", ":memory:")
            self._writer, self._reader = _memory_engines(self.url) if memory else _file_engines(self.url)
        elif self.url.get_backend_name() == "postgresql":
            memory = False
            self._writer = self._reader = create_engine(self.url, pool_size=READERS, max_overflow=0)
        else:
            raise StoreError(f"The hub keeps its data in SQLite or PostgreSQL, not in {self.url.get_backend_name()}.")
        # An in-memory database is one connection, which threads must take in turn.
        self._turn: Any = threading.RLock() if memory else nullcontext()
        try:
            _prepare(self._writer)
        except StoreError:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[SqlSession]:
        """A transaction that writes nothing."""
        with self._turn, self._reader.connect() as connection:
            yield SqlSession(connection)

    @contextmanager
    def write(self) -> Iterator[SqlSession]:
        """A transaction that is durable when the block ends, and gone if the block raises."""
        with self._turn, self._writer.begin() as connection:
            yield SqlSession(connection)

    def close(self) -> None:
        """Close every connection."""
        self._writer.dispose()
        self._reader.dispose()

    def snapshot(self) -> bytes:
        """The whole SQLite database as bytes. Only for SQLite."""
        with self._turn, self._writer.connect() as connection:
            return _driver_connection(connection).serialize()

    def restore(self, snapshot: bytes) -> None:
        """Put an in-memory database back to what `snapshot` saw."""
        with self._turn, self._writer.connect() as connection:
            connection.rollback()
            with sqlite3.connect(":memory:") as past:
                past.deserialize(snapshot)
                past.backup(_driver_connection(connection))
            past.close()


def sqlite_url(path: Path) -> str:
    """The URL of a database file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def _driver(url: URL) -> URL:
    if url.drivername == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    return url


def _driver_connection(connection: Any) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _memory_engines(url: URL) -> tuple[Engine, Engine]:
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    _own_transactions(engine, "BEGIN IMMEDIATE")
    return engine, engine


def _file_engines(url: URL) -> tuple[Engine, Engine]:
    args = {"check_same_thread": False, "timeout": 60}
    # One connection writes, so writers queue for it here instead of polling SQLite's lock.
    writer = create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=60, connect_args=args)
    _own_transactions(writer, "BEGIN IMMEDIATE")
    reader = create_engine(url, poolclass=QueuePool, pool_size=READERS, max_overflow=0, connect_args=args)
    _own_transactions(reader, "BEGIN")
    return writer, reader


def _own_transactions(engine: Engine, begin: str) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's implicit BEGIN is a deferred one: look and write would not be one step.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)


def _prepare(engine: Engine) -> None:
    with engine.begin() as connection:
        if not inspect(connection).has_table(t.schema_info.name):
            for table in t.metadata.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in sorted(table.indexes, key=lambda i: i.name or ""):
                    connection.execute(CreateIndex(index, if_not_exists=True))
            connection.execute(insert(t.schema_info), {"id": 1, "version": t.SCHEMA_VERSION})
            return
        version = connection.execute(select(t.schema_info.c.version)).scalar_one()
    if version > t.SCHEMA_VERSION:
        raise StoreError(
            f"This hub's data has schema {version}, and this program knows schema {t.SCHEMA_VERSION}: "
            "start the newer raven-agent that wrote it."
        )
