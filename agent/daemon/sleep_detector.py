"""Detect that the machine slept or its clock was set. Connections made before may then be dead."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

EVERY_SECONDS: Final = 4.0
"""Seconds between two checks: soon enough to sync ten seconds after a sleep, and rare enough for an idle machine."""
GAP_SECONDS: Final = 5.0
"""Seconds: a smaller gap is a busy machine, whose connections survive."""

log = logging.getLogger(__name__)


class SleepDetector:
    """Compares the wall clock, the monotonic clock and its own interval.

    Args:
        on_gap: called once for each gap, with its description.
        wall: seconds since the epoch; runs while the machine sleeps, and may be set.
        ticks: monotonic seconds, which may or may not run while the machine sleeps.
    """

    def __init__(
        self,
        on_gap: Callable[[str], None],
        wall: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_gap = on_gap
        self._wall = wall
        self._ticks = ticks
        self._before = (wall(), ticks())

    def check(self) -> None:
        """Compare both clocks with the last check, which should be ``EVERY_SECONDS`` ago."""
        wall, ticks = self._wall(), self._ticks()
        before_wall, before_ticks = self._before
        self._before = (wall, ticks)
        passed, slept = ticks - before_ticks, (wall - before_wall) - (ticks - before_ticks)
        if abs(slept) > GAP_SECONDS:
            self._on_gap(f"the clock went {slept:+.0f} s by itself: the machine slept, or the clock was set")
        elif passed > EVERY_SECONDS + GAP_SECONDS:
            self._on_gap(f"nothing ran here for {passed:.0f} s")

    def run_forever(self, stop: threading.Event) -> None:
        """Check until ``stop`` is set."""
        while not stop.wait(EVERY_SECONDS):
            try:
                self.check()
            except Exception:
                # A failure must not stop the detection of the next gap.
                log.exception("waking up failed")
