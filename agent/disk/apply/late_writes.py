"""Late writes: changes that a program makes to a file after the agent moved it to the trash.

A program may keep a file open while a new version is swapped in, or the file may have a second hard link. What the
program then writes goes to the trash entry. Such bytes are a version of their own: they are rescued into the linked
folder under a name of their own, and the entry gets the hash of its present bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from msgspec import Struct

from agent.disk.apply.trash import Trash, TrashEntry, same_bytes
from agent.disk.apply.watch_records import read_file
from agent.disk.fs.protocol import Fs, Stat
from agent.disk.scan.digest import CHUNK

QUIET_SECONDS: Final = 2.0
"""Age of the last write from which a file counts as complete, if no program has it open for writing any more."""
OPEN_QUIET_SECONDS: Final = 10.0
"""The same while a program still has it open."""
MAX_RESCUED_BYTES: Final = 64 << 20
"""Larger late versions stay in the trash only: a rescue holds the bytes in memory."""


class LateWrite(Struct, frozen=True):
    """A trash entry whose bytes changed.

    Attributes:
        entry: as it was named before.
        hash: sha256 of its present bytes.
        content: the present bytes; None if they are too many to rescue.
        found: the stat of the present bytes.
    """

    entry: TrashEntry
    hash: str
    content: bytes | None
    found: Stat

    @property
    def rescue_path(self) -> str:
        """Return the path under which the late version is put into the folder, the same on every call."""
        path = PurePosixPath(self.entry.path)
        return str(path.with_name(f"{path.stem} (written late {self.hash[:8]}){path.suffix}"))


def find_late_writes(fs: Fs, trash: Trash, now: float) -> Iterator[LateWrite]:
    """Yield the watched entries that changed and are quiet now; stop watching those that can change no more.

    Raises:
        DiskError, OSError: the trash cannot be read now.
    """
    for watched in trash.watched():
        entry = watched.entry
        found, may_change = _stat_and_openness(fs, trash, entry)
        if same_bytes(found, watched):
            if not may_change:
                trash.unwatch(entry.id)
            continue
        age = now - found.mtime_ns / 1e9
        # A time in the future says nothing about the last write; a small difference is only another clock.
        if -QUIET_SECONDS < age < (OPEN_QUIET_SECONDS if may_change else QUIET_SECONDS):
            continue
        digest, content = _read(fs, trash, entry.name, found.size)
        if digest == entry.hash:
            # Only the times changed.
            _watch_on(trash, entry, found, may_change)
        else:
            yield LateWrite(entry, digest, content, found)


def accept(fs: Fs, trash: Trash, late: LateWrite) -> TrashEntry:
    """Name the entry by the rescued hash. Call it after the bytes were rescued, so that a crash repeats the rescue.

    If a program wrote again since ``late`` was found, the entry stays watched, and the next call finds that write.
    """
    entry = trash.correct(late.entry, late.hash)
    found, may_change = _stat_and_openness(fs, trash, entry)
    _watch_on(trash, entry, late.found, may_change or not same_bytes(found, late.found))
    return entry


def _stat_and_openness(fs: Fs, trash: Trash, entry: TrashEntry) -> tuple[Stat, bool]:
    """Return the stat of an entry, and True if a process may still change the file.

    First the lease, then the stat: a program that closed the file in between has left its last write in the stat.
    """
    is_open = fs.may_be_written(trash.folder, entry.name)
    found = fs.stat(trash.folder, entry.name)
    return found, is_open or found.links > 1


def _watch_on(trash: Trash, entry: TrashEntry, found: Stat, may_change: bool) -> None:
    if may_change:
        trash.watch(entry.id, entry.name, found)
    else:
        trash.unwatch(entry.id)


def _read(fs: Fs, trash: Trash, name: str, size: int) -> tuple[str, bytes | None]:
    """Return the sha256 and, unless they are too many, the bytes of an entry."""
    if size <= MAX_RESCUED_BYTES:
        content = read_file(fs, trash.folder, name)
        return hashlib.sha256(content).hexdigest(), content
    hasher = hashlib.sha256()
    file = fs.open_file(trash.folder, name)
    try:
        while data := fs.read(file, CHUNK):
            hasher.update(data)
    finally:
        fs.close(file)
    return hasher.hexdigest(), None
