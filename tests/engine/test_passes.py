"""What one full pass asks for, and what it need not ask for a second time."""

from __future__ import annotations

from msgspec import structs

from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.setup import Attendance
from engine.pilot import Pilot


def started(attendance: Attendance = Attendance.ONCE) -> Pilot:
    """A process that has just begun: its first look is under way."""
    pilot = Pilot(hub=True)
    pilot.setup = structs.replace(pilot.setup, attendance=attendance)
    pilot.restart()
    pilot.tell(m.ChangesLanded(()))
    return pilot


def asked(pilot: Pilot, kind: type[e.Effect]) -> int:
    """How many effects of this kind are asked for."""
    return sum(isinstance(effect, kind) for effect in pilot.effects)


def test_the_pass_a_command_is_started_for_looks_reads_and_verifies_once() -> None:
    """All of it began after the command was given."""
    pilot = started()
    pilot.tell(m.SyncNow(1))
    assert asked(pilot, e.Look) == 1
    pilot.look({})
    assert asked(pilot, e.Poll) == 1
    assert not pilot.wants(e.Look)
    pilot.rest()
    assert pilot.listings == 1
    pilot.take(e.Rested)


def test_a_pass_asked_for_while_the_feed_is_read_joins_in() -> None:
    """The look has ended, the reading has not."""
    pilot = started()
    pilot.look({})
    assert asked(pilot, e.Poll) == 1
    pilot.tell(m.SyncNow(1))
    assert asked(pilot, e.Poll) == 1


def test_a_second_pass_looks_reads_and_verifies_again() -> None:
    """What was found a moment ago says nothing of what was saved since."""
    pilot = started()
    pilot.tell(m.SyncNow(1))
    pilot.look({})
    pilot.rest()
    pilot.take(e.Rested)
    pilot.tell(m.SyncNow(2))
    pilot.look({})
    pilot.rest()
    pilot.take(e.Rested)
    assert pilot.listings == 2


def test_a_pass_of_a_process_that_stays_looks_from_then_on() -> None:
    """The look under way there may have begun long before anybody asked, and passed by what was saved meanwhile."""
    pilot = started(Attendance.FOLLOW)
    pilot.tell(m.SyncNow(1))
    pilot.look({})
    assert asked(pilot, e.Look) == 1


def test_a_pass_does_not_take_a_look_for_its_own_that_began_long_before() -> None:
    """However it came about that the process waited."""
    pilot = started()
    pilot.now += 60
    pilot.tell(m.SyncNow(1))
    pilot.look({})
    assert asked(pilot, e.Look) == 1
