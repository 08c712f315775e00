"""What is installed when: while the feed is still being read only what nothing can take back."""

from __future__ import annotations

from msgspec import structs

from agent.core.errors import Problem, ProblemKind
from agent.core.model import ABSENT, Landed, Landing, Seen, file_side
from agent.core.reconcile import Step
from agent.core.stream import Event, Page, Upsert
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.outstanding import CONTENTS_LIMIT
from engine.pilot import SOURCE, Pilot, delete, seen, sha


def latest(path: str, text: str, position: int) -> Upsert:
    """The feed says a path holds this text, and nothing came after it."""
    return Upsert(path, sha(text), position, text.encode(), latest=True)


def superseded(path: str, text: str, position: int) -> Upsert:
    """The feed says a path held this text; what came after it, if anything, is told later."""
    return Upsert(path, sha(text), position, text.encode())


def joining(here: dict[str, str] | None = None, **groups: int) -> Pilot:
    """Has looked at its folder and read nothing of the feed yet."""
    pilot = Pilot(hub=True)
    pilot.setup = structs.replace(pilot.setup, **groups)
    pilot.restart()
    pilot.tell(m.ChangesLanded(()))
    pilot.look(dict(here or {}))
    return pilot


def page(pilot: Pilot, poll: e.Poll, *events: Event, last: bool = True) -> None:
    """A page with more behind it."""
    position = str(max(event.position for event in events))
    pilot.tell(m.PageArrived(poll.number, Page(events, position, True, position), last))


def carried(pilot: Pilot) -> list[str]:
    """The paths of the changes that are asked for now."""
    return [intent.path for intent, _ in pilot.take(e.Carry).jobs]


def groups(pilot: Pilot) -> list[e.Carry]:
    """The groups that are asked for now; they count as taken."""
    found = [effect for effect in pilot.effects if isinstance(effect, e.Carry)]
    pilot.effects = [effect for effect in pilot.effects if not isinstance(effect, e.Carry)]
    return found


def paths_of(group: e.Carry) -> set[str]:
    """The paths it changes."""
    return {intent.path for intent, _ in group.jobs}


def land(pilot: Pilot, carry: e.Carry) -> None:
    """Every one of these changes is made."""
    landed = [
        Landed(
            intent.id,
            Landing.DONE,
            Seen(intent.path, ABSENT if intent.new is None else file_side(intent.new, len(content))),
        )
        for intent, content in carry.jobs
    ]
    pilot.tell(m.ChangesLanded(tuple(landed)))


def test_what_the_server_says_to_be_the_latest_is_installed_before_the_feed_is_read_to_its_end() -> None:
    pilot = joining()
    page(pilot, pilot.take(e.Poll), latest("a.md", "a", 1), superseded("b.md", "old", 2))
    assert carried(pilot) == ["a.md"]


def test_a_text_of_which_nobody_knows_whether_it_is_the_latest_waits_for_the_end_of_the_feed() -> None:
    pilot = joining()
    page(pilot, pilot.take(e.Poll), superseded("b.md", "old", 1))
    assert not pilot.wants(e.Carry)
    page(pilot, pilot.take(e.Poll), delete("b.md", 2), superseded("c.md", "c", 3))
    assert not pilot.wants(e.Carry)
    pilot.rest()
    assert carried(pilot) == ["c.md"]


def test_nothing_is_removed_before_the_feed_is_read_to_its_end() -> None:
    """A delete may be taken back by a later page."""
    pilot = joining()
    pilot.feed(latest("a.md", "a", 1))
    land(pilot, pilot.take(e.Carry))
    pilot.rest()
    pilot.restart()
    pilot.tell(m.ChangesLanded(()))
    pilot.look({"a.md": "a"})
    pilot.stands()
    page(pilot, pilot.take(e.Poll), delete("a.md", 2), latest("b.md", "b", 3))
    assert carried(pilot) == ["b.md"]
    assert pilot.engine._keeper.row("a.md").step is Step.PULL_DELETE


def test_an_edit_made_here_keeps_the_latest_text_out() -> None:
    pilot = joining({"a.md": "mine"})
    page(pilot, pilot.take(e.Poll), latest("a.md", "theirs", 1))
    assert not pilot.wants(e.Carry)
    assert pilot.engine._keeper.row("a.md").step is Step.PARK


def test_texts_that_are_installed_at_once_never_stand_in_the_index() -> None:
    """However many there are: the feed is asked for more only while there is room for what it tells."""
    pilot = joining()
    position, rounds = 0, 0
    text = "x" * (1 << 20)
    while rounds < 3 * (CONTENTS_LIMIT >> 20):
        rounds += 1
        if pilot.wants(e.Poll):
            position += 1
            page(pilot, pilot.take(e.Poll), latest(f"{position}.md", f"{position}{text}", position))
        elif pilot.wants(e.Carry):
            land(pilot, pilot.take(e.Carry))
    assert position > (CONTENTS_LIMIT >> 20)
    assert pilot.index.connection.execute("SELECT count(*) FROM texts").fetchone() == (0,)


def test_texts_that_wait_for_the_end_of_the_feed_stand_in_the_index_once_they_are_many() -> None:
    pilot = joining()
    text = "x" * (1 << 20)
    many = 2 + (CONTENTS_LIMIT >> 20)
    for position in range(1, many + 1):
        page(pilot, pilot.take(e.Poll), superseded(f"{position}.md", f"{position}{text}", position))
    (kept,) = pilot.index.connection.execute("SELECT count(*) FROM texts").fetchone()
    assert kept == CONTENTS_LIMIT >> 20
    assert pilot.engine._desk.out.contents_size <= CONTENTS_LIMIT
    pilot.rest()
    jobs = pilot.take(e.Carry).jobs
    assert all(sha(content.decode()) == intent.new for intent, content in jobs)


