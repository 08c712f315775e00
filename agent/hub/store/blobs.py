"""Large contents: as files in the hub's folder, or as rows of the database where several hubs share it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from agent.hub.domain.model import Encoding
from agent.hub.domain.ports import Growth, Store, StoreFull
from agent.hub.store.migrations import StoreError
from agent.hub.store.sql_store import SqlStore

PIECE_BYTES: Final = 1_048_576
"""Bytes in memory at once for one reader, and in one row."""
KEPT_MS: Final = 48 * 3_600_000
"""Age in milliseconds from which bytes that nothing names are removed."""
UPLOADS, CONTENTS = "uploads", "blobs"
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class TableBlobs:
    """`agent.hub.domain.drive_ports.Blobs` in the database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, upload: str, start: int, data: bytes) -> None:
        """As in `Blobs`."""
        with self._store.write() as session:
            for offset in range(0, len(data), PIECE_BYTES):
                session.put_piece(upload, start + offset, data[offset : offset + PIECE_BYTES])

    def uploaded(self, upload: str, size: int) -> Iterator[bytes]:
        """As in `Blobs`."""
        return read_pieces(self._store, upload, 0, size)

    def adopt(self, upload: str, hash_: str) -> bytes:
        """As in `Blobs`: the bytes stay where they are, and the content's row names their owner."""
        return upload.encode()

    def discard(self, uploads: Collection[str]) -> None:
        """As in `Blobs`."""
        with self._store.write(Growth.SMALL) as session:
            session.drop_pieces(uploads)

    def read(self, workspace: int, hash_: str, start: int, length: int) -> Iterator[bytes]:
        """As in `Blobs`."""
        with self._store.read() as session:
            owner = session.blob_reference(workspace, hash_)
        # A copy of a SQLite database has the pieces of its files under their hash.
        return read_pieces(self._store, owner.decode() if owner else hash_, start, length)

    def sweep(self, now: int) -> None:
        """As in `Blobs`. Nothing: bytes are removed together with the upload that owns them."""


def read_pieces(store: Store, owner: str, start: int, length: int) -> Iterator[bytes]:
    """Yield stored bytes. Each piece has a transaction of its own, so that a slow client holds no snapshot.

    Raises:
        LookupError: the bytes are not there.
    """
    at, end = start, start + length
    while at < end:
        with store.read() as session:
            found = session.piece_at(owner, at)
        if found is None or found[0] + len(found[1]) <= at:
            raise LookupError(f"no stored bytes of {owner} at {at}")
        offset, data = found
        piece = data[at - offset : end - offset]
        yield piece
        at += len(piece)


class FileBlobs:
    """`agent.hub.domain.drive_ports.Blobs` as files: `uploads/ID` while bytes arrive, then `blobs/ab/SHA256`.

    Args:
        folder: the hub's folder.
        store: knows which contents are recorded, and has the pieces of a restored copy.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self._store = store
        self._uploads = folder / UPLOADS
        self._contents = folder / CONTENTS

    def put(self, upload: str, start: int, data: bytes) -> None:
        """As in `Blobs`. The bytes are written at their offset and flushed to the disk, with the name of a new file.

        A name that a power loss took away would leave recorded chunks without their bytes.
        """
        path = self._uploads / upload
        with _full_disk():
            is_new = not path.exists()
            if is_new and not self._uploads.is_dir():
                self._uploads.mkdir(mode=0o700, exist_ok=True)
                _sync_folder(self._uploads.parent)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                view = memoryview(data)
                while view:
                    written = os.pwrite(descriptor, view, start)
                    view, start = view[written:], start + written
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if is_new:
                _sync_folder(self._uploads)

    def uploaded(self, upload: str, size: int) -> Iterator[bytes]:
        """As in `Blobs`."""
        return _read_file(os.open(self._uploads / upload, os.O_RDONLY), 0, size)

    def adopt(self, upload: str, hash_: str) -> bytes:
        """As in `Blobs`: the file gets its final name, which is flushed to the disk."""
        with _full_disk():
            target = self.path_of(hash_)
            if not target.parent.is_dir():
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _sync_folder(self._contents)
                _sync_folder(self._contents.parent)
            (self._uploads / upload).replace(target)
            _sync_folder(target.parent)
        return b""

    def discard(self, uploads: Collection[str]) -> None:
        """As in `Blobs`."""
        for upload in uploads:
            (self._uploads / upload).unlink(missing_ok=True)

    def read(self, workspace: int, hash_: str, start: int, length: int) -> Iterator[bytes]:
        """As in `Blobs`. Equal contents of two workspaces are one file."""
        try:
            descriptor = os.open(self.path_of(hash_), os.O_RDONLY)
        except FileNotFoundError:
            return read_pieces(self._store, hash_, start, length)
        return _read_file(descriptor, start, length)

    def sweep(self, now: int) -> None:
        """As in `Blobs`: files that are older than 48 hours and that the database does not name.

        Call it before requests are served: an upload could adopt such a file just before it is removed.
        """
        for path in self._old(self._uploads, "*", now):
            path.unlink(missing_ok=True)
        old = {path.name: path for path in self._old(self._contents, "??/*", now) if _HASH.fullmatch(path.name)}
        with self._store.read() as session:
            known = session.known_anywhere(old)
        for hash_ in old.keys() - known:
            old[hash_].unlink(missing_ok=True)

    def path_of(self, hash_: str) -> Path:
        """Return the file of a content."""
        return self._contents / hash_[:2] / hash_

    def _old(self, folder: Path, pattern: str, now: int) -> Iterator[Path]:
        for path in folder.glob(pattern):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime * 1000 < now - KEPT_MS:
                    yield path


def _read_file(descriptor: int, start: int, length: int) -> Iterator[bytes]:
    """Yield bytes of an open file, which is closed at the end.

    Raises:
        LookupError: the file is shorter.
    """
    try:
        at, end = start, start + length
        while at < end:
            piece = os.pread(descriptor, min(PIECE_BYTES, end - at), at)
            if not piece:
                raise LookupError(f"a stored content ends at {at} instead of {end}")
            yield piece
            at += len(piece)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull(error.strerror) from error
        raise


def copy_blobs(copy: sqlite3.Connection, folder: Path) -> None:
    """Add the contents that are files of a hub's folder to a copy of its database, which then is complete.

    A hub on a restored copy reads them from there.

    Raises:
        StoreError: a content is missing.
    """
    if copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'pieces'").fetchone() is None:
        return
    query = "SELECT hash, size FROM contents WHERE encoding = ? AND length(data) = 0"
    for raw, size in copy.execute(query, (int(Encoding.BLOB),)).fetchall():
        hash_ = raw.hex()
        path = folder / CONTENTS / hash_[:2] / hash_
        held = "SELECT coalesce(sum(length(data)), 0) FROM pieces WHERE owner = ?"
        if copy.execute(held, (hash_,)).fetchone()[0] == size:
            continue
        try:
            with path.open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    row = (hash_, file.tell() - len(piece), piece)
                    copy.execute("INSERT OR REPLACE INTO pieces (owner, start, data) VALUES (?, ?, ?)", row)
        except FileNotFoundError:
            raise StoreError(f"The content {path} is missing, so nothing was copied.") from None


def blobs_of(folder: Path, store: SqlStore) -> FileBlobs | TableBlobs:
    """Return the store of blobs that goes with a database: files in the hub's folder, unless other hubs share it."""
    return TableBlobs(store) if store.is_shared or store.is_in_memory else FileBlobs(folder, store)
