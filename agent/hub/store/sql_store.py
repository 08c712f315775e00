"""The hub's database connections: SQLite by default, PostgreSQL for several hubs."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from agent.hub.domain.ports import Growth, StoreFull, StoreUnavailable
from agent.hub.store.failures import StoreFailure, classify
from agent.hub.store.migrations import MigrationResult, migrate
from agent.hub.store.migrations import StoreError as StoreError
from agent.hub.store.reserve import DiskReserve
from agent.hub.store.session import SqlSession
from agent.hub.store.statements import PostgresTransaction, SqliteTransaction, Transaction

READERS = 16
_READING: Final = "BEGIN"
_WRITING: Final = "BEGIN IMMEDIATE"
RESERVE_RETRY_SECONDS = 1.0
"""Seconds between two attempts to allocate the reserve again on a full disk."""


@dataclass(frozen=True, slots=True)
class PostgresTimeouts:
    """Limits that PostgreSQL enforces on each transaction, in milliseconds, so that no request waits for ever."""

    lock: int = 5_000
    statement: int = 30_000
    idle_in_transaction: int = 15_000
    connect_seconds: int = 5


class SqlStore:
    """`agent.hub.domain.ports.Store` on SQLAlchemy. Opening it migrates an older schema.

    Args:
        url: `sqlite://` (in memory), `sqlite:///FILE`, `postgresql+psycopg://…` or plain `postgresql://…`.
            `?prepare_threshold=none` switches prepared statements off, for PgBouncer's transaction mode.
        reserve: disk space of a SQLite file that is released when the disk is full.
        timeouts: limits in PostgreSQL.

    Attributes:
        migrated: schema numbers before and after opening.
        is_in_memory: the database ends with this object.

    Raises:
        StoreError: the schema is newer than this program, or the kind of database is not supported.
    """

    def __init__(self, url: str, reserve: DiskReserve | None = None, timeouts: PostgresTimeouts | None = None) -> None:
        self.url = _with_driver(make_url(url))
        self._reserve = reserve
        self._has_reserve = reserve is None or reserve.allocate()
        self._reserve_retry_at = 0.0
        kind = self.url.get_backend_name()
        self.is_in_memory = memory = kind == "sqlite" and self.url.database in (None, "", ":memory:")
        migrations: Engine | None = None
        if memory:
            self._writer = self._reader = _memory_engine(self.url)
        elif kind == "sqlite":
            self._writer, self._reader = _file_engines(self.url)
        elif kind == "postgresql":
            limits = timeouts or PostgresTimeouts()
            self._writer, migrations = _postgres_engines(self.url, limits)
            self._reader = self._writer
            # One round trip begins a transaction and sets its limits.
            # Readers see one snapshot, or the head and its newest version could come from different moments. Writers
            # stay at READ COMMITTED: after waiting for the lock on the source they must see what the previous writer
            # committed.
            self._begin = f"BEGIN; {_limits(limits)}"
            self._begin_reading = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_limits(limits)}"
        else:
            raise StoreError(f"The hub keeps its data in SQLite or PostgreSQL, not in {kind}.")
        # An in-memory database has one connection, which threads must take in turn.
        self._turn: Any = threading.RLock() if memory else nullcontext()
        try:
            self.migrated: MigrationResult = migrate(migrations or self._writer)
        except StoreError:
            self.close()
            raise
        except Exception as error:
            self.close()
            known = self._translate(error)
            if known is None:
                raise
            raise known from error

    @property
    def is_shared(self) -> bool:
        """True if other hubs may write to this database."""
        return self.url.get_backend_name() == "postgresql"

    @contextmanager
    def read(self) -> Iterator[SqlSession]:
        """Open a transaction that only reads, all from one snapshot.

        Raises:
            StoreUnavailable: the database is busy or lost.
        """
        try:
            with self._turn, self._reading() as transaction:
                yield SqlSession(transaction)
        except Exception as error:
            known = self._translate(error)
            if known is None:
                raise
            raise known from error

    @contextmanager
    def write(self, growth: Growth = Growth.CONTENT) -> Iterator[SqlSession]:
        """Open a transaction that is durable when the block ends, and rolled back if the block raises.

        Raises:
            StoreFull: the disk is full; nothing was written.
            StoreUnavailable: the database is busy or lost; nothing was written.
        """
        if growth is Growth.CONTENT and not self._has_reserve:
            self._allocate_reserve()
        try:
            with self._turn, self._writing() as transaction:
                yield SqlSession(transaction)
        except Exception as error:
            known = self._translate(error)
            if known is None:
                raise
            raise known from error

    def _reading(self) -> AbstractContextManager[Transaction]:
        if self.is_shared:
            return _postgres_transaction(self._reader, self._begin_reading)
        return _sqlite_transaction(self._reader, _READING)

    def _writing(self) -> AbstractContextManager[Transaction]:
        if self.is_shared:
            return _postgres_transaction(self._writer, self._begin)
        return _sqlite_transaction(self._writer, _WRITING)

    def ping(self) -> None:
        """Check that the database answers.

        Raises:
            StoreUnavailable: it does not.
        """
        with self.read() as session:
            session.ping()

    def close(self) -> None:
        """Close every connection."""
        self._writer.dispose()
        self._reader.dispose()

    def snapshot(self) -> bytes:
        """Return the whole SQLite database as bytes. Only for SQLite."""
        with self._turn, self._writer.connect() as connection:
            return _driver_connection(connection).serialize()

    def restore(self, snapshot: bytes) -> None:
        """Set an in-memory database back to a `snapshot`."""
        with self._turn, self._writer.connect() as connection:
            connection.rollback()
            with closing(sqlite3.connect(":memory:")) as past:
                past.deserialize(snapshot)
                past.backup(_driver_connection(connection))

    def _translate(self, error: Exception) -> Exception | None:
        """Return the port's exception for an error inside a transaction, or None if the error is no such failure."""
        failure = classify(error, None if self._reserve is None else self._reserve.free_bytes())
        if failure is StoreFailure.FULL and self._reserve is not None:
            # The transaction was rolled back. The space lets SQLite copy its log into the database, and lets small
            # writes such as heartbeats go on.
            self._has_reserve = False
            self._reserve_retry_at = time.monotonic() + RESERVE_RETRY_SECONDS
            self._reserve.release()
            with contextlib.suppress(Exception), self._reader.connect() as connection:
                _driver_connection(connection).execute("PRAGMA wal_checkpoint(PASSIVE)")
        if failure is StoreFailure.FULL:
            return StoreFull(type(error).__name__)
        return StoreUnavailable(_cause(error)) if failure is StoreFailure.UNAVAILABLE else None

    def _allocate_reserve(self) -> None:
        assert self._reserve is not None
        if time.monotonic() >= self._reserve_retry_at:
            self._reserve_retry_at = time.monotonic() + RESERVE_RETRY_SECONDS
            self._has_reserve = self._reserve.allocate()
        if not self._has_reserve:
            raise StoreFull("the disk has no room for the reserve")


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def _cause(error: BaseException) -> str:
    """Return the driver's first line, without the statement and its values."""
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


