"""The response to dropped change notifications: renew the watches, or fall back to scans at intervals."""

from __future__ import annotations

import enum
from collections import deque
from typing import Final

SETTLE_SECONDS: Final = 1.0
"""Time without a further loss after which the response is due: one burst of changes can overflow the queue often."""
LONGEST_BURST_SECONDS: Final = 10.0
WINDOW_SECONDS: Final = 60.0
MOST_IN_WINDOW: Final = 2
QUIET_SECONDS: Final = 300.0


class LossResponse(enum.Enum):
    """The action after the kernel dropped events."""

    RENEW = "renew"
    """Compare all watches with the folders, and scan the whole folder once."""
    FALL_BACK = "fall_back"
    """Losses are too frequent for that: only scan at intervals, and report it."""
    RECOVER = "recover"
    """As RENEW; the fall-back is over."""


class LossTracker:
    """The rate at which events are lost. Times are seconds of a monotonic clock.

    More than ``MOST_IN_WINDOW`` renewals within ``WINDOW_SECONDS`` would use too much of a processor, so the next one
    becomes a fall-back. ``QUIET_SECONDS`` without a loss end it.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = 0.0
        self._renewals: deque[float] = deque(maxlen=MOST_IN_WINDOW)
        self._fallen_back = False

    def lost(self, now: float) -> None:
        """Record one loss."""
        self._first = now if self._first is None else self._first
        self._last = now

    def response(self, now: float) -> LossResponse | None:
        """Return the response that is due now, once; None if none is due."""
        due_in = self.seconds_to_response(now)
        if due_in is None or due_in > 0:
            return None
        self._first = None
        if self._fallen_back:
            self._fallen_back = False
            self._renewals.clear()
            return LossResponse.RECOVER
        if len(self._renewals) == MOST_IN_WINDOW and now - self._renewals[0] <= WINDOW_SECONDS:
            self._fallen_back = True
            return LossResponse.FALL_BACK
        self._renewals.append(now)
        return LossResponse.RENEW

    def seconds_to_response(self, now: float) -> float | None:
        """Return the time until a response is due if no more events are lost; None if none will be."""
        if self._fallen_back:
            return max(0.0, self._last + QUIET_SECONDS - now)
        if self._first is None:
            return None
        return max(0.0, min(self._last + SETTLE_SECONDS, self._first + LONGEST_BURST_SECONDS) - now)
