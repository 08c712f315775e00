"""Size of the folder, and what was transferred: the series of the charts, written with the activity log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from agent.core.model import Side
from agent.index.store import Index

_COUNT_AGAIN: Final = 60.0
"""Seconds between two counts of the whole folder for the series."""


class TrafficCounter:
    """Counts of one source; the rows are in ``agent.index.traffic``.

    Attributes:
        sent, received: bytes of the files transferred since the last ``write``.
    """

    def __init__(self, index: Index, source: int) -> None:
        self._index = index
        self._source = source
        self._totals: tuple[int, int] | None = None
        self._counted_at = float("-inf")
        self.sent = 0
        self.received = 0

    def totals(self, now: float) -> tuple[int, int]:
        """Return the number of local files and their bytes. Counted once, then updated with each change."""
        if self._totals is None:
            self._totals = self._index.trees.totals(self._source)
            self._counted_at = now
        return self._totals

    def recount(self, before: Iterable[Side | None], after: Iterable[Side]) -> None:
        """Update the totals. An unknown old side (None) makes the next ``totals`` count again."""
        if self._totals is None:
            return
        files, size = self._totals
        for old, new in zip(before, after, strict=True):
            if old is None:
                self._totals = None
                return
            files += new.is_file - old.is_file
            size += (new.size or 0 if new.is_file else 0) - (old.size or 0 if old.is_file else 0)
        self._totals = files, size

    def write(self, now: float, changes: int) -> None:
        """Add what happened since the last call to the series.

        Args:
            now: seconds since the epoch.
            changes: new entries of the activity log about files; with 0 nothing is written.
        """
        if changes:
            folder = None
            if self._totals is not None or now >= self._counted_at + _COUNT_AGAIN:
                folder = self.totals(now)
            self._index.traffic.add(self._source, now, changes, self.sent, self.received, folder)
            self.sent = self.received = 0
