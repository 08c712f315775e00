"""Noticing that the machine slept, stood still, or had its clock set: connections from before are not to be trusted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

EVERY_SECONDS: Final = 4.0
"""Soon enough to be in step ten seconds after a sleep; these looks are most of what wakes an idle agent."""
GAP_SECONDS: Final = 5.0
"""A gap smaller than this is a busy machine; connections outlive it."""

log = logging.getLogger(__name__)


class SleepDetector:
    """Compares two clocks with each other and with its own rhythm.

    Args:
        wake: told in words, once a gap, that there was one.
        wall: seconds since the epoch; goes on while the machine sleeps, and may be set.
        ticks: seconds that only ever go forward; stand still, or not, while the machine sleeps.
    """

    def __init__(
        self,
        wake: Callable[[str], None],
        wall: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wake = wake
        self._wall = wall
        self._ticks = ticks
        self._before = (wall(), ticks())

    def look(self) -> None:
        """Read both clocks and compare them with the last time, which should be ``EVERY_SECONDS`` ago."""
        wall, ticks = self._wall(), self._ticks()
        before_wall, before_ticks = self._before
        self._before = (wall, ticks)
        passed, slept = ticks - before_ticks, (wall - before_wall) - (ticks - before_ticks)
        if abs(slept) > GAP_SECONDS:
            self._wake(f"the clock went {slept:+.0f} s by itself: the machine slept, or the clock was set")
        elif passed > EVERY_SECONDS + GAP_SECONDS:
            self._wake(f"nothing ran here for {passed:.0f} s")

    def keep_on(self, stop: threading.Event) -> None:
        """Until told to stop."""
        while not stop.wait(EVERY_SECONDS):
            try:
                self.look()
            except Exception:
                # The next gap must be noticed whatever went wrong over this one.
                log.exception("waking up failed")
