"""Mounts for tests: tmpfs, bind mounts, ext4 images and FUSE. A test is skipped where mounting is refused."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def mount(*arguments: str) -> None:
    """Run ``mount``; skip the test if it is refused."""
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.decode().strip()}")


def unmount(folder: Path, *flags: str) -> None:
    """Run ``umount``; fails if the mount is busy."""
    subprocess.run(["umount", *flags, str(folder)], check=True, capture_output=True)


def is_mounted(folder: Path) -> bool:
    """Return True if something is mounted at ``folder``; ``Path.is_mount`` does not recognise a bind mount."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return str(folder).replace(" ", "\\040") in {line.split()[4] for line in lines}


@contextlib.contextmanager
def bind_mounted(source: Path, folder: Path) -> Iterator[None]:
    """``source`` is mounted at ``folder``, with the device number of the file system both lie on."""
    mount("--bind", str(source), str(folder))
    try:
        yield
    finally:
        if is_mounted(folder):
            unmount(folder, "-l")


@contextlib.contextmanager
def tmpfs_mounted(folder: Path) -> Iterator[None]:
    """A tmpfs is mounted at ``folder``."""
    mount("-t", "tmpfs", "none", str(folder))
    try:
        yield
    finally:
        if is_mounted(folder):
            unmount(folder, "-l")


@contextlib.contextmanager
def image_mounted(folder: Path, image: Path) -> Iterator[None]:
    """An ext4 image, made if it is missing, is mounted at ``folder``."""
    if not image.exists():
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("mkfs.ext4 is not installed")
        with image.open("wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    mount("-o", "loop", str(image), str(folder))
    try:
        yield
    finally:
        if is_mounted(folder):
            unmount(folder, "-l")


@contextlib.contextmanager
def fuse_mounted(source: Path, folder: Path) -> Iterator[None]:
    """``source`` is shown at ``folder`` through a FUSE process."""
    if shutil.which("bindfs") is None:
        pytest.skip("bindfs is not installed")
    done = subprocess.run(["bindfs", str(source), str(folder)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no FUSE here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        if is_mounted(folder):
            unmount(folder, "-l")
