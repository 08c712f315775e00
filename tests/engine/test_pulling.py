"""What is installed when: while the feed is still being read only what nothing can take back."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from agent.core.errors import Problem, ProblemKind
from agent.core.events import FeedEvent, Page, Upsert
from agent.core.model import ABSENT, ApplyOutcome, ApplyResult, Observation, file_side
from agent.core.reconcile import Step
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.engine.in_flight import CONTENTS_LIMIT
from engine.harness import SOURCE, EngineHarness, delete, seen, sha, text_of


def latest(path: str, text: str, position: int) -> Upsert:
    """The feed says a path holds this text, and nothing came after it."""
    return Upsert(path, sha(text), position, text.encode(), latest=True)


def superseded(path: str, text: str, position: int) -> Upsert:
    """The feed says a path held this text; what came after it, if anything, is told later."""
    return Upsert(path, sha(text), position, text.encode())


def joining(here: dict[str, str] | None = None, **groups: Any) -> EngineHarness:
    """Has looked at its folder and read nothing of the feed yet."""
    harness = EngineHarness(hub=True)
    harness.setup = structs.replace(harness.setup, **groups)
    harness.restart()
    harness.tell(m.ChangesApplied(()))
    harness.look(dict(here or {}))
    return harness


def page(harness: EngineHarness, poll: e.Poll, *events: FeedEvent, last: bool = True) -> None:
    """A page with more behind it."""
    position = str(max(event.position for event in events))
    harness.tell(m.PageArrived(poll.number, Page(events, position, True, position), last))


def carried(harness: EngineHarness) -> list[str]:
    """The paths of the changes that are asked for now."""
    return [intent.path for intent, _ in harness.take(e.ApplyChanges).jobs]


def groups(harness: EngineHarness) -> list[e.ApplyChanges]:
    """The groups that are asked for now; they count as taken."""
    found = [effect for effect in harness.effects if isinstance(effect, e.ApplyChanges)]
    harness.effects = [effect for effect in harness.effects if not isinstance(effect, e.ApplyChanges)]
    return found


def paths_of(group: e.ApplyChanges) -> set[str]:
    """The paths it changes."""
    return {intent.path for intent, _ in group.jobs}


def land(harness: EngineHarness, carry: e.ApplyChanges) -> None:
    """Every one of these changes is made."""
    landed = [
        ApplyResult(
            intent.id,
            ApplyOutcome.DONE,
            Observation(intent.path, ABSENT if intent.new is None else file_side(intent.new, len(text_of(supply)))),
        )
        for intent, supply in carry.jobs
    ]
    harness.tell(m.ChangesApplied(tuple(landed)))


def test_a_known_latest_version_is_installed_before_the_feed_end() -> None:
    """A known latest version is installed before the feed end."""
    harness = joining()
    page(harness, harness.take(e.Poll), latest("a.md", "a", 1), superseded("b.md", "old", 2))
    assert carried(harness) == ["a.md"]


def test_a_perhaps_stale_version_waits_for_the_feed_end() -> None:
    """A text of which nobody knows whether it is the latest waits for the end of the feed."""
    harness = joining()
    page(harness, harness.take(e.Poll), superseded("b.md", "old", 1))
    assert not harness.wants(e.ApplyChanges)
    page(harness, harness.take(e.Poll), delete("b.md", 2), superseded("c.md", "c", 3))
    assert not harness.wants(e.ApplyChanges)
    harness.rest()
    assert carried(harness) == ["c.md"]


def test_nothing_is_removed_before_the_feed_is_read_to_its_end() -> None:
    """A delete may be taken back by a later page."""
    harness = joining()
    harness.feed(latest("a.md", "a", 1))
    land(harness, harness.take(e.ApplyChanges))
    harness.rest()
    harness.restart()
    harness.tell(m.ChangesApplied(()))
    harness.look({"a.md": "a"})
    harness.stands()
    page(harness, harness.take(e.Poll), delete("a.md", 2), latest("b.md", "b", 3))
    assert carried(harness) == ["b.md"]
    assert harness.engine._path_store.row("a.md").step is Step.PULL_DELETE


def test_an_edit_made_here_keeps_the_latest_text_out() -> None:
    harness = joining({"a.md": "mine"})
    page(harness, harness.take(e.Poll), latest("a.md", "theirs", 1))
    assert not harness.wants(e.ApplyChanges)
    assert harness.engine._path_store.row("a.md").step is Step.PARK


def test_texts_installed_at_once_are_not_stored_in_the_index() -> None:
    """However many there are: the feed is asked for more only while there is room for what it tells."""
    harness = joining()
    position, rounds = 0, 0
    text = "x" * (1 << 20)
    while rounds < 3 * (CONTENTS_LIMIT >> 20):
        rounds += 1
        if harness.wants(e.Poll):
            position += 1
            page(harness, harness.take(e.Poll), latest(f"{position}.md", f"{position}{text}", position))
        elif harness.wants(e.ApplyChanges):
            land(harness, harness.take(e.ApplyChanges))
    assert position > (CONTENTS_LIMIT >> 20)
    assert harness.index.connection.execute("SELECT count(*) FROM texts").fetchone() == (0,)


def test_many_waiting_texts_are_stored_in_the_index() -> None:
    """Texts that wait for the end of the feed stand in the index once they are many."""
    harness = joining()
    text = "x" * (1 << 20)
    many = 2 + (CONTENTS_LIMIT >> 20)
    for position in range(1, many + 1):
        page(harness, harness.take(e.Poll), superseded(f"{position}.md", f"{position}{text}", position))
    (kept,) = harness.index.connection.execute("SELECT count(*) FROM texts").fetchone()
    assert kept == CONTENTS_LIMIT >> 20
    assert harness.engine._ctx.in_flight.contents_size <= CONTENTS_LIMIT
    harness.rest()
    jobs = harness.take(e.ApplyChanges).jobs
    assert all(sha(text_of(supply).decode()) == intent.new for intent, supply in jobs)


def test_changes_applied_together_share_one_group_id() -> None:
    """Changes that are made together share a group and nothing else of their ids."""
    harness = joining(group_items=20)
    harness.feed(*(latest(f"{n:05}.md", f"{n}", n) for n in range(1, 31)))
    first = harness.take(e.ApplyChanges)
    assert len(first.jobs) == 20
    land(harness, first)
    second = harness.take(e.ApplyChanges)
    ids = [[intent.id for intent, _ in carry.jobs] for carry in (first, second)]
    assert len({*ids[0], *ids[1]}) == 30
    assert [len({identifier.partition("_")[0] for identifier in one}) for one in ids] == [1, 1]


def test_at_most_two_groups_are_journalled_at_a_time() -> None:
    """Only where much waits to be installed; no path is in both."""
    harness = joining(group_items=10, next_items=5)
    harness.feed(*(latest(f"{n:02}.md", f"{n}", n) for n in range(1, 31)))
    first, second = groups(harness)
    assert not paths_of(first) & paths_of(second)
    land(harness, second)
    (third,) = groups(harness)
    assert not paths_of(third) & paths_of(first)
    land(harness, first)
    land(harness, third)
    harness.rest()
    assert harness.engine.tally.pulled == 30
    assert harness.index.journal.all(SOURCE) == []


def test_few_texts_wait_for_the_group_before_theirs() -> None:
    harness = joining(group_items=10, next_items=5)
    harness.feed(*(latest(f"{n:02}.md", f"{n}", n) for n in range(1, 14)))
    (first,) = groups(harness)
    land(harness, first)
    (second,) = groups(harness)
    assert len(paths_of(second)) == 3


def test_nothing_is_removed_beside_another_group() -> None:
    """Deletes are counted one group after another."""
    harness = joining(group_items=4, next_items=1)
    harness.feed(*(latest(f"{n:02}.md", f"{n}", n) for n in range(1, 4)))
    for group in groups(harness):
        land(harness, group)
    harness.rest()
    harness.feed(latest("a.md", "a", 10))
    (first,) = groups(harness)
    harness.feed(delete("01.md", 11), latest("b.md", "b", 12))
    (second,) = groups(harness)
    assert paths_of(second) == {"b.md"}
    land(harness, first)
    land(harness, second)
    (third,) = groups(harness)
    assert paths_of(third) == {"01.md"}


def test_an_unknown_group_beside_a_done_one_is_left_to_recovery() -> None:
    """A group that lands beside one that cannot be reported leaves that one to the recovery."""
    harness = joining(group_items=4, next_items=1)
    harness.feed(*(latest(f"{n:02}.md", f"{n}", n) for n in range(1, 7)))
    first, second = groups(harness)
    harness.tell(m.RecoveryFailed("the disk is away"))
    land(harness, second)
    assert not harness.wants(e.Recover)
    harness.now += 11
    harness.tell(m.TimePassed())
    recover = harness.take(e.Recover)
    assert {intent.path for intent in recover.intents} == paths_of(first)
    land(harness, first)
    harness.rest()
    assert harness.engine.tally.pulled == 6


def test_pages_that_follow_unasked_are_taken_in_as_they_come() -> None:
    harness = joining()
    poll = harness.take(e.Poll)
    assert poll.room == CONTENTS_LIMIT
    page(harness, poll, latest("a.md", "a", 1), last=False)
    assert not harness.wants(e.Poll)
    page(harness, poll, latest("b.md", "b", 2), last=False)
    harness.tell(m.PageArrived(poll.number, Page((), "2", False, "2"), last=True))
    assert harness.engine._ctx.first_drain_done
    assert harness.engine._ctx.source_row.feed_state == "2"
    assert {row.path for row in harness.index.trees.all(SOURCE)} == {"a.md", "b.md"}


def test_a_follow_up_page_after_a_failed_call_is_dropped() -> None:
    """It is asked for again behind what was taken in."""
    harness = joining()
    poll = harness.take(e.Poll)
    page(harness, poll, latest("a.md", "a", 1), last=False)
    harness.tell(m.CallFailed(m.Call.POLL, Problem(ProblemKind.OFFLINE, "gone"), poll.number))
    page(harness, poll, latest("c.md", "c", 3), last=True)
    assert harness.engine._ctx.source_row.feed_state == "1"
    harness.now += 60
    harness.tell(m.TimePassed())
    harness.stands()
    assert harness.take(e.Poll).state == "1"


def test_a_text_that_turned_out_to_be_no_use_is_let_go() -> None:
    """Its path moved on before it could be installed."""
    harness = joining()
    poll = harness.take(e.Poll)
    page(harness, poll, superseded("a.md", "one", 1), last=False)
    assert "a.md" in harness.engine._ctx.in_flight.contents
    harness.tell(m.ScanResults((seen("a.md", "one"),)))
    assert not harness.engine._ctx.in_flight.contents
    assert harness.engine._ctx.in_flight.contents_size == 0


def test_a_pause_stops_installs_while_the_feed_is_read_on() -> None:
    """A pause keeps the latest from being installed and the feed is read on."""
    harness = joining()
    harness.engine._ctx.update_source_row(remote_paused=True)
    text = "x" * (1 << 20)
    many = 2 + (CONTENTS_LIMIT >> 20)
    for position in range(1, many + 1):
        page(harness, harness.take(e.Poll), latest(f"{position}.md", f"{position}{text}", position))
    assert not harness.wants(e.ApplyChanges)
    assert harness.engine._ctx.in_flight.contents_size <= CONTENTS_LIMIT


def test_a_position_is_reported_once_it_is_applied() -> None:
    """Other machines read it as "this machine has these files". A poll that waits is not waited for."""
    harness = joining(reports_position=True)
    harness.stands()
    poll = harness.take(e.Poll)
    assert poll.applied
    page(harness, poll, latest("a.md", "A", 1))
    poll = harness.take(e.Poll)
    assert (poll.state, poll.applied) == ("1", False)
    harness.tell(m.PageArrived(poll.number, Page((), "1", False, "1")))
    land(harness, harness.take(e.ApplyChanges))
    poll = harness.take(e.Poll)
    assert (poll.state, poll.applied, poll.wait) == ("1", True, 0.0)
    harness.tell(m.PageArrived(poll.number, Page((), "1", False, "1")))
    assert not harness.wants(e.Poll)


def test_an_applied_position_is_reported_beside_a_poll() -> None:
    """That poll may wait for a minute, and began before the change was applied."""
    harness = joining(reports_position=True, run_mode=RunMode.DAEMON, long_poll=True)
    harness.stands()
    page(harness, harness.take(e.Poll), latest("a.md", "A", 1))
    harness.tell(m.PageArrived(harness.take(e.Poll).number, Page((), "1", False, "1")))
    waiting = harness.take(e.Poll)
    assert (waiting.applied, waiting.wait > 0) == (False, True)
    land(harness, harness.take(e.ApplyChanges))
    report = harness.take(e.Poll)
    assert (report.state, report.applied, report.wait) == ("1", True, 0.0)
    harness.tell(m.PageArrived(report.number, Page((), "1", False, "1")))
    assert not harness.wants(e.Poll)


def test_a_dry_run_reports_no_position_that_it_only_read() -> None:
    """``status`` without an agent reads the feed and applies nothing."""
    harness = joining(reports_position=True, run_mode=RunMode.DRY_RUN)
    harness.stands()
    page(harness, harness.take(e.Poll), latest("a.md", "A", 1))
    assert not harness.take(e.Poll).applied
