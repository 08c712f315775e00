"""Make the bytes of many files durable: one ``syncfs`` where that is cheaper than an ``fsync`` for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.disk.fs.protocol import UNSUPPORTED, Dir, Fs

GROUP_SYNC: Final = 8
"""Number of files from which one ``syncfs`` is cheaper than an fsync for each. For fewer files, it would wait for the
writes of other programs.
"""


def sync_all(fs: Fs, folder: Dir) -> bool:
    """Sync the whole file system at once; False if the system has no such call. Raises OSError."""
    try:
        fs.syncfs(folder)
    except OSError as failure:
        if failure.errno not in UNSUPPORTED:
            raise
        return False
    return True


def sync_files(fs: Fs, folder: Dir, names: Sequence[str]) -> None:
    """Make the bytes of these files durable. Raises OSError."""
    if len(names) >= GROUP_SYNC and sync_all(fs, folder):
        return
    for name in names:
        file = fs.open_file(folder, name)
        try:
            fs.fsync(file)
        finally:
            fs.close(file)
