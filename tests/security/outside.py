"""What lies outside the synced folder, and somebody who puts a link to it in the way."""

from __future__ import annotations

import ctypes
import os
import stat
import threading
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2
_LIBC = ctypes.CDLL(None, use_errno=True)

IN_OPEN = 0x20
IN_NONBLOCK = os.O_NONBLOCK

Tree = dict[str, tuple[int, int, bytes]]


def tree(top: Path) -> Tree:
    """Everything below a folder: mode, time of the last change, and bytes or target; links are not followed."""
    found: Tree = {}
    for where, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = Path(where) / name
            seen = path.lstat()
            if stat.S_ISREG(seen.st_mode):
                held = path.read_bytes()
            else:
                held = os.fsencode(path.readlink()) if stat.S_ISLNK(seen.st_mode) else b""
            found[str(path.relative_to(top))] = (seen.st_mode, seen.st_mtime_ns, held)
    return found


def exchange(one: Path, other: Path) -> None:
    """Two names change places in one step."""
    if _LIBC.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


class Opened:
    """Notices whether somebody opens one of these, until the block ends.

    Attributes:
        times: how often that happened; told with the end of the block.
    """

    def __init__(self, *paths: Path) -> None:
        self.times = 0
        self._paths = paths
        self._watch = -1

    def __enter__(self) -> Opened:
        self._watch = _LIBC.inotify_init1(IN_NONBLOCK)
        for path in self._paths:
            if _LIBC.inotify_add_watch(self._watch, os.fsencode(path), IN_OPEN) < 0:
                raise OSError(ctypes.get_errno(), f"inotify {path}")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            while True:
                # No event of a watched file itself carries a name, so each is sixteen bytes long.
                self.times += len(os.read(self._watch, 16 * 1024)) // 16
        except BlockingIOError:
            pass
        finally:
            os.close(self._watch)


class Swapper:
    """Lets a folder and a link change places in a tight loop, until the block ends; then the folder stands again.

    Attributes:
        turns: how often the link stood in the folder's place.
    """

    def __init__(self, folder: Path, link: Path) -> None:
        self.turns = 0
        self._folder = folder
        self._link = link
        self._ending = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._swap)

    def _swap(self) -> None:
        try:
            while not self._ending.is_set():
                exchange(self._folder, self._link)
                self.turns += 1
                if self.turns % 8 == 0:
                    self._ending.wait(0.0002)
                exchange(self._folder, self._link)
                # The server's threads in this process want their turn too.
                self._ending.wait(0.0002)
        except BaseException as error:
            self._failure = error

    def __enter__(self) -> Swapper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
