"""What is known already is passed over in an ordered feed, and nothing else."""

from __future__ import annotations

from agent.core.events import Page, Span, Upsert
from agent.remotes.raven.position import FeedPosition
from remotes.fixtures import World, edit


def _page(world: World, state: str | None, *known: Span) -> Page:
    return world.remote.pull(world.source, state, 0.0, world.clock.now, known)


def _paths(page: Page) -> list[str]:
    return [event.path for event in page.events if isinstance(event, Upsert)]


def test_the_hub_says_where_a_batch_stands(hub: World) -> None:
    """One event for each operation, in the batch's order; the feed tells them at those places."""
    hub.push(edit("before.md", "B"))
    answer = hub.push(edit("b.md", "1"), edit("a.md", "2"))
    assert [outcome.position for outcome in answer.outcomes] == [2, 3]
    events, _ = hub.drain()
    assert [(e.path, e.position) for e in events if isinstance(e, Upsert)][1:] == [("b.md", 2), ("a.md", 3)]


def test_what_changed_nothing_has_no_place(hub: World) -> None:
    """The same text again is applied and makes no event."""
    hub.push(edit("a.md", "A"))
    answer = hub.push(edit("a.md", "A", "A"), edit("b.md", "B"))
    assert [outcome.position for outcome in answer.outcomes] == [None, None]


def test_known_events_are_not_asked_for(hub: World) -> None:
    """All but the last of them, by whose id a restored server is known."""
    hub.push(edit("a.md", "A"), edit("b.md", "B"), edit("c.md", "C"))
    page = _page(hub, None, Span(1, 3))
    assert (_paths(page), page.past, page.cursor) == (["c.md"], 2, "3")
    assert not hub.remote.was_restored_from_older_copy(hub.source, page.state)
    position = FeedPosition.from_json(page.state)
    assert position.is_at(3, position.id_suffix) and not position.is_at(3, "the id of another event")
    hub.push(edit("d.md", "D"))
    assert _paths(_page(hub, page.state)) == ["d.md"]


def test_a_state_past_the_feeds_end_is_behind(hub: World) -> None:
    """The event it stands at is not there: the server was restored from a copy that does not hold it."""
    hub.push(edit("a.md", "A"))
    page = _page(hub, None, Span(1, 5))
    assert hub.remote.was_restored_from_older_copy(hub.source, page.state)


def test_another_machines_event_between_is_told(hub: World) -> None:
    """Only what comes next is passed over; behind another's event ours are told as well."""
    hub.push(edit("mine.md", "1"), edit("mine-2.md", "2"))
    other = hub.adapter()
    other.push(hub.source, None, [edit("theirs.md", "3")])
    hub.push(edit("mine-4.md", "4"))
    page = _page(hub, None, Span(1, 2), Span(4, 4))
    assert (_paths(page), page.past) == (["mine-2.md", "theirs.md", "mine-4.md"], 1)


def test_nothing_is_passed_over_where_the_feed_is_not_ordered(strict: World) -> None:
    """Its numbers have gaps, in which anything may stand."""
    strict.push(edit("a.md", "A"), edit("b.md", "B"))
    page = _page(strict, None, Span(1, 2))
    assert (_paths(page), page.past) == (["a.md", "b.md"], 0)
