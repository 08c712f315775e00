"""What the tests of the watcher share: who collects its notices, and what it holds of the system."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from pathlib import Path

from agent.disk.watch.events import ChangedPaths


class Notices:
    """Collects what is posted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._finished: frozenset[str] = frozenset()
        self._rescans = 0

    def __call__(self, noticed: ChangedPaths, /) -> None:
        with self._lock:
            self._paths |= noticed.paths
            self._finished = self._finished - noticed.paths | noticed.finished
            self._rescans += noticed.rescan

    def paths(self) -> set[str]:
        with self._lock:
            return set(self._paths)

    def hold(self, *paths: str) -> bool:
        return self.paths().issuperset(paths)

    def finished(self) -> set[str]:
        """The paths whose last notice said that they are finished."""
        with self._lock:
            return set(self._finished)

    def forget(self) -> None:
        with self._lock:
            self._paths.clear()
            self._finished = frozenset()

    def rescans(self) -> int:
        with self._lock:
            return self._rescans


def descriptors() -> list[str]:
    """What this process has open that watching opens."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sorted(name for name in found if "inotify" in name or name.startswith("pipe:"))


def opened_since(before: list[str]) -> list[str]:
    """What of ``descriptors`` is open now and was not; what others closed meanwhile does not count."""
    return sorted((Counter(descriptors()) - Counter(before)).elements())


def watches() -> int:
    """How many inotify watches this process holds."""
    count = 0
    for info in Path("/proc/self/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            count += info.read_text().count("inotify wd:")
    return count
