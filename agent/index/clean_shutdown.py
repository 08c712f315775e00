"""Whether anybody touched the index since it was closed in good order.

Checking an index costs what there is of it, at every start; what nobody touched since it was found sound, and was
written by nobody but SQLite until it was closed, need not be checked again.
"""

from __future__ import annotations

import contextlib
from pathlib import Path


def mark_clean(path: Path) -> None:
    """Note how a closed index stands; not while its WAL is there, which somebody still has to bring home."""
    with contextlib.suppress(OSError):
        if not _wal_of(path).exists():
            _seal_of(path).touch(0o600)
            _seal_of(path).write_text(_state_of(path))


def was_clean(path: Path) -> bool:
    """Whether the index stands as it was sealed. The seal is gone afterwards: a process that dies leaves none."""
    try:
        sealed = _seal_of(path).read_text()
        _seal_of(path).unlink()
        return sealed == _state_of(path) and not _wal_of(path).exists()
    except (OSError, UnicodeDecodeError):
        return False


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.closed")


def _wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _state_of(path: Path) -> str:
    found = path.stat()
    # The time of change cannot be put back by who writes to the file, as that of its content can.
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino} {found.st_dev}\n"
