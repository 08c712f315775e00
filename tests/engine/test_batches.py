"""Several batches on their way at once, and what their answers spare the feed."""

from __future__ import annotations

from msgspec import structs

from agent.core.errors import Problem, ProblemKind
from agent.core.events import Page, Span
from agent.core.model import file_side
from agent.core.remote_records import Outcome, Result, Verb
from agent.engine import effects as e
from agent.engine import messages as m
from agent.engine.config import RunMode
from agent.index.operations import OperationState
from engine.harness import SOURCE, EngineHarness, drain, seen, sha, upsert

NAMES = [f"n-{number}.md" for number in range(8)]
OFFLINE = Problem(ProblemKind.OFFLINE, "no route")


def piloted(*, hub: bool, items: int = 1, run_mode: RunMode = RunMode.ONE_SHOT) -> EngineHarness:
    """An engine whose batches hold so many operations, at rest over an empty folder."""
    harness = EngineHarness(hub=hub)
    harness.setup = structs.replace(harness.setup, batch_items=items, run_mode=run_mode)
    harness.restart()
    harness.begin({})
    return harness


def saved(harness: EngineHarness, *names: str) -> list[e.Send]:
    """These files are new; the batches that are asked for."""
    harness.tell(m.ScanResults(tuple(seen(name, name) for name in names)))
    return sent(harness)


def sent(harness: EngineHarness) -> list[e.Send]:
    """Take every batch that is asked for."""
    found = [effect for effect in harness.effects if isinstance(effect, e.Send)]
    harness.effects = [effect for effect in harness.effects if not isinstance(effect, e.Send)]
    return found


def paths(sends: list[e.Send]) -> list[str]:
    """What they carry."""
    return [parcel.operation.path for send in sends for parcel in send.parcels]


def placed(harness: EngineHarness, send: e.Send, first: int) -> None:
    """All of a batch is applied, and the answer says where in the feed."""
    outcomes = [
        Outcome(parcel.operation.id, Result.APPLIED, position=first + number)
        for number, parcel in enumerate(send.parcels)
    ]
    harness.tell(m.BatchAnswered(send.number, tuple(outcomes)))


def polled(harness: EngineHarness) -> e.Poll:
    """Have the feed asked for; the question."""
    harness.engine._ctx.request_drain()
    harness.tell(m.TimePassed())
    harness.stands()
    return harness.take(e.Poll)


def stage(harness: EngineHarness, identifier: str) -> OperationState:
    """How far an operation has come, as the index has it."""
    return harness.index.operations.by_ids(SOURCE, [identifier])[identifier].state


def test_four_batches_are_on_their_way_where_the_feed_is_ordered() -> None:
    """Each answer lets the next one go; no file is in two of them."""
    harness = piloted(hub=True)
    first = saved(harness, *NAMES)
    assert paths(first) == NAMES[:4]
    harness.answers(first[2], Result.APPLIED)
    assert paths(sent(harness)) == [NAMES[4]]


def test_one_batch_is_on_its_way_where_the_feed_is_not() -> None:
    """There another writer between two of ours could not be told from ours."""
    harness = piloted(hub=False)
    (only,) = saved(harness, *NAMES)
    assert paths([only]) == NAMES[:1]
    harness.answers(only, Result.APPLIED)
    assert paths(sent(harness)) == NAMES[1:2]


def test_a_batch_fits_mostly_into_one_request() -> None:
    """Large files go with fewer others; one that is larger goes alone."""
    harness = piloted(hub=True, items=100)
    sizes = {"a.md": 500_000, "b.md": 200_000, "c.md": 200_000, "d.md": 900_000, "e.md": 1}
    found = [seen(name, name) for name in sizes]
    harness.tell(
        m.ScanResults(tuple(structs.replace(x, side=file_side(x.side.hash or "", sizes[x.path])) for x in found))
    )
    assert [paths([send]) for send in sent(harness)] == [["a.md", "b.md"], ["c.md"], ["d.md"], ["e.md"]]


