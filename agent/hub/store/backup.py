"""A consistent copy of the hub's database, taken while it serves."""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from agent.hub.store.sql_store import StoreError


def backup(database: Path, target: Path) -> None:
    """Copy the SQLite database to `target`, readable by its owner only; an older file there is replaced at the end.

    Raises:
        StoreError: there is no database to copy, or it cannot be read.
        OSError: the copy cannot be written.
    """
    if not database.is_file():
        raise StoreError(f"There is no hub database at {database}.")
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        _copy(database, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _copy(database: Path, part: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as origin,
            closing(sqlite3.connect(part)) as copy,
        ):
            # One step copies everything under one read lock, so that no writer can make it start over.
            origin.backup(copy, pages=-1)
            # The copy is a single file: nothing of it waits in a log beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise StoreError(f"The hub database {database} cannot be copied: {error}.") from error
