"""Texts that conflicts and the trash refer to, kept with the index so that a person can decide offline."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable
from typing import Final

from agent.index.kept import KeptFiles

_COMPRESSION: Final = 3
"""zlib level. Texts are written in the step that opens a conflict, so speed counts more than size."""
LARGE_TEXT: Final = 1 << 20
"""Bytes. A larger text is a file beside the index: in the index it would be written twice, and compressed in a step."""
_IN_A_FILE: Final = b""
"""The content of a row whose text is a file. It is no zlib stream."""


class Texts:
    """The table of texts, each under its sha256. Reads and writes; decides nothing.

    Args:
        kept: the files of large texts; None to have all texts in the index.
    """

    def __init__(self, connection: sqlite3.Connection, kept: KeptFiles | None = None) -> None:
        self._db = connection
        self._kept = kept

    def put(self, digest: str, content: bytes) -> None:
        """Keep a text. ``digest`` is the sha256 of ``content``; a text that is already there is left alone."""
        if self._kept is not None and len(content) > LARGE_TEXT:
            self._put_large(self._kept, digest, content)
        else:
            self._insert(digest, zlib.compress(content, _COMPRESSION))

    def _put_large(self, kept: KeptFiles, digest: str, content: bytes) -> None:
        """Keep a large text as a file, which is durable before its row is. A lost or damaged file is replaced."""
        if self.get(digest) is not None:
            return
        try:
            kept.put(digest, content)
        except OSError:
            # The folder of files refuses, but the index may still take the text.
            self._db.execute("DELETE FROM texts WHERE hash = ?", (digest,))
            self._insert(digest, zlib.compress(content, _COMPRESSION))
        else:
            self._insert(digest, _IN_A_FILE)

    def _insert(self, digest: str, stored: bytes) -> None:
        self._db.execute("INSERT OR IGNORE INTO texts (hash, content) VALUES (?, ?)", (digest, stored))

    def _stored(self, digest: str) -> bytes | None:
        row = self._db.execute("SELECT content FROM texts WHERE hash = ?", (digest,)).fetchone()
        return None if row is None else bytes(row[0])

    def _has_row(self, digest: str) -> bool:
        return self._db.execute("SELECT 1 FROM texts WHERE hash = ?", (digest,)).fetchone() is not None

    def get(self, digest: str | None) -> bytes | None:
        """Return a text, or None if it is not here. The digest None is "no file" and has no text."""
        stored = None if digest is None else self._stored(digest)
        if digest is None or stored is None:
            return None
        if stored != _IN_A_FILE:
            return zlib.decompress(stored)
        return None if self._kept is None else self._kept.get(digest)

    def has(self, digest: str) -> bool:
        """Return True if this text is here, without reading it."""
        row = self._db.execute("SELECT length(content) FROM texts WHERE hash = ?", (digest,)).fetchone()
        if row is None or row[0] > 0:
            return row is not None
        return self._kept is not None and self._kept.has(digest)

    def prune(self, also_keep: Iterable[str]) -> None:
        """Drop each text that no live conflict refers to, that waits for no trash write and is not in ``also_keep``."""
        if self._kept is not None:
            # First the files of rows that are gone already: those that go below are needed again after a rollback.
            self._kept.prune(self._has_row)
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
