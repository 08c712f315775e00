"""Reading a file's bytes for sending."""

from __future__ import annotations

import hashlib

from agent.core.errors import DiskError
from agent.disk.digest import CHUNK
from agent.disk.root import Root


def read_exactly(root: Root, path: str, sha256: str, size: int) -> bytes | None:
    """The bytes at ``path``, if they are the ones with this hash; None if anything else stands there now.

    What is sent is what was hashed: the bytes are checked after they are read, so a file that changes meanwhile is
    never sent under another version's hash.
    """
    try:
        with root.parent(path) as (handle, name):
            file = root.fs.open_file(handle, name)
            try:
                parts = []
                left = size + 1
                while left > 0 and (part := root.fs.read(file, min(CHUNK, left))):
                    parts.append(part)
                    left -= len(part)
            finally:
                root.fs.close(file)
    except (OSError, DiskError):
        return None
    content = b"".join(parts)
    return content if hashlib.sha256(content).hexdigest() == sha256 else None
