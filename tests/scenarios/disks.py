"""Machines on disks that fold case, and on those that do not."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import Home

_AGENT = Path(__file__).with_name("folding_agent.py")


class FoldingHome(Home):
    """A home whose daemon sees its folder through ``FoldingFs``; nothing else of it may look at the folder."""

    def start(self) -> subprocess.Popen[bytes]:
        """As in ``Home``."""
        return subprocess.Popen(
            [sys.executable, "-P", str(_AGENT)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=self.env, cwd="/",
        )  # fmt: skip


@contextlib.contextmanager
def folding_mount(folder: Path, image: Path) -> Iterator[None]:
    """A real file system that folds case at the folder; skips where none can be mounted."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("only root, with mkfs.ext4, can make a file system that folds case")
    with image.open("wb") as file:
        file.truncate(32 << 20)
    steps = (
        ["mkfs.ext4", "-q", "-O", "casefold", "-E", "encoding=utf8", str(image)],
        ["mount", "-o", "loop", str(image), str(folder)],
    )
    if any(subprocess.run(step, check=False, capture_output=True).returncode != 0 for step in steps):
        pytest.skip("nothing here makes or mounts a file system that folds case")
    try:
        (folder / "lost+found").rmdir()
        subprocess.run(["chattr", "+F", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
