"""What a source says of itself while several things are wrong, and what keeps a decision from being carried out."""

from __future__ import annotations

from msgspec import structs

from agent.core.errors import Problem, ProblemKind
from agent.core.model import Mode, Observation, Presence, Reason, Side, SourceState
from agent.core.reconcile import Step
from agent.engine import messages as m
from engine.harness import EngineHarness, seen, sha, started, upsert

GONE = Problem(ProblemKind.OFFLINE, "the server cannot be reached")
REFUSED = Problem(ProblemKind.SIGNED_OUT, "the token was refused")


def failing(harness: EngineHarness, problem: Problem) -> None:
    """Let the next question to the server fail."""
    harness.engine._ctx.request_drain()
    harness.tell(m.TimePassed())
    harness.tell(m.CallFailed(m.Call.STANDING, problem))


def test_the_state_is_the_first_of_several_that_hold() -> None:
    """A conflict, then a pause over it, an unreachable server over both, and a refused token over all."""
    harness = EngineHarness()
    harness.begin({"a.md": "mine"}, upsert("a.md", "theirs", 20))
    view = harness.engine.view
    assert view().state is SourceState.CONFLICT and harness.engine.obstacle() is None
    harness.tell(m.Pause(harness.now + 60))
    assert view().state is SourceState.PAUSED
    assert harness.engine.obstacle() == ("paused", "the source is paused")
    harness.tell(m.Resume())
    failing(harness, GONE)
    assert view().state is SourceState.OFFLINE
    assert harness.engine.obstacle() == ("offline", GONE.message)
    failing(harness, REFUSED)
    assert view().state is SourceState.SIGNED_OUT
    assert harness.engine.obstacle() == ("signed_out", REFUSED.message)


def test_a_used_up_quota_is_an_error_of_a_server_that_answers() -> None:
    """It is in reach, and no wait helps: a person has to raise the quota or make room."""
    harness = started()
    failing(harness, Problem(ProblemKind.NO_SPACE, "the quota is used up", 30.0))
    assert harness.engine.view().state is SourceState.ERROR


def test_an_unreadable_file_is_an_error_also_while_offline() -> None:
    """The order of the states: an error comes before an unreachable server, which the problem still names."""
    harness = started()
    closed = Observation("b.md", Side(Presence.UNKNOWN, None, None, Reason.UNREADABLE))
    harness.tell(m.ScanResults((seen("a.md", "one"), closed)))
    assert harness.engine.view().state is SourceState.ERROR
    failing(harness, GONE)
    assert harness.engine.view().state is SourceState.ERROR
    assert harness.engine.view().trouble == GONE


def test_another_mode_is_applied_to_what_waits() -> None:
    """What comes down in both directions stays on the server as soon as the folder only sends."""
    harness = started()
    harness.engine._ctx.request_drain()
    harness.feed(upsert("new.md", "theirs", 20))
    assert harness.row("new.md").step is Step.PULL
    harness.setup = structs.replace(harness.setup, mode=Mode.LOCAL_TO_CLOUD)
    harness.engine.configure(harness.now, harness.setup)
    assert harness.row("new.md").step is Step.NOTHING
    assert harness.row("new.md").remote.hash == sha("theirs")
    harness.setup = structs.replace(harness.setup, mode=Mode.BIDIRECTIONAL)
    harness.engine.configure(harness.now, harness.setup)
    assert harness.row("new.md").step is Step.PULL
