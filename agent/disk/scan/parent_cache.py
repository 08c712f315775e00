"""A cache of one open parent folder, so that several files of one folder cost one walk."""

from __future__ import annotations

from typing import Final

from agent.core.errors import DiskError
from agent.disk.fs.protocol import Dir
from agent.disk.root import Root

KEPT_FOR: Final = 32
"""Number of files for which a folder is kept open. A folder can be moved away during use, whether the walk to it serves
one file or several. So many files take no longer than a thread switch in between."""


class ParentCache:
    """The open parent folder of the last path, reused for the next one. Used by one thread at a time.

    An open handle keeps its folder: a link put in its place leads nowhere else. ``release`` checks afterwards that the
    path still leads to that folder.

    Attributes:
        moved_away: paths whose folder was no longer at its path on release, so that the handle showed another place.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._above: str | None = None
        self._handle: Dir | None = None
        self._used: list[str] = []
        self.moved_away: set[str] = set()

    @property
    def reused(self) -> bool:
        """True if the folder of the last path was opened for an earlier path."""
        return len(self._used) > 1

    def open_parent(self, path: str, create: list[str] | None = None) -> tuple[Dir, str]:
        """Return the folder that contains ``path`` and the last part of the path. Valid until the next call.

        With a list, missing folders are created and their paths appended to it. Raises as ``Root.folder`` does.
        """
        above, _, name = path.rpartition("/")
        if above != self._above or len(self._used) >= KEPT_FOR:
            self.release()
            self._handle = self._root.open_folder(above, create)
            self._above = above
        self._used.append(path)
        assert self._handle is not None
        return self._handle, name

    def release(self) -> None:
        """Close the folder, after a check that its path still leads to it."""
        if self._above is None or self._handle is None:
            return
        above, handle, used = self._above, self._handle, self._used
        self._above, self._handle, self._used = None, None, []
        if handle == self._root.handle:
            return
        try:
            if not self._is_in_place(above, handle):
                self.moved_away.update(used)
        finally:
            self._root.fs.close(handle)

    def _is_in_place(self, above: str, handle: Dir) -> bool:
        fs = self._root.fs
        try:
            with self._root.folder(above) as again:
                found, held = fs.fstat(again), fs.fstat(handle)
        except (OSError, DiskError):
            return False
        return (found.device, found.inode) == (held.device, held.inode)
