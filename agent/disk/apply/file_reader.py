"""Reads the bytes of files for an upload."""

from __future__ import annotations

import hashlib

from agent.core.errors import DiskError
from agent.disk.fs.protocol import File, Fs
from agent.disk.root import Root
from agent.disk.scan.digest import CHUNK
from agent.disk.scan.parent_cache import ParentCache


class FileReader:
    """Reads files for an upload. Files of one folder in a row cost one walk to it. Used by one thread, then closed."""

    def __init__(self, root: Root) -> None:
        self._fs = root.fs
        self._parents = ParentCache(root)

    def read(self, path: str, sha256: str, size: int) -> bytes | None:
        """Return the bytes at ``path`` if they have this hash; None if anything else is there now.

        The hash is checked after the read. So a file that changes during the read, or whose folder is moved away, is
        never sent under the hash of another version.
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

    def close(self) -> None:
        """Close the last folder."""
        self._parents.release()


def _read_up_to(fs: Fs, file: File, limit: int) -> bytes:
    """Return the first ``limit`` bytes of a file. One byte less than the limit is the whole expected file."""
    content = fs.read(file, min(CHUNK, limit))
    if len(content) >= limit - 1:
        return content
    parts = [content]
    left = limit - len(content)
    while left > 1 and (part := fs.read(file, min(CHUNK, left))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
