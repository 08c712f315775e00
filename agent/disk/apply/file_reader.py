"""Reading a file's bytes for sending."""

from __future__ import annotations

import hashlib

from agent.core.errors import DiskError
from agent.disk.fs.protocol import File, Fs
from agent.disk.root import Root
from agent.disk.scan.digest import CHUNK
from agent.disk.scan.parent_cache import ParentCache


class FileReader:
    """Reads files for sending, those of one folder in a row by one walk to it. Used by one thread, then closed."""

    def __init__(self, root: Root) -> None:
        self._fs = root.fs
        self._parents = ParentCache(root)

    def read(self, path: str, sha256: str, size: int) -> bytes | None:
        """The bytes at ``path``, if they are the ones with this hash; None if anything else stands there now.

        What is sent is what was hashed: the bytes are checked after they are read, so a file that changes meanwhile,
        or a folder that is moved away, is never sent under another version's hash.
        """
        try:
            handle, name = self._parents.open_parent(path)
            file = self._fs.open_file(handle, name)
            try:
                content = _up_to(self._fs, file, size + 1)
            finally:
                self._fs.close(file)
        except (OSError, DiskError):
            return None
        return content if hashlib.sha256(content).hexdigest() == sha256 else None

    def close(self) -> None:
        """Let go of the last folder."""
        self._parents.release()


def _up_to(fs: Fs, file: File, limit: int) -> bytes:
    """The first bytes of a file. One byte less than the limit is all of it, whatever another read would say."""
    content = fs.read(file, min(CHUNK, limit))
    if len(content) >= limit - 1:
        return content
    parts = [content]
    left = limit - len(content)
    while left > 1 and (part := fs.read(file, min(CHUNK, left))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
