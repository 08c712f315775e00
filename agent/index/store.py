"""Opening the index: one write connection, read-only readers, and quarantine of a damaged file."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.core.errors import IndexDamaged, IndexUnavailable
from agent.index.activity import ActivityLog
from agent.index.approvals import Approvals
from agent.index.clean_mark import mark_clean, was_clean
from agent.index.conflicts import Conflicts
from agent.index.folders import Folders
from agent.index.journal import Journal
from agent.index.kept import KeptFiles
from agent.index.listing import ServerListing
from agent.index.migrate import migrate, refuse_newer
from agent.index.operations import Operations
from agent.index.problems import Problems
from agent.index.recent_deletes import RecentDeletes
from agent.index.sources import Sources
from agent.index.texts import Texts
from agent.index.traffic import Traffic
from agent.index.transfers import Transfers
from agent.index.trash_outbox import TrashOutboxTable
from agent.index.trees import Trees
from agent.index.undone_deletes import UndoneDeletesTable

_DISK_ERRORS: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY,
    }
)  # fmt: skip
"""Errors of the disk, not of the index: a quarantine would throw a sound index away."""


class Index:
    """An open index. Its tables share one connection, so that one transaction covers them all.

    Args:
        file: its path, to mark a clean shutdown; None for an index in memory or a reader.
        kept: the files of large texts; None to have them in the index.
    """

    def __init__(self, connection: sqlite3.Connection, file: Path | None = None, kept: KeptFiles | None = None) -> None:
        self.connection = connection
        self._file = file
        self.trees = Trees(connection)
        self.listing = ServerListing(connection)
        self.operations = Operations(connection)
        self.journal = Journal(connection)
        self.transfers = Transfers(connection)
        self.folders = Folders(connection)
        self.conflicts = Conflicts(connection)
        self.texts = Texts(connection, kept)
        self.sources = Sources(connection)
        self.problems = Problems(connection)
        self.approvals = Approvals(connection)
        self.activity = ActivityLog(connection)
        self.traffic = Traffic(connection)
        self.recent_deletes = RecentDeletes(connection)
        self.trash_outbox = TrashOutboxTable(connection)
        self.undone_deletes = UndoneDeletesTable(connection)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Run one step: everything inside is durable together, or nothing is."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            # On a full disk SQLite rolls back by itself.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def forget_source(self, source: int) -> None:
        """Delete everything of a source but its activity and traffic. Its files stay on both sides."""
        self.trees.forget(source)
        self.listing.forget(source)
        self.operations.forget(source)
        self.journal.forget(source)
        self.transfers.forget(source)
        self.folders.forget(source)
        self.conflicts.forget(source)
        self.sources.forget(source)
        self.problems.forget(source)
        self.approvals.forget(source)
        self.recent_deletes.forget(source)
        self.undone_deletes.forget(source)

    def detach_from_other_machine(self, source: int) -> None:
        """Take over an index copied from another machine: keep its observations, drop its work in progress."""
        self.operations.detach_from_other_machine(source)
        self.conflicts.detach_from_other_machine(source)
        # A person decided these on the other machine.
        self.approvals.forget(source)
        self.undone_deletes.forget(source)

    def check(self) -> str | None:
        """Run SQLite's integrity check; returns None if the index is sound, else the first error."""
        (answer,) = self.connection.execute("PRAGMA quick_check(1)").fetchone()
        return None if answer == "ok" else str(answer)

    def close(self) -> None:
        """Close the connection and mark the clean shutdown."""
        self.connection.close()
        if self._file is not None:
            mark_clean(self._file)


def open_index(path: Path | str) -> Index:
    """Open the index for writing; create or migrate it as needed.

    Raises:
        IndexDamaged: it cannot be read as an index.
        IndexUnavailable: the disk refuses it now.
        IndexTooNew: a newer release wrote it.
    """
    file = None if path == ":memory:" else Path(path)
    untouched = file is not None and was_clean(file)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # First of all: the index of a newer release is left exactly as it is.
        refuse_newer(connection)
        if file is not None:
            file.chmod(0o600)
        # Every commit is durable: operation ids and journalled intents must survive a power loss right after it.
        connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=10000; PRAGMA cache_size=-8000;"
        )
        migrate(connection)
        index = Index(connection, file, None if file is None else _kept_beside(file))
        error_text = None if untouched else index.check()
        if error_text:
            raise IndexDamaged(f"the index is damaged: {error_text}")
    except sqlite3.DatabaseError as error:
        connection.close()
        if _is_disk_error(error):
            raise unavailable(error) from error
        raise IndexDamaged(f"the index cannot be read: {error}") from error
    except BaseException:
        connection.close()
        raise
    return index


def unavailable(error: sqlite3.Error | OSError) -> IndexUnavailable:
    """Return the error for an index whose disk refuses it."""
    return IndexUnavailable(
        f"the index cannot be used now: {error}", "make room on its disk, or see that it is mounted"
    )


def _is_disk_error(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    # A short read is the sign of a truncated file, not of a failing disk.
    return code is not None and code & 0xFF in _DISK_ERRORS and code != sqlite3.SQLITE_IOERR_SHORT_READ


def open_reader(path: Path) -> Index:
    """Open the index read-only, beside its writer."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA busy_timeout=10000")
    return Index(connection, kept=_kept_beside(path))


def _kept_beside(file: Path) -> KeptFiles:
    return KeptFiles(file.with_name("kept"))


def quarantine(path: Path, stamp: str) -> Path:
    """Rename a damaged index and its WAL; the next start builds a new one, like a new link.

    Args:
        stamp: date and time for the name, as ``20261121T093000Z``.
    """
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    return aside
