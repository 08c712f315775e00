"""Heartbeats and feed positions of connectors, collected in memory and written together."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.hub.domain.model import ConnectorPosition

FLUSH_MS: Final = 10_000
"""Milliseconds between two writes. A hub that is killed forgets what it heard since the last one."""
MOST_POSITIONS: Final = 10_000
"""Positions that are remembered, so that the same one is not written again."""


@dataclass(frozen=True, slots=True)
class HeartbeatBatch:
    """Signs of life that are to be written together.

    Attributes:
        seen: time of the newest heartbeat in milliseconds, by connector.
        positions: new positions, by (connector, number of the source).
    """

    seen: Mapping[str, int] = field(default_factory=dict)
    positions: Mapping[tuple[str, int], ConnectorPosition] = field(default_factory=dict)


class HeartbeatBuffer:
    """The newest heartbeat and position of each connector since the last write. Safe to use from several threads.

    A heartbeat by itself would cost a transaction; a thousand of them cost one. A position that did not change costs
    nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}
        self._new: dict[tuple[str, int], ConnectorPosition] = {}
        self._known: dict[tuple[str, int], ConnectorPosition] = {}
        self._flushed_at = 0

    def add(self, connector: str, now: int, source: int | None = None, position: int = 0) -> HeartbeatBatch | None:
        """Record a heartbeat at a time in milliseconds. Return everything that is to be written now, else None.

        Args:
            source: number of the source whose feed the connector has read up to `position`; None for no source.
        """
        with self._lock:
            self._seen[connector] = now
            if source is not None:
                self._place((connector, source), ConnectorPosition(position, now))
            # A clock that was set back must not delay the next write for long.
            if abs(now - self._flushed_at) < FLUSH_MS:
                return None
            self._flushed_at = now
            batch = HeartbeatBatch(self._seen, self._new)
            self._seen, self._new = {}, {}
            return batch

    def forget(self, connector: str, source: int) -> None:
        """Forget the position of a connector in a source, given by its number."""
        with self._lock:
            self._known.pop((connector, source), None)
            self._new.pop((connector, source), None)

    def put_back(self, batch: HeartbeatBatch) -> None:
        """Take back the positions of a batch that could not be written. Newer ones stay."""
        with self._lock:
            self._new = {**batch.positions, **self._new}

    def positions(self, source: int) -> dict[str, ConnectorPosition]:
        """Return the positions in a source that this hub heard of, by connector. Others may be in the database."""
        with self._lock:
            return {connector: place for (connector, number), place in self._known.items() if number == source}

    def seen_at(self, connector: str) -> int:
        """Return the time of a heartbeat that is not written yet, in milliseconds; 0 for none."""
        with self._lock:
            return self._seen.get(connector, 0)

    def _place(self, key: tuple[str, int], place: ConnectorPosition) -> None:
        known = self._known.get(key)
        if known is not None and known.position == place.position:
            return
        if len(self._known) >= MOST_POSITIONS:
            # Each is written once more when it is heard of again.
            self._known.clear()
        self._known[key] = self._new[key] = place