def test_changes_that_are_made_together_share_a_group_and_nothing_else_of_their_ids() -> None:
    pilot = joining(group_items=20)
    pilot.feed(*(latest(f"{n:05}.md", f"{n}", n) for n in range(1, 31)))
    first = pilot.take(e.Carry)
    assert len(first.jobs) == 20
    land(pilot, first)
    second = pilot.take(e.Carry)
    ids = [[intent.id for intent, _ in carry.jobs] for carry in (first, second)]
    assert len({*ids[0], *ids[1]}) == 30
    assert [len({identifier.partition("_")[0] for identifier in one}) for one in ids] == [1, 1]


def test_a_second_group_is_journalled_while_the_first_is_made_and_never_a_third() -> None:
    """Only where much waits to be installed; no path is in both."""
    pilot = joining(group_items=10, next_items=5)
    pilot.feed(*(latest(f"{n:02}.md", f"{n}", n) for n in range(1, 31)))
    first, second = groups(pilot)
    assert not paths_of(first) & paths_of(second)
    land(pilot, second)
    (third,) = groups(pilot)
    assert not paths_of(third) & paths_of(first)
    land(pilot, first)
    land(pilot, third)
    pilot.rest()
    assert pilot.engine.tally.pulled == 30
    assert pilot.index.operations.intents(SOURCE) == []


def test_few_texts_wait_for_the_group_before_theirs() -> None:
    pilot = joining(group_items=10, next_items=5)
    pilot.feed(*(latest(f"{n:02}.md", f"{n}", n) for n in range(1, 14)))
    (first,) = groups(pilot)
    land(pilot, first)
    (second,) = groups(pilot)
    assert len(paths_of(second)) == 3


def test_nothing_is_removed_beside_another_group() -> None:
    """Deletes are counted one group after another."""
    pilot = joining(group_items=4, next_items=1)
    pilot.feed(*(latest(f"{n:02}.md", f"{n}", n) for n in range(1, 4)))
    for group in groups(pilot):
        land(pilot, group)
    pilot.rest()
    pilot.feed(latest("a.md", "a", 10))
    (first,) = groups(pilot)
    pilot.feed(delete("01.md", 11), latest("b.md", "b", 12))
    (second,) = groups(pilot)
    assert paths_of(second) == {"b.md"}
    land(pilot, first)
    land(pilot, second)
    (third,) = groups(pilot)
    assert paths_of(third) == {"01.md"}


def test_a_group_that_lands_beside_one_that_cannot_be_told_leaves_that_one_to_the_recovery() -> None:
    pilot = joining(group_items=4, next_items=1)
    pilot.feed(*(latest(f"{n:02}.md", f"{n}", n) for n in range(1, 7)))
    first, second = groups(pilot)
    pilot.tell(m.RecoveryFailed("the disk is away"))
    land(pilot, second)
    assert not pilot.wants(e.Recover)
    pilot.now += 11
    pilot.tell(m.TimePassed())
    recover = pilot.take(e.Recover)
    assert {intent.path for intent in recover.intents} == paths_of(first)
    land(pilot, first)
    pilot.rest()
    assert pilot.engine.tally.pulled == 6


def test_pages_that_follow_unasked_are_taken_in_as_they_come() -> None:
    pilot = joining()
    poll = pilot.take(e.Poll)
    assert poll.room == CONTENTS_LIMIT
    page(pilot, poll, latest("a.md", "a", 1), last=False)
    assert not pilot.wants(e.Poll)
    page(pilot, poll, latest("b.md", "b", 2), last=False)
    pilot.tell(m.PageArrived(poll.number, Page((), "2", False, "2"), last=True))
    assert pilot.engine._desk.first_drain_done
    assert pilot.engine._desk.standing.feed_state == "2"
    assert {row.path for row in pilot.index.trees.all(SOURCE)} == {"a.md", "b.md"}


def test_a_page_that_follows_unasked_is_nobodys_once_the_call_has_failed() -> None:
    """It is asked for again behind what was taken in."""
    pilot = joining()
    poll = pilot.take(e.Poll)
    page(pilot, poll, latest("a.md", "a", 1), last=False)
    pilot.tell(m.CallFailed(m.Call.POLL, Problem(ProblemKind.OFFLINE, "gone"), poll.number))
    page(pilot, poll, latest("c.md", "c", 3), last=True)
    assert pilot.engine._desk.standing.feed_state == "1"
    pilot.now += 60
    pilot.tell(m.TimePassed())
    pilot.stands()
    assert pilot.take(e.Poll).state == "1"


def test_a_text_that_turned_out_to_be_no_use_is_let_go() -> None:
    """Its path moved on before it could be installed."""
    pilot = joining()
    poll = pilot.take(e.Poll)
    page(pilot, poll, superseded("a.md", "one", 1), last=False)
    assert "a.md" in pilot.engine._desk.out.contents
    pilot.tell(m.FilesSeen((seen("a.md", "one"),)))
    assert not pilot.engine._desk.out.contents
    assert pilot.engine._desk.out.contents_size == 0


def test_a_pause_keeps_the_latest_from_being_installed_and_the_feed_is_read_on() -> None:
    pilot = joining()
    pilot.engine._desk.set_standing(remote_paused=True)
    text = "x" * (1 << 20)
    many = 2 + (CONTENTS_LIMIT >> 20)
    for position in range(1, many + 1):
        page(pilot, pilot.take(e.Poll), latest(f"{position}.md", f"{position}{text}", position))
    assert not pilot.wants(e.Carry)
    assert pilot.engine._desk.out.contents_size <= CONTENTS_LIMIT
