"""Files that their writer has finished, concluded from inotify's events."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from watchdog.observers.inotify_c import InotifyConstants

_MOST: Final = 10_000
"""Files that are remembered, and moves whose second event is awaited."""


class FinishedFiles:
    """Files whose last change ended with a close after writing, or with a rename from outside the selection.

    A file that was renamed from another selected path is not among them: both paths must be scanned together, or the
    move would be taken for an upload and a delete.
    """

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._moves: set[int] = set()
        """Cookies of selected files that were renamed, until their new path is known."""

    def record(self, path: str, mask: int, cookie: int) -> None:
        """Take in one event of a selected file."""
        if len(self._files) >= _MOST or len(self._moves) >= _MOST:
            # To forget them is safe: a file then waits until it is quiet.
            self._files.clear()
            self._moves.clear()
        if mask & InotifyConstants.IN_MOVED_FROM:
            self._moves.add(cookie)
        if mask & InotifyConstants.IN_MOVED_TO:
            self._set(path, finished=cookie not in self._moves)
            self._moves.discard(cookie)
        elif mask & InotifyConstants.IN_CLOSE_WRITE:
            self._set(path, finished=True)
        elif not mask & InotifyConstants.IN_ATTRIB:
            # Permissions and times do not make a text unfinished.
            self._set(path, finished=False)

    def _set(self, path: str, *, finished: bool) -> None:
        if finished:
            self._files.add(path)
        else:
            self._files.discard(path)

    def among(self, paths: Set[str]) -> frozenset[str]:
        """Return those of the paths that are finished."""
        return frozenset(self._files & paths)
