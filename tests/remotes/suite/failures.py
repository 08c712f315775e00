"""Promises about failures: one problem of the right kind, nothing changed, nothing guessed, and no call waits."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.core.events import FeedEvent
from agent.core.model import Resolution
from agent.core.remote_records import Result
from agent.core.supply import Transfer
from remotes.suite.world import START, World, needs, replay, sha
from strict_raven.faults import (
    Fault,
    cut_json,
    drop_answer,
    drop_request,
    html,
    no_content,
    too_many,
    unauthorized,
    unavailable,
)

ID = "99999999-9999-4999-8999-999999999999"

CALLS: dict[str, Callable[[World], object]] = {
    "register": lambda w: w.remote.register("x", "linux", "1", "id-of-x"),
    "heartbeat": lambda w: w.remote.heartbeat(w.connector),
    "sources": lambda w: w.remote.sources(),
    "pull": lambda w: w.remote.pull(w.source, None, 0, w.clock.now),
    "listing": lambda w: list(w.remote.listing(w.source)),
    "head": lambda w: w.remote.head(w.source, "a.md"),
    "history": lambda w: w.remote.history(w.source, "a.md"),
    "conflicts": lambda w: list(w.remote.conflicts(w.source)),
    "resolve": lambda w: w.remote.resolve(w.source, ID, Resolution.KEEP_RAVEN, None, None),
    "fetch": lambda w: w.remote.fetch(
        w.source, Transfer("0" * 16, "a.md", w.identity("a.md")[1], None, sha("A"), 1), 0, lambda *_: None
    ),
    "was_restored": lambda w: w.remote.was_restored_from_older_copy(w.source, w.drained),
}

KINDS: dict[str, tuple[Callable[[], Fault], ProblemKind]] = {
    "a web page": (html, ProblemKind.GARBLED),
    "204": (no_content, ProblemKind.GARBLED),
    "a cut answer": (cut_json, ProblemKind.GARBLED),
    "no answer": (drop_request, ProblemKind.OFFLINE),
    "401": (unauthorized, ProblemKind.SIGNED_OUT),
    "429": (lambda: too_many("7"), ProblemKind.BUSY),
    "503": (unavailable, ProblemKind.BUSY),
}


class FailurePromises:
    """See the module."""

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("fault", KINDS)
    def test_every_call_ends_with_the_problem_its_answer_means(
        self, world: World, call: str, fault: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """PR6, PR8, PR10: one RemoteError of the right kind, whatever the call; none sleeps or shows the token."""
        make, kind = KINDS[fault]
        world.put("a.md", "A")
        world.drained = world.drain()[1]
        needs(call not in world.local_calls, f"request of {call}")
        world.faults.inject(make(), requests=world.refusals if fault == "401" else 1)
        monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("a call sleeps"))
        if fault in ("204", "a cut answer") and call in world.silent_calls:
            # An empty answer is the whole answer.
            assert CALLS[call](world)
            return
        with pytest.raises(RemoteError) as error:
            CALLS[call](world)
        # A resolution of an unknown conflict is answered with an error, and an error cut short is still one.
        cut_error = call == "resolve" and fault == "a cut answer"
        assert error.value.problem.kind in ((ProblemKind.NOT_FOUND, ProblemKind.STALE) if cut_error else (kind,))
        assert world.bearer[0] not in error.value.problem.message

    @pytest.mark.parametrize("fault", KINDS)
    def test_a_page_that_failed_moves_nothing(self, world: World, fault: str) -> None:
        """PR6: the state kept from before still gives every event."""
        _, state = world.drain()
        world.put("a.md", "A")
        world.put("d/b.md", "B")
        world.faults.inject(KINDS[fault][0](), requests=world.refusals if fault == "401" else 1)
        with pytest.raises(RemoteError):
            world.remote.pull(world.source, state, 0, world.clock.now)
        world.faults.clear()
        world.clock.now += 60
        assert replay(world.drain(state)[0]) == {"a.md": sha("A"), "d/b.md": sha("B")}

    def test_a_first_read_that_fails_anywhere_can_be_repeated(self, world: World) -> None:
        """PR6: each request of it fails once, and in the end every file was delivered."""
        for number in range(4):
            world.put(f"d{number % 2}/{number}.md", str(number))
        events: list[FeedEvent] = []
        state, failures = None, 0
        for step in range(60):
            if step % 2:
                world.faults.inject(drop_answer())
            try:
                page = world.remote.pull(world.source, state, 0, world.clock.now)
            except RemoteError:
                failures += 1
                continue
            world.faults.clear()
            events += page.events
            state = page.state
            if not page.more:
                break
        assert replay(events) == {path: sha(content) for path, content in world.held().items()}

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("7", 7.0), ("Tue, 14 Nov 2023 22:15:20 GMT", 120.0), ("soon", None), ("99999999", 3600.0)],
    )
    def test_busy_says_how_long(self, world: World, value: str, seconds: float | None) -> None:
        """PR8: seconds and HTTP dates, measured by the clock given; never longer than an hour."""
        assert START == 1_700_000_000.0
        world.faults.inject(too_many(value))
        with pytest.raises(RemoteError) as error:
            world.remote.sources()
        assert error.value.problem.retry_after == seconds

    @pytest.mark.parametrize(
        ("make", "result", "kind"),
        [
            (drop_answer, Result.UNCERTAIN, ProblemKind.OFFLINE),
            (drop_request, Result.UNCERTAIN, ProblemKind.OFFLINE),
            (cut_json, Result.UNCERTAIN, ProblemKind.GARBLED),
            (html, Result.UNCERTAIN, ProblemKind.GARBLED),
            (unavailable, Result.UNCERTAIN, ProblemKind.BUSY),
            (unauthorized, Result.NOT_SENT, ProblemKind.SIGNED_OUT),
            (lambda: too_many("7"), Result.NOT_SENT, ProblemKind.BUSY),
        ],
    )
    def test_a_push_cut_short_says_what_was_sent(
        self, world: World, make: Callable[[], Fault], result: Result, kind: ProblemKind
    ) -> None:
        """CR4, PR10: the request that failed is uncertain unless it was refused; what came after it was not sent."""
        batch = [world.edit(f"{number:03}.md", str(number)) for number in range(150)]
        world.faults.inject(make(), requests=world.refusals if make is unauthorized else 1, on=world.commits)
        answer = world.push(*batch)
        assert answer.problem is not None
        assert answer.problem.kind is kind
        by_id = {outcome.operation_id: outcome.result for outcome in answer.outcomes}
        results = [by_id[outgoing.operation.id] for outgoing in batch]
        failed = results.index(Result.NOT_SENT) if result is Result.UNCERTAIN else 150
        assert results == [result] * failed + [Result.NOT_SENT] * (150 - failed)
        assert failed > 0
        # What is called not sent is not on the server.
        unsent = {out.operation.path for out, found in zip(batch, results, strict=True) if found is Result.NOT_SENT}
        assert not unsent & world.held().keys()

    def test_a_lost_answer_is_not_sent_twice_into_a_conflict(self, world: World) -> None:
        """CR4: the same operation again neither doubles the version nor conflicts with itself."""
        ours = world.edit("a.md", "A")
        world.faults.inject(drop_answer(), on=world.commits)
        assert world.results(ours) == [Result.UNCERTAIN]
        assert world.results(ours)[0] in (Result.APPLIED, Result.UNCERTAIN)
        assert list(world.remote.conflicts(world.source)) == []
        assert len(world.remote.history(world.source, "a.md")) == world.can.history

    def test_a_lost_answer_of_an_edit_is_recalled_where_it_can_be(self, world: World) -> None:
        """CR4: the version made is the proof, if the server says whose it is."""
        world.results(world.edit("a.md", "A1"))
        ours = world.edit("a.md", "A2", "A1")
        world.faults.inject(drop_answer(), on=world.commits)
        assert world.results(ours) == [Result.UNCERTAIN]
        outcome = world.remote.recall(world.source, ours.operation, None)
        if outcome.result is Result.APPLIED:
            assert (outcome.rev, outcome.remote_id) == world.identity("a.md")
        else:
            assert outcome.result is Result.UNCERTAIN

    def test_a_push_goes_on_after_the_token_was_renewed(self, world: World) -> None:
        """PR10: a refused token stops the push, the next call uses the new one."""
        good = world.bearer[0]
        world.bearer[0] = "nonsense"
        answer = world.push(world.edit("a.md", "A"))
        assert answer.problem is not None
        assert answer.problem.kind is ProblemKind.SIGNED_OUT
        assert "nonsense" not in answer.problem.message
        world.bearer[0] = good
        assert world.results(world.edit("a.md", "A")) == [Result.APPLIED]

    def test_given_up_connections_are_made_again(self, world: World) -> None:
        """After a sleep: the next call works."""
        world.remote.abort_connections()
        assert world.remote.sources()
