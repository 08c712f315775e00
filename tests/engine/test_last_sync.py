"""When a source was last in sync, as monitoring asks it."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.core.events import Page
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from engine.harness import EngineHarness, started

HOUR = 3600.0


def idle() -> EngineHarness:
    """An engine that follows and has nothing to do; its poll is out."""
    harness = started(hub=True)
    harness.setup = replace(harness.setup, run_mode=RunMode.DAEMON, long_poll=True, look_every=1e9, verify_every=1e9)
    harness.effects += harness.engine.configure(harness.now, harness.setup)
    harness.now += 10
    harness.tell(m.TimePassed())
    return harness


def hear_nothing(harness: EngineHarness) -> None:
    """The poll that is out is answered: nothing new."""
    poll = harness.take(e.Poll)
    harness.tell(m.PageArrived(poll.number, Page((), poll.state or "", False, "10")))


def test_an_idle_source_is_in_sync_as_of_the_last_feed_answer() -> None:
    """Not as of its last change: nothing is older than what monitoring is told, and nothing is written for it."""
    harness = idle()
    harness.now += HOUR
    changes = harness.index.connection.total_changes
    hear_nothing(harness)
    assert harness.engine.view().synced_at == harness.now
    assert harness.index.connection.total_changes == changes


def test_a_silent_server_leaves_the_last_sync_time_unchanged() -> None:
    """However often the engine turns meanwhile."""
    harness = idle()
    hear_nothing(harness)
    last = harness.now
    poll = harness.take(e.Poll)
    harness.now += HOUR
    harness.tell(m.TimePassed())
    harness.tell(m.CallFailed(m.Call.POLL, Problem(ProblemKind.OFFLINE, "gone"), poll.number))
    assert harness.engine.view().synced_at == last


def test_a_paused_source_is_not_in_sync_with_unfetched_events() -> None:
    """The feed is read while it is paused, and an edit waits: that is no sync."""
    harness = idle()
    hear_nothing(harness)
    last = harness.now
    harness.now += HOUR
    harness.tell(m.Pause(float("inf")))
    hear_nothing(harness)
    harness.saves("b.md", "an edit")
    assert harness.engine.view().synced_at == last


def test_a_moment_that_lies_ahead_is_not_believed() -> None:
    """It was written by a clock that has been set back since."""
    harness = idle()
    harness.now += HOUR
    hear_nothing(harness)
    harness.now -= 2 * HOUR
    harness.tell(m.TimePassed())
    assert (harness.engine.view().synced_at or 0) <= harness.now
