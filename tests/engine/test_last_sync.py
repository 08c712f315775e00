"""When a source was last in sync, as monitoring asks it."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.core.stream import Page
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.setup import Attendance
from engine.pilot import Pilot, started

HOUR = 3600.0


def idle() -> Pilot:
    """An engine that follows and has nothing to do; its poll is out."""
    pilot = started(hub=True)
    pilot.setup = replace(pilot.setup, attendance=Attendance.FOLLOW, long_poll=True, look_every=1e9, verify_every=1e9)
    pilot.effects += pilot.engine.configure(pilot.now, pilot.setup)
    pilot.now += 10
    pilot.tell(m.TimePassed())
    return pilot


def hear_nothing(pilot: Pilot) -> None:
    """The poll that is out is answered: nothing new."""
    poll = pilot.take(e.Poll)
    pilot.tell(m.PageArrived(poll.number, Page((), poll.state, False, "10")))


def test_an_idle_source_is_in_sync_as_of_the_last_answer_of_its_feed() -> None:
    """Not as of its last change: nothing is older than what monitoring is told, and nothing is written for it."""
    pilot = idle()
    pilot.now += HOUR
    changes = pilot.index.connection.total_changes
    hear_nothing(pilot)
    assert pilot.engine.view().synced_at == pilot.now
    assert pilot.index.connection.total_changes == changes


def test_a_server_that_does_not_answer_any_more_leaves_the_last_sync_where_it_was() -> None:
    """However often the engine turns meanwhile."""
    pilot = idle()
    hear_nothing(pilot)
    last = pilot.now
    poll = pilot.take(e.Poll)
    pilot.now += HOUR
    pilot.tell(m.TimePassed())
    pilot.tell(m.CallFailed(m.Call.POLL, Problem(ProblemKind.OFFLINE, "gone"), poll.number))
    assert pilot.engine.view().synced_at == last


def test_a_paused_source_is_not_in_sync_with_what_it_does_not_fetch() -> None:
    """The feed is read while it is paused, and an edit waits: that is no sync."""
    pilot = idle()
    hear_nothing(pilot)
    last = pilot.now
    pilot.now += HOUR
    pilot.tell(m.Pause(float("inf")))
    hear_nothing(pilot)
    pilot.saves("b.md", "an edit")
    assert pilot.engine.view().synced_at == last


def test_a_moment_that_lies_ahead_is_not_believed() -> None:
    """It was written by a clock that has been set back since."""
    pilot = idle()
    pilot.now += HOUR
    hear_nothing(pilot)
    pilot.now -= 2 * HOUR
    pilot.tell(m.TimePassed())
    assert (pilot.engine.view().synced_at or 0) <= pilot.now
