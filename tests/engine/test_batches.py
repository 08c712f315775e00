"""Several batches on their way at once, and what their answers spare the feed."""

from __future__ import annotations

from msgspec import structs

from agent.core.errors import Problem, ProblemKind
from agent.core.model import Outcome, Result, Verb, file_side
from agent.core.stream import Page, Span
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.desk import Attendance
from agent.index.operations import Stage
from engine.pilot import SOURCE, Pilot, drain, seen, sha, upsert

NAMES = [f"n-{number}.md" for number in range(8)]
OFFLINE = Problem(ProblemKind.OFFLINE, "no route")


def piloted(*, hub: bool, items: int = 1, attendance: Attendance = Attendance.ONCE) -> Pilot:
    """An engine whose batches hold so many operations, at rest over an empty folder."""
    pilot = Pilot(hub=hub)
    pilot.setup = structs.replace(pilot.setup, batch_items=items, attendance=attendance)
    pilot.restart()
    pilot.begin({})
    return pilot


def saved(pilot: Pilot, *names: str) -> list[e.Send]:
    """These files are new; the batches that are asked for."""
    pilot.tell(m.FilesSeen(tuple(seen(name, name) for name in names)))
    return sent(pilot)


def sent(pilot: Pilot) -> list[e.Send]:
    """Take every batch that is asked for."""
    found = [effect for effect in pilot.effects if isinstance(effect, e.Send)]
    pilot.effects = [effect for effect in pilot.effects if not isinstance(effect, e.Send)]
    return found


def paths(sends: list[e.Send]) -> list[str]:
    """What they carry."""
    return [parcel.operation.path for send in sends for parcel in send.parcels]


def placed(pilot: Pilot, send: e.Send, first: int) -> None:
    """All of a batch is applied, and the answer says where in the feed."""
    outcomes = [
        Outcome(parcel.operation.id, Result.APPLIED, position=first + number)
        for number, parcel in enumerate(send.parcels)
    ]
    pilot.tell(m.BatchAnswered(send.number, tuple(outcomes)))


def polled(pilot: Pilot) -> e.Poll:
    """Have the feed asked for; the question."""
    pilot.engine._desk.request_drain()
    pilot.tell(m.TimePassed())
    pilot.stands()
    return pilot.take(e.Poll)


def stage(pilot: Pilot, identifier: str) -> Stage:
    """How far an operation has come, as the index has it."""
    return pilot.index.operations.by_ids(SOURCE, [identifier])[identifier].stage


def test_four_batches_are_on_their_way_where_the_feed_is_ordered() -> None:
    """Each answer lets the next one go; no file is in two of them."""
    pilot = piloted(hub=True)
    first = saved(pilot, *NAMES)
    assert paths(first) == NAMES[:4]
    pilot.answers(first[2], Result.APPLIED)
    assert paths(sent(pilot)) == [NAMES[4]]


def test_one_batch_is_on_its_way_where_the_feed_is_not() -> None:
    """There another writer between two of ours could not be told from ours."""
    pilot = piloted(hub=False)
    (only,) = saved(pilot, *NAMES)
    assert paths([only]) == NAMES[:1]
    pilot.answers(only, Result.APPLIED)
    assert paths(sent(pilot)) == NAMES[1:2]


def test_a_batch_holds_no_more_bytes_than_mostly_fit_into_one_request() -> None:
    """Large files go with fewer others; one that is larger goes alone."""
    pilot = piloted(hub=True, items=100)
    sizes = {"a.md": 500_000, "b.md": 200_000, "c.md": 200_000, "d.md": 900_000, "e.md": 1}
    found = [seen(name, name) for name in sizes]
    pilot.tell(m.FilesSeen(tuple(structs.replace(x, side=file_side(x.side.hash or "", sizes[x.path])) for x in found)))
    assert [paths([send]) for send in sent(pilot)] == [["a.md", "b.md"], ["c.md"], ["d.md"], ["e.md"]]


def test_a_file_saved_again_waits_for_its_own_batch() -> None:
    """Two operations on one path are never on their way at once."""
    pilot = piloted(hub=True)
    (first,) = saved(pilot, "a.md")
    pilot.saves("a.md", "two")
    assert not pilot.wants(e.Send)
    placed(pilot, first, 1)
    (second,) = sent(pilot)
    assert second.parcels[0].operation.base == sha("a.md")


def test_no_delete_leaves_before_every_upload_is_answered() -> None:
    """A renamed file's new name must be there first, whichever of the batches carries it."""
    pilot = piloted(hub=True, items=2)
    (made,) = saved(pilot, "old.md")
    placed(pilot, made, 1)
    drain(pilot)
    pilot.tell(m.FilesSeen((seen("old.md", None), *(seen(name, name) for name in NAMES[:3]))))
    first, second = sent(pilot)
    assert paths([first, second]) == NAMES[:3]
    placed(pilot, second, 4)
    assert sent(pilot) == []
    placed(pilot, first, 2)
    (last,) = sent(pilot)
    assert [parcel.operation.verb for parcel in last.parcels] == [Verb.DELETE]


def test_batches_that_fail_together_are_one_failure() -> None:
    """Four are not waited for as after four failures, and the next try is one batch."""
    pilot = piloted(hub=True)
    for send in saved(pilot, *NAMES):
        unsent = Outcome(send.parcels[0].operation.id, Result.NOT_SENT)
        pilot.tell(m.BatchAnswered(send.number, (unsent,), OFFLINE))
    assert pilot.engine._desk.channels.failures == 1
    pilot.now += 60
    pilot.tell(m.TimePassed())
    (again,) = sent(pilot)
    pilot.answers(again, Result.APPLIED)
    assert len(sent(pilot)) == 4


