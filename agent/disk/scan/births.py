"""Birth times of observed files."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.model import IndexedFile, Observation
from agent.disk.fs.protocol import Dir, Fs


def with_birth(fs: Fs, handle: Dir, seen: Observation, known: IndexedFile | None) -> Observation:
    """Add the birth time of an inode that the index does not hold for this path.

    It distinguishes a renamed file from a new one that was given the inode of a deleted file.
    """
    stored = seen.fingerprint
    if stored is None or (known is not None and known.inode == stored.inode):
        return seen
    try:
        born_ns = fs.birth_ns(handle, seen.path.rpartition("/")[2], stored.inode)
    except OSError:
        return seen
    return seen if born_ns is None else replace(seen, born_ns=born_ns)
