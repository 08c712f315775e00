"""Texts that conflicts and the trash refer to, kept in the index so that a person can decide offline."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable
from typing import Final

_COMPRESSION: Final = 3
"""zlib level. Texts are written in the step that opens a conflict, so speed counts more than size."""


class Texts:
    """The table of texts, each under its sha256. Reads and writes; decides nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def put(self, digest: str, content: bytes) -> None:
        """Keep a text. ``digest`` is the sha256 of ``content``; a text that is already there is left alone."""
        self._db.execute(
            "INSERT OR IGNORE INTO texts (hash, content) VALUES (?, ?)", (digest, zlib.compress(content, _COMPRESSION))
        )

    def get(self, digest: str | None) -> bytes | None:
        """Return a text, or None if it is not here. The digest None is "no file" and has no text."""
        if digest is None:
            return None
        row = self._db.execute("SELECT content FROM texts WHERE hash = ?", (digest,)).fetchone()
        return zlib.decompress(row[0]) if row else None

    def has(self, digest: str) -> bool:
        """Return True if this text is here, without reading it."""
        return self._db.execute("SELECT 1 FROM texts WHERE hash = ?", (digest,)).fetchone() is not None

    def prune(self, also_keep: Iterable[str]) -> None:
        """Drop each text that no live conflict refers to, that waits for no trash write and is not in ``also_keep``."""
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS kept (hash TEXT)")
        self._db.execute("DELETE FROM kept")
        self._db.executemany("INSERT INTO kept VALUES (?)", ((digest,) for digest in also_keep))
        self._db.execute(
            """
            DELETE FROM texts WHERE hash NOT IN (SELECT hash FROM kept) AND hash NOT IN (SELECT hash FROM stashes)
            AND NOT EXISTS (
                SELECT 1 FROM conflicts WHERE state <> 'closed'
                AND texts.hash IN (base_hash, local_hash, remote_hash, head_hash, wanted_hash)
            )
            """
        )
