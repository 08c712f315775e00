"""A small file system to fill up."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

LARGEST = 64 * 1024 * 1024
"""Bytes of the largest disk that `fill` fills: never the machine's own."""


@contextlib.contextmanager
def mounted(folder: Path, size: str = "1m") -> Iterator[None]:
    """A small file system at a folder; skips where none can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)], check=False)
    if done.returncode != 0:
        pytest.skip("this machine mounts no tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(file: Path) -> None:
    """Leave not a byte on this file's disk, which must be a small one."""
    disk = os.statvfs(file.parent)
    assert disk.f_blocks * disk.f_frsize <= LARGEST, f"{file.parent} is on a large disk"
    with file.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))
