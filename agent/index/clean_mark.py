"""The mark of a clean shutdown: an index that was not touched since then needs no integrity check at the next start.

The check reads the whole index, so it is worth avoiding.
"""

from __future__ import annotations

import contextlib
from pathlib import Path


def mark_clean(path: Path) -> None:
    """Record size, times and inode of a cleanly closed index.

    Skipped while a WAL file exists, because the WAL is not checkpointed yet.
    """
    with contextlib.suppress(OSError):
        if not _wal_of(path).exists():
            _mark_of(path).touch(0o600)
            _mark_of(path).write_text(_state_of(path))


def was_clean(path: Path) -> bool:
    """True if the index is as it was marked. The mark is removed, so that a process that dies leaves none."""
    try:
        marked = _mark_of(path).read_text()
        _mark_of(path).unlink()
        return marked == _state_of(path) and not _wal_of(path).exists()
    except (OSError, UnicodeDecodeError):
        return False


def _mark_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.closed")


def _wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _state_of(path: Path) -> str:
    found = path.stat()
    # Programs can set the mtime back, but not the ctime.
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino} {found.st_dev}\n"
