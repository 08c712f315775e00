"""The folders that paths lie in, walked to once for several files in a row."""

from __future__ import annotations

from typing import Final

from agent.core.errors import DiskError
from agent.disk.fs.protocol import Dir
from agent.disk.root import Root

KEPT_FOR: Final = 32
"""Files for which a folder is kept open. A folder may be moved away while it is used, whether it was walked to for one
file or for a few; so many take no longer than a thread that has to wait its turn in between."""


class ParentCache:
    """The folder the last path lay in, kept open for the next one. Used by one thread at a time.

    A kept handle stays the folder it was: no link put in its place leads anywhere else. Whether its path still led to
    it is looked at once it is let go.

    Attributes:
        strayed: paths whose folder stood elsewhere by the time it was let go: what was seen there was seen elsewhere.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._above: str | None = None
        self._handle = root.handle
        self._used: list[str] = []
        self.strayed: set[str] = set()

    @property
    def kept(self) -> bool:
        """Whether the folder was not walked to for the last path, but for one before it."""
        return len(self._used) > 1

    def of(self, path: str, create: list[str] | None = None) -> tuple[Dir, str]:
        """The folder ``path`` lies in, good until the next question, and the path's last part.

        Given a list, missing folders are made and their paths appended to it. Raises as ``Root.folder`` does.
        """
        above, _, name = path.rpartition("/")
        if above != self._above or len(self._used) >= KEPT_FOR:
            self.leave()
            self._handle = self._root.open_folder(above, create)
            self._above = above
        self._used.append(path)
        return self._handle, name

    def leave(self) -> None:
        """Lets the folder go, having looked whether it still stands where it was walked to."""
        if self._above is None:
            return
        if self._handle != self._root.handle:
            if not self._still_there(self._above):
                self.strayed.update(self._used)
            self._root.fs.close(self._handle)
        self._above = None
        self._used = []

    def _still_there(self, above: str) -> bool:
        fs = self._root.fs
        try:
            with self._root.folder(above) as again:
                found, kept = fs.fstat(again), fs.fstat(self._handle)
        except (OSError, DiskError):
            return False
        return (found.device, found.inode) == (kept.device, kept.inode)
