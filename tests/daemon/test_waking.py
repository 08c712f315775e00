"""Which gaps count as a sleep."""

from __future__ import annotations

import pytest

from agent.daemon.sleep_detector import EVERY_SECONDS, GAP_SECONDS, SleepDetector


class Clocks:
    """Two clocks, moved by hand."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.ticks = 500.0
        self.told: list[str] = []
        self.waking = SleepDetector(self.told.append, lambda: self.wall, lambda: self.ticks)

    def pass_by(self, wall: float, ticks: float) -> list[str]:
        """So much passes on each; what is said at the next look."""
        self.wall += wall
        self.ticks += ticks
        self.told.clear()
        self.waking.check()
        return list(self.told)


@pytest.mark.parametrize(
    ("wall", "ticks"),
    [(7200.0, EVERY_SECONDS), (-3600.0, EVERY_SECONDS), (30.0, 30.0), (0.0, 30.0)],
    ids=["slept two hours", "set back an hour", "stood still", "stood still by a clock that was set"],
)
def test_a_gap_is_told_once(wall: float, ticks: float) -> None:
    """One look tells it; the next ones, in their rhythm, are silent."""
    clocks = Clocks()
    assert clocks.pass_by(EVERY_SECONDS, EVERY_SECONDS) == []
    assert len(clocks.pass_by(wall, ticks)) == 1
    assert clocks.pass_by(EVERY_SECONDS, EVERY_SECONDS) == []


def test_a_busy_machine_and_a_clock_that_is_corrected_are_no_gap() -> None:
    """A look that comes late by less than the bound, and a wall clock that is put right by as little."""
    clocks = Clocks()
    late = EVERY_SECONDS + GAP_SECONDS - 0.1
    assert clocks.pass_by(late, late) == []
    assert clocks.pass_by(EVERY_SECONDS + GAP_SECONDS - 0.1, EVERY_SECONDS) == []
    assert clocks.pass_by(EVERY_SECONDS - GAP_SECONDS + 0.1, EVERY_SECONDS) == []
