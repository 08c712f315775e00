"""The deletes that were carried out lately without anybody being asked, for the brake that counts them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from agent.core.reconcile import Step

_LIVING_SIDE: Final = {Step.PUSH_DELETE: "local_hash", Step.PULL_DELETE: "remote_hash"}
"""Where the bytes of a deleted file may live on under another name: a rename is no lost file."""


class RecentDeletes:
    """Reads and writes which paths lost their file, in which direction and when; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(self, source: int, step: Step, files: Iterable[tuple[str, str]], now: float, since: float) -> None:
        """Note that these (path, hash) are being deleted, and forget what happened until ``since``."""
        self._db.execute("DELETE FROM removals WHERE source = ? AND at <= ?", (source, since))
        self._db.executemany(
            "INSERT OR REPLACE INTO removals (source, path, step, hash, at) VALUES (?,?,?,?,?)",
            ((source, path, step, digest, now) for path, digest in files),
        )

    def count(self, source: int, step: Step, since: float) -> int:
        """How many paths were deleted after this moment, whatever became of them."""
        sql = "SELECT count(*) FROM removals WHERE source = ? AND step = ? AND at > ?"
        (count,) = self._db.execute(sql, (source, step, since)).fetchone()
        return int(count)

    def lost(self, source: int, step: Step, since: float) -> int:
        """How many of them are lost: their path was not filled again, and their bytes have no other name."""
        sql = (
            "SELECT count(*) FROM removals r WHERE source = ? AND step = ? AND at > ? "
            "AND NOT EXISTS (SELECT 1 FROM files f WHERE f.source = r.source AND f.path = r.path AND f.base_hash "
            "IS NOT NULL) "
            # Not r.source: SQLite would then gather the living hashes anew for every row.
            f"AND hash NOT IN (SELECT {_LIVING_SIDE[step]} FROM files WHERE source = ? "
            f"AND {_LIVING_SIDE[step]} IS NOT NULL)"
        )
        (count,) = self._db.execute(sql, (source, step, since, source)).fetchone()
        return int(count)

    def forget(self, source: int) -> None:
        """Drop everything of a source."""
        self._db.execute("DELETE FROM removals WHERE source = ?", (source,))
