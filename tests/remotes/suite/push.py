"""Promises about pushing: one outcome each, nothing unseen is overwritten, and no wrong byte leaves."""

from __future__ import annotations

import pytest
from msgspec import structs

from agent.core.model import EMPTY_HASH
from agent.core.remote_records import Result
from remotes.suite.world import World, needs, sha

BINARY = bytes(range(0, 256, 17)) + b"\0"


class PushPromises:
    """See the module."""

    def test_create_change_and_delete_are_applied(self, world: World) -> None:
        """The three ordinary outcomes."""
        assert world.results(world.edit("a.md", "A1"), world.edit("d/b.md", "B")) == [Result.APPLIED] * 2
        assert world.results(world.edit("a.md", "A2", "A1"), world.removal("d/b.md", "B")) == [Result.APPLIED] * 2
        assert world.held() == {"a.md": b"A2"}

    def test_nothing_to_send_sends_nothing(self, world: World) -> None:
        """An empty batch has no outcomes, no problem and no request."""
        before = len(world.requests)
        answer = world.push()
        assert (answer.outcomes, answer.problem, len(world.requests)) == ((), None, before)

    def test_outcomes_carry_the_servers_revision_and_id(self, world: World) -> None:
        """Of a new file, of a changed one, and of each in a batch."""
        for batch in (
            [world.edit("a.md", "A1"), world.edit("b.md", "B1")],
            [world.edit("a.md", "A2", "A1")],
        ):
            for outgoing, outcome in zip(batch, world.outcomes(*batch), strict=True):
                assert (outcome.rev, outcome.remote_id) == world.identity(outgoing.operation.path)

    def test_a_new_file_never_overwrites_one_the_server_has(self, world: World) -> None:
        """A missing base means "must not exist": the outcome is a conflict without a base, with both texts."""
        world.put("a.md", "theirs")
        outcome = world.only(world.edit("a.md", "ours"))
        assert outcome.result is Result.CONFLICT
        found = outcome.conflict
        assert found is not None
        assert (found.path, found.base_hash) == ("a.md", None)
        assert (found.local_text, found.remote_text) == (b"ours", b"theirs")
        assert (found.local_hash, found.remote_hash) == (sha("ours"), sha("theirs"))
        assert world.held() == {"a.md": b"theirs"}

    def test_a_file_made_between_two_looks_is_not_overwritten(self, world: World) -> None:
        """The machine has read the feed to its end, and the file came afterwards."""
        world.drain()
        world.put("d/a.md", "theirs")
        assert world.results(world.edit("d/a.md", "ours")) == [Result.CONFLICT]
        assert world.held() == {"d/a.md": b"theirs"}

    def test_a_stale_edit_is_a_conflict_and_the_others_apply(self, world: World) -> None:
        """One of a mixed batch was refused, and the open conflicts say which."""
        world.results(world.edit("a.md", "A1"), world.edit("b.md", "B1"))
        world.put("a.md", "A2")
        batch = [world.edit("a.md", "A3", "A1"), world.edit("b.md", "B2", "B1"), world.edit("c.md", "C")]
        assert world.results(*batch) == [Result.CONFLICT, Result.APPLIED, Result.APPLIED]
        listed = [(conflict.path, conflict.base_hash) for conflict in world.remote.conflicts(world.source)]
        assert listed == [("a.md", sha("A1"))]
        assert world.held() == {"a.md": b"A2", "b.md": b"B2", "c.md": b"C"}

    def test_a_content_that_came_back_is_another_version(self, world: World) -> None:
        """The server went A, B, A: our edit of the first A has not seen the second."""
        needs(world.distinguishes_visits, "revisions beside the content")
        world.results(world.edit("a.md", "A"))
        world.put("a.md", "B")
        world.put("a.md", "A")
        assert world.results(world.edit("a.md", "ours", "A")) == [Result.CONFLICT]
        assert world.held() == {"a.md": b"A"}

    def test_a_base_without_a_revision_is_never_a_permission(self, world: World) -> None:
        """It applies where the head has the base's content, and is refused where it has not."""
        world.results(world.edit("a.md", "A1"), world.edit("b.md", "B1"))
        world.put("b.md", "B2")
        unknown = [
            structs.replace(each, operation=structs.replace(each.operation, base_rev=None, remote_id=None))
            for each in (world.edit("a.md", "A2", "A1"), world.edit("b.md", "B3", "B1"))
        ]
        assert world.results(*unknown) == [Result.APPLIED, Result.CONFLICT]
        assert world.held() == {"a.md": b"A2", "b.md": b"B2"}

    def test_a_stale_delete_is_a_conflict_that_wants_no_file(self, world: World) -> None:
        """Its local side is "no such file", not empty text."""
        world.results(world.edit("a.md", "A1"))
        world.put("a.md", "A2")
        outcome = world.only(world.removal("a.md", "A1"))
        assert outcome.result is Result.CONFLICT
        assert outcome.conflict is not None
        assert (outcome.conflict.local_hash, outcome.conflict.remote_text) == (None, b"A2")
        assert [(c.local_hash, c.local_text) for c in world.remote.conflicts(world.source)] == [(None, None)]
        assert world.held() == {"a.md": b"A2"}

    def test_a_refused_edit_to_empty_text_keeps_its_empty_text(self, world: World) -> None:
        """The outcome tells it from a delete."""
        world.results(world.edit("a.md", "A1"))
        world.put("a.md", "A2")
        found = world.only(world.edit("a.md", "", "A1")).conflict
        assert found is not None
        assert (found.local_hash, found.local_text) == (EMPTY_HASH, b"")

    def test_a_change_of_a_deleted_file_is_not_left_unsent(self, world: World) -> None:
        """The file never comes back, so "not sent" would be answered without end."""
        world.results(world.edit("a.md", "A1"), world.edit("b.md", "B1"))
        world.remove("a.md")
        world.remove("b.md")
        for change in (world.edit("a.md", "A2", "A1"), world.removal("b.md", "B1")):
            answer = world.push(change)
            assert answer.problem is None
            assert answer.outcomes[0].result is not Result.NOT_SENT
        assert "b.md" not in world.held()

    def test_two_operations_on_one_path_are_applied_in_order(self, world: World) -> None:
        """The second is sent when the first has been answered."""
        first = world.edit("a.md", "A1")
        second = world.edit("a.md", "A2", "A1")
        assert world.results(first, world.edit("b.md", "B"), second) == [Result.APPLIED] * 3
        assert world.held() == {"a.md": b"A2", "b.md": b"B"}

    def test_many_operations_are_split_into_requests(self, world: World) -> None:
        """250 in one batch."""
        assert world.results(*(world.edit(f"{n}.md", str(n)) for n in range(250))) == [Result.APPLIED] * 250
        assert len(world.held()) == 250

    def test_a_file_too_large_is_set_aside_with_the_limit(self, world: World) -> None:
        """PR7: the others go through, and a file of exactly the limit is taken."""
        needs(world.states_limit, "stated limit of a file")
        outcome = world.only(world.edit("big.md", "x" * 1_100_000))
        assert outcome.result is Result.TOO_LARGE
        assert outcome.detail
        assert outcome.limit is not None
        assert world.results(world.edit("big.md", "x" * outcome.limit)) == [Result.APPLIED]
        larger = world.edit("bag.md", "x" * (outcome.limit + 10))
        assert world.results(larger, world.edit("b.md", "B")) == [Result.TOO_LARGE, Result.APPLIED]
        assert sorted(world.held()) == ["b.md", "big.md"]

    def test_one_operation_that_is_refused_is_refused_alone(self, world: World) -> None:
        """PR9: the others are on the server, one is rejected with the server's reason."""
        bad = world.refusable()
        before = len(world.held())
        batch = [world.edit(f"{n:02}.md", f"text {n}") for n in range(50)]
        batch.insert(37, bad)
        answer = world.push(*batch)
        outcomes = {outcome.operation_id: outcome for outcome in answer.outcomes}
        poison = outcomes.pop(bad.operation.id)
        assert poison.result is Result.REJECTED
        assert poison.detail
        assert {outcome.result for outcome in outcomes.values()} <= {Result.APPLIED, Result.UNCERTAIN}
        assert answer.problem is None
        assert len(world.held()) == before + 50

    @pytest.mark.parametrize("size", [5, 50])
    def test_wrong_bytes_never_leave(self, world: World, size: int) -> None:
        """Bytes that are not what their hash says, small or large, are no version of the server's."""
        good = world.edit("a.md", "x" * size)
        wrong = structs.replace(good, body=b"y" * size)
        assert world.only(wrong).result in (Result.REJECTED, Result.CHANGED)
        assert world.held() == {}

    def test_any_bytes_are_taken_where_the_server_takes_them(self, world: World) -> None:
        """Not UTF-8, with a NUL; where only text is taken they are rejected and not sent."""
        result = world.only(world.edit("a.md", BINARY)).result
        if world.can.text_only:
            assert (result, world.held()) == (Result.REJECTED, {})
        else:
            assert (result, world.held()) == (Result.APPLIED, {"a.md": BINARY})
            assert world.fetched("a.md") == BINARY

    def test_an_empty_file_is_a_file(self, world: World) -> None:
        """Empty text and no file are different things."""
        assert world.results(world.edit("a.md", "")) == [Result.APPLIED]
        assert world.files() == {"a.md": EMPTY_HASH}
        assert world.fetched("a.md") == b""

    def test_a_repeated_operation_is_not_applied_twice(self, world: World) -> None:
        """PR1, CR4: the same id again has its first outcome, or none that is proven; nothing changes."""
        again = world.edit("a.md", "A")
        world.results(again)
        assert world.results(again)[0] in (Result.APPLIED, Result.UNCERTAIN)
        assert len(world.remote.history(world.source, "a.md")) == world.can.history
        assert list(world.remote.conflicts(world.source)) == []

    def test_a_repeated_operation_that_conflicts_still_does(self, world: World) -> None:
        """The answer is the same, and the server's text is still there."""
        world.put("a.md", "theirs")
        ours = world.edit("a.md", "ours")
        first, again = world.only(ours), world.only(ours)
        assert first.result is again.result is Result.CONFLICT
        assert again.conflict is not None
        assert again.conflict.local_text == b"ours"
        assert world.held() == {"a.md": b"theirs"}

    def test_a_recalled_operation_is_proven_or_uncertain(self, world: World) -> None:
        """CR4: without being sent again. A version of somebody else proves nothing."""
        applied, refused, foreign = world.edit("a.md", "A"), world.edit("b.md", "ours"), world.edit("c.md", "C")
        world.put("b.md", "theirs")
        world.results(applied, refused)
        world.put("c.md", "C")
        before = world.held(), len(list(world.remote.conflicts(world.source)))
        outcomes = [world.remote.recall(world.source, each.operation, None) for each in (applied, refused, foreign)]
        assert [each.operation_id for each in outcomes] == [each.operation.id for each in (applied, refused, foreign)]
        assert outcomes[0].result in (Result.APPLIED, Result.UNCERTAIN)
        assert outcomes[1].result in (Result.CONFLICT, Result.UNCERTAIN)
        assert outcomes[2].result is Result.UNCERTAIN
        assert before == (world.held(), len(list(world.remote.conflicts(world.source))))

    def test_an_earlier_version_of_ours_proves_nothing(self, world: World) -> None:
        """CR4: the same bytes, written before on another base, are not the operation that is in doubt."""
        world.results(world.edit("a.md", "A"))
        world.put("a.md", "B")
        world.drain()
        unsent = world.edit("a.md", "A", "B")
        assert world.remote.recall(world.source, unsent.operation, None).result is Result.UNCERTAIN

    def test_a_file_that_moved_here_proves_no_new_one(self, world: World) -> None:
        """CR4: its first version is ours and has the bytes of the new file in doubt, which was made at another path."""
        needs(world.can.moves, "moves")
        world.results(world.edit("a.md", "A"))
        world.drain()
        world.move("a.md", "b.md")
        world.put("b.md", "B")
        unsent = world.edit("b.md", "A")
        assert world.remote.recall(world.source, unsent.operation, None).result is Result.UNCERTAIN


