"""What the plain server does to its clients by switch, and how its adapter bears it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

import msgspec
import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.core.events import FeedEvent, Move, Unreadable, Upsert
from agent.core.remote_records import Result
from agent.core.supply import Transfer
from agent.core.version import Version
from plain_dialect.state import INLINE, Traps
from plain_dialect.world import PlainWorld
from remotes.suite import promises
from remotes.suite.account import kind_of
from remotes.suite.transfers import LARGE, OpenedFile, joined, opening, received, transfer_of
from remotes.suite.world import replay, sha
from strict_raven import Response

HARMLESS = {
    "an envelope": Traps(envelope=True),
    "entries for each child": Traps(child_entries=True),
    "no hash in events": Traps(no_hash=True),
    "no ranges": Traps(ignores_ranges=True),
    "416": Traps(refuses_ranges=True),
}
"""Traps under which every promise holds all the same."""


@pytest.fixture(params=HARMLESS)
def harmless(request: pytest.FixtureRequest) -> Iterator[PlainWorld]:
    """One world for each trap that changes no promise."""
    world = PlainWorld(HARMLESS[request.param])
    yield world
    world.close()


@pytest.fixture
def trapped() -> Iterator[Callable[[Traps], PlainWorld]]:
    """Makes a world with these traps."""
    made: list[PlainWorld] = []

    def make(traps: Traps) -> PlainWorld:
        made.append(PlainWorld(traps))
        return made[-1]

    yield make
    for world in made:
        world.close()


class Overridden:
    """Replaces the fixture ``world`` by one with a trap."""

    @pytest.fixture
    def world(self, harmless: PlainWorld) -> PlainWorld:
        """The world under test."""
        return harmless


def _under_traps() -> dict[str, type]:
    chosen = ("TestFeed", "TestPush", "TestMove", "TestLooking", "TestResolve", "TestDownload", "TestUpload")
    found = promises(__name__)
    return {f"{name}UnderTraps": type(f"{name}UnderTraps", (Overridden, found[name]), {}) for name in chosen}


globals().update(_under_traps())

Make = Callable[[Traps], PlainWorld]


class TestCommits:
    def test_a_file_that_the_server_lost_stops_no_other(self, trapped: Make) -> None:
        """A server that was restored answers 404 for it. The commit goes on one by one, and the engine looks at it."""
        world = trapped(Traps())
        assert world.results(world.edit("a.md", "A1"), world.edit("b.md", "B1")) == [Result.APPLIED] * 2
        world.drain()
        del world.server.state.files[world.identity("a.md")[1] or ""]
        answer = world.push(world.edit("a.md", "A2", "A1"), world.edit("b.md", "B2", "B1"), world.edit("c.md", "C"))
        assert [each.result for each in answer.outcomes] == [Result.UNCERTAIN, Result.APPLIED, Result.APPLIED]
        assert answer.problem is None
        assert world.held() == {"b.md": b"B2", "c.md": b"C"}

    @pytest.mark.parametrize("traps", [Traps(counts_only=True), Traps(bare_409=True)])
    def test_an_answer_without_items_is_pieced_together(self, trapped: Make, traps: Traps) -> None:
        """Conflicts are found in the list, the rest one by one; nothing is guessed, nothing overwritten."""
        world = trapped(traps)
        assert world.results(world.edit("a.md", "A1"), world.edit("b.md", "B1")) == [Result.APPLIED] * 2
        world.drain()
        world.put("a.md", "A2")
        stale, fresh = world.edit("a.md", "A3", "A1"), world.edit("b.md", "B2", "B1")
        first = world.results(stale, fresh)
        assert first[0] is Result.CONFLICT
        assert first[1] in (Result.APPLIED, Result.UNCERTAIN)
        if first[1] is Result.UNCERTAIN:
            assert world.results(fresh) == [Result.APPLIED]
        assert world.held() == {"a.md": b"A2", "b.md": b"B2"}
        again = world.edit("b.md", "B3", "B2")
        outcome = world.only(again)
        assert (outcome.result, (outcome.rev, outcome.remote_id)) == (Result.APPLIED, world.identity("b.md"))

    def test_an_item_that_the_answer_forgets_is_recalled(self, trapped: Make) -> None:
        """CR4: it is uncertain, and the version that it made is the proof."""
        world = trapped(Traps(forgets=True))
        one, two = world.edit("a.md", "A"), world.edit("b.md", "B")
        assert world.results(one, two) == [Result.APPLIED, Result.UNCERTAIN]
        outcome = world.remote.recall(world.source, two.operation, None)
        assert (outcome.result, (outcome.rev, outcome.remote_id)) == (Result.APPLIED, world.identity("b.md"))

    def test_a_commit_that_arrives_twice_is_in_doubt(self, trapped: Make) -> None:
        """CR4: the second copy finds its upload session gone, and is no proof that nothing was done."""
        world = trapped(Traps())
        world.put("a.md", "theirs")
        edit, handle = opening(world, "a.md", OpenedFile(LARGE)), world.faults.handle

        def twice(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
            if path.endswith("/commits"):
                handle(method, path, headers, body)
            return handle(method, path, headers, body)

        world.faults.handle = twice  # type: ignore[method-assign]
        assert world.results(edit) == [Result.UNCERTAIN]
        outcome = world.remote.recall(world.source, edit.operation, None)
        assert outcome.result is Result.CONFLICT
        assert outcome.conflict is not None
        assert outcome.conflict.local_hash == edit.operation.hash

    def test_a_conflict_on_a_base_of_unknown_revision_is_recalled(self, trapped: Make) -> None:
        """CR4: it was sent without one, so the conflict names none either; a new file's conflict is another one."""
        world = trapped(Traps())
        world.results(world.edit("a.md", "A1"))
        edit = world.edit("a.md", "A2", "A1")
        unnamed = msgspec.structs.replace(edit, operation=msgspec.structs.replace(edit.operation, base_rev=None))
        world.put("a.md", "theirs")
        assert world.results(unnamed) == [Result.CONFLICT]
        assert world.remote.recall(world.source, unnamed.operation, None).result is Result.CONFLICT
        new = msgspec.structs.replace(unnamed.operation, base=None)
        assert world.remote.recall(world.source, new, None).result is Result.UNCERTAIN

    def test_a_moved_folder_is_not_remembered_from_the_book(self, trapped: Make) -> None:
        """The page that tells of the move is read, and a question in between takes the old id from the book."""
        world = trapped(Traps())
        world.put("d/a.md", "A")
        _, state = world.drain()
        world.move("d", "e")
        first = world.remote.pull(world.source, state, 0, 0)
        world.book.commit_page(first)
        page = world.remote.pull(world.source, first.state, 0, 0)
        assert world.remote.head(world.source, "d/b.md") is None
        world.book.commit_page(page)
        world.results(world.edit("d/b.md", "B"))
        assert sorted(world.held()) == ["d/b.md", "e/a.md"]

    def test_a_replaced_version_is_reported(self, trapped: Make) -> None:
        """A server that does not compare the base put our edit over a version that nobody here has seen."""
        world = trapped(Traps(compares_no_base=True))
        world.results(world.edit("a.md", "A1"))
        world.put("a.md", "unseen")
        rev, identifier = world.identity("a.md")
        outcome = world.only(world.edit("a.md", "A2", "A1"))
        assert outcome.result is Result.APPLIED
        assert outcome.replaced == Version(sha("unseen"), 6, rev, identifier)
        assert joined(received(world, Transfer("0" * 16, "a.md", identifier, rev, sha("unseen"), 6))) == b"unseen"
        assert world.only(world.edit("a.md", "A3", "A2")).replaced is None

    def test_deletes_go_on_while_there_is_no_space(self, trapped: Make) -> None:
        """507: contents wait, and the problem says why; a delete may free the space."""
        world = trapped(Traps())
        world.results(world.edit("a.md", "A"), world.edit("b.md", "B"))
        world.server.traps.no_space = True
        batch = [opening(world, "c.md", OpenedFile(LARGE)), world.removal("a.md", "A"), world.edit("d.md", "D")]
        answer = world.push(*batch)
        by_id = {outcome.operation_id: outcome.result for outcome in answer.outcomes}
        assert [by_id[out.operation.id] for out in batch] == [Result.NOT_SENT, Result.APPLIED, Result.NOT_SENT]
        assert answer.problem is not None
        assert answer.problem.kind is ProblemKind.NO_SPACE
        assert sorted(world.held()) == ["b.md"]

    def test_a_reader_is_forbidden_to_write(self, trapped: Make) -> None:
        """403: nothing was sent, whatever the operation."""
        world = trapped(Traps())
        world.results(world.edit("a.md", "A"))
        share = world.server.state.shares[world.source]
        world.server.state.shares[world.source] = type(share)(share.id, share.name, readers_only=True)
        answer = world.push(world.edit("b.md", "B"), world.removal("a.md", "A"))
        assert {outcome.result for outcome in answer.outcomes} == {Result.NOT_SENT}
        assert answer.problem is not None
        assert answer.problem.kind is ProblemKind.FORBIDDEN
        assert not next(source for source in world.remote.sources() if source.id == world.source).writable

    def test_a_folder_that_was_moved_away_is_asked_for_again(self, trapped: Make) -> None:
        """The ids of folders are a cache. A new file never lands in a folder that has another name now."""
        world = trapped(Traps())
        world.results(world.edit("d/a.md", "A"))
        world.move("d", "e")
        world.drain()
        world.results(world.edit("d/b.md", "B"))
        assert sorted(world.held()) == ["d/b.md", "e/a.md"]

    def test_a_folder_that_was_deleted_is_made_again(self, trapped: Make) -> None:
        """410 for the folder: nothing was applied, and the next push does not trust the old id, nor the book's."""
        world = trapped(Traps())
        world.put("d/a.md", "A")
        world.drain()
        world.remove_folder("d")
        first = world.edit("d/b.md", "B")
        answer = world.push(first)
        assert [outcome.result for outcome in answer.outcomes] == [Result.NOT_SENT]
        assert answer.problem is not None
        assert answer.problem.kind is ProblemKind.GONE
        assert world.results(first) == [Result.APPLIED]
        assert world.held() == {"d/b.md": b"B"}


