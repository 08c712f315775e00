"""Promises about the feed: nothing is left out, nothing is taken for another's, and reading goes on anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agent.core.errors import ProblemKind, RemoteError
from agent.core.events import ConflictOpened, Delete, Move, Upsert
from agent.core.remote_records import Result
from remotes.suite.world import World, needs, replay, sha


class FeedPromises:
    """See the module."""

    def test_own_pushes_come_back_as_echoes(self, world: World) -> None:
        """An echo is known by its operation id, and carries the content where it is small."""
        _, state = world.drain()
        created = world.edit("a.md", "A ü")
        world.results(created)
        events, state = world.drain(state)
        (upsert,) = (event for event in events if isinstance(event, Upsert))
        assert (upsert.path, upsert.hash) == ("a.md", sha("A ü"))
        assert upsert.content == ("A ü".encode() if world.echoes_contents else None)
        assert upsert.operation_id == created.operation.id
        deleted = world.removal("a.md", "A ü")
        world.results(deleted)
        (delete,) = (event for event in world.drain(state)[0] if isinstance(event, Delete))
        assert (delete.path, delete.operation_id) == ("a.md", deleted.operation.id)
        assert delete.position > upsert.position

    def test_a_version_of_somebody_else_is_no_echo(self, world: World) -> None:
        """Unknown echo: none. Not even where our own operation was sent with the same path and content."""
        _, state = world.drain()
        ours = world.edit("a.md", "same")
        world.book.sent(ours.operation)
        world.put("a.md", "same")
        world.put("b.md", "B")
        events, _ = world.drain(state)
        upserts = [event for event in events if isinstance(event, Upsert)]
        assert [event.path for event in upserts] == ["a.md", "b.md"]
        assert ours.operation.id not in {event.operation_id for event in upserts}

    def test_the_feed_names_conflicts_where_the_server_says_so(self, world: World) -> None:
        """The engine reads the list of conflicts in each verification only where the feed does not name them."""
        _, state = world.drain()
        world.put("a.md", "theirs")
        assert world.results(world.edit("a.md", "ours")) == [Result.CONFLICT]
        events, _ = world.drain(state)
        assert any(isinstance(event, ConflictOpened) for event in events) == world.can.conflict_events

    def test_reading_goes_on_where_the_state_says(self, world: World) -> None:
        """Nothing is told twice in order, and a kept state still works in another process."""
        world.put("a.md", "A")
        _, state = world.drain()
        world.put("b.md", "B")
        events, _ = world.other().drain(state)
        assert [event.path for event in events if isinstance(event, Upsert)] == ["b.md"]

    def test_a_page_asked_for_twice_is_equal(self, world: World) -> None:
        """PR1: the state moves only when the caller keeps the new one. Every page of a feed, events and state."""
        for number in range(4):
            world.put(f"dir{number % 2}/{number}.md", f"text {number}")
        world.remove("dir0/0.md")
        state = None
        for _ in range(50):
            first, again = (world.remote.pull(world.source, state, 0, world.clock.now) for _ in range(2))
            assert first == again
            world.book.commit_page(first)
            state = first.state
            if not first.more:
                return
        raise AssertionError("the feed does not end")

    def test_positions_rise_from_event_to_event(self, world: World) -> None:
        """Over all pages, from the beginning and from a kept state."""
        for number in range(3):
            world.put(f"{number}.md", "x")
        events, state = world.drain()
        world.put("3.md", "x")
        world.remove("0.md")
        events += world.drain(state)[0]
        assert all(one.position < two.position for one, two in pairwise(events))

    def test_a_lost_position_is_no_empty_feed(self, world: World) -> None:
        """CURSOR_LOST, until the feed is read from its beginning; that reading has every file."""
        world.put("a.md", "A")
        world.put("b.md", "B")
        _, state = world.drain()
        world.remove("a.md")
        world.put("c.md", "C")
        needs(world.lose_position(), "positions that are forgotten")
        world.put("d.md", "D")
        for _ in range(2):
            with pytest.raises(RemoteError) as failure:
                world.remote.pull(world.source, state, 0, world.clock.now)
            assert failure.value.problem.kind is ProblemKind.CURSOR_LOST
        assert not world.remote.was_restored_from_older_copy(world.source, state)
        events, state = world.drain(None)
        assert replay(events) == {path: sha(content) for path, content in world.held().items()}
        assert world.drain(state)[0] == []

    def test_a_long_feed_is_read_to_its_end(self, world: World) -> None:
        """300 files, each once, whoever wrote them."""
        for start in range(0, 300, 100):
            batch = [world.edit(f"d{n % 7}/{n:03}.md", str(n)) for n in range(start, start + 100)]
            assert set(world.results(*batch)) == {Result.APPLIED}
        events, _ = world.other().drain()
        paths = [event.path for event in events if isinstance(event, Upsert)]
        assert sorted(paths) == sorted(f"d{n % 7}/{n:03}.md" for n in range(300))
        assert replay(events) == {path: sha(content) for path, content in world.held().items()}

    def test_the_events_alone_give_the_servers_files(self, world: World) -> None:
        """Creates, changes, deletes and moves, of files and of a folder; read at once and bit by bit."""
        world.put("top.md", "1")
        world.put("dir/a.md", "2")
        world.put("dir/sub/b.md", "3")
        early, state = world.drain()
        world.put("top.md", "4")
        world.move("dir", "other")
        world.put("other/a.md", "5")
        world.move("top.md", "dir/top.md")
        world.remove("other/sub/b.md")
        world.put("new.md", "6")
        late, _ = world.drain(state)
        expected = {path: sha(content) for path, content in world.held().items()}
        assert replay([*early, *late]) == expected
        assert replay(world.other().drain()[0]) == expected
        assert {path: entry.hash for path, entry in world.book.files.items()} == expected

    def test_events_carry_the_servers_revision_and_id(self, world: World) -> None:
        """Unchanged: the engine compares them for equality."""
        world.put("a.md", "A1")
        events, state = world.drain()
        (first,) = (event for event in events if isinstance(event, Upsert))
        assert (first.rev, first.remote_id) == world.identity("a.md")
        world.put("a.md", "A2")
        (second,) = (event for event in world.drain(state)[0] if isinstance(event, Upsert))
        assert (second.rev, second.remote_id) == world.identity("a.md")
        assert second.remote_id == first.remote_id
        assert second.rev != first.rev

    def test_a_move_keeps_the_id_and_says_all_of_an_upsert(self, world: World) -> None:
        """Path, old path, hash, size, revision and id."""
        needs(world.can.moves, "moves")
        world.put("a.md", "A1")
        _, state = world.drain()
        before = world.identity("a.md")[1]
        world.move("a.md", "dir/b.md")
        (move,) = (event for event in world.drain(state)[0] if isinstance(event, Move))
        assert (move.old_path, move.path, move.hash, move.size) == ("a.md", "dir/b.md", sha("A1"), 2)
        assert (move.rev, move.remote_id) == world.identity("dir/b.md")
        assert move.remote_id == before

    def test_a_state_that_cannot_be_read_starts_over(self, world: World) -> None:
        """Telling an event twice is harmless; leaving one out is not."""
        world.put("a.md", "A")
        for state in ("not a state", '{"cursor": "x"}'):
            assert replay(world.drain(state)[0]) == {"a.md": sha("A")}

    def test_a_restored_server_is_noticed(self, world: World) -> None:
        """Right after the restore, and when it has gone on and used its numbers again."""
        world.put("a.md", "A")
        _, state = world.drain()
        copy = world.snapshot()
        world.put("b.md", "B")
        _, state = world.drain(state)
        assert not world.remote.was_restored_from_older_copy(world.source, state)
        world.restore(copy)
        assert world.remote.was_restored_from_older_copy(world.source, state)
        for number in range(5):
            world.clock.now += 1
            world.put(f"c{number}.md", "C")
        assert world.remote.was_restored_from_older_copy(world.source, state)

    def test_a_restore_between_changes_of_one_page_is_noticed(self, world: World) -> None:
        """The older copy holds the first change of the page that was read last, and not its last one."""
        _, state = world.drain()
        world.put("a.md", "A")
        copy = world.snapshot()
        world.put("b.md", "B")
        _, state = world.drain(state)
        world.restore(copy)
        for number in range(5):
            world.clock.now += 1
            world.put(f"c{number}.md", "C")
        assert world.remote.was_restored_from_older_copy(world.source, state)

    @pytest.mark.parametrize("burst", [1, 30])
    def test_a_server_restored_between_two_reads_is_not_read_on(self, world: World, burst: int) -> None:
        """It has given the numbers out again, so the next read would find nothing wrong and lose the old place."""
        if world.can.long_poll:
            pytest.skip("a held request ends with its server")
        _, state = world.drain()
        copy = world.snapshot()
        for number in range(burst):
            world.put(f"b{number}.md", "B")
        _, state = world.drain(state)
        for _ in range(4):
            # A feed that is not ordered is read again for a minute.
            world.clock.now += 61
            _, state = world.drain(state)
        world.restore(copy)
        for number in range(burst + 5):
            world.clock.now += 1
            world.put(f"c{number}.md", "C")
        with pytest.raises(RemoteError) as raised:
            world.drain(state)
        assert raised.value.problem.kind in (ProblemKind.GARBLED, ProblemKind.CURSOR_LOST)
        assert world.remote.was_restored_from_older_copy(world.source, state)

    def test_a_server_that_only_went_on_is_not_a_restored_one(self, world: World) -> None:
        """At every state, the first one included."""
        states = [world.drain()[1]]
        for number in range(3):
            world.put(f"{number}.md", "x")
            states.append(world.drain(states[-1])[1])
        assert [world.remote.was_restored_from_older_copy(world.source, each) for each in states] == [False] * 4
        assert not world.remote.was_restored_from_older_copy(world.source, None)
