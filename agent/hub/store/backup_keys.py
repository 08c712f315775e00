"""The secret parts of a hub's backup: the secret that signs tokens, and the hub's own certificate with its key."""

from __future__ import annotations

import io
import sqlite3
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NAMES: Final = ("secret", "certificate")
"""Members of an archive; the tables of a SQLite copy have the same names behind ``backup_``."""
_LONGEST: Final = 65_536
"""Bytes of one of them at most."""


@dataclass(frozen=True, slots=True)
class BackupKeys:
    """The secret parts of a copy. None: the copy is without it."""

    secret: bytes | None = None
    certificate: bytes | None = None

    @classmethod
    def read(cls, secret: Path, certificate: Path) -> BackupKeys:
        """Read them from a hub's files. Raises OSError."""
        found = (file.read_bytes().strip() if file.is_file() else None for file in (secret, certificate))
        return cls(*found)

    @classmethod
    def taken_from(cls, database: sqlite3.Connection) -> BackupKeys:
        """Read them from a SQLite copy, and remove their tables. Nothing is committed."""
        keys = cls(*(_stored(database, f"backup_{name}") for name in _NAMES))
        _drop_tables(database)
        return keys

    @classmethod
    def in_archive(cls, archive: tarfile.TarFile) -> BackupKeys:
        """Read them from a copy of PostgreSQL. Raises TarError."""
        return cls(*(_member(archive, name) for name in _NAMES))

    def add_to_database(self, database: sqlite3.Connection) -> None:
        """Write them into tables of their own, which replace older ones. Nothing is committed."""
        _drop_tables(database)
        for name, content in zip(_NAMES, (self.secret, self.certificate), strict=True):
            if content is not None:
                database.execute(f"CREATE TABLE backup_{name} ({name} BLOB NOT NULL)")
                database.execute(f"INSERT INTO backup_{name} VALUES (?)", (content,))  # noqa: S608 - constant names

    def add_to_archive(self, archive: tarfile.TarFile) -> None:
        """Add a member for each."""
        for name, content in zip(_NAMES, (self.secret, self.certificate), strict=True):
            if content is not None:
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o600
                archive.addfile(member, io.BytesIO(content))


def _drop_tables(database: sqlite3.Connection) -> None:
    for name in _NAMES:
        database.execute(f"DROP TABLE IF EXISTS backup_{name}")


def _stored(database: sqlite3.Connection, table: str) -> bytes | None:
    known = database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    row = database.execute(f"SELECT * FROM {table}").fetchone() if known else None  # noqa: S608 - a constant name
    return None if row is None else bytes(row[0])


def _member(archive: tarfile.TarFile, name: str) -> bytes | None:
    member = archive.extractfile(name) if name in archive.getnames() else None
    return None if member is None else member.read(_LONGEST)