class TestFeed:
    def test_a_cut_log_loses_the_cursor_and_nothing_else(self, trapped: Make) -> None:
        """The engine reads from the beginning, and has every file."""
        world = trapped(Traps())
        world.put("a.md", "A")
        _, state = world.drain()
        world.put("b.md", "B")
        world.server.cut_log()
        world.put("c.md", "C")
        assert kind_of(lambda: world.remote.pull(world.source, state, 0, world.clock.now)) is ProblemKind.CURSOR_LOST
        assert not world.remote.was_restored_from_older_copy(world.source, state)
        assert replay(world.drain(None)[0]) == {path: sha(content) for path, content in world.held().items()}

    def test_the_cursor_moves_past_the_entries_of_others(self, trapped: Make) -> None:
        """Or a log that is cut behind them would lose a reader who has missed nothing."""
        world = trapped(Traps())
        world.put("a.md", "A")
        _, state = world.drain()
        other = world.server.add_share("other").id
        world.server.put(other, "x.md", b"x")
        events, state = world.drain(state)
        assert events == []
        world.server.cut_log()
        world.put("b.md", "B")
        assert replay(world.drain(state)[0]) == {"b.md": sha("B")}

    def test_a_page_ends_before_an_event_that_needs_the_book(self, trapped: Make) -> None:
        """Read again without a commit, it ends there again; after the commit the folder's files are known."""
        world = trapped(Traps())
        world.put("d/a.md", "A")
        _, state = world.drain()
        world.put("d/b.md", "B")
        world.move("d", "e")
        world.move("e", "f")
        first = world.remote.pull(world.source, state, 0, 0)
        assert (first.barrier, first.more) == (True, True)
        assert [event.path for event in first.events if isinstance(event, Upsert)] == ["d/b.md"]
        assert world.remote.pull(world.source, state, 0, 0) == first
        world.book.commit_page(first)
        second = world.remote.pull(world.source, first.state, 0, 0)
        moves = [(event.old_path, event.path) for event in second.events if isinstance(event, Move)]
        assert (second.barrier, moves) == (True, [("d/a.md", "e/a.md"), ("d/b.md", "e/b.md")])
        world.book.commit_page(second)
        world.drain(second.state)
        assert sorted(world.book.files) == ["f/a.md", "f/b.md"]

    def test_a_deleted_folder_deletes_its_files(self, trapped: Make) -> None:
        """One entry in the log, one event for each file; or both, which is no harm."""
        for traps in (Traps(), Traps(child_entries=True)):
            world = trapped(traps)
            world.put("d/a.md", "A")
            world.put("d/e/b.md", "B")
            world.put("c.md", "C")
            _, state = world.drain()
            world.remove_folder("d")
            world.drain(state)
            assert {path: entry.hash for path, entry in world.book.files.items()} == {"c.md": sha("C")}

    def test_an_event_that_cannot_be_resolved_harms_no_other(self, trapped: Make) -> None:
        """The file vanished from sight; the verification finds it if it comes back."""
        world = trapped(Traps(no_hash=True))
        world.put("a.md", "A")
        _, state = world.drain()
        world.put("b.md", "B")
        world.put("c.md", "C")
        del world.server.state.files[world.identity("b.md")[1] or ""]
        events, _ = world.drain(state)
        assert [(type(event), event.path) for event in events if not isinstance(event, Move)] == [  # type: ignore[union-attr]
            (Unreadable, "b.md"),
            (Upsert, "c.md"),
        ]

    def test_what_the_account_may_not_see_is_missing_not_deleted(self, trapped: Make) -> None:
        """404: no event, no empty list; the call fails."""
        world = trapped(Traps())
        world.put("a.md", "A")
        _, state = world.drain()
        share = world.server.state.shares[world.source]
        world.server.state.shares[world.source] = type(share)(share.id, share.name, hidden=True)
        for call in (
            lambda: world.remote.pull(world.source, state, 0, 0),
            lambda: list(world.remote.listing(world.source)),
        ):
            assert kind_of(call) is ProblemKind.NOT_FOUND

    def test_a_walk_passes_a_folder_that_vanishes(self, trapped: Make) -> None:
        """It was deleted or moved after its parent was read: the changes since then say so."""
        world = trapped(Traps())
        for name in ("a", "b", "c"):
            world.put(f"{name}/x.md", name)
        page = world.remote.pull(world.source, None, 0, 0)
        world.book.commit_page(page)
        world.move("a", "moved")
        world.remove_folder("b")
        world.drain(page.state)
        assert {path: entry.hash for path, entry in world.book.files.items()} == {
            "moved/x.md": sha("a"),
            "c/x.md": sha("c"),
        }


