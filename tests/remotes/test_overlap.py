"""The feed of the real server can skip; what it skipped is found by reading the last minute again."""

from __future__ import annotations

import itertools

import orjson
import pytest

from agent.core.events import FeedEvent, Upsert
from remotes.fixtures import World, edit, strict_world
from strict_raven import Races

OVERLAP_TIMES = (2.0, 10.0, 60.0)


def told(events: list[FeedEvent]) -> list[str]:
    """The paths of the upserts, in the order they were told."""
    return [event.path for event in events if isinstance(event, Upsert)]


def deltas_asked(world: World) -> int:
    """How many times the feed was asked."""
    assert world.strict is not None
    return sum(logged.path.endswith("sources/deltas") for logged in world.strict.log)


@pytest.mark.parametrize("seed", range(20))
def test_every_skipped_event_is_reported_once_within_a_minute(seed: int) -> None:
    """40 files by one writer while a reader polls each second, every third event late."""
    world = strict_world(Races(seed=seed, skip=0.3, hold=5.0))
    state: str | None = None
    seen: list[str] = []
    for tick in range(120):
        if tick < 40:
            world.results(edit(f"{tick:02}.md", str(tick)))
        events, state = world.drain(state)
        seen += told(events)
        world.clock.now += 1
    assert sorted(seen) == [f"{n:02}.md" for n in range(40)]
    world.close()


def test_a_reader_without_the_overlap_would_miss_some() -> None:
    """The server of the test above does skip: in order alone, events are lost."""
    world = strict_world(Races(seed=1, skip=0.3, hold=5.0))
    cursor, seen = 0, set()
    for tick in range(60):
        if tick < 40:
            world.results(edit(f"{tick:02}.md", str(tick)))
        for event in world.raw("sources/deltas", cursor=cursor)["events"]:
            cursor = event["cursor"]
            seen.add(event["relativePath"])
        world.clock.now += 1
    assert len(seen) < 40
    world.close()


def test_an_idle_feed_is_read_again_three_times_only(strict: World) -> None:
    """At 2, 10 and 60 seconds after the last new event; a quiet source costs one request a poll and remembers none."""
    strict.results(edit("a.md", "A"))
    _, state = strict.drain()
    start = strict.clock.now
    extra = []
    for second in range(1, 100):
        strict.clock.now = start + second
        before = deltas_asked(strict)
        events, state = strict.drain(state)
        assert events == []
        if deltas_asked(strict) - before > 1:
            extra.append(float(second))
    assert tuple(extra) == OVERLAP_TIMES
    assert orjson.loads(state).keys() == {"cursor", "tail"}


def test_a_machine_that_slept_reads_again_once(strict: World) -> None:
    """The re-readings that were due meanwhile are one."""
    strict.results(edit("a.md", "A"))
    _, state = strict.drain()
    strict.clock.now += 7200
    before = deltas_asked(strict)
    _, state = strict.drain(state)
    assert deltas_asked(strict) - before <= 3
    assert orjson.loads(state).keys() == {"cursor", "tail"}


@pytest.mark.parametrize("seed", range(10))
def test_an_event_skipped_before_a_sleep_is_reported_after_it(seed: int) -> None:
    """What happened during the sleep does not push what was missed before it out of the minute that is read again."""
    world = strict_world(Races(seed=seed, skip=0.3, hold=5.0))
    world.results(*(edit(f"{n:02}.md", str(n)) for n in range(20)))
    before, state = world.drain()
    world.clock.now += 70
    world.results(*(edit(f"later-{n}.md", str(n)) for n in range(3)))
    world.clock.now += 6
    after, _ = world.drain(state)
    assert len(told(before)) < 20
    assert sorted(told(before + after)) == sorted(
        [*(f"{n:02}.md" for n in range(20)), *(f"later-{n}.md" for n in range(3))]
    )
    world.close()


def test_a_clock_set_back_does_not_postpone_the_overlap(strict: World) -> None:
    """OP2: a year back, and the re-reading still comes within its seconds."""
    strict.results(edit("a.md", "A"))
    _, state = strict.drain()
    strict.clock.now -= 365 * 86_400
    _, state = strict.drain(state)
    for _ in range(70):
        strict.clock.now += 1
        _, state = strict.drain(state)
    assert orjson.loads(state).keys() == {"cursor", "tail"}


def test_what_is_remembered_is_bounded(strict: World) -> None:
    """6,000 events in one minute leave at most 5,000 in the state, and nothing is told twice."""
    for start in range(0, 6000, 100):
        strict.results(*(edit(f"{n:04}.md", "x") for n in range(start, start + 100)))
    events, state = strict.drain()
    assert len(events) == 6000
    assert len(orjson.loads(state)["marks"]) == 5000
    strict.clock.now += 2
    assert strict.drain(state)[0] == []


def test_old_events_are_not_read_again(strict: World) -> None:
    """A first reading of a long feed remembers only its last minute, by the server's clock."""
    for n in range(50):
        strict.results(edit(f"{n}.md", str(n)))
        strict.clock.now += 10
    _, state = strict.drain()
    kept = orjson.loads(state)
    assert len(kept["marks"]) == 7
    assert kept["floor"] == 43


def test_events_of_a_restored_server_are_reported_again(strict: World) -> None:
    """A number given out a second time is another event: the id decides."""
    assert strict.strict is not None
    backup = strict.strict.snapshot()
    strict.results(edit("old.md", "O"))
    _, state = strict.drain()
    strict.strict.restore(backup)
    strict.results(edit("new.md", "N"))
    strict.clock.now += 2
    assert told(strict.drain(state)[0]) == ["new.md"]


def test_the_hub_is_never_read_again(hub: World) -> None:
    """Its feed is ordered, so the state is a number from the start."""
    hub.results(edit("a.md", "A"))
    _, state = hub.drain()
    assert orjson.loads(state).keys() == {"cursor", "tail"}


def test_a_pull_makes_at_most_two_requests(strict: World) -> None:
    """Reading again is spread over pulls, so that none blocks for long."""
    for n in range(5):
        strict.results(*(edit(f"{n}-{m}.md", "x") for m in range(100)))
    state: str | None = None
    for step in itertools.count():
        before = deltas_asked(strict)
        page = strict.remote.pull(strict.source, state, 0, strict.clock.now)
        state = page.state
        assert deltas_asked(strict) - before <= 2
        strict.clock.now += 0.5
        if step > 200:
            break
    assert orjson.loads(state or "")["cursor"] == 500