def test_a_file_saved_again_waits_for_its_own_batch() -> None:
    """Two operations on one path are never on their way at once."""
    harness = piloted(hub=True)
    (first,) = saved(harness, "a.md")
    harness.saves("a.md", "two")
    assert not harness.wants(e.Send)
    placed(harness, first, 1)
    (second,) = sent(harness)
    assert second.parcels[0].operation.base == sha("a.md")


def test_no_delete_leaves_before_every_upload_is_answered() -> None:
    """A renamed file's new name must be there first, whichever of the batches carries it."""
    harness = piloted(hub=True, items=2)
    (made,) = saved(harness, "old.md")
    placed(harness, made, 1)
    drain(harness)
    harness.tell(m.ScanResults((seen("old.md", None), *(seen(name, name) for name in NAMES[:3]))))
    first, second = sent(harness)
    assert paths([first, second]) == NAMES[:3]
    placed(harness, second, 4)
    assert sent(harness) == []
    placed(harness, first, 2)
    (last,) = sent(harness)
    assert [parcel.operation.verb for parcel in last.parcels] == [Verb.DELETE]


def test_batches_that_fail_together_are_one_failure() -> None:
    """Four are not waited for as after four failures, and the next try is one batch."""
    harness = piloted(hub=True)
    for send in saved(harness, *NAMES):
        unsent = Outcome(send.parcels[0].operation.id, Result.NOT_SENT)
        harness.tell(m.BatchAnswered(send.number, (unsent,), OFFLINE))
    assert harness.engine._ctx.retry_state.failures == 1
    harness.now += 60
    harness.tell(m.TimePassed())
    (again,) = sent(harness)
    harness.answers(again, Result.APPLIED)
    assert len(sent(harness)) == 4


def test_what_an_answer_placed_is_not_told_again() -> None:
    """The next question names the places; passed over, the operations are over and both sides agree."""
    harness = piloted(hub=True, items=2)
    first, second = saved(harness, *NAMES[:4])
    placed(harness, second, 3)
    placed(harness, first, 1)
    assert stage(harness, first.parcels[0].operation.id) is OperationState.ACKED
    question = harness.take(e.Poll)
    assert question.known == (Span(1, 4),)
    harness.tell(m.PageArrived(question.number, Page((), "4", False, "4", past=4)))
    for send in (first, second):
        assert {stage(harness, parcel.operation.id) for parcel in send.parcels} == {OperationState.ECHOED}
    assert harness.trees(NAMES[0]) == (sha(NAMES[0]),) * 3
    assert polled(harness).known == ()


def test_a_repeated_event_changes_nothing_and_later_ones_count() -> None:
    """Where another machine's event stands between, ours are told as well."""
    harness = piloted(hub=True)
    (mine,) = saved(harness, "a.md")
    placed(harness, mine, 2)
    drain(harness, upsert("b.md", "theirs", 1), upsert("a.md", "a.md", 2, mine.parcels[0].operation.id))
    assert harness.trees("a.md") == (sha("a.md"),) * 3
    assert stage(harness, mine.parcels[0].operation.id) is OperationState.ECHOED
    drain(harness, upsert("a.md", "newer", 3))
    assert harness.trees("a.md") == (sha("a.md"), sha("a.md"), sha("newer"))


def test_a_position_that_the_feed_ended_before_is_forgotten() -> None:
    """A restored server has lost it. The next poll waits again, and names the position no more."""
    harness = piloted(hub=True)
    harness.setup = structs.replace(harness.setup, run_mode=RunMode.DAEMON, long_poll=True)
    harness.effects += harness.engine.configure(harness.now, harness.setup)
    earlier = polled(harness)
    (mine,) = saved(harness, "a.md")
    placed(harness, mine, 7)
    harness.tell(m.PageArrived(earlier.number, Page((), "5", False, "5")))
    harness.stands()
    later = harness.take(e.Poll)
    # An answer to the earlier question may lack the event, so it proves nothing.
    assert later.known == (Span(7, 7),)
    harness.tell(m.PageArrived(later.number, Page((), "5", False, "5")))
    harness.stands()
    waiting = harness.take(e.Poll)
    assert (waiting.known, waiting.wait > 0) == ((), True)


