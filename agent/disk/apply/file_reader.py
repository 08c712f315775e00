"""Reads the bytes of files for an upload: a small file at once, a large one in pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from agent.core.errors import ContentChanged, DiskError
from agent.core.model import Fingerprint
from agent.disk.fs.protocol import File, Fs, Stamp, stamp_of
from agent.disk.root import Root
from agent.disk.scan.digest import CHUNK, ReadInterrupted, never
from agent.disk.scan.parent_cache import ParentCache


class PieceReader:
    """One file, opened once and read in pieces of one version. Used by one thread, then closed.

    Attributes:
        size: bytes of the file.
    """

    def __init__(self, fs: Fs, file: File, path: str, stamp: Stamp) -> None:
        self.size = stamp[0]
        self._fs = fs
        self._file = file
        self._path = path
        self._stamp = stamp

    def __enter__(self) -> PieceReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from ``offset`` on: ``length`` of them, fewer at the end of the file, none behind it.

        Raises:
            ContentChanged: the file is not the one that was opened any more, or cannot be read any more.
        """
        wanted = max(min(length, self.size - offset), 0)
        try:
            content = self._fs.read_at(self._file, offset, wanted) if wanted else b""
            # A change before the read shows in the stat after it as well, so one stat a piece is enough.
            unchanged = len(content) == wanted and stamp_of(self._fs.fstat(self._file)) == self._stamp
        except OSError as failure:
            raise ContentChanged(f"{self._path} cannot be read any more.") from failure
        if not unchanged:
            raise ContentChanged(f"{self._path} changed while it was read.")
        return content

    def has_hash(self, sha256: str, interrupted: Callable[[], bool] = never) -> bool:
        """Read the whole file in pieces, and return True if it has this hash.

        Raises:
            ContentChanged: as in ``read``.
            ReadInterrupted: ``interrupted`` returned True.
        """
        hasher = hashlib.sha256()
        for offset in range(0, self.size, CHUNK):
            if interrupted():
                raise ReadInterrupted
            hasher.update(self.read(offset, CHUNK))
        return hasher.hexdigest() == sha256

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        if self._file != -1:
            self._fs.close(self._file)
            self._file = File(-1)


class FileReader:
    """Reads files for an upload. Files of one folder in a row cost one walk to it. Used by one thread, then closed."""

    def __init__(self, root: Root, interrupted: Callable[[], bool] = never) -> None:
        self._fs = root.fs
        self._parents = ParentCache(root)
        self._interrupted = interrupted

    def read(self, path: str, sha256: str, size: int) -> bytes | None:
        """Return the bytes at ``path`` if they have this hash; None if anything else is there now.

        The hash is checked after the read. So a file that changes during the read, or whose folder is moved away, is
        never sent under the hash of another version. The bytes are held once in memory; ``open`` is for large files.
        """
        try:
            handle, name = self._parents.open_parent(path)
            file = self._fs.open_file(handle, name)
            try:
                content = _read_up_to(self._fs, file, size + 1)
            finally:
                self._fs.close(file)
        except (OSError, DiskError):
            return None
        return content if hashlib.sha256(content).hexdigest() == sha256 else None

    def open(self, path: str, sha256: str, size: int, known: Fingerprint | None = None) -> PieceReader | None:
        """Open the file at ``path`` for reading in pieces if it has this hash; None if anything else is there now.

        Args:
            known: the stat of the file when its hash was computed. If it is equal and not racy, it proves the hash.
                Otherwise the file is read once, in pieces, to compute it.

        Raises:
            ReadInterrupted: the process is stopping.
        """
        try:
            handle, name = self._parents.open_parent(path)
            file = self._fs.open_file(handle, name)
        except (OSError, DiskError):
            return None
        reader: PieceReader | None = None
        try:
            stamp = stamp_of(self._fs.fstat(file))
            if stamp is not None and stamp[0] == size:
                found = PieceReader(self._fs, file, path, stamp)
                if _is_proof(known, stamp) or found.has_hash(sha256, self._interrupted):
                    reader = found
        except (OSError, ContentChanged):
            return None
        finally:
            if reader is None:
                self._fs.close(file)
        return reader

    def close(self) -> None:
        """Close the last folder."""
        self._parents.release()


def _is_proof(known: Fingerprint | None, stamp: Stamp) -> bool:
    if known is None or known.racy:
        return False
    return (known.size, known.mtime_ns, known.ctime_ns, known.inode) == stamp


def _read_up_to(fs: Fs, file: File, limit: int) -> bytes:
    """Return the first ``limit`` bytes of a file. One byte less than the limit is the whole expected file."""
    content = fs.read(file, limit)
    if len(content) >= limit - 1:
        return content
    whole = bytearray(content)
    while len(whole) < limit - 1 and (part := fs.read(file, min(CHUNK, limit - len(whole)))):
        whole += part
    return bytes(whole)
