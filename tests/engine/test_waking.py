"""What the engine does when it is told that the machine woke up."""

from __future__ import annotations

from msgspec import structs

from agent.core.errors import Problem, ProblemKind
from agent.core.events import Page
from agent.core.model import SourceState
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from engine.harness import EngineHarness, started

GONE = Problem(ProblemKind.OFFLINE, "the connection was given up")


def waiting() -> tuple[EngineHarness, e.Poll]:
    """An engine at rest that waits on the server, and the poll it waits for."""
    harness = started(hub=True)
    harness.setup = structs.replace(harness.setup, run_mode=RunMode.DAEMON, long_poll=True)
    harness.effects += harness.engine.configure(harness.now, harness.setup)
    harness.now += 10
    harness.tell(m.TimePassed())
    poll = harness.take(e.Poll)
    assert poll.wait > 0
    return harness, poll


def test_after_a_sleep_the_feed_is_polled_and_the_root_scanned() -> None:
    """Though a poll that waits is under way: whether its connection lives is not known."""
    harness, _ = waiting()
    harness.tell(m.ConnectionsReset())
    harness.stands()
    assert harness.take(e.Poll).wait == 0
    assert harness.wants(e.ScanFolder)


def test_after_a_sleep_a_restored_server_is_not_read_on() -> None:
    """Its new changes may have the numbers of those that it lost."""
    harness, _ = waiting()
    harness.tell(m.ConnectionsReset())
    harness.take(e.CheckFeedContinuity)
    assert not harness.wants(e.Poll)
    harness.tell(m.FeedContinuityChecked(behind=True))
    assert harness.engine.view().state is SourceState.HALTED


def test_a_poll_that_was_given_up_says_nothing_by_its_end() -> None:
    """Neither its failure, which is of a connection that is no more, nor its answer, which the fresh one tells too."""
    harness, old = waiting()
    harness.tell(m.ConnectionsReset())
    harness.stands()
    fresh = harness.take(e.Poll)
    harness.tell(m.CallFailed(m.Call.POLL, GONE, old.number))
    assert harness.engine.view().state is not SourceState.OFFLINE
    assert not harness.wants(e.Poll)
    harness.tell(m.PageArrived(fresh.number, Page((), fresh.state or "", False, "10")))
    assert harness.take(e.Poll).wait > 0


def test_calls_that_failed_offline_are_retried_after_a_sleep() -> None:
    """The way there is a new one; what a server asked to wait for still waits."""
    for problem, again in ((GONE, True), (GONE._replace(kind=ProblemKind.BUSY, retry_after=600.0), False)):
        harness, poll = waiting()
        harness.tell(m.CallFailed(m.Call.POLL, problem, poll.number))
        assert not harness.wants(e.Poll)
        harness.tell(m.ConnectionsReset())
        assert (harness.wants(e.Poll) or harness.wants(e.CheckFeedContinuity)) is again


def test_a_poll_wait_of_zero_polls_at_intervals() -> None:
    """``poll_wait_seconds = 0``: no poll waits on the server, and the next one is due after the usual interval."""
    harness, waited = waiting()
    harness.setup = structs.replace(harness.setup, long_poll_seconds=0.0)
    harness.effects += harness.engine.configure(harness.now, harness.setup)
    harness.tell(m.PageArrived(waited.number, Page((), waited.state or "", False, "10")))
    assert not harness.wants(e.Poll)
    harness.now += harness.setup.poll_idle
    harness.tell(m.TimePassed())
    assert harness.take(e.Poll).wait == 0


def nudged(**setup: float) -> EngineHarness:
    """An engine at rest whose server cannot hold a request."""
    harness = started(hub=True)
    harness.setup = structs.replace(harness.setup, run_mode=RunMode.DAEMON, long_poll=False, **setup)
    harness.effects += harness.engine.configure(harness.now, harness.setup)
    harness.now += 100
    harness.tell(m.TimePassed())
    answered(harness)
    return harness


def answered(harness: EngineHarness) -> None:
    """The answer to the one poll in flight: nothing new."""
    poll = harness.take(e.Poll)
    harness.tell(m.PageArrived(poll.number, Page((), poll.state or "", False, "10")))


def test_a_nudge_polls_at_once_and_one_poll_at_a_time() -> None:
    """Nudges during a poll are one more poll after it: its answer may lack their events."""
    harness = nudged()
    assert not harness.wants(e.Poll)
    harness.tell(m.Nudged())
    poll = harness.take(e.Poll)
    for _ in range(5):
        harness.tell(m.Nudged())
    assert not harness.wants(e.Poll)
    harness.tell(m.PageArrived(poll.number, Page((), poll.state or "", False, "10")))
    answered(harness)
    assert not harness.wants(e.Poll)


def test_polls_are_rare_while_the_server_reports_changes() -> None:
    """Once a minute, and as before without the reports."""
    for listening, seconds in ((True, 60.0), (False, 30.0)):
        harness = nudged(listening=listening, idle_after=1.0)
        harness.now += seconds - 1.0
        harness.tell(m.TimePassed())
        assert not harness.wants(e.Poll)
        harness.now += 1.0
        harness.tell(m.TimePassed())
        answered(harness)


def listings(harness: EngineHarness) -> int:
    """Answer every call until the engine rests; how many listings it asked for."""
    found = 0
    while True:
        if harness.wants(e.CheckFeedContinuity):
            harness.take(e.CheckFeedContinuity)
            harness.tell(m.FeedContinuityChecked(False))
        elif harness.wants(e.FetchListing):
            found += 1
            harness.take(e.FetchListing)
            harness.tell(m.ListingArrived((), last=True))
        elif harness.wants(e.Poll):
            answered(harness)
        else:
            return found


def test_a_demand_for_a_full_resync_verifies_once() -> None:
    """Further demands while one runs add nothing; a plain nudge verifies nothing."""
    harness = nudged()
    harness.tell(m.Nudged())
    assert listings(harness) == 0
    harness.tell(m.Nudged(full=True))
    harness.tell(m.Nudged(full=True))
    assert listings(harness) == 1
