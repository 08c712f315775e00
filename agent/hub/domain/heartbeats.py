"""Heartbeats of connectors, collected in memory and written together."""

from __future__ import annotations

import threading
from typing import Final

FLUSH_MS: Final = 10_000
"""Milliseconds between two writes. A hub that is killed forgets the heartbeats since the last one."""


class HeartbeatBuffer:
    """The newest heartbeat of each connector since the last write. Safe to use from several threads.

    A heartbeat by itself would cost a transaction; a thousand of them cost one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}
        self._flushed_at = 0

    def add(self, connector: str, now: int) -> dict[str, int]:
        """Record a heartbeat at a time in milliseconds. Return all of them if they are to be written now, else {}."""
        with self._lock:
            self._seen[connector] = now
            # A clock that was set back must not delay the next write for long.
            if abs(now - self._flushed_at) < FLUSH_MS:
                return {}
            self._flushed_at = now
            seen, self._seen = self._seen, {}
            return seen
