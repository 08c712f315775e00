"""What the engine does when it is told that the machine woke up."""

from __future__ import annotations

import dataclasses

from msgspec import structs

from agent.core.errors import Problem, ProblemKind
from agent.core.model import SourceState
from agent.core.stream import Page
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.setup import Attendance
from engine.pilot import Pilot, started

GONE = Problem(ProblemKind.OFFLINE, "the connection was given up")


def waiting() -> tuple[Pilot, e.Poll]:
    """An engine at rest that waits on the server, and the poll it waits for."""
    pilot = started(hub=True)
    pilot.setup = structs.replace(pilot.setup, attendance=Attendance.FOLLOW, long_poll=True)
    pilot.effects += pilot.engine.configure(pilot.now, pilot.setup)
    pilot.now += 10
    pilot.tell(m.TimePassed())
    poll = pilot.take(e.Poll)
    assert poll.wait > 0
    return pilot, poll


def test_after_a_sleep_the_feed_is_asked_and_the_folder_looked_at_at_once() -> None:
    """Though a poll that waits is under way: whether its connection lives is not known."""
    pilot, _ = waiting()
    pilot.tell(m.Woke())
    assert pilot.take(e.Poll).wait == 0
    assert pilot.wants(e.Look)


def test_a_poll_that_was_given_up_says_nothing_by_its_end() -> None:
    """Neither its failure, which is of a connection that is no more, nor its answer, which the fresh one tells too."""
    pilot, old = waiting()
    pilot.tell(m.Woke())
    fresh = pilot.take(e.Poll)
    pilot.tell(m.CallFailed(m.Call.POLL, GONE, old.number))
    assert pilot.engine.view().state is not SourceState.OFFLINE
    assert not pilot.wants(e.Poll)
    pilot.tell(m.PageArrived(fresh.number, Page((), fresh.state, False, "10")))
    assert pilot.take(e.Poll).wait > 0


def test_what_failed_for_want_of_a_connection_is_tried_again_at_once() -> None:
    """The way there is a new one; what a server asked to wait for still waits."""
    for problem, again in ((GONE, True), (dataclasses.replace(GONE, kind=ProblemKind.BUSY, retry_after=600.0), False)):
        pilot, poll = waiting()
        pilot.tell(m.CallFailed(m.Call.POLL, problem, poll.number))
        assert not pilot.wants(e.Poll)
        pilot.tell(m.Woke())
        assert (pilot.wants(e.Poll) or pilot.wants(e.AskStanding)) is again