class MovePromises:
    """What a dialect that can move files promises."""

    def test_a_move_keeps_id_and_content(self, world: World) -> None:
        """No content is sent; the outcome has the revision and the id."""
        needs(world.can.moves, "moves")
        world.results(world.edit("a.md", "A1"))
        before = world.identity("a.md")[1]
        outcome = world.only(world.moving("a.md", "d/b.md", "A1"))
        assert outcome.result is Result.APPLIED
        assert (outcome.rev, outcome.remote_id) == world.identity("d/b.md")
        assert outcome.remote_id == before
        assert world.held() == {"d/b.md": b"A1"}

    def test_an_own_move_comes_back_as_an_echo(self, world: World) -> None:
        """Known by its operation id, like every other one."""
        needs(world.can.moves, "moves")
        world.results(world.edit("a.md", "A1"))
        _, state = world.drain()
        moving = world.moving("a.md", "b.md", "A1")
        world.results(moving)
        (event,) = world.drain(state)[0]
        assert (event.path, event.operation_id) == ("b.md", moving.operation.id)  # type: ignore[union-attr]

    def test_a_move_never_overwrites(self, world: World) -> None:
        """Neither a file at the new path, nor an edit of the moved file that this machine has not seen."""
        needs(world.can.moves, "moves")
        world.results(world.edit("a.md", "A1"), world.edit("c.md", "C1"))
        world.put("b.md", "B")
        world.put("c.md", "C2")
        taken, edited = world.moving("a.md", "b.md", "A1"), world.moving("c.md", "d.md", "C1")
        for outcome in world.outcomes(taken, edited):
            assert outcome.result in (Result.CONFLICT, Result.UNCERTAIN, Result.REJECTED)
        assert world.held() == {"a.md": b"A1", "b.md": b"B", "c.md": b"C2"}

    def test_a_move_of_a_deleted_file_is_not_left_unsent(self, world: World) -> None:
        """As for other changes: there is nothing to move, now or later."""
        needs(world.can.moves, "moves")
        world.results(world.edit("a.md", "A1"))
        world.remove("a.md")
        answer = world.push(world.moving("a.md", "b.md", "A1"))
        assert answer.problem is None
        assert answer.outcomes[0].result not in (Result.NOT_SENT, Result.APPLIED)
        assert world.held() == {}

    def test_an_edit_of_a_file_that_was_moved_is_not_lost(self, world: World) -> None:
        """It conflicts, or follows the file; nothing is created at the old path beside it."""
        needs(world.can.moves, "moves")
        world.results(world.edit("a.md", "A1"))
        world.move("a.md", "b.md")
        outcome = world.only(world.edit("a.md", "A2", "A1"))
        if outcome.result is Result.APPLIED:
            assert world.held() == {"b.md": b"A2"}
        else:
            assert outcome.result in (Result.CONFLICT, Result.UNCERTAIN)
            assert world.held() == {"b.md": b"A1"}