def test_what_an_answer_placed_is_not_told_again() -> None:
    """The next question names the places; passed over, the operations are over and both sides agree."""
    pilot = piloted(hub=True, items=2)
    first, second = saved(pilot, *NAMES[:4])
    placed(pilot, second, 3)
    placed(pilot, first, 1)
    assert stage(pilot, first.parcels[0].operation.id) is Stage.ACKED
    question = pilot.take(e.Poll)
    assert question.known == (Span(1, 4),)
    pilot.tell(m.PageArrived(question.number, Page((), "4", False, "4", past=4)))
    for send in (first, second):
        assert {stage(pilot, parcel.operation.id) for parcel in send.parcels} == {Stage.ECHOED}
    assert pilot.trees(NAMES[0]) == (sha(NAMES[0]),) * 3
    assert polled(pilot).known == ()


def test_what_is_told_all_the_same_changes_nothing_and_what_came_after_counts() -> None:
    """Where another machine's event stands between, ours are told as well."""
    pilot = piloted(hub=True)
    (mine,) = saved(pilot, "a.md")
    placed(pilot, mine, 2)
    drain(pilot, upsert("b.md", "theirs", 1), upsert("a.md", "a.md", 2, mine.parcels[0].operation.id))
    assert pilot.trees("a.md") == (sha("a.md"),) * 3
    assert stage(pilot, mine.parcels[0].operation.id) is Stage.ECHOED
    drain(pilot, upsert("a.md", "newer", 3))
    assert pilot.trees("a.md") == (sha("a.md"), sha("a.md"), sha("newer"))


def test_after_a_failed_question_nothing_is_passed_over() -> None:
    """Who answers next may be an older copy of the server, with other events in those places."""
    pilot = piloted(hub=True)
    (mine,) = saved(pilot, "a.md")
    placed(pilot, mine, 1)
    question = pilot.take(e.Poll)
    pilot.tell(m.CallFailed(m.Call.POLL, OFFLINE, question.number))
    pilot.now += 60
    assert polled(pilot).known == ()
    assert stage(pilot, mine.parcels[0].operation.id) is Stage.ACKED


def test_a_feed_read_from_its_beginning_passes_nothing_over() -> None:
    """After a rejoin nothing is known of the server any more, our own operations included."""
    pilot = piloted(hub=True)
    (mine,) = saved(pilot, "a.md")
    placed(pilot, mine, 1)
    pilot.take(e.Poll)
    pilot.engine._desk.set_standing(halted="the server was restored", rejoin=True)
    pilot.tell(m.Resume())
    pilot.tell(m.LookEnded())
    pilot.stands()
    question = pilot.take(e.Poll)
    assert (question.state, question.known) == (None, ())


def test_a_long_push_is_read_past_in_between() -> None:
    """What is kept of operations until the feed was read past them does not grow with the push; nor is the feed read
    while it grows, which would bring our own texts back.
    """
    pilot = piloted(hub=True, items=2500, attendance=Attendance.FOLLOW)
    pilot.effects = [effect for effect in pilot.effects if not isinstance(effect, e.Poll)]
    first, second, third, fourth = saved(pilot, *(f"m-{number:05}.md" for number in range(20_000)))
    placed(pilot, first, 1)
    (fifth,) = sent(pilot)
    for batch, position in ((second, 2501), (third, 5001), (fourth, 7501)):
        placed(pilot, batch, position)
        assert not pilot.wants(e.Poll)
        assert sent(pilot) == []
    placed(pilot, fifth, 10_001)
    question = pilot.take(e.Poll)
    assert question.known == (Span(1, 12_500),)
    pilot.tell(m.PageArrived(question.number, Page((), "12500", False, "12500", past=12_500)))
    assert len(paths(sent(pilot))) == 7500


def test_our_own_operations_are_not_read_after_while_more_of_them_are_sent() -> None:
    """Each page would tell of the batches answered meanwhile, texts and all, and none would be the last."""
    pilot = piloted(hub=True, items=1)
    first, second = saved(pilot, "a.md", "b.md")
    question = polled(pilot)
    ours = [upsert(path, path, place, op) for place, (path, op) in enumerate(_told(first, second), start=1)]
    pilot.tell(m.PageArrived(question.number, Page(tuple(ours), "2", True, "2")))
    assert not pilot.wants(e.Poll)
    placed(pilot, first, 1)
    placed(pilot, second, 2)
    assert pilot.take(e.Poll).state == "2"


def test_what_others_wrote_is_read_on_at_once_while_ours_is_sent() -> None:
    """A pull does not wait for a push."""
    pilot = piloted(hub=True, items=1)
    (first,) = saved(pilot, "a.md")
    question = polled(pilot)
    ours, theirs = upsert("a.md", "a.md", 1, _told(first)[0][1]), upsert("c.md", "c", 2)
    pilot.tell(m.PageArrived(question.number, Page((ours, theirs), "2", True, "2")))
    assert pilot.take(e.Poll).state == "2"


def _told(*sends: e.Send) -> list[tuple[str, str]]:
    """(path, id) of what was sent."""
    return [(parcel.operation.path, parcel.operation.id) for send in sends for parcel in send.parcels]
