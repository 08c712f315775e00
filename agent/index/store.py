"""Opening the index: one owner of the write connection, readers beside it, a damaged file set aside."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.core.errors import IndexDamaged, IndexUnavailable
from agent.index.clean_shutdown import mark_clean, was_clean
from agent.index.conflicts import Conflicts
from agent.index.operations import Operations
from agent.index.recent_deletes import RecentDeletes
from agent.index.schema import migrate, refuse_newer
from agent.index.sources import Notes
from agent.index.texts import Texts
from agent.index.trash_outbox import TrashOutboxTable
from agent.index.trees import Trees

_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY,
    }
)  # fmt: skip
"""What says nothing against the index itself: setting it aside would throw away what it knows."""


class Index:
    """An open index. Its parts share one connection, so that one transaction covers them all.

    Args:
        file: to be sealed when it is closed.
    """

    def __init__(self, connection: sqlite3.Connection, file: Path | None = None) -> None:
        self.connection = connection
        self._file = file
        self.trees = Trees(connection)
        self.operations = Operations(connection)
        self.conflicts = Conflicts(connection)
        self.texts = Texts(connection)
        self.notes = Notes(connection)
        self.removals = RecentDeletes(connection)
        self.stashes = TrashOutboxTable(connection)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """One step: everything inside is durable together, or nothing is."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            # On a full disk SQLite has rolled back already.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def forget_source(self, source: int) -> None:
        """Drop everything known of a source; its files stay where they are on both sides."""
        self.trees.forget(source)
        self.operations.forget(source)
        self.conflicts.forget(source)
        self.notes.forget(source)
        self.removals.forget(source)

    def detach_from_other_machine(self, source: int) -> None:
        """Go on from another machine's index, copied: what it saw holds here too, what it had under way does not."""
        self.operations.detach_from_other_machine(source)
        self.conflicts.detach_from_other_machine(source)
        self.notes.detach_from_other_machine(source)

    def check(self) -> str | None:
        """SQLite's own integrity check: None when sound, else its first complaint."""
        (answer,) = self.connection.execute("PRAGMA quick_check(1)").fetchone()
        return None if answer == "ok" else str(answer)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
        if self._file is not None:
            mark_clean(self._file)


def open_index(path: Path | str) -> Index:
    """Open the index for writing, making or migrating it as needed.

    Raises:
        IndexDamaged: it cannot be read as an index.
        IndexUnusable: the disk refuses it now.
        IndexTooNew: a newer release wrote it.
    """
    file = None if path == ":memory:" else Path(path)
    untouched = file is not None and was_clean(file)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # Before anything is written: what a newer release made is left exactly as it is.
        refuse_newer(connection)
        if file is not None:
            file.chmod(0o600)
        # Every commit is durable: operation ids and journalled intents must outlive a power cut that comes right after.
        connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=10000; PRAGMA cache_size=-8000;"
        )
        migrate(connection)
        index = Index(connection, file)
        complaint = None if untouched else index.check()
        if complaint:
            raise IndexDamaged(f"the index is damaged: {complaint}")
    except sqlite3.DatabaseError as error:
        connection.close()
        if _is_passing(error):
            raise unavailable(error) from error
        raise IndexDamaged(f"the index cannot be read: {error}") from error
    except BaseException:
        connection.close()
        raise
    return index


def unavailable(error: sqlite3.Error | OSError) -> IndexUnavailable:
    """The words for an index whose disk refuses it."""
    return IndexUnavailable(
        f"the index cannot be used now: {error}", "make room on its disk, or see that it is mounted"
    )


def _is_passing(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    # A read that ends too early is what a cut file gives, whatever else input and output may suffer from.
    return code is not None and code & 0xFF in _PASSING and code != sqlite3.SQLITE_IOERR_SHORT_READ


def open_reader(path: Path) -> Index:
    """Open the index for reading beside its writer."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA busy_timeout=10000")
    return Index(connection)


def quarantine(path: Path, stamp: str) -> Path:
    """Move a damaged index and its WAL out of the way; the next start rebuilds it as a union.

    Args:
        stamp: date and time for the name, as ``20261121T093000Z``.
    """
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    return aside
