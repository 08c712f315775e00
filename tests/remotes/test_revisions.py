"""Every record of the port names the server's revision. Raven's is the hash, and its only identity is the path."""

from __future__ import annotations

from agent.core.events import ConflictClosed, ConflictOpened, Upsert
from agent.core.model import Resolution
from agent.core.remote_records import Operation, Result, Verb
from agent.remotes.protocol import Outgoing
from remotes.fixtures import World, edit, removal, sha


def test_outcomes_name_the_revision_they_made(world: World) -> None:
    """Alone, in a batch, and beside a conflict; a delete makes none."""
    made = world.only(edit("a.md", "A"))
    assert (made.result, made.rev, made.remote_id, made.replaced) == (Result.APPLIED, sha("A"), None, None)
    batch = (edit("b.md", "B"), edit("c.md", "C"), edit("a.md", "X"))
    outcomes = {each.operation_id: each for each in world.push(*batch).outcomes}
    assert [outcomes[out.operation.id].rev for out in batch] == [sha("B"), sha("C"), None]
    refused = outcomes[batch[2].operation.id].conflict
    assert refused is not None
    assert (refused.local_rev, refused.remote_rev, refused.remote_id) == (sha("X"), sha("A"), None)
    gone = world.only(removal("b.md", "B"))
    assert (gone.result, gone.rev) == (Result.APPLIED, None)


def test_events_heads_versions_and_the_listing_name_it(world: World) -> None:
    """With the size, where the content came along."""
    world.push(edit("a.md", "one"), edit("b.md", "two"))
    world.push(edit("a.md", "three", "one"))
    events, _ = world.drain()
    upserts = [event for event in events if isinstance(event, Upsert)]
    assert upserts and all((event.rev, event.remote_id) == (event.hash, None) for event in upserts)
    assert all(event.size == len(event.content) for event in upserts if event.content is not None)
    head = world.remote.head(world.source, "a.md")
    assert head is not None
    assert (head.hash, head.rev, head.remote_id, head.size) == (sha("three"), sha("three"), None, 5)
    assert head.versions and all(each.rev == each.hash for each in head.versions)
    assert all(each.rev == each.hash for each in world.remote.history(world.source, "a.md"))
    files = [file for page in world.remote.listing(world.source) for file in page]
    assert [(file.path, file.rev, file.remote_id) for file in files] == [
        ("a.md", sha("three"), None), ("b.md", sha("two"), None)
    ]  # fmt: skip


def test_conflicts_name_the_revisions_of_their_texts(world: World) -> None:
    """In the list and in the feed, opened and closed."""
    world.push(edit("a.md", "base"))
    world.push(edit("a.md", "theirs", "base"))
    world.push(edit("a.md", "ours", "base"))
    (listed,) = world.remote.conflicts(world.source)
    assert (listed.base_rev, listed.local_rev, listed.remote_rev) == (sha("base"), sha("ours"), sha("theirs"))
    world.remote.resolve(world.source, listed.id, Resolution.KEEP_LOCAL, None, sha("theirs"))
    events, _ = world.drain()
    (opened,) = [event for event in events if isinstance(event, ConflictOpened)]
    assert (opened.local_rev, opened.remote_rev) == (opened.local_hash, opened.remote_hash) == (
        sha("ours"), sha("theirs")
    )  # fmt: skip
    (closed,) = [event for event in events if isinstance(event, ConflictClosed)]
    assert (closed.hash, closed.rev, closed.remote_id) == (sha("ours"), sha("ours"), None)


def test_a_base_of_unknown_revision_is_compared_by_its_hash(world: World) -> None:
    """It never means that the file must not exist, and never overwrites a head that is not the base."""
    world.push(edit("a.md", "one"))
    assert edit("a.md", "two", "one").operation.base_rev is None
    assert world.results(edit("a.md", "two", "one")) == [Result.APPLIED]
    assert world.results(edit("a.md", "three", "one")) == [Result.CONFLICT]
    assert world.files() == {"a.md": sha("two")}


def test_a_move_is_refused_and_changes_nothing(world: World) -> None:
    """The server states no ``moves``, so none is asked for; one that comes all the same is not sent as an edit."""
    world.push(edit("a.md", "A"))
    move = Operation("op-move", "b.md", Verb.MOVE, sha("A"), 1, sha("A"), sha("A"), None, "a.md")
    assert not world.remote.capabilities.moves
    assert world.results(Outgoing(move)) == [Result.REJECTED]
    assert world.files() == {"a.md": sha("A")}
