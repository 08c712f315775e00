"""What goes wrong on the way to a server: nothing changes that was not told, and nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.core.model import Resolution
from agent.core.remote_records import Result
from agent.remotes.http import client as http_module
from remotes.fixtures import World, edit, removal
from strict_raven.faults import (
    Fault,
    cut_json,
    drop_answer,
    drop_request,
    forbidden,
    full_disk,
    html,
    no_content,
    too_many,
    unauthorized,
    unavailable,
)

ID = "99999999-9999-4999-8999-999999999999"

CALLS: dict[str, Callable[[World], object]] = {
    "register": lambda w: w.remote.register("x", "linux", "1"),
    "heartbeat": lambda w: w.remote.heartbeat(w.connector),
    "sources": lambda w: w.remote.sources(),
    "pause": lambda w: w.remote.pause(w.source),
    "pull": lambda w: w.remote.pull(w.source, None, 0, w.clock.now),
    "listing": lambda w: list(w.remote.listing(w.source)),
    "head": lambda w: w.remote.head(w.source, "a.md"),
    "history": lambda w: w.remote.history(w.source, "a.md"),
    "conflicts": lambda w: list(w.remote.conflicts(w.source)),
    "resolve": lambda w: w.remote.resolve(w.source, ID, Resolution.KEEP_RAVEN, None, None),
    "last_cursor": lambda w: w.remote.last_cursor(w.source),
}

KINDS: dict[str, tuple[Callable[[], Fault], ProblemKind]] = {
    "a web page": (html, ProblemKind.GARBLED),
    "204": (no_content, ProblemKind.GARBLED),
    "a cut answer": (cut_json, ProblemKind.GARBLED),
    "no answer": (drop_request, ProblemKind.OFFLINE),
    "401": (unauthorized, ProblemKind.SIGNED_OUT),
    "429": (lambda: too_many("7"), ProblemKind.BUSY),
    "503": (unavailable, ProblemKind.BUSY),
    "403": (forbidden, ProblemKind.SIGNED_OUT),
    "507": (lambda: full_disk("30"), ProblemKind.BUSY),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", KINDS)
def test_every_call_ends_with_the_problem_its_answer_means(world: World, call: str, fault: str) -> None:
    """PR6, PR8, PR10: one RemoteError of the right kind, whatever the call."""
    make, kind = KINDS[fault]
    world.results(edit("a.md", "A"))
    # A resolution of an unknown conflict is answered with an error, and an error cut short is still one.
    cut_error = call == "resolve" and fault == "a cut answer"
    world.faults.inject(make())
    with pytest.raises(RemoteError) as error:
        CALLS[call](world)
    assert error.value.problem.kind is (ProblemKind.NOT_FOUND if cut_error else kind)


def test_a_connector_of_another_user_names_the_remedy(world: World) -> None:
    """FU2: the person reads why nothing is sent, and which command ends it; the queue is kept and nothing changed."""
    world.faults.inject(forbidden(), on="push-batch")
    answer = world.push(edit("a.md", "A"), edit("b.md", "B"))
    assert {outcome.result for outcome in answer.outcomes} == {Result.NOT_SENT}
    assert answer.problem is not None
    assert "this connector belongs to another user" in answer.problem.message
    assert "raven-agent login" in answer.problem.message
    assert world.files() == {}


def test_a_full_server_disk_is_waited_for(world: World) -> None:
    """FS1: no file is blamed for it, one request is enough to know it, and the queue goes on after the wait."""
    batch = [edit(f"{n}.md", str(n)) for n in range(4)]
    world.faults.inject(full_disk("30"), on="push-batch")
    answer = world.push(*batch)
    assert answer.problem is not None
    assert (answer.problem.kind, answer.problem.retry_after) == (ProblemKind.BUSY, 30.0)
    assert "is full" in answer.problem.message
    assert "tried again" in answer.problem.message
    assert not any(outcome.server_fault or outcome.result is Result.REJECTED for outcome in answer.outcomes)
    assert world.files() == {}
    assert world.results(*batch) == [Result.APPLIED] * 4
    assert sorted(world.files()) == [f"{n}.md" for n in range(4)]


@pytest.mark.parametrize(
    ("make", "result", "kind"),
    [
        (lambda: full_disk("30"), Result.UNCERTAIN, ProblemKind.BUSY),
        (drop_answer, Result.UNCERTAIN, ProblemKind.OFFLINE),
        (drop_request, Result.UNCERTAIN, ProblemKind.OFFLINE),
        (cut_json, Result.UNCERTAIN, ProblemKind.GARBLED),
        (html, Result.UNCERTAIN, ProblemKind.GARBLED),
        (unavailable, Result.UNCERTAIN, ProblemKind.BUSY),
        (unauthorized, Result.NOT_SENT, ProblemKind.SIGNED_OUT),
        (forbidden, Result.NOT_SENT, ProblemKind.SIGNED_OUT),
        (lambda: too_many("7"), Result.NOT_SENT, ProblemKind.BUSY),
    ],
)
def test_a_push_cut_short_says_what_was_sent(
    world: World, make: Callable[[], Fault], result: Result, kind: ProblemKind
) -> None:
    """CR4, PR10: the request that failed is uncertain unless it was refused; what came after it was not sent."""
    batch = [edit(f"{n:03}.md", str(n)) for n in range(150)]
    world.results(edit("first.md", "1"))
    world.faults.inject(make(), on="push-batch")
    answer = world.push(*batch)
    assert answer.problem is not None
    assert answer.problem.kind is kind
    by_id = {outcome.operation_id: outcome.result for outcome in answer.outcomes}
    results = [by_id[out.operation.id] for out in batch]
    assert results == [result] * 100 + [Result.NOT_SENT] * 50
    assert len(answer.outcomes) == 150


def test_a_lost_answer_is_not_sent_twice_into_a_conflict(world: World) -> None:
    """CR4: the same operation again neither doubles the version nor conflicts with itself."""
    ours = edit("a.md", "A")
    world.faults.inject(drop_answer(), on="push-batch")
    assert world.results(ours) == [Result.UNCERTAIN]
    assert world.results(ours) == [Result.APPLIED if world.hub else Result.UNCERTAIN]
    assert list(world.remote.conflicts(world.source)) == []
    assert len(world.remote.history(world.source, "a.md")) == 1


def test_a_conflict_that_cannot_be_listed_is_uncertain(world: World) -> None:
    """The conflict's texts could not be had, so the engine has to look; what is proven stays proven."""
    world.results(edit("a.md", "theirs"))
    world.faults.inject(drop_request(), on="sources/conflicts")
    stale, fresh = edit("a.md", "ours"), edit("b.md", "B")
    answer = world.push(stale, fresh)
    by_id = {outcome.operation_id: outcome.result for outcome in answer.outcomes}
    assert by_id[stale.operation.id] is Result.UNCERTAIN
    assert by_id[fresh.operation.id] is (Result.APPLIED if world.hub else Result.UNCERTAIN)
    assert answer.problem is not None
    assert answer.problem.kind is ProblemKind.OFFLINE


