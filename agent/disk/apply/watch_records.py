"""The records in the staging folder that name a trash entry which a process may still change.

A record is the file ``ID.watch``: the name of the entry, and the size and modification time of the hashed bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from agent.disk.fs.protocol import Dir, Fs
from agent.disk.scan.digest import CHUNK

_RECORD: Final = ".watch"
_UNFINISHED: Final = ".part"
"""Second ending of a record while it is being written. Recovery removes what a crash left of it."""


class WatchRecord(NamedTuple):
    """The content of a record."""

    name: str
    size: int
    mtime_ns: int


def write_record(fs: Fs, staging: Dir, entry_id: str, record: WatchRecord) -> None:
    """Write a record. It appears whole, or replaces the old one. Raises OSError."""
    part = entry_id + _RECORD + _UNFINISHED
    with contextlib.suppress(FileNotFoundError):
        fs.unlink(staging, part)
    write_file(fs, staging, part, f"{record.name}\n{record.size}\n{record.mtime_ns}\n".encode())
    fs.rename(staging, part, staging, entry_id + _RECORD)


def read_record(fs: Fs, staging: Dir, entry_id: str) -> WatchRecord | None:
    """Return a record; None if it is damaged or gone. Raises OSError."""
    try:
        lines = read_file(fs, staging, entry_id + _RECORD).decode("utf-8", "replace").split("\n")
    except FileNotFoundError:
        return None
    if len(lines) < 3 or not (lines[1].isdecimal() and lines[2].lstrip("-").isdecimal()):
        return None
    return WatchRecord(lines[0], int(lines[1]), int(lines[2]))


def remove_record(fs: Fs, staging: Dir, entry_id: str) -> None:
    """Remove a record, if it exists. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        fs.unlink(staging, entry_id + _RECORD)


def recorded_ids(fs: Fs, staging: Dir) -> Iterator[str]:
    """Yield the entry id of each record. Raises OSError."""
    for found in fs.entries(staging):
        if found.name.endswith(_RECORD):
            yield found.name.removesuffix(_RECORD)


def write_file(fs: Fs, folder: Dir, name: str, content: bytes) -> None:
    """Create a private file with these bytes, durably. Raises OSError; then there is no such file."""
    file = fs.create(folder, name, 0o600)
    try:
        try:
            fs.write(file, content)
            fs.fsync(file)
        finally:
            fs.close(file)
    except OSError:
        fs.unlink(folder, name)
        raise


def read_file(fs: Fs, folder: Dir, name: str) -> bytes:
    """Return all bytes of a file, held once in memory. Raises OSError."""
    file = fs.open_file(folder, name)
    try:
        # A read returns fewer bytes than asked for at the end of the file, or because it is very large.
        content = fs.read(file, max(fs.fstat(file).size + 1, CHUNK))
        while data := fs.read(file, CHUNK):
            content += data
        return content
    finally:
        fs.close(file)
