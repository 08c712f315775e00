"""Answers and listings about operations that are over, or that newer ones have followed."""

from __future__ import annotations

import pytest
from msgspec import structs

from agent.core.conflict import ConflictOrigin
from agent.core.events import FeedEvent
from agent.core.reconcile import Step
from agent.core.remote_records import Result
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from engine.harness import EngineHarness, conflict, delete, head, sha, started, upsert


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


def refused_unseen(text: str | None, *feed: FeedEvent, blind: bool = True) -> EngineHarness:
    """An edit or delete of a.md without an answer. The server holds by now what it should have become."""
    harness = started()
    harness.engine.configure(harness.now, structs.replace(harness.setup, blind_resolve=blind))
    harness.saves("a.md", text)
    if harness.engine.held is not None:
        harness.tell(m.ApproveDeletes(harness.engine.held.plan))
    harness.answer(Result.UNCERTAIN)
    harness.feed(*feed)
    return harness


def test_a_refused_delete_of_a_file_that_is_away_is_closed() -> None:
    """CF3: the file was moved before the delete arrived. Nothing is left to decide, and nobody else would close it."""
    harness = refused_unseen(None, delete("a.md", 20))
    harness.shows("a.md", None, conflict("k1", "a.md", "one", None, "two"))
    (known,) = harness.conflicts()
    assert (known.server_ids, known.origin) == (("k1",), ConflictOrigin.STALE_OWN)
    assert harness.take(e.CloseConflict).server_id == "k1"


def test_a_refused_text_that_is_the_head_is_closed() -> None:
    """CF3: somebody else wrote the same text. A person sees no conflict, and a later edit is one of that head."""
    harness = refused_unseen("mine", upsert("a.md", "mine", 20))
    harness.saves("a.md", "later")
    harness.shows("a.md", head("a.md", "mine", "one"), conflict("k1", "a.md", "one", "mine", "two"))
    assert harness.trees("a.md") == (sha("mine"), sha("later"), sha("mine"))
    closed = harness.take(e.CloseConflict)
    assert closed.server_id == "k1"
    harness.closes(closed.conflict)
    harness.shows("a.md", head("a.md", "mine", "one"))
    assert not harness.conflicts() and harness.row("a.md").step is Step.PUSH


def test_a_refusal_stays_where_closing_may_change_the_head() -> None:
    """Its server would put the conflict's old head in the place of a newer one that nobody has seen."""
    harness = refused_unseen(None, delete("a.md", 20), blind=False)
    harness.shows("a.md", None, conflict("k1", "a.md", "one", None, "two"))
    assert not harness.conflicts() and not harness.wants(e.CloseConflict)


def listed_late(*, blind: bool) -> EngineHarness:
    """Both sides hold "mine", which was pushed here; the list holds the refusal of a second copy of that push."""
    harness = started()
    harness.engine.configure(harness.now, structs.replace(harness.setup, blind_resolve=blind))
    harness.saves("a.md", "mine")
    ids = harness.answer(Result.APPLIED)
    harness.feed(upsert("a.md", "mine", 20, ids[0]))
    harness.listed = (conflict("k1", "a.md", "one", "mine", "mine"),)
    harness.engine._ctx.in_flight.request_conflicts()
    harness.feed()
    return harness


def test_a_late_copy_of_an_applied_push_is_closed() -> None:
    """CF3: listed as another machine's, it would stay open with nobody to close it."""
    harness = listed_late(blind=True)
    harness.shows("a.md", head("a.md", "mine", "one"), *harness.listed or ())
    assert harness.take(e.CloseConflict).server_id == "k1"


def test_a_late_copy_is_listed_where_closing_may_change_the_head() -> None:
    """Its server would put the conflict's old head in the place of a newer one that nobody has seen."""
    (known,) = listed_late(blind=False).conflicts()
    assert known.origin is ConflictOrigin.FOREIGN


@pytest.mark.parametrize("hub", [True, False])
def test_a_push_whose_answer_proves_nothing_is_sent_ever_later(hub: bool) -> None:
    """Some servers keep a conflict of each try, at a path of which this machine knows nothing."""
    harness = EngineHarness(hub=hub)
    harness.setup = structs.replace(harness.setup, run_mode=RunMode.DAEMON)
    harness.engine.configure(harness.now, harness.setup)
    harness.begin({"a.md": "mine"})
    waited = []
    for _ in range(5):
        before = harness.now
        while not harness.wants(e.Send):
            if harness.wants(e.FetchHeadsAndConflicts):
                harness.shows("a.md", None)
            else:
                harness.now += 1
                harness.tell(m.TimePassed())
            harness.rest()
        waited.append(harness.now - before)
        harness.answer(Result.UNCERTAIN)
        harness.rest()
    assert waited == [0, 0, 1, 2, 4]