def _with_driver(url: URL) -> URL:
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _driver_connection(connection: Any) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _memory_engine(url: URL) -> Engine:
    engine = create_engine(url, poolclass=StaticPool, hide_parameters=True, connect_args={"check_same_thread": False})
    _own_transactions(engine, _WRITING)
    return engine


def _file_engines(url: URL) -> tuple[Engine, Engine]:
    args = {"check_same_thread": False, "timeout": 60}
    # One connection writes, so writers queue for it here instead of polling SQLite's lock.
    writer = create_engine(
        url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=60, hide_parameters=True, connect_args=args
    )
    _own_transactions(writer, _WRITING)
    reader = create_engine(
        url, poolclass=QueuePool, pool_size=READERS, max_overflow=0, hide_parameters=True, connect_args=args
    )
    _own_transactions(reader, _READING)
    return writer, reader


def _own_transactions(engine: Engine, begin: str) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's implicit BEGIN is deferred: another writer could come between read and write.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)


@contextmanager
def _sqlite_transaction(engine: Engine, begin: str) -> Iterator[SqliteTransaction]:
    """Open a transaction that commits at the end of the block and rolls back if the block raises."""
    pooled = engine.raw_connection()
    try:
        connection = pooled.driver_connection
        assert isinstance(connection, sqlite3.Connection)
        connection.execute(begin)
        try:
            yield SqliteTransaction(connection)
        except BaseException:
            connection.rollback()
            raise
        connection.commit()
    finally:
        pooled.close()


@contextmanager
def _postgres_transaction(engine: Engine, begin: str) -> Iterator[PostgresTransaction]:
    """Open a transaction that commits at the end of the block and rolls back if the block raises."""
    pooled = engine.raw_connection()
    connection: Any = pooled.driver_connection
    try:
        connection.execute(begin, prepare=False)
        try:
            yield PostgresTransaction(connection)
        except BaseException:
            with contextlib.suppress(Exception):
                connection.rollback()
            raise
        connection.commit()
    finally:
        if connection.closed:
            # The server ended it, or the network did. The pool must not lend it again.
            pooled.invalidate()
        pooled.close()


def _postgres_engines(url: URL, timeouts: PostgresTimeouts) -> tuple[Engine, Engine]:
    """Return the engine of all transactions, whose driver begins none by itself, and the one of the migrations."""
    query = dict(url.query)
    threshold = query.pop("prepare_threshold", None)
    args: dict[str, Any] = {"connect_timeout": timeouts.connect_seconds}
    query.setdefault("application_name", "raven-hub")
    if threshold is not None:
        args["prepare_threshold"] = None if str(threshold).lower() == "none" else int(str(threshold))
    own = url.set(query=query)
    # hide_parameters: texts must not get into logs.
    transactions = create_engine(
        own,
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=timeouts.lock / 1000,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={**args, "autocommit": True},
    )
    migrations = create_engine(own, poolclass=NullPool, hide_parameters=True, connect_args=args)

    @event.listens_for(migrations, "begin")
    def _limit(connection: Any) -> None:
        connection.connection.driver_connection.execute(_limits(timeouts), prepare=False)

    return transactions, migrations


def _limits(timeouts: PostgresTimeouts) -> str:
    # Set in each transaction, not in the session: behind PgBouncer, transactions of one client share no session.
    return (
        f"SET LOCAL lock_timeout = {timeouts.lock:d}; SET LOCAL statement_timeout = {timeouts.statement:d}; "
        f"SET LOCAL idle_in_transaction_session_timeout = {timeouts.idle_in_transaction:d}"
    )
