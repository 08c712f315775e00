"""A verification by one hash over all files of the server."""

from __future__ import annotations

from msgspec.structs import replace

from agent.core.errors import Problem, ProblemKind
from agent.core.reconcile import Step
from agent.core.remote_records import RemoteFile
from agent.engine import effects as e
from agent.engine import messages as m
from engine.harness import EngineHarness, head, sha, upsert

HERE = {"a.md": "one", "b.md": "two"}
ONE = RemoteFile("a.md", sha("one"))


def in_step() -> EngineHarness:
    """Two files on both sides, of a server that tells digests; nothing was counted yet."""
    harness = EngineHarness()
    harness.setup = replace(harness.setup, state_digest=True)
    harness.restart()
    harness.begin({}, upsert("a.md", "one", 1), upsert("b.md", "two", 2))
    harness.land("one", "two")
    harness.rest()
    harness.digests = harness.listings = 0
    return harness


def verify(harness: EngineHarness) -> None:
    """A pass with its verification."""
    harness.tell(m.SyncNow(1))
    harness.look(HERE)
    harness.rest()


def again(harness: EngineHarness) -> None:
    """One more verification, a while later."""
    harness.now += 2.0
    harness.engine._verification.request()
    harness.tell(m.TimePassed())
    harness.rest()


def test_an_equal_digest_needs_no_listing() -> None:
    """It is taken between two readings of the feed, and the time of the verification is written."""
    harness = in_step()
    harness.now += 60.0
    verify(harness)
    assert (harness.digests, harness.listings) == (1, 0)
    assert not harness.engine._verification.pending
    assert harness.engine._ctx.source_row.verified_at == harness.now


def test_a_digest_that_differs_only_leads_to_the_listing() -> None:
    """A file that the server lacks counts as deleted after two listings, as without digests."""
    harness = in_step()
    harness.listing = (ONE,)
    verify(harness)
    assert (harness.digests, harness.listings) == (1, 1)
    assert harness.row("b.md").remote.hash == sha("two")
    again(harness)
    assert (harness.digests, harness.listings) == (2, 2)
    assert harness.row("b.md").step is Step.PULL_DELETE


def test_an_equal_digest_ends_the_doubt_about_a_missing_file() -> None:
    """The file that one listing lacked is there: the next listing that lacks it is the first one again."""
    harness = in_step()
    harness.listing = (ONE,)
    verify(harness)
    harness.listing = None
    again(harness)
    assert (harness.digests, harness.listings) == (2, 1)
    harness.listing = (ONE,)
    again(harness)
    assert (harness.digests, harness.listings) == (3, 2)
    assert harness.row("b.md").remote.hash == sha("two")
    assert harness.row("b.md").step is Step.NOTHING


def test_a_skipped_event_is_found_behind_its_digest() -> None:
    """The listing shows the file, and its head is asked for."""
    harness = in_step()
    harness.listing = (ONE, RemoteFile("b.md", sha("two")), RemoteFile("new.md", sha("text")))
    verify(harness)
    harness.shows("new.md", head("new.md", "text"))
    harness.land("text")
    assert harness.trees("new.md") == (sha("text"),) * 3


def test_open_operations_are_verified_by_the_listing() -> None:
    """Their paths differ on the two sides, so a digest would only be one call more."""
    harness = in_step()
    harness.saves("c.md", "three")
    harness.take(e.Send)
    harness.tell(m.SyncNow(1))
    harness.look(HERE | {"c.md": "three"})
    harness.rest()
    assert (harness.digests, harness.listings) == (0, 1)


def test_a_digest_that_fails_is_asked_for_again() -> None:
    """A verification that broke off begins anew."""
    harness = in_step()
    harness.tell(m.SyncNow(1))
    harness.look(HERE)
    while not harness.wants(e.FetchStateDigest):
        harness.stands()
        harness._page()
    harness.take(e.FetchStateDigest)
    harness.tell(m.CallFailed(m.Call.LISTING, Problem(ProblemKind.OFFLINE, "gone")))
    assert harness.engine._verification.pending
    harness.now += 600.0
    harness.tell(m.TimePassed())
    harness.rest()
    assert (harness.digests, harness.listings) == (1, 0)
