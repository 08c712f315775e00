"""What the disk tests share: a room over a real folder, and a file system that fails where it is told to."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.core.model import IndexedFile, Intent, Observation, Purpose
from agent.core.supply import Inline, Supply, Transfer
from agent.disk.apply.downloads import StagedDownloads
from agent.disk.apply.install import Installer
from agent.disk.apply.trash import Trash
from agent.disk.fs.posix import PosixFs
from agent.disk.fs.protocol import Fs
from agent.disk.root import Root
from agent.disk.selection.rules import Rules, Selection
from support.derived_fs import DerivedFsCalls

NOW = 1_750_000_000.0
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes the user it runs as")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def age(path: Path, seconds: float = 60.0) -> None:
    """Makes a file old enough that its stat is proof."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def remember(seen: Observation) -> IndexedFile:
    return IndexedFile.of(seen.path, seen.side, seen.fingerprint)


def intent(
    path: str, new: bytes | None, expected: bytes | None, number: int = 1, purpose: Purpose = Purpose.PULL
) -> Intent:
    return Intent(
        f"{number:016x}",
        path,
        None if new is None else sha(new),
        None if expected is None else sha(expected),
        purpose,
    )


def inline(jobs: Sequence[tuple[Intent, bytes]]) -> list[tuple[Intent, Supply]]:
    """Gives each intent its bytes in memory."""
    return [(job, Inline(content)) for job, content in jobs]


def transfer(path: str, content: bytes, number: int = 1) -> Transfer:
    """A download of these bytes for a path."""
    return Transfer(f"d{number:015x}", path, None, None, sha(content), len(content))


@dataclass
class Room:
    """Everything over one folder."""

    fs: Fs
    root: Root
    selection: Selection
    trash: Trash
    downloads: StagedDownloads
    installer: Installer
    folder: Path
    state: Path

    def fetch(self, wanted: Transfer, content: bytes, piece: int = 8) -> None:
        """Downloads a file, or what is missing of it, in pieces."""
        with self.downloads.begin(wanted) as writer:
            for offset in range(writer.present, len(content), piece):
                writer.append(content[offset : offset + piece])
            writer.finish()

    def close(self) -> None:
        self.trash.close()
        self.root.close()

    def staging(self) -> list[str]:
        return sorted(entry.name for entry in self.fs.entries(self.trash.staging))

    def trashed(self) -> set[bytes]:
        return {self.trash.read(entry.id) for entry in self.trash.entries()}


def open_room(folder: Path, state: Path, fs: Fs | None = None, rules: Rules | None = None) -> Room:
    fs = fs or PosixFs()
    root = Root(fs, str(folder))
    selection = Selection(root, rules or Rules())
    trash = Trash(fs, root, str(state))
    downloads = StagedDownloads(fs, trash)
    installer = Installer(root, trash, selection, downloads=downloads)
    return Room(fs, root, selection, trash, downloads, installer, folder, state)


class Crash(BaseException):
    """The process was killed."""


class WrappedFs(DerivedFsCalls):
    """Passes every call on to the real file system, after asking ``before(name, args)``."""

    def __init__(self, before: Callable[[str, tuple[Any, ...]], None] | None = None) -> None:
        self._real = PosixFs()
        self.before = before

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)

        def call(*args: Any) -> Any:
            if self.before is not None and name != "close":
                self.before(name, args)
            return real(*args)

        return call


class WithoutExchange(WrappedFs):
    """A file system that cannot exchange names, nor rename without replacing in one call."""

    def exchange(self, *args: Any) -> None:
        if self.before is not None:
            self.before("exchange", args)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def rename_noreplace(self, source: int, old: str, target: int, new: str) -> None:
        for name in ("link", "unlink"):
            if self.before is not None:
                self.before(name, (source, old, target, new))
            if name == "link":
                os.link(old, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            else:
                os.unlink(old, dir_fd=source)


def crash_at(number: int, calls: list[str] | None = None) -> Callable[[str, tuple[Any, ...]], None]:
    """From the given call on nothing reaches the disk any more."""
    count = 0

    def before(name: str, _: tuple[Any, ...]) -> None:
        nonlocal count
        count += 1
        if calls is not None:
            calls.append(name)
        if count >= number:
            raise Crash

    return before
