"""Answers and listings about operations that are over, or that newer ones have followed."""

from __future__ import annotations

from agent.core.conflict import ConflictOrigin
from agent.core.remote_records import Result
from agent.engine import effects as e
from agent.engine import messages as m
from engine.harness import EngineHarness, conflict, head, sha, started, upsert


def abandoned() -> tuple[EngineHarness, e.Send]:
    """An edit is on its way while the server is restored and the person goes on: its operation is given up."""
    harness = started(hub=True)
    harness.saves("a.md", "mine")
    send = harness.take(e.Send)
    harness.tell(m.SyncNow(1))
    harness.look({})
    harness.take(e.CheckFeedContinuity)
    harness.tell(m.FeedContinuityChecked(behind=True))
    harness.tell(m.Resume())
    return harness, send


def test_a_conflict_of_an_operation_given_up_is_closed() -> None:
    """CF3: its answer alone tells of the conflict, which would stay open on the server with nobody to decide it."""
    harness, send = abandoned()
    refusal = conflict("k1", "a.md", "one", "mine", "zero")
    harness.listed = (refusal,)
    harness.answers(send, Result.CONFLICT, found=refusal)
    harness.cursor = 0
    harness.look({"a.md": "zero"})
    harness.feed(upsert("a.md", "zero", 2))
    (known,) = harness.conflicts()
    assert (known.server_ids, known.origin) == (("k1",), ConflictOrigin.STALE_OWN)
    harness.shows("a.md", head("a.md", "zero"), refusal)
    assert harness.take(e.CloseConflict).server_id == "k1"


def test_a_listing_without_an_event_spares_a_newer_version() -> None:
    """PR2: the first push has no event and is not listed; the second was acknowledged after the listing was made."""
    harness = EngineHarness()
    harness.begin({"a.md": "one"})
    harness.answer(Result.APPLIED)
    harness.listing = ()
    harness.tell(m.SyncNow(1))
    harness.look({})
    harness.stands()
    harness._page()
    harness._page()
    harness.take(e.FetchListing)
    harness.saves("a.md", "two")
    harness.answer(Result.APPLIED)
    harness.tell(m.ListingArrived((), last=True))
    harness.rest()
    assert harness.trees("a.md") == (sha("two"),) * 3
    assert not harness.wants(e.Send)
