"""Classification of database errors: a full disk, a database that is busy or lost, or a fault of the program."""

from __future__ import annotations

import errno
import sqlite3
from enum import Enum, auto

from sqlalchemy import exc

FULL_BELOW_BYTES = 1024 * 1024
"""An I/O error of SQLite counts as a full disk if less than this is free: SQLite reports some full disks so."""

_SQLITE_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PG_FULL = frozenset({"53100"})
_PG_UNAVAILABLE = frozenset(
    {
        "25006",  # read-only transaction: the server is a standby now
        "25P03",  # idle_in_transaction_session_timeout
        "25P04",  # transaction_timeout
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "53000",
        "53200",
        "53300",  # too_many_connections
        "53400",
        "55P03",  # lock_not_available: lock_timeout
        "57014",  # query_canceled: statement_timeout
        "57P01",
        "57P02",
        "57P03",
        "57P05",
    }
)


class StoreFailure(Enum):
    """Cause of a failed transaction."""

    FULL = auto()
    """The disk is full. Writes work again once space was freed."""
    UNAVAILABLE = auto()
    """The database is busy or lost. The same request may succeed later."""
    BROKEN = auto()
    """Anything else: a fault of the program or of the data. Repeating does not help."""


def classify(error: BaseException, free_bytes: int | None) -> StoreFailure:
    """Return the cause of an error of SQLAlchemy, a driver or the system.

    Args:
        free_bytes: free space on the database's disk, None if unknown.
    """
    if isinstance(error, exc.TimeoutError):
        # All connections are in use.
        return StoreFailure.UNAVAILABLE
    if isinstance(error, exc.DBAPIError):
        return _of_driver(error.orig, free_bytes, lost=error.connection_invalidated)
    # The limits of a transaction are set on the driver's own connection, whose errors SQLAlchemy does not wrap.
    if isinstance(error, sqlite3.Error) or type(error).__module__.partition(".")[0] == "psycopg":
        return _of_driver(error, free_bytes, lost=False)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFailure.FULL
    return StoreFailure.BROKEN


def _of_driver(error: BaseException | None, free_bytes: int | None, *, lost: bool) -> StoreFailure:
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(getattr(error, "sqlite_errorcode", 0) & 0xFF, free_bytes)
    state = getattr(error, "sqlstate", None)
    if state in _PG_FULL:
        return StoreFailure.FULL
    # Class 08 is "connection exception". No state at all means that the server sent none: the connection is gone.
    names = {kind.__name__ for kind in type(error).__mro__}
    is_connection = lost or (state is None and "OperationalError" in names)
    if is_connection or state in _PG_UNAVAILABLE or (state or "").startswith("08"):
        return StoreFailure.UNAVAILABLE
    return StoreFailure.BROKEN


def _of_sqlite(code: int, free_bytes: int | None) -> StoreFailure:
    if code == sqlite3.SQLITE_FULL:
        return StoreFailure.FULL
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        is_full = free_bytes is not None and free_bytes < FULL_BELOW_BYTES
        return StoreFailure.FULL if is_full else StoreFailure.BROKEN
    return StoreFailure.UNAVAILABLE if code in _SQLITE_BUSY else StoreFailure.BROKEN