class TestContents:
    def test_wrong_bytes_are_seen_by_their_receiver(self, trapped: Make) -> None:
        """A stream has the right size and another hash; inline content with another hash is not passed on."""
        world = trapped(Traps(wrong_bytes=True))
        world.put("a.md", LARGE)
        content = joined(received(world, transfer_of(world, "a.md", LARGE)))
        assert len(content) == len(LARGE)
        assert hashlib.sha256(content).hexdigest() != sha(LARGE)
        world.put("b.md", "B")
        world.server.state.contents[sha("B")] = b"C"
        head = world.remote.head(world.source, "b.md")
        assert head is not None
        assert (head.hash, head.content) == (sha("B"), None)

    def test_a_pruned_version_is_gone(self, trapped: Make) -> None:
        """410: the executor gives the download up."""
        world = trapped(Traps())
        world.put("a.md", LARGE)
        transfer = transfer_of(world, "a.md", LARGE)
        world.put("a.md", "newer")
        del world.server.state.contents[sha(LARGE)]
        assert kind_of(lambda: received(world, transfer)) is ProblemKind.GONE

    def test_the_inline_limit_is_a_limit(self, trapped: Make) -> None:
        """A content of exactly the limit is inline, one byte more is not; both are the same file afterwards."""
        world = trapped(Traps())
        for size in (INLINE, INLINE + 1):
            content = b"x" * size
            assert world.results(world.edit(f"{size}.md", content)) == [Result.APPLIED]
            head = world.remote.head(world.source, f"{size}.md")
            assert head is not None
            assert (head.content is None) == (size > INLINE)
            assert world.fetched(f"{size}.md") == content


