"""A preallocated file beside the SQLite database. Deleting it gives SQLite the space to finish on a full disk."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 8 * 1024 * 1024
"""Twice the log that SQLite writes before it copies it into the database (1,000 pages of 4 KiB)."""
RESERVE_FILE: Final = "reserve"


class DiskReserve:
    """Disk space kept for the database. Contents are refused while the reserve cannot be allocated.

    Args:
        path: the file that occupies the space.
        size: bytes.
    """

    def __init__(self, path: Path, size: int = RESERVE_BYTES) -> None:
        self._path = path
        self._size = size

    def allocate(self) -> bool:
        """Occupy the space. Return False, with nothing left behind, if the disk has not enough of it."""
        with contextlib.suppress(OSError):
            if self._path.stat().st_size >= self._size:
                return True
        part = self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _occupy(descriptor, self._size)
            finally:
                os.close(descriptor)
            part.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            return False
        return True

    def release(self) -> None:
        """Give the space to the database."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def free_bytes(self) -> int | None:
        """Return the free space of the disk in bytes, None if the system does not say."""
        try:
            found = os.statvfs(self._path.parent)
        except OSError:
            return None
        return found.f_bavail * found.f_frsize


def _occupy(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    block = bytes(1024 * 1024)
    for _ in range(0, size, len(block)):
        os.write(descriptor, block)
