"""What one full pass asks for, and what it need not ask for a second time."""

from __future__ import annotations

from msgspec import structs

from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from engine.harness import EngineHarness


def started(run_mode: RunMode = RunMode.ONE_SHOT) -> EngineHarness:
    """A process that has just begun: its first look is under way."""
    harness = EngineHarness(hub=True)
    harness.setup = structs.replace(harness.setup, run_mode=run_mode)
    harness.restart()
    harness.tell(m.ChangesApplied(()))
    return harness


def asked(harness: EngineHarness, kind: type[e.Effect]) -> int:
    """How many effects of this kind are asked for."""
    return sum(isinstance(effect, kind) for effect in harness.effects)


def test_a_commands_pass_scans_polls_and_verifies_once() -> None:
    """All of it began after the command was given."""
    harness = started()
    harness.tell(m.SyncNow(1))
    assert asked(harness, e.ScanFolder) == 1
    harness.look({})
    assert asked(harness, e.Poll) == 1
    assert not harness.wants(e.ScanFolder)
    harness.rest()
    assert harness.listings == 1
    harness.take(e.PassFinished)


def test_a_pass_asked_for_while_the_feed_is_read_joins_in() -> None:
    """The look has ended, the reading has not."""
    harness = started()
    harness.look({})
    assert asked(harness, e.Poll) == 1
    harness.tell(m.SyncNow(1))
    assert asked(harness, e.Poll) == 1


def test_a_second_pass_looks_reads_and_verifies_again() -> None:
    """What was found a moment ago says nothing of what was saved since."""
    harness = started()
    harness.tell(m.SyncNow(1))
    harness.look({})
    harness.rest()
    harness.take(e.PassFinished)
    harness.tell(m.SyncNow(2))
    harness.look({})
    harness.rest()
    harness.take(e.PassFinished)
    assert harness.listings == 2


def test_a_pass_of_a_process_that_stays_looks_from_then_on() -> None:
    """The look under way there may have begun long before anybody asked, and passed by what was saved meanwhile."""
    harness = started(RunMode.DAEMON)
    harness.tell(m.SyncNow(1))
    harness.look({})
    assert asked(harness, e.ScanFolder) == 1


def test_a_pass_does_not_use_a_scan_that_began_before_it() -> None:
    """However it came about that the process waited."""
    harness = started()
    harness.now += 60
    harness.tell(m.SyncNow(1))
    harness.look({})
    assert asked(harness, e.ScanFolder) == 1