class TestBudget:
    def test_a_first_sync_within_fifty_calls_never_meets_429(self, trapped: Make) -> None:
        """PR8: the adapter stops by itself, says how long to wait, and goes on where it was."""
        world = trapped(Traps(limit=50))
        for number in range(60):
            world.put(f"d{number % 3}/{number}.md", str(number))
        events: list[FeedEvent] = []
        state, waits = None, 0
        while True:
            try:
                page = world.remote.pull(world.source, state, 0, world.clock.now)
            except RemoteError as error:
                assert error.problem.kind is ProblemKind.BUSY
                assert error.problem.retry_after is not None
                world.clock.now += error.problem.retry_after + 1
                waits += 1
                assert waits < 20
                continue
            events += page.events
            state = page.state
            if not page.more:
                break
        assert replay(events) == {path: sha(content) for path, content in world.held().items()}
        assert waits >= 1
        assert 429 not in world.api.statuses


def test_the_same_calls_give_the_same_server() -> None:
    """Deterministic, and a copy is complete: what follows it is the same as well."""
    first, second = PlainWorld(), PlainWorld()
    for world in (first, second):
        world.put("d/a.md", "A")
        world.results(world.edit("b.md", LARGE), world.edit("d/a.md", "stale"))
        world.drain()
    assert first.server.state == second.server.state
    copy = first.server.snapshot()
    first.put("c.md", "C")
    first.move("d", "e")
    after = first.server.snapshot()
    assert after != copy
    first.server.restore(copy)
    assert first.server.state == copy == second.server.state
    first.put("c.md", "C")
    first.move("d", "e")
    assert first.server.state == after
    first.close()
    second.close()