def test_after_a_failed_question_nothing_is_passed_over() -> None:
    """Who answers next may be an older copy of the server, with other events in those places."""
    harness = piloted(hub=True)
    (mine,) = saved(harness, "a.md")
    placed(harness, mine, 1)
    question = harness.take(e.Poll)
    harness.tell(m.CallFailed(m.Call.POLL, OFFLINE, question.number))
    harness.now += 60
    assert polled(harness).known == ()
    assert stage(harness, mine.parcels[0].operation.id) is OperationState.ACKED


def test_a_feed_read_from_its_beginning_passes_nothing_over() -> None:
    """After a rejoin nothing is known of the server any more, our own operations included."""
    harness = piloted(hub=True)
    (mine,) = saved(harness, "a.md")
    placed(harness, mine, 1)
    harness.take(e.Poll)
    harness.engine._ctx.update_source_row(halted="the server was restored", rejoin=True)
    harness.tell(m.Resume())
    harness.tell(m.ScanFinished())
    harness.stands()
    question = harness.take(e.Poll)
    assert (question.state, question.known) == (None, ())


def test_a_long_push_is_read_past_in_between() -> None:
    """What is kept of operations until the feed was read past them does not grow with the push; nor is the feed read
    while it grows, which would bring our own texts back.
    """
    harness = piloted(hub=True, items=2500, run_mode=RunMode.DAEMON)
    harness.effects = [effect for effect in harness.effects if not isinstance(effect, e.Poll)]
    first, second, third, fourth = saved(harness, *(f"m-{number:05}.md" for number in range(20_000)))
    placed(harness, first, 1)
    (fifth,) = sent(harness)
    for batch, position in ((second, 2501), (third, 5001), (fourth, 7501)):
        placed(harness, batch, position)
        assert not harness.wants(e.Poll)
        assert sent(harness) == []
    placed(harness, fifth, 10_001)
    question = harness.take(e.Poll)
    assert question.known == (Span(1, 12_500),)
    harness.tell(m.PageArrived(question.number, Page((), "12500", False, "12500", past=12_500)))
    assert len(paths(sent(harness))) == 7500


def test_own_events_are_not_read_while_more_are_being_sent() -> None:
    """Each page would tell of the batches answered meanwhile, texts and all, and none would be the last."""
    harness = piloted(hub=True, items=1)
    first, second = saved(harness, "a.md", "b.md")
    question = polled(harness)
    ours = [upsert(path, path, place, op) for place, (path, op) in enumerate(_told(first, second), start=1)]
    harness.tell(m.PageArrived(question.number, Page(tuple(ours), "2", True, "2")))
    assert not harness.wants(e.Poll)
    placed(harness, first, 1)
    placed(harness, second, 2)
    assert harness.take(e.Poll).state == "2"


def test_what_others_wrote_is_read_on_at_once_while_ours_is_sent() -> None:
    """A pull does not wait for a push."""
    harness = piloted(hub=True, items=1)
    (first,) = saved(harness, "a.md")
    question = polled(harness)
    ours, theirs = upsert("a.md", "a.md", 1, _told(first)[0][1]), upsert("c.md", "c", 2)
    harness.tell(m.PageArrived(question.number, Page((ours, theirs), "2", True, "2")))
    assert harness.take(e.Poll).state == "2"


def _told(*sends: e.Send) -> list[tuple[str, str]]:
    """(path, id) of what was sent."""
    return [(parcel.operation.path, parcel.operation.id) for send in sends for parcel in send.parcels]
