"""The daemon over a file system that kills or refuses at a chosen call; ``support/fork_server.py`` runs ``main``.

Composed as ``raven-agent run`` composes it, but for the file system. The calls are those of
``agent.disk.fs.protocol.Fs``; those that change something are counted apart, because most of them only look.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import threading
from pathlib import Path
from typing import Any, Final

from agent.cli.commands.run import stop_on_signal
from agent.cli.logsetup import log_as_daemon
from agent.daemon.foreground import run_foreground
from agent.disk.fs.posix import PosixFs
from agent.disk.fs.protocol import Dir
from agent.settings.config_file import load_settings
from agent.settings.home import Home
from support.derived_fs import DerivedFsCalls

CHANGING: Final = frozenset(
    {
        "create", "write", "copy_range", "clone_attributes", "fsync", "fsync_dir", "syncfs", "mkdir", "rmdir",
        "exchange", "rename", "rename_noreplace", "unlink",
    }
)  # fmt: skip
FOLDERS: Final = frozenset({"fsync_dir"})
_READING: Final = frozenset({"open_root", "open_dir", "entries", "stat", "fstat", "open_file", "read", "read_at"})
COUNTED: Final = {"changing": CHANGING, "all": CHANGING | _READING, "folders": FOLDERS}


class Doom:
    """Kills this process with SIGKILL in the middle of the N-th counted call; 0 for never.

    Attributes:
        armed: calls before that are not counted.
    """

    def __init__(self, number: int, counted: frozenset[str]) -> None:
        self._left = number
        self._counted = counted
        self._lock = threading.Lock()
        self.armed = threading.Event()

    def strikes(self, name: str) -> bool:
        """Whether this is the call to die in; says so on stderr, as last words."""
        if name not in self._counted or not self.armed.is_set():
            return False
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.write(2, f"died in {name}\n".encode())
            return self._left == 0


def die() -> None:
    """End this process as a power switch would, as far as a process can."""
    os.kill(os.getpid(), signal.SIGKILL)


class DyingFs(DerivedFsCalls):
    """The real file system, seen through a doom.

    Args:
        without_exchange: names cannot be exchanged here, nor renamed without replacing in one call.
        full: while this file exists the disk takes no more bytes.
    """

    def __init__(self, doom: Doom, without_exchange: bool = False, full: Path | None = None) -> None:
        self._real = PosixFs()
        self._doom = doom
        self._without_exchange = without_exchange
        self._full = full

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name not in CHANGING and name not in _READING:
            return real

        def call(*args: Any) -> Any:
            if self._doom.strikes(name):
                die()
            return real(*args)

        return call

    def write(self, file: int, data: bytes) -> None:
        """Dies with half of the bytes written; fails when the disk is full, with half of them written too."""
        half = data[: len(data) // 2]
        if self._doom.strikes("write"):
            os.write(file, half)
            die()
        if self._full is not None and self._full.exists():
            os.write(file, half)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.write(file, half)
        os.write(file, data[len(half) :])

    def exchange(self, *args: Any) -> None:
        """Dies before it, or lacks the call."""
        if self._doom.strikes("exchange"):
            die()
        if self._without_exchange:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._real.exchange(*args)

    def rename_noreplace(self, source: Dir, old: str, target: Dir, new: str) -> None:
        """Dies before it; where it is a link and an unlink also between the two."""
        if self._doom.strikes("rename_noreplace"):
            die()
        if not self._without_exchange:
            self._real.rename_noreplace(source, old, target, new)
            return
        os.link(old, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        if self._doom.strikes("rename_noreplace"):
            die()
        os.unlink(old, dir_fd=source)


def main() -> None:
    """Run until told to stop, or until the doom strikes."""
    parser = argparse.ArgumentParser(prog="fault_agent")
    parser.add_argument("--die-at", type=int, default=0, metavar="N", help="the counted call to die in")
    parser.add_argument("--count", choices=tuple(COUNTED), default="changing")
    parser.add_argument("--armed", action="store_true", help="count from the start, not only from SIGUSR1 on")
    parser.add_argument("--without-exchange", action="store_true")
    parser.add_argument("--full", type=Path, metavar="FILE", help="the disk is full while this file exists")
    chosen = parser.parse_args()
    doom = Doom(chosen.die_at, COUNTED[chosen.count])
    if chosen.armed:
        doom.armed.set()
    signal.signal(signal.SIGUSR1, lambda _number, _frame: doom.armed.set())
    home = Home.from_environment(os.environ)
    settings = load_settings(home)
    home.create()
    with stop_on_signal() as stop:
        log_as_daemon(home, settings)
        fs: Any = DyingFs(doom, chosen.without_exchange, chosen.full)
        run_foreground(home, settings, lambda: None, stop, fs)