class TestStrictOnly:
    def test_the_released_fault_is_named(self, strict: World) -> None:
        """It is a fault of its own kind, so that nobody retries for ever; a push may have been applied."""
        assert strict.strict is not None
        strict.strict.released_fault = True
        with pytest.raises(RemoteError) as error:
            strict.remote.register("x", "linux", "1")
        assert error.value.problem.kind is ProblemKind.UPSTREAM_FAULT
        assert error.value.message == "this Raven server's local sync is broken (known upstream fault)"

    def test_items_before_a_poison_one_are_applied_and_uncertain(self, strict: World) -> None:
        """[ok, NUL, ok]: the first was applied by the request that failed, the last by one of its own."""
        batch = [edit("1.md", "1"), edit("2.md", "a\0b"), edit("3.md", "3")]
        assert strict.results(*batch) == [Result.UNCERTAIN, Result.REJECTED, Result.APPLIED]
        assert sorted(strict.files()) == ["1.md", "3.md"]

    def test_a_history_too_large_to_read_does_not_hide_the_head(
        self, strict: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The real server sends every version with a file; the listing and the feed have the same facts."""
        texts = [f"{n}" * 5000 for n in range(10)]
        for before, text in pairwise([None, *texts]):
            strict.results(edit("a.md", text or "", before))
        monkeypatch.setattr(http_module, "MAX_ANSWER", 30_000)
        head = strict.remote.head(strict.source, "a.md")
        assert head is not None
        assert head.content == texts[-1].encode()
        assert len(head.versions) == len(strict.remote.history(strict.source, "a.md")) == 10
        with pytest.raises(RemoteError):
            strict.raw("sources/file", relativePath="a.md")

    def test_a_name_too_long_for_the_database_is_rejected(self, strict: World) -> None:
        """The reason is the server's."""
        outcome = strict.only(edit("".join(chr(0x4E00 + n) for n in range(2800)), "x"))
        assert outcome.result is Result.REJECTED
        assert outcome.detail
        assert "index row size" in outcome.detail

    def test_a_poison_delete_or_edit_among_two_leaves_the_other(self, strict: World) -> None:
        """Halves of two are singles."""
        strict.results(edit("a.md", "A"))
        assert strict.results(removal("a.md", "A"), edit("n\0.md", "x")) == [Result.UNCERTAIN, Result.REJECTED]
        assert strict.files() == {}


class TestHubOnly:
    def test_a_head_that_moved_is_stale(self, hub: World) -> None:
        """``expected_hash``: the resolution is refused and nothing changes."""
        hub.results(edit("a.md", "theirs"))
        found = hub.only(edit("a.md", "ours")).conflict
        assert found is not None
        hub.results(edit("a.md", "newer", "theirs"))
        for wrong in (found.remote_hash, None):
            with pytest.raises(RemoteError) as error:
                hub.remote.resolve(hub.source, found.id, Resolution.KEEP_LOCAL, None, wrong)
            assert error.value.problem.kind is ProblemKind.STALE
        assert hub.text("a.md") == "newer"

    def test_an_edit_of_a_deleted_file_is_a_conflict_and_can_be_kept(self, hub: World) -> None:
        """``expected_head`` None means that the path must still hold nothing."""
        hub.results(edit("a.md", "A1"))
        hub.results(removal("a.md", "A1"))
        found = hub.only(edit("a.md", "A2", "A1")).conflict
        assert found is not None
        assert (found.remote_hash, found.remote_text, found.local_text) == (None, None, b"A2")
        hub.remote.resolve(hub.source, found.id, Resolution.KEEP_LOCAL, None, None)
        assert hub.text("a.md") == "A2"

    def test_a_newer_version_updates_the_connectors_own_conflict(self, hub: World) -> None:
        """The connector's id is sent where it is offered."""
        hub.results(edit("a.md", "theirs"))
        first, second = hub.only(edit("a.md", "ours 1")), hub.only(edit("a.md", "ours 2"))
        assert first.conflict is not None
        assert second.conflict is not None
        assert first.conflict.id == second.conflict.id
        assert second.conflict.local_text == b"ours 2"

    def test_an_empty_merge_is_allowed(self, hub: World) -> None:
        """Wanted is empty text, not no file."""
        hub.results(edit("a.md", "theirs"))
        found = hub.only(edit("a.md", "ours")).conflict
        assert found is not None
        hub.remote.resolve(hub.source, found.id, Resolution.MANUAL_MERGE, b"", found.remote_hash)
        assert hub.text("a.md") == ""
