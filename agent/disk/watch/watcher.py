"""The watcher of one root: it selects the platform's backend and scans at intervals where that misses changes."""

from __future__ import annotations

import sys
import threading
from typing import Final

from agent.disk.selection.rules import Selection
from agent.disk.watch.events import ChangedPaths, MakeBackend, PostChanges, ScopeFilter, WatchGap

DEGRADED_RESCAN_SECONDS: Final = 30.0


class Watcher:
    """Watches one root on a thread of its own.

    Args:
        root_path: absolute path of the root.
        selection: the rules of the root.
        post: receiver of the notifications.
        backend: constructor of the watch backend; by default the best one of the platform.
        rescan_seconds: interval of whole scans while ``degraded``.
    """

    def __init__(
        self,
        root_path: str,
        selection: Selection,
        post: PostChanges,
        *,
        backend: MakeBackend | None = None,
        rescan_seconds: float = DEGRADED_RESCAN_SECONDS,
    ) -> None:
        self._post = post
        self._rescan_seconds = rescan_seconds
        self._gaps: dict[WatchGap, str] = {}
        self._stopped = threading.Event()
        self._rescans: threading.Thread | None = None
        self._lock = threading.Lock()
        self._backend = (backend or default_backend())(root_path, ScopeFilter(selection), post, self._degrade)

    @property
    def degraded(self) -> str | None:
        """The reason why changes may be noticed late, in words for a person; None if all are noticed at once."""
        return "; ".join(self._gaps.values()) or None

    def start(self) -> None:
        """Start watching. Every change after the return is posted by its path or covered by a rescan."""
        try:
            reason = self._backend.start()
        except OSError as failure:
            reason = f"the folder cannot be watched: {failure.strerror or failure}"
        if reason is not None:
            self._degrade(WatchGap.ROOT, reason)

    def stop(self) -> None:
        """Stop watching. Nothing is posted after the return."""
        self._stopped.set()
        self._backend.stop()
        with self._lock:
            rescans = self._rescans
        if rescans is not None:
            rescans.join()

    def _degrade(self, gap: WatchGap, reason: str | None) -> None:
        with self._lock:
            # Replaced as a whole: other threads read it without the lock.
            self._gaps = {other: text for other, text in self._gaps.items() if other is not gap}
            if reason is None:
                return
            self._gaps[gap] = reason
            if self._rescans is None and not self._stopped.is_set():
                self._rescans = threading.Thread(target=self._rescan, name="rescan", daemon=True)
                self._rescans.start()

    def _rescan(self) -> None:
        while not self._stopped.wait(self._rescan_seconds):
            with self._lock:
                if not self._gaps:
                    self._rescans = None
                    return
            self._post(ChangedPaths(frozenset(), rescan=True))


def default_backend() -> MakeBackend:
    """Return the constructor of this platform's best backend."""
    if sys.platform == "linux":
        from agent.disk.watch.inotify import InotifyBackend

        return InotifyBackend
    from agent.disk.watch.fsevents import FseventsBackend

    return FseventsBackend
