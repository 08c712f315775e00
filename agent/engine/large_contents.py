"""Paths with work whose content is too large for an event, a head or a batch. It travels as a transfer of its own."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from agent.core.reconcile import Step
from agent.index.trees import PathRow


class LargeContents(Struct):
    """A mirror of the rows whose next step moves a large content.

    Attributes:
        pulls: paths to download, with their bytes.
        pushes: paths to upload, with their bytes and sha256.
        bare: path to the sha256 of a head that the server sent without its content, whatever its size.
    """

    pulls: dict[str, int] = field(default_factory=dict)
    pushes: dict[str, tuple[int, str]] = field(default_factory=dict)
    bare: dict[str, str] = field(default_factory=dict)

    def record(self, rows: Iterable[PathRow], limit: int) -> None:
        """Mirror written rows. ``limit``: bytes from which on a content is large, exclusive."""
        for row in rows:
            path, remote, local = row.path, row.remote, row.local
            if path in self.bare and self.bare[path] != remote.hash:
                del self.bare[path]
            if row.step is Step.PULL and remote.size is not None and (remote.size > limit or path in self.bare):
                self.pulls[path] = remote.size
            else:
                self.pulls.pop(path, None)
            if row.step is Step.PUSH and local.hash is not None and (local.size or 0) > limit:
                self.pushes[path] = (local.size or 0, local.hash)
            else:
                self.pushes.pop(path, None)

    def head_is_bare(self, row: PathRow, limit: int) -> bool:
        """Record that the head of a row came without its content; returns False if its size is not known."""
        if row.remote.size is None or row.remote.hash is None:
            return False
        self.bare[row.path] = row.remote.hash
        self.record([row], limit)
        return True

    def clear(self) -> None:
        """Forget everything: the rows are read again."""
        self.pulls.clear()
        self.pushes.clear()
        self.bare.clear()
