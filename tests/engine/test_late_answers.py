"""Answers and listings about operations that are over, or that newer ones have followed."""

from __future__ import annotations

from agent.core.remote_records import Result
from agent.engine import effects as e
from agent.engine import messages as m
from engine.harness import EngineHarness, sha


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
